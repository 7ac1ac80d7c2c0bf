"""A range of a file's bytes as a file of its own: an archive inside of an archive that is not compressed.

    inner = ByteWindow(file, start=1536, size=20480)
    inner.read_at(0, 512)        # bytes 1536 … 2047 of the file

Reads go past no end of the range, and each names its place (pread), so one file serves many windows.
"""

import io
import os
from types import TracebackType
from typing import IO, Protocol


class ReadableFile(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ByteWindow:
    def __init__(self, file: IO[bytes], start: int = 0, size: int | None = None) -> None:
        self._file = file  # kept open
        self._number = file.fileno()
        self.start = start
        self.size = os.fstat(self._number).st_size if size is None else size
        self._position = 0

    def read_at(self, offset: int, size: int) -> bytes:
        size = max(0, min(size, self.size - offset))
        data = os.pread(self._number, size, self.start + offset)
        while len(data) < size and (more := os.pread(self._number, size - len(data), self.start + offset + len(data))):
            data += more  # one call reads at most 2 GiB
        return data

    def window(self, offset: int, size: int) -> "ByteWindow":
        return ByteWindow(self._file, self.start + offset, min(size, self.size - offset))

    def __enter__(self) -> "ByteWindow":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The file stays open as long as a window of it is used."""

    # What tarfile and zipfile ask of a file.

    def read(self, size: int = -1) -> bytes:
        data = self.read_at(self._position, self.size if size < 0 else size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise io.UnsupportedOperation("negative seek position")  # OSError for zipfile, ValueError for others
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True
