"""Which charts a report shows of a corpus, and which rules of the recipe are drawn into them.

    for chart in charts_of(numbers, recipe):
        chart.title, chart.svg

A rule that a recipe leaves at a value that no picture can break is not drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ...manifests.recipe.recipe import Recipe
from ..format_numbers import num_bytes, number, proportion
from ..scores.scores import score_columns
from .charts import Axis, Chart, Rule, histogram
from .figures import Numbers

_NO_LIMIT = 10**8  # captions.max_count and max_words stand so high when nobody sets them


@dataclass(frozen=True)
class Plot:
    title: str
    unit: str
    axis: Axis
    shown: Callable[[float], str] = number


PLOTS = {
    "side": Plot("边 · shorter side", "px", "log"),
    "ratio": Plot("形 · width to height", "", "symmetric", proportion),
    "bytes": Plot("重 · file size", "", "log", num_bytes),
    "quality": Plot("压 · JPEG quality", "", "linear"),
    "entropy": Plot("繁 · entropy of the luminance", "bits", "linear"),
    "sharpness": Plot("锐 · sharpness", "", "log"),
}
CAPTION_LENGTH = Plot("长 · caption length", "characters", "linear")


def picture_charts(numbers: Numbers, recipe: Recipe) -> list[Chart]:
    rules = _rules(recipe)
    charts = [
        histogram(numbers.tallies[name], plot.title, plot.unit, plot.axis, rules[name], plot.shown)
        for name, plot in (PLOTS | _score_plots()).items()
    ]
    return [chart for chart in charts if chart]


def caption_charts(numbers: Numbers, recipe: Recipe) -> list[Chart]:
    rules, length = _rules(recipe), CAPTION_LENGTH
    repeats = numbers.captions.tally()
    charts = [
        histogram(numbers.tallies["length"], length.title, length.unit, length.axis, rules["length"]),
        histogram(repeats, "频 · pairs that share their caption", "", "log", rules["repeats"]),
    ]
    return [chart for chart in charts if chart]


def _score_plots() -> dict[str, Plot]:
    return {score.name: Plot(score.title or score.name, "", "linear") for score in score_columns()}


def _score_rules(recipe: Recipe) -> dict[str, list[Rule]]:
    limits = {score.name: score.limits(recipe) for score in score_columns()}
    return {name: [*_least(least, -1), *_most(most)] for name, (least, most) in limits.items()}


def _rules(recipe: Recipe) -> dict[str, list[Rule]]:
    images, captions = recipe.images.resolved(), recipe.captions.resolved()
    ratio = images.max_ratio or 0
    return {
        "side": _least(images.min_side, 1, "px"),
        "ratio": [Rule(1 / ratio, f"≥ {proportion(1 / ratio)}"), Rule(ratio, f"≤ {proportion(ratio)}")],
        "bytes": _least(images.min_bytes, 0, shown=num_bytes),
        "quality": _least(images.min_jpeg_quality, 1),
        "entropy": _least(images.min_entropy, 0, "bits"),
        "sharpness": _least(images.min_sharpness, 0),
        **_score_rules(recipe),
        "length": [*_least(captions.min_length, 1), *_most(captions.max_length)],
        "repeats": _most(captions.max_count, "pairs"),
    }


def _least(value: float | None, nothing: float, unit: str = "", shown: Callable[[float], str] = number) -> list[Rule]:
    return [] if value is None or value <= nothing else [Rule(value, f"≥ {shown(value)} {unit}".strip())]


def _most(value: float | None, unit: str = "") -> list[Rule]:
    return [] if value is None or value >= _NO_LIMIT else [Rule(value, f"≤ {number(value)} {unit}".strip())]
