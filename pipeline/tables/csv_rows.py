"""The rows of CSV and TSV text. A fault stays in its row: the next row begins at the next line.

    for fields in csv_rows(lines): …        # ["http://…", "一只猫"], or None: a row that cannot be read

A quoted field may hold line breaks. One that never closes would swallow the rows that follow: where a line inside a
field is itself a row, the field's first line alone is broken. TSV has no quoting, but programs that write CSV quote its
fields all the same. Lines without a fault are parsed by the thousand, at the speed of the module `csv`.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

_CHUNK_LINES = 600  # fewer than make the garbage collector run
_MAX_RECORD = 1 << 16  # characters of a row with line breaks; a longer one has swallowed rows
_MAX_FIELD = 1 << 20
_PLACE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*://\S+|\S+\.(?:jpe?g|png|webp|gif|bmp|tiff?|avif))\s*", re.IGNORECASE)
_BEGINS_WITH_ADDRESS = re.compile(r'"?[a-z][a-z0-9+.-]*://[^\s,"]+,|"[a-z][a-z0-9+.-]*://[^\s,"]+",', re.IGNORECASE)

Fields = list[str]


def csv_rows(lines: Iterable[str]) -> Iterator[Fields | None]:
    """Yield None for a row that cannot be read. Blank lines are no rows."""
    return chain.from_iterable(_chunks(_Lines(lines)))


def tsv_rows(lines: Iterable[str]) -> Iterator[Fields | None]:
    source = _Lines(lines)
    width = 0
    while line := source.next():
        row = line.rstrip("\r\n")
        if "\0" in row or "\r" in row:
            yield None
        elif row.strip():
            fields = row.split("\t")
            if row.count('"') % 2 and len(fields) <= width:
                fields = _quoted_over_lines(row, source, width) or fields
            width = width or len(fields)
            yield [_unquoted(field) for field in fields]


class _Lines:
    """Lines that can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._back: deque[str] = deque()

    def next(self) -> str:
        """Return an empty text at the end."""
        return self._back.popleft() if self._back else next(self._lines, "")

    def take(self, count: int) -> list[str]:
        back = [self._back.popleft() for _ in range(min(count, len(self._back)))]
        return back + list(islice(self._lines, count - len(back)))

    def give_back(self, lines: Iterable[str]) -> None:
        self._back.extendleft(reversed(list(lines)))


def _chunks(source: _Lines) -> Iterator[list[Fields | None]]:
    csv.field_size_limit(_MAX_FIELD)
    width = 0
    while lines := source.take(_CHUNK_LINES):
        rows = _rows_of_lines(lines)
        if rows is None:
            source.give_back(lines)
            rows = _careful_rows(source, len(lines), width)
        width = width or next((len(row) for row in rows if row), 0)
        yield rows


def _rows_of_lines(lines: list[str]) -> list[Fields | None] | None:
    """The rows, if every line is a row without a fault; None: some line needs care."""
    try:
        rows: list[Fields | None] = list(csv.reader(lines))
    except csv.Error:
        return None
    if len(rows) != len(lines) or "\0" in "".join(lines) or _is_open(lines[-1:]):
        return None
    return rows if all(rows) else [row for row in rows if row]


def _careful_rows(source: _Lines, lines: int, width: int) -> list[Fields | None]:
    """The rows of as many lines, and of those that belong to the last of them."""
    rows: list[Fields | None] = []
    while lines > 0:
        record = _Record(source, width)
        fields = record.fields()
        lines -= len(record.taken)
        if fields or fields is None:
            rows.append(fields)
        width = width or len(fields or ())
    return rows


class _Record:
    """The lines of one row: as many as the parser asks for, up to a line that is a row itself."""

    def __init__(self, source: _Lines, width: int) -> None:
        self._source, self._width = source, width
        self.taken: list[str] = []
        self._length = 0
        self._has_swallowed = self._is_at_end = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._source.next()
        self._is_at_end = not line
        if self.taken and line:
            self._has_swallowed |= self._length > _MAX_RECORD or _is_row(line, self._width)
        if self._is_at_end or self._has_swallowed:
            self._source.give_back([line] * bool(line))
            raise StopIteration
        self.taken.append(line)
        self._length += len(line)
        return line

    def fields(self) -> Fields | None:
        """Return None for a row that cannot be read: its first line is taken, and the others are given back."""
        try:
            fields = next(csv.reader(self))
        except csv.Error:
            self._has_swallowed, fields = True, []
        wrong_width = bool(self._width) and len(self.taken) > 1 and len(fields) != self._width
        is_cut = self._is_at_end and _is_open(self.taken)
        if not self._has_swallowed and not wrong_width and not is_cut and not any("\0" in line for line in self.taken):
            return fields
        self._source.give_back(self.taken[1:])
        del self.taken[1:]
        return None


def _is_row(line: str, width: int) -> bool:
    """Whether a line inside a quoted field is a row itself, or begins as one. A row has an address or a file name."""
    if _BEGINS_WITH_ADDRESS.match(line):
        return True
    if "," not in line or line.count('"') % 2:  # an odd quote closes the field
        return False
    try:
        fields = next(csv.reader([line]), [])
    except csv.Error:
        return False
    return len(fields) == width and any(_PLACE.fullmatch(field) for field in fields)


def _is_open(lines: list[str]) -> bool:
    """Whether the lines end inside a quoted field."""
    if '"' not in "".join(lines):
        return False
    try:
        list(csv.reader(lines, strict=True))
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _quoted_over_lines(row: str, source: _Lines, width: int) -> Fields | None:
    """The fields of a row of which a quoted one holds line breaks; None, and no line taken, if it is no such row."""
    taken, text = [], row
    while text.count('"') % 2 and text.count("\t") < width and len(text) < _MAX_RECORD and (line := source.next()):
        taken.append(line)
        text += "\n" + line.rstrip("\r\n")
    fields = text.split("\t")
    is_whole = all(field[:1] == field[-1:] == '"' and len(field) > 1 for field in fields if "\n" in field)
    if taken and is_whole and len(fields) == width and not text.count('"') % 2 and "\0" not in text:
        return fields
    source.give_back(taken)
    return None


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if len(field) > 1 and field[0] == field[-1] == '"' else field
