"""The elements of a JSON array, one after the other; the whole array is never in memory.

    for element in json_elements(text, broken=lambda line, error: …): …

An element larger than 16 MiB, or a comma or bracket that is missing, ends the reading: `broken` makes the error that
is raised, from the line and the parser's message.
"""

import json
from collections.abc import Callable, Iterator
from typing import IO, Any

_CHUNK = 1 << 16
_MAX_ELEMENT = 1 << 24
_BLANKS = " \t\r\n\ufeff"


def json_elements(text: IO[str], broken: Callable[[int, str], Exception]) -> Iterator[Any]:
    reader = _Reader(text, broken)
    reader.expect("[")
    if reader.peek() == "]":
        return
    while True:
        yield reader.value()
        if reader.expect(",]") == "]":
            return


class _Reader:
    def __init__(self, text: IO[str], broken: Callable[[int, str], Exception]) -> None:
        self._text, self._broken = text, broken
        self._buffer, self._position, self._line = "", 0, 1
        self._decode = json.JSONDecoder(strict=False).raw_decode  # a string may hold a line break

    def peek(self) -> str:
        """Return the next character that is no blank, without taking it."""
        while True:
            while self._position < len(self._buffer):
                character = self._buffer[self._position]
                if character not in _BLANKS:
                    return character
                self._position += 1
            if not self._more():
                raise self._broken(self._line_here(), "it ends too early")

    def expect(self, characters: str) -> str:
        character = self.peek()
        if character not in characters:
            raise self._broken(self._line_here(), f"expected {' or '.join(characters)}, found {character}")
        self._position += 1
        return character

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._position)
                if self._buffer[end:].lstrip(_BLANKS)[:1] in (",", "]"):  # else a number may go on: 0 | .5
                    has_nul = self._buffer.find("\0", self._position, end) >= 0
                    self._position = end
                    return None if has_nul else value
                problem = "expected , or ] behind it"
            except (json.JSONDecodeError, RecursionError) as error:
                problem = str(error)
            if len(self._buffer) - self._position > _MAX_ELEMENT or not self._more():
                raise self._broken(self._line_here(), problem)

    def _more(self) -> bool:
        """Read on, as much again as is waiting: so a large element is parsed a few times and not thousands of times."""
        self._line += self._buffer.count("\n", 0, self._position)
        waiting = self._buffer[self._position :]
        chunk = self._text.read(max(_CHUNK, len(waiting)))
        self._buffer, self._position = waiting + chunk, 0
        return bool(chunk)

    def _line_here(self) -> int:
        return self._line + self._buffer.count("\n", 0, self._position)
