"""The figures of the studies: curves over sizes, one measure against another, selectors.

Figures are made outside pyplot: no window, no global state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from ucoder.consensus.selectors import SELECTORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

INK, MUTED, GRID = "#0a0b0c", "#7a7b7c", "#dadbdc"
COLORS: Final = ("#1a5b9c", "#c85b1a", "#2e8b57", "#8a4fa3", "#b8860b", "#c2417a", "#4a9fb5",
                 "#6b4e3d", "#5f6f1f", "#333c8c", "#9c1a2b", "#708090")  # fmt: skip
MARKERS: Final = "osD^vPX<>ph*"
"""Beside the colours, for readers who cannot tell these apart."""

_DASHED: Final = (0, (4, 2))
_STYLE: Final[Mapping[str, Any]] = {
    "text.parse_math": False, "font.family": "sans-serif", "font.size": 10, "text.color": INK,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True, "axes.grid": True,
    "grid.color": GRID, "grid.linewidth": 0.8, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "legend.frameon": False,
    "figure.constrained_layout.use": True, "svg.hashsalt": "ucoder",
}  # fmt: skip


def styled() -> AbstractContextManager[None]:
    """The look of every figure, within the block that makes and saves it."""
    import matplotlib

    context: AbstractContextManager[None] = matplotlib.rc_context(dict(_STYLE))
    return context


def curves(
    table: DataFrame,
    x: str,
    x_label: str,
    panels: Mapping[str, str],
    *,
    counts: bool = False,
    level: float | None = None,
) -> Figure:
    """One line a selector over the column x, with its interval as a band.

    Each of `panels` is a column with its label; one without a known value is left out. `counts`
    says that x are counts that double rather than shares; `level` draws a dashed line in the last
    panel.
    """
    shown = {column: label for column, label in panels.items() if table[f"{column}_n"].sum()}
    figure = _figure(5.0 * max(1, len(shown)), 3.9)
    for at, (column, label) in enumerate(shown.items()):
        axes = figure.add_subplot(1, len(shown), at + 1)
        for selector, rows in _by_selector(table.dropna(subset=[column])):
            color, marker = look_of(selector)
            axes.plot(rows[x], rows[column], color=color, linewidth=1.8, marker=marker,
                      markersize=4.5, label=selector)  # fmt: skip
            axes.fill_between(rows[x], rows[f"{column}_low"], rows[f"{column}_high"], color=color,
                              alpha=0.10, linewidth=0)  # fmt: skip
        _label(axes, x_label, label)
        if counts:
            _count_axis(axes, sorted(table[x].unique()))
        if level is not None and at == len(shown) - 1:
            axes.axhline(level, color=MUTED, linewidth=1.2, linestyle=_DASHED)
        if at == 0:
            axes.legend(fontsize=9)
    return figure


def tradeoff(
    table: DataFrame,
    x: str,
    x_label: str,
    y: str,
    y_label: str,
    *,
    note: str | None = None,
    diagonal: bool = False,
) -> Figure:
    """One share against another, a joined series of points a selector, y with its interval.

    `note` is the column of what is written beside each point; `diagonal` draws the line on which
    both shares are equal.
    """
    figure = _figure(5.6, 4.3)
    axes = figure.add_subplot()
    if diagonal:
        axes.plot([0, 1], [0, 1], color=GRID, linewidth=1.5)
    for selector, rows in _by_selector(table):
        color, marker = look_of(selector)
        axes.vlines(rows[x], rows[f"{y}_low"], rows[f"{y}_high"], color=color, alpha=0.4)
        axes.plot(rows[x], rows[y], color=color, linewidth=1.4, marker=marker, markersize=5,
                  label=selector)  # fmt: skip
        for row in rows.to_dict("records") if note else ():
            axes.annotate(f"{row[note]:g}", (row[x], row[y]), (3, 4), fontsize=7, color=color,
                          textcoords="offset points")  # fmt: skip
    _label(axes, x_label, y_label)
    axes.legend(fontsize=9)
    return figure


def selector_rows(
    tables: Mapping[str, DataFrame], column: str, label: str, lines: Mapping[str, float]
) -> Figure:
    """One row a selector, with a point and its interval for each table; `lines` stand upright."""
    names = list(next(iter(tables.values()))["selector"])
    figure = _figure(6.4, 1.6 + 0.36 * len(names))
    axes = figure.add_subplot()
    for at, (title, rows) in enumerate(tables.items()):
        heights = [names.index(name) + 0.28 * at - 0.14 for name in rows["selector"]]
        axes.hlines(heights, rows[f"{column}_low"], rows[f"{column}_high"], color=COLORS[at],
                    alpha=0.5, linewidth=2)  # fmt: skip
        axes.plot(rows[column], heights, MARKERS[at], color=COLORS[at], markersize=6, label=title)
    for name, value in lines.items():
        axes.axvline(value, color=MUTED, linewidth=1.2, linestyle=_DASHED)
        axes.annotate(f"{name} {100 * value:.1f}%", (value, 1), (0, 3), ha="center", fontsize=9,
                      xycoords=("data", "axes fraction"), textcoords="offset points",
                      color=MUTED)  # fmt: skip
    _label(axes, label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def look_of(selector: str) -> tuple[str, str]:
    """A selector's colour and marker: the same in every figure."""
    at = list(SELECTORS).index(selector)
    return COLORS[at % len(COLORS)], MARKERS[at % len(MARKERS)]


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in))


def _by_selector(table: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    for selector, rows in table.groupby("selector", sort=False):
        yield str(selector), rows


def _label(axes: Axes, x_label: str, y_label: str = "") -> None:
    """Name the axes, and write shares in percent."""
    axes.set(xlabel=x_label, ylabel=y_label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")


def _count_axis(axes: Axes, values: list[int]) -> None:
    """A logarithmic axis with each value written out where there is room."""
    axes.set_xscale("log")
    after = [*values[1:], math.inf]
    labels = [str(value) if 1.4 * value < n else "" for value, n in zip(values, after, strict=True)]
    axes.set_xticks(values, labels)
    axes.set_xticks([], minor=True)
