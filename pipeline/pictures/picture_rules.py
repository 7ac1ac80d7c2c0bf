"""The rules on a measured picture: which of them it breaks first.

picture_problem(row, Images(preset="wukong").resolved())      # "too_small", or "" if it breaks none

To add a rule: a line in `_checks`, at the position that says which reason comes first; its key in `Images`
(`manifests/recipe/rules.py`); its row in `reasons.py`. A new measure is a column of `MeasuredPicture` and of MEASURES.
"""

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from ...manifests.recipe.rules import Images

SINGLE_COLOUR_STD = 2.0  # of 255; DanQing's threshold. An 8 px dot on a 256 px field has 8
SIZE_PROBLEMS = frozenset({"too_small", "too_long"})
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # a TIFF has pages, an MPO has views


class MeasuredPicture(TypedDict, total=False):
    """The columns of MEASURES, and of scores, that the rules read."""

    width: int  # px, upright
    height: int
    bytes: int
    format: str
    frames: int
    std: float  # 0 … 127
    entropy: float  # bits, 0 … 8
    sharpness: float
    border: float  # share of the area, 0 … 1
    jpeg_quality: int | None  # 1 … 100; None: no JPEG
    nsfw: float  # 0 … 1; there only if `images.max_nsfw` is set


def picture_problem(row: MeasuredPicture, rules: "Images") -> str:
    """The reason of the first rule that the picture breaks, or an empty string. `rules` must be `resolved()`."""
    size = size_problem(row["width"], row["height"], rules)
    return size or next((reason for reason, broken in _checks(row, rules) if broken), "")


def size_problem(width: int, height: int, rules: "Images") -> str:
    """The reason of the first rule on the size alone; a list of addresses may tell the size of its pictures, too."""
    short, long = sorted((width, height))
    if short < (rules.min_side or 0):
        return "too_small"
    return "too_long" if long > (rules.max_ratio or 0) * short else ""


def _checks(row: MeasuredPicture, rules: "Images") -> tuple[tuple[str, bool], ...]:
    quality = row["jpeg_quality"]
    return (
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
