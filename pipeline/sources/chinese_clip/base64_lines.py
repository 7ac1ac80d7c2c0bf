"""A TSV of pictures as base64, one a line (`1076345 TAB /9j/4AAQ…`): where its lines are, and one line again.

for offset, picture_id in line_index(Path("train_imgs.tsv")): …     # id None: a line without a tab
picture_at(file, offset)                                            # the base64 of that line
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..source import MOST_BYTES, as_text

_MOST_LINE = MOST_BYTES * 4 // 3 + 4096  # bytes
_MOST_ID = 1024
_MARK = b"\xef\xbb\xbf"


def line_index(path: Path) -> Iterator[tuple[int, str | None]]:
    """Reads the file once, line by line. Blank lines do not count."""
    with path.open("rb", buffering=1 << 20) as file:
        offset = 0
        while line := file.readline(_MOST_LINE):
            if line.strip():
                head, tab, _ = line[:_MOST_ID].removeprefix(_MARK if offset == 0 else b"").partition(b"\t")
                yield offset, as_text(head.strip().decode("utf-8", "surrogateescape")) if tab else None
            while line and not line.endswith(b"\n"):
                line = file.readline(_MOST_LINE)
            offset = file.tell()


def picture_at(file: IO[bytes], offset: int) -> bytes | None:
    """The base64 in the line that begins there; None if the line is longer than any picture."""
    file.seek(offset)
    line = file.readline(_MOST_LINE)
    return None if len(line) == _MOST_LINE else line.partition(b"\t")[2].strip()
