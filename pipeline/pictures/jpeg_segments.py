"""The application segments of a JPEG: the picture with those alone that say how its pixels are meant.

    sound, faults = without_odd_segments(jpeg)      # faults: {"broken_segment"}

Pillow refuses a picture for a JFIF, Adobe or ICC segment that is cut.
"""

# What a segment must begin with, and be as long as, to be heeded.
_HEEDED = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 6), 0xE2: (b"ICC_PROFILE\0", 15), 0xEE: (b"Adobe", 12)}
_START_OF_SCAN, _COMMENT, _APPS = 0xDA, 0xFE, range(0xE0, 0xF0)


def without_odd_segments(jpeg: bytes) -> tuple[bytes, set[str]]:
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
