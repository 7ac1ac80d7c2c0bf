"""What a part has fetched so far, kept so that a kill costs nothing that was already downloaded.

    spool = Spool(folder, "wukong-…-00003", rules)
    spool.held                       # row → LedgerRow, of this part's earlier, killed tries
    spool.add(ledger_row, file)
    spool.body(row)                  # the bytes again
    spool.remove()                   # when the part's tar is there

A file is a sequence of records: two lengths, the ledger row as JSON, the picture. A try appends to a file of its own:
should Ray believe a living task dead, two never write into one. A record that was cut, or altered, ends its file.
"""

import hashlib
import json
import shutil
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .ledger import LedgerRow, Rules, from_json

_LENGTHS = struct.Struct("<QQ")


class Spool:
    def __init__(self, folder: Path, part: str, rules: Rules) -> None:
        """Rows of a try under other rules (say, robots.txt ignored) are not held."""
        folder.mkdir(parents=True, exist_ok=True)
        self.held: dict[int, LedgerRow] = {}
        self._places: dict[int, tuple[Path, int, int]] = {}
        self._files = sorted(folder.glob(f"{part}.*.spool"))
        for path in self._files:
            for row, place in _records(path, rules):
                self.held[row.row], self._places[row.row] = row, place
        self._path = folder / f"{part}.{uuid.uuid4().hex[:8]}.spool"
        self._file = self._path.open("wb")
        self._file.write(_framed(dict(rules), 0))

    def add(self, row: LedgerRow, picture: IO[bytes]) -> None:
        self._file.write(_framed(row.as_json(), row.bytes))
        self._places[row.row] = self._path, self._file.tell(), row.bytes
        if row.bytes:
            picture.seek(0)
            shutil.copyfileobj(picture, self._file)
        self._file.flush()  # to the system: a killed process loses nothing then

    def body(self, row: int) -> bytes | None:
        if row not in self._places:
            return None
        path, start, size = self._places[row]
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def remove(self) -> None:
        self._file.close()
        for path in (*self._files, self._path):
            path.unlink(missing_ok=True)


def _framed(document: dict[str, Any], body_bytes: int) -> bytes:
    head = json.dumps(document, sort_keys=True).encode()
    return _LENGTHS.pack(len(head), body_bytes) + head


def _records(path: Path, rules: Rules) -> Iterator[tuple[LedgerRow, tuple[Path, int, int]]]:
    with path.open("rb") as file:
        if _head(file) != (rules, 0):
            return
        while found := _head(file):
            document, size = found
            start = file.tell()
            body = file.read(size)
            if len(body) < size or (size and hashlib.sha256(body).hexdigest() != document["sha256"]):
                return
            yield from_json(document), (path, start, size)


def _head(file: IO[bytes]) -> tuple[dict[str, Any], int] | None:
    try:
        head_bytes, body_bytes = _LENGTHS.unpack(file.read(_LENGTHS.size))
        return json.loads(file.read(head_bytes)), body_bytes
    except (struct.error, ValueError, MemoryError, OverflowError):
        return None
