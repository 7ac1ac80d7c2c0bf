"""Folders of pictures as teams hold them: annotations of many layouts, text beside pictures, links, odd names."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.manifests.errors import BadInput

from ...conftest import draw, encoded
from .reading import Reading

JPEG = encoded(draw("红", "圆", 48), "JPEG")


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def jsonl(*rows: Any) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


ANNOTATIONS: dict[str, tuple[str, str | bytes, dict[str, list[str]]]] = {
    "aic-icc": (
        "caption_train.json",
        json.dumps([{"url": "http://x/1", "image_id": "a.jpg", "caption": ["一只猫", "猫在睡"]}]),
        {"images/a.jpg": ["一只猫", "猫在睡"]},
    ),
    "coco": (
        "captions_val.json",
        json.dumps({
            "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.JPG"}],
            "annotations": [
                {"image_id": 7, "caption": "猫"}, {"image_id": 8, "caption": "狗"}, {"image_id": 7, "caption": "睡"}],
        }, indent=1),
        {"images/a.jpg": ["猫", "睡"], "images/b.JPG": ["狗"]},
    ),
    "blip": ("blip.json", json.dumps([{"image": "images/a.jpg", "caption": "猫"}]), {"images/a.jpg": ["猫"]}),
    "icr": ("icr.jsonl", jsonl({"text": "猫", "image_path": "images/a.jpg"}), {"images/a.jpg": ["猫"]}),
    "llava": (
        "llava.json",
        json.dumps([{"id": "1", "image": "images/a.jpg", "conversations": [
            {"from": "human", "value": "<image>\n描述"}, {"from": "gpt", "value": "一只\n猫"}]}]),
        {"images/a.jpg": ["一只\n猫"]},
    ),
    "data-juicer": (
        "dj.jsonl",
        jsonl({"text": "<__dj__image>一只猫<|__dj__eoc|>", "images": ["images/a.jpg"]},
              {"text": "<__dj__image>红<|__dj__eoc|><__dj__image>蓝<|__dj__eoc|>",
               "images": ["images/b.JPG", "images/c.jpg"]}),
        {"images/a.jpg": ["一只猫"], "images/b.JPG": ["红"], "images/c.jpg": ["蓝"]},
    ),
    "flickr30k-cna": ("flickr30k.tsv", "a\t一只猫\na\t猫在睡\nb\t狗",
                      {"images/a.jpg": ["一只猫", "猫在睡"], "images/b.JPG": ["狗"]}),
    "coco-cn": ("coco-cn.txt", "a#zhm#0\t一只猫\nb#zhm#0 狗", {"images/a.jpg": ["一只猫"], "images/b.JPG": ["狗"]}),
    "cogdata": ("dict.json", json.dumps({"a": "一只猫", "b": "狗"}),
                {"images/a.jpg": ["一只猫"], "images/b.JPG": ["狗"]}),
    "kohya": ("meta_cap.json", json.dumps({"images/a.jpg": {"caption": "猫", "tags": "cat"}}),
              {"images/a.jpg": ["猫"]}),
    "rows in a document": ("all.json", json.dumps({"version": "1", "data": [{"image": "a.jpg", "caption": "猫"}]}),
                           {"images/a.jpg": ["猫"]}),
    "chinese names of columns": ("表.csv", "文件名,描述\na.jpg,猫\n", {"images/a.jpg": ["猫"]}),
    "missing texts as pandas writes them": ("p.csv", "file,text\na.jpg,nan\nb.jpg,狗\n", {"images/b.JPG": ["狗"]}),
    "a table without names": ("pairs.tsv", "images/a.jpg\t猫\t咪", {"images/a.jpg": ["猫\t咪"]}),
    "gbk": ("pairs.csv", "file_name,text\na.jpg,一只猫在草地上\nb.jpg,一只小狗的照片".encode("gbk"),
            {"images/a.jpg": ["一只猫在草地上"], "images/b.JPG": ["一只小狗的照片"]}),
}  # fmt: skip


@pytest.mark.parametrize("layout", ANNOTATIONS)
def test_an_annotation_file_is_read_as_it_lies(tmp_path: Path, layout: str) -> None:
    name, data, wanted = ANNOTATIONS[layout]
    folder = write(tmp_path, {"images/a.jpg": JPEG, "images/b.JPG": JPEG, "images/c.jpg": JPEG, name: data})
    reading = Reading("folder", folder, captions=name)
    assert {origin: texts for origin, texts in reading.captions.items() if texts} == wanted
    assert not reading.problems
    assert not reading.passed
    assert reading.listing.reads[0].startswith(name)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_imagefolder_metadata_is_read_where_it_lies(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, {"train/a.jpg": JPEG, "train/sub/b.jpg": JPEG})
    rows = [{"file_name": "a.jpg", "text": "一只猫"}, {"file_name": "sub/b.jpg", "text": "一只狗"}]
    if name.endswith("csv"):
        write(folder, {f"train/{name}": "file_name,text\na.jpg,一只猫\nsub/b.jpg,一只狗\n"})
    elif name.endswith("jsonl"):
        write(folder, {f"train/{name}": jsonl(*rows)})
    else:
        pq.write_table(pa.Table.from_pylist(rows), folder / "train" / name)
    assert Reading("folder", folder).captions == {"train/a.jpg": ["一只猫"], "train/sub/b.jpg": ["一只狗"]}


@pytest.mark.parametrize(
    "written",
    ["images/a.jpg", "./images/a.jpg", "images\\a.jpg", '"images/a.jpg"', "IMAGES/A.JPG", "a.jpg", "a",
     "{root}/images/a.jpg", "C:\\data\\a.jpg", "/nfs/elsewhere/a.jpg", "a.png"],
)  # fmt: skip
def test_names_are_matched_as_people_write_them(tmp_path: Path, written: str) -> None:
    folder = write(tmp_path, {"images/a.jpg": JPEG, "images/b.jpg": JPEG})
    write(folder, {"captions.jsonl": jsonl({"file": written.format(root=folder), "caption": "一只猫"})})
    assert Reading("folder", folder).captions == {"images/a.jpg": ["一只猫"], "images/b.jpg": []}


def test_a_name_that_two_pictures_have_is_no_match_and_no_path_of_this_machine_is_a_key(tmp_path: Path) -> None:
    folder = write(tmp_path, {"x/a.jpg": JPEG, "y/a.jpg": JPEG, "y/b.jpg": JPEG})
    write(
        folder, {"captions.tsv": f"a.jpg\t猫\ny/b.jpg\t狗\n{tmp_path}/gone.jpg\t无\n/other/gone2.jpg\t无\ny/a.jpg\t二"}
    )
    reading = Reading("folder", folder)
    assert reading.captions["y/b.jpg"] == ["狗"]
    assert reading.missing == ["a.jpg", "gone.jpg", "gone2.jpg"]


def test_when_no_caption_finds_its_picture_the_first_and_the_nearest_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path, {"images/000000042.jpg": JPEG, "captions.tsv": "img_42.jpg\t猫\nimg_43.jpg\t狗"})
    with pytest.raises(BadInput, match=r"2 of 2 captions .*first names img_42\.jpg.*images/000000042\.jpg"):
        Reading("folder", folder)


def test_when_most_captions_find_no_picture_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, {"a.jpg": JPEG, "captions.tsv": "a.jpg\t猫\nb.jpg\t狗\nc.jpg\t鸟"})
    assert Reading("folder", folder).missing == ["b.jpg", "c.jpg"]
    assert "2 of 3 captions find no picture; the first names b.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    "beside", ["a.txt", "a.TXT", "a.caption", "a.jpg.txt", "a.JPG.caption", "a.json", "a.jpg.json"]
)
def test_text_beside_a_picture_is_its_caption(tmp_path: Path, beside: str) -> None:
    text = '{"caption": "一只猫", "url": "http://x/y"}' if beside.endswith("json") else "一只猫\n"
    reading = Reading("folder", write(tmp_path, {"10_水墨/a.jpg": JPEG, f"10_水墨/{beside}": text}))
    assert reading.captions == {"10_水墨/a.jpg": ["一只猫"]}
    assert not reading.passed


def test_lines_that_say_what_the_json_says_are_one_caption(tmp_path: Path) -> None:
    paragraphs = "第一段。\n\n第二段。"
    files = {
        "a.jpg": JPEG, "a.txt": paragraphs, "a.json": json.dumps({"caption": "第一段。 第二段。"}),
        "b.jpg": JPEG, "b.json": json.dumps({"caption": paragraphs}),
        "c.jpg": JPEG, "c.txt": "一\n二",
    }  # fmt: skip
    reading = Reading("folder", write(tmp_path, files))
    assert reading.captions == {"a.jpg": ["第一段。 第二段。"], "b.jpg": [paragraphs], "c.jpg": ["一", "二"]}


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-8-sig", "utf-16"])
def test_text_beside_pictures_is_decoded_by_the_encoding_of_the_source(tmp_path: Path, encoding: str) -> None:
    texts = (
        ["一只猫坐在桌子上", "我家的小白狗很可愛", "他们在公园里放风筝"]
        if encoding != "big5"
        else ["這是一隻貓", "我家的狗很大", "他們在公園"]
    )
    files = {f"{n}.jpg": JPEG for n in range(3)} | {f"{n}.txt": text.encode(encoding) for n, text in enumerate(texts)}
    reading = Reading("folder", write(tmp_path, files))
    assert [item.captions for item in reading.items] == [[text] for text in texts]


def test_a_text_that_is_not_of_the_encoding_is_a_broken_row(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {f"{n}.jpg": JPEG for n in range(40)} | {
        f"{n}.txt": "一只猫" * 20 for n in range(40)
    }
    reading = Reading("folder", write(tmp_path, files | {"0.txt": "小狗的照片".encode("gbk")}))
    assert reading.problems == {"0.jpg": "broken_row"}
    assert reading.listing.encoding == "utf-8"


def test_an_encoding_that_is_not_clear_is_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.jpg": JPEG, "a.txt": bytes([0xFF, 0xFE - 1, 0x80, 0x81])})
    with pytest.raises(BadInput, match="encoding of its captions is not clear; name it with `encoding:`"):
        Reading("folder", folder)
    assert Reading("folder", folder, encoding="gbk").problems == {"a.jpg": "broken_row"}
    mixed = write(tmp_path / "mixed", {"a.jpg": JPEG, "a.txt": "一只猫", "b.jpg": JPEG, "b.txt": "小狗".encode("gbk")})
    with pytest.raises(BadInput, match=r"not clear \(a\.txt is utf-8, b\.txt is not\)"):
        Reading("folder", mixed)


def test_rows_that_cannot_be_read_cost_no_other_row(tmp_path: Path) -> None:
    rows = ['{"file": "a.jpg", "caption": "猫"}', '{"file": "b.jpg"', '{"caption": "无"}',
            '{"file": "c.jpg", "caption": {"x": 1}}',
            '{"file": "d.jpg", "caption": NaN}', '{"file": "e.jpg", "caption": 7}', '[1]']  # fmt: skip
    folder = write(tmp_path, {f"{name}.jpg": JPEG for name in "abcde"} | {"captions.jsonl": "\n".join(rows)})
    reading = Reading("folder", folder)
    assert sorted(reading.problems) == [f"captions.jsonl#{n}" for n in (1, 2, 3, 6)]
    assert {origin: texts for origin, texts in reading.captions.items() if texts} == {"a.jpg": ["猫"], "e.jpg": ["7"]}


def test_a_licence_that_only_a_late_row_of_json_has_is_its_licence(tmp_path: Path) -> None:
    rows: list[Any] = [{"file": f"{n}.jpg", "caption": "猫"} for n in range(5)]
    rows[4] |= {"license": "CC0-1.0", "url": "http://x/4"}
    folder = write(tmp_path, {f"{n}.jpg": JPEG for n in range(5)} | {"captions.jsonl": jsonl(*rows)})
    facts = [(item.license, item.url) for item in Reading("folder", folder).items]
    assert facts == [(None, None)] * 4 + [("CC0-1.0", "http://x/4")]


def test_pictures_are_told_by_content_where_the_ending_says_nothing(tmp_path: Path) -> None:
    names = ["a.jpe", "b.jpg!large", "c", "d.JPG", "d.jpg", "e.image"]
    reading = Reading("folder", write(tmp_path, dict.fromkeys(names, JPEG) | {"notes": "x", "f.docx": b"PK\x03\x04"}))
    assert sorted(reading.captions) == sorted(names)
    assert reading.passed == {
        "no ending": {"count": 1, "examples": ["notes"]}, "*.docx": {"count": 1, "examples": ["f.docx"]},
    }  # fmt: skip


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    nas = write(tmp_path / "nas", {"x/a.jpg": JPEG, "x/a.txt": "猫"})
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "linked").symlink_to(nas, target_is_directory=True)
    (nas / "x" / "up").symlink_to(nas, target_is_directory=True)
    (folder / "b.jpg").symlink_to(nas / "x" / "a.jpg")
    (folder / "gone.jpg").symlink_to(nas / "nowhere.jpg")
    reading = Reading("folder", folder)
    assert reading.captions == {"b.jpg": [], "linked/x/a.jpg": ["猫"]}
    assert reading.passed == {
        "broken link": {"count": 1, "examples": ["gone.jpg"]},
        "link to a folder above": {"count": 1, "examples": ["linked/x/up"]},
    }


NAMES = st.lists(
    st.tuples(
        st.sampled_from(["", "x/", ".git/", "数据/"]),
        st.sampled_from(["a", "b", "a.b", "中", "._a"]),
        st.sampled_from(["", ".jpg", ".JPG", ".jpg!large", ".txt", ".json", ".caption", ".docx", ".tar.gz"]),
    ).map("".join),
    unique_by=str.lower, min_size=1, max_size=12,
)  # fmt: skip


@given(NAMES, st.data())
def test_every_file_of_a_folder_is_a_pair_or_belongs_to_one_or_is_counted(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    texts = st.sampled_from(["一只猫".encode(), b'{"caption": "x"}', b""])
    contents = [data.draw(texts if name.endswith((".txt", ".json", ".caption")) else st.just(JPEG)) for name in names]
    folder = write(tmp_path_factory.mktemp("f"), dict(zip(names, contents, strict=True)) | {"z.jpg": JPEG})
    reading = Reading("folder", folder)
    origins = [item.origin for item in reading.items]
    assert len(origins) == len(set(origins))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    beside = files - set(origins)
    text = {name for name in beside if name.lower().endswith((".txt", ".caption", ".json"))}
    assert reading.num_passed >= len(beside - text)
    assert reading.num_passed <= len(beside)
    assert len(origins) + reading.num_passed + len(text) >= len(files)


def test_file_names_of_any_bytes_are_read_again(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode("中文.jpg".encode("gbk"))).write_bytes(JPEG)
    (tmp_path / "captions.tsv").write_bytes("中文.jpg\t一只猫在草地上跑\n".encode("gbk"))
    assert [item.captions for item in Reading("folder", tmp_path).items] == [["一只猫在草地上跑"]]


def test_a_folder_of_archives_says_which_kind_reads_them(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there are archives .*; write `kind: webdataset`"):
        Reading("folder", write(tmp_path, {"0.tar": b"x"}))
