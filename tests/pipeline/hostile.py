"""Every kind of broken or tricky picture that a crawl brings home, generated.

What becomes of each is written in `pipeline/pictures/README.md`, and checked by `test_hostile.py`.

write_hostile_corpus(folder)        # KIND.ENDING and captions.jsonl
"""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

SIDE_PX = 128


def picture(seed: int, width: int = SIDE_PX, height: int = SIDE_PX) -> Image.Image:
    """Soft shapes in many colours with some grain: no two seeds look alike, and no rule on quality is broken."""
    generator = np.random.default_rng(seed)
    colours = Image.fromarray(generator.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    soft = colours.resize((width, height), Image.Resampling.BICUBIC)
    grain = generator.integers(-12, 13, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(soft).astype(int) + grain, 0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def _with_exif(seed: int, orientation: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(picture(seed, SIDE_PX, SIDE_PX // 2), kind, exif=exif)


def _transparent(seed: int, mode: str = "RGBA") -> Image.Image:
    image = picture(seed).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


def _grey16(seed: int) -> Image.Image:
    return Image.fromarray(np.asarray(picture(seed).convert("L")).astype(np.uint16) * 257)


def _frames(seed: int) -> list[Image.Image]:
    return [picture(seed + number) for number in range(3)]


def _animated(seed: int, kind: str) -> bytes:
    first, *others = _frames(seed)
    return saved(first, kind, save_all=True, append_images=others, duration=100)


def _cut_and_closed(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\xff\xd9"


def _swapped_profile() -> bytes:
    """An RGB profile that is not sRGB: its red and green are exchanged, so that whether it was heeded shows."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack(">I", profile[128:132])[0]):
        entry = 132 + 12 * number
        name = bytes(profile[entry : entry + 4])
        profile[entry : entry + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
        if name == b"desc":
            offset, size = struct.unpack(">II", profile[entry + 4 : entry + 12])
            profile[offset : offset + size] = bytes(profile[offset : offset + size]).replace(
                b"s\0R\0G\0B", b"x\0R\0G\0B"
            )
    return bytes(profile)


def _flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0xFF]) + data[offset + 1 :]


def _nearly_white() -> Image.Image:
    return Image.fromarray(np.random.default_rng(9).integers(253, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8))


def _bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0)


def _white_below(image: Image.Image) -> Image.Image:
    image.paste((255, 255, 255), (0, SIDE_PX // 2, SIDE_PX, SIDE_PX))
    return image


def _lab(seed: int) -> Image.Image:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return to_lab.apply(picture(seed))


def _gif_bomb() -> bytes:
    screen = struct.pack("<HHBBB", 65_535, 65_535, 0xF0, 0, 0) + bytes(6)
    return b"GIF89a" + screen + b",\0\0\0\0" + b"\xff" * 4 + b"\0\2\2D\1\0;"


def _tiff_float() -> bytes:
    return saved(Image.fromarray(np.asarray(picture(66).convert("L")).astype(np.float32)), "TIFF")


def _svg_with_a_preamble() -> bytes:
    return b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="99" height="99"/>'


def _text_bomb(seed: int) -> bytes:
    """A compressed comment of 200 MB in a picture of a few pixels."""
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9))
    return png_with(saved(picture(seed), "PNG"), bomb)


def png_with(png: bytes, *chunks: bytes) -> bytes:
    """The PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def with_wrong_checksum(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def _with_wrong_checksum(seed: int, kind: bytes, body: bytes) -> bytes:
    return png_with(saved(picture(seed), "PNG"), with_wrong_checksum(png_chunk(kind, body)))


def jpeg_with(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """The JPEG with more application segments, (number, body), behind its first mark."""
    made = [b"\xff" + bytes([0xE0 + number]) + struct.pack(">H", len(body) + 2) + body for number, body in segments]
    return jpeg[:2] + b"".join(made) + jpeg[2:]


WORKFLOW = b'{"nodes": [' + b'{"id": 1}, ' * 200_000 + b"]}"  # 2.2 MB, as ComfyUI leaves in its pictures
NO_EXIF = b"Exif\0\0no directory at all"
NO_PROFILE = b"no profile" * 30


def _with_chunk(seed: int, kind: bytes, body: bytes) -> bytes:
    return png_with(saved(picture(seed), "PNG"), png_chunk(kind, body))


def _avif_without_directory(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "the maker of the camera"
    avif = saved(picture(seed), "AVIF", exif=exif)
    at = avif.rindex(b"MM\0*")  # of the directory
    return avif[:at] + b"none" + avif[at + 4 :]


def _webp_with_a_wrong_size(seed: int) -> bytes:
    webp = saved(picture(seed), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0", xmp=b"<x/>")
    at = webp.index(b"EXIF") + 4
    return webp[:at] + b"\xff\xff\0\0" + webp[at + 4 :]


def _tiff_with_a_lost_description(seed: int) -> bytes:
    tiff = saved(picture(seed), "TIFF", tiffinfo={270: "a description of some length"})
    at = tiff.index(struct.pack("<HH", 270, 2)) + 8  # its offset
    return tiff[:at] + b"\xff\xff\xff\x0f" + tiff[at + 4 :]


# A picture with broken metadata: (seed, format) of its sound twin, its bytes, the word for what is broken.
BROKEN_METADATA: dict[str, tuple[int, str, Callable[[int], bytes], str | None]] = {
    "png_text_checksum": (
        100, "PNG",
        lambda seed: _with_wrong_checksum(seed, b"tEXt", b"Title\0mountains"),
        "broken_text",
    ),
    "png_time_checksum": (
        101, "PNG",
        lambda seed: _with_wrong_checksum(seed, b"tIME", b"\7\xe7\1\1\1\1\1"),
        "broken_chunk",
    ),
    "png_large_text": (102, "PNG", lambda seed: _with_chunk(seed, b"tEXt", b"workflow\0" + WORKFLOW), "large_text"),
    "png_large_packed_text": (
        103, "PNG",
        lambda seed: _with_chunk(seed, b"zTXt", b"workflow\0\0" + zlib.compress(WORKFLOW)), "large_text",
    ),
    "png_large_international_text": (
        104, "PNG",
        lambda seed: _with_chunk(seed, b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(WORKFLOW)), "large_text",
    ),
    "png_packed_text_nonsense": (
        105, "PNG", lambda seed: _with_chunk(seed, b"zTXt", b"workflow\0\0nothing packed"), "broken_text",
    ),
    "png_text_bomb": (36, "PNG", _text_bomb, "large_text"),
    "png_icc_nonsense": (
        106, "PNG", lambda seed: saved(picture(seed), "PNG", icc_profile=NO_PROFILE), "broken_profile",
    ),
    "png_icc_not_packed": (107, "PNG", lambda seed: _with_chunk(seed, b"iCCP", b"icc\0\0none"), "broken_profile"),
    "png_exif_nonsense": (108, "PNG", lambda seed: saved(picture(seed), "PNG", exif=NO_EXIF), "broken_exif"),
    "jpeg_icc_nonsense": (
        9, "JPEG", lambda seed: saved(picture(seed), "JPEG", icc_profile=NO_PROFILE), "broken_profile",
    ),
    "jpeg_icc_cut": (
        109, "JPEG", lambda seed: jpeg_with(saved(picture(seed), "JPEG"), (2, b"ICC_PROFILE\0")), "broken_profile",
    ),
    "jpeg_exif_nonsense": (6, "JPEG", lambda seed: saved(picture(seed), "JPEG", exif=NO_EXIF), "broken_exif"),
    "jpeg_segments_cut": (
        110, "JPEG", lambda seed: jpeg_with(saved(picture(seed), "JPEG"), (0, b"JFIF\0"), (14, b"Adobe")),
        "broken_segment",
    ),
    "jpeg_segments_of_junk": (
        111, "JPEG",
        lambda seed: jpeg_with(saved(picture(seed), "JPEG"), *((number, bytes(range(99))) for number in range(16))),
        None,
    ),
    "webp_icc_nonsense": (
        112, "WEBP", lambda seed: saved(picture(seed), "WEBP", icc_profile=NO_PROFILE), "broken_profile",
    ),
    "webp_exif_nonsense": (113, "WEBP", lambda seed: saved(picture(seed), "WEBP", exif=NO_EXIF), "broken_exif"),
    "webp_exif_of_wrong_size": (115, "WEBP", _webp_with_a_wrong_size, "broken_chunk"),
    "tiff_description_lost": (116, "TIFF", _tiff_with_a_lost_description, "broken_tag"),
    "tiff_icc_nonsense": (
        117, "TIFF", lambda seed: saved(picture(seed), "TIFF", icc_profile=NO_PROFILE), "broken_profile",
    ),
    "avif_exif_nonsense": (114, "AVIF", _avif_without_directory, "broken_exif"),
}  # fmt: skip


# kind → file name's ending, bytes. The kind is the file's stem.
PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpeg": ("jpg", lambda: saved(picture(1), "JPEG")),
    "jpeg_progressive": ("jpg", lambda: saved(picture(2), "JPEG", progressive=True)),
    "jpeg_grey": ("jpg", lambda: saved(picture(3).convert("L"), "JPEG")),
    "jpeg_cmyk": ("jpg", lambda: saved(picture(4).convert("CMYK"), "JPEG")),
    "jpeg_turned": ("jpg", lambda: _with_exif(5, 6)),
    "jpeg_exif_of_nowhere": ("jpg", lambda: saved(picture(19), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "jpeg_exif_orientation_99": ("jpg", lambda: _with_exif(7, 99)),
    "jpeg_icc": ("jpg", lambda: saved(picture(8), "JPEG", icc_profile=_swapped_profile())),
    "jpeg_icc_of_cmyk_on_rgb": (
        "jpg",
        lambda: saved(picture(10), "JPEG", icc_profile=_swapped_profile().replace(b"RGB ", b"CMYK", 1)),
    ),
    "jpeg_truncated": ("jpg", lambda: saved(picture(11), "JPEG")[:-500]),
    "jpeg_header_only": ("jpg", lambda: saved(picture(12), "JPEG")[:700]),
    "jpeg_cut_and_closed": ("jpg", lambda: _cut_and_closed(saved(picture(13), "JPEG"))),
    "jpeg_progressive_cut_and_closed": ("jpg", lambda: _cut_and_closed(saved(picture(14), "JPEG", progressive=True))),
    "jpeg_with_rubbish_behind": ("jpg", lambda: saved(picture(15), "JPEG") + b"\0rubbish" * 99),
    "jpeg_white_at_the_bottom": (
        "jpg",
        lambda: saved(_white_below(picture(16)), "JPEG"),
    ),
    "mpo_of_two": ("jpg", lambda: saved(picture(17), "MPO", save_all=True, append_images=[picture(18)])),
    "png": ("png", lambda: saved(picture(20), "PNG")),
    "png_named_jpg": ("jpg", lambda: saved(picture(21), "PNG")),
    "jpeg_named_png": ("png", lambda: saved(picture(22), "JPEG")),
    "webp_named_gif": ("gif", lambda: saved(picture(23), "WEBP")),
    "png_alpha": ("png", lambda: saved(_transparent(24), "PNG")),
    "png_grey_alpha": ("png", lambda: saved(_transparent(25, "LA"), "PNG")),
    "png_all_transparent": ("png", lambda: saved(Image.new("RGBA", (SIDE_PX, SIDE_PX), (200, 30, 30, 0)), "PNG")),
    "png_palette": ("png", lambda: saved(picture(26).quantize(64), "PNG")),
    "png_palette_transparent": ("png", lambda: saved(picture(27).quantize(64), "PNG", transparency=3)),
    "png_one_bit": ("png", lambda: saved(picture(28).convert("1"), "PNG")),
    "png_grey_16_bit": ("png", lambda: saved(_grey16(29), "PNG")),
    "png_turned": ("png", lambda: _with_exif(30, 8, "PNG")),
    "png_animated": ("png", lambda: _animated(31, "PNG")),
    "png_truncated": ("png", lambda: saved(picture(34), "PNG")[:-3000]),
    "png_broken_checksum": ("png", lambda: _flipped(saved(picture(35), "PNG"), 20_000)),
    "png_bomb": ("png", lambda: png_of(50_000, 50_000, png_chunk(b"IDAT", zlib.compress(bytes(1000))))),
    "png_of_no_size": ("png", lambda: png_of(0, 0, png_chunk(b"IDAT", b""))),
    "png_without_pixels": ("png", lambda: png_of(SIDE_PX, SIDE_PX)),
    "gif": ("gif", lambda: saved(picture(40), "GIF")),
    "gif_animated": ("gif", lambda: _animated(41, "GIF")),
    "gif_truncated": ("gif", lambda: saved(picture(44), "GIF")[:5000]),
    "gif_bomb": ("gif", _gif_bomb),
    "webp": ("webp", lambda: saved(picture(50), "WEBP")),
    "webp_alpha": ("webp", lambda: saved(_transparent(51), "WEBP", lossless=True)),
    "webp_animated": ("webp", lambda: _animated(52, "WEBP")),
    "webp_truncated": ("webp", lambda: saved(picture(55), "WEBP", quality=95)[:-2000]),
    "avif": ("avif", lambda: saved(picture(56), "AVIF")),
    "avif_truncated": ("avif", lambda: saved(picture(57), "AVIF", quality=95)[:-3000]),
    "bmp": ("bmp", lambda: saved(picture(60), "BMP")),
    "bmp_truncated": ("bmp", lambda: saved(picture(61), "BMP")[:-9000]),
    "bmp_bomb": ("bmp", lambda: _bmp_header(100_000, 100_000)),
    "tiff": ("tif", lambda: saved(picture(62), "TIFF")),
    "tiff_of_pages": ("tif", lambda: saved(picture(63), "TIFF", save_all=True, append_images=[picture(64)])),
    "tiff_cmyk": ("tif", lambda: saved(picture(65).convert("CMYK"), "TIFF")),
    "tiff_float": ("tif", _tiff_float),
    "tiff_lab": ("tif", lambda: saved(_lab(67), "TIFF")),
    "tiff_16_bit": ("tif", lambda: saved(_grey16(68), "TIFF")),
    "tiff_turned": ("tif", lambda: saved(picture(69, SIDE_PX, SIDE_PX // 2), "TIFF", tiffinfo={0x0112: 6})),
    "tiff_truncated": ("tif", lambda: saved(picture(70), "TIFF", compression="tiff_lzw")[:-9000]),
    "svg": ("svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>'),
    "svg_named_png": ("png", _svg_with_a_preamble),
    "svg_packed": ("svg", lambda: gzip.compress(b"<svg/>", mtime=0)),
    "html_named_jpg": ("jpg", lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
    "json_named_jpg": ("jpg", lambda: b'{"error": "expired"}'),
    "words_named_png": ("png", "这不是图片".encode),
    "empty": ("jpg", lambda: b""),
    "zeros": ("jpg", lambda: bytes(5000)),
    "noise": ("jpg", lambda: np.random.default_rng(80).bytes(5000)),
    "heic": ("heic", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)),
    "psd_named_jpg": ("jpg", lambda: b"8BPS\0\1" + bytes(400)),
    "pdf_named_jpg": ("jpg", lambda: b"%PDF-1.7\n" + bytes(400)),
    "icon_named_png": ("png", lambda: saved(picture(81, 32, 32), "ICO")),
    "jpeg2000_named_jpg": ("jpg", lambda: saved(picture(82), "JPEG2000")),
    "one_pixel": ("png", lambda: saved(Image.new("RGB", (1, 1), "red"), "PNG")),
    "small": ("png", lambda: saved(picture(83, 31, 99), "PNG")),
    "long": ("png", lambda: saved(picture(84, 640, 64), "PNG")),
    "one_colour": ("jpg", lambda: saved(Image.new("RGB", (SIDE_PX, SIDE_PX), (240, 240, 240)), "JPEG")),
    "nearly_white": ("png", lambda: saved(_nearly_white(), "PNG")),
    **{kind: (kind.partition("_")[0], partial(make, seed)) for kind, (seed, _, make, _) in BROKEN_METADATA.items()},
}  # fmt: skip


def write_hostile_corpus(folder: Path) -> list[str]:
    """Returns the kinds: PICTURES, a dangling link, a caption without a picture, a picture without a caption."""
    folder.mkdir(parents=True)
    lines = []
    for kind, (ending, make) in PICTURES.items():
        (folder / f"{kind}.{ending}").write_bytes(make())
        lines.append(
            {"file": f"{kind}.{ending}", "caption": f"第{len(lines)}张图片，{'一二三四五六七八九'[len(lines) % 9]}号"}
        )
    (folder / "dangling_link.jpg").symlink_to("nowhere.jpg")
    (folder / "picture_without_caption.png").write_bytes(saved(picture(90), "PNG"))
    (folder / "folder_named.png").mkdir()
    lines += [
        {"file": "dangling_link.jpg", "caption": "一个断掉的链接"},
        {"file": "caption_without_picture.jpg", "caption": "没有图片"},
    ]
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return [*PICTURES, "dangling_link", "picture_without_caption", "caption_without_picture"]
