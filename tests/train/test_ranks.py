"""Several ranks, each a process of its own: the same bits as one, and what happens when one of them dies."""

from pathlib import Path

import pytest

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.train.compare import first_difference
from tuwen.train.loop import train
from tuwen.train.run import open_run

from .rank_processes import train_on


def with_train(recipe: Recipe, **changed: object) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"threads": 1, **changed})})


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_optimizer_and_losses_are_equal_for_1_2_and_4_ranks(
    shapes: tuple[Recipe, Path], tmp_path: Path, precision: str
) -> None:
    recipe = with_train(shapes[0], steps=5, precision=precision, micro_batches=4)
    train(recipe, load_manifest(shapes[1] / "shards"), TrainFolder(tmp_path / "1"))
    for count in (2, 4):
        train_on(count, recipe, shapes[1] / "shards", tmp_path / str(count))
        assert first_difference(open_run(tmp_path / "1"), open_run(tmp_path / str(count))) is None
        for name in ("checkpoint.safetensors", "losses.jsonl", "run.json"):
            assert (tmp_path / str(count) / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), (count, name)
