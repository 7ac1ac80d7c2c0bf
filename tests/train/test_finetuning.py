"""A training that begins from another run: with its weights, on its tokenizers, and with its name in the lineage."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import ValidationError

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.model_options import ModelOptions
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.training import Lora, Train
from tuwen.manifests.run_folders import TrainFolder
from tuwen.manifests.verify import verify_manifest
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.painting.painter import save_painter
from tuwen.train.painting.sketches import Sketches
from tuwen.train.run.checkpoint import load_checkpoint
from tuwen.train.run.compare import first_difference
from tuwen.train.run.run import Run, open_run
from tuwen.train.run.schedule import OptimizerConfig
from tuwen.train.training.declared_run import DeclaredRun
from tuwen.train.training.loop import train, train_declared
from tuwen.train.training.optimizer import new_optimizers, take_step
from tuwen.train.training.process import Process, Stopped
from tuwen.train.transformer.lora import LoraLinear, merged, with_lora
from tuwen.train.transformer.model import ModelConfig, Transformer

from .test_plans import trained
from .test_ranks import with_train

Built = tuple[Recipe, Path]
KINDS = pytest.mark.parametrize("lora", [None, Lora(rank=2)], ids=["all weights", "lora"])


@pytest.fixture(scope="module")
def base(shapes: Built, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(trained(shapes, tmp_path_factory.mktemp("base") / "train", steps=10))


def tuned(shapes: Built, folder: Path, base: Run, **changed: object) -> Run:
    return open_run(trained(shapes, folder, init=str(base.folder.path), **{"steps": 4, "seed": 7, **changed}))


def load_all(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.load_model().state_dict())


def farthest(a: Run, b: Run) -> float:
    left, right = load_all(a), load_all(b)
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@KINDS
def test_it_begins_with_the_weights_of_its_base_and_leaves_them(
    shapes: Built, base: Run, tmp_path: Path, lora: Lora | None
) -> None:
    still = tuned(shapes, tmp_path / "still", base, lr=1e-12, lora=lora)
    assert farthest(still, base) < 1e-6
    moved = tuned(shapes, tmp_path / "moved", base, lr=3e-3, lora=lora)
    assert farthest(moved, base) > 1e-3


def test_lora_changes_the_matrices_of_the_blocks_alone_and_its_checkpoint_has_nothing_else(
    shapes: Built, base: Run, tmp_path: Path
) -> None:
    run = tuned(shapes, tmp_path, base, lr=1e-2, lora=Lora(rank=2))
    before, after = load_all(base), load_all(run)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("blocks.") and before[name].ndim == 2}
    ranks = {int(torch.linalg.matrix_rank(after[name] - before[name], atol=1e-5)) for name in changed}
    assert ranks == {2}
    checkpoint = load_checkpoint(run.folder.checkpoint)
    assert checkpoint is not None
    assert all("lora_" in name for name in checkpoint.model)
    assert run.folder.checkpoint.stat().st_size < base.folder.checkpoint.stat().st_size / 4


def test_merged_weights_compute_what_frozen_weights_and_updates_compute() -> None:
    config = ModelConfig(vocab_size=30, num_positions=12, width=32, depth=2, heads=2, activation="swiglu")
    lora, generator = Lora(rank=3, alpha=5.0), torch.Generator().manual_seed(0)
    base = dict(Transformer(config, seed=1).state_dict())
    model = with_lora(Transformer(config, seed=1), lora, seed=2)
    ids, positions = torch.arange(24).view(2, 12), torch.arange(12).expand(2, 12)
    plain = Transformer(config)
    plain.load_state_dict(base)
    torch.testing.assert_close(model(ids, positions), plain(ids, positions))  # it begins as its base
    for module in model.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.lora_up, std=0.1, generator=generator)
    plain.load_state_dict(merged(base, {name: p for name, p in model.named_parameters() if "lora_" in name}, lora))
    assert not torch.allclose(plain(ids, positions), Transformer(config, seed=1)(ids, positions), atol=1e-2)
    torch.testing.assert_close(model(ids, positions), plain(ids, positions), rtol=1e-4, atol=1e-4)


def test_updates_of_low_rank_learn_what_a_frozen_model_does_not_know() -> None:
    config = ModelConfig(vocab_size=30, num_positions=12, width=32, depth=2, heads=2)
    model = with_lora(Transformer(config), Lora(rank=4), seed=0)
    ids, positions = (
        torch.randint(30, (4, 12), generator=torch.Generator().manual_seed(0)),
        torch.arange(12).expand(4, 12),
    )
    schedule = OptimizerConfig(num_steps=100, num_warmup_steps=5, peak_learning_rate=3e-2)
    optimizers, losses = new_optimizers(model, schedule), []
    for step in range(schedule.num_steps):
        nats = F.cross_entropy(model(ids[:, :-1], positions[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        nats.backward()
        take_step(optimizers, schedule, step)
        model.zero_grad()
        losses.append(nats.item())
    assert losses[-1] < losses[0] - 0.3  # the small head of new weights, which is frozen, allows no more


def test_base_and_data_are_its_lineage(shapes: Built, base: Run, tmp_path: Path) -> None:
    run = tuned(shapes, tmp_path, base)
    manifest = load_manifest(tmp_path)
    assert list(manifest.lineage.parents) == [
        load_manifest(shapes[1] / "shards").id,
        load_manifest(base.folder.path).id,
    ]
    assert run.document.init == load_manifest(base.folder.path).id
    assert not list(verify_manifest(manifest))


@KINDS
def test_a_stopped_one_goes_on_with_the_same_bits_and_is_repeated_without_its_base(
    shapes: Built, base: Run, tmp_path: Path, lora: Lora | None
) -> None:
    copy = tmp_path / "base"
    shutil.copytree(base.folder.path, copy)
    recipe = with_train(shapes[0], init=str(copy), steps=4, lora=lora, averaging=0.5, checkpoint_every=1)
    shards = load_manifest(shapes[1] / "shards")
    declared, process = DeclaredRun.of_recipe(recipe, shards), Process()
    run_folder = tmp_path / "run"
    shutil.copytree(shapes[1] / "shards", run_folder / "shards")
    whole, stopped = TrainFolder(run_folder / "train"), TrainFolder(tmp_path / "stopped")
    train_declared(declared, whole, process)
    process.stop.set()
    with pytest.raises(Stopped):
        train_declared(declared, stopped, process)
    train(recipe, shards, stopped)
    assert first_difference(open_run(whole.path), open_run(stopped.path)) is None
    shutil.rmtree(copy)
    again = TrainFolder(tmp_path / "again")
    train_declared(DeclaredRun.of_run(whole.document), again, Process())
    assert load_manifest(again.path).id == load_manifest(whole.path).id
    pictures, _ = sample_pictures(open_run(again.path), ["一个红色的圆"], 1, seed=0)
    assert pictures.shape[:2] == (1, 1)


def test_a_painter_of_it_has_the_merged_weights_and_can_be_a_base(shapes: Built, base: Run, tmp_path: Path) -> None:
    run = tuned(shapes, tmp_path / "run", base, lr=1e-2, lora=Lora(rank=2))
    painter = open_run(save_painter(run, tmp_path / "painter").folder)
    assert farthest(painter, run) < 0.02  # half a step of a byte
    assert farthest(tuned(shapes, tmp_path / "next", painter, lr=1e-12), painter) < 1e-6


def test_its_first_sketch_is_what_the_base_paints(shapes: Built, base: Run, tmp_path: Path) -> None:
    run = tuned(shapes, tmp_path / "run", base, sketch_every=2)
    assert [path.name for path in sorted(run.folder.sketches.glob("*.png"))] == [
        f"step-{steps:06d}.png" for steps in (0, 2, 4)
    ]
    sketches = Sketches.of(run, load_manifest(shapes[1] / "shards"))
    assert sketches is not None
    sketches.paint(base.load_model(), 99)
    assert np.array_equal(Image.open(run.folder.sketch(0)), Image.open(run.folder.sketch(99)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": ModelOptions(depth=3)}, r"has `train.model.depth` 2, and not 3; leave `train.model.depth` away"),
        ({"init": "runs/none"}, r"runs/none: no training run there"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_difference(
    shapes: Built, base: Run, changed: dict[str, object], said: str
) -> None:
    recipe = with_train(shapes[0], **{"init": str(base.folder.path), "steps": 2, **changed})
    with pytest.raises(BadInput, match=said):
        DeclaredRun.of_recipe(recipe, load_manifest(shapes[1] / "shards"))


def test_shards_of_other_tokenizers_or_longer_captions_are_refused_with_the_difference(
    shapes: Built, base: Run, tmp_path: Path
) -> None:
    shards = load_manifest(shapes[1] / "shards")
    recipe = with_train(shapes[0], init=str(tmp_path), steps=2)
    shutil.copytree(base.folder.path, tmp_path, dirs_exist_ok=True)
    document = json.loads((tmp_path / "run.json").read_bytes())

    def with_document(**changed: object) -> None:
        (tmp_path / "run.json").write_text(json.dumps({**document, **changed}))

    with_document(text_tokenizer="sha256:0")
    with pytest.raises(BadInput, match=r"with the text tokenizer sha256:0, and the shards have sha256:.*text.path="):
        DeclaredRun.of_recipe(recipe, shards)
    with_document(image_tokenizer="sha256:1")
    with pytest.raises(BadInput, match=r"with the image tokenizer sha256:1.*with the base's own, in .*image_tokenizer"):
        DeclaredRun.of_recipe(recipe, shards)
    with_document(layout={**document["layout"], "text_max": 5})
    with pytest.raises(BadInput, match=r"has `layout.text_max` 5, and not \d+; give --set tokenize.text.max_tokens=5"):
        DeclaredRun.of_recipe(recipe, shards)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(BadInput, match="is not finished, so nothing says what it is"):
        DeclaredRun.of_recipe(recipe, shards)


def test_weights_that_were_lost_or_cut_are_named(shapes: Built, base: Run, tmp_path: Path) -> None:
    run = tuned(shapes, tmp_path, base, lora=Lora())
    run.folder.init.write_bytes(run.folder.init.read_bytes()[:1000])
    with pytest.raises(CheckFailed, match=r"init.safetensors: gone, cut or altered"):
        run.load_model()


def test_lora_without_a_base_is_refused() -> None:
    with pytest.raises(ValidationError, match="lora updates the matrices of another run: say init: RUN, too"):
        Train(lora=Lora())
