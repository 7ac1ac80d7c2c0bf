"""Parquet of pictures: read by row groups whoever wrote it, and refused where its columns are not clear."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.executor.part import PictureRoot
from tuwen.pipeline.sources.reader import read_picture

from ..conftest import draw, png
from .test_sources import rows_of

PARQUETS: dict[str, dict[str, Any]] = {
    "huggingface": {
        "image": [{"bytes": png(draw("红", "圆", n)), "path": f"{n}.png"} for n in (40, 50, 60)],
        "text": ["四十", "五十", "六十"],
    },
    "img2dataset": {
        "url": [f"http://example.org/{n}" for n in (40, 50, 60)], "key": ["0", "1", "2"],
        "jpg": [png(draw("红", "圆", n)) for n in (40, 50, 60)], "caption": ["四十", "五十", "六十"],
        "exif": ["{}", None, "{}"],
    },
    "lists": {
        "picture": [png(draw("红", "圆", n)) for n in (40, 50)], "captions": [["四十", "五十"], ["六十"]],
        "license": ["CC0-1.0", "MIT"],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", list(PARQUETS))
def test_parquet_with_pictures_is_read_by_row_groups_whoever_wrote_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(PARQUETS[kind]), tmp_path / "data" / "0.parquet", row_group_size=1)
    rows = rows_of(tmp_path, "[{name: p, kind: parquet, path: data}]")
    assert [row["caption"] for row in rows] == ["四十", "五十", "六十"]
    assert all(row["kept"] or row["reason"] == "near_picture" for row in rows)
    numbers = [0, 0, 1] if kind == "lists" else [0, 1, 2]
    assert [row["origin"] for row in rows] == [f"0.parquet#{number}" for number in numbers]
    for row in reversed(rows):  # backwards, too: a reader may jump
        data = read_picture(PictureRoot("parquet", str(tmp_path / "data")), row["origin"], row["offset"], row["bytes"])
        assert hashlib.sha256(data).hexdigest() == row["image_sha256"]
    if kind == "lists":
        assert [row["license"] for row in rows] == ["CC0-1.0", "CC0-1.0", "MIT"]
    if kind == "img2dataset":
        assert [row["url"] for row in rows] == [f"http://example.org/{n}" for n in (40, 50, 60)]


@pytest.mark.parametrize(
    ("columns", "refusal"),
    [
        (
            {"a": [b"x"], "b": [b"y"], "caption": ["c"]},
            "not plain which of a, b has the pictures; name it with `image: …`",
        ),
        ({"image": [b"x"], "words": ["c"]}, "name it with `caption: …`"),
        ({"image": ["x.png"], "caption": ["c"]}, "names no file below the source; the first is `x.png`"),
    ],
)
def test_parquet_whose_columns_are_not_clear_is_refused_with_the_cure(
    tmp_path: Path, columns: dict[str, Any], refusal: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    with pytest.raises(BadInput, match=refusal):
        rows_of(tmp_path, "[{name: p, kind: parquet, path: 0.parquet}]")


def test_a_parquet_column_of_pictures_that_holds_numbers_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": [1], "caption": ["c"]}), tmp_path / "0.parquet")
    with pytest.raises(BadInput, match=r"column `number` holds no pictures \(int64\)"):
        rows_of(tmp_path, "[{name: p, kind: parquet, path: 0.parquet, image: number}]")


def test_parquet_columns_are_those_that_the_recipe_names_also_when_a_picture_is_read_back(tmp_path: Path) -> None:
    """`image`, which would be taken otherwise, holds something smaller."""
    columns = {"image": [b"x"], "full": [png(draw("红", "圆", 60))], "text": ["小"], "words": ["一个圆"]}
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    (row,) = rows_of(tmp_path, "[{name: p, kind: parquet, path: 0.parquet, image: full, caption: words}]")
    assert (row["caption"], row["reason"]) == ("一个圆", "")
    root = PictureRoot("parquet", str(tmp_path / "0.parquet"), column="full")
    assert read_picture(root, row["origin"], row["offset"], row["bytes"]) == columns["full"][0]


def test_empty_row_groups_of_parquet_double_no_pair(tmp_path: Path) -> None:
    table = pa.table({"image": [png(draw("红", "圆", n)) for n in (40, 60)], "caption": ["四十", "六十"]})
    with pq.ParquetWriter(tmp_path / "0.parquet", table.schema) as writer:
        for start, length in ((0, 0), (0, 1), (1, 0), (1, 1)):
            writer.write_table(table.slice(start, length))
    rows = rows_of(tmp_path, "[{name: p, kind: parquet, path: 0.parquet}]")
    assert [(row["origin"], row["caption"]) for row in rows] == [("0.parquet#0", "四十"), ("0.parquet#1", "六十")]


def test_what_lies_in_a_table_and_is_no_picture_is_dropped_when_it_is_read(tmp_path: Path) -> None:
    good = base64.b64encode(png(draw("红", "圆", 40))).decode()
    pq.write_table(pa.table({"image": [good, "这不是图片"], "caption": ["红圆", "没有"]}), tmp_path / "0.parquet")
    rows = rows_of(tmp_path, "[{name: p, kind: parquet, path: 0.parquet}]")
    assert [(row["stage"], row["reason"]) for row in rows] == [("", ""), ("read", "not_a_picture")]


def test_licences_of_parquet_may_be_numbers(tmp_path: Path) -> None:
    columns = {"image": [png(draw("红", "圆", n)) for n in (40, 60)], "caption": ["四十", "六十"], "license": [4, None]}
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    rows = rows_of(tmp_path, "[{name: p, kind: parquet, path: 0.parquet, license: CC0-1.0}]")
    assert [row["license"] for row in rows] == ["4", "CC0-1.0"]
