"""Lists as they come: every format and encoding is read as a stream, and every row is kept."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.fetch.cut_list import cut_list
from tuwen.pipeline.fetch.find_lists import find_lists
from tuwen.pipeline.fetch.slice_file import ListRow, read_slice
from tuwen.pipeline.fetch.urls_section import UrlsSource
from tuwen.pipeline.tables.json_array import json_elements

PAIRS = [(f"https://example.com/{number}.jpg", f'图{number}，"引号"，逗号') for number in range(7)]


def source(**keys: Any) -> UrlsSource:
    return UrlsSource.model_validate(
        {"name": "web", "kind": "urls", "path": "-", "fetch": {"contact": "https://example.com"}, **keys}
    )


def rows_of(path: Path, slice_rows: int = 1000, **keys: Any) -> list[ListRow]:
    rows = []
    for part in find_lists(source(**keys), path).parts:
        out = path.parent / "slices" / part.name
        out.mkdir(parents=True, exist_ok=True)
        cut_list(part, {"rows": slice_rows, "folder": str(path)}, out)
        rows += [row for slice_ in sorted(out.iterdir()) for row in read_slice(slice_)]
    return rows


def as_csv(pairs: list[tuple[str, str]], delimiter: str = ",") -> str:
    text = io.StringIO()
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, quotechar=None if delimiter == "\t" else '"')
    writer.writerows([("url", "caption"), *pairs])
    return text.getvalue()


def as_parquet(path: Path, columns: dict[str, list[Any]]) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return path


JSON = [{"url": url, "caption": caption} for url, caption in PAIRS]
TEXTS = {
    "a.csv": as_csv(PAIRS),
    "a.tsv": as_csv(PAIRS, "\t"),
    "a.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in JSON),
    "a.json": json.dumps(JSON, ensure_ascii=False, indent=1),
    "lines.json": "\n".join(json.dumps(row) for row in JSON) + "\n\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_every_text_format_gives_the_same_rows(tmp_path: Path, name: str, packed: bool, encoding: str) -> None:
    data = TEXTS[name].encode(encoding)
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(data) if packed else data)
    rows = rows_of(path)
    assert [(row.row, row.url, row.captions) for row in rows] == [(n, u, [c]) for n, (u, c) in enumerate(PAIRS)]
    assert not any(row.problem or row.license for row in rows)


@pytest.mark.parametrize(
    ("preset", "columns", "captions"),
    [
        ("laion", {"SAMPLE_ID": 1.0, "URL": "https://a.b/c", "TEXT": "猫", "HEIGHT": 1, "LICENSE": "?"}, ["猫"]),
        ("coyo", {"id": 1, "url": "https://a.b/c", "text": "猫", "image_phash": "00", "num_faces": 0}, ["猫"]),
        (None, {"image_url": "https://a.b/c", "caption": ["猫", "一只猫", ""], "size": 3}, ["猫", "一只猫"]),
    ],
)
def test_parquet_columns_of_known_lists(
    tmp_path: Path, preset: str, columns: dict[str, Any], captions: list[str]
) -> None:
    path = as_parquet(tmp_path / "0.parquet", {name: [value] * 7 for name, value in columns.items()})
    rows = rows_of(path, slice_rows=2, preset=preset)
    assert rows == [ListRow(number, "https://a.b/c", captions, None, "") for number in range(7)]


def test_wukong_and_zero_by_preset(tmp_path: Path) -> None:
    (tmp_path / "wukong_100m_0.csv").write_text(as_csv(PAIRS), encoding="utf-8")
    assert [row.url for row in rows_of(tmp_path / "wukong_100m_0.csv", preset="wukong")] == [url for url, _ in PAIRS]
    zero = {"image_url": "https://a.b/c", "title": "猫", "content": None, "image_query": ["猫咪", "小猫"]}
    (tmp_path / "zero.json").write_text(json.dumps(zero) + "\n", encoding="utf-8")
    (row,) = rows_of(tmp_path / "zero.json", preset="zero")
    assert (row.url, row.captions) == ("https://a.b/c", ["猫", "猫咪", "小猫"])


def test_columns_that_the_recipe_names_win(tmp_path: Path) -> None:
    columns = {"url": ["https://page"], "image_url": ["https://picture"], "alt": ["猫"], "rights": ["CC0"]}
    path = as_parquet(tmp_path / "0.parquet", columns)
    (row,) = rows_of(path, url="image_url", caption="alt", license_column="rights")
    assert row == ListRow(0, "https://picture", ["猫"], "CC0", "")


@pytest.mark.parametrize(
    ("name", "data", "keys", "refusal"),
    [
        ("a.csv", b"link,words\nx,y\n", {}, "not plain which column is what; it has link, words"),
        ("a.csv", b"url,image_url,text\nx,y,z\n", {}, "it has url, image_url, text"),
        ("a.csv", b"url,text\n", {"caption": "words"}, "no column `words`"),
        ("a.csv", b"https://a.b/c,words\n", {}, "its first line holds an address"),
        ("a.csv", b"foo,bar\n", {"preset": "laion"}, "preset `laion` does not fit"),
        (
            "a.csv",
            "url,caption\nhttps://a.b/c,猫".encode("shift-jis") + b"\xff\xff\xff",
            {},
            "encoding of its lists is not clear",
        ),
        ("a.csv", b"PK\x03\x04\0\0", {}, "zip, and not text"),
        ("a.tsv", b"Rar!\x1a\x07\0", {}, "RAR, and not text"),
        ("a.json", b'[{"url": "x", "caption": "y"},\n {"url": "x", "capt', {}, "broken at line 2"),
        ("a.json", b'[{"url": "x", "caption": "y"}\n {"url": "x"}]', {}, "broken at line 1 .expected , or ]"),
        ("a.json", b"{\n", {}, "no JSON objects"),
        ("a.parquet", b"PAR1 and no more", {}, "not whole Parquet"),
        ("a.jsonl.gz", b"no gzip", {}, "is no gzip and holds no JSON"),
        ("a.xlsx", b"", {}, "no list in"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_line_with_the_cure(
    tmp_path: Path, name: str, data: bytes, keys: dict[str, Any], refusal: str
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / name).write_bytes(data)
    with pytest.raises(BadInput, match=refusal) as caught:
        rows_of(tmp_path / "lists", **keys)
    assert "\n" not in str(caught.value)


def test_a_gzip_that_was_cut_is_refused_with_the_line(tmp_path: Path) -> None:
    lines = "".join(f"https://example.com/{number:x},图{number**5}\n" for number in range(3000))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(("url,caption\n" + lines).encode())[:-3000])
    with pytest.raises(BadInput, match=r"a\.csv\.gz: broken at line \d{3}"):
        rows_of(tmp_path / "a.csv.gz")


def test_broken_rows_are_rows_with_a_problem_and_keep_the_others_in_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        "url,caption\nhttps://a.b/0,图\n,没有地址\nhttps://a.b/2\na,b,c\n\nhttps://a.b/4,猫".encode() + b"\xff\xe7\n"
        + "https://a.b/5,狗\n".encode() + "https://a.b/6,很多字\n".encode() * 400
    )  # fmt: skip
    rows = rows_of(tmp_path / "a.csv")
    assert [(row.row, row.problem) for row in rows[:6]] == [
        (0, ""), (1, "bad_address"), (2, "broken_row"), (3, "broken_row"), (4, "broken_row"), (5, ""),
    ]  # fmt: skip
    assert rows[1].captions == ["没有地址"] and rows[5].url == "https://a.b/5"
    (tmp_path / "c.csv").write_bytes(b'url,caption\nu,y\nu,"' + b"y" * (1 << 21) + b"\nu,z\n")
    assert [row.problem for row in rows_of(tmp_path / "c.csv")] == ["", "broken_row", ""]
    (tmp_path / "b.jsonl").write_text('{"url": "u", "caption": 5}\nnot json\n[1]\n{"caption": "\\ud83d"}\n', "utf-8")
    rows = rows_of(tmp_path / "b.jsonl")
    assert [(row.url, row.captions, row.problem) for row in rows] == [
        ("u", ["5"], ""), (None, [], "broken_row"), (None, [], "broken_row"), (None, ["?"], "bad_address"),
    ]  # fmt: skip


def test_a_quote_at_the_start_of_a_tsv_caption_swallows_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('caption\turl\n"猫 \tu0\n"一只 ""猫"""\tu1\n"\tu2\n', "utf-8")
    rows = rows_of(tmp_path / "a.tsv")
    assert [(row.url, row.captions) for row in rows] == [("u0", ['"猫 ']), ("u1", ['一只 "猫"']), ("u2", ['"'])]


