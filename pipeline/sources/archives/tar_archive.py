"""The members of a tar, of tars behind one another in one file, and of tars inside of it.

    TarArchive("/data/0.tar", ByteWindow(file)).members()

`cat a.tar b.tar` makes a file in which most tools see a.tar alone: the zeros at its end are taken for the end of all.
Here reading goes on behind them. What follows and is no tar is damage, as is a cut: tarfile takes both for the end.
"""

import tarfile
from bisect import bisect_right
from collections.abc import Generator, Iterator

from ....manifests.errors import BadInput
from ...tables.container_format import is_tar_header
from ..source import as_text
from .archive import Member
from .byte_window import ByteWindow
from .tar_headers import BLOCK, tar_headers

CURE = "restore it, or take it out of the source"
_ZEROS_READ = 1 << 20
# tarfile raises any of these on headers that are noise.
_NOISE = (tarfile.TarError, ValueError, ArithmeticError, LookupError, EOFError, MemoryError)


class TarArchive:
    def __init__(self, shown: str, window: ByteWindow, prefix: str = "") -> None:
        self._shown = shown  # in messages
        self._window = window
        self._prefix = prefix  # the names of the tars that it lies in
        self._starts: list[int] = []  # of each tar in the file, in the order of reading

    def members(self) -> Iterator[Member]:
        offset: int | None = 0
        self._starts = []
        while offset is not None:
            self._starts.append(self._window.start + offset)
            offset = yield from self._one_tar(offset)

    def read(self, offset: int, size: int) -> bytes:
        return self._window.read_at(offset - self._window.start, size)

    def inside(self, member: Member) -> "TarArchive":
        return TarArchive(self._shown, self.open(member), f"{member.name}/")

    def open(self, member: Member) -> ByteWindow:
        return self._window.window(member.offset - self._window.start, member.size)

    def segment(self, offset: int) -> int:
        return bisect_right(self._starts, offset)

    def _one_tar(self, start: int) -> Generator[Member, None, int | None]:
        """Yield the members of the tar at `start`. Return where the next one begins."""
        headers = tar_headers(self._window, start)
        origin, size, prefix = self._window.start, self._window.size, self._prefix
        try:
            while True:
                name, offset, num_bytes, passed = next(headers)
                if num_bytes < 0 or offset + num_bytes > size:
                    raise self._damaged(offset)
                yield Member(prefix + (name if name.isascii() else as_text(name)), origin + offset, num_bytes, passed)
        except StopIteration as stop:
            end: int = stop.value
        except _NOISE as error:
            raise BadInput(f"{self._shown}: not a whole tar ({error})", cure=CURE) from None
        return self._next_tar(end)

    def _next_tar(self, end: int) -> int | None:
        """Where another tar begins behind the zeros at `end`; None when nothing does. Raises BadInput on damage."""
        if len(mark := self._window.read_at(end, BLOCK)) < BLOCK or mark.strip(b"\0"):
            raise self._damaged(end)
        for offset in range(end, self._window.size, _ZEROS_READ):
            zeros = self._window.read_at(offset, _ZEROS_READ)
            if rest := zeros.lstrip(b"\0"):
                start = offset + (len(zeros) - len(rest)) // BLOCK * BLOCK
                if not is_tar_header(self._window.read_at(start, BLOCK)):
                    raise self._damaged(start)
                return start
        return None

    def _damaged(self, offset: int) -> BadInput:
        return BadInput(f"{self._shown}: damaged or cut short at byte {self._window.start + offset}", cure=CURE)
