"""The tags of a TIFF: those that lie outside of the file, and the picture without them.

    sound, faults = without_lost_tags(tiff)      # faults: {"broken_tag"}

At the first tag that it cannot read, such as a description, Pillow leaves off: it misses where the pixels are.
"""

import struct

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_NO_TYPE = 0  # readers pass over tags of a type that they do not know
_PROFILE = 34675
# Metadata by their numbers; all others may say how the pixels lie and are left alone.
_METADATA = frozenset({
    269, 270, 271, 272, 282, 283, 285, 296, 297, 305, 306, 315, 316, 333, 337, 700, 33432, 33723, 34377, 34665, 34853,
    _PROFILE, 37724, 40091, 40092, 40093, 40094, 40095,
})  # fmt: skip


def without_lost_tags(tiff: bytes) -> tuple[bytes, set[str]]:
    """The TIFF without metadata of its first page that lie outside of it, and what is wrong."""
    order = "<" if tiff.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", tiff.ljust(8, b"\0"), 4)
    if start + 2 > len(tiff):
        return tiff, set()
    (count,) = struct.unpack_from(order + "H", tiff, start)
    faults, sound = set[str](), bytearray()
    for place in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number, offset = struct.unpack_from(order + "HHII", tiff, place)
        num_bytes = number * _TYPE_BYTES.get(kind, 0)
        if tag in _METADATA and num_bytes > 4 and offset + num_bytes > len(tiff):
            sound = sound or bytearray(tiff)
            struct.pack_into(order + "H", sound, place + 2, _NO_TYPE)
            faults.add("broken_profile" if tag == _PROFILE else "broken_tag")
    return (bytes(sound) if faults else tiff), faults
