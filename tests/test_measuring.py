"""What is made of one picture: decoded, measured, or refused with the reason."""

import struct
import zlib

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tuwen.pipeline.pictures.clean_image import decode
from tuwen.pipeline.pictures.signatures import phash64, signatures
from tuwen.pipeline.twins.near_images import hamming_pairs, near_edges

from .conftest import draw, encoded


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
def test_no_bytes_whatever_make_the_decoder_raise(noise: bytes, kind: str, place: int) -> None:
    data = encoded(draw("红", "圆", 60), kind)
    decode(data[:place] + noise + data[place + len(noise) :], max_pixels=10**6)
    decode(noise, max_pixels=10**6)


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
    found = decode(encoded(picture, kind), 10**6).picture
    assert found is not None
    assert found.mode == "RGB"
    assert abs(np.asarray(found).mean() - 127.5) < 4


def test_phash_is_that_of_imagehash() -> None:
    """Golden values of imagehash 4.3.2, phash(hash_size=8), for two pictures that any machine can draw."""
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    assert f"{phash64(noise):016x}" == "b5419ed46fa61e30"
    assert f"{phash64(draw('红', '圆', 60)):016x}" == "bc3cc2d2cdcb344c"


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_the_hamming_join_finds_exactly_what_brute_force_finds(data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    centres = generator.integers(0, 2**64, 40, dtype=np.uint64)
    flips = np.zeros(400, np.uint64)
    for _ in range(data.draw(st.integers(0, 7))):
        flips ^= np.uint64(1) << generator.integers(0, 64, 400, dtype=np.uint64)
    codes = np.unique(np.concatenate([centres, generator.choice(centres, 400) ^ flips]))
    radius = data.draw(st.sampled_from([0, 2, 4]))
    index = faiss.IndexBinaryFlat(64)
    index.add(codes.view(np.uint8).reshape(-1, 8))
    limits, _, neighbours = index.range_search(codes.view(np.uint8).reshape(-1, 8), radius + 1)
    expected = {
        (row, int(n)) for row in range(len(codes)) for n in neighbours[limits[row] : limits[row + 1]] if row < n
    }
    found = hamming_pairs(codes, radius)
    assert len(found) == len(expected)
    assert set(map(tuple, found.tolist())) == expected


def flag(*stripes: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("RGB", (240, 160))
    for number, colour in enumerate(stripes):
        picture.paste(colour, (80 * number, 0, 80 * number + 80, 160))
    return picture


def test_a_luminance_hash_merges_flags_but_colour_does_not() -> None:
    """Two flags of equal luminance: the hash calls them one, the thumbnails do not."""
    red_ish, green_ish = (
        flag((200, 60, 60), (255, 255, 255), (40, 40, 160)),
        flag((20, 152, 60), (255, 255, 255), (40, 40, 160)),
    )
    measured = [
        signatures(picture) for picture in (red_ish, green_ish, red_ish.resize((480, 320), Image.Resampling.NEAREST))
    ]
    codes = np.array([each["phash64"] for each in measured], np.uint64)
    assert np.bitwise_count(codes[0] ^ codes[1]) <= 4
    thumbnails = np.stack([np.frombuffer(each["thumbnail"], np.uint8) for each in measured])
    assert near_edges(codes, lambda rows: thumbnails[rows])[:, :2].tolist() == [[0, 2]]
