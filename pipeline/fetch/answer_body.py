"""The body of an answer → a file, with a cap on what is read and on what it unpacks to.

    await read_body(response, file, limit=32 * 1024**2, look=check_head)

`look` gets the first 4,096 bytes (or all) as soon as they have arrived and may refuse: a film of gigabytes that is
called .jpg is not read to its end.
"""

import zlib
from collections.abc import Callable
from typing import IO

from aiohttp import ClientResponse

from .problems import Refused

HEAD_BYTES = 4096
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


async def read_start(response: ClientResponse, file: IO[bytes], limit: int) -> None:
    """Write the first `limit` bytes, or up to a chunk more, and leave the rest. A packed body is not unpacked."""
    async for chunk in response.content.iter_any():
        file.write(chunk)
        if file.tell() >= limit:
            return


async def read_body(response: ClientResponse, file: IO[bytes], limit: int, look: Callable[[bytes], None]) -> None:
    """Write the body, unpacked. Raises Refused: too_many_bytes, cut_body, bad_encoding, and what `look` raises."""
    if (response.content_length or 0) > limit:
        raise Refused("too_many_bytes", f"Content-Length: {response.content_length}")
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", *_PACKED):
        raise Refused("bad_encoding", encoding)
    unpack = zlib.decompressobj(47) if encoding in _PACKED else None  # 47: gzip or zlib, as its header says
    writer = _Writer(file, limit, look)
    received = 0
    async for chunk in response.content.iter_any():
        received += len(chunk)
        if received > limit:
            raise Refused("too_many_bytes", f"{received} and more")
        if unpack is None:
            writer.write(chunk)
        else:
            _unpack(unpack, chunk, writer)
    if unpack is not None and not unpack.eof:
        raise Refused("cut_body", "its gzip has no end")
    writer.end()


def _unpack(unpack: "zlib._Decompress", chunk: bytes, writer: "_Writer") -> None:
    """Unpack no more at once than is still allowed: a bomb of a kilobyte may hold a gigabyte."""
    while chunk and not unpack.eof:
        try:
            writer.write(unpack.decompress(chunk, writer.left + 1))
        except zlib.error as error:
            raise Refused("bad_encoding", str(error)) from None
        chunk = unpack.unconsumed_tail


class _Writer:
    def __init__(self, file: IO[bytes], limit: int, look: Callable[[bytes], None]) -> None:
        self._file, self._look = file, look
        self.left = limit
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left < 0:
            raise Refused("too_many_bytes", "unpacked")
        if self._head is not None:
            self._head += data[:HEAD_BYTES]
            if len(self._head) >= HEAD_BYTES:
                self.end()
        self._file.write(data)

    def end(self) -> None:
        if self._head is not None:
            self._look(self._head)
            self._head = None
