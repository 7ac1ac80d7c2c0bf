"""Tables that hold pictures, whoever wrote them: every row is read, or says why not, and its picture is read again."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.source_kinds import KINDS
from tuwen.pipeline.sources.tables.picture_cell import PictureFiles, cell_picture, cell_pictures

from ...conftest import write_recipe
from ...stages import build_corpus, export
from ..hostile import picture, saved
from .reading import Reading

PICTURES = [saved(picture(number, 64, 64), "JPEG") for number in range(4)]
CAPTIONS = ["一只猫", "红色的圆", "蓝天下的山", "一座桥"]


def read_source(path: Path, **keys: Any) -> Reading:
    read = Reading("parquet", path, **keys)
    assert len({item.origin for item in read.items}) == len(read.items)
    return read


def problems(read: Reading) -> list[str | None]:
    """What is wrong with each item; missing_picture where there is just no picture."""
    return [item.problem or (None if item.data is not None else "missing_picture") for item in read.items]


def write_parquet(path: Path, columns: dict[str, Any] | pa.Table, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)


def write_stream(path: Path, columns: dict[str, Any] | pa.Table, rows: int = 2) -> None:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)


def write_arrow_file(path: Path, columns: dict[str, Any] | pa.Table, rows: int = 2) -> None:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)


def read_table(tmp_path: Path, columns: dict[str, Any] | pa.Table, **keys: Any) -> Reading:
    write_parquet(tmp_path / "data" / "0.parquet", columns, row_group_size=3)
    return read_source(tmp_path / "data", **keys)


def refusal(tmp_path: Path, columns: dict[str, Any] | pa.Table, **keys: Any) -> str:
    with pytest.raises(BadInput) as raised:
        read_table(tmp_path, columns, **keys)
    assert "\n" not in str(raised.value)
    return str(raised.value)


STRUCTS = [{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(PICTURES)]
TWICE = pa.Table.from_arrays([pa.array(PICTURES), pa.array(CAPTIONS), pa.array(CAPTIONS)], ["image", "text", "text"])
SHAPES: dict[str, pa.Array] = {
    "binary": pa.array(PICTURES, pa.binary()),
    "large binary": pa.array(PICTURES, pa.large_binary()),
    "view": pa.array(PICTURES, pa.binary_view()),
    "dictionary": pa.array(PICTURES).dictionary_encode(),
    "struct": pa.array(STRUCTS),
    "struct of large": pa.array(STRUCTS, pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])),
    "base64": pa.array([base64.b64encode(data).decode() for data in PICTURES]),
    "large urlsafe base64": pa.array([base64.urlsafe_b64encode(data).decode() for data in PICTURES], pa.large_string()),
    "data address": pa.array([f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for data in PICTURES]),
}


@pytest.mark.parametrize("writer", [write_parquet, write_stream, write_arrow_file])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_column_of_pictures_is_read_whatever_its_type(
    tmp_path: Path, shape: str, writer: Callable[[Path, dict[str, Any]], None]
) -> None:
    writer(tmp_path / "data" / "0.bin", {"image": SHAPES[shape], "text": pa.array(CAPTIONS).dictionary_encode()})
    read = read_source(tmp_path / "data")
    assert [item.data for item in read.items] == PICTURES
    assert [item.captions for item in read.items] == [[caption] for caption in CAPTIONS]
    assert [item.origin for item in read.items] == [f"0.bin#{row}" for row in range(4)]
    assert read.listing.reads == ["0.bin: image, text"]


@pytest.mark.parametrize("name", ["data.pq", "DATA.PARQUET", "part-0", "x.txt"])
def test_a_table_is_known_by_its_content_and_not_by_its_name(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / "data" / name, {"image": PICTURES, "caption": CAPTIONS})
    (tmp_path / "data" / "0.parquet").write_text("version https://git-lfs.github.com/spec/v1")
    read = read_source(tmp_path / "data")
    assert [item.data for item in read.items] == PICTURES
    assert read.listing.passed_over == {"*.parquet": {"count": 1, "examples": ["0.parquet"]}}


def test_the_folder_of_save_to_disk_is_read_and_its_json_belongs_to_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_stream(tmp_path / "data" / split / "data-00000-of-00001.arrow", {"image": STRUCTS, "text": CAPTIONS})
        for name in ("dataset_info.json", "state.json"):
            (tmp_path / "data" / split / name).write_text("{}")
    (tmp_path / "data" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    (tmp_path / "data" / "state.json").write_text("{}")  # of nothing
    read = read_source(tmp_path / "data")
    assert len(read.items) == 8
    assert read.listing.reads == ["test/data-00000-of-00001.arrow and 1 more: image, text"]
    assert read.listing.passed_over == {"*.json": {"count": 1, "examples": ["state.json"]}}


def test_several_pictures_of_a_row_are_pairs_with_its_captions(tmp_path: Path) -> None:
    cells = [STRUCTS[:2], [None, STRUCTS[2]], [], None]
    read = read_table(tmp_path, {"images": pa.array(cells), "caption": CAPTIONS})
    assert read.captions == {
        "0.parquet#0": ["一只猫"], "0.parquet#0/1": ["一只猫"], "0.parquet#1/1": ["红色的圆"],
        "0.parquet#2": ["蓝天下的山"], "0.parquet#3": ["一座桥"],
    }  # fmt: skip
    assert [item.data for item in read.items] == [*PICTURES[:3], None, None]
    assert problems(read) == [None, None, None, "missing_picture", "missing_picture"]


@pytest.mark.parametrize("column", ["strings", "structs"])
def test_paths_are_read_below_the_source_and_nowhere_else(tmp_path: Path, column: str) -> None:
    (tmp_path / "data" / "tables").mkdir(parents=True)
    (tmp_path / "data" / "pictures").mkdir()
    for number, name in enumerate(["a.jpg", "b.JPG", "c.jpg"]):
        (tmp_path / "data" / "pictures" / name).write_bytes(PICTURES[number])
    (tmp_path / "outside.jpg").write_bytes(PICTURES[3])
    (tmp_path / "data" / "readme.md").write_text("…")
    paths = [
        "pictures/a.jpg",
        ".\\..\\pictures\\b.jpg",
        f"{tmp_path}/data/pictures/c.jpg",
        "../../outside.jpg",
        "d.jpg",
    ]
    cells = paths if column == "strings" else [{"bytes": None, "path": path} for path in paths]
    write_parquet(tmp_path / "data" / "tables" / "0.parquet", {"image": cells, "caption": [*CAPTIONS, "没有"]})
    read = read_source(tmp_path / "data")
    assert [item.data for item in read.items] == [*PICTURES[:3], None, None]
    assert problems(read)[3:] == ["missing_picture"] * 2
    assert read.listing.passed_over == {"*.md": {"count": 1, "examples": ["readme.md"]}}
    assert not any(str(tmp_path) in item.origin for item in read.items)


def test_a_picture_that_a_path_names_is_measured_again_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jpg").write_bytes(PICTURES[0])
    (spec,) = [part.spec for part in read_table(tmp_path, {"image": ["a.jpg"], "caption": ["猫"]}).listing.parts]
    (tmp_path / "data" / "a.jpg").write_bytes(PICTURES[1] + b"\0")
    (again,) = [part.spec for part in read_source(tmp_path / "data").listing.parts]
    assert spec["pictures"] and spec["pictures"] != again["pictures"]


def test_a_cell_that_holds_no_picture_has_a_verdict_of_its_own(tmp_path: Path) -> None:
    cells = [base64.b64encode(PICTURES[0]).decode(), "没有这样的图", "a.jpg", None, "", "data:text/html;base64,?"]
    read = read_table(tmp_path, {"image": cells, "caption": ["猫"] * 6})
    assert problems(read) == [
        None, "not_a_picture", "missing_picture", "missing_picture", "missing_picture", "not_a_picture",
    ]  # fmt: skip


def test_several_columns_are_several_captions(tmp_path: Path) -> None:
    columns = {"image": PICTURES, "alt_text": CAPTIONS, "recaption": ["长描述", None, ["一", "二"][0], ""]}
    assert list(read_table(tmp_path, columns, captions=["alt_text", "recaption"]).captions.values()) == [
        ["一只猫", "长描述"], ["红色的圆"], ["蓝天下的山", "一"], ["一座桥"],
    ]  # fmt: skip
    assert list(read_table(tmp_path, columns).captions.values()) == [[caption] for caption in CAPTIONS]
    with pytest.raises(ValueError, match="name all columns in `captions`"):
        KINDS["parquet"].section.model_validate(
            {"name": "s", "kind": "parquet", "path": "x", "caption": "a", "captions": ["b"]}
        )


@pytest.mark.parametrize(
    ("columns", "keys", "words"),
    [
        ({"url": ["https://a.b/c.jpg"], "TEXT": ["猫"]}, {}, "it holds addresses, not pictures; write `kind: urls`"),
        ({"image": ["https://a.b/c.jpg"], "text": ["猫"]}, {}, "it holds addresses, not pictures; write `kind: urls`"),
        ({"url": ["https://a.b/c"], "text": ["猫"]}, {"image": "url"}, "addresses, not pictures; write `kind: urls`"),
        ({"image": PICTURES, "words": CAPTIONS}, {}, "no column of captions among words; name it with `caption: …`"),
        ({"image": PICTURES, "title": CAPTIONS, "alt": CAPTIONS}, {}, "not plain which of title, alt is the caption"),
        ({"image": PICTURES, "text": CAPTIONS}, {"caption": "words"}, "has no column `words`; it has image, text"),
        ({"image": PICTURES, "text": CAPTIONS}, {"captions": ["text", "b"]}, "has no column `b`; it has image, text"),
        ({"image": [[1, 2]], "text": ["猫"]}, {"image": "image"}, "column `image` holds no pictures (list<"),
        ({}, {}, "has no columns"),
        ({"image": pa.array([], pa.binary()), "text": pa.array([], pa.string())}, {}, "has no rows"),
        (TWICE, {}, "has 2 columns called `text`; rename one of them"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_refused_in_its_own_words(
    tmp_path: Path, columns: dict[str, Any], keys: dict[str, Any], words: str
) -> None:
    assert words in refusal(tmp_path, columns, **keys)


def test_the_nearest_file_is_named_when_no_path_fits(tmp_path: Path) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "cat_1.jpg").write_bytes(PICTURES[0])
    words = refusal(tmp_path, {"image": ["cat_1.jpg"], "caption": ["猫"]})
    assert "the first is `cat_1.jpg`, the nearest file is train/cat_1.jpg" in words


def test_pictures_that_are_missing_at_the_start_do_not_refuse_those_that_follow(tmp_path: Path) -> None:
    cells = [{"bytes": None, "path": "gone.jpg"}] * 6 + STRUCTS
    read = read_table(tmp_path, {"image": cells, "text": ["猫"] * 10})
    assert problems(read) == ["missing_picture"] * 6 + [None] * 4


def test_a_table_without_rows_is_passed_over_beside_others(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "1.parquet", pa.table({"image": PICTURES, "text": CAPTIONS}).slice(0, 0))
    read = read_table(tmp_path, {"image": PICTURES, "text": CAPTIONS})
    assert len(read.items) == 4
    assert read.listing.passed_over == {"table without rows": {"count": 1, "examples": ["1.parquet"]}}


def test_captions_of_any_type_are_text_or_a_broken_row(tmp_path: Path) -> None:
    cells: dict[str, tuple[pa.Array, list[Any]]] = {
        "number": (pa.array([7, None]), [["7"], []]),
        "nan": (pa.array([float("nan"), 2.0]), [[], ["2"]]),
        "nested": (pa.array([[["一", None], ["二"]], None]), [["一", "二"], []]),
        "struct": (pa.array([{"zh": "猫"}, None]), [None, []]),
        "map": (pa.array([[("zh", "猫")], None], pa.map_(pa.string(), pa.string())), [None, []]),
        "bool": (pa.array([True, None]), [None, []]),
        "not utf-8": (pa.array([b"\xff\xfe\xfd", "猫".encode()]).view(pa.string()), [None, ["猫"]]),
        "null": (pa.nulls(2), [[], []]),
        "blank in a list": (pa.array([["", "猫"], ["", ""]]), [["", "猫"], ["", ""]]),
    }
    for number, (name, (array, expected)) in enumerate(cells.items()):
        read = read_table(tmp_path / str(number), {"image": PICTURES[:2], "text": array})
        assert [None if item.problem == "broken_row" else item.captions for item in read.items] == expected, name
        assert [item.data for item in read.items] == PICTURES[:2]


def test_captions_in_bytes_are_decoded_by_the_encoding_of_the_source(tmp_path: Path) -> None:
    texts = ["我们的大家都在这里看一只猫", "他们说这是一个红色的圆", "天上的山和我们的国家", "这里有一座桥"]
    read = read_table(tmp_path, {"image": PICTURES, "text": [text.encode("gb18030") for text in texts]})
    assert [item.captions for item in read.items] == [[text] for text in texts]
    assert read.listing.encoding == "gb18030"
    wrong = read_table(
        tmp_path, {"image": PICTURES, "text": [text.encode("gb18030") for text in texts]}, encoding="utf-8"
    )
    assert set(problems(wrong)) == {"broken_row"}


def arrow_types() -> st.SearchStrategy[pa.DataType]:
    flat = [
        pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(),
        pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3),
        pa.date32(), pa.date64(), pa.time32("s"), pa.time64("ns"), pa.timestamp("ns"),
        pa.timestamp("us", "Asia/Shanghai"), pa.timestamp("s", "nowhere"), pa.duration("s"), pa.decimal128(9, 2),
        pa.decimal256(50, 3),
        pa.month_day_nano_interval(), pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.int64()),
    ]  # fmt: skip

    def nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
        return st.one_of(
            inner.map(pa.list_), inner.map(pa.large_list), inner.map(lambda kind: pa.list_(kind, 2)),
            inner.map(pa.list_view), inner.map(lambda kind: pa.struct([("a", kind), ("b", pa.string())])),
            inner.map(lambda kind: pa.struct([("a", kind), ("a", kind)])),
            inner.map(lambda kind: pa.map_(pa.string(), kind)),
        )  # fmt: skip

    return st.recursive(st.sampled_from(flat), nested, max_leaves=3)


def filled(kind: pa.DataType, seed: int, rows: int = 5) -> pa.Array:
    """Some values of any type: from bytes, for those that Arrow makes no random ones of."""
    generator, types = np.random.default_rng(seed), pa.types
    if types.is_null(kind):
        return pa.nulls(rows)
    nulls = pa.array(generator.random(rows) < 0.2)
    if types.is_struct(kind):
        return pa.StructArray.from_arrays(
            [filled(field.type, seed, rows) for field in kind], fields=list(kind), mask=nulls
        )
    if types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(filled(kind.value_type, seed, rows * kind.list_size), type=kind)
    if types.is_map(kind):
        keys = pa.array([str(number) for number in range(rows)])
        return pa.MapArray.from_arrays(pa.array(range(rows + 1), pa.int32()), keys, filled(kind.item_type, seed, rows))
    if types.is_list(kind) or types.is_large_list(kind):
        cuts = np.sort(generator.integers(0, rows + 1, rows - 1))
        offsets = pa.array([0, *cuts.tolist(), rows], pa.int64() if types.is_large_list(kind) else pa.int32())
        maker = pa.LargeListArray if types.is_large_list(kind) else pa.ListArray
        return maker.from_arrays(offsets, filled(kind.value_type, seed, rows))
    if types.is_list_view(kind):
        ones = pa.array([1] * rows, pa.int32())
        return pa.ListViewArray.from_arrays(
            pa.array(range(rows), pa.int32()), ones, filled(kind.value_type, seed, rows)
        )
    if types.is_dictionary(kind):
        # Arrow's reader of Parquet refuses a whole row group for a word of a dictionary that is not UTF-8.
        values = pa.array(["猫", "狗", "鸟"]) if types.is_string(kind.value_type) else filled(kind.value_type, seed, 3)
        indices = pa.array([int(each) for each in generator.integers(0, 3, rows)], kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, values)
    texts = [generator.bytes(int(generator.integers(0, 6))) if each % 2 else "一只猫".encode() for each in range(rows)]
    if types.is_string(kind) or types.is_binary(kind):
        return pa.array(texts, pa.binary()).view(kind)
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return pa.array(texts, pa.large_binary()).view(kind)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return pa.array([text.decode("utf-8", "replace") for text in texts], pa.string_view()).cast(kind)
    width = max(kind.bit_width // 8, 1)
    data = pa.py_buffer(generator.bytes(width * rows))
    return pa.Array.from_buffers(kind, rows, [None, data])


@settings(max_examples=60, deadline=None)
@given(kind=arrow_types(), seed=st.integers(0, 1 << 16), stream=st.booleans())
def test_any_arrow_type_of_captions_gives_texts_or_nothing_or_a_broken_row_and_loses_none(
    tmp_path_factory: pytest.TempPathFactory, kind: pa.DataType, seed: int, stream: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table = pa.table({"image": [PICTURES[0]] * 5, "text": filled(kind, seed)})
    try:
        (write_stream if stream else write_parquet)(folder / "data" / "0", table)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        return  # Parquet has no such type
    read = read_source(folder / "data", encoding="utf-8")
    assert [item.origin for item in read.items] == [f"0#{row}" for row in range(5)]
    for item in read.items:
        assert item.data == PICTURES[0]
        assert item.problem in (None, "broken_row")
        assert not (item.problem and item.captions)
        assert all(isinstance(text, str) and text.lower() != "nan" for text in item.captions)
        assert all(text.encode() is not None for text in item.captions)


def test_a_table_with_two_columns_of_pictures_is_exported_as_it_was_measured(tmp_path: Path) -> None:
    """Both columns have pictures of the same length, so that the length does not tell them apart."""
    longest = max(map(len, PICTURES))
    padded = [data + bytes(longest - len(data)) for data in PICTURES]
    columns = {"image": padded[:2], "original": padded[2:], "caption": CAPTIONS[:2], "words": CAPTIONS[2:]}
    write_parquet(tmp_path / "data.pq", columns)
    source = "[{name: p, kind: parquet, path: data.pq, image: original, caption: words}]"
    recipe = load_recipe(str(write_recipe(tmp_path, sources=source)))
    corpus = build_corpus(recipe, tmp_path / "corpus")
    assert [row["kept"] for row in read_verdicts(corpus).to_pylist()] == [True, True]
    assert corpus.document["lineage"]["sources"]["p"]["reads"] == ["data.pq: original, words"]
    made = export(corpus, recipe, tmp_path / "exported")
    tars = b"".join((made.folder / file.name).read_bytes() for file in made.files)
    assert all(data in tars for data in padded[2:])
    assert not any(data in tars for data in padded[:2])


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=20), st.text("./\\'\" a\0\n猫", max_size=12), st.just("a" * 400), st.just("\ud800/\udc80")
    )
)
def test_any_text_in_a_cell_of_pictures_names_a_file_below_the_source_or_none(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "cells"
    (root / "a" / "猫").mkdir(parents=True, exist_ok=True)
    (root / "a" / "猫" / "a").write_bytes(b"x")
    files = PictureFiles(root, root / "a" / "0.parquet")
    path = files.find(text)
    assert path is None or path.resolve().is_relative_to(root.resolve())
    for found in cell_pictures([text, {"bytes": None, "path": text}], files):
        assert found.problem in (None, "not_a_picture")
        assert cell_picture([text, {"bytes": None, "path": text}], found.number, files) == found.data
