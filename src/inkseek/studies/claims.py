"""A claim and its judgement: paired differences with an interval, and a verdict by one rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from inkseek.metrics.significance import paired, t_interval
from inkseek.studies.outcome import Outcome

Verdict = Literal["supported", "not supported", "undecided"]

HALF_A_POINT = 0.005
"""An improvement that would matter: half a percentage point of a metric between 0 and 1."""


@dataclass(frozen=True)
class Judgement:
    """What the runs say about a claim.

    Attributes:
        says: the claim, in one sentence.
        what: which difference was taken.
        figure: of which figure.
        over: what is paired, `seeds` or `classes`.
        count: how many pairs.
        difference: the mean of the differences; above 0 speaks for the claim.
        low: lower end of the 95 % interval of that mean (Student's), NaN with fewer than two pairs.
        high: its upper end.
        t: statistic of the paired t-test.
        t_p: its two-sided p.
        wilcoxon_p: two-sided p of Wilcoxon's signed-rank test.
        effect: Cohen's d of paired samples.
        least: the smallest difference that would matter.
        verdict: by `verdict`.
    """

    says: str
    what: str
    figure: str
    over: Literal["seeds", "classes"]
    count: int
    difference: float
    low: float
    high: float
    t: float
    t_p: float
    wilcoxon_p: float
    effect: float
    least: float
    verdict: Verdict


class Claim(Protocol):
    """Something that runs can support."""

    @property
    def says(self) -> str:
        """The claim, in one sentence."""

    def judge(self, outcome: Outcome) -> Judgement:
        """Hold it against the runs."""


def verdict(low: float, high: float, least: float = HALF_A_POINT) -> Verdict:
    """Judge a 95 % interval of a difference that a claim says is above 0.

    `supported` where the interval lies above 0, `not supported` where it ends below the least difference that would
    matter, and `undecided` otherwise: more seeds would tell.
    """
    if low > 0:
        return "supported"
    return "not supported" if high < least else "undecided"


@dataclass(frozen=True)
class Better:
    """One row's figure is above another's, paired by seed.

    Attributes:
        says: the claim.
        better: the row that should be above.
        than: the other.
        figure: which.
        least: the smallest difference that would matter.
    """

    says: str
    better: str
    than: str
    figure: str
    least: float = HALF_A_POINT

    def judge(self, outcome: Outcome) -> Judgement:
        """Take the differences under each seed."""
        a, b = outcome.paired(self.better, self.than, self.figure)
        return _judged(self.says, f"{self.better} - {self.than}", self.figure, "seeds", a, b, self.least)


@dataclass(frozen=True)
class Lower:
    """One row's figure lies below another's by a share of it, paired by seed: for figures that have no points.

    Attributes:
        says: the claim.
        lower: the row that should be below.
        than: the other.
        figure: which, above 0.
        least: the smallest share that would matter.
    """

    says: str
    lower: str
    than: str
    figure: str
    least: float = 0.05

    def judge(self, outcome: Outcome) -> Judgement:
        """Take the differences under each seed, as shares of the other row's mean."""
        a, b = outcome.paired(self.lower, self.than, self.figure)
        scale = float(b.mean()) if len(b) else 1.0
        what = f"{self.than} - {self.lower}, as a share of {self.than}"
        return _judged(self.says, what, f"{self.figure}, share", "seeds", b / scale, a / scale, self.least)


@dataclass(frozen=True)
class BetterByClass:
    """One row's figure is above another's, paired by class as in Table 5: means over the seeds that both have.

    Attributes:
        says: the claim.
        better: the row that should be above.
        than: the other.
        series: of class -> figure.
        least: the smallest difference that would matter.
    """

    says: str
    better: str
    than: str
    series: str
    least: float = HALF_A_POINT

    def judge(self, outcome: Outcome) -> Judgement:
        """Take the differences in each class."""
        a, b = outcome.mean_series(self.better, self.series), outcome.mean_series(self.than, self.series)
        classes = [name for name in a if name in b]
        values = np.array([a[name] for name in classes]), np.array([b[name] for name in classes])
        return _judged(self.says, f"{self.better} - {self.than}", self.series, "classes", *values, self.least)


@dataclass(frozen=True)
class Above:
    """One row's figure lies above a number, seed by seed.

    Attributes:
        says: the claim.
        row: whose figure.
        figure: which.
        number: what it should be above.
        least: the smallest difference that would matter.
    """

    says: str
    row: str
    figure: str
    number: float
    least: float

    def judge(self, outcome: Outcome) -> Judgement:
        """Take each seed's figure less the number."""
        found = np.array(list(outcome.values(self.row, self.figure).values()))
        what = f"{self.row} - {self.number:g}"
        return _judged(self.says, what, self.figure, "seeds", found, np.full(len(found), self.number), self.least)


@dataclass(frozen=True)
class FallsWith:
    """Over rows, one figure falls as another rises: Spearman's correlation, one a seed, below 0.

    Attributes:
        says: the claim.
        rows: what is correlated over.
        figure: what falls.
        rises: what it falls with.
        least: the smallest correlation that would matter.
    """

    says: str
    rows: tuple[str, ...]
    figure: str
    rises: str
    least: float = 0.1

    def judge(self, outcome: Outcome) -> Judgement:
        """Take the negative correlation under each seed that every row has."""
        from scipy import stats

        x, y = ([outcome.values(row, of) for row in self.rows] for of in (self.rises, self.figure))
        seeds = sorted(set.intersection(*(set(of) for of in (*x, *y)))) if self.rows else []
        found = [
            -float(stats.spearmanr([of[seed] for of in x], [of[seed] for of in y]).statistic)
            for seed in seeds
            if len({of[seed] for of in x}) > 1 and len({of[seed] for of in y}) > 1
        ]
        what = f"minus Spearman's correlation over {len(self.rows)} rows"
        of = f"{self.figure} with {self.rises}"
        return _judged(self.says, what, of, "seeds", np.array(found), np.zeros(len(found)), self.least)


def _judged(
    says: str,
    what: str,
    figure: str,
    over: Literal["seeds", "classes"],
    a: npt.NDArray[np.float64],
    b: npt.NDArray[np.float64],
    least: float,
) -> Judgement:
    nan = math.nan
    if len(a) < 2:
        difference = float((a - b).mean()) if len(a) else nan
        return Judgement(says, what, figure, over, len(a), difference, nan, nan, nan, nan, nan, nan, least, "undecided")
    test = paired(a, b)
    low, high = t_interval(a - b)
    return Judgement(
        says=says,
        what=what,
        figure=figure,
        over=over,
        count=test.count,
        difference=test.difference,
        low=low,
        high=high,
        t=test.t,
        t_p=test.t_p,
        wilcoxon_p=test.wilcoxon_p,
        effect=test.effect,
        least=least,
        verdict=verdict(low, high, least),
    )
