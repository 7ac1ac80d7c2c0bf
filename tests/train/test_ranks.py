"""Several ranks, threads or processes: the same bits as one, and what happens when one of them dies."""

import random
import signal
import time
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.training import Train
from tuwen.manifests.run_folders import TrainFolder
from tuwen.train.run.checkpoint import load_checkpoint
from tuwen.train.run.compare import first_difference
from tuwen.train.run.kept_checkpoints import kept_steps, make_latest
from tuwen.train.run.run import open_run
from tuwen.train.training.declared_run import DeclaredRun
from tuwen.train.training.loop import train, train_declared
from tuwen.train.training.process import Process
from tuwen.train.training.ray_ranks import train_on_cluster

from .rank_processes import exit_codes, kill, said_by, start_ranks, train_on, wait_until
from .thread_ranks import on_ranks


def with_train(recipe: Recipe, **changed: object) -> Recipe:
    """`micro_batches` as the tests' preset has it: 4."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"threads": 1, **changed})})


def assert_equal(a: Path, b: Path) -> None:
    """Bit for bit: weights, optimizers, averages, both logs."""
    assert first_difference(open_run(a), open_run(b)) is None
    for name in ("checkpoint.safetensors", "losses.jsonl", "validation.jsonl", "run.json", "manifest.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes() or name == "manifest.json", (b, name)
    assert load_manifest(a).id == load_manifest(b).id


@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "float32", "sharded": "optimizer"},
        {
            "precision": "bfloat16", "averaging": 0.9,
            "drop_captions": 0.3, "caption_noise": 0.3, "reverse": 0.3, "text_weight": 0.5,
        },
        {"precision": "float16", "telemetry": True, "sharded": "optimizer"},
        {"optimizer": "muon", "validate_every": 2},
    ],
    ids=["float32", "bfloat16", "float16", "muon"],
)  # fmt: skip
def test_weights_optimizer_and_losses_are_equal_for_1_2_and_4_ranks(
    shapes: tuple[Recipe, Path], tmp_path: Path, changed: dict[str, object]
) -> None:
    recipe, shards = with_train(shapes[0], steps=3, **changed), load_manifest(shapes[1] / "shards")
    declared = DeclaredRun.of_recipe(recipe, shards)
    train(recipe, shards, TrainFolder(tmp_path / "1"))
    for count in (2, 4):
        folder = TrainFolder(tmp_path / str(count))
        on_ranks(count, lambda ranks, folder=folder: train_declared(declared, folder, Process(ranks)))
        assert_equal(tmp_path / "1", folder.path)


def test_ranks_that_are_processes_have_the_bits_of_one(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe = with_train(shapes[0], steps=3, precision="bfloat16", averaging=0.9, validate_every=2, sharded="optimizer")
    train(recipe, load_manifest(shapes[1] / "shards"), TrainFolder(tmp_path / "1"))
    for count, sharded in ((2, "none"), (4, "optimizer")):
        train_on(count, with_train(recipe, sharded=sharded), shapes[1] / "shards", tmp_path / str(count))
        assert_equal(tmp_path / "1", tmp_path / str(count))


def test_a_model_that_is_shared_out_learns_what_a_whole_one_learns_and_goes_on_with_the_same_bits(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe = with_train(
        shapes[0], steps=4, reduction="fast", averaging=0.9, validate_every=2, checkpoint_every=2, telemetry=True
    )
    whole, parts = TrainFolder(tmp_path / "whole"), TrainFolder(tmp_path / "parts")
    train(recipe, load_manifest(shapes[1] / "shards"), whole)
    sharded = with_train(recipe, sharded="model")
    train_on(2, sharded, shapes[1] / "shards", parts.path)
    assert [entry["loss"] for entry in open_run(parts.path).losses] == pytest.approx(
        [entry["loss"] for entry in open_run(whole.path).losses], rel=1e-4
    )
    of_whole, of_parts = load_checkpoint(whole.checkpoint), load_checkpoint(parts.checkpoint)
    assert of_whole is not None and of_parts is not None
    assert of_whole.stream == of_parts.stream
    left, right = of_whole.tensors(), of_parts.tensors()
    assert left.keys() == right.keys()
    assert all(torch.allclose(tensor, right[name], rtol=1e-2, atol=1e-4) for name, tensor in left.items())
    written = parts.checkpoint.read_bytes()
    make_latest(parts, 2)
    parts.manifest.unlink()
    train_on(2, sharded, shapes[1] / "shards", parts.path)
    assert parts.checkpoint.read_bytes() == written
    make_latest(parts, 2)
    parts.manifest.unlink()
    train(recipe, load_manifest(shapes[1] / "shards"), parts)
    assert open_run(parts.path).losses[-1]["loss"] == pytest.approx(open_run(whole.path).losses[-1]["loss"], rel=1e-4)


def test_a_run_whose_ranks_are_killed_goes_on_on_any_other_number_of_them_with_the_same_bits(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    """One rank is killed at a random moment after a new checkpoint. Each of the others ends in a line that names a rank
    which is gone: the killed one, or one that ended because of it a moment before.
    """
    recipe = with_train(shapes[0], steps=60, checkpoint_every=3, validate_every=5, optimizer="muon")
    train(recipe, load_manifest(shapes[1] / "shards"), TrainFolder(tmp_path / "whole"))
    chance, folder = random.Random(0), TrainFolder(tmp_path / "killed")
    for count in (4, 1, 2):
        done = max(kept_steps(folder), default=0)
        ranks = start_ranks(count, recipe, shapes[1] / "shards", folder.path)
        wait_until(lambda done=done: max(kept_steps(folder), default=0) > done)
        time.sleep(chance.uniform(0, 0.1))
        victim = chance.randrange(count)
        kill(ranks[victim])
        codes = exit_codes(ranks)
        assert codes == [-9 if rank == victim else 1 for rank in range(count)]
        cure = "give the same command again: it goes on from the last checkpoint"
        lines = [said_by(folder.path, rank).splitlines()[-1] for rank in set(range(count)) - {victim}]
        assert set(lines) <= {f"rank {rank} died; {cure}" for rank in range(count)}
        assert not lines or f"rank {victim} died; {cure}" in lines
    train_on(4, recipe, shapes[1] / "shards", folder.path)
    assert_equal(tmp_path / "whole", folder.path)


def test_ranks_that_are_told_to_end_save_and_leave(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe = with_train(shapes[0], steps=400, checkpoint_every=400)
    ranks = start_ranks(2, recipe, shapes[1] / "shards", tmp_path / "run")
    wait_until((tmp_path / "run" / "validation.jsonl").is_file)
    kill(ranks[1], signal.SIGTERM)
    assert exit_codes(ranks) == [143, 143]
    (saved,) = kept_steps(TrainFolder(tmp_path / "run"))
    assert 0 < saved < 400
    line = f"stopped after step {saved - 1}, and saved; the same command continues from there"
    assert [said_by(tmp_path / "run", rank).splitlines()[-1] for rank in (0, 1)] == [line, line]
    assert len(open_run(tmp_path / "run").losses) == saved


def test_what_no_rank_can_do_is_refused_by_all(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe = with_train(shapes[0], micro_batches=1)
    assert exit_codes(start_ranks(2, recipe, shapes[1] / "shards", tmp_path / "run")) == [2] * 2
    for rank in range(2):
        said = said_by(tmp_path / "run", rank)
        assert "2 ranks cannot share the 1 micro-batches of a step; give at most 1, or begin a run with --set" in said
    assert exit_codes(start_ranks(3, recipe, shapes[1] / "shards", tmp_path / "run")) == [2] * 3
    assert "3 ranks: no power of two" in said_by(tmp_path / "run", 2)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"sharded": "optimizer", "optimizer": "muon"}, "muon needs them whole: say adamw"),
        ({"sharded": "model"}, "say reduction: fast, too"),
        ({"sharded": "model", "reduction": "fast", "sketch_every": 100}, "say sketch_every: 0"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_by_the_recipe(section: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Train.model_validate(section)


def test_actors_of_a_ray_cluster_give_the_bits_of_one_process(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, shards = with_train(shapes[0], steps=4), load_manifest(shapes[1] / "shards")
    train(recipe, shards, TrainFolder(tmp_path / "1"))
    declared = DeclaredRun.of_recipe(recipe, shards)
    train_on_cluster(declared, TrainFolder(tmp_path / "2"), 2, must_resume=False, process=Process())
    assert_equal(tmp_path / "1", tmp_path / "2")
