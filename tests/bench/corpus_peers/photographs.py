"""Photographs to measure with, made of the few that PyPI packages carry: no network, the same bytes on every run.

    python photographs.py OUT --count 3000        # OUT/tars/00000.tar …, OUT/files/000000.jpg …, OUT/pairs.jsonl

Ten photographs by scikit-learn, scikit-image and ultralytics. A picture is a random crop of one of them, scaled to
640 to 1,280 px on its longer side, mirrored half the time, with other brightness and contrast, with a sensor's noise
(standard deviation 2: scaling up has taken the grain that a camera's JPEG has), saved as JPEG of quality 75 to 95.
Every one has a caption of its own. Runs in the environment of data-juicer, which has these packages.
"""

import argparse
import io
import json
import random
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

PHOTOGRAPHS = {
    ("sklearn", "datasets/images/china.jpg"): "颐和园的佛香阁",
    ("sklearn", "datasets/images/flower.jpg"): "一朵橙色的大丽花",
    ("skimage", "data/astronaut.png"): "穿着橙色航天服的女宇航员",
    ("skimage", "data/chelsea.png"): "一只虎斑猫的脸",
    ("skimage", "data/coffee.png"): "木桌上的一杯浓缩咖啡",
    ("skimage", "data/motorcycle_left.png"): "车库里的一辆摩托车",
    ("skimage", "data/motorcycle_right.png"): "车库里的摩托车和工具",
    ("skimage", "data/rocket.jpg"): "发射台上的火箭",
    ("ultralytics", "assets/bus.jpg"): "马德里街头的一辆电动公交车",
    ("ultralytics", "assets/zidane.jpg"): "场边的两位足球教练",
}
RATIOS = (4 / 3, 3 / 4, 1.0, 3 / 2)
LONG_SIDE_PX = (640, 1280)
PICTURES_A_TAR = 250


def photographs() -> list[tuple[Image.Image, str]]:
    found = []
    for (package, name), caption in PHOTOGRAPHS.items():
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None, package
        found.append((Image.open(Path(spec.origin).parent / name).convert("RGB"), caption))
    return found


def pictures(count: int) -> Iterator[tuple[bytes, str]]:
    """JPEG bytes and caption; picture n is the same whatever the count."""
    originals = photographs()
    for number in range(count):
        rng = random.Random(number)
        photograph, caption = originals[number % len(originals)]
        picture = _crop(photograph, rng)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast):
            picture = enhance(picture).enhance(rng.uniform(0.8, 1.2))
        noise = np.random.default_rng(number).normal(0, 2, (picture.height, picture.width, 3))
        pixels = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=rng.randint(75, 95))
        yield data.getvalue(), f"{caption}，第{number}张"


def _crop(photograph: Image.Image, rng: random.Random) -> Image.Image:
    ratio = rng.choice(RATIOS)
    height = min(photograph.height, photograph.width / ratio) * rng.uniform(0.7, 1.0)
    width = height * ratio
    left, top = rng.uniform(0, photograph.width - width), rng.uniform(0, photograph.height - height)
    scale = rng.randint(*LONG_SIDE_PX) / max(width, height)
    size = (round(width * scale), round(height * scale))
    picture = photograph.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    return ImageOps.mirror(picture) if rng.random() < 0.5 else picture


def write(out: Path, count: int) -> None:
    """`whole` is there when all is."""
    (out / "tars").mkdir(parents=True)
    (out / "files").mkdir()
    tar: tarfile.TarFile | None = None
    with (out / "pairs.jsonl").open("w", encoding="utf-8") as pairs:
        for number, (data, caption) in enumerate(pictures(count)):
            if number % PICTURES_A_TAR == 0:
                if tar is not None:
                    tar.close()
                tar = tarfile.open(out / "tars" / f"{number // PICTURES_A_TAR:05d}.tar", "w")  # noqa: SIM115
            assert tar is not None
            path = (out / "files" / f"{number:06d}.jpg").resolve()
            path.write_bytes(data)
            for name, content in ((path.name, data), (f"{number:06d}.txt", caption.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            pairs.write(json.dumps({"text": caption, "images": [str(path)]}, ensure_ascii=False) + "\n")
    if tar is not None:
        tar.close()
    (out / "whole").touch()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=3000)
    asked = parser.parse_args()
    write(asked.out, asked.count)
