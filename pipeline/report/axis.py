"""The horizontal axis of a histogram: the edges of its bars, their names, and the labels below them.

axis = axis_of(tally, "log", rules, number)
axis.edges, axis.names, axis.position(200.0), axis.ticks()
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ..format_numbers import compact, number
from .tally import Floats, Tally

Scale = Literal["log", "symmetric", "linear"]  # symmetric: of ratios, with 1 : 1 in the middle
Ticks = list[tuple[float, str]]  # per cent of the axis, label

_BARS = 40
_TAIL = 0.001  # share of the pairs at either end that the outermost bars collect
_CHARACTER, _SPACE = 3.4, 4.0  # per cent of the width: a character of a label, and the space between two labels


@dataclass(frozen=True)
class Rule:
    """A limit of the recipe, drawn as a line."""

    value: float
    label: str  # "≥ 64 px"


@dataclass(frozen=True)
class Axis:
    scale: Scale
    edges: Floats  # (n + 1,) of n bars
    is_whole: bool  # every value is a whole number
    shown: Callable[[float], str]

    def position(self, value: float) -> float:
        """Per cent from the left."""
        if self.scale == "linear":
            first, last, at = self.edges[0], self.edges[-1], value
        else:
            first, last, at = np.log(self.edges[0]), np.log(self.edges[-1]), np.log(value)
        return float(100 * (at - first) / (last - first))

    @property
    def names(self) -> list[str]:
        """The range of values of each bar, as text."""
        ranges = list(pairwise(self.edges.tolist()))
        if self.is_whole:
            ranges = [(math.ceil(low), math.floor(high)) for low, high in ranges]
        return [self.shown(low) if low == high else f"{self.shown(low)} – {self.shown(high)}" for low, high in ranges]

    def ticks(self) -> Ticks:
        """As many labels as fit without touching one another."""
        label = _short_number if self.shown is number else self.shown
        ticks: Ticks = []
        for values in _tick_values(float(self.edges[0]), float(self.edges[-1]), self.scale):
            inside = [value for value in values if self.edges[0] <= value <= self.edges[-1]]
            ticks = [(self.position(value), label(value)) for value in inside if value % 1 == 0 or not self.is_whole]
            if all(b[0] - a[0] > _SPACE + _CHARACTER * (len(a[1]) + len(b[1])) / 2 for a, b in pairwise(ticks)):
                return ticks
        return ticks[:: math.ceil(len(ticks) / 4)]


def axis_of(tally: Tally, scale: Scale, rules: list[Rule], shown: Callable[[float], str]) -> Axis:
    """The axis for the values of a tally that is not empty, wide enough for the rules that lie near them."""
    values, _ = tally.counted()
    is_whole = scale != "symmetric" and bool(np.all(values == np.round(values)))
    if scale == "symmetric":
        edges = _symmetric_edges(tally, rules)
    elif scale == "log":
        edges = _log_edges(tally, rules, is_whole)
    else:
        edges = _linear_edges(tally, rules, is_whole)
    return Axis(scale, edges, is_whole, shown)


def nice(value: float, least: float = 0.0) -> float:
    """The smallest of 1, 2, 5, 10, … that is not less."""
    value = max(value, least, 1e-9)
    size = 10.0 ** math.floor(math.log10(value))
    return next((step * size for step in (1, 2, 5) if step * size >= value), 10 * size)


def _range(tally: Tally) -> tuple[float, float]:
    low, high = tally.quantile(_TAIL), tally.quantile(1 - _TAIL)
    assert low is not None and high is not None
    return low, high


def _symmetric_edges(tally: Tally, rules: list[Rule]) -> Floats:
    low, high = _range(tally)
    most = max(high, 1 / low)
    most = 1.1 * max([2.0, most, *(rule.value for rule in rules if rule.value < 3 * most)])
    edges: Floats = np.geomspace(1 / most, most, _BARS + 2)  # an odd number of bars: 1 : 1 is the middle of one
    return edges


def _log_edges(tally: Tally, rules: list[Rule], is_whole: bool) -> Floats:
    values, _ = tally.counted()
    low, high = _range(tally)
    low = max(low, float(values[values > 0].min(initial=1.0)))
    near = [rule.value for rule in rules if low / 8 < rule.value < 8 * high]
    low, high = min([low, *near]) / 1.15, 1.15 * max([high, *near])
    edges = np.geomspace(low, max(high, 2 * low), _BARS + 1)
    return np.unique(np.floor(edges) + 0.5) if is_whole else edges  # a whole number lies inside a bar


def _linear_edges(tally: Tally, rules: list[Rule], is_whole: bool) -> Floats:
    low, high = _range(tally)
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


def _short_number(value: float) -> str:
    return compact(value) if value >= 1000 else number(value)


def _tick_values(low: float, high: float, scale: Scale) -> Iterator[list[float]]:
    """Values for many labels, then for fewer and fewer."""
    if scale == "symmetric":
        yield from ([1 / far, 1.0, far] for far in (2.0, 5.0, 20.0, 100.0))
    elif scale == "linear":
        for count in (8, 5, 3):
            step = nice((high - low) / count)
            yield [float(index * step) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
    else:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            yield [step * 10.0**decade for decade in decades for step in steps]
        yield [10.0**decade for decade in decades if decade % 2 == 0]
