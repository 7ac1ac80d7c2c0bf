"""How the codes of a picture are continued with finer ones of the same picture, a window at a time.

    layout = finer_layout_for(coarse, shards.sample_schema, array="codes_large", window=4)
    ids, positions = layout.sequences(codes, text, lengths, origins)         # (n, layout.length) each

A sequence is `[ROI1] text [BASE] [BOI1] codes [EOI1] [ROI2] [BASE] [BOI2] finer codes [EOI2]`, and its finer codes are
those of one window. A window of 4 × 4 coarse codes has 8 × 8 finer ones, where the finer grid is twice as wide.

`compact` reads the coarse codes of the whole picture. A position of the second part belongs to a place of the finer
grid: each token has that of the code after it, so that [BOI2] says which window begins. `under` has the coarse code
that this place lies in, which the model reads together with the token: without it 480 steps taught the colours of a
picture, and not where they are. The new ids and positions come after those of the coarse layout, which keep their
meaning.

`cogview` is the paper's (arXiv 2105.13290): the coarse codes are those of the window alone, positions restart at
[ROI2], all ids are there already, and both grids are of one tokenizer.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..manifests.documents import ArraySchema
from ..manifests.errors import BadInput
from .sequence import Ids, SequenceLayout

Origin = tuple[int, int]  # row and column of a window's first coarse code
FINER_COMMANDS = ("[ROI2]", "[BOI2]", "[EOI2]")


@dataclass(frozen=True)
class FinerLayout:
    coarse: SequenceLayout
    array: str  # of the finer codes in the shards
    coarse_grid: tuple[int, int]  # rows and columns
    finer_grid: tuple[int, int]
    codebook: int  # finer codes
    window: int  # coarse codes on a side

    @property
    def scale(self) -> int:
        """Finer codes on a side of a coarse one."""
        return self.finer_grid[0] // self.coarse_grid[0]

    @property
    def side(self) -> int:
        """Finer codes on a side of a window."""
        return self.window * self.scale

    @property
    def num_codes(self) -> int:
        """Finer codes of a window."""
        return self.side**2

    @property
    def num_places(self) -> int:
        """Finer codes of a picture."""
        return math.prod(self.finer_grid)

    @cached_property
    def read(self) -> SequenceLayout:
        """The layout of the first part."""
        return self.coarse if self.coarse.aligned else replace(self.coarse, num_codes=self.window**2)

    @cached_property
    def command_ids(self) -> dict[str, int]:
        known = self.coarse.command_ids
        return known | {command: known.get(command, self.coarse.vocab + n) for n, command in enumerate(FINER_COMMANDS)}

    @property
    def has_new_ids(self) -> bool:
        return FINER_COMMANDS[0] not in self.coarse.command_ids

    @property
    def code_offset(self) -> int:
        """The id of the first finer code."""
        return self.coarse.vocab + len(FINER_COMMANDS) if self.has_new_ids else 0

    @property
    def vocab(self) -> int:
        if not self.has_new_ids:
            return self.coarse.vocab
        multiple = self.coarse.vocab_multiple
        return -(-(self.code_offset + self.codebook) // multiple) * multiple

    @property
    def length(self) -> int:
        """The length of a sequence with the longest caption."""
        return self.read.length + self.num_codes + 4

    @property
    def first_place_position(self) -> int:
        """The position that belongs to the first place of the finer grid; of `compact`."""
        return self.coarse.length + 2

    @property
    def num_positions(self) -> int:
        if self.coarse.aligned:
            return self.first_place_position + self.num_places + 2
        return max(self.coarse.length, self.num_codes + 4)

    @property
    def pad(self) -> int:
        return self.coarse.pad

    def is_code(self, ids: Any) -> Any:
        """True where ids, an array or a tensor, are finer codes."""
        return (ids >= self.code_offset) & (ids < self.code_offset + self.codebook)

    def codebooks_of(self, ids: Ids) -> tuple[Ids, Ids]:
        """The first id, and the size, of the codebook of each id; 0 and 0 where it is no code."""
        first, size = self.coarse.codebooks_of(ids)
        is_code = self.is_code(ids)
        return np.where(is_code, self.code_offset, first), np.where(is_code, self.codebook, size)

    def places(self, origin: Origin) -> Ids:
        """The finer codes of a window, by their places in the grid of the picture, row by row: (num_codes,)."""
        return _places(origin[0] * self.scale, origin[1] * self.scale, self.side, self.finer_grid[1])

    def coarse_places(self, origin: Origin) -> Ids:
        """The coarse codes that the sequence of a window has."""
        if self.coarse.aligned:
            return np.arange(self.coarse.num_codes)
        return _places(*origin, self.window, self.coarse_grid[1])

    def under(self, ids: Ids, lengths: Ids, origins: NDArray[np.int64]) -> Ids | None:
        """The id of the coarse code that the code after each token lies in, −1 where there is none: (n, length).

        `ids` are those of `sequences`, as they are read. None of `cogview`, where it is not told.
        """
        if not self.coarse.aligned:
            return None
        under = np.full(ids.shape, -1, dtype=np.int64)
        for row, (length, origin) in enumerate(zip(lengths, origins, strict=True)):
            begin = min(int(length), self.read.text_max) + 3  # of the coarse codes; [ROI1] [BASE] [BOI1]
            first = begin + self.read.num_codes + 3  # [BOI2]; [EOI1] [ROI2] [BASE]
            under[row, first : first + self.num_codes] = ids[
                row, begin + self.coarse_under((int(origin[0]), int(origin[1])))
            ]
        return under

    def under_codes(self, codes: Ids, origin: Origin) -> Ids:
        """The coarse codes of a picture that the finer ones of a window lie in: (num_codes,); −1 if it is not told."""
        return codes[self.coarse_under(origin)] if self.coarse.aligned else np.full(self.num_codes, -1)

    def coarse_under(self, origin: Origin) -> Ids:
        """The coarse codes that the finer codes of a window lie in, by their places in the picture: (num_codes,)."""
        row, column = np.divmod(self.places(origin), self.finer_grid[1])
        under: Ids = row // self.scale * self.coarse_grid[1] + column // self.scale
        return under

    def origins_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Any numbers (n, 2) → any windows of the picture, as their origins (n, 2)."""
        choices: NDArray[np.int64] = np.array(self.coarse_grid) - self.window + 1
        return numbers % choices

    def second_part(self, origin: Origin) -> Ids:
        """The positions of `[ROI2] [BASE] [BOI2] finer codes [EOI2]`: (num_codes + 4,)."""
        if not self.coarse.aligned:
            return np.arange(self.num_codes + 4)
        first, end = self.first_place_position, self.first_place_position + self.num_places
        return np.array([first - 2, first - 1, *(first + self.places(origin)), end, end + 1])

    def prompt(self, text: list[int], codes: Ids, origin: Origin) -> tuple[Ids, Ids]:
        """Return ids and positions of all that precedes the first finer code; codes are those of the picture."""
        coarse = codes[self.coarse_places(origin)]
        first, positions = self.read.sequences(coarse[None], np.array([text]), np.array([len(text)]))
        length, commands = min(len(text), self.read.text_max) + self.read.num_codes + 4, self.command_ids
        ids = [*first[0, :length], commands["[ROI2]"], commands["[BASE]"], commands["[BOI2]"]]
        return np.array(ids, dtype=np.int64), np.concatenate((positions[0, :length], self.second_part(origin)[:3]))

    def sequences(
        self, codes: NDArray[Any], text: NDArray[Any], lengths: Ids, origins: NDArray[np.int64]
    ) -> tuple[Ids, Ids]:
        """Lay out a window of each row, by its origin (n, 2): ids and positions (n, length).

        `codes` (n, coarse + finer) has those of the picture, one grid after the other; text is as of `SequenceLayout`.
        """
        coarse, finer = codes[:, : self.coarse.num_codes], codes[:, self.coarse.num_codes :]
        windows: list[Origin] = [(int(row), int(column)) for row, column in origins]
        read = np.stack([each[self.coarse_places(window)] for each, window in zip(coarse, windows, strict=True)])
        first_ids, first_positions = self.read.sequences(read, text, lengths)
        ids = np.full((len(codes), self.length), self.pad, dtype=np.int64)
        positions = np.full(ids.shape, self.num_positions - 1, dtype=np.int64)
        ids[:, : self.read.length], positions[:, : self.read.length] = first_ids, first_positions
        commands = self.command_ids
        for row, window in enumerate(windows):
            start = min(int(lengths[row]), self.read.text_max) + self.read.num_codes + 4
            second = slice(start, start + self.num_codes + 4)
            here = self.code_offset + finer[row, self.places(window)].astype(np.int64)
            ids[row, second] = [
                commands["[ROI2]"], commands["[BASE]"], commands["[BOI2]"], *here, commands["[EOI2]"]
            ]  # fmt: skip
            positions[row, second] = self.second_part(window)
        return ids, positions

    def waves(self) -> list[list[Origin]]:
        """Windows that cover the picture, each half over the next, in the order in which they can be painted.

        What the windows of one wave share is in windows of earlier ones, so they can be painted side by side.
        """
        rows, columns = (_starts(size, self.window) for size in self.coarse_grid)
        waves: list[list[Origin]] = [[] for _ in range(len(rows) + len(columns) - 1)]
        for r, row in enumerate(rows):
            for c, column in enumerate(columns):
                waves[r + c].append((row, column))
        return waves


