"""A run that continues the codes of a picture with finer ones: what it learns, paints, and is judged by."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.model_options import ModelOptions
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.tokenizing import ImageTokenizer
from tuwen.manifests.recipe.training import Lora, Refine, Train
from tuwen.manifests.run_folders import TEXT_MODEL, TrainFolder
from tuwen.manifests.verify import verify_manifest
from tuwen.tokenize.finer_sequence import FinerLayout
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.painting.painter import save_painter
from tuwen.train.painting.refining import refine_codes
from tuwen.train.painting.sampling import SamplingConfig
from tuwen.train.reading.two_grids import open_reader
from tuwen.train.run.compare import first_difference
from tuwen.train.run.run import Run, open_run
from tuwen.train.training.declared_run import DeclaredRun
from tuwen.train.training.loop import train_declared
from tuwen.train.training.process import Process, Stopped
from tuwen.train.transformer.micro_batch import MicroBatch
from tuwen.train.transformer.model import Transformer

from ..stages import write_shards
from .test_plans import trained
from .test_ranks import with_train

Built = tuple[Recipe, Path]
LIKELIEST, DRAWN = (SamplingConfig(temperature=t, precision="float32") for t in (0, 1))


@pytest.fixture(scope="module")
def two_grids(shapes: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The corpus of `shapes`, tokenized in 64 and in 128 px."""
    recipe, folder = shapes
    also = {"large": ImageTokenizer(tokenizer="compact-128")}
    asked = recipe.model_copy(update={"tokenize": recipe.tokenize.model_copy(update={"also": also})})
    run = tmp_path_factory.mktemp("grids")
    (run / "corpus").symlink_to(folder / "corpus")
    write_shards(asked, load_manifest(folder / "corpus"), folder / "tokenizer" / TEXT_MODEL, run / "shards")
    return asked, run


