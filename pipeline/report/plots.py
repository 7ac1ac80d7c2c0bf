"""The histograms that a report shows, one row each: what is counted, and the limits of the recipe that are drawn.

    for plot in plots():
        plot.values(part)                   # (n,), NaN where nothing was measured
        plot.rules(recipe)

A chart is added by its row. Each score of `scores.SCORES` has one without being listed here. A limit that nothing can
break is not drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...manifests.recipe.recipe import Recipe
from ..format_numbers import num_bytes, number, proportion
from ..scores.scores import Score, score_columns
from .axis import Rule, Scale
from .tally import Floats

_NO_LIMIT = 10**8  # captions.max_count and max_words stand so high when nobody sets them


@dataclass(frozen=True)
class Plot:
    name: str
    title: str  # Chinese character · English
    unit: str
    scale: Scale
    values: Callable[[pa.Table], Floats]  # one a pair; NaN is nothing measured
    rules: Callable[[Recipe], list[Rule]]
    digits: int | None = None  # significant digits that are counted apart; None: all of them
    shown: Callable[[float], str] = number
    is_of_captions: bool = False  # shown among the charts of the captions, else among those of the pictures


def floats(column: pa.ChunkedArray) -> Floats:
    """The column as float64; null becomes NaN."""
    values: Floats = column.to_numpy().astype(np.float64)
    return values


def shorter_side(part: pa.Table) -> Floats:
    return np.minimum(floats(part["width"]), floats(part["height"]))


def plots() -> list[Plot]:
    """The plots of this module, and one for each score."""
    return [*PLOTS, *(_plot_of(score) for score in score_columns())]


def least(value: float | None, no_limit: float, unit: str = "", shown: Callable[[float], str] = number) -> list[Rule]:
    return [] if value is None or value <= no_limit else [Rule(value, f"≥ {shown(value)} {unit}".strip())]


def most(value: float | None, unit: str = "") -> list[Rule]:
    return [] if value is None or value >= _NO_LIMIT else [Rule(value, f"≤ {number(value)} {unit}".strip())]


def _ratio(part: pa.Table) -> Floats:
    ratio: Floats = floats(part["width"]) / floats(part["height"])
    return ratio


def _ratio_rules(recipe: Recipe) -> list[Rule]:
    ratio = recipe.images.resolved().max_ratio or 0
    return [Rule(1 / ratio, f"≥ {proportion(1 / ratio)}"), Rule(ratio, f"≤ {proportion(ratio)}")]


def _file_size(part: pa.Table) -> Floats:
    return np.where(part["image_sha256"].is_null().to_numpy(), np.nan, floats(part["bytes"]))


def _caption_length(part: pa.Table) -> Floats:
    length = floats(pc.utf8_length(part["caption"]))
    return np.where(length > 0, length, np.nan)


def _caption_length_rules(recipe: Recipe) -> list[Rule]:
    captions = recipe.captions.resolved()
    return [*least(captions.min_length, 1), *most(captions.max_length)]


def _column(name: str) -> Callable[[pa.Table], Floats]:
    return lambda part: floats(part[name])


def _plot_of(score: Score) -> Plot:
    def rules(recipe: Recipe) -> list[Rule]:
        lowest, highest = score.limits(recipe)
        return [*least(lowest, -1), *most(highest)]

    return Plot(score.name, score.title or score.name, "", "linear", _column(score.name), rules, digits=4)


PLOTS = (
    Plot(
        "side",
        "边 · shorter side",
        "px",
        "log",
        values=shorter_side,
        rules=lambda recipe: least(recipe.images.resolved().min_side, 1, "px"),
    ),
    Plot(
        "ratio",
        "形 · width to height",
        "",
        "symmetric",
        values=_ratio,
        rules=_ratio_rules,
        digits=4,
        shown=proportion,
    ),
    Plot(
        "bytes",
        "重 · file size",
        "",
        "log",
        values=_file_size,
        rules=lambda recipe: least(recipe.images.resolved().min_bytes, 0, shown=num_bytes),
        digits=4,
        shown=num_bytes,
    ),
    Plot(
        "quality",
        "压 · JPEG quality",
        "",
        "linear",
        values=_column("jpeg_quality"),
        rules=lambda recipe: least(recipe.images.resolved().min_jpeg_quality, 1),
    ),
    Plot(
        "entropy",
        "繁 · entropy of the luminance",
        "bits",
        "linear",
        values=_column("entropy"),
        rules=lambda recipe: least(recipe.images.resolved().min_entropy, 0, "bits"),
        digits=4,
    ),
    Plot(
        "sharpness",
        "锐 · sharpness",
        "",
        "log",
        values=_column("sharpness"),
        rules=lambda recipe: least(recipe.images.resolved().min_sharpness, 0),
        digits=4,
    ),
    Plot(
        "length",
        "长 · caption length",
        "characters",
        "linear",
        values=_caption_length,
        rules=_caption_length_rules,
        is_of_captions=True,
    ),
)
