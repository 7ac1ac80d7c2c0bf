"""What every format of codes is read as: rows, one after the other, each whole or broken.

    files = open_cogdata(asked)
    for row in files.rows(files.asked):
        row         # CodeRow("merge.bin#17", codes, text=[15955, 20128]) or BrokenRow("merge.bin#18", "cut_off")

Rows are numbered from 0 in each file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .asked import Asked


@dataclass(frozen=True)
class CodeRow:
    place: str  # FILE#ROW
    codes: NDArray[np.integer[Any]]  # flat
    caption: str = ""
    text: list[int] | None = None  # the caption's ids, where the files hold them
    view: int = 0  # crops of one picture count from 0
    meta: Mapping[str, Any] = field(default_factory=dict)  # what the files say besides, by the names of `RowMeta`
    split: str | None = None


@dataclass(frozen=True)
class BrokenRow:
    place: str
    reason: str


Rows = Iterator[CodeRow | BrokenRow]


@dataclass(frozen=True)
class CodeFiles:
    """Files of one format. `asked` has the facts that they hold filled in."""

    kind: str
    asked: Asked
    folder: Path  # that the names are relative to
    names: list[str]  # of the files whose bytes the rows depend on
    rows: Callable[[Asked], Rows]  # by the facts, when all are known
    num_rows: int | None = None  # where it is known beforehand
    text_sha256: str | None = None  # of the text tokenizer of the ids in the files