@pytest.fixture(scope="module")
def base(shapes: Built, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(trained(shapes, tmp_path_factory.mktemp("base") / "train", steps=20))


def refining(built: Built, folder: Path, base: Run, **changed: object) -> Run:
    asked = {"init": str(base.folder.path), "refine": Refine(codes="large"), "steps": 4, **changed}
    return open_run(trained(built, folder, **asked))


@pytest.fixture(scope="module")
def refiner(two_grids: Built, base: Run) -> Run:
    """In the folder of its corpus and shards."""
    return refining(two_grids, two_grids[1] / "train", base, steps=60, code_noise=0.05)


@pytest.fixture(scope="module")
def rows(two_grids: Built, refiner: Run) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Codes of both grids (6, 64 + 256), and the captions."""
    reader = open_reader(load_manifest(two_grids[1] / "shards"), "train", finer=layout_of(refiner).array)
    codes, text, lengths = reader.rows(np.arange(6))
    return codes.astype(np.int64), [ids[:length].tolist() for ids, length in zip(text, lengths, strict=True)]


def layout_of(run: Run) -> FinerLayout:
    assert run.document.finer is not None
    return run.document.finer


def test_it_learns_the_finer_codes_of_windows_and_nothing_else(two_grids: Built, refiner: Run) -> None:
    losses = refiner.losses
    assert losses[0]["codes"] > 6.5  # about ln 1,024
    assert np.mean([entry["codes"] for entry in losses[-5:]]) < 4
    assert all(entry["tokens"] == 16 * 65 for entry in losses)  # 8 × 8 codes and their end
    layout = layout_of(refiner)
    reader = open_reader(load_manifest(two_grids[1] / "shards"), "train", finer=layout.array)
    batch = MicroBatch.of_windows(
        reader.rows(np.arange(3)), np.array([[0, 0], [4, 4], [1, 3]]), layout, torch.device("cpu")
    )
    assert batch.counts_B2.tolist() == [[1, 64]] * 3
    targets = batch.targets_BL[batch.targets_BL != layout.pad].view(3, 65)
    assert (targets[:, :64] >= layout.code_offset).all()
    assert (targets[:, 64] == layout.command_ids["[EOI2]"]).all()


def test_it_begins_with_its_bases_weights_and_looks_where_a_finer_code_lies(
    two_grids: Built, base: Run, tmp_path: Path
) -> None:
    run = refining(two_grids, tmp_path / "still", base, lr=1e-12)
    before, after, layout = base.load_weights(), run.load_weights(), layout_of(run)
    for name, tensor in before.items():
        torch.testing.assert_close(after[name][: len(tensor)], tensor, atol=1e-6, rtol=0)
    assert len(after["token.weight"]) == layout.vocab
    first, coarse = layout.first_place_position, layout.coarse.first_code_position
    positions = after["position.weight"]
    for row, column in ((0, 0), (0, 1), (5, 9), (15, 15)):
        under = coarse + row // 2 * 8 + column // 2
        torch.testing.assert_close(positions[first + 16 * row + column], positions[under], atol=1e-6, rtol=0)
    assert run.document.init == load_manifest(base.folder.path).id
    assert run.document.init in load_manifest(run.folder.path).document["lineage"]["parents"]
    assert not list(verify_manifest(load_manifest(run.folder.path)))


def test_a_run_that_is_stopped_and_goes_on_equals_one_that_was_not(two_grids: Built, base: Run, tmp_path: Path) -> None:
    whole = refining(two_grids, tmp_path / "whole", base, steps=6, checkpoint_every=2)
    asked = with_train(
        two_grids[0], init=str(base.folder.path), refine=Refine(codes="large"), steps=6, checkpoint_every=2
    )
    declared = DeclaredRun.of_recipe(asked, load_manifest(two_grids[1] / "shards"))
    process, cut = Process(), TrainFolder(tmp_path / "cut")
    process.stop.set()
    with pytest.raises(Stopped):
        train_declared(declared, cut, process)
    train_declared(declared, cut, Process())
    assert first_difference(whole, open_run(cut.path)) is None
    assert load_manifest(cut.path).id == load_manifest(whole.folder.path).id


def test_each_window_has_the_likeliest_codes_after_what_earlier_ones_painted(
    refiner: Run, rows: tuple[NDArray[np.int64], list[list[int]]]
) -> None:
    """Asked of whole sequences, without a cache, as training lays them out."""
    (codes, texts), layout = rows, layout_of(refiner)
    model = Transformer(refiner.document.settings.model, seed=1).eval()  # of random weights: no code is favoured
    coarse, text = codes[:1, :64], np.array(texts[:1])
    finer = refine_codes(model, layout, texts[:1], coarse, 0, LIKELIEST)
    assert len(np.unique(finer)) > 20
    painted = np.zeros(256, bool)
    for wave in layout.waves():
        for origin in wave:
            sequence = np.concatenate((coarse, finer), axis=1)
            ids, positions = layout.sequences(sequence, text, np.array([len(texts[0])]), np.array([origin]))
            under = layout.under(ids, np.array([len(texts[0])]), np.array([origin]))
            assert under is not None
            ids_BL, positions_BL, under_BL = (torch.from_numpy(each) for each in (ids, positions, under))
            with torch.no_grad():
                logits = model(ids_BL, positions_BL, under_BL=under_BL)[0]
            begin = int((ids[0] == layout.command_ids["[BOI2]"]).argmax())
            likeliest = logits[begin : begin + 64, layout.code_offset : layout.code_offset + layout.codebook].argmax(-1)
            new = ~painted[layout.places(origin)]
            np.testing.assert_array_equal(likeliest.numpy()[new], finer[0, layout.places(origin)][new])
        for origin in wave:
            painted[layout.places(origin)] = True


def test_a_picture_is_refined_alike_whatever_is_refined_beside_it(
    refiner: Run, rows: tuple[NDArray[np.int64], list[list[int]]]
) -> None:
    (codes, texts), layout, model = rows, layout_of(refiner), refiner.load_learned()
    coarse = codes[:, :64]
    together = refine_codes(model, layout, texts, coarse, 7, DRAWN)
    assert ((together >= 0) & (together < 1024)).all()
    for row in (0, 5):
        alone = refine_codes(model, layout, [texts[row]], coarse[[row]], 7, DRAWN)
        np.testing.assert_array_equal(alone[0], together[row])
    other = refine_codes(model, layout, texts[:1], coarse[:1], 8, DRAWN)
    assert (other != together[:1]).any()


def test_it_paints_as_its_base_does_and_refines_what_is_asked_for(refiner: Run, base: Run, tmp_path: Path) -> None:
    of_base, _ = sample_pictures(base, ["一个红色的圆"], 2, seed=3)
    of_refiner, _ = sample_pictures(refiner, ["一个红色的圆"], 2, seed=3)
    np.testing.assert_array_equal(of_refiner, of_base)
    arguments = ["sample", str(refiner.folder.path), "--prompt", "一个红色的圆", "--count", "3", "--best", "2"]
    for file in ("a.png", "b.png"):
        result = CliRunner().invoke(app, [*arguments, "--refine", "--out", str(tmp_path / file)])
        assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (256, 128)  # two pictures of 128 px
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_its_evaluation_compares_it_with_enlargement_and_the_report_shows_it(refiner: Run) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(refiner.folder.path), "--captions", "6"])
    assert result.exit_code == 0, result.output
    found = json.loads(refiner.folder.evaluation.read_bytes())
    refined = found["refined"]
    assert (refined["pictures"], refined["side_px"]) == (6, 128)
    for measure in ("psnr_db", "ssim"):
        means = {name: float(refined[name][measure]["mean"]) for name in ("bicubic", "refined", "own_codes", "gain")}
        assert means["own_codes"] > means["refined"]
        assert means["gain"] == pytest.approx(means["refined"] - means["bicubic"], abs=2e-4)
    assert found["losses"]["codes"] is not None
    assert "matches" not in found
    report = refiner.whole.report.read_text(encoding="utf-8")
    assert "refined − enlarged" in report
    with Image.open(refiner.folder.refined) as sheet:
        assert sheet.size == (6 * 128, 4 * 128)
    assert "refined: PSNR" in result.output


def test_what_cannot_be_refined_is_refused_with_the_cure(
    shapes: Built, two_grids: Built, base: Run, refiner: Run, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="has learned no finer codes; train such a run from it"):
        arguments = ["sample", str(base.folder.path), "--prompt", "红", "--refine"]
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    with pytest.raises(BadInput, match=r"the shards have no codes `large`, but none; tokenize with `also"):
        refining(shapes, tmp_path / "a", base)
    with pytest.raises(BadInput, match="has learned finer codes alone; begin from the run that it was begun from"):
        refining(two_grids, tmp_path / "b", refiner)
    with pytest.raises(BadInput, match="has learned finer codes alone; name the run that it was begun from"):
        save_painter(refiner, tmp_path / "painter")
    rotary = open_run(trained(shapes, tmp_path / "rotary", steps=2, model=ModelOptions(positions="rotary2d")))
    with pytest.raises(BadInput, match="rotary2d positions, which know one grid"):
        refining(two_grids, tmp_path / "c", rotary)
    for asked, problem in (
        ({}, "say init: RUN, too"),
        ({"init": "emoji", "lora": Lora()}, "leave lora away"),
        ({"init": "emoji", "reverse": 0.1}, "leave reverse and sketch_every away"),
    ):
        with pytest.raises(ValidationError, match=problem):
            Train(refine=Refine(codes="large"), **asked)  # type: ignore[arg-type]


def test_a_run_without_its_finer_tokenizer_says_so(refiner: Run, tmp_path: Path) -> None:
    copy = tmp_path / "train"
    shutil.copytree(refiner.folder.path, copy)
    shutil.rmtree(copy / "finer_tokenizer")
    with pytest.raises(BadInput, match="finer_tokenizer: the shards of this run were imported without"):
        _ = open_run(copy).finer_image_codes


def test_a_repeated_run_is_the_same_run(two_grids: Built, refiner: Run, base: Run, tmp_path: Path) -> None:
    short = refining(two_grids, two_grids[1] / "short", base, steps=2)
    declared = DeclaredRun.of_run(short.folder.document)
    train_declared(declared, TrainFolder(tmp_path / "again"), Process())
    assert first_difference(short, open_run(tmp_path / "again")) is None


def test_the_loss_of_held_out_windows_is_that_of_whole_sequences(two_grids: Built, base: Run, tmp_path: Path) -> None:
    run = open_run(
        trained(
            two_grids, tmp_path / "run", init=str(base.folder.path), refine=Refine(codes="large", window=2), steps=3,
            validate_every=3, validation_rows=5000,
        )
    )  # fmt: skip
    entry = json.loads(run.folder.validation.read_text().splitlines()[-1])
    assert entry["codes"] == pytest.approx(entry["sources"]["shapes"])
    assert 3 < entry["codes"] < 9
