"""Figures as inline SVG in the page's own colours and fonts, so that they follow dark mode.

matplotlib draws with stand-in colours; each is then replaced by a CSS variable of the page. Figures
are drawn at a phone's width, so that their text stays readable without scaling. Each function
returns "" where there is nothing to draw.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ucoder.analysis.figures import PAPER_MEAN_BITS, Quality, perplexity_groups
from ucoder.analysis.numbers import describe
from ucoder.analysis.solution_space import Iteration
from ucoder.analysis.summary import Targets
from ucoder.report.words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_INK, _MUTED, _GRID = "#0a0b0c", "#7a7b7c", "#dadbdc"
_MAIN, _OTHER = "#1a5b9c", "#c85b1a"
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--grid)",
    _MAIN: "var(--main)",
    _OTHER: "var(--other)",
}
_WIDTH_IN = 5.2
MAX_POINTS = 1500
_PAPER_PERPLEXITY = 1.05
"""Figure 6: success above 80% sits below this perplexity."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "figure.constrained_layout.use": True,
    "font.family": "sans-serif", "font.size": 10, "text.color": _INK, "legend.frameon": False,
    "axes.edgecolor": _MUTED, "axes.labelcolor": _INK, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "grid.color": _GRID, "grid.linewidth": 0.8,
    "xtick.color": _MUTED, "xtick.labelcolor": _INK, "xtick.major.size": 3,
    "ytick.color": _MUTED, "ytick.labelcolor": _INK, "ytick.major.size": 0,
}  # fmt: skip


def success_by_perplexity(points: Sequence[Quality]) -> str:
    """Execution success against perplexity: candidates as dots, quartiles as means (figure 6)."""
    if not points:
        return ""
    ordered = sorted(points, key=lambda point: point.perplexity)
    step = math.ceil(len(ordered) / MAX_POINTS)
    thinned = ordered[::step]
    with _figure(3.3, "success") as (figure, axes):
        # A few completions of high perplexity would squeeze all others against the axis.
        right = ordered[min(len(ordered) - 1, int(0.98 * len(ordered)))].perplexity
        axes.scatter(
            [point.perplexity for point in thinned],
            [point.success for point in thinned],
            s=14, color=_MAIN, alpha=0.22, linewidths=0, clip_on=True,
        )  # fmt: skip
        quartiles = perplexity_groups(points)
        axes.plot(
            [group.perplexity for group in quartiles],
            [group.success for group in quartiles],
            "o-", color=_OTHER, linewidth=1.8, markersize=6, label="mean of a quartile",
        )  # fmt: skip
        margin = 0.04 * max(right - 1.0, 0.02)
        axes.set_xlim(1.0 - margin, max(right, quartiles[-1].perplexity) + 2 * margin)
        axes.set_ylim(-0.04, 1.06)
        if axes.get_xlim()[1] > _PAPER_PERPLEXITY:
            axes.axvline(_PAPER_PERPLEXITY, color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
            axes.text(
                _PAPER_PERPLEXITY, 0.02, " paper: 1.05", color=_MUTED, fontsize=9, va="bottom"
            )
        axes.set_xlabel("perplexity f(r) of a candidate")
        axes.set_ylabel("execution success e(r)")
        axes.yaxis.set_major_formatter(lambda value, _: percent(value))
        axes.grid(axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.99), fontsize=9, borderaxespad=0.1)
        return _svg(figure, "Execution success against perplexity")


def entropy_histogram(values: Sequence[float]) -> str:
    """Lexical entropy of the accepted problems, beside the paper's mean (figure 4)."""
    sample = [value for value in values if math.isfinite(value)]
    if not sample:
        return ""
    with _figure(2.9, "entropy") as (figure, axes):
        low, high = min(*sample, PAPER_MEAN_BITS), max(*sample, PAPER_MEAN_BITS)
        edges = [math.floor(low * 4) / 4]
        while edges[-1] <= high:
            edges.append(edges[-1] + 0.25)
        axes.hist(sample, bins=edges, color=_MAIN, alpha=0.75, rwidth=0.92)
        _whole_numbers(axes, room=1.28)
        mean = describe(sample).mean
        # The labels point away from each other, whichever of the two lines is on the left.
        for value, text, color, left in (
            (mean, f"this run: {mean:.2f}", _INK, mean < PAPER_MEAN_BITS),
            (PAPER_MEAN_BITS, "paper: 3.64", _OTHER, mean >= PAPER_MEAN_BITS),
        ):
            _mark(axes, value, text, color, left)
        axes.set_xlim(edges[0] - 0.6, edges[-1] + 0.6)
        axes.set_xlabel("lexical entropy of a problem, bits")
        axes.set_ylabel("problems")
        return _svg(figure, "Lexical entropy of the accepted problems")


def largest_clusters(iteration: Iteration | None, targets: Targets) -> str:
    """The size of each problem's largest cluster, and of which problems a program was selected."""
    if iteration is None or not iteration.largest_clusters:
        return ""
    sizes, selected = iteration.largest_clusters, iteration.largest_of_selected
    with _figure(2.9, "clusters") as (figure, axes):
        width = max(1, math.ceil((max(sizes) + 1) / 24))  # 128 candidates: bars of a few sizes
        below: dict[int, int] = {}
        for label, color in (("not selected", _MUTED), ("selected", _MAIN)):
            heights = dict.fromkeys((size // width for size in sizes), 0)
            for size, count in sizes.items():
                n_selected = selected.get(size, 0)
                n = n_selected if label == "selected" else count - n_selected
                heights[size // width] += n
            axes.bar(
                [at * width + (width - 1) / 2 for at in heights],
                list(heights.values()),
                width=0.86 * width,
                bottom=[below.get(at, 0) for at in heights],
                color=color,
                alpha=0.8,
                label=label,
            )
            below = heights
        _whole_numbers(axes, room=1.28)
        axes.legend(loc="upper left", ncols=2, fontsize=9)
        axes.set_xlim(-0.7 * width, max(sizes) + 0.9 * width)
        _at_whole_numbers(axes.xaxis)
        axes.set_xlabel(f"candidates in the largest cluster, of {targets.candidates} sampled")
        axes.set_ylabel("problems")
        return _svg(figure, "Size of the largest cluster by problem")


def _mark(axes: Axes, value: float, text: str, color: str, left: bool) -> None:
    """A dashed upright line with a label on its left or right."""
    axes.axvline(value, color=color, linewidth=1.4, linestyle=(0, (4, 2)))
    axes.annotate(
        text, (value, 1), (-4 if left else 4, -2), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right" if left else "left", va="top",
        color=color, fontsize=9,
    )  # fmt: skip


def _whole_numbers(axes: Axes, room: float) -> None:
    """Counts on the upright axis: whole, from 0, with room above the bars for labels."""
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1] / 1.05) * room)
    _at_whole_numbers(axes.yaxis)
    axes.grid(axis="y")


def _at_whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, integer=True))


@contextmanager
def _figure(height_in: float, salt: str) -> Iterator[tuple[Figure, Axes]]:
    """A figure outside pyplot: no global state, no window, no backend to choose."""
    import matplotlib  # `render` has checked that it is installed
    from matplotlib.figure import Figure

    # The salt keeps the ids inside one SVG apart from those of the others on the page.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": f"ucoder-{salt}"}):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        axes = figure.add_subplot()
        yield figure, axes


def _svg(figure: Figure, label: str) -> str:
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # HTML needs neither namespace, and the page names no address at all.
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans)", text)
    # Ids of paths are hashed; those of groups repeat in every figure, and are unused.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    return re.sub(r"<svg[^>]*>", head, text, count=1)
