"""A painter: a run without what only training needs, and the one that is shipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tuwen.__main__ import app
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


def test_the_shipped_painter_is_whole_and_small_and_paints_a_red_heart_below_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    painter = load_manifest(open_run(Path("emoji")).folder.path)
    assert not list(verify_manifest(painter))
    assert sum(file.bytes for file in painter.files) < 25e6
    result = CliRunner().invoke(app, ["sample", "emoji", "--prompt", "红心", "--count", "1", "--temperature", "0"])
    assert result.exit_code == 0, result.output
    red, green, blue = np.array(Image.open("runs/emoji/samples/红心-0.png").convert("RGB")).reshape(-1, 3).T / 255
    assert ((red > 0.6) & (green < 0.4) & (blue < 0.4)).mean() > 0.2


def test_a_name_that_is_neither_a_run_nor_shipped_is_told_what_is_shipped(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no training run there.*what is shipped: emoji"):
        open_run(tmp_path / "flags")


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
