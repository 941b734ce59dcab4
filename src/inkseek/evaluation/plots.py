"""Plots as SVG to stand in a page: they take the page's own colours, in light and in dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inkseek.images.preprocessing import Domain
from inkseek.metrics.variance import RelativeDistances

# The colours of the page by day. In an SVG each is replaced by the variable of the page's style sheet.
INK, RULE, BEFORE, AFTER = "#1d2126", "#dcdfe4", "#b3700a", "#0b62ad"
_VARIABLES = {INK: "var(--ink)", RULE: "var(--rule)", BEFORE: "var(--before)", AFTER: "var(--after)"}

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "svg.fonttype": "none",  # text stays text: it is found, read aloud and set in the page's font
    "svg.hashsalt": "inkseek",  # the same figures give the same bytes
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


_MOST_BARS = 60


def curve(steps: Sequence[float], values: Sequence[float], name: str, *, validation: bool = False) -> str:
    """Plot one logged figure over training steps; a validation figure shows its points and its best one."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(3.7, 2.3)
        x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
        if validation:
            best = int(np.argmax(y))
            axes.plot(x, y, color=AFTER, marker="o", markersize=3.5)
            axes.plot(x[best], y[best], "o", color=AFTER, markersize=9, fillstyle="none")
            name = f"{name}, best {y[best]:.3f} at step {x[best]:.0f}"
        else:
            smooth = len(y) > 30
            axes.plot(x, y, color=AFTER, alpha=0.3 if smooth else 1.0, linewidth=1.0 if smooth else 1.8)
            if smooth:
                axes.plot(x, _running_mean(y, len(y) // 15), color=AFTER)
        axes.set_title(name, parse_math=False)
        axes.set_xlabel("step")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return _svg(figure, f"{name} over training steps")


def densities(before: RelativeDistances | None, after: RelativeDistances) -> str:
    """Plot the distribution of relative distances, as in Fig. 2a and 4b of the RDVC paper."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(5.6, 2.9)
        shown = [(after, "after" if before else "", AFTER, "-")]
        if before is not None:
            shown.insert(0, (before, "before", BEFORE, "--"))
        # The last thousandth on either side would press the rest together.
        ends = [np.quantile(d.sample, (0.001, 0.999)) for d, *_ in shown]
        low, high = min(0.0, *(e[0] for e in ends)), max(0.0, *(e[1] for e in ends))
        for d, name, color, line in shown:
            x, y = density(d.sample, low, high)
            label = f"{name}: " if name else ""
            axes.plot(x, y, line, color=color, label=f"{label}mean {d.mean:.3f}, variance {d.variance:.4f}")
            axes.fill_between(x, y, color=color, alpha=0.12, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        axes.annotate(
            " positive farther than negative →",
            (0, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
        )
        axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.22)
        distance = {"cosine": "cosine distance", "sqeuclidean": "squared Euclidean distance"}[after.distance]
        axes.set_xlabel(f"relative distance D = d(a,p) - d(a,n), {distance}")
        axes.set_ylabel("density, per unit of D")
        axes.legend(loc="upper left")
        return _svg(figure, "distribution of relative distances")


def class_bars(before: Mapping[str, float] | None, after: Mapping[str, float], metric: str) -> str:
    """Plot a metric of each class as bars, best class after training on top, as in Fig. 5 of the RDVC paper."""
    with mpl.rc_context(STYLE):
        return _svg(class_figure(before, after, metric), f"{metric} of each class")


def class_figure(before: Mapping[str, float] | None, after: Mapping[str, float], metric: str) -> Figure:
    """Draw what `class_bars` puts into a page."""
    with mpl.rc_context(STYLE):
        names = sorted(after, key=after.__getitem__)
        of_how_many = ""
        if len(names) > _MOST_BARS:
            half = _MOST_BARS // 2
            of_how_many = f"; the {half} best and the {half} worst of {len(names)} classes"
            names = names[:half] + names[-half:]
        figure, axes = _figure(5.6, 0.8 + (0.3 if before else 0.2) * len(names))
        place = np.arange(len(names))
        height = 0.38 if before else 0.66
        values = [after[n] for n in names]
        axes.barh(place + (height / 2 if before else 0), values, height, color=AFTER, label="after (upper bar)")
        if before:
            values = [before.get(n, np.nan) for n in names]
            axes.barh(place - height / 2, values, height, color=BEFORE, label="before (lower bar)")
            axes.legend(loc="lower right")
        for y, name in zip(place, names, strict=True):
            axes.annotate(
                f"{after[name]:.2f}",
                (after[name], y + (height / 2 if before else 0)),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
        axes.set_yticks(place, names, parse_math=False)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(0, min(1.0, 1.15 * max(0.05, *after.values(), *(before or {}).values())))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{metric}, mean over the class's queries{of_how_many}")
        return figure


def class_margins(margins: Mapping[Domain, Mapping[str, npt.NDArray[np.float32]]]) -> str:
    """Plot the learned margins of each class: their mean, and from the 10th to the 90th percentile.

    Args:
        margins: domain -> class -> a margin for each item.
    """
    with mpl.rc_context(STYLE):
        every = {name for of in margins.values() for name in of}
        mean = {name: np.mean([of[name].mean() for of in margins.values() if name in of]) for name in every}
        names = sorted(mean, key=lambda name: (mean[name], name))
        of_how_many = ""
        if len(names) > _MOST_BARS:
            half = _MOST_BARS // 2
            of_how_many = f"; the {half} smallest and the {half} largest of {len(names)} classes"
            names = names[:half] + names[-half:]
        figure, axes = _figure(5.6, 0.8 + 0.25 * len(names))
        offsets = np.linspace(0.14, -0.14, len(margins)) if len(margins) > 1 else [0.0]
        for (domain, of), mark, colour, offset in zip(margins.items(), "os", (AFTER, BEFORE), offsets, strict=False):
            for place, name in enumerate(names):
                if name in of:
                    low, high = np.percentile(of[name], (10, 90))
                    axes.plot([low, high], [place + offset] * 2, color=colour, linewidth=1.4)
                    label = f"{domain}es" if domain == "sketch" else f"{domain}s"
                    known = label in axes.get_legend_handles_labels()[1]
                    at = (float(of[name].mean()), place + offset)
                    axes.plot(*at, mark, color=colour, markersize=4.5, label=None if known else label)
        axes.legend(loc="lower right")
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"learned margin, Euclidean: mean, and 10th to 90th percentile{of_how_many}")
        return _svg(figure, "learned margin of each class")


def density(
    sample: npt.NDArray[np.float64], low: float, high: float, points: int = 512
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Estimate a density with Gaussian kernels of Silverman's width: a fine histogram, smoothed."""
    spread = float(sample.std())
    width = 0.9 * spread * len(sample) ** -0.2 if spread > 0 else 0.0
    pad = max(3 * width, 0.05 * (high - low), 1e-3)
    counts, edges = np.histogram(sample, bins=points, range=(low - pad, high + pad))
    step = edges[1] - edges[0]
    reach = max(1, int(np.ceil(4 * width / step)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / max(width, step / 2)) ** 2)
    smooth = np.convolve(counts / (len(sample) * step), kernel / kernel.sum(), mode="same")[:points]
    return (edges[:-1] + edges[1:]) / 2, smooth


def _running_mean(values: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """Average over `reach` values on either side, over fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    left, right = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return np.asarray((total[right] - total[left]) / (right - left))


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def _svg(figure: Figure, what: str) -> str:
    """Return the SVG element alone: no prologue, no metadata, colours as variables, as wide as its place."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", svg)  # ids that several plots of one page would share
    svg = re.sub(r"font(-family)?: ([^;\"]*?)'?DejaVu Sans'?[^;\"]*", lambda m: f"font{m[1] or ''}: {m[2]}inherit", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    return re.sub(
        r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf'<svg \1 role="img" aria-label="{escape(what)}">', svg, count=1
    )
