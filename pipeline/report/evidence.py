"""What was measured of a dropped pair, and the rule that it broke, in a few words.

    rule_of("too_small", recipe)                                 # "shorter side ≥ 200 px"
    measured_of({"reason": "too_small", "width": 128, …})        # "128 × 64 px"

Both are empty where there is nothing to say but the reason itself.
"""

from collections.abc import Callable
from typing import Any

from ...manifests.recipe.recipe import Recipe
from ..pictures.picture_rules import SINGLE_COLOUR_STD
from .charts import num_bytes, number, proportion

Row = dict[str, Any]


def rule_of(reason: str, recipe: Recipe) -> str:
    images, captions, similarity = recipe.images.resolved(), recipe.captions.resolved(), recipe.similarity.resolved()
    rules = {
        "too_many_pixels": f"at most {images.max_pixels:,} pixels",
        "decoder_hung": f"at most {images.max_seconds:g} s of CPU",
        "too_small": f"shorter side ≥ {images.min_side} px",
        "too_long": f"longer side ≤ {images.max_ratio:g} times the shorter",
        "few_bytes": f"≥ {num_bytes(images.min_bytes or 0)}",
        "animated": "one frame",
        "single_colour": f"standard deviation ≥ {SINGLE_COLOUR_STD:g} of 255",
        "low_std": f"standard deviation ≥ {_number(images.min_std)} of 255",
        "low_entropy": f"entropy ≥ {_number(images.min_entropy)} bits",
        "blurred": f"sharpness ≥ {_number(images.min_sharpness)}",
        "wide_border": f"border ≤ {_percent(images.max_border)} of the area",
        "low_jpeg_quality": f"JPEG quality ≥ {images.min_jpeg_quality}",
        "unsafe": f"Open-NSFW score ≤ {_number(images.max_nsfw)}",
        "caption_too_short": f"≥ {captions.min_length} characters",
        "caption_too_long": f"≤ {captions.max_length} characters",
        "repetitive": f"one repeated piece ≤ {_percent(captions.max_repetition)} of the caption",
        "too_little_han": f"Han ≥ {_percent(captions.min_han_share)} of letters and digits",
        "too_few_han": f"≥ {captions.min_han} Han characters",
        "too_many_han": f"≤ {captions.max_han} Han characters",
        "foreign_language": f"language: {', '.join(captions.languages or ())}",
        "too_few_words": f"≥ {captions.min_words} words",
        "too_many_words": f"≤ {captions.max_words} words",
        "no_noun": f"≥ {captions.min_nouns} nouns",
        "caption_seen_too_often": f"said of ≤ {captions.max_count} pairs",
        "unlike_caption": f"similarity ≥ {_number(similarity.min)}",
        "too_like_caption": f"similarity ≤ {_number(similarity.max)}",
    }
    return rules.get(reason, "")


def measured_of(row: Row) -> str:
    """`row` has the columns of the decision table and, where they are known, those of the measures."""
    try:
        return _MEASURED[row["reason"]](row)
    except (KeyError, TypeError):  # no such reason, or its number is gone with the measures
        return ""


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):g}%"


def _sides(row: Row) -> str:
    return f"{row['width']:d} × {row['height']:d} px"


def _twin(row: Row) -> str:
    difference = row.get("difference")
    return f"hash distance {row['distance']:d}" + (f", difference {difference:.2f}" if difference is not None else "")


def _ratio(row: Row) -> str:
    return f"{_sides(row)}, {proportion(row['width'] / row['height'])}"


_MEASURED: dict[str, Callable[[Row], str]] = {
    "too_small": _sides,
    "too_long": _ratio,
    "few_bytes": lambda row: num_bytes(row["bytes"]),
    "animated": lambda row: f"{row['frames']:.0f} frames",
    "single_colour": lambda row: f"deviation {row['std']:.1f}",
    "low_std": lambda row: f"deviation {row['std']:.1f}",
    "low_entropy": lambda row: f"{row['entropy']:.2f} bits",
    "blurred": lambda row: f"sharpness {number(round(row['sharpness'], 1))}",
    "wide_border": lambda row: f"border {100 * row['border']:.0f}%",
    "low_jpeg_quality": lambda row: f"quality {row['jpeg_quality']:.0f}",
    "unsafe": lambda row: f"score {row['nsfw']:.2f}",
    "caption_too_short": lambda row: f"{len(row['caption']):,} characters",
    "caption_too_long": lambda row: f"{len(row['caption']):,} characters",
    "caption_seen_too_often": lambda row: f"said of {row['said_of']:,} pairs",
    "unlike_caption": lambda row: f"similarity {row['similarity']:.3f}",
    "too_like_caption": lambda row: f"similarity {row['similarity']:.3f}",
    "near_picture": _twin,
}
