"""`tuwen evaluate`: losses as training logs them, matches, copies that are found where they are, and distances."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.order.order import open_order
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.train.judging.copies import nearest_rows
from tuwen.train.judging.evaluate import EvaluateOptions, Evaluation, evaluate
from tuwen.train.painting.nearest import nearest_score
from tuwen.train.run.loss_log import read_lines
from tuwen.train.run.run import Run, open_run

from ..test_plans import trained
from .test_distances import TinyNet

Built = tuple[Recipe, Path]
CAPTIONS = 12
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def run(shapes: Built, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("evaluate")
    for name in ("corpus", "shards"):
        (folder / name).symlink_to(shapes[1] / name)
    return open_run(trained(shapes, folder / "train", steps=60, reverse=0.2, validate_every=30, validation_rows=5000))


@pytest.fixture(scope="module")
def found(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    features = tmp_path_factory.mktemp("net") / "net.ts"
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(16), TinyNet()).eval()
    torch.jit.trace(pooled, torch.rand(1, 3, 64, 64)).save(features)
    shards, corpus = (load_manifest(run.whole.path / name) for name in ("shards", "corpus"))
    return evaluate(run, shards, corpus, EvaluateOptions(captions=CAPTIONS, features=features))


def test_its_losses_are_those_that_training_has_logged_for_the_same_rows(run: Run, found: Evaluation) -> None:
    last = read_lines(run.folder.validation)[-1]
    losses = found["losses"]
    for name in ("loss", "text", "codes", "reverse"):
        assert losses[name] == pytest.approx(last[name], rel=1e-5)  # type: ignore[literal-required]
    assert losses["sources"] == pytest.approx(last["sources"], rel=1e-5)
    assert found["steps"] == 60


def test_its_matches_are_those_of_the_demo_with_intervals(run: Run, found: Evaluation) -> None:
    corpus = load_manifest(run.whole.corpus.path)
    validation = float(corpus.document["lineage"]["recipe"]["split"]["validation"])
    for match in found["matches"]:
        score = nearest_score(run, corpus, validation, match["split"], CAPTIONS, seed=0, temperature=0)
        assert match["own_in_5"]["share"] == score["own_in_5"]
        assert match["strict_in_5"]["share"] == score["strict_in_5"]
        assert match["own_in_5"]["low"] <= score["own_in_5"] <= match["own_in_5"]["high"]
        assert match["own_in_5_with_skin_tone"] is None


def test_the_codes_of_a_training_row_are_found_in_it_and_changed_ones_by_their_share(run: Run) -> None:
    reader = SplitReader(load_manifest(run.whole.shards.path), "train")
    codes = reader.rows(np.arange(len(reader)))[0].reshape(len(reader), -1).astype(np.int64)
    rows, shares = nearest_rows(reader, codes[[3, 9]])
    assert shares.tolist() == [1.0, 1.0]
    assert np.array_equal(codes[rows], codes[[3, 9]])
    changed = codes[[3]].copy()
    changed[0, :16] = (changed[0, :16] + 1) % 1024
    assert nearest_rows(reader, changed)[1].tolist() == pytest.approx([48 / 64], abs=8 / 64)


def test_copies_name_the_training_pictures_and_the_steps_at_which_they_were_read(run: Run, found: Evaluation) -> None:
    copies, shards = found["copies"], load_manifest(run.whole.shards.path)
    assert set(copies["painted"]) == {"train", "validation"}
    assert copies["held_out"]["count"] == min(len(SplitReader(shards, "validation")), CAPTIONS)
    reader = SplitReader(shards, "train")
    order = open_order(shards, "train", run.document.settings.seed, run.document.settings.shuffle)
    batch = run.document.settings.batch
    of_row: dict[int, list[int]] = {}
    for step in range(60):
        for row in order.rows(step * batch + np.arange(batch)).tolist():
            of_row.setdefault(row, []).append(step)
    for closest in copies["closest"]:
        row = reader.find(closest["key"])
        assert row is not None
        assert closest["steps"] == of_row[row]
        assert reader.find(closest["pixels_key"]) is not None
    with Image.open(run.judged.closest) as picture:
        assert picture.size == (64 * len(copies["closest"]), 2 * 64)


def test_captions_are_said_of_as_many_held_out_pictures(run: Run, found: Evaluation) -> None:
    exact, in_5 = found["described"]["exact"], found["described"]["in_5"]
    assert 0 <= exact["share"] <= in_5["share"] <= 1
    assert exact["count"] == found["copies"]["held_out"]["count"]


def test_distances_are_of_held_out_pictures_and_no_less_than_those_of_their_codes(found: Evaluation) -> None:
    distances = found["distances"]
    assert set(distances["fid"]) == {"0", "1", "2", "4", "8"}
    assert all(0 <= distances["fid_of_codes"][radius] < distances["fid"][radius] for radius in ("0", "1", "2"))
    assert distances["inception_score"][0] >= 1


def test_the_command_writes_the_file_and_the_report_shows_it(run: Run, found: Evaluation) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(run.folder.path), "--captions", str(CAPTIONS)])
    assert result.exit_code == 0
    held_out, train, validation, copies, described, file = result.stdout.splitlines()
    assert described.startswith("held-out captions: ")
    assert held_out.startswith(f"held out: {found['losses']['codes']:.3f} nats a code (shapes ")
    assert train.startswith("train: own in 5 ")
    assert validation.startswith("validation: own in 5 ")
    assert copies.startswith("copies: ")
    assert copies.endswith(" of real held-out pictures")
    assert json.loads(Path(file).read_bytes())["steps"] == 60
    page = run.whole.report.read_text(encoding="utf-8")
    assert 'id="judged"' in page
    assert found["copies"]["closest"][0]["key"][:8] in page


def test_shards_that_the_run_has_not_read_are_refused(shapes: Built, run: Run) -> None:
    shards, corpus = (load_manifest(run.whole.path / name) for name in ("shards", "corpus"))
    other = Run(run.folder, run.document.model_copy(update={"shards": "sha256:0"}))
    with pytest.raises(BadInput, match=r"has read the shards sha256:0, and .* name the folder of the run"):
        evaluate(other, shards, corpus, EvaluateOptions())
