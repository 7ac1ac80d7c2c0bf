"""The contract of an image tokenizer: square pictures ↔ a grid of codes.

    image_codes = open_image_codes(folder)                  # see `open_image_codes`
    codes = image_codes.encode(pictures)                    # uint8 (B, side, side, 3) → int64 (B, h, w)
    pictures = image_codes.decode(codes)                    # and back

Encoding is float32 in fixed batches. The codes of a picture depend neither on the other pictures of its batch nor on
the worker that encodes it. Codes carry no vocabulary offset; `sequence` adds it.
"""

from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]  # (B, side, side, 3) RGB
Codes = NDArray[np.int64]  # (B, h, w)


class ImageTokenizerDocument(TypedDict):
    """An `ImageTokenizerIdentity` as JSON."""

    name: str
    sha256: str
    config_sha256: str
    codebook: int
    grid: list[int]
    side_px: int
    compute_dtype: str
    kind: NotRequired[str]  # these three of pretrained tokenizers
    library: NotRequired[str]
    resize: NotRequired[str]


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
    kind: str = "compact"
    library: str = ""  # that holds the network, and its release
    resize: str = "bicubic"  # the filter of the crop, as Pillow calls it

    def document(self) -> ImageTokenizerDocument:
        document = ImageTokenizerDocument(
            name=self.name,
            sha256=self.sha256,
            config_sha256=self.config_sha256,
            codebook=self.codebook,
            grid=list(self.grid),
            side_px=self.side_px,
            compute_dtype=self.compute_dtype,
        )
        if self.kind != "compact":
            document |= {"kind": self.kind, "library": self.library, "resize": self.resize}
        return document


class ImageCodes(Protocol):
    identity: ImageTokenizerIdentity

    def encode(self, pictures: Pictures) -> Codes:
        """uint8 (B, side, side, 3) → int64 (B, h, w)."""
        ...

    def decode(self, codes: Codes) -> Pictures:
        """int64 (B, h, w) → uint8 (B, side, side, 3)."""
        ...
