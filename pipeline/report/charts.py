"""Charts as SVG that needs no script, with labels that stay legible at any width.

    chart = histogram(tally, "shorter side", "px", scale="log", rules=[Rule(64, "≥ 64")])

The drawing is stretched to the width that the page gives it. Ticks and rules are given in per cent, so that the page
sets their labels as text of its own size. Dropped pairs stand on top of the kept ones. Each bar shows its numbers when
the pointer is on it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from ..format_numbers import compact, number
from .axis import Rule, Scale, Ticks, axis_of
from .tally import Counts, Tally


@dataclass(frozen=True)
class Chart:
    title: str
    words: list[str]  # what it shows, in a few words each
    svg: Markup
    across: Ticks  # from the left
    up: Ticks  # from the bottom
    marks: Ticks  # rules, from the left
    unit: str
    keys: list[str] = field(default_factory=list)  # of a chart of lines: the colour that each of `words` is about


def histogram(
    tally: Tally, title: str, unit: str, scale: Scale, rules: list[Rule], shown: Callable[[float], str] = number
) -> Chart | None:
    """Kept and dropped pairs by a measured value; None when nothing was measured."""
    values, counts = tally.counted()
    if not counts.sum():
        return None
    axis = axis_of(tally, scale, rules, shown)
    edges = axis.edges
    bar = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    heights = np.zeros((len(edges) - 1, 2), np.int64)
    np.add.at(heights, bar, counts)
    return Chart(
        title=title,
        words=_summary(tally, rules, shown, unit),
        svg=_bars(heights, [axis.position(edge) for edge in edges], axis.names, ("dropped", "kept")),
        across=axis.ticks(),
        up=_up(int(heights.sum(axis=1).max())),
        marks=[(axis.position(rule.value), rule.label) for rule in rules if edges[0] <= rule.value <= edges[-1]],
        unit=unit,
    )


def columns(
    counts: NDArray[np.int64], names: list[str], title: str, words: list[str], across: Ticks, unit: str
) -> Chart:
    """A bar for each of n counts of pairs, equally wide; `across` are the labels below them."""
    heights = np.column_stack([counts, np.zeros_like(counts)])
    svg = _bars(heights, np.linspace(0, 100, len(counts) + 1).tolist(), names, ("pairs", ""))
    return Chart(title, words, svg, across, _up(int(counts.max())), [], unit)


def timeline(heights: Counts, names: list[str], title: str, words: list[str]) -> Chart:
    """A bar for each of n spans of time; `heights` (n, 2) are failed and fetched."""
    edges = np.linspace(0, 100, len(names) + 1).tolist()
    step = math.ceil(len(names) / 4)
    across = [(edges[bar], names[bar]) for bar in range(0, len(names), step) if edges[bar] < 90]
    svg = _bars(heights, edges, names, ("failed", "fetched"))
    return Chart(title, words, svg, across, _up(int(heights.sum(axis=1).max())), [], "UTC")


def _summary(tally: Tally, rules: list[Rule], shown: Callable[[float], str], unit: str) -> list[str]:
    median, of_kept = tally.quantile(0.5), tally.quantile(0.5, kept_only=True)
    assert median is not None
    words = [f"median {shown(median)} {unit}".strip()]
    if of_kept is not None and shown(of_kept) != shown(median):
        words.append(f"of the kept {shown(of_kept)}")
    return words + ([f"rule: {', '.join(rule.label for rule in rules)}"] if rules else [])


def _up(most: int) -> Ticks:
    """One line across: the largest of 1, 2, 5, 10, … that a bar reaches."""
    size = 10 ** (len(str(most)) - 1)
    tick = max(step * size for step in (1, 2, 5) if step * size <= most)
    return [(100 * tick / most, compact(tick))]


def _bars(heights: Counts, edges: list[float], names: list[str], counted: tuple[str, str]) -> Markup:
    """A group for each bar that is not empty. `heights` (n, 2) are dropped and kept, or what `counted` names.

    `edges` are those of the n bars, in per cent from the left.
    """
    top = int(heights.sum(axis=1).max())
    parts = ['<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">']
    for (dropped, kept), left, right, name in zip(heights.tolist(), edges[:-1], edges[1:], names, strict=True):
        if not dropped + kept:
            continue
        words = ", ".join(f"{count:,} {word}" for count, word in ((kept, counted[1]), (dropped, counted[0])) if word)
        parts.append(f"<g><title>{escape(name)}: {words}</title>")
        bottom = 100.0
        for kind, count in (("kept", kept), ("dropped", dropped)):
            if count:
                height = max(100 * count / top, 0.8)  # one pair of a million still shows
                gap = 0.1 * (right - left)
                bottom = max(bottom - height, 0.0)
                parts.append(
                    f'<rect class="{kind}" x="{left + gap / 2:.2f}" y="{bottom:.2f}" '
                    f'width="{right - left - gap:.2f}" height="{height:.2f}"/>'
                )
        parts.append("</g>")
    return Markup("".join([*parts, "</svg>"]))
