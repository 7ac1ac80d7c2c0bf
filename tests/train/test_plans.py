"""What a run may change while it goes on, what it keeps, how it is repeated, and what it measures on held-out rows."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.training import Train
from tuwen.manifests.run_folders import TrainFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.reading.coin import coins
from tuwen.train.reading.read_plan import ReadPlan
from tuwen.train.reading.stream import open_stream
from tuwen.train.run.checkpoint import load_checkpoint, save_checkpoint
from tuwen.train.run.compare import first_difference
from tuwen.train.run.kept_checkpoints import kept_steps
from tuwen.train.run.loss_log import read_lines
from tuwen.train.run.preset import declared_steps
from tuwen.train.run.run import open_run
from tuwen.train.run.schedule import OptimizerConfig, learning_rate
from tuwen.train.training.declared_run import DeclaredRun
from tuwen.train.training.loop import train, train_declared
from tuwen.train.training.process import Process
from tuwen.train.training.validation import spread_runs
from tuwen.train.transformer.micro_batch import MicroBatch

from .test_ranks import with_train

Built = tuple[Recipe, Path]


def trained(built: Built, folder: Path, **changed: object) -> Path:
    train(with_train(built[0], **changed), load_manifest(built[1] / "shards"), TrainFolder(folder))
    return folder


def test_a_finished_run_of_a_stable_schedule_goes_on_and_equals_one_that_was_begun_with_as_many_steps(
    shapes: Built, tmp_path: Path
) -> None:
    wsd = {"schedule": "wsd", "checkpoint_every": 4}
    whole = trained(shapes, tmp_path / "whole", steps=20, **wsd)
    longer = trained(shapes, tmp_path / "longer", steps=10, keep=1, **wsd)
    assert kept_steps(TrainFolder(longer)) == [8, 10]  # 8: where the decay began, kept for good
    rates = [entry["lr"] for entry in open_run(longer).losses]
    assert rates[4:9] == [2e-3] * 5
    assert rates[9] == pytest.approx(1e-3)
    trained(shapes, longer, steps=20, **wsd)
    assert first_difference(open_run(whole), open_run(longer)) is None
    assert load_manifest(whole).id == load_manifest(longer).id
    with pytest.raises(BadInput, match=r"of 10 steps, step 9 would have the rate 0.001 and not 0.002"):
        trained(shapes, longer, steps=10, **wsd)


def test_steps_that_are_not_done_yet_can_be_skipped_and_those_that_are_done_cannot(
    shapes: Built, tmp_path: Path
) -> None:
    plan = {"steps": 12, "checkpoint_every": 4}
    whole = trained(shapes, tmp_path / "whole", skip_steps=[(9, 11)], **plan)
    later = trained(shapes, tmp_path / "later", **plan)
    trained(shapes, later, skip_steps=[(9, 11)], **plan)
    assert first_difference(open_run(whole), open_run(later)) is None
    norms = [entry["norm"] for entry in open_run(whole).losses]
    assert [step for step, norm in enumerate(norms) if norm == 0] == [9, 10]
    with pytest.raises(BadInput, match="step 1 would be skipped, and it is done"):
        trained(shapes, later, skip_steps=[(1, 2)], **plan)


@pytest.mark.parametrize(("keep", "kept"), [(1, [12]), (3, [8, 10, 12])])
def test_so_many_checkpoints_are_kept_and_the_newest_is_the_run_s(
    shapes: Built, tmp_path: Path, keep: int, kept: list[int]
) -> None:
    folder = TrainFolder(trained(shapes, tmp_path, steps=12, checkpoint_every=2, keep=keep))
    assert kept_steps(folder) == kept
    newest = load_checkpoint(folder.checkpoint)
    assert newest is not None
    assert newest.step == 12


def test_a_damaged_checkpoint_is_refused_with_the_one_before_it(shapes: Built, tmp_path: Path) -> None:
    folder = TrainFolder(trained(shapes, tmp_path, steps=6, checkpoint_every=2))
    whole = folder.checkpoint.read_bytes()
    folder.manifest.unlink()
    folder.checkpoint.unlink()
    folder.checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckFailed, match=r"not a whole checkpoint; copy .*step-000000004.safetensors over it"):
        trained(shapes, tmp_path, steps=6, checkpoint_every=2)
    folder.checkpoint.write_bytes((folder.checkpoints / "step-000000004.safetensors").read_bytes())
    trained(shapes, tmp_path, steps=6, checkpoint_every=2)
    assert folder.checkpoint.read_bytes() == whole


def test_a_checkpoint_of_the_version_before_is_refused_in_one_line(tmp_path: Path) -> None:
    about = json.dumps({"step": 4, "stream": {}, "groups": []})
    save_file({"model/x": torch.zeros(1)}, tmp_path / "checkpoint.safetensors", metadata={"about": about})
    with pytest.raises(
        CheckFailed, match="of another version of tuwen; use the version that wrote it, or train again in"
    ):
        load_checkpoint(tmp_path / "checkpoint.safetensors")


def test_compare_sees_what_the_weights_do_not_show_yet(shapes: Built, tmp_path: Path) -> None:
    """One number of the optimizer's memory."""
    trained(shapes, tmp_path / "a", steps=2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    path = tmp_path / "b" / "checkpoint.safetensors"
    checkpoint = load_checkpoint(path)
    assert checkpoint is not None
    checkpoint.optimizers[0]["state"][3]["exp_avg"].view(-1)[7] += 1e-9
    save_checkpoint(path, checkpoint)
    difference = first_difference(open_run(tmp_path / "a"), open_run(tmp_path / "b"))
    assert difference == "step 2: the checkpoints differ in `optimizer/0/3/exp_avg`"


def test_a_run_json_is_repeated_bit_for_bit_and_says_when_its_shards_are_others(shapes: Built, tmp_path: Path) -> None:
    run = shapes[1] / "train"
    trained(shapes, run, steps=3, keep=1)
    repeated = DeclaredRun.of_run(run / "run.json")
    assert repeated.train.keep == 1  # what changes no result is repeated, too
    train_declared(repeated, TrainFolder(tmp_path / "again"), Process())
    assert load_manifest(run).id == load_manifest(tmp_path / "again").id
    assert load_manifest(run).lineage.recipe == load_manifest(tmp_path / "again").lineage.recipe
    (tmp_path / "moved" / "train").mkdir(parents=True)
    document = json.loads((run / "run.json").read_bytes())
    (tmp_path / "moved" / "train" / "run.json").write_text(json.dumps({**document, "shards": "sha256:0"}))
    (tmp_path / "moved" / "shards").symlink_to(shapes[1] / "shards")
    with pytest.raises(BadInput, match="is of the shards sha256:0, and those at"):
        DeclaredRun.of_run(tmp_path / "moved" / "train" / "run.json")


def test_samples_are_read_in_whole_steps_and_say_more_than_minutes() -> None:
    assert declared_steps(Train(samples=33, batch=16)) == 3
    assert declared_steps(Train(samples=32, batch=16, minutes=8)) == 2
    with pytest.raises(ValidationError, match="steps 5 and samples 80 both say when it ends: leave one away"):
        Train(samples=80, steps=5)


def test_the_loss_of_a_step_is_one_mean_over_its_batch_however_it_is_cut(shapes: Built, tmp_path: Path) -> None:
    """Micro-batches have other numbers of tokens, so a mean of their means would be another."""
    whole, cut = (
        open_run(trained(shapes, tmp_path / str(count), steps=2, micro_batches=count)).losses for count in (1, 8)
    )
    for a, b in zip(whole, cut, strict=True):
        assert (a["tokens"], a["samples"]) == (b["tokens"], b["samples"])
        for name in ("loss", "text", "codes", "norm"):
            assert a[name] == pytest.approx(b[name], rel=2e-5)


def test_the_validation_loss_is_the_mean_over_all_held_out_tokens(shapes: Built, tmp_path: Path) -> None:
    run = open_run(trained(shapes, tmp_path, steps=4, validate_every=3, averaging=0.5))
    third, last = read_lines(run.folder.validation)
    assert (third["step"], last["step"]) == (3, 4)
    assert last["loss"] < third["loss"]
    reader = SplitReader(load_manifest(shapes[1] / "shards"), "validation")
    rows = MicroBatch.of(reader.rows(np.arange(len(reader))), run.layout, torch.device("cpu"))
    with torch.no_grad():
        nats = rows.nats_B2(run.load_model(), torch.float32).sum(dim=0).double().numpy()
    counts = rows.counts_B2.sum(axis=0)
    assert last["loss"] == pytest.approx(nats.sum() / counts.sum(), rel=1e-5)
    assert [last["text"], last["codes"]] == pytest.approx(list(nats / counts), rel=1e-5)
    assert last["sources"] == {"shapes": pytest.approx(last["codes"])}


def test_the_scale_of_the_loss_halves_at_each_overflow_and_nothing_is_learned_from_it(
    shapes: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuwen.train.training.loss_scale.FIRST", 2.0**26)
    monkeypatch.setattr("tuwen.train.training.loss_scale.GROWS_AFTER", 8)
    losses = open_run(trained(shapes, tmp_path, steps=24, precision="float16", telemetry=True)).losses
    scale, since = 2.0**26, 0
    for entry in losses:
        overflowed, since = not np.isfinite(entry["norm"]), since + 1
        scale, since = (scale / 2, 0) if overflowed else (scale * 2, 0) if since == 8 else (scale, since)
        assert entry["scale"] == scale
    assert losses[0]["overflows"] == 1 < losses[-1]["overflows"] < len(losses) / 2
    assert losses[-1]["loss"] < losses[0]["loss"] - 0.3
    assert all(0 < entry["largest_residual"] < 100 and 0 < entry["largest_logit"] < 20 for entry in losses)


def test_tensorboard_is_asked_for_by_its_name_where_it_is_missing(
    shapes: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BadInput, match=r"needs a package that is not here; pip install 'tuwen\[tensorboard\]'"):
        trained(shapes, tmp_path, steps=2, tensorboard=True)


def test_a_dropped_caption_is_not_read_and_its_picture_is_and_then_guidance_can_be_asked_for(
    shapes: Built, tmp_path: Path
) -> None:
    plain = open_run(trained(shapes, tmp_path / "plain", steps=3))
    some = open_run(trained(shapes, tmp_path / "some", steps=3, drop_captions=0.4))
    stream = open_stream(load_manifest(shapes[1] / "shards"), ReadPlan(seed=0, batch=16))
    for step, (a, b) in enumerate(zip(plain.losses, some.losses, strict=True)):
        is_dropped = coins("drop captions", 0, range(16 * step, 16 * step + 16), 0.4)
        lengths = np.minimum(stream.next()[2], plain.layout.text_max)
        assert a["tokens"] - b["tokens"] == lengths[is_dropped].sum() > 0
    guided, _ = sample_pictures(some, ["蓝"], count=2, seed=0, guidance=3)
    assert not np.array_equal(guided, sample_pictures(some, ["蓝"], count=2, seed=0)[0])
    with pytest.raises(
        BadInput, match=r"seen no picture without its caption.*train.drop_captions=0.1 in another --out"
    ):
        sample_pictures(plain, ["蓝"], count=1, seed=0, guidance=3)


def test_text_that_weighs_nothing_is_not_learned_and_its_loss_is_logged_as_always(
    shapes: Built, tmp_path: Path
) -> None:
    plain = open_run(trained(shapes, tmp_path / "plain", steps=8)).losses
    codes_only = open_run(trained(shapes, tmp_path / "codes", steps=8, text_weight=0.0)).losses
    assert {**codes_only[0], "norm": 0} == {**plain[0], "norm": 0}
    assert codes_only[-1]["text"] > plain[-1]["text"] + 0.3
    assert codes_only[-1]["codes"] < codes_only[0]["codes"] - 0.3


@pytest.mark.parametrize(("world_size", "micro_batches"), [(1, 1), (1, 4), (2, 2), (4, 1)])
def test_the_positions_of_all_ranks_and_micro_batches_are_those_of_the_step_in_order(
    world_size: int, micro_batches: int
) -> None:
    plans = [
        ReadPlan(seed=0, batch=8, rank=rank, world_size=world_size, micro_batches=micro_batches)
        for rank in range(world_size)
    ]
    positions = [p for plan in plans for number in range(micro_batches) for p in plan.positions(5, number)]
    assert positions == list(range(40, 48))


def test_a_coin_shows_heads_for_its_share_of_positions_and_another_name_or_seed_is_another_coin() -> None:
    first, *others = (coins(*key, range(20_000), 0.1) for key in (("a", 0), ("b", 0), ("a", 1)))
    assert first.mean() == pytest.approx(0.1, abs=0.01)
    for other in others:
        assert (first & other).mean() == pytest.approx(0.01, abs=0.003)
    assert not coins("a", 0, range(100), 0.0).any()


def test_held_out_rows_are_all_read_or_spread_evenly() -> None:
    assert [run.tolist() for run in spread_runs(7, most_rows=8, length=3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [run.tolist() for run in spread_runs(100, most_rows=8, length=3)] == [[0, 1, 2], [50, 51, 52]]


def test_a_stable_schedule_has_the_same_rates_for_any_number_of_steps_until_it_decays() -> None:
    short, long = (OptimizerConfig(num_steps=n, num_warmup_steps=4, schedule="wsd") for n in (50, 500))
    assert [learning_rate(short, step) for step in range(40)] == [learning_rate(long, step) for step in range(40)]
    assert learning_rate(short, 41) < learning_rate(short, 40) == short.peak_learning_rate
    assert learning_rate(short, 50) == 0
