"""The contract of an image tokenizer: square pictures ↔ codes.

    image_codes = open_image_codes(folder)                  # see `open_image_codes`
    codes = image_codes.encode(pictures)                    # uint8 (B, side, side, 3) → int64 (B, *shape)
    pictures = image_codes.decode(codes)                    # and back

The codes of a picture are a grid (h, w), or a row (n,) of a 1-D tokenizer; either has a last axis of k where each
position has a code of k codebooks. Encoding runs in fixed batches. The codes of a picture depend neither on the other
pictures of its batch nor on the worker that encodes it. Codes carry no vocabulary offset; `sequence` adds it.
"""

from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]  # (B, side, side, 3) RGB
Codes = NDArray[np.int64]  # (B, *shape)


class ImageTokenizerDocument(TypedDict):
    """An `ImageTokenizerIdentity` as JSON."""

    name: str
    kind: str
    sha256: str
    config_sha256: str
    codebook: int
    grid: list[int]
    side_px: int
    compute_dtype: str
    device: str
    resize: str
    codebooks: NotRequired[int]  # where there are several
    scales: NotRequired[list[int]]  # of multi-scale codes
    library: NotRequired[str]  # these of pretrained tokenizers
    license: NotRequired[str]
    normalisation: NotRequired[list[str]]
    options: NotRequired[list[str]]
    decodes: NotRequired[bool]  # where it is false


@dataclass(frozen=True)
class ImageTokenizerIdentity:
    """What a manifest records of a tokenizer: equal identities give equal codes."""

    name: str
    sha256: str  # of the weights
    config_sha256: str
    codebook: int  # codes are 0 … codebook − 1, in each codebook
    grid: tuple[int, ...]  # (h, w), or (n,) of a 1-D tokenizer
    side_px: int
    compute_dtype: str
    kind: str = "compact"
    codebooks: int = 1  # codes at each position of the grid
    scales: tuple[int, ...] = ()  # sides of the grids, coarse to fine, that a row of multi-scale codes holds
    device: str = "cpu"  # kind of device; another may change a few codes in a million
    library: str = ""  # that holds the network, and its release
    resize: str = "bicubic"  # how its pictures are resized; see crops/resample
    license: str = ""  # of the model
    normalisation: tuple[str, ...] = ()  # mean, then deviation, of red, green and blue in 0 … 1; decimals
    options: tuple[str, ...] = ()  # of `compile` and `channels_last`: each changes a few codes
    decodes: bool = True  # false: its library has no decoder, so nothing can be measured or shown

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a picture's codes."""
        return (*self.grid, self.codebooks) if self.codebooks > 1 else self.grid

    def document(self) -> ImageTokenizerDocument:
        document = ImageTokenizerDocument(
            name=self.name,
            kind=self.kind,
            sha256=self.sha256,
            config_sha256=self.config_sha256,
            codebook=self.codebook,
            grid=list(self.grid),
            side_px=self.side_px,
            compute_dtype=self.compute_dtype,
            device=self.device,
            resize=self.resize,
        )
        if self.codebooks > 1:
            document["codebooks"] = self.codebooks
        if self.scales:
            document["scales"] = list(self.scales)
        if self.library:
            document |= {"library": self.library, "license": self.license, "normalisation": list(self.normalisation)}
        if self.options:
            document["options"] = list(self.options)
        if not self.decodes:
            document["decodes"] = False
        return document


class ImageCodes(Protocol):
    identity: ImageTokenizerIdentity
    batch: int  # pictures that it encodes at a time; fewer are filled up

    def encode(self, pictures: Pictures) -> Codes:
        """uint8 (B, side, side, 3) → int64 (B, *shape)."""
        ...

    def decode(self, codes: Codes) -> Pictures:
        """int64 (B, *shape) → uint8 (B, side, side, 3)."""
        ...
