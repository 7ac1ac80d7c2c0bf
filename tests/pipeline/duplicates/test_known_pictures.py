"""What is known elsewhere: evaluation sets and earlier corpora take pairs away, and are not measured again for it."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.run_folders import CorpusFolder
from tuwen.pipeline.why import explain_pair

from ...conftest import draw, encoded, png
from .planted import build, plant, rows_of

CIRCLE, TRIANGLE, BOX = draw("红", "圆", 60), draw("蓝", "三角", 50), draw("绿", "方块", 40)


def scaled(picture: Image.Image, side: int) -> bytes:
    return png(picture.resize((side, side), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of last year: a circle and a smaller copy that was dropped for it, and a triangle."""
    folder = tmp_path_factory.mktemp("earlier")
    files = {"circle.png": scaled(CIRCLE, 192), "dropped.png": png(CIRCLE), "triangle.png": png(TRIANGLE)}
    plant(folder / "pictures", files, [(name, f"{name}的描述文字") for name in files])
    build(folder, captions="{min_han_share: 0}")
    return folder


@pytest.fixture
def new(tmp_path: Path, earlier: Path) -> Path:
    """This year's: the circle once more as JPEG, the triangle's very bytes, and a box. `earlier/` lies beside it."""
    shutil.copytree(earlier, tmp_path / "earlier")
    files = {"circle.jpg": encoded(CIRCLE.resize((150, 150)), "JPEG", quality=90), "triangle.png": png(TRIANGLE),
             "box.png": png(BOX)}  # fmt: skip
    plant(tmp_path / "pictures", files, [(name, "今年的描述") for name in files])
    return tmp_path


def reasons(corpus: Manifest) -> dict[str, tuple[str, str]]:
    return {name: (row["stage"], row["reason"]) for name, row in rows_of(corpus).items()}


EARLIER = {"earlier": "[earlier/corpus]"}


def test_what_an_earlier_corpus_has_is_dropped_and_its_keeper_is_named(new: Path, earlier: Path) -> None:
    corpus = build(new, **EARLIER)
    assert reasons(corpus) == {
        "circle.jpg": ("earlier", "near_picture"),
        "triangle.png": ("earlier", "same_bytes"),
        "box.png": ("", ""),
    }
    before = rows_of(build(earlier, captions="{min_han_share: 0}"))
    assert rows_of(corpus)["circle.jpg"]["keeper"] == before["circle.png"]["key"]
    assert rows_of(corpus)["circle.jpg"]["keeper_from"] == "earlier/corpus"
    assert corpus.document["lineage"]["parents"]
    steps = {step["name"]: step for step in corpus.document["lineage"]["steps"]}
    assert steps["earlier"]["dropped"] == {"near_picture": 1, "same_bytes": 1}


@pytest.mark.parametrize("policy", ["image", "keep_all_captions"])
def test_a_picture_that_was_kept_with_another_ones_caption_is_known_too(tmp_path: Path, policy: str) -> None:
    files = {"large.png": scaled(CIRCLE, 192), "small.png": png(CIRCLE)}
    plant(tmp_path / "earlier" / "pictures", files, [("large.png", "圆"), ("small.png", "一个很大的红色的圆")])
    before = rows_of(build(tmp_path / "earlier", duplicates=f"{{images: near, pairs: {policy}}}"))
    assert before["small.png"]["picture"] == before["large.png"]["key"]
    plant(
        tmp_path / "pictures", {"c.png": scaled(CIRCLE, 150), "d.png": png(BOX)}, [("c.png", "丙图"), ("d.png", "丁图")]
    )
    assert reasons(build(tmp_path, **EARLIER)) == {"c.png": ("earlier", "near_picture"), "d.png": ("", "")}


def test_a_known_picture_of_the_same_key_is_not_taken_for_one_of_this_corpus(tmp_path: Path) -> None:
    """Last year's 1.png and this year's have one key, since source and file are called alike."""
    plant(tmp_path / "earlier" / "pictures", {"1.png": scaled(CIRCLE, 192)}, [("1.png", "去年的圆形")])
    build(tmp_path / "earlier")
    plant(tmp_path / "pictures", {"0.png": png(CIRCLE), "1.png": png(BOX)}, [("0.png", "今年的圆"), ("1.png", "方块")])
    corpus = build(tmp_path, **EARLIER)
    rows = rows_of(corpus)
    assert rows["0.png"]["keeper"] == rows["1.png"]["key"] and rows["1.png"]["kept"]
    assert rows["0.png"]["keeper_from"] == "earlier/corpus"
    pair, *others = explain_pair(corpus, rows["0.png"]["key"])
    assert pair["keeper_from"] == "earlier/corpus"
    assert all(other["cluster"] == pair["cluster"] for other in others)


