"""Sources, decoding, rules, twins, verdicts: every pair gets one, and the same one for any number of workers."""

import hashlib
import io
import itertools
import json
import os
import struct
import sys
import tarfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import ray
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tuwen.manifests.atomic import sole_writer
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.pair import VERDICTS
from tuwen.manifests.recipe import Captions, Recipe, load_recipe
from tuwen.pipeline.clean_caption import clean_caption, normalise, resolve
from tuwen.pipeline.clean_image import decode
from tuwen.pipeline.corpus import build_corpus, read_verdicts
from tuwen.pipeline.near_images import hamming_pairs, near_edges
from tuwen.pipeline.report import write_report
from tuwen.pipeline.signatures import phash64, signatures
from tuwen.pipeline.sources import read_picture
from tuwen.pipeline.split import split_of
from tuwen.pipeline.stage import Part, run_stage
from tuwen.pipeline.why import explain

from .conftest import COLOURS, draw, png, write_pictures, write_recipe

# --- decoding ---------------------------------------------------------------------------------------


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


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


# --- captions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  ＡＢＣ１２３　紅色的車，很快！ ", "ABC123 红色的车，很快！"),
        ("你好……世界——完", "你好……世界——完"),
        ("價格￥１２８（含稅）", "价格￥128（含税）"),
        ("一\u200b只\ufeff猫\x00", "一只猫"),
        ("ｶﾞ㌔", "ガキロ"),
    ],
)
def test_captions_are_normalised_and_chinese_punctuation_is_kept(raw: str, clean: str) -> None:
    assert normalise(raw, simplify=True) == clean


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "no_caption"),
        ("   ", "empty_caption"),
        ("IMG_2031.JPG", "file_name"),
        ("照片 (3).png", "file_name"),
        ("a photo of a red car on a street", "too_little_han"),
        ("红" * 33, "caption_too_long"),
        ("穿红色连衣裙的女孩在海边散步", ""),
        ("iPhone手机壳透明软壳", ""),
    ],
)
def test_the_wukong_preset_keeps_chinese_and_names_what_it_drops(raw: str | None, reason: str) -> None:
    assert clean_caption(raw, resolve(Captions(preset="wukong")))[1] == reason


