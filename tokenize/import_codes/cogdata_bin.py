"""`.bin` of cogdata (github.com/Sleepychord/cogdata, BinarySaver): int32 rows of text ids, then codes.

    64 text ids, filled up with −1 │ 32·32 codes            of 256 px: 4,352 bytes
    64 text ids, filled up with −1 │ 8·8 │ 16·16 │ 32·32    of several sizes, small ones first: --grid 8x8+16x16+32x32

cogdata adds the size of the image codebook to each text id (UnifiedTokenizer.EncodeAsIds); it is taken off again.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...manifests.errors import BadInput
from .asked import Asked, Grid
from .code_rows import BrokenRow, CodeFiles, CodeRow, Rows

SUFFIXES = (".bin", ".cogdata")  # a merged task, and what one process of it wrote
CODEBOOK, GRID = 8192, Grid((32, 32))  # CogView's, where the user says nothing else
_ID = np.dtype("<i4")
_ROWS_AT_ONCE = 1024


def open_cogdata(asked: Asked) -> CodeFiles:
    """Raises BadInput when a file cannot hold rows of that length."""
    is_file = asked.path.is_file()
    folder = asked.path.parent if is_file else asked.path
    names = [asked.path.name] if is_file else sorted(bin_names(folder))
    filled = replace(asked, codebook=asked.codebook or CODEBOOK, grid=asked.grid or GRID)
    row_bytes = (filled.text_length + filled.num_codes) * _ID.itemsize
    sizes = {name: (folder / name).stat().st_size for name in names}
    for name, size in sizes.items():
        if asked.grid is None and size % row_bytes:
            raise BadInput(
                f"{folder / name}: {size:,} bytes are no rows of {filled.text_length} text ids and 32 × 32 codes",
                cure="say --grid as it was tokenized, or --grid 32x32 if the end of the file was cut off",
            )

    def rows(known: Asked) -> Rows:
        for name in names:
            yield from _rows(folder / name, name, known, row_bytes)

    num_rows = sum(-(-size // row_bytes) for size in sizes.values())
    return CodeFiles("cogdata", filled, folder, names, rows, num_rows)


def bin_names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size:
            yield path.relative_to(folder).as_posix()


def _rows(path: Path, name: str, asked: Asked, row_bytes: int) -> Rows:
    offset = asked.num_ids if asked.text_offset is None else asked.text_offset
    number = 0
    with path.open("rb") as file:
        while data := file.read(_ROWS_AT_ONCE * row_bytes):
            whole = len(data) // row_bytes
            for ids in np.frombuffer(data[: whole * row_bytes], _ID).reshape(whole, -1):
                text = ids[: asked.text_length]
                text = text[text >= 0] - offset
                yield CodeRow(f"{name}#{number}", ids[asked.text_length :], text=text.tolist())
                number += 1
            if len(data) % row_bytes:
                yield BrokenRow(f"{name}#{number}", "cut_off")
