"""Many small pictures with captions and planted duplicates, made as fast as they are measured; the same for any count.

    python small_pictures.py OUT --pairs 100000 --captions 5      # OUT/00000.tar …

A picture is 96 px of smooth colour fields with grain, JPEG of quality 85: nothing to look at, but no two have hashes
near each other. Of a hundred, one is an exact copy of an earlier one under another name, and one an earlier one at
quality 60: a near-duplicate. Captions are two names of emoji and a place; one in ten is said again and again. Five
captions a picture, as in COCO-CN, unless told otherwise.
"""

import argparse
import io
import random
import tarfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tuwen.pipeline.sources.emoji import chinese_names

PICTURES_A_TAR = 500
SIDE_PX = 96
PLACES = ("桌上", "山前", "街角", "海边", "窗外", "屋里", "树下", "河边", "夜空中", "草地上")


def picture(number: int) -> bytes:
    """Every hundredth is a copy, and the one behind it a near-duplicate, of one of the hundred before."""
    if number >= 100 and number % 100 == 0:
        return picture(number - 1 - number // 100 % 50)
    if number >= 100 and number % 100 == 1:
        return _jpeg(number - 2 - number // 100 % 50, quality=60)
    return _jpeg(number, quality=85)


def _jpeg(number: int, quality: int) -> bytes:
    rng = np.random.default_rng(number)
    fields = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = fields.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    grain = Image.fromarray(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
    data = io.BytesIO()
    Image.blend(smooth, grain, 0.08).save(data, "JPEG", quality=quality)
    return data.getvalue()


def captions(number: int, count: int, names: list[str]) -> list[str]:
    rng = random.Random(number)
    boilerplate = names[: 1 + len(names) // 100]
    return [
        rng.choice(boilerplate)
        if rng.random() < 0.1
        else f"{rng.choice(PLACES)}的{rng.choice(names)}和{rng.choice(names)}"
        for _ in range(count)
    ]


def write_tar(number: int, out: Path, pictures: int, captions_each: int) -> None:
    names = sorted(chinese_names().values())
    first = number * PICTURES_A_TAR
    with tarfile.open(out / f"{number:05d}.tar", "w") as tar:
        for each in range(first, min(first + PICTURES_A_TAR, pictures)):
            text = "\n".join(captions(each, captions_each, names)).encode()
            for name, content in ((f"{each:08d}.jpg", picture(each)), (f"{each:08d}.txt", text)):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--captions", type=int, default=5, help="of each picture")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    pictures = -(-asked.pairs // asked.captions)
    tars = range(-(-pictures // PICTURES_A_TAR))
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(write_tar, out=asked.out, pictures=pictures, captions_each=asked.captions), tars):
            pass


if __name__ == "__main__":
    main()
