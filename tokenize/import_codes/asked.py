"""What a user says of codes that others tokenized: where they lie, and the facts that files do not hold.

    asked = Asked(path=Path("merge.bin"), name="cogdata", codebook=8192, grid=parse_grid("32x32"))
    asked.shape, asked.num_codes        # (32, 32), 1024

A fact that is needed and not given is refused where it is needed, with the option that gives it.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...manifests.errors import BadInput
from ..image_codes import ImageTokenizerIdentity

Kind = Literal["cogdata", "parquet", "llamagen"]


@dataclass(frozen=True)
class Grid:
    """`--grid`: 32x32, 256 (a row), or 8x8+16x16 (grids one after the other: a row with its scales)."""

    shape: tuple[int, ...]  # (h, w), or (n,)
    scales: tuple[int, ...] = ()  # sides of the grids that a row holds


@dataclass(frozen=True, kw_only=True)
class Asked:
    path: Path
    name: str  # of the source: keys are made of it
    kind: Kind | None = None  # None: told by the files
    codebook: int | None = None
    grid: Grid | None = None
    codebooks: int | None = None  # codes at each position; None: one
    captions: Path | None = None  # a caption a line, or LlamaGen's folder of .jsonl
    text_model: Path | None = None
    tokenizer: str | None = None
    license: str = "unknown"
    attribution: str = ""
    validation: float | None = None  # share; None: 0.02, or as a column `split` says
    caption_column: str | None = None
    codes_column: str | None = None
    text_length: int = 64  # text ids at the head of a row of cogdata
    text_offset: int | None = None  # of these ids; None: the size of the codebook, as cogdata adds it

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a picture's codes. Raises BadInput when no option and no file says it."""
        if self.grid is None:
            raise BadInput(
                f"{self.path}: does not say how its codes lie in a picture",
                cure="say --grid 32x32, or --grid 256 for a row of a 1-D tokenizer",
            )
        books = self.codebooks or 1
        return (*self.grid.shape, books) if books > 1 else self.grid.shape

    @property
    def num_codes(self) -> int:
        return math.prod(self.shape)

    @property
    def num_ids(self) -> int:
        """The size of a codebook. Raises BadInput when no option and no file says it."""
        if self.codebook is None:
            raise BadInput(
                f"{self.path}: does not say how many codes there are",
                cure="say --codebook 16384, or the number of your tokenizer",
            )
        return self.codebook

    def with_tokenizer(self, identity: ImageTokenizerIdentity) -> "Asked":
        """The facts as the tokenizer has them."""
        grid = Grid(identity.grid, identity.scales)
        return replace(self, codebook=identity.codebook, grid=grid, codebooks=identity.codebooks)


def parse_grid(text: str) -> Grid:
    """Raises BadInput for what is no grid."""
    if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5})?(\+[1-9]\d{0,5}x[1-9]\d{0,5})*", text):
        raise BadInput(f"--grid {text}: no grid", cure="write 32x32, 256 for a row, or 8x8+16x16 for several grids")
    grids = [tuple(int(side) for side in part.split("x")) for part in text.split("+")]
    if len(grids) == 1:
        return Grid(grids[0])
    if any(len(grid) != 2 or grid[0] != grid[1] for grid in grids):
        raise BadInput(f"--grid {text}: several grids are square", cure="write 8x8+16x16+32x32")
    return Grid((sum(math.prod(grid) for grid in grids),), tuple(grid[0] for grid in grids))
