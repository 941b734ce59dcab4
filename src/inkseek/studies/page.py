"""A study's page in Markdown: verdicts, figure, our table beside the published one, and how it was made."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from inkseek.errors import InkseekError
from inkseek.metrics.names import metric
from inkseek.metrics.significance import holm, t_interval
from inkseek.studies.claims import Judgement
from inkseek.studies.outcome import Outcome
from inkseek.studies.study import Published, Row, Scale, Study
from inkseek.studies.tuning import SEED, settings

Cells = Sequence[Sequence[str]]


def page(
    study: Study,
    scale: Scale,
    outcome: Outcome,
    judgements: Sequence[Judgement],
    *,
    runs: Sequence[Mapping[str, str]],
    trials: Sequence[Mapping[str, str]],
) -> str:
    """Return the page as Markdown.

    Args:
        study: what was run.
        scale: at which scale.
        outcome: what its CSVs hold.
        judgements: of the study's claims.
        runs: the CSV of runs.
        trials: the CSV of trials.
    """
    parts = [
        f"# {study.title}, {scale} scale",
        f"The paper's claim: {study.says}",
        *([_unfinished(study, scale, outcome)] if len(outcome.finished()) < len(outcome.rows) else []),
        "## Verdicts",
        _verdicts(judgements) if judgements else "Nothing to judge at this scale.",
        f"![{study.title}](figure.png)",
        "The same as [SVG](figure.svg).",
        "## Figures",
        _table(study.metrics[scale], outcome),
        *(_published(of) for of in study.published),
        "## How",
        _how(study, scale, runs, trials),
        "\n".join(f"- {note}" for note in study.notes.get(scale, ())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_verdicts(path: Path, judgements: Sequence[Judgement]) -> None:
    """Write the judgements as CSV, Holm's correction over all of the study's claims beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    corrected = _holm(judgements)
    names = [*Judgement.__dataclass_fields__]
    with path.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow([*names, "t_p (Holm)"])
        for judgement, p in zip(judgements, corrected, strict=True):
            cells = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in asdict(judgement).values()]
            lines.writerow([*cells, f"{p:.6g}"])


