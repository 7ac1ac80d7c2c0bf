"""The contract of an image tokenizer: square pictures ↔ a grid of codes.

    image_codes = open_image_codes(folder)                  # see `open_image_codes`
    codes = image_codes.encode(pictures)                    # uint8 (B, side, side, 3) → int64 (B, h, w)
    pictures = image_codes.decode(codes)                    # and back

Encoding is fp32 in fixed batches: the codes of a row must not depend on who else is encoded, nor on
which worker does it. Codes carry no offset; where they stand in a vocabulary is `sequence`'s business.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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
