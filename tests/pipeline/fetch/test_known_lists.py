"""Lists as their makers publish them, each read with a recipe of a few lines and no conversion."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.fetch.find_lists import find_lists
from tuwen.pipeline.fetch.slice_file import ListRow
from tuwen.pipeline.sources.passed_over import PassedKind

from .test_url_lists import rows_of, source

WIT = {
    "language": "zh", "page_url": "https://zh.wikipedia.org/wiki/貓", "image_url": "https://upload.example.org/1.jpg",
    "page_title": "貓", "section_title": "", "hierarchical_section_title": "貓",
    "caption_reference_description": '一隻"家貓"', "caption_attribution_description": "English: A cat",
    "caption_alt_text_description": "", "mime_type": "image/jpeg", "original_height": "1024", "original_width": "768",
    "is_main_image": "true", "attribution_passes_lang_id": "true", "page_changed_recently": "true",
    "context_page_description": '貓是 "Felidae"，\t'.strip(), "context_section_description": '"貓',
}  # fmt: skip
LAION = {
    "SAMPLE_ID": 1581282014547, "URL": "https://a.b/1.jpg", "TEXT": "一只猫", "HEIGHT": 225, "WIDTH": 300,
    "LICENSE": "?", "LANGUAGE": "zh", "NSFW": "UNLIKELY", "similarity": 0.3131,
}  # fmt: skip
COYO = {
    "id": 841814333321, "url": "https://a.b/1.jpg", "text": "一只猫", "width": 1000, "height": 988,
    "image_phash": "c9b6a7d8469c1959", "text_length": 3, "word_count": 1, "num_tokens_bert": 3, "num_tokens_gpt": 7,
    "num_faces": 0, "clip_similarity_vitb32": 0.29, "clip_similarity_vitl14": 0.24, "nsfw_score_opennsfw2": 1.2e-4,
    "nsfw_score_gantman": 0.01, "watermark_score": 0.07, "aesthetic_score_laion_v2": 5.43,
}  # fmt: skip
PIXMO = {
    "image_url": "https://a.b/1.jpg", "caption": "照片里有一只猫。\n\n它坐在窗台上，外面在下雨。",
    "transcripts": ["嗯，这是一只猫", "猫坐在窗台上"],
}  # fmt: skip
WUDAO = [
    {"url": "https://a.b/1.jpg", "captions": ["一只猫"], "tag": "动物"},
    {"url": "https://a.b/2.jpg", "captions": ["一只狗", "小狗"], "tag": "动物"},
]
ZERO = {
    "Url": "https://page.example", "Title": "猫", "Content": "一只猫坐着", "ImageUrl": "https://a.b/1.jpg",
    "ImageQuery": "猫咪", "Keywords": ["猫", "宠物"],
}  # fmt: skip


def parquet(path: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def tsv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(rows[0]), delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def test_wit_is_read_from_its_packed_tsv_with_three_columns_of_captions(tmp_path: Path) -> None:
    path = tmp_path / "wit_v1.train.all-00000-of-00010.tsv.gz"
    other = {**WIT, "language": "en", "image_url": "https://upload.example.org/2.jpg"}
    path.write_bytes(gzip.compress(tsv([WIT, other])))
    rows = rows_of(path, preset="wit", where={"language": ["zh", "zh-TW"], "is_main_image": True})
    assert [(row.url, row.captions, row.problem) for row in rows] == [
        (WIT["image_url"], ['一隻"家貓"', "English: A cat"], ""),
        (other["image_url"], ['一隻"家貓"', "English: A cat"], "not_wanted"),
    ]
    (row, _) = rows_of(path, url="image_url", caption="caption_reference_description")
    assert row.captions == ['一隻"家貓"']


@pytest.mark.parametrize("keys", [{"preset": "danqing"}, {"captions": ["alt_text", "recaption"]}])
def test_danqing_has_two_captions(tmp_path: Path, keys: dict[str, Any]) -> None:
    row = {"url": "https://a.b/1.jpg", "alt_text": "猫", "recaption": "一只猫。\n它坐着。"}
    rows = rows_of(parquet(tmp_path / "0.parquet", row), **keys)
    assert rows == [ListRow(0, "https://a.b/1.jpg", ["猫", "一只猫。\n它坐着。"], None, "")]


def test_columns_of_captions_stand_beside_the_first(tmp_path: Path) -> None:
    row = {"url": "https://a.b/1.jpg", "alt_text": "猫", "recaption": None, "title": ["一", "二"]}
    (read,) = rows_of(
        parquet(tmp_path / "0.parquet", row), caption="title", captions=["recaption", "alt_text", "title"]
    )
    assert read.captions == ["一", "二", "猫"]


def test_zero_has_three_texts_and_its_keywords_by_choice(tmp_path: Path) -> None:
    (tmp_path / "zero.json").write_text(json.dumps(ZERO, ensure_ascii=False) + "\n", "utf-8")
    assert rows_of(tmp_path / "zero.json", preset="zero")[0].captions == ["猫", "一只猫坐着", "猫咪"]
    chosen = rows_of(tmp_path / "zero.json", preset="zero", captions=["Title", "Content", "ImageQuery", "Keywords"])
    assert chosen[0].url == "https://a.b/1.jpg" and chosen[0].captions == ["猫", "一只猫坐着", "猫咪", "猫", "宠物"]


def test_laion_and_coyo_are_chosen_from_by_their_columns(tmp_path: Path) -> None:
    path = parquet(tmp_path / "laion.parquet", LAION, {**LAION, "LANGUAGE": "en"}, {**LAION, "similarity": 0.29})
    where = {"LANGUAGE": "zh", "NSFW": {"not": "NSFW"}, "similarity": ">= 0.3"}
    assert [row.problem for row in rows_of(path, preset="laion", where=where)] == ["", "not_wanted", "not_wanted"]
    path = parquet(tmp_path / "coyo.parquet", COYO, {**COYO, "watermark_score": 0.9}, {**COYO, "num_faces": 2})
    where = {"watermark_score": "< 0.8", "num_faces": 0}
    rows = rows_of(path, preset="coyo", where=where, width_column="width", height_column="height")
    assert [row.problem for row in rows] == ["", "not_wanted", "not_wanted"]
    assert (rows[0].width, rows[0].height) == (1000, 988)


def test_pixmo_cap_and_wudaomm_need_no_key(tmp_path: Path) -> None:
    (row,) = rows_of(parquet(tmp_path / "pixmo.parquet", PIXMO))
    assert (row.url, row.captions) == ("https://a.b/1.jpg", [PIXMO["caption"]])
    (tmp_path / "wudao.json").write_text(json.dumps(WUDAO, ensure_ascii=False), "utf-8")
    assert [row.captions for row in rows_of(tmp_path / "wudao.json")] == [["一只猫"], ["一只狗", "小狗"]]


@pytest.mark.parametrize(
    "name", ["A.PARQUET", "a.pq", "a.arrow", "a.feather", "noname", "a.CSV", "a.Tsv.GZ", "a.JSONL"]
)
def test_a_list_is_told_by_content_and_in_any_case(tmp_path: Path, name: str) -> None:
    rows = [{"url": "https://a.b/1.jpg", "caption": "一只猫"}]
    table, path = pa.Table.from_pylist(rows), tmp_path / name
    if name in ("a.arrow", "a.feather"):
        feather.write_feather(table, str(path), compression="uncompressed")
    elif name in ("A.PARQUET", "a.pq", "noname"):
        pq.write_table(table, path)
    elif name == "a.JSONL":
        path.write_text(json.dumps(rows[0]), "utf-8")
    else:
        text = ("url,caption\nhttps://a.b/1.jpg,一只猫\n").replace(",", "\t" if "Tsv" in name else ",").encode()
        path.write_bytes(gzip.compress(text) if "GZ" in name else text)
    assert [(row.url, row.captions) for row in rows_of(path)] == [("https://a.b/1.jpg", ["一只猫"])]


def test_what_is_no_list_is_passed_over_and_counted_by_its_ending(tmp_path: Path) -> None:
    for name in ("a.csv", "deep/b.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("url,caption\nhttps://a.b/1.jpg,一只猫\n", "utf-8")
    for name in ("README.md", "deep/notes.TXT", "LICENSE", ".DS_Store", "_SUCCESS", "sum.md"):
        (tmp_path / name).write_text("words", "utf-8")
    (tmp_path / "c.csv").write_text("url,caption\n", "utf-8")
    (tmp_path / "d.csv").write_bytes(b"")
    listing = find_lists(source(), tmp_path)
    assert len(listing.parts) == 2 and listing.encoding == "utf-8"
    assert listing.reads == ["a.csv and 1 more: url, caption"]
    assert listing.passed_over == {
        "*.md": PassedKind(count=2, examples=["README.md", "sum.md"]),
        "*.txt": PassedKind(count=1, examples=["deep/notes.TXT"]),
        "no ending": PassedKind(count=1, examples=["LICENSE"]),
        "hidden": PassedKind(count=2, examples=[".DS_Store", "_SUCCESS"]),
        "list without rows": PassedKind(count=2, examples=["c.csv", "d.csv"]),
    }


@pytest.mark.parametrize("text", ["", "url,caption\n", "url,caption\n\n\n"])
def test_lists_without_rows_are_refused_in_words_of_their_own(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=r"no list below .* has a row; the first is a\.csv"):
        find_lists(source(), tmp_path)


def test_a_list_without_a_line_of_names_is_refused_with_a_cure_that_works(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("https://a.b/1.jpg,一只猫\nhttps://a.b/2.jpg,一只狗\n", "utf-8")
    with pytest.raises(BadInput, match=r"`columns: \[url, caption\]`"):
        rows_of(path)
    rows = rows_of(path, columns=["url", "caption"])
    assert [(row.row, row.url, row.captions) for row in rows] == [
        (0, "https://a.b/1.jpg", ["一只猫"]), (1, "https://a.b/2.jpg", ["一只狗"]),
    ]  # fmt: skip
    (tmp_path / "b.tsv").write_text("一只猫\t0.3\thttps://a.b/1.jpg\n", "utf-8")
    with pytest.raises(
        BadInput, match=r"`columns: \[caption, caption, url\]`|`columns: \[caption, column2, url\]`"
    ) as caught:
        rows_of(tmp_path / "b.tsv")
    assert "its first line holds an address" in str(caught.value)
    (row,) = rows_of(tmp_path / "b.tsv", columns=["caption", "score", "url"], where={"score": "> 0.2"})
    assert (row.url, row.captions, row.problem) == ("https://a.b/1.jpg", ["一只猫"], "")
    with pytest.raises(BadInput, match="its first row has 3 fields, and `columns` names 2"):
        rows_of(tmp_path / "b.tsv", columns=["caption", "url"])


CHINESE = [
    "一只橘色的猫坐在窗台上看雨",
    "小女孩在公园的草地上放风筝",
    "桌子上有一碗热的牛肉面",
    "雪山下的湖水很清",
    "他们骑自行车穿过城市",
]
TRADITIONAL = [
    "一隻橘色的貓坐在窗台上看雨",
    "小女孩在公園的草地上放風箏",
    "桌子上有一碗熱的牛肉麵",
    "雪山下的湖水很清",
    "他們騎自行車穿過城市",
]


@pytest.mark.parametrize(
    ("encoding", "captions"), [("gb18030", CHINESE), ("big5", TRADITIONAL), ("utf-16-le", CHINESE)]
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json"])
def test_lists_in_every_encoding_are_read_right_and_say_it(
    tmp_path: Path, encoding: str, captions: list[str], ending: str
) -> None:
    rows = [{"url": f"https://a.b/{number}.jpg", "caption": caption} for number, caption in enumerate(captions)]
    separator = "\t" if ending == "tsv" else ","
    texts = {
        "csv": "\n".join(separator.join(row) for row in [["url", "caption"], *(row.values() for row in rows)]),
        "jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "json": json.dumps(rows, ensure_ascii=False),
    }
    (tmp_path / f"a.{ending}").write_bytes(texts["csv" if ending == "tsv" else ending].encode(encoding))
    assert [row.captions for row in rows_of(tmp_path / f"a.{ending}")] == [[caption] for caption in captions]
    assert find_lists(source(), tmp_path / f"a.{ending}").encoding == encoding
    assert find_lists(source(encoding=encoding), tmp_path / f"a.{ending}").encoding == encoding


def test_a_list_of_another_encoding_than_the_others_is_named(tmp_path: Path) -> None:
    text = "url,caption\n" + "".join(f"https://a.b/{number}.jpg,{caption}\n" for number, caption in enumerate(CHINESE))
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text(text, "utf-8")
    (tmp_path / "x.csv").write_text(text, "gb18030")
    with pytest.raises(BadInput, match=r"encoding of its lists is not clear \(0.csv: utf-8; x.csv: gb18030\)"):
        find_lists(source(), tmp_path)
    for number in range(300):
        (tmp_path / f"{number}.csv").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=r"x\.csv is not utf-8, as the other lists are; give it a source of its own"):
        find_lists(source(), tmp_path)


@pytest.mark.parametrize(
    ("where", "problem"),
    [({"size": ">= large"}, "a number behind `>=`"), ({"size": {"no": 1}}, "where"), ({"size": None}, "where")],
)
def test_a_condition_that_is_none_is_refused(where: dict[str, Any], problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        source(where=where)


def test_a_column_of_where_that_a_list_lacks_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,caption\nhttps://a.b/1.jpg,一只猫\n", "utf-8")
    with pytest.raises(BadInput, match="no column `language`; it has url, caption"):
        find_lists(source(where={"language": "zh"}), tmp_path)


CELLS: list[tuple[Any, list[str] | None]] = [
    ("一只猫", ["一只猫"]), (7, ["7"]), (2.0, ["2"]), (None, []), (float("nan"), []), ("  ", []),
    (["一", None, ["二", 3]], ["一", "二", "3"]), ({"text": "猫"}, None), (True, None), ("\udc80", None),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "captions"), CELLS, ids=[repr(cell) for cell, _ in CELLS])
def test_a_cell_of_any_type_is_text_or_a_broken_row(tmp_path: Path, cell: Any, captions: list[str] | None) -> None:
    lines = [json.dumps({"url": "https://a.b/1.jpg", "caption": each}) for each in ("猫", cell, "狗")]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), "utf-8")
    rows = rows_of(tmp_path / "a.jsonl")
    assert (rows[0].captions, rows[2].captions) == (["猫"], ["狗"])
    assert (rows[1].captions, rows[1].problem) == (([], "broken_row") if captions is None else (captions, ""))


def test_arrow_columns_of_bytes_and_dictionaries_are_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "url": pa.array([b"https://a.b/1.jpg", b"https://a.b/2.jpg"], pa.binary()),
            "caption": pa.array(["一只猫", "一只狗"]).dictionary_encode(),
            "license": pa.array([b"CC0", b"\xff\xfe\xff"], pa.binary()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = rows_of(tmp_path / "a.parquet")
    assert first == ListRow(0, "https://a.b/1.jpg", ["一只猫"], "CC0", "")
    assert second.problem == "broken_row"
