"""The rules on a measured picture: which of them it breaks first.

picture_problem(row, Images(preset="wukong").resolved())      # "too_small", or "" when it may stay
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...manifests.recipe.rules import Images

_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # a TIFF has pages, an MPO has views


def picture_problem(row: dict[str, Any], rules: "Images") -> str:
    """The reason to drop a measured picture, or an empty string. `rules` must be `resolved()`."""
    short, long = sorted((row["width"], row["height"]))
    return next((reason for reason, broken in _checks(row, rules, short, long) if broken), "")


SINGLE_COLOUR_STD = 2.0  # of 255; DanQing's threshold. An 8 px dot on a 256 px field has 8


def _checks(row: dict[str, Any], rules: "Images", short: int, long: int) -> tuple[tuple[str, bool], ...]:
    quality = row["jpeg_quality"]
    return (
        ("too_small", short < (rules.min_side or 0)),
        ("too_long", long > (rules.max_ratio or 0) * short),
        ("few_bytes", row["bytes"] < (rules.min_bytes or 0)),
        ("animated", rules.animated == "drop" and row["frames"] > 1 and row["format"] in _ANIMATED),
        ("single_colour", rules.single_colour == "drop" and row["std"] < SINGLE_COLOUR_STD),
        ("low_std", row["std"] < (rules.min_std or 0)),
        ("low_entropy", row["entropy"] < (rules.min_entropy or 0)),
        ("blurred", row["sharpness"] < (rules.min_sharpness or 0)),
        ("wide_border", row["border"] > (1 if rules.max_border is None else rules.max_border)),
        ("low_jpeg_quality", quality is not None and quality < (rules.min_jpeg_quality or 1)),
        ("unsafe", rules.max_nsfw is not None and row["nsfw"] > rules.max_nsfw),
    )
