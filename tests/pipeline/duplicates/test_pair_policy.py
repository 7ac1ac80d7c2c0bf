"""Which pairs of duplicates are kept: by the recipe's `duplicates.pairs`, and by equal or near captions."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuwen.pipeline.corpus_files.kept_pairs import read_kept_pairs
from tuwen.pipeline.duplicates.pair_policy import PairRows, choose_pairs
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.plan_parts import PLAN_COLUMNS

from ...conftest import draw, png
from ...stages import export
from .planted import Rows, build, plant, rows_of

CIRCLE, TRIANGLE = draw("红", "圆", 60), draw("蓝", "三角", 50)
LARGE, MIDDLE, SMALL = ("large.png", "middle.png", "small.png")
CAPTIONS = [
    (LARGE, "红圆"),
    (LARGE, "图上有一个红色的圆"),
    (MIDDLE, "红圆"),
    (MIDDLE, "圆形"),
    (SMALL, "红色的圆形"),
    ("triangle.png", "红圆"),
]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three copies of a circle in three sizes, with five captions in all, and a triangle."""
    folder = tmp_path_factory.mktemp("policy")
    sizes = {LARGE: 192, MIDDLE: 144, SMALL: 96}
    files = {name: png(CIRCLE.resize((side, side), Image.Resampling.LANCZOS)) for name, side in sizes.items()}
    plant(folder / "pictures", {**files, "triangle.png": png(TRIANGLE)}, CAPTIONS)
    return folder


def decided(planted: Path, policy: str) -> Rows:
    return rows_of(build(planted, duplicates=f"{{images: near, {policy}}}"))


def kept(rows: Rows) -> set[str]:
    return {name for name, row in rows.items() if row["kept"]}


def test_by_default_the_best_picture_is_kept_with_its_own_captions(planted: Path) -> None:
    rows = decided(planted, "pairs: own_captions")
    assert kept(rows) == {"large.png#红圆", "large.png#图上有一个红色的圆", "triangle.png"}
    assert rows["small.png"]["reason"] == "near_picture"


def test_a_pair_is_dropped_only_for_a_duplicate_with_the_same_caption(planted: Path) -> None:
    rows = decided(planted, "pairs: pair")
    assert set(rows) - kept(rows) == {"middle.png#红圆"}
    assert rows["middle.png#红圆"]["keeper"] == rows["large.png#红圆"]["key"]


def test_one_pair_a_picture_is_the_best_picture_with_the_best_caption(planted: Path) -> None:
    rows = decided(planted, "pairs: image")
    assert kept(rows) == {"large.png#图上有一个红色的圆", "triangle.png"}
    assert rows["large.png#红圆"]["reason"] == "more_captions"
    assert rows["large.png#红圆"]["stage"] == "choice"


def test_the_best_few_captions_are_kept_and_are_shown_with_the_best_picture(planted: Path) -> None:
    rows = decided(planted, "pairs: image_topk, top_k: 2")
    assert kept(rows) == {"large.png#图上有一个红色的圆", "small.png", "triangle.png"}
    assert rows["small.png"]["picture"] in (rows["large.png#红圆"]["key"], rows["large.png#图上有一个红色的圆"]["key"])


def test_all_captions_are_kept_once_each(planted: Path) -> None:
    rows = decided(planted, "pairs: keep_all_captions")
    dropped = set(rows) - kept(rows)
    assert dropped == {"middle.png#红圆"}
    assert {name for name, row in rows.items() if row["picture"]} == {"small.png", "middle.png#圆形"}


def test_what_is_exported_and_cropped_is_the_best_picture_with_every_caption(planted: Path, tmp_path: Path) -> None:
    corpus = build(planted, duplicates="{images: near, pairs: keep_all_captions}")
    rows = read_kept_pairs(corpus, PLAN_COLUMNS).to_pylist()
    assert {row["origin"] for row in rows} == {LARGE, "triangle.png"}
    assert {row["caption"] for row in rows if row["origin"] == LARGE} == {
        "红圆", "图上有一个红色的圆", "圆形", "红色的圆形"
    }  # fmt: skip
    origins = [row["origin"] for row in rows]
    assert origins == sorted(origins, key=origins.index), "the captions of a picture stand together"
    exported = export(corpus, load_recipe(str(planted / "shapes.yaml")), tmp_path / "export")
    assert exported.document["totals"]["pictures"] == 2
    assert exported.document["totals"]["pairs"] == 5
    assert sum(entry["samples"] for entry in corpus.document["licenses"]) == 5


