"""The format of a picture by its content alone: the ending that it gets in a tar, and formats that are not read here.

picture_ending(b"\\xff\\xd8\\xff…")    # jpg
picture_ending(b"<html>…")            # None, though it was served as image/jpeg
other_format(b"<svg …")               # "SVG": a picture, but none that is read here
"""

_MAGIC = {
    b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF87a": "gif", b"GIF89a": "gif",
    b"II*\0": "tif", b"MM\0*": "tif", b"II+\0": "tif", b"MM\0+": "tif",
}  # fmt: skip
_ENDINGS = {"SVG": "svg", "HEIC": "heic", "JXL": "jxl", "JPEG2000": "jp2", "ICO": "ico", "PSD": "psd"}
# Not `not_a_picture`: these can be converted.
_OTHERS = {
    b"8BPS": "PSD", b"%PDF": "PDF", b"\0\0\1\0": "ICO", b"\xff\x0a": "JXL", b"\0\0\0\x0cJXL ": "JXL",
    b"\0\0\0\x0cjP  ": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000", b"P6": "PPM", b"P5": "PPM", b"qoif": "QOI",
}  # fmt: skip
_BITMAP_HEADERS = tuple(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim")


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
    return _ENDINGS.get(other_format(head) or "")


def other_format(data: bytes) -> str | None:
    """Return the name of a format that can be converted to one that is read: HEIC, SVG, JXL, PSD, PDF, …"""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_xml = head.startswith((b"<?xml", b"<!--"))
    if head.startswith((b"<svg", b"<!doctype svg")) or (is_xml and b"<svg" in data[:4096]):
        return "SVG"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and b"avif" not in data[8:32]:
        return "HEIC"
    return next((name for magic, name in _OTHERS.items() if data.startswith(magic)), None)
