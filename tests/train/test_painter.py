"""A painter: a run without what only training needs, and the one that is shipped."""

from pathlib import Path

import pytest
import torch

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.manifests.verify import verify_manifest
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.painting.painter import save_painter
from tuwen.train.run.byte_weights import load_byte_weights, save_byte_weights
from tuwen.train.run.run import open_run
from tuwen.train.training.loop import train


@pytest.fixture(scope="module")
def trained(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("painter")
    train(shapes[0], load_manifest(shapes[1] / "shards"), TrainFolder(folder))
    return folder


def test_weights_of_a_byte_differ_by_half_a_step_of_their_row_at_most(tmp_path: Path) -> None:
    matrix = torch.randn(7, 33, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 3, 7)[:, None]
    weights = {"matrix": matrix, "zeros": torch.zeros(2, 3), "vector": torch.randn(5)}
    save_byte_weights(tmp_path / "w.safetensors", weights)
    found = load_byte_weights(tmp_path / "w.safetensors")
    assert set(found) == set(weights)
    assert ((found["matrix"] - matrix).abs().amax(dim=1) <= matrix.abs().amax(dim=1) / 127 * 0.501).all()
    assert torch.equal(found["zeros"], weights["zeros"])
    assert torch.equal(found["vector"], weights["vector"])


def test_a_painter_is_a_fraction_of_its_run_and_paints(trained: Path, tmp_path: Path) -> None:
    painter = save_painter(open_run(trained), tmp_path / "painter")
    assert not list(verify_manifest(painter))
    assert painter.document["lineage"]["parents"] == [load_manifest(trained).id]
    assert painter.document["totals"] == load_manifest(trained).document["totals"]
    weights, checkpoint = TrainFolder(painter.folder).painter, TrainFolder(trained).checkpoint
    assert weights.stat().st_size < checkpoint.stat().st_size / 10
    sampled, scores = sample_pictures(open_run(painter.folder), ["一个红色的圆"], 2, seed=0)
    wanted, expected = sample_pictures(open_run(trained), ["一个红色的圆"], 2, seed=0)
    assert sampled.shape == wanted.shape
    assert scores == pytest.approx(expected, abs=0.1)


def test_a_painter_of_a_painter_or_in_a_folder_that_holds_something_is_refused(trained: Path, tmp_path: Path) -> None:
    save_painter(open_run(trained), tmp_path / "painter")
    with pytest.raises(BadInput, match="has no checkpoint"):
        save_painter(open_run(tmp_path / "painter"), tmp_path / "again")
    with pytest.raises(BadInput, match="is not empty"):
        save_painter(open_run(trained), tmp_path / "painter")


def test_a_damaged_painter_is_told(trained: Path, tmp_path: Path) -> None:
    save_painter(open_run(trained), tmp_path / "painter")
    file = TrainFolder(tmp_path / "painter").painter
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckFailed, match="cut or altered"):
        open_run(tmp_path / "painter").load_model()
