"""`tuwen corpus --look`: what it prints is a recipe that reads what it looked at."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.errors import BadInput
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.look import look
from tuwen.pipeline.seen import Seen, shown

from ..conftest import draw, encoded, tar_of

JPEG = encoded(draw("红", "圆", 48), "JPEG")


def looked_at(path: Path) -> Seen:
    """What is seen; the recipe that is printed loads, and has the sections that are seen."""
    seen = look(path)
    text = shown(seen)
    assert yaml.safe_load(text)["sources"] == seen.sections
    recipe = path.parent / "printed.yaml"
    recipe.write_text(text, encoding="utf-8")
    load_recipe(str(recipe))
    return seen


def folder_of_pictures(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    for name in "ab":
        (folder / "images" / f"{name}.jpg").write_bytes(JPEG)
    return folder


def test_a_folder_with_an_annotation_file_of_any_name(tmp_path: Path) -> None:
    folder = folder_of_pictures(tmp_path / "aic")
    rows = [{"image_id": "a.jpg", "caption": ["一只猫", "猫"]}, {"image_id": "b.jpg", "caption": ["狗"]}]
    (folder / "train.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "notes.docx").write_bytes(b"x")
    seen = looked_at(folder)
    assert seen.sections == [{"name": "aic", "kind": "folder", "path": str(folder), "captions": ["train.json"]}]
    assert [(pair.origin, pair.captions) for pair in seen.pairs] == [
        ("images/a.jpg", ["一只猫", "猫"]), ("images/b.jpg", ["狗"]),
    ]  # fmt: skip
    assert seen.passed_over == {"*.docx": {"count": 1, "examples": ["notes.docx"]}}


def test_text_beside_pictures_needs_no_further_key(tmp_path: Path) -> None:
    folder = folder_of_pictures(tmp_path / "数据")
    (folder / "images" / "a.txt").write_bytes("一只猫坐在草地上".encode("gbk"))
    seen = looked_at(folder)
    assert seen.sections == [{"name": "数据", "kind": "folder", "path": str(folder)}]
    assert "text in gb18030" in seen.reads


def test_archives_and_tables_with_pictures(tmp_path: Path) -> None:
    tar_of(tmp_path / "x" / "0.TAR", {"a.jpg": JPEG, "a.txt": "猫".encode()})
    pq.write_table(pa.table({"image": [JPEG], "words": ["一只狗"]}), tmp_path / "x" / "data.pq")
    seen = looked_at(tmp_path / "x")
    assert [(each["kind"], each.get("caption")) for each in seen.sections] == [
        ("webdataset", None),
        ("parquet", "words"),
    ]
    assert [pair.captions for pair in seen.pairs] == [["猫"], ["一只狗"]]


def test_base64_in_a_table_and_the_layout_of_chinese_clip(tmp_path: Path) -> None:
    text = base64.b64encode(JPEG).decode()
    (tmp_path / "x").mkdir()
    pq.write_table(pa.table({"image": [text], "text": ["一只狗"]}), tmp_path / "x" / "data.parquet")
    assert [each["kind"] for each in looked_at(tmp_path / "x").sections] == ["parquet"]
    (tmp_path / "muge").mkdir()
    (tmp_path / "muge" / "train_imgs.tsv").write_text(f"7\t{text}\n")
    (tmp_path / "muge" / "train_texts.jsonl").write_text('{"text_id": 1, "text": "猫", "image_ids": [7]}')
    seen = looked_at(tmp_path / "muge")
    assert [each["kind"] for each in seen.sections] == ["chinese-clip"]
    assert [(pair.origin, pair.captions) for pair in seen.pairs] == [("train_imgs.tsv/7", ["猫"])]


@pytest.mark.parametrize(
    ("columns", "named"), [(("url", "caption"), {}), (("link", "words"), {"url": "link", "caption": "words"})]
)
def test_lists_of_addresses_name_the_columns_that_are_not_plain(
    tmp_path: Path, columns: tuple[str, str], named: dict[str, str]
) -> None:
    (tmp_path / "list.csv").write_text(f"id,{columns[0]},{columns[1]}\n7,https://a.b/c.jpg,一只猫\n", encoding="utf-8")
    seen = looked_at(tmp_path / "list.csv")
    (section,) = seen.sections
    assert section["kind"] == "urls"
    assert {key: section[key] for key in ("url", "caption") if key in section} == named
    assert seen.pairs[0].captions == ["一只猫"]


def test_a_missing_path_an_empty_folder_and_an_archive_that_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        look(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="it holds no file"):
        look(tmp_path / "empty")
    (tmp_path / "empty" / "0.tfrecord").write_bytes(b"x")
    with pytest.raises(BadInput, match="let img2dataset write `--output_format webdataset`"):
        look(tmp_path / "empty")
    (tmp_path / "empty" / "a.rar").write_bytes(b"Rar!\x1a\x07\x01\x00")
    with pytest.raises(BadInput, match="holds RAR archives, which are not read here; unpack them"):
        look(tmp_path / "empty")


def test_lists_without_a_line_of_names_and_with_several_captions_get_a_recipe_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "bare.tsv").write_text("7\t一只猫\thttps://a.b/c.jpg\n8\t一只狗\thttps://a.b/d.jpg\n", encoding="utf-8")
    seen = looked_at(tmp_path / "bare.tsv")
    assert seen.sections[0]["columns"] == ["column1", "caption", "url"]
    assert [pair.captions for pair in seen.pairs] == [["一只猫"], ["一只狗"]]
    wit = "language,page_url,image_url,caption_reference_description,caption_alt_text_description\n"
    wit += "zh,https://a.b/猫,https://a.b/c.jpg,一只猫,猫的照片\n"
    (tmp_path / "wit.csv").write_text(wit, encoding="utf-8")
    seen = looked_at(tmp_path / "wit.csv")
    assert (seen.sections[0]["preset"], seen.pairs[0].captions) == ("wit", ["一只猫", "猫的照片"])
    (tmp_path / "no.csv").write_text("url,id\nhttps://a.b/c.jpg,7\n", encoding="utf-8")
    seen = looked_at(tmp_path / "no.csv")
    assert "caption" not in seen.sections[0] and "name the column of the caption" in seen.not_understood[0]


def test_what_no_section_reads_is_counted_once(tmp_path: Path) -> None:
    folder = folder_of_pictures(tmp_path / "x")
    tar_of(folder / "0.tar", {"c.jpg": JPEG, "c.txt": "猫".encode(), "notes.docx": b"x"})
    (folder / ".DS_Store").write_bytes(b"x")
    seen = looked_at(folder)
    assert [each["kind"] for each in seen.sections] == ["webdataset", "folder"]
    assert seen.passed_over == {
        "hidden": {"count": 1, "examples": [".DS_Store"]}, "*.docx": {"count": 1, "examples": ["0.tar/notes.docx"]},
    }  # fmt: skip


def test_captions_outside_of_archives_and_captions_of_other_pictures(tmp_path: Path) -> None:
    tar_of(tmp_path / "cog" / "0.tar", {"a.jpg": JPEG, "b.jpg": JPEG})
    (tmp_path / "cog" / "0.json").write_text('{"a": "一只猫", "b": "一只狗"}', encoding="utf-8")
    seen = looked_at(tmp_path / "cog")
    assert (seen.sections[0]["captions"], seen.passed_over) == (["0.json"], {})
    assert [pair.captions for pair in seen.pairs] == [["一只猫"], ["一只狗"]]
    folder = folder_of_pictures(tmp_path / "photos")
    (folder / "list.csv").write_text("file_name,caption\nx.jpg,一只猫\n", encoding="utf-8")
    (problem,) = looked_at(folder).not_understood
    assert "list.csv has captions of no picture here; the first names x.jpg" in problem
    (folder / "list.csv").write_text("file_name;caption\na.jpg;一只猫\n", encoding="utf-8")
    (problem,) = looked_at(folder).not_understood
    assert "list.csv: no row of it can be read as a picture and its caption" in problem


def test_a_document_about_the_data_is_no_list_of_addresses(tmp_path: Path) -> None:
    tar_of(tmp_path / "x" / "0.tar", {"a.jpg": JPEG, "a.txt": "猫".encode()})
    croissant = {"@context": {}, "conformsTo": "http://mlcommons.org/croissant/1.0", "description": "一些猫的照片"}
    (tmp_path / "x" / "croissant.json").write_text(json.dumps(croissant), encoding="utf-8")
    seen = looked_at(tmp_path / "x")
    assert [each["kind"] for each in seen.sections] == ["webdataset"]
    assert seen.passed_over == {"*.json": {"count": 1, "examples": ["croissant.json"]}}


def test_a_bucket_and_a_pipe_are_refused_in_one_line(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["corpus", "--look", "s3://mine/pictures"], catch_exceptions=True)
    assert isinstance(told.exception, BadInput)
    assert "s3://mine/pictures is no folder or file of this machine; copy it here" in str(told.exception)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="pipe is neither a folder nor a file"):
        look(tmp_path / "pipe")


def test_looking_starts_neither_ray_nor_torch(tmp_path: Path) -> None:
    code = "import sys; from tuwen.pipeline.look import look; from pathlib import Path; look(Path(sys.argv[1])); "
    code += "assert not {'torch', 'faiss'} & sys.modules.keys(); import ray; assert not ray.is_initialized()"
    subprocess.run([sys.executable, "-c", code, str(folder_of_pictures(tmp_path / "p"))], check=True)
