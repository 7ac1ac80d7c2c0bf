"""Textured JPEGs of 1,000 px, made with noise of four grains: no network, the same bytes on every run.

    write_photographs(Path("OUT"), count=3000)      # OUT/tars/00000.tar …, OUT/files/000000.jpg …, OUT/captions.json

They are no photographs, but they take as long to decode: about 230 kB at quality 88, as a camera's JPEG of that size
has. There are DISTINCT of them under other names: decoding does not get cheaper by having seen one.
"""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

DISTINCT = 240
PICTURES_A_TAR = 256
SIZES = ((1000, 750), (750, 1000), (1000, 1000), (1000, 667))
GRAINS = ((2, 0.5), (16, 0.25), (64, 0.15), (250, 0.1))  # cells on the shorter side, weight
SENSOR_NOISE = 2  # levels of 255


def write_photographs(out: Path, count: int) -> Path:
    """Return `out`, written unless it is there."""
    if out.is_dir():
        return out
    half = out.with_name(f"{out.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    (half / "tars").mkdir(parents=True)
    (half / "files").mkdir()
    captions = {}
    pool = [photograph(number) for number in range(min(count, DISTINCT))]
    for first in range(0, count, PICTURES_A_TAR):
        with tarfile.open(half / "tars" / f"{first // PICTURES_A_TAR:05d}.tar", "w") as tar:
            for number in range(first, min(first + PICTURES_A_TAR, count)):
                key, data, caption = f"{number:06d}", pool[number % DISTINCT], f"第{number}张带纹理的照片"
                captions[key] = caption
                (half / "files" / f"{key}.jpg").write_bytes(data)
                for name, content in ((f"{key}.jpg", data), (f"{key}.txt", caption.encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    (half / "captions.json").write_text(json.dumps(captions, ensure_ascii=False), encoding="utf-8")
    half.rename(out)
    return out


def photograph(number: int) -> bytes:
    """JPEG bytes; picture n is the same whatever the count."""
    rng = np.random.default_rng(number)
    width, height = SIZES[number % len(SIZES)]
    pixels = rng.normal(0, SENSOR_NOISE, (height, width, 3)).astype(np.float32)
    for cells, weight in GRAINS:
        grain = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        pixels += weight * np.asarray(grain.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    data = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=88)
    return data.getvalue()
