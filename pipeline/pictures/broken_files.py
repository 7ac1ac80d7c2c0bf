"""What Pillow does not tell: that a file was cut, and that it was cut and closed again.

is_cut(data)            # its own header promises more bytes than there are
"""

import struct
from typing import Any

import simplejpeg
from PIL import Image

_KNOWN = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def is_known(data: bytes) -> bool:
    """Whether the data begin as one of the formats that are read here."""
    return data.startswith(_KNOWN) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP") or data[4:12] == b"ftypavif"


def is_cut(data: bytes) -> bool:
    """Whether a file with an unreadable header refers to bytes behind its own end."""
    if data[:4] == b"RIFF" and len(data) >= 8:
        size: int = struct.unpack("<I", data[4:8])[0]
        return size + 8 > len(data)
    if data[4:8] == b"ftyp":
        return _boxes_end(data) > len(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        directory = data[4:8].ljust(4, b"\xff")
        return int.from_bytes(directory, "little" if data[:2] == b"II" else "big") >= len(data)
    return False


def was_cut_and_closed(image: Image.Image, jpeg: bytes) -> bool:
    """Whether a JPEG was cut and got an end marker: libjpeg fills the rest with the last colour, and only warns.

    The last blocks of the last row are then of one colour. Only such a picture, or a progressive one (which a cut makes
    coarse, not flat), is decoded a second time by a decoder that raises on the warning.
    """
    corner = image.crop((max(0, image.width - 16), image.height - 1, image.width, image.height))
    if not all(low == high for low, high in _extrema(corner)) and not image.info.get("progressive"):
        return False
    try:
        simplejpeg.decode_jpeg(jpeg, colorspace="CMYK" if image.mode == "CMYK" else "GRAY", fastdct=True, strict=True)
    except ValueError as error:
        return "premature end" in str(error).lower()
    return False


def _boxes_end(data: bytes) -> int:
    """The offset at which the last box of an ISO media file (AVIF) ends."""
    offset = 0
    while len(data) - offset >= 8:
        size = struct.unpack(">I", data[offset : offset + 4])[0]
        if size < 8:  # 0: to the end of the file; 1: a 64-bit size follows, which no picture needs
            return len(data)
        offset += size
    return offset


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    extrema: Any = image.getextrema()
    return [extrema] if isinstance(extrema[0], int | float) else list(extrema)
