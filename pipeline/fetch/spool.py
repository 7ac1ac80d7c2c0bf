"""What a part has fetched so far, kept so that a kill costs nothing that was already downloaded.

    spool = Spool(folder, "wukong-…-00003", rules)
    spool.rows                       # row → LedgerRow, from tries of this part that were killed
    spool.add(ledger_row, file)
    spool.picture_of(ledger_row)     # the bytes again
    spool.remove()                   # when the part's tar is written

What was fetched and is not wanted any more is set aside in the same form: other rules may want it again.

A file is a sequence of records: two lengths, the ledger row as JSON, the picture. A try appends to a file of its own:
should Ray believe a living task dead, two never write into one. A record that was cut, or altered, ends its file.
"""

import hashlib
import json
import shutil
import struct
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from .ledger import LedgerRow, Rules, from_json

_LENGTHS = struct.Struct("<QQ")  # bytes of the JSON, bytes of the picture


class _Record(NamedTuple):
    row: LedgerRow
    path: Path
    offset: int  # of the picture
    num_bytes: int


class Spool:
    def __init__(self, folder: Path, part: str, rules: Rules) -> None:
        """Rows of a try under other rules (say, robots.txt ignored) are passed over."""
        folder.mkdir(parents=True, exist_ok=True)
        self._files = sorted(folder.glob(f"{part}.*.spool"))
        self._records = {record.row.row: record for path in self._files for record in _records(path, rules)}
        self._path = folder / f"{part}.{uuid.uuid4().hex[:8]}.spool"
        self._rules = rules
        self._file: IO[bytes] | None = None  # opened when there is something to add

    @property
    def rows(self) -> dict[int, LedgerRow]:
        return {number: record.row for number, record in self._records.items()}

    def add(self, row: LedgerRow, picture: IO[bytes]) -> None:
        if self._file is None:
            self._file = self._path.open("wb")
            self._file.write(_head(self._rules, 0))
        self._file.write(_head(row.as_json(), row.bytes))
        self._records[row.row] = _Record(row, self._path, self._file.tell(), row.bytes)
        if row.bytes:
            picture.seek(0)
            shutil.copyfileobj(picture, self._file)
        self._file.flush()  # to the system: a killed process loses nothing then

    def picture_of(self, row: LedgerRow) -> bytes | None:
        if row.row not in self._records:
            return None
        _, path, offset, num_bytes = self._records[row.row]
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(num_bytes)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        self.close()
        for path in (*self._files, self._path):
            path.unlink(missing_ok=True)


def _head(document: Mapping[str, object], picture_bytes: int) -> bytes:
    data = json.dumps(document, sort_keys=True).encode()
    return _LENGTHS.pack(len(data), picture_bytes) + data


def _records(path: Path, rules: Rules) -> Iterator[_Record]:
    with path.open("rb") as file:
        if _read_head(file) != (rules, 0):
            return
        while head := _read_head(file):
            document, num_bytes = head
            offset = file.tell()
            picture = file.read(num_bytes)
            if len(picture) < num_bytes or (num_bytes and hashlib.sha256(picture).hexdigest() != document["sha256"]):
                return
            yield _Record(from_json(document), path, offset, num_bytes)


def _read_head(file: IO[bytes]) -> tuple[dict[str, Any], int] | None:
    """The JSON of a record and the bytes of its picture; None at the end, and where a record was cut."""
    try:
        head_bytes, picture_bytes = _LENGTHS.unpack(file.read(_LENGTHS.size))
        return json.loads(file.read(head_bytes)), picture_bytes
    except (struct.error, ValueError, MemoryError, OverflowError):
        return None
