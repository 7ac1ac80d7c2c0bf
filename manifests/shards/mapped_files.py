"""Many files mapped into one range of addresses, so that one numpy operation gathers rows of any of them.

    files = MappedFiles([shard.bytes for shard in shards])
    files.map(0, path)
    records = files.records(np.array([1536, 9728]), width=2048)      # uint8 (2, 2048), copied out

A range as large as all files together is reserved at once (addresses, not memory), and each file is mapped into it
when it is first needed. Grouping the rows of a batch by file instead costs a second copy and 30 µs a file. Addresses
that are not mapped read as zeros: callers map a file before they read it.
"""

import ctypes
import errno
import mmap
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

_MAP_FIXED = 0x10  # of Linux and macOS; the standard library's mmap does not name it
_FAILED = ctypes.c_void_p(-1).value
_SLACK_BYTES = 1 << 20  # a record that begins in the last file may be wider than the rest of the file
MAX_MAPPED = 32_000  # Linux allows 65,530 mappings a process (vm.max_map_count)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class MappedFiles:
    """`np.asarray(files)` is the whole range as uint8, read-only."""

    def __init__(self, sizes: list[int]) -> None:
        """`sizes` in bytes; file i is mapped at `starts[i]`."""
        pages = np.array([-(-size // mmap.PAGESIZE) for size in sizes], dtype=np.int64)
        self.starts: NDArray[np.int64] = (np.cumsum(pages) - pages) * mmap.PAGESIZE
        self._sizes, self._mapped = sizes, set[int]()
        self._length = int(pages.sum()) * mmap.PAGESIZE + _SLACK_BYTES
        self._address = _reserve(None, self._length)
        self.__array_interface__ = {
            "data": (self._address, True), "shape": (self._length,), "typestr": "|u1", "version": 3,
        }  # fmt: skip
        # Not at the interpreter's exit: a thread may still be reading.
        weakref.finalize(self, _libc.munmap, self._address, self._length).atexit = False

    def map(self, number: int, path: Path) -> None:
        """Map a file. Raises OSError for one that is shorter than its size, since reading beyond its end is fatal."""
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._sizes[number]:
                raise OSError(errno.ENODATA, "shorter than announced", str(path))
            address = self._address + int(self.starts[number])
            _map(address, self._sizes[number], mmap.MAP_SHARED | _MAP_FIXED, file.fileno())
        self._mapped.add(number)

    @property
    def is_full(self) -> bool:
        return len(self._mapped) >= MAX_MAPPED

    def unmap(self, number: int) -> None:
        """Unmap a file: its addresses read as zeros again, and the disk space of a deleted file is free."""
        _reserve(self._address + int(self.starts[number]), -(-self._sizes[number] // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._mapped.discard(number)

    def records(self, starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
        """Return the `width` bytes at each of `starts`: uint8 (n, width), a copy."""
        return records(np.asarray(self), starts, width)

    def numbers(self, starts: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the number at each of `starts`, which are multiples of its size: (n,)."""
        return numbers(np.asarray(self), starts, dtype)


def records(memory: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return the `width` bytes of `memory` at each of `starts`. A memcpy a row is 16 times faster than by elements."""
    if not width or not len(starts):
        return np.zeros((len(starts), width), np.uint8)
    overlapping = as_strided(memory[:width].view(f"V{width}"), (len(memory) - width + 1,), (1,), writeable=False)
    return overlapping[starts].view(np.uint8).reshape(len(starts), width)


def aligned_records(
    memory: NDArray[np.uint8], starts: NDArray[np.int64], width: int, into: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return `records` whose starts are all multiples of `width`, in `into`, which has n · width bytes."""
    side_by_side = memory[: len(memory) // width * width].view(f"V{width}")
    # Any mode other than `clip` writes to a temporary buffer first.
    np.take(side_by_side, starts // width, out=into.view(f"V{width}"), mode="clip")
    return into.reshape(len(starts), width)


def numbers(memory: NDArray[np.uint8], starts: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    whole = memory[: len(memory) // dtype.itemsize * dtype.itemsize].view(dtype)
    return whole[starts // dtype.itemsize]


def _reserve(address: int | None, length: int) -> int:
    """Reserve addresses that read as zeros and take no memory."""
    fixed = 0 if address is None else _MAP_FIXED
    return _map(address, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0) | fixed, -1)


def _map(address: int | None, length: int, flags: int, descriptor: int) -> int:
    mapped = _libc.mmap(address, length, mmap.PROT_READ, flags, descriptor, 0)
    if mapped is None or mapped == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, f"mmap of {length} bytes: {os.strerror(number)}")
    return int(mapped)
