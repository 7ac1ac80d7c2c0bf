"""The rows of CSV and TSV text. A fault stays in its row: the next row begins at the next line.

    for fields in csv_rows(lines): …        # ["http://…", "一只猫"], or None: a row that cannot be read

A quoted field may hold line breaks. One that never closes would swallow the rows that follow: a field with both a line
break and an address has done so, and then its first line alone is broken. TSV has no quoting, but some quote fields as
a whole all the same.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator

_MAX_RECORD = 1 << 16  # characters of a row with line breaks; a longer one has swallowed rows
_MAX_FIELD = 1 << 20

Fields = list[str]


def csv_rows(lines: Iterable[str]) -> Iterator[Fields | None]:
    """`lines` end at line feeds alone. Yield None for a row that cannot be read. Blank lines are no rows."""
    csv.field_size_limit(_MAX_FIELD)
    source = _Lines(lines)
    width = 0
    while source.more():
        reader = csv.reader(source)
        for fields in _records(reader):
            taken = source.taken
            if fields is None or "\0" in "".join(taken) or (len(taken) > 1 and _has_swallowed(fields, width, taken)):
                source.keep_first()
                yield None
                break  # the reader may hold half a row
            source.forget()
            if fields:
                width = width or len(fields)
                yield fields


def tsv_rows(lines: Iterable[str]) -> Iterator[Fields | None]:
    for line in lines:
        row = line.rstrip("\r\n")
        if "\0" in row or "\r" in row:
            yield None
        elif row.strip():
            yield [_unquoted(field) for field in row.split("\t")]


def _records(reader: Iterator[Fields]) -> Iterator[Fields | None]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


def _has_swallowed(fields: Fields, width: int, taken: deque[str]) -> bool:
    wrong_width = bool(width) and len(fields) != width
    return wrong_width or _is_long(taken) or any("\n" in field and "://" in field for field in fields)


def _is_long(taken: deque[str]) -> bool:
    return sum(map(len, taken)) > _MAX_RECORD


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if len(field) > 1 and field[0] == field[-1] == '"' else field


class _Lines:
    """Lines that can be given back: those that the present row has taken are kept until it is known to be whole."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._back: deque[str] = deque()
        self.taken: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if _is_long(self.taken):
            raise StopIteration
        line = self._back.popleft() if self._back else next(self._lines)
        line = line.removesuffix("\n").removesuffix("\r") + "\n"
        self.taken.append(line)
        return line

    def more(self) -> bool:
        if not self._back:
            line = next(self._lines, None)
            if line is None:
                return False
            self._back.append(line)
        return True

    def forget(self) -> None:
        self.taken.clear()

    def keep_first(self) -> None:
        """Give back all taken lines but the first."""
        self._back.extendleft(reversed(list(self.taken)[1:]))
        self.taken.clear()
