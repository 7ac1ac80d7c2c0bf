"""A tar of large JPEGs: a few are encoded, and stand there again and again, each time with another comment inside.

    python large_pictures.py OUT.tar --gigabytes 2

24 and 49.9 megapixels (`images.max_pixels` refuses above 50), with and without colour subsampling, baseline and
progressive: a progressive one is whole in libjpeg's memory as coefficients before the first pixel comes out. Every copy
differs in its bytes, so nothing can be skipped; the pixels repeat, which no decoder knows.
"""

import argparse
import io
import itertools
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZES_PX = {"24": (6000, 4000), "50": (8650, 5770)}
KINDS = (
    ("24", {"quality": 92}),
    ("50", {"quality": 92}),
    ("50", {"quality": 85, "subsampling": 0}),
    ("24", {"quality": 92, "progressive": True}),
    ("50", {"quality": 85, "progressive": True, "subsampling": 0}),
)


def encoded() -> list[bytes]:
    return [_jpeg(SIZES_PX[size], seed, settings) for seed, (size, settings) in enumerate(KINDS)]


def _jpeg(size_px: tuple[int, int], seed: int, settings: dict[str, object]) -> bytes:
    rng = np.random.default_rng(seed)
    fields = Image.fromarray(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)).resize(
        size_px, Image.Resampling.BICUBIC
    )
    tile = rng.integers(0, 256, (512, 512, 3), dtype=np.uint8)
    repeats = (-(-size_px[1] // 512), -(-size_px[0] // 512), 1)
    grain = Image.fromarray(np.tile(tile, repeats)[: size_px[1], : size_px[0]])
    data = io.BytesIO()
    Image.blend(fields, grain, 0.1).save(data, "JPEG", **settings)
    return data.getvalue()


def with_comment(jpeg: bytes, words: bytes) -> bytes:
    """The COM segment goes behind the start marker."""
    return jpeg[:2] + b"\xff\xfe" + (len(words) + 2).to_bytes(2, "big") + words + jpeg[2:]


def members(total_bytes: int) -> Iterator[tuple[str, bytes]]:
    written = 0
    for number, jpeg in enumerate(itertools.cycle(encoded())):
        if written >= total_bytes:
            return
        yield f"{number:06d}.jpg", with_comment(jpeg, f"copy {number}".encode())
        yield f"{number:06d}.txt", f"第{number}张大图".encode()
        written += len(jpeg)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    asked = parser.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(asked.out, "w") as tar:
        for name, content in members(int(asked.gigabytes * 1e9)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