def test_no_picture_of_an_earlier_corpus_is_needed_any_more(new: Path) -> None:
    shutil.rmtree(new / "earlier" / "pictures")
    assert reasons(build(new, **EARLIER))["circle.jpg"] == ("earlier", "near_picture")


def test_a_pair_takes_the_cluster_that_an_earlier_corpus_gave_its_duplicates(new: Path) -> None:
    """So it is in their split, even if it is kept because duplicates are not dropped here."""
    before = rows_of(build(new / "earlier", captions="{min_han_share: 0}"))
    rows = rows_of(build(new, duplicates="{images: none}", **EARLIER))
    assert rows["circle.jpg"]["cluster"] == before["circle.png"]["cluster"] == before["dropped.png"]["cluster"]
    assert rows["box.png"]["cluster"] == rows["box.png"]["key"]


def test_a_picture_like_one_that_was_dropped_earlier_but_unlike_all_kept_ones_is_kept_in_its_cluster(
    tmp_path: Path,
) -> None:
    """a was kept, b dropped for it; c is near b alone: nothing like it was trained on, one split holds all three."""
    shades = {"a": 40, "b": 45, "c": 50}

    def with_corner(grey: int) -> bytes:
        picture = Image.new("RGB", (96, 96), "white")
        picture.paste(CIRCLE)
        picture.paste((grey, grey, grey), (70, 70, 96, 96))
        return png(picture)

    files = {name: with_corner(grey) for name, grey in shades.items()}
    plant(
        tmp_path / "earlier" / "pictures", {f"{n}.png": files[n] for n in "ab"}, [("a.png", "甲图"), ("b.png", "乙图")]
    )
    before = rows_of(build(tmp_path / "earlier", duplicates="{images: near, keep: first}"))
    assert [before[name]["kept"] for name in ("a.png", "b.png")] == [True, False]
    plant(tmp_path / "pictures", {"c.png": files["c"]}, [("c.png", "丙图")])
    row = rows_of(build(tmp_path, **EARLIER))["c.png"]
    assert row["kept"]
    assert row["cluster"] == before["a.png"]["cluster"]


def test_an_evaluation_set_may_be_a_corpus(new: Path) -> None:
    corpus = build(new, evaluation="[{name: bench, kind: corpus, path: earlier/corpus}]")
    assert reasons(corpus)["circle.jpg"] == ("evaluation", "near_picture")
    assert reasons(corpus)["triangle.png"] == ("evaluation", "same_bytes")


def test_what_evaluation_sets_took_away_is_listed_with_the_picture_that_took_it(new: Path) -> None:
    (new / "test-set").mkdir()
    (new / "test-set" / "q.webp").write_bytes(encoded(BOX.resize((150, 150)), "WEBP", quality=95))
    (new / "test-set" / "q.txt").write_text("题", encoding="utf-8")
    evaluation = "[{name: bench, kind: corpus, path: earlier/corpus}, {name: test, kind: folder, path: test-set}]"
    try:
        build(new, evaluation=evaluation)
    except BadInput as nothing_left:
        assert "no pair is left" in str(nothing_left)
    rows = {row["origin"]: row for row in pq.read_table(new / "corpus" / "contaminated.parquet").to_pylist()}
    assert {name: (row["evaluation_source"], row["evaluation_origin"]) for name, row in rows.items()} == {
        "circle.jpg": ("bench", "circle.png"),
        "triangle.png": ("bench", "triangle.png"),
        "box.png": ("test", "q.webp"),
    }
    assert rows["box.png"]["caption"] == "今年的描述"
    assert rows["circle.jpg"]["difference"] <= 1


def test_the_list_goes_when_there_is_no_evaluation_set_any_more(new: Path) -> None:
    listed = build(new, evaluation="[{name: bench, kind: corpus, path: earlier/corpus}]")
    assert listed.document["contaminated"]["rows"] == 2
    assert "contaminated" not in build(new).document
    assert not (new / "corpus" / "contaminated.parquet").exists()


def test_measures_that_were_altered_are_refused(new: Path) -> None:
    for path in (new / "earlier" / "corpus" / "measures").glob("*.parquet"):
        pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises((BadInput, CheckFailed), match="missing or altered"):
        build(new, **EARLIER)


def test_a_corpus_whose_hashes_were_made_otherwise_is_refused(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuwen.pipeline.corpus.SIGNATURES", 1)
    CorpusFolder(new / "earlier" / "corpus").decided.unlink()  # else nothing has changed
    build(new / "earlier")
    monkeypatch.undo()
    with pytest.raises(BadInput, match="another version"):
        build(new, **EARLIER)


def test_a_corpus_is_not_its_own_earlier_one(new: Path) -> None:
    build(new)
    with pytest.raises(BadInput, match="its own duplicate"):
        build(new, earlier="[corpus]")
    assert (new / "corpus" / "manifest.json").is_file()


def test_a_folder_that_is_no_corpus_is_refused(new: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        build(new, earlier="[nowhere]")
