"""Which squares of a picture are encoded, as the recipe's `tokenize.crops` says.

rule = crop_rule(recipe.tokenize.crops)
views_of((300, 100), "8a31…", rule)         # [View(box=(100, 0, 200, 100), mirrored=False)]

A box depends on the picture's size, the pair's key, the crop's number and the rule alone, so every run and worker
makes the same. Random boxes are drawn by blake2b: no release of a random generator changes them.
"""

import hashlib
from math import ceil, sqrt
from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from ...manifests.recipe.tokenizing import Crops

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the original; always a square


class CropRule(TypedDict):
    """The recipe's `Crops` as JSON without floats, for the configuration of a stage."""

    kind: str  # center | pad | random | ten
    count: int
    min_share: str  # a decimal
    zoom: str  # a decimal
    fill: str  # "#rrggbb"
    mirror: bool
    seed: int


class View(NamedTuple):
    box: Box  # a padded one reaches beyond the picture
    mirrored: bool


CENTER = CropRule(kind="center", count=1, min_share="0.5", zoom="1.0", fill="#ffffff", mirror=False, seed=0)


def crop_rule(crops: "Crops") -> CropRule:
    return CropRule(
        kind=crops.kind,
        count=crops.count,
        min_share=repr(crops.min_share),
        zoom=repr(crops.zoom),
        fill=crops.fill,
        mirror=crops.mirror,
        seed=crops.seed,
    )


def views_of(size: tuple[int, int], key: str, crops: CropRule) -> list[View]:
    """Return `Crops.views` views of a picture of `size` (width, height). `key` is that of the pair."""
    if crops["kind"] == "random":
        return [_random(size, key, number, crops) for number in range(crops["count"])]
    if crops["kind"] == "pad":
        boxes = [_centred(size, max(size))]
    else:
        boxes = [_centred(size, max(1, round(min(size) / float(crops["zoom"]))))]
    if crops["kind"] == "ten":
        boxes = [*_corners(_centred(size, min(size)), boxes[0]), *boxes]
    views = [View(box, mirrored=False) for box in boxes]
    return views + [View(box, mirrored=True) for box in boxes] if crops["mirror"] else views


def _centred(size: tuple[int, int], edge: int) -> Box:
    left, top = (size[0] - edge) // 2, (size[1] - edge) // 2
    return left, top, left + edge, top + edge


def _corners(square: Box, center: Box) -> list[Box]:
    """The boxes of the size of `center` in the corners of the centre square, in the order of torchvision's FiveCrop."""
    left, top, right, bottom = square
    edge = center[2] - center[0]
    return [(x, y, x + edge, y + edge) for y in (top, bottom - edge) for x in (left, right - edge)]


def _random(size: tuple[int, int], key: str, number: int, crops: CropRule) -> View:
    """A box of at least `min_share` of the centre square's area, whose area and place are uniform."""
    digest = hashlib.blake2b(f"{crops['seed']} {key} {number}".encode(), digest_size=32, person=b"tuwen crop").digest()
    area, x, y, mirror = (int.from_bytes(digest[start : start + 8], "little") for start in range(0, 32, 8))
    least = float(crops["min_share"])
    share = least + (1 - least) * area / 2**64
    shorter = min(size)
    edge = min(shorter, ceil(shorter * sqrt(share)))  # rounded up: never less than the share
    left, top = x * (size[0] - edge + 1) >> 64, y * (size[1] - edge + 1) >> 64
    return View((left, top, left + edge, top + edge), mirrored=crops["mirror"] and mirror % 2 == 1)