def _places(row: int, column: int, side: int, columns: int) -> Ids:
    rows = row + np.arange(side)
    return (rows[:, None] * columns + column + np.arange(side)).ravel()


def _starts(size: int, window: int) -> list[int]:
    """Where windows begin: every half of a window, and the last at the edge."""
    step = max(1, window // 2)
    return [*range(0, size - window, step), size - window]


def finer_layout_for(coarse: SequenceLayout, schema: ArraySchema, array: str, window: int | None) -> FinerLayout:
    """The layout for shards of this schema; `window` is half of the grid, if not said.

    Raises BadInput when the shards have no such array, or when its grid is not a multiple of the coarse one.
    """
    name, finer = array.removeprefix("codes_"), schema.also.get(array)
    if finer is None:
        have = ", ".join(sorted(each.removeprefix("codes_") for each in schema.also)) or "none"
        raise BadInput(
            f"`train.refine.codes`: the shards have no codes `{name}`, but {have}",
            cure=f"tokenize with `also: {{{name}: {{tokenizer: …}}}}`",
        )
    grid, finer_grid = schema.codes.shape, finer.shape
    if len(grid) != 2 or len(finer_grid) != 2:
        raise BadInput(
            f"`train.refine`: codes of {grid} and {finer_grid} are no two grids of one code a place",
            cure="tokenize with tokenizers that have such",
        )
    scales = {large / small for large, small in zip(finer_grid, grid, strict=True)}
    if len(scales) > 1 or min(scales) < 2 or not min(scales).is_integer():
        raise BadInput(
            f"`train.refine`: a grid of {_said(finer_grid)} is no multiple of {_said(grid)}",
            cure="tokenize `also` in twice the size",
        )
    window = window or max(1, min(grid) // 2)
    if window > min(grid):
        raise BadInput(f"`train.refine.window`: {window} is more than {_said(grid)} codes", cure=f"give {min(grid)}")
    layout = FinerLayout(coarse, array, (grid[0], grid[1]), (finer_grid[0], finer_grid[1]), finer.codebook, window)
    if not coarse.aligned and layout.num_codes + 4 > coarse.length:
        raise BadInput(
            f"`train.refine.window`: {layout.num_codes:,} finer codes are more than the positions of "
            f"`layout: {coarse.name}`, {coarse.length:,}",
            cure="give a smaller window",
        )
    if not layout.has_new_ids and finer.codebook != coarse.codebook:
        raise BadInput(
            f"`train.refine`: `layout: {coarse.name}` has {coarse.codebook:,} codes for both grids, "
            f"and `{name}` has {finer.codebook:,}",
            cure="tokenize both with one tokenizer, or say --set train.layout=compact",
        )
    return layout


def _said(grid: list[int]) -> str:
    return " × ".join(str(side) for side in grid)
