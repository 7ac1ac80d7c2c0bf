"""What is made of one picture: decoded, measured, or refused with the reason."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tuwen.pipeline.pictures.decode import decode
from tuwen.pipeline.pictures.signatures import phash64, signatures

from ..conftest import draw, encoded
from .hostile import BROKEN_METADATA, jpeg_with, picture, png_chunk, png_with, saved, with_wrong_checksum


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises a size, with no pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty_file"),
        (b"not a picture at all", "not_a_picture"),
        (b"<html>404</html>", "not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"<?xml version='1.0'?><svg/>", "svg"),
        (encoded(draw("红", "圆", 60), "JPEG")[:-200], "truncated"),
        (encoded(draw("红", "圆", 60), "PNG")[:-40], "truncated"),
        (png_of_size(50_000, 50_000), "too_many_pixels"),
    ],
)
def test_what_cannot_be_read_has_a_reason(data: bytes, problem: str) -> None:
    assert decode(data, max_pixels=10**7).problem == problem


@given(st.binary(max_size=300), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]), st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_no_bytes_whatever_make_the_decoder_raise(noise: bytes, kind: str, offset: int) -> None:
    data = encoded(draw("红", "圆", 60), kind)
    decode(data[:offset] + noise + data[offset + len(noise) :], max_pixels=10**6)
    decode(noise, max_pixels=10**6)


def pixels_of(data: bytes) -> tuple[tuple[int, int], bytes]:
    decoded = decode(data, 10**6)
    assert decoded.picture is not None, decoded.problem
    return decoded.picture.size, decoded.picture.tobytes()


@pytest.mark.parametrize("kind", BROKEN_METADATA)
def test_broken_metadata_cost_no_pixel_and_are_named(kind: str) -> None:
    seed, form, make, word = BROKEN_METADATA[kind]
    decoded, twin = decode(make(seed), 10**6), decode(saved(picture(seed), form), 10**6)
    assert pixels_of(make(seed)) == pixels_of(saved(picture(seed), form))
    assert (decoded.format, decoded.metadata, twin.metadata) == (form, word, None)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 15),
            st.sampled_from(
                [b"", b"JFIF\0", b"Exif\0\0", b"Exif\0\0II*\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0"]
            ),
            st.binary(max_size=40),
        ),
        max_size=4,
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_the_segments_of_a_jpeg_its_pixels_are_the_same(
    junk: list[tuple[int, bytes, bytes]],
) -> None:
    whole = saved(picture(1, 40, 40), "JPEG")
    assert pixels_of(jpeg_with(whole, *((number, head + body) for number, head, body in junk))) == pixels_of(whole)


@given(st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"prVt"]),
       st.binary(max_size=60), st.booleans(), st.booleans())  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_whatever_stands_in_the_comments_of_a_png_its_pixels_are_the_same(
    kind: bytes, body: bytes, is_sound: bool, is_first: bool
) -> None:
    whole = saved(picture(1, 40, 40), "PNG")
    chunk = png_chunk(kind, body) if is_sound else with_wrong_checksum(png_chunk(kind, body))
    at = 33 if is_first else len(whole) - 12
    assert pixels_of(whole[:at] + chunk + whole[at:]) == pixels_of(whole)
    assert is_sound or decode(whole[:at] + chunk + whole[at:], 10**6).metadata


def test_a_broken_checksum_of_what_makes_the_picture_is_refused_as_it_was() -> None:
    whole = saved(picture(1), "PNG")
    pixels = whole.index(b"IDAT") + 2000
    for at, problem in ((31, "broken_header"), (pixels, "broken_pixels")):
        assert decode(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], 10**6).problem == problem
    transparent = with_wrong_checksum(png_chunk(b"tRNS", bytes(6)))
    assert decode(png_with(whole, transparent), 10**6).problem == "broken_header"


def test_a_turned_jpeg_with_a_broken_segment_is_turned_all_the_same() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(picture(1, 40, 20), "JPEG", exif=exif)
    broken = jpeg_with(turned, (0, b"JFIF\0"))
    assert pixels_of(broken) == pixels_of(turned)
    assert decode(broken, 10**6).metadata == "broken_segment"


def test_transparency_goes_onto_white_and_orientation_is_applied() -> None:
    clear = Image.new("RGBA", (8, 4), (255, 0, 0, 0))
    assert decode(encoded(clear, "PNG"), 10**6).picture.getpixel((0, 0)) == (255, 255, 255)  # type: ignore[union-attr]
    sideways = Image.new("RGB", (8, 4), "red")
    exif = sideways.getexif()
    exif[0x0112] = 6
    assert decode(encoded(sideways, "JPEG", exif=exif), 10**6).picture.size == (4, 8)  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16", "RGBA", "F"])
def test_every_mode_becomes_rgb_and_keeps_its_brightness(mode: str) -> None:
    grey = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    if mode == "I;16":
        picture, kind = Image.fromarray((grey * 65535).astype(np.uint16)), "PNG"
    elif mode == "F":
        picture, kind = Image.fromarray((grey * 255).astype(np.float32)), "TIFF"
    else:
        picture, kind = (
            Image.fromarray((grey * 255).astype(np.uint8)).convert(mode),
            "TIFF" if mode in ("CMYK", "LA") else "PNG",
        )
    decoded = decode(encoded(picture, kind), 10**6).picture
    assert decoded is not None
    assert decoded.mode == "RGB"
    assert abs(np.asarray(decoded).mean() - 127.5) < 4


def test_phash_is_that_of_imagehash() -> None:
    """Golden values of imagehash 4.3.2, phash(hash_size=8), for two pictures that any machine can draw."""
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    assert f"{phash64(noise):016x}" == "b5419ed46fa61e30"
    assert f"{phash64(draw('红', '圆', 60)):016x}" == "bc3cc2d2cdcb344c"


def test_the_hashes_of_a_turned_picture_are_those_that_it_has_once_turned(generator: np.random.Generator) -> None:
    """But for the rounding of the scaled luminance: at most two bits of 64."""
    noise = Image.fromarray(generator.integers(0, 256, (12, 17, 3), dtype=np.uint8))
    picture = noise.resize((300, 200), Image.Resampling.BICUBIC)
    hashes = signatures(picture)["phash64_flips"]
    for turn in Image.Transpose:
        assert (hashes[turn] ^ phash64(picture.transpose(turn))).bit_count() <= 2
