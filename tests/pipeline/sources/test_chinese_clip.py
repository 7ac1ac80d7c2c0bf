"""MUGE, Flickr30k-CN and others as Chinese-CLIP ships them: TSV of base64 with jsonl of texts, and its LMDB."""

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.part import PictureRoot
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.sources.chinese_clip import list_chinese_clip
from tuwen.pipeline.sources.chinese_clip.plain_pickle import plain_tuple
from tuwen.pipeline.sources.reader import read_picture

from ...conftest import write_recipe
from ...stages import build_corpus, export
from ..hostile import picture, saved
from .reading import Reading

PICTURES = {1000 + number: saved(picture(number, 80, 64), "JPEG") for number in range(20)}
NOUNS = [
    "猫",
    "狗",
    "鸟",
    "鱼",
    "山",
    "桥",
    "船",
    "树",
    "花",
    "云",
    "车",
    "房子",
    "孩子",
    "老人",
    "书",
    "灯",
    "钟",
    "椅子",
    "马",
    "河",
]
TEXTS = [
    {"text_id": number, "text": f"照片里有一{noun}", "image_ids": [1000 + number]} for number, noun in enumerate(NOUNS)
]


def write_split(
    folder: Path,
    split: str,
    texts: list[dict[str, Any]] = TEXTS,
    urlsafe: bool = False,
    pictures: dict[int, bytes] = PICTURES,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    lines = [f"{name}\t{encode(data).decode()}\n" for name, data in pictures.items()]
    (folder / f"{split}_imgs.tsv").write_text("".join(lines))
    rows = [json.dumps(row, ensure_ascii=False) + "\n" for row in texts]
    (folder / f"{split}_texts.jsonl").write_text("".join(rows), encoding="utf-8")


def write_lmdb(folder: Path, texts: list[dict[str, Any]] = TEXTS) -> None:
    """As Chinese-CLIP's build_lmdb_dataset lays it out."""
    lmdb = pytest.importorskip("lmdb")
    pairs = [(picture, row["text_id"], row["text"]) for row in texts for picture in row["image_ids"]]
    values = {
        "imgs": {str(name): base64.b64encode(data) for name, data in PICTURES.items()}
        | {"num_images": str(len(PICTURES)).encode()},
        "pairs": {str(number): pickle.dumps(pair) for number, pair in enumerate(pairs)}
        | {"num_samples": str(len(pairs)).encode()},
    }
    for name, entries in values.items():
        (folder / name).mkdir(parents=True)
        with (
            lmdb.open(str(folder / name), map_size=1 << 24) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key, value in entries.items():
                transaction.put(key.encode(), value)


def read(folder: Path, **keys: Any) -> Reading:
    reading = Reading("chinese-clip", folder, **keys)
    assert len({item.origin for item in reading.items}) == len(reading.items)
    return reading


@pytest.mark.parametrize("urlsafe", [False, True])
def test_muge_is_read_as_it_lies(tmp_path: Path, urlsafe: bool) -> None:
    texts = [*TEXTS, {"text_id": 99, "text": "两张图", "image_ids": [1000, 1001]}]
    write_split(tmp_path / "MUGE", "train", texts, urlsafe)
    (tmp_path / "MUGE" / "readme.md").write_text("…")
    reading = read(tmp_path / "MUGE")
    assert [item.data for item in reading.items] == list(PICTURES.values())
    assert reading.captions["train_imgs.tsv/1000"] == ["照片里有一猫", "两张图"]
    assert reading.captions["train_imgs.tsv/1019"] == ["照片里有一河"]
    assert reading.listing.reads == ["train_imgs.tsv: texts of train_texts.jsonl"]
    assert reading.passed == {"*.md": {"count": 1, "examples": ["readme.md"]}}


def test_each_split_has_its_own_texts_and_one_id_in_two_of_them_is_two_pictures(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_split(tmp_path / "data", split, [{"text_id": 1, "text": split, "image_ids": [1000]}])
    captions = read(tmp_path / "data").captions
    assert captions["train_imgs.tsv/1000"] == ["train"]
    assert captions["valid_imgs.tsv/1000"] == ["valid"]
    assert len(captions) == 40


def test_texts_without_pictures_and_pictures_without_texts_are_rows(tmp_path: Path) -> None:
    """The test split of MUGE has texts that name no picture at all."""
    texts = [
        {"text_id": 1, "text": "有图", "image_ids": [1000]}, {"text_id": 2, "text": "缺图", "image_ids": [7]},
        {"text_id": 3, "text": "无图", "image_ids": []}, {"text_id": 3, "text": "又无图"}, {"text": "无号"},
        {"text_id": 4, "text": None, "image_ids": [1001]}, {"text_id": 5, "text": {"zh": "猫"}, "image_ids": [1002]},
    ]  # fmt: skip
    write_split(tmp_path / "data", "test", texts)
    with (tmp_path / "data" / "test_texts.jsonl").open("a") as file:
        file.write("{broken\n")
    reading = read(tmp_path / "data")
    assert len(reading.items) == 20 + 1 + 3 + 2
    assert {name: captions for name, captions in reading.captions.items() if captions} == {
        "test_imgs.tsv/1000": ["有图"], "test_imgs.tsv/1001": [""], "test_imgs.tsv/7": ["缺图"],
        "test_texts.jsonl/3": ["无图"], "test_texts.jsonl/3#3": ["又无图"], "test_texts.jsonl/#4": ["无号"],
    }  # fmt: skip
    assert reading.problems == {"test_texts.jsonl/#6": "broken_row", "test_texts.jsonl/#7": "broken_row"}
    assert len(reading.missing) == 6


def test_a_fault_in_the_tsv_stays_in_its_line(tmp_path: Path) -> None:
    write_split(tmp_path / "data", "train")
    path = tmp_path / "data" / "train_imgs.tsv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("\t", " ")
    lines[2] = f"{lines[2].partition(chr(9))[0]}\t这不是图"
    lines[3] = lines[0]  # twice
    lines[4] = lines[4].rstrip("=") + "\r"
    path.write_text("\ufeff" + "\n\n".join(lines), encoding="utf-8")
    reading = read(tmp_path / "data")
    assert [item.data for item in reading.items[:20]] == [
        PICTURES[1000], None, None, PICTURES[1000], *list(PICTURES.values())[4:],
    ]  # fmt: skip
    assert reading.problems == {"train_imgs.tsv/#1": "broken_row", "train_imgs.tsv/1002": "not_a_picture"}
    assert reading.captions["train_imgs.tsv/1000"] == ["照片里有一猫"]
    assert reading.captions["train_imgs.tsv/1000#3"] == []
    assert {"train_imgs.tsv/1001", "train_imgs.tsv/1003"} <= set(
        reading.missing
    )  # their lines are gone, not their texts


def test_the_texts_of_the_competition_and_of_another_encoding(tmp_path: Path) -> None:
    write_split(tmp_path / "data", "MR_train")
    (tmp_path / "data" / "MR_train_texts.jsonl").unlink()
    rows = [{"query_id": row["text_id"], "query_text": row["text"], "item_ids": row["image_ids"]} for row in TEXTS]
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode("gb18030")
    (tmp_path / "data" / "MR_train_queries.jsonl").write_bytes(data)
    reading = read(tmp_path / "data")
    assert reading.captions["MR_train_imgs.tsv/1000"] == ["照片里有一猫"]
    assert reading.listing.encoding == "gb18030"


def test_its_lmdb_gives_the_same_pictures_and_captions(tmp_path: Path) -> None:
    write_split(tmp_path / "tsv", "train")
    write_lmdb(tmp_path / "data" / "lmdb" / "train")
    reading, tsv = read(tmp_path / "data"), read(tmp_path / "tsv")
    assert reading.captions == {
        name.replace("train_imgs.tsv", "lmdb/train/imgs"): captions for name, captions in tsv.captions.items()
    }
    assert sorted(item.data or b"" for item in reading.items) == sorted(PICTURES.values())
    assert reading.listing.reads == ["lmdb/train/imgs: texts of lmdb/train/pairs"]
    assert reading.passed == {}


def test_an_lmdb_beside_its_tsv_is_passed_over_and_gives_no_pair_twice(tmp_path: Path) -> None:
    write_split(tmp_path / "data", "train")
    write_lmdb(tmp_path / "data" / "lmdb" / "train")
    reading = read(tmp_path / "data")
    assert len(reading.items) == 20
    assert [(kind, each["count"]) for kind, each in reading.passed.items()] == [
        ("LMDB of a split that is read from its TSV", 4)
    ]


def test_an_lmdb_that_is_cut_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "data")
    path = tmp_path / "data" / "imgs" / "data.mdb"
    path.write_bytes(path.read_bytes()[:20480])
    with pytest.raises(BadInput, match="cut short, 20,480 of"):
        read(tmp_path / "data")


class Evil:
    def __reduce__(self) -> Any:
        return print, ("hello",)


def test_a_pickle_that_would_call_a_function_is_a_broken_pair() -> None:
    assert plain_tuple(pickle.dumps((1, "a", Evil()))) is None
    assert plain_tuple(pickle.dumps([1, 2])) is None
    assert plain_tuple(pickle.dumps((1, [2]))) is None
    for protocol in range(6):
        assert plain_tuple(pickle.dumps((1076345, 1 << 70, "猫"), protocol)) == (1076345, 1 << 70, "猫")
        assert plain_tuple(pickle.dumps(("7", "7", "猫" * 300), protocol)) == ("7", "7", "猫" * 300)


@given(st.binary(max_size=60))
def test_no_bytes_make_reading_a_pickle_fail(data: bytes) -> None:
    assert plain_tuple(data) is None or isinstance(plain_tuple(data), tuple)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"readme.md": "…"}, "no *_imgs.tsv and no LMDB of pictures below"),
        ({"train_texts.jsonl": "{}"}, "no *_imgs.tsv and no LMDB of pictures below"),
        (
            {"train_imgs.tsv": "1000\tAAAA\n", "train_texts.jsonl": '{"text": "猫", "image_ids": ["1000.jpg"]}'},
            "fits a picture of train_imgs.tsv; the first names 1000.jpg, the nearest picture is 1000; give texts",
        ),
    ],
)  # fmt: skip
def test_a_folder_that_is_none_is_refused_in_its_own_words(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as raised:
        read(tmp_path)
    assert words in str(raised.value)


def test_keys_and_parts_stay_when_a_picture_is_added_in_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_chinese_clip, "_PART_PICTURES", 4)
    write_split(tmp_path / "data", "train")
    before = read(tmp_path / "data")
    path = tmp_path / "data" / "train_imgs.tsv"
    path.write_text(f"5\t{base64.b64encode(PICTURES[1003]).decode()}\n" + path.read_text())
    after = read(tmp_path / "data")
    assert before.captions.items() <= after.captions.items()
    assert len(before.listing.parts) > 2
    names = [{part.name for part in reading.listing.parts} for reading in (before, after)]
    assert len(names[0] - names[1]) <= 1


