"""How studies are drawn: a palette that colour-blind readers tell apart, and the few kinds of plots that papers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from inkseek.evaluation.plots import INK, STYLE
from inkseek.metrics.significance import t_interval
from inkseek.studies.measures import BATCH_VARIANCE, DENSITY
from inkseek.studies.outcome import Outcome

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")
"""Okabe and Ito's colours and one more."""

LINES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def style() -> AbstractContextManager[None]:
    """Return the context that figures are drawn in."""
    return mpl.rc_context({**STYLE, "figure.facecolor": "white", "savefig.facecolor": "white"})


def canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row; inside `style()`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes for the same figure."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    with style():
        figure.savefig(written[0], dpi=150, metadata={"Software": None})
        figure.savefig(written[1], metadata={"Date": None, "Creator": None})
    return written


def bars(axes: Axes, outcome: Outcome, rows: Sequence[str], figure: str, *, scale: float = 100.0) -> None:
    """Plot a figure of rows, the first on top: means over seeds with their 95 % intervals, and every seed as a dot."""
    place = np.arange(len(rows))[::-1]
    ends: list[float] = []
    for at, row, colour in zip(place, rows, colours(rows).values(), strict=True):
        values = scale * np.array(list(outcome.values(row, figure).values()))
        if not len(values):
            continue
        axes.plot(values, np.full(len(values), at), ".", color=colour, alpha=0.45, markersize=5, zorder=2)
        low, high = t_interval(values) if len(values) > 1 else (values[0], values[0])
        mean = float(values.mean())
        axes.errorbar(mean, at, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3, zorder=3)
        axes.annotate(
            f"{mean:.1f}" if scale == 100 else f"{mean:.3g}",
            (mean, at),
            xytext=(0, 5),
            fontsize=7,
            textcoords="offset points",
            ha="center",
        )
        ends += [low, high, *values]
    axes.set_yticks(place, rows, parse_math=False)
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{figure}{', %' if scale == 100 else ''}: mean, 95 % interval over seeds, and each seed")


def bar_panels(
    outcome: Outcome, panels: Sequence[tuple[str, str, float]], *, width: float, above: float, each: float
) -> Figure:
    """Draw every row's figures as `bars` do, a panel a figure, the rows named at the left.

    Args:
        outcome: what was found.
        panels: of each the figure, its title, and what it is multiplied with.
        width: of the whole, in inches.
        above: height in inches beside that of the rows.
        each: height of a row.
    """
    with style():
        figure, axes = canvas(width, above + each * len(outcome.rows), columns=len(panels))
        for at, (name, title, scale) in zip(axes, panels, strict=True):
            bars(at, outcome, outcome.rows, name, scale=scale)
            at.set_title(title)
        for at in axes[1:]:
            at.set_yticklabels([])
        return figure


def line_panels(outcome: Outcome, panels: Sequence[tuple[str, str, str, float]]) -> Figure:
    """Draw every row's series as `lines` do, a panel a series.

    Args:
        outcome: what was found.
        panels: of each the series, its title, the label of y, and what y is multiplied with.
    """
    with style():
        figure, axes = canvas(10.0, 3.6, columns=len(panels))
        for at, (name, title, label, scale) in zip(axes, panels, strict=True):
            lines(at, outcome, dict.fromkeys(outcome.rows, name), scale=scale)
            at.set_title(title)
            at.set_ylabel(label)
        return figure


def densities(axes: Axes, outcome: Outcome, rows: Sequence[str], letter: str) -> None:
    """Plot the density of relative distances that each row leaves, mean over seeds."""
    for place, row in enumerate(rows):
        curves = outcome.curves(row, DENSITY)
        colour, line = PALETTE[place], LINES[place % len(LINES)]
        axes.plot(curves[0][0], np.mean([y for _, y in curves], axis=0), line, color=colour, label=row)
    axes.set_title(f"{letter}  Relative distances of the test set")
    axes.set_xlabel("D = d(a,p) - d(a,n), cosine distance")
    axes.set_ylabel("density, per unit of D")


def batch_variances(axes: Axes, outcome: Outcome, rows: Sequence[str], letter: str) -> None:
    """Plot how the variance of relative distances in batches is distributed under each row, all seeds together."""
    for place, row in enumerate(rows):
        values = np.concatenate([y for _, y in outcome.curves(row, BATCH_VARIANCE)])
        colour, line = PALETTE[place], LINES[place % len(LINES)]
        axes.hist(values, bins=30, histtype="step", density=True, color=colour, linestyle=line, label=row)
        axes.axvline(float(values.mean()), color=colour, linestyle=line, linewidth=1)
    axes.set_title(f"{letter}  Variance in batches; upright lines: means")
    axes.set_xlabel("variance of D in a batch of 30 x 4")
    axes.set_ylabel("density")


def lines(
    axes: Axes,
    outcome: Outcome,
    series: Mapping[str, str],
    *,
    scale: float = 1.0,
) -> None:
    """Plot series of several rows over steps: the mean over seeds, and a band from the lowest to the highest seed.

    Args:
        axes: where.
        outcome: what was found.
        series: row -> the series' name.
        scale: what y is multiplied with.
    """
    for place, (row, name) in enumerate(series.items()):
        curves = outcome.curves(row, name)
        if not curves:
            continue
        x = curves[0][0]
        y = scale * np.stack([of for at, of in curves if len(at) == len(x)])
        colour, line = PALETTE[place % len(PALETTE)], LINES[place % len(LINES)]
        axes.plot(
            x,
            y.mean(0),
            line,
            color=colour,
            label=row,
            marker=MARKS[place % len(MARKS)],
            markersize=3.5,
            markevery=max(1, len(x) // 10),
        )
        if len(y) > 1:
            axes.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.12, linewidth=0)
    axes.set_xlabel("step; bands from the lowest to the highest seed")
    if axes.get_lines():
        axes.legend(loc="best", fontsize=7)


def against(axes: Axes, curves: Mapping[str, Mapping[int, Mapping[int, float]]], *, scale: float = 1.0) -> None:
    """Plot means over seeds against a number, with their 95 % intervals as bands.

    Args:
        axes: where.
        curves: line's name -> x -> seed -> y.
        scale: what y is multiplied with.
    """
    for place, (name, points) in enumerate(curves.items()):
        there = {x: scale * np.array(list(of.values())) for x, of in sorted(points.items()) if of}
        if not there:
            continue
        x, colour = list(there), PALETTE[place]
        ends = np.array([t_interval(y) if len(y) > 1 else (y[0], y[0]) for y in there.values()])
        axes.plot(x, [y.mean() for y in there.values()], LINES[place], marker=MARKS[place], color=colour, label=name)
        axes.fill_between(x, *ends.T, color=colour, alpha=0.12, linewidth=0)
    if axes.get_lines():
        axes.legend(loc="best", fontsize=7)


def colours(rows: Sequence[str]) -> dict[str, str]:
    """Return a colour for each row."""
    return {row: PALETTE[place % len(PALETTE)] for place, row in enumerate(rows)}


def nothing(axes: Axes) -> None:
    """Say in an empty panel that nothing has been run."""
    axes.text(0.5, 0.5, "not run", ha="center", va="center", transform=axes.transAxes, color=INK)
