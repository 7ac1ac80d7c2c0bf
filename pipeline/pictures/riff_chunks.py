"""The chunks of a WebP: the picture without what stands behind its pixels.

    sound, faults = without_chunks_behind(webp)      # faults: {"broken_chunk"}

EXIF and XMP stand behind the pixels. Where the size of one is wrong, libwebp refuses the whole file.
"""

_PIXELS = (b"VP8 ", b"VP8L")
_EXTENDED = b"VP8X"
_BEFORE = (_EXTENDED, b"ICCP", b"ALPH", *_PIXELS)
_EXIF_AND_XMP = 0x08 | 0x04  # in the flags of VP8X


def without_chunks_behind(webp: bytes) -> tuple[bytes, set[str]]:
    """The WebP up to its pixels. No fault: there is nothing behind them, or the pixels themselves are not whole."""
    start = 12
    while start + 8 <= len(webp):
        kind = webp[start : start + 4]
        size = int.from_bytes(webp[start + 4 : start + 8], "little")
        end = start + 8 + size + size % 2
        if kind not in _BEFORE or end > len(webp):  # an animation has no chunk that ends its pixels
            break
        if kind in _PIXELS:
            return (_whole(webp[12:end]), {"broken_chunk"}) if end < len(webp) else (webp, set())
        start = end
    return webp, set()


def _whole(chunks: bytes) -> bytes:
    if chunks.startswith(_EXTENDED):
        chunks = chunks[:8] + bytes([chunks[8] & ~_EXIF_AND_XMP]) + chunks[9:]
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WEBP" + chunks
