"""The pictures that recall is measured on, written once as PNG: real photographs, and emoji by two hands.

    .venv/bin/python tests/bench/duplicates/picture_sets.py --photographs FOLDER    # any folder of photographs

leaves runs/bench-duplicates/photographs/original/NAME.png and …/emoji/original/NAME.png. `half(name)` says to which
half a picture belongs: thresholds are chosen on "tune" and reported on "test".
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tuwen.pipeline.pictures.decode import decode
from tuwen.pipeline.sources.draw_emoji import _draw, artwork_folder
from tuwen.pipeline.sources.emoji import _bare, chinese_names

HOME = Path("runs/bench-duplicates")
NUM_PHOTOGRAPHS = 500  # 46 transforms of each take 3 GB
NUM_EMOJI = 1_000
_LONGEST_PX = 384
_EMOJI_PX = 256
_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


def half(name: str) -> str:
    return "tune" if hashlib.blake2b(name.encode(), digest_size=1).digest()[0] & 1 else "test"


def photographs(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Evenly among their names, those that decode, scaled down to 384 px where larger."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    for path in paths[:: max(1, len(paths) // NUM_PHOTOGRAPHS)][:NUM_PHOTOGRAPHS]:
        picture = decode(path.read_bytes(), 10**9).picture
        if picture is not None:
            picture.thumbnail((_LONGEST_PX, _LONGEST_PX), Image.Resampling.LANCZOS)
            yield path.stem, picture


def emoji() -> Iterator[tuple[str, Image.Image]]:
    """Every seventh of Twemoji's and OpenMoji's named drawings, so that both halves hold all kinds."""
    drawings = [
        (f"{artwork}-{code}", artwork, code) for artwork in ("twemoji", "openmoji") for code, _ in named(artwork)
    ]
    for name, artwork, code in drawings[:: max(1, len(drawings) // NUM_EMOJI)][:NUM_EMOJI]:
        yield name, drawn(artwork, code)


def named(artwork: str) -> list[tuple[str, str]]:
    """(code, Chinese name) of the drawings that have a name."""
    names = chinese_names()
    codes = sorted(path.stem.lower() for path in artwork_folder(artwork).glob("*.svg"))
    return [(code, names[bare]) for code in codes if (bare := _bare(code)) in names]


def drawn(artwork: str, code: str) -> Image.Image:
    folder = artwork_folder(artwork)
    [path] = [path for path in (folder / f"{code}.svg", folder / f"{code.upper()}.svg") if path.exists()][:1]
    return on_white(_draw(path, _EMOJI_PX))


def on_white(data: bytes) -> Image.Image:
    """As the pipeline sees it."""
    picture = decode(data, 10**9).picture
    assert picture is not None
    return picture


def write(name: str, pictures: Iterator[tuple[str, Image.Image]]) -> None:
    folder = HOME / name / "original"
    folder.mkdir(parents=True, exist_ok=True)
    for stem, picture in pictures:
        picture.save(folder / f"{stem}.png", compress_level=1, icc_profile=None)  # its pixels are sRGB by now
    print(folder, len(list(folder.iterdir())))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=Path, required=True)
    write("emoji", emoji())
    write("photographs", photographs(parser.parse_args().photographs))
