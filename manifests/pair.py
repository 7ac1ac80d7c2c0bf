"""The pair: one picture with one caption, its key, and its measurements.

    pair_key("photos", "2021/cat.jpg", 0)

A key is 32 hex digits. It depends on the location of the pair in its source alone, not on order, workers or machine.
`MEASURES` are the columns that one decode of a picture yields; decisions are in `decision_table`.
"""

import hashlib

import pyarrow as pa

THUMBNAIL_SIDE_PX = 32
THUMBNAIL_BYTES = THUMBNAIL_SIDE_PX**2 * 3
LUMINANCE_SIDE_PX = 64
LUMINANCE_BYTES = LUMINANCE_SIDE_PX**2

SIGNATURES = 2  # version of hashes and signatures; measures of two versions cannot be compared

IDENTITY = [
    ("key", pa.string()),
    ("source", pa.string()),  # the name the recipe gives it
    ("origin", pa.string()),  # path in the source: "2021/cat.jpg", or "00000.tar/000123.jpg"
    ("offset", pa.int64()),  # of the picture's bytes in its tar; 0 for a file of its own
    ("bytes", pa.int64()),
    ("license", pa.string()),
    ("url", pa.string()),  # from which it was fetched, where known
    ("caption_raw", pa.string()),
]
PICTURE = [
    ("image_sha256", pa.string()),  # of the bytes as they are in the source
    ("pixels_hash", pa.string()),  # of width, height and the upright RGB-on-white pixels
    ("phash64", pa.uint64()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("format", pa.string()),
    ("mode", pa.string()),  # Pillow's, before conversion: RGB, RGBA, CMYK, P, …
    ("std", pa.float32()),  # of the channel that varies most, 0 … 127; a picture of one colour has about 0
]

MEASURES = pa.schema(
    [
        *IDENTITY,
        *PICTURE,
        ("phash64_flips", pa.list_(pa.uint64(), 7)),  # of it turned and mirrored, as PIL.Image.Transpose counts
        ("thumbnail", pa.binary(THUMBNAIL_BYTES)),  # upright RGB, row by row: are near pictures alike in colour?
        ("luminance", pa.binary(LUMINANCE_BYTES)),  # twice as fine: are they alike in detail?
        ("orientation", pa.int8()),  # EXIF's, 1 … 8; the measured pixels are upright
        ("alpha", pa.bool_()),  # some pixel was transparent; measured on white
        ("icc", pa.bool_()),  # it had a colour profile other than sRGB; measured in sRGB
        ("frames", pa.int32()),  # of an animation; the first one was measured
        ("entropy", pa.float32()),  # bits of the luminance, 0 … 8, at 256 px
        ("sharpness", pa.float32()),  # variance of the Laplacian of the luminance, at 256 px
        ("colour", pa.float32()),  # colourfulness (Hasler and Süsstrunk 2003), at 256 px; 0: grey
        ("border", pa.float32()),  # share of the area that lies in rows and columns of one colour at the edges
        ("jpeg_quality", pa.int8()),  # 1 … 100, by the quantisation tables; null when it is no JPEG
        (
            "metadata",
            pa.string(),
        ),  # what is wrong with it: "broken_exif,broken_text"; null: nothing. The pixels are whole
        ("problem", pa.string()),  # why there is nothing to measure: missing_picture, truncated, http_404, …
    ]
)


def pair_key(source: str, origin: str, caption_number: int) -> str:
    """Return the blake2b of the three, length-prefixed so that ("ab", "c") and ("a", "bc") have different keys."""
    digest = hashlib.blake2b(digest_size=16)
    for field in (source, origin, str(caption_number)):
        data = field.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
