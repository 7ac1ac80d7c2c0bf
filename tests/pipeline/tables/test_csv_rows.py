"""A fault stays in its row: whatever is wrong with one line of CSV, TSV or JSON Lines, the other rows are read."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.pipeline.tables import csv_rows as module
from tuwen.pipeline.tables.cell_text import BrokenCell, cell_text
from tuwen.pipeline.tables.csv_rows import Fields, csv_rows, tsv_rows
from tuwen.pipeline.tables.table_rows import table_rows

PAIRS = [[f"https://example.com/{number}.jpg", f"第{number}张图，红色"] for number in range(60)]
HEAD = ["url", "caption"]


def rows_of(text: str) -> list[Fields | None]:
    return list(csv_rows(io.StringIO(text, newline="\n")))


def as_csv(rows: list[list[str]], line_end: str = "\n") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(rows)
    return text.getvalue()


# What one row of a list of pairs has been seen to be.
FAULTS = {
    "an unclosed quote": 'https://example.com/x.jpg,"一只猫',
    "an unclosed quote before the address": '"https://example.com/x.jpg,一只猫',
    "a quote, and half a line more": 'https://example.com/x.jpg,"一只猫, 红色,',
    "a NUL": "https://example.com/x.jpg,一只\0猫",
    "a NUL in quotes": 'https://example.com/x.jpg,"一只\0猫"',
    "a stray carriage return": "https://example.com/x.jpg,一只\r猫",
    "a field of a million characters": "https://example.com/x.jpg," + "猫" * 1_100_000,
}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("place", [0, 1, 30, 58, 59])
@pytest.mark.parametrize("fault", FAULTS)
def test_of_sixty_rows_a_fault_costs_one(fault: str, place: int, line_end: str) -> None:
    lines = [",".join(row) for row in [HEAD, *PAIRS]]
    lines[place + 1] = FAULTS[fault]
    expected: list[Fields | None] = [HEAD, *PAIRS]
    expected[place + 1] = None
    assert rows_of(line_end.join(lines) + line_end) == expected
    assert rows_of(line_end.join(lines)) == expected


def test_a_quote_in_every_row_is_read_in_no_more_than_a_moment() -> None:
    lines = ["url,caption"] + [f'https://example.com/{number}.jpg,"猫' for number in range(20_000)]
    assert rows_of("\n".join(lines)) == [HEAD] + [None] * 20_000


def test_a_quote_that_another_quote_closes_ten_rows_later_costs_its_row_and_that_of_the_other() -> None:
    lines = [",".join(row) for row in [HEAD, *PAIRS]]
    lines[11] = 'https://example.com/x.jpg,"一只猫'
    lines[21] = 'https://example.com/y.jpg,一只狗"'
    expected: list[Fields | None] = [HEAD, *PAIRS]
    expected[11], expected[21] = None, ["https://example.com/y.jpg", '一只狗"']
    assert rows_of("\n".join(lines)) == expected


def test_file_names_tell_a_swallowed_row_as_addresses_do() -> None:
    lines = ["file,caption", 'a.jpg,"猫', "b/二.PNG,狗", "c.webp,鸟"]
    assert rows_of("\n".join(lines)) == [["file", "caption"], None, ["b/二.PNG", "狗"], ["c.webp", "鸟"]]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "caption",
    [
        "第一行\n第二行",
        "一只猫。\n\n它在睡觉, 很安静。\n\n“晚安”",
        "看这里：\nhttps://example.com/page",
        '他说"好"\n就走了',
        "\n",
        "图\n",
    ],
)
@pytest.mark.parametrize("is_first", [False, True])
def test_a_quoted_caption_with_line_breaks_is_one_caption(caption: str, line_end: str, is_first: bool) -> None:
    rows = [HEAD, *PAIRS[:3], ["https://example.com/x.jpg", caption], *PAIRS[3:]]
    rows = [[row[1], row[0]] for row in rows] if is_first else rows
    assert rows_of(as_csv(rows, line_end)) == rows


# No address and no file name among them: a line inside a field that holds one beside another field is a row.
words = st.text(st.sampled_from('猫狗 ,"\n，。ab1'), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(words, min_size=1, max_size=30))
def test_whatever_the_module_csv_writes_is_read_back(captions: list[str]) -> None:
    rows = [HEAD] + [[f"https://example.com/{number}.jpg", caption] for number, caption in enumerate(captions)]
    assert rows_of(as_csv(rows)) == rows


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(list(FAULTS)[:-1]), min_size=1, max_size=8),
    st.lists(st.integers(0, 59), min_size=8, max_size=8, unique=True),
    st.integers(1, 7),
)
def test_as_many_rows_are_lost_as_have_a_fault(faults: list[str], places: list[int], chunk: int) -> None:
    lines = [",".join(row) for row in [HEAD, *PAIRS]]
    expected: list[Fields | None] = [HEAD, *PAIRS]
    for fault, place in zip(faults, places, strict=False):
        lines[place + 1], expected[place + 1] = FAULTS[fault], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_LINES", chunk)
        assert rows_of("\n".join(lines) + "\n") == expected


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('ab,"\n\r\0 \t猫'), max_size=60), st.integers(1, 5))
def test_any_text_is_read_to_its_end_in_chunks_of_any_size(text: str, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_LINES", chunk)
        rows = rows_of(text)
    assert len(rows) <= text.count("\n") + 1
    assert list(tsv_rows(io.StringIO(text, newline="\n"))) is not None


def test_faults_of_tsv_stay_in_their_rows() -> None:
    lines = ["caption\turl", '"猫\tu0', "狗\0\tu1", "鸟\r\tu2", "鱼\tu3"]
    rows = list(tsv_rows(io.StringIO("\n".join(lines), newline="\n")))
    assert rows == [["caption", "url"], ['"猫', "u0"], None, None, ["鱼", "u3"]]


@pytest.mark.parametrize("caption", ["第一行\n第二行", '他说"好"\n就走了', "一\n\n二"])
@pytest.mark.parametrize("is_first", [False, True])
def test_a_quoted_caption_of_tsv_may_have_line_breaks(caption: str, is_first: bool) -> None:
    rows = [HEAD, *PAIRS[:3], ["https://example.com/x.jpg", caption], *PAIRS[3:]]
    rows = [[row[1], row[0]] for row in rows] if is_first else rows
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    assert list(tsv_rows(io.StringIO(text.getvalue(), newline="\n"))) == rows


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_file_whose_only_line_ends_are_carriage_returns_is_read(tmp_path: Path, name: str) -> None:
    rows = [dict(zip(HEAD, pair, strict=True)) for pair in PAIRS]
    separator = "\t" if name.endswith("tsv") else ","
    lines = [separator.join(row) for row in [HEAD, *PAIRS]]
    if name.endswith("jsonl"):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / name).write_text("\r".join(lines), "utf-8", newline="")
    assert list(table_rows(tmp_path / name)) == rows


JSON_FAULTS = [
    '{"url": "u',
    '{"url": "u\0"}',
    '{"url": "u", "caption": "一\r二"}',
    "[1]",
    "7",
    "null",
    '{"url": }',
    "{}}",
]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(1, 59), st.sampled_from(JSON_FAULTS), min_size=1, max_size=9))
def test_faults_of_json_lines_stay_in_their_rows(
    tmp_path_factory: pytest.TempPathFactory, faults: dict[int, str]
) -> None:
    rows = [dict(zip(HEAD, pair, strict=True)) for pair in PAIRS]
    lines = [faults.get(number, json.dumps(row, ensure_ascii=False)) for number, row in enumerate(rows)]
    path = tmp_path_factory.mktemp("faults") / "a.jsonl"
    path.write_text("\n".join(lines), "utf-8", newline="")
    read = list(table_rows(path))
    assert read == [None if number in faults else row for number, row in enumerate(rows)]


def test_faults_of_a_json_array_stay_in_their_elements(tmp_path: Path) -> None:
    text = '[{"url": "u", "caption": "第一行\n第二行"}, {"url": "\0"}, {"url": "w", "caption": "狗"}]'
    (tmp_path / "a.json").write_text(text, "utf-8")
    assert list(table_rows(tmp_path / "a.json")) == [
        {"url": "u", "caption": "第一行\n第二行"}, None, {"url": "w", "caption": "狗"},
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "big5", "utf-16-le", "utf-16-be"])
def test_a_character_that_cannot_be_decoded_stays_in_its_row(tmp_path: Path, encoding: str) -> None:
    broken = {"utf-16-le": b"\x00\xd8", "utf-16-be": b"\xd8\x00"}.get(encoding, b"\xff\xff")
    head, first, last = (f"{text}\n".encode(encoding) for text in ("url,caption", "u,一人看山", "w,一人看水"))
    data = head + first + "v,一".encode(encoding) + broken + "\n".encode(encoding) + last
    (tmp_path / "a.csv").write_bytes(data)
    rows = list(table_rows(tmp_path / "a.csv", encoding=encoding))
    assert [row and row["url"] for row in rows] == ["u", "v", "w"]
    with pytest.raises(BrokenCell):
        cell_text(rows[1]["caption"] if rows[1] else None)
    assert rows[2] == {"url": "w", "caption": "一人看水"}
