"""What is wrong with the metadata of a picture, and its bytes without it: broken metadata cost no pixels.

    sound, faults = without_broken_metadata(data)        # {"broken_text"}: of a PNG, before it is opened
    sound, faults = without_unreadable_metadata(data)    # of any other, when it could not be opened
    has_broken_exif(image)

The words: broken_text, large_text (more than Pillow reads: 1 MB a text), broken_profile, broken_exif, broken_chunk
(of another kind, of a PNG), broken_segment (of a JPEG).
"""

import re
import warnings

from PIL import Image

from .png_chunks import without_broken_chunks

# JPEG: what an application segment must begin with, and be as long as, to say how the pixels are meant.
_HEEDED = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 6), 0xE2: (b"ICC_PROFILE\0", 15), 0xEE: (b"Adobe", 12)}
_START_OF_SCAN, _COMMENT, _APPS = 0xDA, 0xFE, range(0xE0, 0xF0)
# AVIF: the entry of an item whose type is Exif. Of another type it is passed over; turning is no matter of EXIF there.
_EXIF_ITEM = re.compile(rb"(infe(?:\x02...|\x03.....)....)Exif", re.DOTALL)


def without_broken_metadata(data: bytes) -> tuple[bytes, set[str]]:
    return without_broken_chunks(data) if data.startswith(b"\x89PNG") else (data, set())


def without_unreadable_metadata(data: bytes) -> tuple[bytes, set[str]]:
    """The bytes without metadata that Pillow may have failed on, and what is wrong; no fault: it was not metadata."""
    if data.startswith(b"\xff\xd8\xff"):
        return _without_odd_segments(data)
    if data[4:8] == b"ftyp":
        sound, count = _EXIF_ITEM.subn(rb"\1free", data)
        return sound, {"broken_exif"} if count else set()
    return data, set()


def has_broken_exif(image: Image.Image) -> bool:
    """Whether there is EXIF that cannot be read, or only in part. Pillow passes over it, and says so in a warning."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            exif, in_text = image.info.get("exif"), image.info.get("Raw profile type exif")
            if exif is None and in_text is not None:
                exif = bytes.fromhex("".join(in_text.split("\n")[3:]))
            if exif:
                Image.Exif().load(exif)
        except Exception:  # its parser raises nearly anything on hostile bytes
            return True
    return bool(warned)


def _without_odd_segments(jpeg: bytes) -> tuple[bytes, set[str]]:
    """A JPEG whose comments and application segments are those alone that say how the pixels are meant."""
    faults: set[str] = set()
    pieces, start = [jpeg[:2]], 2
    while start + 4 <= len(jpeg) and jpeg[start] == 0xFF and jpeg[start + 1] != _START_OF_SCAN:
        marker = jpeg[start + 1]
        end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
        if marker != _COMMENT and (marker not in _APPS or _is_heeded(marker, jpeg[start + 4 : end])):
            pieces.append(jpeg[start:end])
        else:
            is_profile = jpeg[start + 4 : end].startswith(b"ICC_PROFILE\0")
            faults.add("broken_profile" if is_profile else "broken_segment")
        start = end
    return b"".join([*pieces, jpeg[start:]]), faults


def _is_heeded(marker: int, body: bytes) -> bool:
    head, least_bytes = _HEEDED.get(marker, (b"", 1 << 16))
    return body.startswith(head) and len(body) >= least_bytes
