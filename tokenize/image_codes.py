"""The contract of an image tokenizer: square pictures ↔ a grid of codes.

    image_codes = open_image_codes("compact-64")            # a shipped name, or a folder that `tuwen tokenizer` left
    codes = image_codes.encode(pictures)                    # uint8 (B, side, side, 3) → int64 (B, h, w)
    pictures = image_codes.decode(codes)                    # and back

Encoding is fp32 in fixed batches: the codes of a row must not depend on who else is encoded, nor on
which worker does it. Codes carry no offset; where they stand in a vocabulary is `sequence`'s business.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..manifests.errors import BadInput

SHIPPED = Path(__file__).parent
TOKENIZER_FILES = ("weights.safetensors", "config.json")  # what a tokenizer's folder must hold

Pictures = NDArray[np.uint8]  # (B, side, side, 3)
Codes = NDArray[np.int64]  # (B, h, w)


@dataclass(frozen=True)
class ImageTokenizerIdentity:
    """What a manifest records of a tokenizer: equal identities give equal codes."""

    name: str
    sha256: str  # of the weights
    config_sha256: str
    codebook: int  # codes are 0 … codebook − 1
    grid: tuple[int, int]  # (h, w)
    side_px: int
    compute_dtype: str

    def document(self) -> dict[str, Any]:
        return {**self.__dict__, "grid": list(self.grid)}


class ImageCodes(Protocol):
    identity: ImageTokenizerIdentity

    def encode(self, pictures: Pictures) -> Codes: ...

    def decode(self, codes: Codes) -> Pictures: ...


@cache
def open_image_codes(folder: Path) -> ImageCodes:
    """Raises BadInput when `folder` holds no tokenizer."""
    from .compact_codes import open_compact_vq  # torch takes a second to import, and most commands need none

    return open_compact_vq(folder)


def find_image_tokenizer(name: str, base: Path) -> Path:
    """The folder of a shipped tokenizer, or of one by path: relative to the recipe, or to the current directory."""
    for folder in (SHIPPED / name, base / name, Path(name)):
        if (folder / "weights.safetensors").is_file():
            return folder.resolve()
    shipped = ", ".join(sorted(path.parent.name for path in SHIPPED.glob("*/weights.safetensors")))
    raise BadInput(
        f"image tokenizer `{name}`: not found",
        cure=f"give a folder that `tuwen tokenizer` left, or a shipped one: {shipped}",
    )


def fit_square(picture: Image.Image, side: int) -> tuple[Pictures, list[int]]:
    """Centre-crop to a square and resize; returns (side, side, 3) and the crop box in the original's pixels."""
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    square = picture.crop(box).resize((side, side), Image.Resampling.BICUBIC)  # resize(box=) would look beyond the box
    return np.asarray(square, dtype=np.uint8), list(box)