IDS = st.one_of(st.integers(0, 30).map(str), st.text("0#/ab猫", max_size=4))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(IDS, st.sampled_from(["\t", " "]), st.sampled_from(["AAAA", "", "?", "iVBORw0KGgo"])), max_size=12
    ),
    st.lists(st.one_of(st.none(), st.tuples(IDS, st.text(max_size=3), st.lists(IDS, max_size=3))), max_size=12),
)
def test_no_line_and_no_text_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, str, str]],
    texts: list[tuple[str, str, list[str]] | None],
) -> None:
    folder = tmp_path_factory.mktemp("clip")
    (folder / "a_imgs.tsv").write_text("\n".join("".join(line) for line in lines), encoding="utf-8")
    rows = [
        "{" if row is None else json.dumps(dict(zip(["text_id", "text", "image_ids"], row, strict=True)))
        for row in texts
    ]
    (folder / "a_texts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    try:
        reading = read(folder)
    except BadInput as error:
        assert "fits a picture" in str(error)
        return
    filled = [line for line in lines if "".join(line).strip()]
    named = {name.strip() for row in texts if row for name in row[2] if name.strip()}
    lone = [row for row in texts if row is None or not any(name.strip() for name in row[2])]
    there = {name.strip() for name, tab, _ in filled if tab == "\t"}
    assert len(reading.items) >= len(filled) + len(lone)
    said = [text for captions in reading.captions.values() for text in captions]
    for row in texts:
        if row and row[1].strip() and (not row[2] or any(name in named and name in there for name in row[2])):
            assert row[1] in said


def test_muge_goes_through_corpus_export_and_evaluation(tmp_path: Path) -> None:
    write_split(tmp_path / "MUGE", "train")
    write_split(tmp_path / "flickr30k-cn", "test", [])
    lines = (tmp_path / "flickr30k-cn" / "test_imgs.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "flickr30k-cn" / "test_imgs.tsv").write_text("".join(lines[:3]))
    sections = {
        "sources": "[{name: muge, kind: chinese-clip, path: MUGE, license: CC-BY-4.0}]",
        "evaluation": "[{name: flickr, kind: chinese-clip, path: flickr30k-cn}]", "images": "{min_side: 16}",
    }  # fmt: skip
    recipe = load_recipe(str(write_recipe(tmp_path, **sections)))
    corpus = build_corpus(recipe, tmp_path / "corpus")
    rows = {row["origin"]: row for row in read_verdicts(corpus).to_pylist()}
    dropped = [name for name, row in rows.items() if not row["kept"]]
    assert dropped == [f"train_imgs.tsv/{name}" for name in (1000, 1001, 1002)]
    root = PictureRoot("chinese_clip", str(tmp_path / "MUGE"))
    row = rows["train_imgs.tsv/1007"]
    assert read_picture(root, row["origin"], row["offset"], row["bytes"]) == PICTURES[1007]
    made = export(corpus, recipe, tmp_path / "exported")
    tars = b"".join((made.folder / file.name).read_bytes() for file in made.files)
    assert sum(data in tars for data in PICTURES.values()) == 17
