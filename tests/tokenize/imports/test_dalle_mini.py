"""`tuwen import` of Parquet with a caption and its codes, as dalle-mini writes it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.errors import BadInput
from tuwen.tokenize.import_codes.asked import parse_grid

from .others_files import CAPTIONS, FACTS_256, dalle_mini, ids_of, imported, random_codes, refused_of, rows_of


def test_parquet_of_dalle_mini_becomes_shards(tmp_path: Path, text_model: Path) -> None:
    codes = np.concatenate(
        [dalle_mini(tmp_path / "encoded" / f"{n:03d}.parquet", rows) for n, rows in ((1, 5), (2, 4))]
    )
    manifest = imported(tmp_path / "encoded", tmp_path / "out", text_model, **FACTS_256)
    assert [row[0] for row in rows_of(manifest)] == codes.tolist()
    assert [row[1] for row in rows_of(manifest)][:4] == [ids_of(caption) for caption in CAPTIONS]
    alone = imported(tmp_path / "encoded" / "002.parquet", tmp_path / "alone", text_model, **FACTS_256)
    assert [row[0] for row in rows_of(alone)] == codes[5:].tolist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int32()), pa.large_list(pa.uint16()), pa.list_(pa.int64(), 16),
        pa.list_(pa.list_(pa.int64(), 4), 4), pa.list_(pa.list_(pa.uint16())),
    ],
    ids=str,
)  # fmt: skip
def test_codes_are_read_from_every_kind_of_list_and_null_rows_are_named(
    tmp_path: Path, text_model: Path, kind: pa.DataType
) -> None:
    codes = random_codes(5, 16, 100)
    is_nested = pa.types.is_nested(kind.value_type)
    rows: list[Any] = [row.reshape(4, 4).tolist() if is_nested else row.tolist() for row in codes]
    rows[2] = None
    table = pa.table({"text": ["红", "圆", "蓝", "方", "绿"], "codes": pa.array(rows, kind)})
    pq.write_table(table, tmp_path / "x.parquet")
    manifest = imported(tmp_path / "x.parquet", tmp_path / "out", text_model, codebook=100, grid=parse_grid("4x4"))
    assert [row[0] for row in rows_of(manifest)] == np.delete(codes, 2, axis=0).tolist()
    assert refused_of(manifest) == {"x.parquet#2": "no_codes"}


def test_columns_of_others_are_not_taken_for_ours(tmp_path: Path, text_model: Path) -> None:
    theirs = {"key": [1, 1, 1, 1], "split": ["validation"] * 4, "text_ids": [[7]] * 4, "license": [0.5] * 4}
    codes = dalle_mini(tmp_path / "x.parquet", **theirs)
    manifest = imported(tmp_path / "x.parquet", tmp_path / "out", text_model, validation=None, **FACTS_256)
    rows = [row for split in ("train", "validation") for row in rows_of(manifest, split)]
    assert sorted(row[0] for row in rows) == sorted(codes.tolist())
    assert {row[2]["license"] for row in rows} == {"unknown"}
    assert len({row[2]["key"] for row in rows}) == 4
    assert sorted(row[1] for row in rows) == sorted(map(ids_of, CAPTIONS))
    assert manifest.document["split_rule"]["by"] == "key"


def test_a_file_of_a_folder_that_lacks_the_codes_is_named(tmp_path: Path, text_model: Path) -> None:
    dalle_mini(tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"caption": ["红"]}), tmp_path / "in" / "b.parquet")
    with pytest.raises(BadInput, match=r"b\.parquet: has no column `encoding`; say --codes-column with one of caption"):
        imported(tmp_path / "in", tmp_path / "out", text_model, **FACTS_256)


def test_broken_rows_of_parquet_are_named(tmp_path: Path, text_model: Path) -> None:
    codes: list[Any] = random_codes(6, 16, 100).tolist()
    codes[0], codes[1], codes[2] = codes[0][:15], None, [100] * 16
    captions = ["红", "红", "红", None, "", "圆"]
    pq.write_table(pa.table({"图": captions, "编码": codes}), tmp_path / "x.parquet")
    facts = {"codebook": 100, "grid": parse_grid("16"), "caption_column": "图", "codes_column": "编码"}
    manifest = imported(tmp_path / "x.parquet", tmp_path / "out", text_model, **facts)
    assert refused_of(manifest) == {
        "x.parquet#0": "wrong_number_of_codes",
        "x.parquet#1": "no_codes",
        "x.parquet#2": "code_beyond_codebook",
        "x.parquet#3": "no_caption",
        "x.parquet#4": "no_caption",
    }
    assert manifest.sample_schema.codes.shape == [16]
    floats = pa.table({"caption": ["红"], "codes": [[0.5] * 16]})
    pq.write_table(floats, tmp_path / "floats.parquet")
    with pytest.raises(BadInput, match=r"no row can be used \(1 no_codes\); correct --codes-column"):
        imported(tmp_path / "floats.parquet", tmp_path / "floats", text_model, codebook=100, grid=parse_grid("16"))