def quote(row: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    """Return a line of verdicts as pages quote it: claim, difference, interval, pairs, verdict."""
    share = is_share(row["figure"])
    difference, low, high = (_signed(float(row[name]), share) for name in ("difference", "low", "high"))
    claim = f"{row['says']} ({row['figure']})"
    return claim, difference, f"{low} to {high}", _pairs(int(row["count"]), row["over"]), row["verdict"]


def is_share(figure: str) -> bool:
    """Whether a figure is a metric between 0 and 1, which pages print in percent; on whichever classes, at any step."""
    try:
        metric(figure.removesuffix(" by class").partition(" (pseudo-unseen")[0])
    except InkseekError:
        return False
    return True


def _command(study: Study, scale: Scale) -> str:
    return f"inkseek reproduce {study.name} --scale {scale}"


def _unfinished(study: Study, scale: Scale, outcome: Outcome) -> str:
    missing = [row for row in outcome.rows if row not in outcome.finished()]
    return f"**Not finished**: no run of {', '.join(missing)}. Go on: `{_command(study, scale)} --resume`"


def _verdicts(judgements: Sequence[Judgement]) -> str:
    head = ["claim", "verdict", "difference", "95 % interval", "over", "t", "p", "p (Holm)", "p (Wilcoxon)", "effect d"]
    rows = []
    for of, corrected in zip(judgements, _holm(judgements), strict=True):
        share = is_share(of.figure)
        rows.append(
            [
                f"{of.says} ({of.figure}: {of.what})",
                f"**{of.verdict}**",
                _signed(of.difference, share),
                f"{_signed(of.low, share)} to {_signed(of.high, share)}",
                _pairs(of.count, of.over),
                _number(of.t),
                _number(of.t_p),
                _number(corrected),
                _number(of.wilcoxon_p),
                _number(of.effect),
            ]
        )
    rule = (
        "Differences of metrics are in percentage points, paired, above 0 where they speak for the claim. "
        "*Supported*: the 95 % interval (Student's) lies above 0. *Not supported*: it ends below +0.5 points (+0.1 of "
        "a correlation). *Undecided*: neither. p values are two-sided; Holm's correct for all claims of the page."
    )
    return f"{_markdown(head, rows)}\n\n{rule}"


def _table(figures: Sequence[str], outcome: Outcome) -> str:
    shown = [name for name in figures if any(name in run.figures for run in outcome.runs)]
    head = ["row", "seeds", *(f"{name}, %" if is_share(name) else name for name in shown)]
    rows = [[row, str(len(outcome.of(row))), *(_cell(outcome, row, name) for name in shown)] for row in outcome.rows]
    said = "Mean ± standard deviation over seeds, and the 95 % interval of the mean (Student's)."
    return f"{_markdown(head, rows)}\n\n{said}"


def _cell(outcome: Outcome, row: str, name: str) -> str:
    if values := list(outcome.values(row, name).values()):
        return _spread(values, name)
    return "-" if outcome.of(row) else "not run"


def _spread(values: Sequence[float], name: str) -> str:
    x = np.array(values) * (100 if is_share(name) else 1)
    digits = 1 if is_share(name) else 0 if abs(x.mean()) >= 100 else 4
    if len(x) < 2:
        return f"{x[0]:.{digits}f}"
    low, high = t_interval(x)
    return f"{x.mean():.{digits}f} ± {x.std(ddof=1):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _published(of: Published) -> str:
    rows = [
        [name, *("-" if math.isnan(value) else f"{value:g}" for value in values)] for name, values in of.rows.items()
    ]
    return f"### Published\n\n{of.about}\n\n{_markdown(['row', *of.columns], rows)}"


def _how(study: Study, scale: Scale, runs: Sequence[Mapping[str, str]], trials: Sequence[Mapping[str, str]]) -> str:
    said = [f"`{_command(study, scale)}`. CSVs: [runs](runs.csv), [verdicts](verdicts.csv)"]
    said[0] += ", [trials](tuning.csv)." if trials else "."
    for title in ("hardware", "versions", "protocol"):
        if values := sorted({row[title] for row in runs}):
            said.append(f"- {title}: {'; '.join(values)}")
    rows = study.rows[scale]
    if any(row.grid for row in rows):
        said.append(
            f"- Settings were chosen on pseudo-unseen classes, baselines' like ours: up to {study.budget} trials a row "
            f"under one seed ({SEED}); of a larger grid so many settings drawn at random."
        )
    head = ["row", "recipe", "set", "trials", "chosen"]
    chosen = {row["row"]: row["settings"] for row in runs}
    table = [
        [row.name, row.recipe, _code(row.set), _tried(row, study.budget), _code((chosen.get(row.name, ""),))]
        for row in rows
    ]
    return "\n".join(said) + "\n\n" + _markdown(head, table)


def _tried(row: Row, budget: int) -> str:
    own = str(len(settings(row.grid, budget))) if row.grid else "none"
    return own if row.like is None else f"{own}, after those of {row.like}"


def _code(words: Sequence[str]) -> str:
    text = " ".join(words)
    return f"`{text}`" if text else ""


def _holm(judgements: Sequence[Judgement]) -> list[float]:
    """Corrected p of each judgement, NaN where there is none."""
    there = [place for place, of in enumerate(judgements) if not math.isnan(of.t_p)]
    corrected = holm([judgements[place].t_p for place in there])
    found = dict(zip(there, corrected.tolist(), strict=True))
    return [found.get(place, math.nan) for place in range(len(judgements))]


def _pairs(count: int, over: str) -> str:
    return f"{count} {over if count != 1 else over.removesuffix('es' if over == 'classes' else 's')}"


def _signed(value: float, share: bool) -> str:
    if math.isnan(value):
        return "-"
    return f"{100 * value:+.2f}" if share else f"{value:+.3f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"


def _markdown(head: Sequence[str], rows: Cells) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
