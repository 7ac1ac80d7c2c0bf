"""The chunks of a PNG: which hold broken metadata, and whether a checksum of its pixels is wrong.

    sound, faults = without_broken_chunks(png)      # faults: {"broken_text"}
    has_broken_checksum(png)                        # of pixel data

For a wrong checksum of a comment, and for one that unpacks to more than a megabyte (the workflow of a picture that a
model made), Pillow refuses the whole picture. Such chunks are cut out before it sees them.
"""

import struct
import zlib
from collections.abc import Iterator

from PIL.PngImagePlugin import MAX_TEXT_CHUNK, MAX_TEXT_MEMORY

_FAULTS = {
    b"tEXt": "broken_text", b"zTXt": "broken_text", b"iTXt": "broken_text", b"iCCP": "broken_profile",
    b"eXIf": "broken_exif",
}  # fmt: skip
_OF_PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")  # optional for a PNG, but the picture would be another one
_LEAST_BYTES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}


def without_broken_chunks(png: bytes) -> tuple[bytes, set[str]]:
    """The PNG without chunks of metadata that cost Pillow the picture, and what is wrong with them."""
    faults: set[str] = set()
    pieces: list[bytes] = []
    sound_from = text_bytes = 0
    for kind, start, end in _chunks(png):
        if not kind.isalpha() or not kind[0] & 0x20 or kind in _OF_PIXELS:  # a capital letter: it is not optional
            continue
        fault, size = _fault(kind, png[start + 8 : end - 4], png[end - 4 : end], text_bytes)
        text_bytes += size
        if fault:
            faults.add(fault)
            pieces.append(png[sound_from:start])
            sound_from = end
    return (b"".join([*pieces, png[sound_from:]]) if faults else png), faults


def has_broken_checksum(png: bytes) -> bool:
    """Whether a checksum of pixel data is wrong. Pillow skips them, and shows a flipped bit as a smear."""
    whole = memoryview(png)
    return any(
        kind == b"IDAT" and png[end - 4 : end] != struct.pack(">I", zlib.crc32(whole[start + 4 : end - 4]))
        for kind, start, end in _chunks(png)
    )


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte, and one past the last byte of each chunk before the end mark. The last one may be cut."""
    start = 8
    while start + 12 <= len(png):
        kind = png[start + 4 : start + 8]
        if kind == b"IEND":
            return
        end = start + 12 + int(struct.unpack(">I", png[start : start + 4])[0])
        yield kind, start, end
        start = end


def _fault(kind: bytes, body: bytes, checksum: bytes, text_bytes: int) -> tuple[str | None, int]:
    """What is wrong with a chunk, or None; and the size of a text that is whole. `text_bytes`: of those before it."""
    broken = _FAULTS.get(kind, "broken_chunk")
    if checksum != struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))):
        return broken, 0
    if kind not in _FAULTS or kind == b"eXIf":
        return (broken if len(body) < _LEAST_BYTES.get(kind, 0) else None), 0
    size = _unpacked_size(kind, body)
    if kind == b"iCCP":
        return (None if size is not None and size <= MAX_TEXT_CHUNK else broken), 0
    if size is None:
        return broken, 0
    is_large = size > MAX_TEXT_CHUNK or text_bytes + size > MAX_TEXT_MEMORY
    return ("large_text", 0) if is_large else (None, size)


def _unpacked_size(kind: bytes, body: bytes) -> int | None:
    """Bytes of a text or a profile, at most one more than Pillow reads of it. None: it cannot be unpacked."""
    _, zero, rest = body.partition(b"\0")  # what stands before is its name
    if kind == b"tEXt":
        return len(body)
    if not zero or not rest:
        return None
    if kind == b"iTXt":
        if len(rest) < 2 or not rest[0]:  # too short to say whether it is packed, or not packed
            return len(rest)
        rest = rest[1:2] + rest[2:].split(b"\0", 2)[-1]  # the method; then language, translated name, text
    if not rest or rest[0] != 0:
        return None  # nothing, or an unknown method
    unpacking = zlib.decompressobj()
    try:
        size = len(unpacking.decompress(rest[1:], MAX_TEXT_CHUNK + 1))
    except zlib.error:
        return None
    return size if unpacking.eof or size > MAX_TEXT_CHUNK else None