# --- signatures and twins ---------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder of planted twins and broken things, judged. Returns the corpus and its verdicts by file name."""
    folder = tmp_path_factory.mktemp("twins")
    pictures = folder / "pictures"
    pictures.mkdir()
    circle, tall = draw("红", "圆", 60), Image.new("RGB", (40, 400), "red")
    tall.paste("blue", (0, 200, 40, 400))
    files = {
        "circle.png": png(circle),
        "copy.png": png(circle),
        "same-pixels.bmp": encoded(circle, "BMP"),
        "larger.png": png(circle.resize((192, 192), Image.Resampling.LANCZOS)),
        "jpeg.jpg": encoded(circle.resize((192, 192), Image.Resampling.LANCZOS), "JPEG", quality=80),
        "blue.png": png(draw("蓝", "圆", 60)),
        "blank.png": png(Image.new("RGB", (96, 96), "white")),
        "blank2.png": png(Image.new("RGB", (96, 96), (250, 250, 250))),
        "small.png": png(circle.resize((20, 20))),
        "tall.png": png(tall),
        "truncated.jpg": encoded(circle, "JPEG")[:-200],
        "text.png": b"hello",
        "mute.png": png(draw("绿", "三角", 60)),
        "spam.png": png(draw("黄", "三角", 60)),
        "name.png": png(draw("紫", "三角", 60)),
    }
    for name, data in files.items():
        (pictures / name).write_bytes(data)
    captions = {name: f"图片{number}" for number, name in enumerate(files) if name not in ("mute.png",)}
    captions |= {"spam.png": "buy now", "name.png": "000.jpg", "nowhere.png": "没有图片的描述"}
    lines = [json.dumps({"file": name, "caption": caption}, ensure_ascii=False) for name, caption in captions.items()]
    (pictures / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    recipe = load_recipe(str(write_recipe(folder, captions="{min_han_share: 0.5}")))
    corpus = build_corpus(recipe, folder / "corpus")
    return folder / "corpus", {row["origin"]: row for row in read_verdicts(corpus).to_pylist()}


def test_every_pair_has_the_verdict_it_should(twins: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    reasons = {name: row["reason"] for name, row in twins[1].items()}
    copies = {reasons.pop("circle.png"), reasons.pop("copy.png")}
    assert copies == {"same_bytes", "same_pixels"}  # the key says which of the two is the copy
    assert reasons == {
        "larger.png": "",
        "jpeg.jpg": "near_picture",
        "same-pixels.bmp": "near_picture",
        "blue.png": "",
        "blank.png": "single_colour",
        "blank2.png": "single_colour",
        "small.png": "too_small",
        "tall.png": "too_long",
        "truncated.jpg": "truncated",
        "text.png": "not_a_picture",
        "mute.png": "no_caption",
        "spam.png": "too_little_han",
        "name.png": "file_name",
        "nowhere.png": "missing_picture",
    }


def test_the_counts_of_every_stage_sum(twins: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    corpus = load_manifest(twins[0])
    steps = corpus.document["lineage"]["steps"]
    assert steps[0]["in"] == len(twins[1]) == corpus.document["totals"]["pairs"]
    for before, step in itertools.pairwise(steps):
        assert step["in"] == before["out"]
    for step in steps:
        assert step["in"] == step["out"] + sum(step["dropped"].values())
    assert steps[-1]["out"] == corpus.document["totals"]["kept"] == sum(row["kept"] for row in twins[1].values())
    assert read_verdicts(corpus).schema.equals(VERDICTS)


def test_every_dropped_twin_names_a_keeper_that_was_kept(twins: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    by_key = {row["key"]: row for row in twins[1].values()}
    dropped = [row for row in twins[1].values() if row["keeper"]]
    assert len(dropped) == 4
    for row in dropped:
        assert by_key[row["keeper"]]["kept"]
        assert row["cluster"] == by_key[row["keeper"]]["cluster"]
        assert row["distance"] <= 4


def test_why_explains_a_pair_and_its_twins(twins: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    corpus = load_manifest(twins[0])
    pair, *others = explain(corpus, twins[1]["jpeg.jpg"]["key"][:12])
    assert pair["verdict"] == "dropped at near: near_picture"
    assert {other["origin"] for other in others} == {"larger.png", "circle.png", "copy.png", "same-pixels.bmp"}
    assert others[0]["verdict"] == "kept"
    with pytest.raises(BadInput, match="no such pair"):
        explain(corpus, "zz")


def test_the_order_of_files_changes_no_verdict(tmp_path: Path) -> None:
    """The same twins under other names fall to the same pictures: the largest stays."""
    for order in (["a", "b", "c"], ["c", "b", "a"]):
        folder = tmp_path / "".join(order)
        (folder / "pictures").mkdir(parents=True)
        for name, size in zip(order, (192, 96, 144), strict=True):
            (folder / "pictures" / f"{name}.png").write_bytes(
                png(draw("红", "圆", 60).resize((size, size), Image.Resampling.LANCZOS))
            )
            (folder / "pictures" / f"{name}.txt").write_text("一个红色的圆", encoding="utf-8")
        corpus = build_corpus(load_recipe(str(write_recipe(folder))), folder / "corpus")
        assert [row["width"] for row in read_verdicts(corpus).to_pylist() if row["kept"]] == [192]


# --- whole corpora ----------------------------------------------------------------------------------


def test_a_caption_that_is_said_too_often_is_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    lines = (tmp_path / "pictures" / "captions.tsv").read_text(encoding="utf-8").splitlines()
    spam = [f"{line.split(chr(9))[0]}\t点击查看大图" if number < 5 else line for number, line in enumerate(lines)]
    (tmp_path / "pictures" / "captions.tsv").write_text("\n".join(spam), encoding="utf-8")
    recipe = load_recipe(str(write_recipe(tmp_path, captions="{preset: none, max_count: 4}")))
    steps = {step["name"]: step for step in build_corpus(recipe, tmp_path / "corpus").document["lineage"]["steps"]}
    assert steps["caption"]["dropped"] == {"caption_seen_too_often": 5}


def test_pictures_near_an_evaluation_set_are_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    (tmp_path / "test-set").mkdir()
    (tmp_path / "test-set" / "q.webp").write_bytes(
        encoded(draw("红", "圆", 64, at=9).resize((150, 150), Image.Resampling.BICUBIC), "WEBP", quality=95)
    )
    (tmp_path / "test-set" / "q.txt").write_text("题", encoding="utf-8")
    recipe = load_recipe(str(write_recipe(tmp_path, evaluation="[{name: test, kind: folder, path: test-set}]")))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert [(row["origin"], row["reason"]) for row in rows if row["stage"] == "evaluation"] == [
        ("红-圆-3.png", "near_picture")
    ]


def test_a_webdataset_source_gives_the_same_pictures_as_its_folder(tmp_path: Path) -> None:
    """Interleaved members, a dotted key, a json caption, and one picture without any."""
    circle, other = png(draw("红", "圆", 60)), png(draw("蓝", "三角", 60))
    members = {
        "a.0.png": circle, "b.png": other, "a.0.txt": "一个圆".encode(), "b.json": b'{"caption": "\\u4e09\\u89d2"}',
        "c.png": png(draw("绿", "方块", 40)), "d.txt": "没有图".encode(),
    }  # fmt: skip
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "000.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    recipe = load_recipe(str(write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")))
    rows = {row["origin"]: row for row in read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()}
    assert {name: (row["caption_raw"], row["reason"]) for name, row in rows.items()} == {
        "000.tar/a.0.png": ("一个圆", ""),
        "000.tar/b.png": ("三角", ""),
        "000.tar/c.png": (None, "no_caption"),
        "000.tar/d.txt": ("没有图", "missing_picture"),
    }
    row = rows["000.tar/a.0.png"]
    data = (tmp_path / "tars" / "000.tar").read_bytes()[row["offset"] : row["offset"] + row["bytes"]]
    assert hashlib.sha256(data).hexdigest() == row["image_sha256"]


def tables_of(corpus: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((corpus / "verdicts").iterdir())}


def test_the_decision_table_is_the_same_for_one_two_and_four_workers(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    expected = tables_of(shapes[1] / "corpus")
    for workers in (1, 2, 4):
        corpus = build_corpus(shapes[0], tmp_path / str(workers), workers)
        assert tables_of(tmp_path / str(workers)) == expected
        assert corpus.id == load_manifest(shapes[1] / "corpus").id


def test_another_threshold_decides_without_decoding_again(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    recipe = str(write_recipe(tmp_path))
    build_corpus(load_recipe(recipe), tmp_path / "corpus")
    measures = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus" / "measures").glob("*.parquet")}
    stricter = build_corpus(load_recipe(recipe, ["captions.max_length=10"]), tmp_path / "corpus")
    assert {path: path.stat().st_mtime_ns for path in measures} == measures
    assert stricter.document["lineage"]["steps"][2]["dropped"] == {"caption_too_long": 48}


def test_a_split_depends_on_the_cluster_alone() -> None:
    names = Counter(split_of(f"{number:032x}", 0.05) for number in range(20_000))
    assert 850 < names["validation"] < 1150
    assert split_of("ab" * 16, 0.0) == "train"
    assert split_of("ab" * 16, 1.0) == "validation"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "does not exist"),
        ({}, "no pictures below"),
        ({"a.txt": b"hello"}, "no pictures below"),
        ({"a.png": png(draw("红", "圆", 40)), "captions.tsv": b"a.png no tab"}, "line 1 has no tab"),
        ({"a.png": png(draw("红", "圆", 40)), "captions.jsonl": b"{}"}, "line 1 is not one"),
        ({"a.png": b"broken", "a.txt": "图".encode()}, "no pair is left"),
    ],
)
def test_a_bad_source_is_one_line_with_the_cure(tmp_path: Path, files: dict[str, bytes] | None, said: str) -> None:
    if files is not None:
        (tmp_path / "pictures").mkdir()
        for name, data in files.items():
            (tmp_path / "pictures" / name).write_bytes(data)
    with pytest.raises(BadInput, match=said) as refusal:
        build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")
    assert "\n" not in str(refusal.value)


def corpus_of(
    folder: Path, files: dict[str, bytes], captions: list[tuple[str, str]], **sections: str
) -> dict[str, Any]:
    """Build a corpus of files and (file, caption) lines; returns its verdicts by `file` or `file#caption`."""
    (folder / "pictures").mkdir(parents=True)
    for name, data in files.items():
        (folder / "pictures" / name).write_bytes(data)
    lines = [json.dumps({"file": name, "caption": caption}) for name, caption in captions]
    (folder / "pictures" / "captions.jsonl").write_text("\n".join(lines))
    corpus = build_corpus(load_recipe(str(write_recipe(folder, **sections))), folder / "corpus")
    rows = read_verdicts(corpus).to_pylist()
    several = Counter(row["origin"] for row in rows)
    return {row["origin"] if several[row["origin"]] == 1 else f"{row['origin']}#{row['caption']}": row for row in rows}


def test_captions_of_one_picture_stay_or_fall_together(tmp_path: Path) -> None:
    circle = draw("红", "圆", 60)
    files = {"a.png": png(circle.resize((192, 192))), "b.png": png(circle), "c.png": png(draw("蓝", "三角", 50))}
    captions = [("a.png", "圆"), ("a.png", "红色的圆"), ("b.png", "小圆"), ("b.png", "小红圆"), ("c.png", "三角")]
    rows = corpus_of(tmp_path, files, captions)
    assert {name for name, row in rows.items() if row["kept"]} == {"a.png#圆", "a.png#红色的圆", "c.png"}
    assert rows["a.png#圆"]["cluster"] == rows["b.png#小红圆"]["cluster"] == rows["a.png#红色的圆"]["cluster"]
    assert rows["b.png#小圆"]["keeper"] in (rows["a.png#圆"]["key"], rows["a.png#红色的圆"]["key"])


def test_equal_captions_are_dropped_last_so_that_no_picture_is_lost_for_a_twin_that_goes(tmp_path: Path) -> None:
    """a and c are one picture, a and b one caption: whoever falls, the picture and both captions survive somewhere."""
    picture, larger = draw("红", "圆", 60), draw("蓝", "三角", 60).resize((192, 192))
    files = {"a.png": png(picture), "b.png": png(larger), "c.png": png(picture)}
    captions = [("a.png", "甲"), ("b.png", "甲"), ("c.png", "乙")]
    rows = corpus_of(tmp_path, files, captions, duplicates="{images: near, captions: exact}")
    by_key = {row["key"]: row for row in rows.values()}
    for row in rows.values():
        keeper = by_key[row["keeper"]] if row["keeper"] else row
        assert keeper["kept"]
        assert row["kept"] or row["caption"] == keeper["caption"] or row["pixels_hash"] == keeper["pixels_hash"]
    assert rows["b.png"]["kept"]


def test_a_picture_near_any_evaluation_picture_goes_whatever_the_policy(tmp_path: Path) -> None:
    """The evaluation set holds two near-twins; a corpus picture is near the second alone."""
    for policy in ("none", "exact", "near"):
        folder = tmp_path / policy
        (folder / "test-set").mkdir(parents=True)
        for number, grey in enumerate((40, 54)):
            question = Image.new("RGB", (96, 96), "white")
            question.paste(draw("红", "圆", 60))
            question.paste((grey, grey, grey), (70, 70, 96, 96))
            (folder / "test-set" / f"{number}.png").write_bytes(png(question))
        near = Image.open(folder / "test-set" / "1.png").convert("RGB")
        near.paste((68, 68, 68), (70, 70, 96, 96))
        sections = {"evaluation": "[{name: test, kind: folder, path: test-set}]", "duplicates": f"{{images: {policy}}}"}
        files = {"near.png": png(near), "far.png": png(draw("绿", "三角", 50))}
        rows = corpus_of(folder, files, [("near.png", "近"), ("far.png", "远")], **sections)
        assert (rows["near.png"]["stage"], rows["near.png"]["kept"]) == ("evaluation", False)
        assert rows["far.png"]["kept"]
        write_report(folder, folder / "corpus")  # the keeper stands in no table


def test_near_twins_that_are_both_kept_share_a_cluster_all_the_same(tmp_path: Path) -> None:
    circle = draw("红", "圆", 60)
    files = {"a.png": png(circle), "b.png": png(circle.resize((192, 192)))}
    rows = corpus_of(tmp_path, files, [("a.png", "甲"), ("b.png", "乙")], duplicates="{images: none}")
    assert rows["a.png"]["kept"] and rows["b.png"]["kept"]
    assert rows["a.png"]["cluster"] == rows["b.png"]["cluster"]


def test_keep_first_follows_the_order_of_the_recipe(tmp_path: Path) -> None:
    circle = draw("红", "圆", 60)
    files = {"a.png": png(circle), "b.png": png(circle.resize((192, 192)))}
    rows = corpus_of(tmp_path, files, [("a.png", "甲"), ("b.png", "乙")], duplicates="{images: near, keep: first}")
    assert rows["a.png"]["kept"] and not rows["b.png"]["kept"]


def tar_of(path: Path, members: dict[str, bytes]) -> bytes:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["header", "between members", "inside a member"])
def test_a_damaged_tar_is_an_error_and_never_a_shorter_corpus(tmp_path: Path, damage: str) -> None:
    picture = png(draw("红", "圆", 60))
    path = tmp_path / "tars" / "0.tar"
    whole = tar_of(path, {f"{number}.png": picture for number in range(4)})
    member = 512 + -(-len(picture) // 512) * 512
    if damage == "header":
        path.write_bytes(whole[: 2 * member + 150] + b"9" + whole[2 * member + 151 :])
    else:
        path.write_bytes(whole[: 2 * member + (0 if damage == "between members" else 700)])
    recipe = load_recipe(str(write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")))
    with pytest.raises(BadInput, match=r"0\.tar: (damaged|not a whole tar)"):
        build_corpus(recipe, tmp_path / "corpus")


def test_every_picture_of_a_dotted_key_is_a_pair(tmp_path: Path) -> None:
    names = ["2021.05.01-猫.png", "2021.05.02-狗.png"]
    members = {name: png(draw(colour, "圆", 60)) for name, colour in zip(names, ("红", "蓝"), strict=True)}
    tar_of(
        tmp_path / "tars" / "0.tar", {**members, "2021.05.01-猫.txt": "猫".encode(), "2021.05.02-狗.txt": "狗".encode()}
    )
    recipe = load_recipe(str(write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert [(row["origin"], row["caption"]) for row in rows] == [
        (f"0.tar/{names[0]}", "猫"),
        (f"0.tar/{names[1]}", "狗"),
    ]


def test_names_that_are_not_utf8_and_half_surrogates_are_read_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    gbk = folder / os.fsdecode("中.png".encode("gbk"))
    gbk.write_bytes(png(draw("红", "圆", 60)))
    gbk.with_suffix(".txt").write_text("一只猫", encoding="utf-8")
    (folder / "b.png").write_bytes(png(draw("蓝", "圆", 60)))
    (folder / "captions.jsonl").write_text(
        '{"file": "b.png", "caption": "蓝\\ud83d色"}\n{"file": "b.png", "caption": null}'
    )
    rows = {
        row["origin"]: row
        for row in read_verdicts(build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "c")).to_pylist()
    }
    assert rows["\\xd6\\xd0.png"]["caption"] == "一只猫"
    assert rows["\\xd6\\xd0.png"]["kept"]
    assert read_picture(folder, "\\xd6\\xd0.png", 0, 100) == gbk.read_bytes()[:100]
    assert rows["b.png"]["caption"] == "蓝?色"


def test_a_verdict_table_that_was_altered_is_not_read(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    corpus = build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")
    path = tmp_path / "corpus" / corpus.document["files"][0]["name"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckFailed, match="missing or altered"):
        read_verdicts(corpus)
    assert read_verdicts(build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")).num_rows == 72


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    with sole_writer(tmp_path / "corpus"), pytest.raises(BadInput, match="another tuwen is writing there"):
        build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")


# --- stages -----------------------------------------------------------------------------------------


# Workers cannot import a test module, so what it defines travels by value.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def write_part(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes its text, and a line into a ledger that tells how often it ran."""
    with Path(part.place["ledger"]).open("a") as ledger:
        ledger.write(part.name + "\n")
    if part.identity["text"] == "bad":
        raise BadInput("bad part", cure="none")
    (folder / f"{part.name}.txt").write_text(part.identity["text"])
    return {"length": len(part.identity["text"])}


def parts(ledger: Path, *texts: str) -> list[Part]:
    return [Part(f"p{number}", {"text": text}, {"ledger": str(ledger)}) for number, text in enumerate(texts)]


def test_a_stage_runs_a_part_once_and_again_only_when_its_input_changed(tmp_path: Path) -> None:
    ledger, out = tmp_path / "ledger", tmp_path / "out"
    first = run_stage("t", write_part, parts(ledger, "a", "bb"), {}, out)
    assert [result.summary for result in first] == [{"length": 1}, {"length": 2}]
    assert run_stage("t", write_part, parts(ledger, "a", "bb"), {}, out) == first
    run_stage("t", write_part, parts(ledger, "a", "cc"), {}, out)
    assert Counter(ledger.read_text().split()) == {"p0": 1, "p1": 2}
    run_stage("t", write_part, parts(ledger, "a", "cc"), {"x": 1}, out)
    (out / "p0.txt").write_text("A")  # altered behind its back, at the same size
    run_stage("t", write_part, parts(ledger, "a", "cc"), {"x": 1}, out)
    assert Counter(ledger.read_text().split()) == {"p0": 3, "p1": 3}


def test_a_part_that_is_no_longer_asked_for_is_removed(tmp_path: Path) -> None:
    ledger, out = tmp_path / "ledger", tmp_path / "out"
    run_stage("t", write_part, parts(ledger, "a", "b"), {}, out)
    run_stage("t", write_part, parts(ledger, "a"), {}, out)
    assert sorted(path.name for path in out.glob("*.txt")) == ["p0.txt"]


def test_what_a_part_refuses_comes_out_as_it_was_and_the_others_stay_done(tmp_path: Path) -> None:
    ledger, out = tmp_path / "ledger", tmp_path / "out"
    with pytest.raises(BadInput, match="bad part; none"):
        run_stage("t", write_part, parts(ledger, "a", "bad"), {}, out, workers=1)
    run_stage("t", write_part, parts(ledger, "a", "good"), {}, out)
    assert Counter(ledger.read_text().split())["p0"] == 1
    assert not list(out.glob(".part-*"))


# --- the report -------------------------------------------------------------------------------------


def test_the_report_is_one_page_that_loads_nothing(shapes: tuple[Recipe, Path]) -> None:
    page = write_report(shapes[1]).read_text(encoding="utf-8")
    assert "drawn by the tests" in page
    assert load_manifest(shapes[1] / "corpus").id in page
    assert not [part for part in ('src="http', "<script", "@import", "url(http") if part in page]
    assert all(f"一个{colour}色" in page for colour in list(COLOURS)[:3])
