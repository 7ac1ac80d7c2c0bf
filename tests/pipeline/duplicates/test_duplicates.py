"""Which pairs are duplicates, which are kept, and why: verdicts that do not depend on the order of the input."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tuwen.manifests.decision_table import VERDICTS
from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.why import explain_pair

from ...conftest import draw, encoded, png, write_pictures, write_recipe
from ...stages import build_corpus, write_report
from .planted import corpus_of


@pytest.fixture(scope="module")
def duplicates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder of planted duplicates and broken things, judged. Returns the corpus and its verdicts by file name."""
    folder = tmp_path_factory.mktemp("duplicates")
    pictures = folder / "pictures"
    pictures.mkdir()
    circle, tall = draw("红", "圆", 60), Image.new("RGB", (40, 400), "red")
    tall.paste("blue", (0, 200, 40, 400))
    files = {
        "circle.png": png(circle),
        "copy.png": png(circle),
        "same-pixels.bmp": encoded(circle, "BMP"),
        "larger.png": png(circle.resize((192, 192), Image.Resampling.LANCZOS)),
        "jpeg.jpg": encoded(circle.resize((192, 192), Image.Resampling.LANCZOS), "JPEG", quality=80),
        "blue.png": png(draw("蓝", "圆", 60)),
        "blank.png": png(Image.new("RGB", (96, 96), "white")),
        "blank2.png": png(Image.new("RGB", (96, 96), (250, 250, 250))),
        "small.png": png(circle.resize((20, 20))),
        "tall.png": png(tall),
        "truncated.jpg": encoded(circle, "JPEG")[:-200],
        "text.png": b"hello",
        "mute.png": png(draw("绿", "三角", 60)),
        "spam.png": png(draw("黄", "三角", 60)),
        "name.png": png(draw("紫", "三角", 60)),
    }
    for name, data in files.items():
        (pictures / name).write_bytes(data)
    captions = {name: f"第{number}张彩色的图" for number, name in enumerate(files) if name not in ("mute.png",)}
    captions |= {"spam.png": "buy now", "name.png": "000.jpg", "nowhere.png": "没有图片的描述"}
    lines = [json.dumps({"file": name, "caption": caption}, ensure_ascii=False) for name, caption in captions.items()]
    (pictures / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    recipe = load_recipe(str(write_recipe(folder, captions="{min_han_share: 0.5, boilerplate: drop}")))
    corpus = build_corpus(recipe, folder / "corpus")
    return folder / "corpus", {row["origin"]: row for row in read_verdicts(corpus).to_pylist()}


def test_every_pair_has_the_verdict_it_should(duplicates: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    reasons = {name: row["reason"] for name, row in duplicates[1].items()}
    copies = {reasons.pop("circle.png"), reasons.pop("copy.png")}
    assert copies == {"same_bytes", "same_pixels"}  # the key says which of the two is the copy
    assert reasons == {
        "larger.png": "",
        "jpeg.jpg": "near_picture",
        "same-pixels.bmp": "near_picture",
        "blue.png": "",
        "blank.png": "single_colour",
        "blank2.png": "single_colour",
        "small.png": "too_small",
        "tall.png": "too_long",
        "truncated.jpg": "truncated",
        "text.png": "not_a_picture",
        "mute.png": "no_caption",
        "spam.png": "too_little_han",
        "name.png": "file_name",
        "nowhere.png": "missing_picture",
    }


def test_the_counts_of_every_stage_sum(duplicates: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    corpus = load_manifest(duplicates[0])
    steps = corpus.document["lineage"]["steps"]
    assert steps[0]["in"] == len(duplicates[1]) == corpus.document["totals"]["pairs"]
    for before, step in itertools.pairwise(steps):
        assert step["in"] == before["out"]
    for step in steps:
        assert step["in"] == step["out"] + sum(step["dropped"].values())
    assert steps[-1]["out"] == corpus.document["totals"]["kept"] == sum(row["kept"] for row in duplicates[1].values())
    assert read_verdicts(corpus).schema.equals(VERDICTS)


def test_every_dropped_duplicate_names_a_keeper_that_was_kept(
    duplicates: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    by_key = {row["key"]: row for row in duplicates[1].values()}
    dropped = [row for row in duplicates[1].values() if row["keeper"]]
    assert len(dropped) == 4
    for row in dropped:
        assert by_key[row["keeper"]]["kept"]
        assert row["cluster"] == by_key[row["keeper"]]["cluster"]
        assert row["distance"] <= 4


def test_why_explains_a_pair_and_its_duplicates(duplicates: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    corpus = load_manifest(duplicates[0])
    pair, *others = explain_pair(corpus, duplicates[1]["jpeg.jpg"]["key"][:12])
    assert pair["verdict"] == "dropped at near: near_picture"
    assert {other["origin"] for other in others} == {"larger.png", "circle.png", "copy.png", "same-pixels.bmp"}
    assert others[0]["verdict"] == "kept"
    with pytest.raises(BadInput, match="no such pair"):
        explain_pair(corpus, "zz")


def test_the_order_of_files_changes_no_verdict(tmp_path: Path) -> None:
    """The same duplicates under other names have the same keepers: the largest picture is kept."""
    for order in (["a", "b", "c"], ["c", "b", "a"]):
        folder = tmp_path / "".join(order)
        (folder / "pictures").mkdir(parents=True)
        for name, size in zip(order, (192, 96, 144), strict=True):
            (folder / "pictures" / f"{name}.png").write_bytes(
                png(draw("红", "圆", 60).resize((size, size), Image.Resampling.LANCZOS))
            )
            (folder / "pictures" / f"{name}.txt").write_text("一个红色的圆", encoding="utf-8")
        corpus = build_corpus(load_recipe(str(write_recipe(folder))), folder / "corpus")
        assert [row["width"] for row in read_verdicts(corpus).to_pylist() if row["kept"]] == [192]


def test_pictures_near_an_evaluation_set_are_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    (tmp_path / "test-set").mkdir()
    (tmp_path / "test-set" / "q.webp").write_bytes(
        encoded(draw("红", "圆", 64, at=9).resize((150, 150), Image.Resampling.BICUBIC), "WEBP", quality=95)
    )
    (tmp_path / "test-set" / "q.txt").write_text("题", encoding="utf-8")
    recipe = load_recipe(str(write_recipe(tmp_path, evaluation="[{name: test, kind: folder, path: test-set}]")))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert [(row["origin"], row["reason"]) for row in rows if row["stage"] == "evaluation"] == [
        ("红-圆-3.png", "near_picture")
    ]


def test_captions_of_one_picture_are_kept_or_dropped_together(tmp_path: Path) -> None:
    circle = draw("红", "圆", 60)
    files = {"a.png": png(circle.resize((192, 192))), "b.png": png(circle), "c.png": png(draw("蓝", "三角", 50))}
    captions = [("a.png", "圆"), ("a.png", "红色的圆"), ("b.png", "小圆"), ("b.png", "小红圆"), ("c.png", "三角")]
    rows = corpus_of(tmp_path, files, captions)
    assert {name for name, row in rows.items() if row["kept"]} == {"a.png#圆", "a.png#红色的圆", "c.png"}
    assert rows["a.png#圆"]["cluster"] == rows["b.png#小红圆"]["cluster"] == rows["a.png#红色的圆"]["cluster"]
    assert rows["b.png#小圆"]["keeper"] in (rows["a.png#圆"]["key"], rows["a.png#红色的圆"]["key"])


def test_equal_captions_are_dropped_last_so_that_no_picture_is_lost_for_a_duplicate_that_goes(tmp_path: Path) -> None:
    """a and c are one picture, a and b one caption: the picture and both captions are kept somewhere."""
    picture, larger = draw("红", "圆", 60), draw("蓝", "三角", 60).resize((192, 192))
    files = {"a.png": png(picture), "b.png": png(larger), "c.png": png(picture)}
    captions = [("a.png", "甲"), ("b.png", "甲"), ("c.png", "乙")]
    rows = corpus_of(tmp_path, files, captions, duplicates="{images: near, captions: exact}")
    by_key = {row["key"]: row for row in rows.values()}
    for row in rows.values():
        keeper = by_key[row["keeper"]] if row["keeper"] else row
        assert keeper["kept"]
        assert row["kept"] or row["caption"] == keeper["caption"] or row["pixels_hash"] == keeper["pixels_hash"]
    assert rows["b.png"]["kept"]


def test_a_picture_near_any_evaluation_picture_goes_whatever_the_policy(tmp_path: Path) -> None:
    """The evaluation set holds two near-duplicates; a corpus picture is near the second alone."""
    for policy in ("none", "exact", "near"):
        folder = tmp_path / policy
        (folder / "test-set").mkdir(parents=True)
        for number, grey in enumerate((40, 45)):
            question = Image.new("RGB", (96, 96), "white")
            question.paste(draw("红", "圆", 60))
            question.paste((grey, grey, grey), (70, 70, 96, 96))
            (folder / "test-set" / f"{number}.png").write_bytes(png(question))
        near = Image.open(folder / "test-set" / "1.png").convert("RGB")
        near.paste((50, 50, 50), (70, 70, 96, 96))
        sections = {"evaluation": "[{name: test, kind: folder, path: test-set}]", "duplicates": f"{{images: {policy}}}"}
        files = {"near.png": png(near), "far.png": png(draw("绿", "三角", 50))}
        rows = corpus_of(folder, files, [("near.png", "近"), ("far.png", "远")], **sections)
        assert (rows["near.png"]["stage"], rows["near.png"]["kept"]) == ("evaluation", False)
        assert rows["far.png"]["kept"]
        write_report(folder, folder / "corpus")  # the keeper stands in no table


def test_near_duplicates_that_are_both_kept_share_a_cluster_all_the_same(tmp_path: Path) -> None:
    circle = draw("红", "圆", 60)
    files = {"a.png": png(circle), "b.png": png(circle.resize((192, 192)))}
    rows = corpus_of(tmp_path, files, [("a.png", "甲"), ("b.png", "乙")], duplicates="{images: none}")
    assert rows["a.png"]["kept"] and rows["b.png"]["kept"]
    assert rows["a.png"]["cluster"] == rows["b.png"]["cluster"]


def test_keep_first_follows_the_order_of_the_recipe(tmp_path: Path) -> None:
    circle = draw("红", "圆", 60)
    files = {"a.png": png(circle), "b.png": png(circle.resize((192, 192)))}
    rows = corpus_of(tmp_path, files, [("a.png", "甲"), ("b.png", "乙")], duplicates="{images: near, keep: first}")
    assert rows["a.png"]["kept"] and not rows["b.png"]["kept"]


def test_when_nothing_is_left_to_compare_that_is_what_is_said(tmp_path: Path) -> None:
    files = {"a.png": png(draw("红", "圆", 60))}
    for policy in ("{images: near, flips: true}", "{images: near, flips: true, radius: 8}"):
        with pytest.raises(BadInput, match="no pair is left"):
            corpus_of(tmp_path / policy[-2], files, [("a.png", "甲")], duplicates=policy, images="{min_side: 5000}")