@pytest.mark.parametrize("policy", ["pair", "image_topk", "keep_all_captions"])
def test_of_copies_with_the_same_captions_every_caption_stays_once(tmp_path: Path, policy: str) -> None:
    """Keys of the two copies lie in any order, so neither's pairs are all better than the other's."""
    captions = [f"第{number}种说法" for number in range(6)]
    picture, other = png(CIRCLE), png(TRIANGLE)
    files = {"a.png": picture, "b.png": picture, "c.png": other, "d.png": other}
    plant(tmp_path / "pictures", files, [(name, caption) for name in files for caption in captions])
    rows = rows_of(build(tmp_path, duplicates=f"{{images: near, pairs: {policy}, top_k: 6}}")).values()
    shown = [(row["pixels_hash"], row["caption"]) for row in rows if row["kept"]]
    assert len(shown) == len(set(shown)) == 12
    assert all(row["reason"] for row in rows if not row["kept"])


def test_duplicates_of_a_pair_that_is_dropped_for_its_caption_are_dropped_for_the_same_reason(tmp_path: Path) -> None:
    large = draw("蓝", "三角", 60).resize((300, 300))
    files = {"large.png": png(large), "duplicate.png": png(CIRCLE.resize((200, 200))), "small.png": png(CIRCLE)}
    plant(tmp_path / "pictures", files, [("large.png", "甲"), ("duplicate.png", "甲"), ("small.png", "乙")])
    rows = rows_of(build(tmp_path, duplicates="{images: near, captions: exact}"))
    assert rows["large.png"]["kept"]
    assert rows["small.png"]["reason"] == rows["duplicate.png"]["reason"] == "same_caption"
    assert rows["small.png"]["difference"] is None


def test_of_near_captions_the_best_pair_is_kept(tmp_path: Path) -> None:
    files = {f"{n}.png": png(draw(c, "圆", 30 + 9 * n)) for n, c in enumerate("红蓝绿黄")}
    cat = "一只橘色的猫趴在窗台上晒太阳看着外面的小鸟"
    captions = [("0.png", cat), ("1.png", cat), ("2.png", f"{cat}。"), ("3.png", "一只黑色的狗在草地上奔跑")]
    plant(tmp_path / "pictures", files, captions)
    exact = rows_of(build(tmp_path, duplicates="{images: none, captions: exact}"))
    assert sorted(row["reason"] for row in exact.values()) == ["", "", "", "same_caption"]
    rows = rows_of(build(tmp_path, duplicates="{images: none, captions: near}"))
    assert sorted(row["reason"] for row in rows.values()) == ["", "", "near_caption", "same_caption"]
    assert {row["stage"] for row in rows.values() if row["reason"] == "near_caption"} == {"near"}
    by_key = {row["key"]: row for row in rows.values()}
    assert all(by_key[row["keeper"]]["kept"] for row in rows.values() if row["keeper"])
    assert rows["3.png"]["kept"]


def test_whatever_the_policy_a_dropped_pair_names_a_kept_one(generator: np.random.Generator) -> None:
    """A law: keepers are kept, moved captions are shown with the group's leader, no group loses all of its pairs."""
    for trial in range(200):
        count = int(generator.integers(1, 30))
        picture = np.sort(generator.integers(0, count, count))
        rank = generator.permutation(count)
        first = {p: min(np.flatnonzero(picture == p), key=lambda row: rank[row]) for p in picture}
        picture = np.array([first[p] for p in picture])
        group = generator.integers(0, 5, count)[picture]  # the best picture of a group leads
        leader = np.array([min(picture[group == group[row]], key=lambda p: rank[p]) for row in range(count)])
        rows = PairRows(picture, leader, rank, generator.integers(0, 6, count), generator.permutation(count))
        for policy in ("own_captions", "pair", "image", "image_topk", "keep_all_captions"):
            choice = choose_pairs(rows, policy, top_k=2)
            is_kept = choice.keeper == np.arange(count)
            assert is_kept[choice.keeper].all(), (trial, policy)
            assert (leader[choice.keeper] == leader).all()
            assert set(leader[is_kept]) == set(leader)
            assert ((choice.picture == np.arange(count)) | (choice.picture == leader)).all()
            if policy in ("image", "image_topk"):
                assert np.bincount(leader[is_kept]).max() <= {"image": 1, "image_topk": 2}[policy]
            if policy == "keep_all_captions":
                assert len(set(zip(leader, rows.caption, strict=True))) == is_kept.sum()