def test_names_of_slices_depend_on_nothing_but_their_list(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    for name in ("图.csv", "deep/图.csv", "deep/图.tsv.gz", "._图.csv", "README.md"):
        (lists / name).parent.mkdir(parents=True, exist_ok=True)
        text = as_csv(PAIRS, "\t" if "tsv" in name else ",").encode()
        (lists / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    before = [part.name for part in find_lists(source(), lists).parts]
    assert len(set(before)) == 3 and all(name.startswith("图-") for name in before)
    (lists / "deep" / "0.csv").write_text(as_csv(PAIRS), "utf-8")
    assert set(before) < {part.name for part in find_lists(source(), lists).parts}
    assert [part.name for part in find_lists(source(), lists / "图.csv").parts] == before[-1:]


def test_the_same_list_is_cut_into_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(as_csv(PAIRS), "utf-8")
    (part,) = find_lists(source(), tmp_path / "a.csv").parts
    cuts = []
    for number in range(2):
        out = tmp_path / str(number)
        out.mkdir()
        assert cut_list(part, {"rows": 3, "folder": str(tmp_path)}, out) == {"rows": 7, "broken": 0}
        cuts.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert cuts[0] == cuts[1] and len(cuts[0]) == 3


class Trickle(io.StringIO):
    """Counts what was read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> str:
        piece = super().read(size)
        self.taken += len(piece)
        return piece


def test_a_json_array_is_read_as_a_stream() -> None:
    text = Trickle(json.dumps([{"url": f"https://example.com/{n}", "caption": "图" * 50} for n in range(20_000)]))
    elements = json_elements(text, lambda line, error: BadInput(error, ""))
    assert next(elements)["url"] == "https://example.com/0"
    assert text.taken < 100_000
    assert sum(1 for _ in elements) == 19_999


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(json_values), st.sampled_from([None, 1]), st.integers(1, 40))
def test_streamed_elements_are_those_of_the_whole(values: list[Any], indent: int | None, chunk: int) -> None:
    class Pieces(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            return super().read(chunk)

    text = json.dumps(values, indent=indent, ensure_ascii=False)
    assert list(json_elements(Pieces(text), lambda line, error: ValueError(error))) == values
    if values:
        with pytest.raises(ValueError):
            list(json_elements(Pieces(text[:-1]), lambda line, error: ValueError(error)))
