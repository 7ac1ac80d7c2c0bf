"""A cell of any type as text: the one rule for captions, addresses, licences and keys of tables and JSON.

cell_texts(["一只猫", None, 7])       # ["一只猫", "7"]
cell_text(float("nan"))              # None

Null, NaN, the word nan and blank text are nothing. Numbers, dates and whole floats are written as people write them.
Bytes are decoded by the source's encoding. A list in a list is one list of texts. A struct, a truth value, and bytes
that are not of the encoding, are no text: BrokenCell is raised, and the row is a `broken_row`.
"""

import datetime
import decimal
import math
import re
from typing import Any

from .text_encoding import decoded

_UNDECODED = re.compile(r"[\udc80-\udcff]")  # bytes that `open_text` could not decode


class BrokenCell(ValueError):
    """The cell holds something that is no text."""


def cell_texts(cell: Any, encoding: str = "utf-8") -> list[str]:
    """Return the texts in a cell, without blank ones. Raises BrokenCell."""
    if isinstance(cell, list | tuple):
        return [text for each in cell for text in cell_texts(each, encoding)]
    text = cell_text(cell, encoding)
    return [] if text is None else [text]


def cell_text(cell: Any, encoding: str = "utf-8") -> str | None:
    """Return the text of a cell that holds one value; None if it holds nothing. Raises BrokenCell."""
    text: str | None
    if isinstance(cell, str):
        text = cell
    elif isinstance(cell, bytes | bytearray | memoryview):
        text = decoded(bytes(cell), encoding)
    elif isinstance(cell, float):
        text = "" if math.isnan(cell) else str(int(cell)) if cell.is_integer() else str(cell)
    elif not isinstance(cell, bool) and isinstance(cell, int | decimal.Decimal | datetime.date | datetime.time):
        text = str(cell)
    else:
        text = "" if cell is None else None
    if text is None or _UNDECODED.search(text):
        raise BrokenCell(f"no text: {type(cell).__name__}")
    is_nothing = text.strip() in ("", "nan")  # pandas writes a missing text so, where a column was made text
    return None if is_nothing else without_surrogates(text)


def without_surrogates(text: str) -> str:
    """Return `text` with `?` for each half of a surrogate pair: JSON may hold one, a file may not."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
