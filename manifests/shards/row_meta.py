"""The metadata of a row: one line of a block's `meta.jsonl`.

meta = RowMeta(key="8033e9b5…", caption="一只蜜蜂", source="photos", license="CC-BY-4.0")
"""

from typing import Required, TypedDict


def pair_key_of(key: str) -> str:
    """The key of the pair that a row is a crop of: that of `8033e9b5-2` is `8033e9b5`."""
    return key.partition("-")[0]


class RowMeta(TypedDict, total=False):
    """Writers may add keys; every row has a key.

    The first crop of a pair has the pair's key, the others are `KEY-1`, `KEY-2`, …
    """

    key: Required[str]
    caption: str
    source: str  # name in the recipe
    license: str
    crop: list[int]  # left, top, right, bottom in pixels of the original; beyond its edges where it was padded
    mirrored: bool  # left and right were swapped; not said where they were not
    pixels: str  # hash of the upright RGB pixels
