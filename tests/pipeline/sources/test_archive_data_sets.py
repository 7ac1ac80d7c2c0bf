"""Archives of data sets as their makers ship them: img2dataset, DataComp, cogdata, SA-1B, TaiSu."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe

from ...conftest import write_recipe
from ...stages import build_corpus
from .archives import BLUE, GREEN, RED, TAR, gzip_bytes, pictures, reading, saved_as, tar_bytes, text, zip_bytes


def test_the_recipe_names_the_fields_that_hold_captions(tmp_path: Path) -> None:
    row = {"caption": "alt", "recaption": "一段。\n\n两段。", "more": ["三", "四"]}
    members = [("a.jpg", RED), ("a.txt", text("alt")), ("a.json", json.dumps(row).encode())]
    path = saved_as(tmp_path / "0.tar", tar_bytes(members))
    assert reading(path, caption="recaption").captions == {"0.tar/a.jpg": ["一段。\n\n两段。"]}
    assert reading(path, caption=["recaption", "more"]).captions == {"0.tar/a.jpg": ["一段。\n\n两段。", "三", "四"]}


def test_a_field_that_no_json_has_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    path = saved_as(tmp_path / "0.tar", tar_bytes([("a.jpg", RED), ("a.json", b'{"caption": "x", "url": "y"}')]))
    with pytest.raises(BadInput, match=r"no \.json has a field `recaption`; they have caption, url"):
        reading(path, caption="recaption")


@pytest.mark.parametrize("container", ["zip", "tar"])
def test_cogdata_ships_pictures_and_a_dictionary_of_captions_by_stem(tmp_path: Path, container: str) -> None:
    data = [("000.jpg", RED), ("x/001.jpg", BLUE), ("002.jpg", GREEN)]
    saved_as(tmp_path / "data" / f"0.{container}", zip_bytes(data) if container == "zip" else tar_bytes(data))
    captions = {"000": "红色的圆", "001": ["蓝色的圆", "圆"], "999": "没有图"}
    saved_as(tmp_path / "data" / "captions.json", json.dumps(captions).encode())
    read = reading(tmp_path / "data", captions="captions.json")
    assert read.captions == {
        f"0.{container}/000.jpg": ["红色的圆"], f"0.{container}/x/001.jpg": ["蓝色的圆", "圆"],
        f"0.{container}/002.jpg": [], "999": ["没有图"],
    }  # fmt: skip
    assert read.missing == ["999"]
    assert not read.passed
    assert len(read.listing.parts) == 2
    assert read.listing.reads == ["captions.json: an object by name"]


def test_captions_may_stand_anywhere_and_name_members_of_several_archives(tmp_path: Path) -> None:
    """`a.jpg` is in both archives: only its path in an archive says which. They count instead of the .txt."""
    saved_as(tmp_path / "data" / "0.tar", tar_bytes([("a.jpg", RED), ("a.txt", b"\xff"), ("b.jpg", BLUE)]))
    saved_as(tmp_path / "data" / "1.tgz", gzip_bytes(tar_bytes([("a.jpg", GREEN), ("c.jpg", GREEN)])))
    rows = [{"file": "./B.JPG", "caption": "蓝"}, {"file": "a", "caption": "?"}]
    tables = [
        saved_as(tmp_path / "more" / "a.tsv", text("1.tgz/a.jpg\t绿\n0.tar/a.jpg\t红\n")),
        saved_as(tmp_path / "more" / "b.jsonl", b"\n".join(json.dumps(row).encode() for row in rows)),
    ]
    read = reading(tmp_path / "data", captions=[str(path) for path in tables], encoding="utf-8")
    assert read.captions == {
        "0.tar/a.jpg": ["红"], "0.tar/b.jpg": ["蓝"], "1.tgz/a.jpg": ["绿"], "1.tgz/c.jpg": [], "a": ["?"],
    }  # fmt: skip
    assert not read.problems


def test_captions_that_are_of_other_pictures_are_refused(tmp_path: Path) -> None:
    saved_as(tmp_path / "0.tar", tar_bytes([("a.jpg", RED)]))
    table = saved_as(tmp_path / "x.tsv", text("zzz.jpg\t红\n"))
    with pytest.raises(BadInput, match=r"the first names zzz.jpg, and the file with the nearest name is a\.jpg"):
        reading(tmp_path / "0.tar", captions=str(table))
    with pytest.raises(BadInput, match=r"y\.tsv does not exist; correct `captions`"):
        reading(tmp_path / "0.tar", captions="y.tsv")


def uid_file(path: Path, uids: list[str]) -> Path:
    pairs = sorted((int(uid[:16], 16), int(uid[16:], 16)) for uid in uids)
    np.save(path, np.array(pairs, np.dtype("u8,u8")))
    return path


def test_a_subset_file_of_datacomp_says_which_samples_count(tmp_path: Path) -> None:
    uids = [f"{number:032x}" for number in (7, 1 << 100, (1 << 128) - 1, 12345)]
    members = [
        (f"{n:012d}.{ending}", data) for n, uid in enumerate([*uids, None]) for ending, data in
        (("jpg", RED), ("txt", text(f"第{n}")), ("json", json.dumps({"uid": uid, "url": "http://e.org"}).encode()))
    ]  # fmt: skip
    saved_as(tmp_path / "shards" / "00000000.tar", tar_bytes(members, tarfile.PAX_FORMAT))
    uid_file(tmp_path / "shards" / "subset.npy", [uids[1], uids[2], f"{9:032x}"])
    read = reading(tmp_path / "shards", uids="subset.npy")
    assert read.captions == {
        "00000000.tar/000000000001.jpg": ["第1"], "00000000.tar/000000000002.jpg": ["第2"],
    }  # fmt: skip
    assert {kind: each["count"] for kind, each in read.passed.items()} == {
        "sample whose uid is not in `uids`": 2, "sample without a uid": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([(2, 0), (1, 0)], "u8,u8"), "not sorted"),
        (np.arange(4.0), "no uids as DataComp has them"),
        (np.arange(4, dtype=np.uint64), "no uids as DataComp has them"),
        (None, "no uids as DataComp has them"),
    ],
)
def test_a_subset_file_of_another_layout_is_refused(tmp_path: Path, array: Any, words: str) -> None:
    path = saved_as(tmp_path / "u.npy", b"x")
    if array is not None:
        np.save(path, array)
    with pytest.raises(BadInput, match=words):
        reading(saved_as(tmp_path / "0.tar", TAR), uids="u.npy")


def test_img2dataset_tars_are_read_with_their_failures(tmp_path: Path) -> None:
    """As `--output_format webdataset` writes them: pax headers, a .json of every sample, Parquet and JSON beside."""
    rows = [
        {"caption": "一个红色的圆", "url": "http://e.org/0.jpg", "key": "000000000", "status": "success", "width": 96},
        {"caption": "一个蓝色的圆", "url": "http://e.org/1.jpg", "key": "000000001", "status": "success", "width": 96},
    ]
    members = [
        (f"{row['key']}.{ending}", data) for row in rows for ending, data in
        (("jpg", RED), ("json", json.dumps(row, indent=4).encode()), ("txt", text(str(row["caption"]))))
    ]  # fmt: skip
    saved_as(tmp_path / "out" / "00000.tar", tar_bytes(members, tarfile.PAX_FORMAT))
    saved_as(tmp_path / "out" / "00000_stats.json", b"{}")
    saved_as(tmp_path / "out" / "00000.parquet", b"PAR1" + bytes(20))
    read = reading(tmp_path / "out")
    assert [(item.origin, item.captions, item.url) for item in read.items] == [
        ("00000.tar/000000000.jpg", ["一个红色的圆"], "http://e.org/0.jpg"),
        ("00000.tar/000000001.jpg", ["一个蓝色的圆"], "http://e.org/1.jpg"),
    ]  # fmt: skip
    assert set(read.passed) == {"*.json", "*.parquet"}


def test_sa_1b_ships_gzips_called_tar_with_pictures_and_json_of_masks(tmp_path: Path) -> None:
    masks = json.dumps({"image": {"image_id": 1, "width": 96}, "annotations": [{"bbox": [1, 2, 3, 4]}]}).encode()
    members = [("./sa_1.jpg", RED), ("./sa_1.json", masks), ("./sa_2.jpg", BLUE), ("./sa_2.json", masks)]
    saved_as(tmp_path / "sa_000000.tar", gzip_bytes(tar_bytes(members)))
    read = reading(tmp_path / "sa_000000.tar")
    assert pictures(read) == {"sa_000000.tar/./sa_1.jpg": (RED, []), "sa_000000.tar/./sa_2.jpg": (BLUE, [])}
    assert not read.problems


def test_taisu_ships_tgz_of_folders(tmp_path: Path) -> None:
    members = [
        (f"0/{n}.{ending}", data) for n in range(3) for ending, data in (("jpg", RED), ("txt", text(f"第{n}张")))
    ]
    saved_as(tmp_path / "taisu" / "0.tgz", gzip_bytes(tar_bytes(members, tarfile.GNU_FORMAT)))
    assert reading(tmp_path / "taisu").captions == {f"0.tgz/0/{n}.jpg": [f"第{n}张"] for n in range(3)}


def test_captions_outside_and_a_subset_go_through_the_corpus(tmp_path: Path) -> None:
    uids = [f"{number:032x}" for number in range(3)]
    members = [member for n, uid in enumerate(uids) for member in
               ((f"{n}.jpg", (RED, BLUE, GREEN)[n]), (f"{n}.json", json.dumps({"uid": uid}).encode()))]  # fmt: skip
    saved_as(tmp_path / "data" / "0.tgz", gzip_bytes(tar_bytes(members)))
    saved_as(tmp_path / "data" / "c.json", json.dumps({"0": "红色的圆", "1": "蓝色的圆", "7": "没有"}).encode())
    uid_file(tmp_path / "data" / "u.npy", uids[1:])
    sources = "[{name: t, kind: webdataset, path: data, captions: c.json, uids: u.npy}]"
    recipe = load_recipe(str(write_recipe(tmp_path, sources=sources, images="{min_side: 16}")))
    corpus = build_corpus(recipe, tmp_path / "corpus")
    rows = {row["origin"]: (row["caption_raw"], row["reason"]) for row in read_verdicts(corpus).to_pylist()}
    assert rows == {
        "0.tgz/1.jpg": ("蓝色的圆", ""), "0.tgz/2.jpg": (None, "no_caption"), "7": ("没有", "missing_picture"),
    }  # fmt: skip
    facts = corpus.document["lineage"]["sources"]["t"]
    assert facts["reads"] == ["c.json: an object by name"]
    assert facts["passed_over"]["sample whose uid is not in `uids`"]["count"] == 1
