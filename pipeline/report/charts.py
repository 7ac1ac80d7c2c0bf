"""Charts as SVG that needs no script, with words around it that stay legible at any width.

    chart = histogram(tally, "shorter side", "px", axis="log", rules=[Rule(64, "≥ 64")])

The drawing is stretched to the width of its place; ticks and marks are given in per cent, so that the page sets them
as text of its own size. Dropped pairs stand on the kept ones; each bar says its numbers when it is pointed at.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from ..format_numbers import compact, number
from .tally import Counts, Floats, Tally

Axis = Literal["log", "symmetric", "linear"]  # symmetric: of ratios, with 1 : 1 in the middle
Ticks = list[tuple[float, str]]  # per cent, label

_BARS = 40
_TAIL = 0.001  # of the pairs at either end stand in the outermost bars
_CHARACTER, _SPACE = 3.4, 4.0  # per cent of the width that a character of a label takes, and that two keep apart


@dataclass(frozen=True)
class Rule:
    value: float
    label: str  # "≥ 64 px"


@dataclass(frozen=True)
class Chart:
    title: str
    words: list[str]  # what it shows, in a few words each
    svg: Markup
    across: Ticks  # from the left
    up: Ticks  # from the bottom
    marks: Ticks  # rules, from the left
    unit: str


def histogram(
    tally: Tally, title: str, unit: str, axis: Axis, rules: list[Rule], shown: Callable[[float], str] = number
) -> Chart | None:
    """None when nothing was measured."""
    values, counts = tally.counted()
    if not counts.sum():
        return None
    is_whole = axis != "symmetric" and bool(np.all(values == np.round(values)))
    edges = _edges(tally, axis, rules, is_whole)
    scale = (lambda value: value) if axis == "linear" else np.log
    first, last = scale(edges[0]), scale(edges[-1])

    def across(value: float) -> float:
        return float(100 * (scale(value) - first) / (last - first))

    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    heights = np.zeros((len(edges) - 1, 2), np.int64)
    np.add.at(heights, place, counts)
    return Chart(
        title=title,
        words=_words(tally, rules, shown, unit),
        svg=_bars(heights, [across(edge) for edge in edges], _names(edges, is_whole, shown), ("dropped", "kept")),
        across=_ticks(edges, axis, is_whole, across, shown),
        up=_up(int(heights.sum(axis=1).max())),
        marks=[(across(rule.value), rule.label) for rule in rules if edges[0] <= rule.value <= edges[-1]],
        unit=unit,
    )


def columns(
    counts: NDArray[np.int64], names: list[str], title: str, words: list[str], across: Ticks, unit: str
) -> Chart:
    """A bar for each of n counts of pairs, equally wide; `across` says which places are labelled."""
    heights = np.column_stack([counts, np.zeros_like(counts)])
    svg = _bars(heights, np.linspace(0, 100, len(counts) + 1).tolist(), names, ("pairs", ""))
    return Chart(title, words, svg, across, _up(int(counts.max())), [], unit)


def timeline(heights: Counts, names: list[str], title: str, words: list[str]) -> Chart:
    """A bar for each of n spans of time; `heights` (n, 2) are failed and fetched."""
    places = np.linspace(0, 100, len(names) + 1).tolist()
    step = math.ceil(len(names) / 4)
    across = [(places[place], names[place]) for place in range(0, len(names), step) if places[place] < 90]
    svg = _bars(heights, places, names, ("failed", "fetched"))
    return Chart(title, words, svg, across, _up(int(heights.sum(axis=1).max())), [], "UTC")


def nice(value: float, least: float = 0.0) -> float:
    """The next of 1, 2, 5, 10, … that is not less."""
    value = max(value, least, 1e-9)
    size = 10.0 ** math.floor(math.log10(value))
    return next((step * size for step in (1, 2, 5) if step * size >= value), 10 * size)


def _words(tally: Tally, rules: list[Rule], shown: Callable[[float], str], unit: str) -> list[str]:
    median, of_kept = tally.quantile(0.5), tally.quantile(0.5, kept_only=True)
    assert median is not None
    words = [f"median {shown(median)} {unit}".strip()]
    if of_kept is not None and shown(of_kept) != shown(median):
        words.append(f"of the kept {shown(of_kept)}")
    return words + ([f"rule: {', '.join(rule.label for rule in rules)}"] if rules else [])


def _edges(tally: Tally, axis: Axis, rules: list[Rule], is_whole: bool) -> Floats:
    """The edges of the bars, wide enough for a rule that lies near what was measured."""
    values, _ = tally.counted()
    low, high = tally.quantile(_TAIL), tally.quantile(1 - _TAIL)
    assert low is not None and high is not None
    if axis == "symmetric":
        most = max(high, 1 / low)
        most = 1.1 * max([2.0, most, *(rule.value for rule in rules if rule.value < 3 * most)])
        edges: Floats = np.geomspace(1 / most, most, _BARS + 2)  # an odd number of bars: 1 : 1 is the middle of one
        return edges
    if axis == "log":
        low = max(low, float(values[values > 0].min(initial=1.0)))
        near = [rule.value for rule in rules if low / 8 < rule.value < 8 * high]
        low, high = min([low, *near]) / 1.15, 1.15 * max([high, *near])
        edges = np.geomspace(low, max(high, 2 * low), _BARS + 1)
        return np.unique(np.floor(edges) + 0.5) if is_whole else edges  # a whole number lies within a bar
    usual = tally.quantile(0.95)
    assert usual is not None
    high = max(min(high, low + 3 * (usual - low)), usual)  # one caption of 9,000 characters must not flatten the others
    width = max(high - low, 1.0)
    near = [rule.value for rule in rules if low - 2 * width < rule.value < high + 2 * width]
    low, high = min([low, *near]), max([high, *near])
    step = nice((high - low) / _BARS, least=1.0 if is_whole else 0.001)
    shift = 0.5 if is_whole else 0.0
    steps: Floats = np.arange(math.floor(low / step), math.floor(high / step) + 2, dtype=np.float64)
    return steps * step - shift


def _names(edges: Floats, is_whole: bool, shown: Callable[[float], str]) -> list[str]:
    """What each bar holds, in words."""
    if not is_whole:
        return [f"{shown(low)} – {shown(high)}" for low, high in pairwise(edges.tolist())]
    lows, highs = np.ceil(edges[:-1]).tolist(), np.floor(edges[1:]).tolist()
    return [
        shown(low) if low == high else f"{shown(low)} – {shown(high)}" for low, high in zip(lows, highs, strict=True)
    ]


def _ticks(
    edges: Floats, axis: Axis, is_whole: bool, across: Callable[[float], float], shown: Callable[[float], str]
) -> Ticks:
    """The most labels that do not touch one another."""
    label = (lambda value: compact(value) if value >= 1000 else number(value)) if shown is number else shown
    for values in _tick_values(float(edges[0]), float(edges[-1]), axis):
        within = [value for value in values if edges[0] <= value <= edges[-1] and (value >= 1 or not is_whole)]
        ticks = [(across(value), label(value)) for value in within]
        if all(b[0] - a[0] > _SPACE + _CHARACTER * (len(a[1]) + len(b[1])) / 2 for a, b in pairwise(ticks)):
            return ticks
    return ticks[:: math.ceil(len(ticks) / 4)]


def _tick_values(low: float, high: float, axis: Axis) -> Iterator[list[float]]:
    """Many, fewer, few."""
    if axis == "symmetric":
        yield from ([1 / far, 1.0, far] for far in (2.0, 5.0, 20.0, 100.0))
    elif axis == "linear":
        for count in (8, 5, 3):
            step = nice((high - low) / count)
            yield [float(place * step) for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
    else:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            yield [step * 10.0**decade for decade in decades for step in steps]
        yield [10.0**decade for decade in decades if decade % 2 == 0]


def _up(most: int) -> Ticks:
    """One line across: the highest of 1, 2, 5, 10, … that a bar reaches."""
    size = 10 ** (len(str(most)) - 1)
    tick = max(step * size for step in (1, 2, 5) if step * size <= most)
    return [(100 * tick / most, compact(tick))]


def _bars(heights: Counts, places: list[float], names: list[str], counted: tuple[str, str]) -> Markup:
    """A group for each bar that is not empty; `heights` (n, 2) are of what `counted` names, `places` of n + 1 edges."""
    top = int(heights.sum(axis=1).max())
    parts = ['<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">']
    for (gone, kept), left, right, name in zip(heights.tolist(), places[:-1], places[1:], names, strict=True):
        if not gone + kept:
            continue
        said = ", ".join(f"{count:,} {word}" for count, word in ((kept, counted[1]), (gone, counted[0])) if word)
        parts.append(f"<g><title>{escape(name)}: {said}</title>")
        bottom = 100.0
        for kind, count in (("kept", kept), ("gone", gone)):
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
