"""The ending that a picture gets in a tar, by its content alone; None when the bytes are no picture.

picture_ending(b"\\xff\\xd8\\xff…")    # jpg
picture_ending(b"<html>…")            # None, though it was served as image/jpeg
"""

from .broken_files import other_format

_MAGIC = {
    b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF87a": "gif", b"GIF89a": "gif",
    b"II*\0": "tif", b"MM\0*": "tif", b"II+\0": "tif", b"MM\0+": "tif",
}  # fmt: skip
_OTHERS = {"SVG": "svg", "HEIC": "heic", "JXL": "jxl", "JPEG2000": "jp2", "ICO": "ico", "PSD": "psd"}


def picture_ending(head: bytes) -> str | None:
    """`head` is the first 4,096 bytes, or all. Other formats of `other_format` (PDF, PPM) are no web pictures."""
    for magic, ending in _MAGIC.items():
        if head.startswith(magic):
            return ending
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and any(brand in head[8:32] for brand in (b"avif", b"avis")):
        return "avif"
    # "BM" alone begins many a text; a bitmap's header has four zero bytes and a known size of the next header.
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and head[14:18] in _BITMAP_HEADERS:
        return "bmp"
    return _OTHERS.get(other_format(head) or "")


_BITMAP_HEADERS = tuple(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))
