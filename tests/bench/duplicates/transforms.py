"""What happens to pictures on their way through the web, done by OpenCV: another resizer and other codecs than ours.

    .venv/duplicates-tools/bin/python tests/bench/duplicates/transforms.py runs/bench-duplicates/photographs

reads `original/NAME.png` there and writes `jpeg-50/NAME.jpg`, `scale-0.5/NAME.png`, … beside it; what is there stays.
Needs opencv-python-headless, which is no dependency of Tuwen: an environment of its own (README). In the project's
environment `transformed_pictures(folder, "jpeg-50")` says where they lie: {name: path}.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Pixels = Any  # (height, width, 3) uint8, BGR as OpenCV has it
Transform = Callable[[Pixels], Pixels]

CODECS = {
    "jpeg-95": (".jpg", 95), "jpeg-80": (".jpg", 80), "jpeg-50": (".jpg", 50), "jpeg-30": (".jpg", 30),
    "jpeg-20": (".jpg", 20), "webp-80": (".webp", 80), "webp-50": (".webp", 50),
}  # fmt: skip
_SCALES = {
    "0.25": ("area", "linear", "cubic", "lanczos4"),
    "0.5": ("area", "linear", "cubic", "lanczos4"),
    "0.75": ("linear", "cubic"),
    "1.5": ("linear", "cubic"),
    "2": ("cubic", "lanczos4"),
}  # fmt: skip; smaller by linear, cubic and Lanczos: OpenCV does not smooth, so details alias
TRANSFORMS = [
    *CODECS,
    *(f"scale-{factor}-{how}" for factor, resizers in _SCALES.items() for how in resizers),
    "squash-1x1", "squash-16x9",
    "grey", "brightness-0.8", "brightness-1.2", "gamma-0.8", "gamma-1.25", "contrast-0.8", "contrast-1.2",
    "crop-2", "crop-5", "crop-10",
    "border-white-2", "border-white-5", "border-white-10", "border-black-2", "border-black-5", "border-black-10",
    "watermark-corner", "watermark-middle",
    "rotate-1", "rotate-2", "rotate-5", "rotate-90", "flip",
]  # fmt: skip


def transformed_pictures(folder: Path, transform: str) -> dict[str, Path]:
    """Name → file of a set's pictures after `transform`, or "original"."""
    return {path.stem: path for path in sorted((folder / transform).iterdir())}


def write_transformed(folder: Path) -> None:
    """Every transform of every picture under `folder/original`."""
    import cv2

    cv2.setNumThreads(1)
    for name in TRANSFORMS:
        (folder / name).mkdir(exist_ok=True)
    for number, path in enumerate(sorted((folder / "original").glob("*.png"))):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        for name in TRANSFORMS:
            ending, quality = CODECS.get(name, (".png", None))
            there = folder / name / f"{path.stem}{ending}"
            if not there.exists():
                there.write_bytes(_encoded(_transformed(picture, name), ending, quality))
        if number % 100 == 0:
            print(folder.name, number, flush=True)


def _encoded(picture: Pixels, ending: str, quality: int | None) -> bytes:
    import cv2

    flags = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    }[ending]
    encoded: bytes = cv2.imencode(ending, picture, flags)[1].tobytes()
    return encoded


def _transformed(picture: Pixels, name: str) -> Pixels:
    kind, *said = name.split("-")
    return picture if name in CODECS else _KINDS[kind](picture, *said)


def _scale(picture: Pixels, factor: str, how: str) -> Pixels:
    import cv2

    resizer = getattr(cv2, f"INTER_{how.upper()}")
    return cv2.resize(picture, None, fx=float(factor), fy=float(factor), interpolation=resizer)


def _squash(picture: Pixels, aspect: str) -> Pixels:
    import cv2

    wide, high = map(int, aspect.split("x"))
    width = max(picture.shape[:2])
    return cv2.resize(picture, (width, width * high // wide), interpolation=cv2.INTER_AREA)


def _grey(picture: Pixels) -> Pixels:
    import cv2

    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def _tone(curve: Callable[[Any, float], Any]) -> Callable[[Pixels, str], Pixels]:
    """`curve` maps the levels 0 … 1, of all channels alike; what leaves the range is clipped, as it is in practice."""
    import numpy as np

    def transform(picture: Pixels, amount: str) -> Pixels:
        levels = curve(np.arange(256) / 255, float(amount))
        return np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)[picture]

    return transform


def _crop(picture: Pixels, percent: str) -> Pixels:
    """Off each side, in percent of it; of an own share on each, so that nothing stays in the middle by chance."""
    height, width = picture.shape[:2]
    top, left = (round(side * int(percent) / 100 * 0.5) for side in (height, width))
    bottom, right = (round(side * int(percent) / 100) for side in (height, width))
    return picture[top : height - bottom + top, left : width - right + left]


def _border(picture: Pixels, colour: str, percent: str) -> Pixels:
    import cv2

    high, wide = (max(1, round(side * int(percent) / 100)) for side in picture.shape[:2])
    value = [255] * 3 if colour == "white" else [0] * 3
    return cv2.copyMakeBorder(picture, high, high, wide, wide, cv2.BORDER_CONSTANT, value=value)


def _watermark(picture: Pixels, where: str) -> Pixels:
    """Across the middle half transparent and as wide as the picture; in the corner opaque, a third as wide."""
    import cv2

    height, width = picture.shape[:2]
    text, font = "www.example.com", cv2.FONT_HERSHEY_SIMPLEX
    wide = width * (0.9 if where == "middle" else 0.33)
    size = wide / cv2.getTextSize(text, font, 1, 2)[0][0]
    thick = max(1, round(2 * size))
    place = (round(width * 0.05), round(height * 0.55)) if where == "middle" else (round(width * 0.65), height - 8)
    marked = picture.copy()
    cv2.putText(marked, text, place, font, size, (0, 0, 0), thick + 2, cv2.LINE_AA)
    cv2.putText(marked, text, place, font, size, (255, 255, 255), thick, cv2.LINE_AA)
    return cv2.addWeighted(marked, 0.5, picture, 0.5, 0) if where == "middle" else marked


def _rotate(picture: Pixels, degrees: str) -> Pixels:
    """The canvas stays; its corners are white."""
    import cv2

    if degrees == "90":
        return cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(degrees), 1)
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))


def _flip(picture: Pixels) -> Pixels:
    import cv2

    return cv2.flip(picture, 1)


_KINDS: dict[str, Callable[..., Pixels]] = {
    "scale": _scale,
    "squash": _squash,
    "grey": _grey,
    "brightness": _tone(lambda levels, gain: levels * gain),
    "gamma": _tone(lambda levels, gamma: levels**gamma),
    "contrast": _tone(lambda levels, gain: (levels - 0.5) * gain + 0.5),
    "crop": _crop,
    "border": _border,
    "watermark": _watermark,
    "rotate": _rotate,
    "flip": _flip,
}

if __name__ == "__main__":
    for argument in sys.argv[1:]:
        write_transformed(Path(argument))
