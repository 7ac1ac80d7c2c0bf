"""Pictures that look alike and are not the same: every two of a set have another caption, or are the same thing.

    for name, caption, picture in HARD_SETS["flags"](artwork): …

`artwork` is a folder of unpacked packages (README says which). What a caption names is what must not be merged: the
country, the colour, the suit and the number, the words of the screenshot.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from picture_sets import drawn, named, on_white
from PIL import Image
from screens import screens

from tuwen.pipeline.pictures.signatures import signatures

Named = Iterator[tuple[str, str, Image.Image]]
_SIDE_PX = 256
_NUM_PRODUCTS = 120
_COLOURED = 25  # colourfulness; a grey thing has no hue to turn


def emoji(artwork: Path) -> Named:
    """All that have a name, by both hands: skin tones, hearts, keycaps, clock faces, flags."""
    for hand in ("twemoji", "openmoji"):
        for code, caption in named(hand):
            yield f"{hand}-{code}", caption, drawn(hand, code)


def flags(artwork: Path) -> Named:
    countries = {row["code"]: row["name"] for row in json.loads((artwork / "flag-icons/country.json").read_text())}
    for folder in ("flag-icons/flags/4x3", "flag-icons/flags/1x1", "country-flag-icons/3x2"):
        for path in sorted((artwork / folder).glob("*.svg")):
            code = path.stem.lower()
            yield f"{folder.replace('/', '-')}-{code}", countries.get(code, code), svg(path)


def cards(artwork: Path) -> Named:
    for path in sorted((artwork / "playing-cards/cards").glob("*.svg")):
        yield path.stem, path.stem, svg(path)


def mahjong(artwork: Path) -> Named:
    """Two hands' tiles, cut from sheets of 43 by 2; the lower row is the same tiles, chosen (another colour)."""
    for hand in ("smooth", "edu_kang_xi"):
        sheet = on_white((artwork / f"mahjong/{hand}.png").read_bytes())
        width, height = sheet.width // 43, sheet.height // 2
        for column in range(42):
            for row in range(2):
                tile = sheet.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
                yield f"{hand}-{row}-{column:02d}", f"{'chosen ' * row}tile {column}", tile


def dice(artwork: Path) -> Named:
    for path in sorted((artwork / "dice").glob("*[1-46].svg")):
        yield path.stem, path.stem, svg(path)


def stamps(artwork: Path) -> Named:
    """Tux Paint's photographs and drawings, with their English captions."""
    for path in sorted((artwork / "stamps").rglob("*.png")):
        words = path.with_suffix(".txt")
        if words.exists() and "_mirror" not in path.stem:
            caption = words.read_text("utf-8", "replace").splitlines()[0]
            yield (
                "-".join(path.relative_to(artwork / "stamps").with_suffix("").parts),
                caption,
                on_white(path.read_bytes()),
            )


def colours(artwork: Path) -> Named:
    """Products on white in other colours: stamps that have a colour, with their hue turned."""
    for name, caption, picture in _products(artwork):
        for degrees in (0, 30, 60, 120, 180, 240, 300):
            yield f"{name}-hue-{degrees}", f"{caption} {degrees}", hue_turned(picture, degrees)


def shades(artwork: Path) -> Named:
    """The same, darker by a third or a half while the white around them stays: grey and dark grey, red and dark red."""
    for name, caption, picture in _products(artwork):
        for percent in (100, 70, 50):
            yield f"{name}-shade-{percent}", f"{caption} {percent}", darker_on_white(picture, percent / 100)


def _products(artwork: Path) -> list[tuple[str, str, Image.Image]]:
    chosen = [each for each in stamps(artwork) if each[0].split("-")[0] in ("clothes", "household", "vehicles", "food")]
    random.Random(0).shuffle(chosen)
    return [each for each in chosen if signatures(each[2])["colour"] >= _COLOURED][:_NUM_PRODUCTS]


def icons(artwork: Path) -> Named:
    """Line drawings of one style: small, black, and many."""
    for path in sorted((artwork / "fluent-icons/icons").glob("*_24_*.svg"))[::2]:
        yield path.stem, re.sub(r"_24_(filled|regular|light|color)", "", path.stem), svg(path)


def hue_turned(picture: Image.Image, degrees: int) -> Image.Image:
    hue, *others = picture.convert("HSV").split()
    turn = round(degrees / 360 * 256)
    return Image.merge("HSV", [hue.point(lambda level: (level + turn) % 256), *others]).convert("RGB")


def darker_on_white(picture: Image.Image, share: float) -> Image.Image:
    pixels = np.asarray(picture)
    white = (pixels >= 250).all(axis=2, keepdims=True)
    return Image.fromarray(np.where(white, pixels, np.rint(pixels * share)).astype(np.uint8))


def svg(path: Path) -> Image.Image:
    import resvg_py

    return on_white(bytes(resvg_py.svg_to_bytes(svg_path=str(path), width=_SIDE_PX, skip_system_fonts=True)))


HARD_SETS: dict[str, Callable[[Path], Named]] = {
    "emoji-all": emoji, "flags": flags, "cards": cards, "mahjong": mahjong, "dice": dice, "stamps": stamps,
    "colours": colours, "shades": shades, "icons": icons, "screens": screens,
}  # fmt: skip
