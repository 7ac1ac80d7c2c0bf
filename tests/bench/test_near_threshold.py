"""The colour threshold of near-duplicates, measured on real pictures: what must pass it, and what must not.

Needs runs/emoji/corpus (`make corpus`). For each transform the worst cell's difference at three quantiles of the
pictures; then the closest pairs of different pictures whose captions name different skin tones or colours.
"""

import io
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.pair import THUMBNAIL_SIDE_PX
from tuwen.manifests.recipe import load_recipe
from tuwen.pipeline.gathered import picture_roots
from tuwen.pipeline.pictures.clean_image import decode
from tuwen.pipeline.pictures.signatures import phash64, signatures
from tuwen.pipeline.read_corpus import read_thumbnails, read_verdicts
from tuwen.pipeline.sources.kinds import read_picture
from tuwen.pipeline.twins.near_images import MAX_CELL_DIFFERENCE, RADIUS, hamming_pairs

CORPUS = Path("runs/emoji/corpus")
COLOUR = re.compile("较浅肤色|中等浅肤色|中等肤色|中等深肤色|较深肤色|[红橙黄绿蓝紫棕黑白灰粉]色?[心方圆]")


def encoded(kind: str, quality: int) -> Callable[[Image.Image], Image.Image]:
    def transform(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, kind, quality=quality)
        return Image.open(buffer).convert("RGB")

    return transform


def scaled(factor: float, how: Image.Resampling) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.resize((round(picture.width * factor), round(picture.height * factor)), how)


TRANSFORMS = {
    "JPEG 90": encoded("JPEG", 90),
    "JPEG 50": encoded("JPEG", 50),
    "JPEG 30": encoded("JPEG", 30),
    "WebP 60": encoded("WEBP", 60),
    "x0.5 bilinear": scaled(0.5, Image.Resampling.BILINEAR),
    "x0.6 nearest": scaled(0.6, Image.Resampling.NEAREST),
    "x0.35 Lanczos": scaled(0.35, Image.Resampling.LANCZOS),
    "x1.5 bicubic": scaled(1.5, Image.Resampling.BICUBIC),
}


@pytest.mark.bench
def test_transforms_stay_below_the_threshold_and_other_colours_above() -> None:
    corpus = load_manifest(CORPUS)
    roots = picture_roots(load_recipe("emoji"), CORPUS)
    rows = [row for row in read_verdicts(corpus).to_pylist() if row["caption"] and row["image_sha256"]]
    random.seed(0)
    sample = random.sample(rows, 200)
    pictures = [
        decode(read_picture(roots[r["source"]], r["origin"], r["offset"], r["bytes"]), 10**9).picture for r in sample
    ]
    print(f"\n{'transform':<16} worst cell at 50%, 90%, 99%   within {RADIUS} bits   both")
    for name, transform in TRANSFORMS.items():
        found = [_difference(picture, transform(picture)) for picture in pictures if picture]
        cells, bits = np.array(found).T
        both = ((cells <= MAX_CELL_DIFFERENCE) & (bits <= RADIUS)).mean()
        quantiles = " ".join(f"{value:6.0f}" for value in np.quantile(cells, [0.5, 0.9, 0.99]))
        print(f"{name:<16} {quantiles} {(bits <= RADIUS).mean():>24.1%} {both:>10.1%}")

    closest = _closest_of_other_colours(rows, read_thumbnails(corpus, [row["key"] for row in rows], THUMBNAIL_SIDE_PX))
    for difference, a, b in closest[:5]:
        print(f"{difference:4.0f}  {a} | {b}")
    assert closest[0][0] > MAX_CELL_DIFFERENCE


def _difference(a: Image.Image, b: Image.Image) -> tuple[int, int]:
    left, right = (np.frombuffer(signatures(each)["thumbnail"], np.uint8).astype(int) for each in (a, b))
    return int(np.abs(left - right).max()), (phash64(a) ^ phash64(b)).bit_count()


def _closest_of_other_colours(rows: list[dict], thumbnails: np.ndarray) -> list[tuple[float, str, str]]:
    """Pairs whose hashes are near and whose captions name other colours, by the worst cell's difference."""
    codes = np.array([row["phash64"] for row in rows], np.uint64)
    unique, group = np.unique(codes, return_inverse=True)
    members = [np.flatnonzero(group == number) for number in range(len(unique))]
    pairs = [(a, b) for m in members for i, a in enumerate(m) for b in m[i + 1 :]]
    pairs += [(a, b) for x, y in hamming_pairs(unique, RADIUS) for a in members[x] for b in members[y]]
    found = []
    for a, b in pairs:
        named = [COLOUR.findall(rows[row]["caption"]) for row in (a, b)]
        if named[0] != named[1] and rows[a]["pixels_hash"] != rows[b]["pixels_hash"]:
            found.append((float(np.abs(thumbnails[a] - thumbnails[b]).max()), rows[a]["caption"], rows[b]["caption"]))
    return sorted(found)


@pytest.mark.bench
def test_no_two_pairs_of_other_colours_were_merged_in_the_corpus() -> None:
    """Of all dropped twins: either the pixels are the same, or the captions name the same colours."""
    by_key = {row["key"]: row for row in read_verdicts(load_manifest(CORPUS)).to_pylist()}
    dropped = [row for row in by_key.values() if row["keeper"]]
    merged = [(row, by_key[row["keeper"]]) for row in dropped]
    wrong = [
        (a["caption"], b["caption"])
        for a, b in merged
        if a["pixels_hash"] != b["pixels_hash"] and COLOUR.findall(a["caption"]) != COLOUR.findall(b["caption"])
    ]
    print(f"\n{len(merged)} merged, {sum(a['pixels_hash'] == b['pixels_hash'] for a, b in merged)} of equal pixels")
    assert wrong == []
    kept = {row["caption"] for row in by_key.values() if row["kept"]}
    assert {"旗：法国", "旗：几内亚", "红心", "蓝心"} <= kept
