"""What a training paints on its way, and two trainings on one page."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.train.run.compare import first_difference
from tuwen.train.run.run import open_run
from tuwen.train.training.loop import train


@pytest.fixture(scope="module")
def runs(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that sketches, and one that does not and has another seed."""
    folder, (recipe, built) = tmp_path_factory.mktemp("sketches"), shapes
    for name, changed in (("a", {"sketch_every": 5}), ("b", {"seed": 1})):
        changed_recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update=changed)})
        train(changed_recipe, load_manifest(built / "shards"), TrainFolder(folder / name))
    return folder / "a", folder / "b"


def test_the_same_held_out_captions_are_painted_at_fixed_steps(
    shapes: tuple[Recipe, Path], runs: tuple[Path, Path]
) -> None:
    folder = TrainFolder(runs[0])
    captions = json.loads(folder.sketch_list.read_text())
    held_out = {meta["caption"] for meta in SplitReader(load_manifest(shapes[1] / "shards"), "validation").all_meta()}
    assert captions
    assert set(captions) <= held_out
    assert sorted(path.name for path in folder.sketches.glob("*.png")) == [
        "step-000005.png", "step-000010.png", "step-000012.png",
    ]  # fmt: skip
    pictures = [np.asarray(Image.open(folder.sketch(steps))) for steps in (5, 12)]
    columns, rows = min(8, len(captions)), -(-len(captions) // 8)
    assert {picture.shape for picture in pictures} == {(64 * rows, 64 * columns, 3)}
    assert all(picture.std() > 1 for picture in pictures)


def test_a_training_that_sketches_has_the_bits_of_one_that_does_not(
    shapes: tuple[Recipe, Path], runs: tuple[Path, Path], tmp_path: Path
) -> None:
    train(shapes[0], load_manifest(shapes[1] / "shards"), TrainFolder(tmp_path))
    assert first_difference(open_run(runs[0]), open_run(tmp_path)) is None


def test_a_page_shows_two_runs_side_by_side(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    said = CliRunner().invoke(app, ["compare", str(runs[0]), str(runs[1]), "--report", str(page)])
    assert said.exit_code == 1
    text = page.read_text()
    assert "they differ at step 0" in text
    assert "settings.seed" in text
    assert text.count("data:image/png") == 3
    for run in runs:
        assert f"{open_run(run).losses[-1]['codes']:.3f}" in text
