"""What is wrong with the metadata of a picture, and its bytes without it: broken metadata cost no pixels.

    sound, faults = without_broken_metadata(data)        # {"broken_text"}: of PNG and TIFF, before it is opened
    sound, faults = without_unreadable_metadata(data)    # of any other, when it could not be opened
    has_broken_exif(image)

The words: broken_text, large_text (more than Pillow reads: 1 MB a text), broken_profile, broken_exif, and what else a
format has: broken_chunk (PNG, WebP), broken_segment (JPEG), broken_tag (TIFF).
"""

import re
import warnings

from PIL import Image

from .broken_files import is_cut
from .jpeg_segments import without_odd_segments
from .png_chunks import without_broken_chunks
from .riff_chunks import without_chunks_behind
from .tiff_tags import without_lost_tags

# AVIF: the entry of an item whose type is Exif. Of another type it is passed over; turning is no matter of EXIF there.
_EXIF_ITEM = re.compile(rb"(infe(?:\x02...|\x03.....)....)Exif", re.DOTALL)


def without_broken_metadata(data: bytes) -> tuple[bytes, set[str]]:
    if data.startswith(b"\x89PNG"):
        return without_broken_chunks(data)
    return without_lost_tags(data) if data.startswith((b"II*\0", b"MM\0*")) else (data, set())


def without_unreadable_metadata(data: bytes) -> tuple[bytes, set[str]]:
    """The bytes without metadata that Pillow may have failed on, and what is wrong; no fault: it was not metadata."""
    if data.startswith(b"\xff\xd8\xff"):
        return without_odd_segments(data)
    if data.startswith(b"RIFF") and not is_cut(data):
        return without_chunks_behind(data)
    if data[4:8] == b"ftyp":
        sound, count = _EXIF_ITEM.subn(rb"\1free", data)
        return sound, {"broken_exif"} if count else set()
    return data, set()


def has_broken_exif(image: Image.Image) -> bool:
    """Whether there is EXIF that cannot be read, or only in part. Pillow passes over it, and says so in a warning."""
    exif, in_text = image.info.get("exif"), image.info.get("Raw profile type exif", "")
    if not exif and not in_text:
        return False
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            Image.Exif().load(exif or bytes.fromhex("".join(in_text.split("\n")[3:])))
        except Exception:  # its parser raises nearly anything on hostile bytes
            return True
    return bool(warned)
