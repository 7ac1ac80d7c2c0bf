"""Loop and sampling: the same batches and the same losses, killed or not."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest
from tuwen.train.painting.choosing import Choice
from tuwen.train.painting.generate_pictures import sample_pictures, sample_prompt
from tuwen.train.painting.nearest import NearestScore, NearestTest, nearest_score, said
from tuwen.train.run.compare import first_difference
from tuwen.train.run.run import open_run
from tuwen.train.run.schedule import OptimizerConfig, learning_rate
from tuwen.train.training.declared_run import layout_of
from tuwen.train.training.loop import train
from tuwen.train.training.optimizer import take_step


@pytest.fixture(scope="module")
def trained(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(shapes[0], load_manifest(shapes[1] / "shards"), TrainFolder(folder))
    return folder


class Killed(Exception):
    pass


def test_a_killed_and_resumed_run_has_the_bits_of_one_that_was_not(
    shapes: tuple[Recipe, Path], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in step 2 (before any checkpoint), 7 and 11: after each the same call continues."""
    shards = load_manifest(shapes[1] / "shards")
    for fatal in (2, 7, 11):

        def dies(*arguments: object, fatal: int = fatal) -> object:
            if arguments[-1] == fatal:
                raise Killed
            return take_step(*arguments)  # type: ignore[arg-type,func-returns-value]

        monkeypatch.setattr("tuwen.train.training.replica.take_step", dies)
        with pytest.raises(Killed):
            train(shapes[0], shards, TrainFolder(tmp_path))
    monkeypatch.undo()
    run = train(shapes[0], shards, TrainFolder(tmp_path), must_resume=True)
    assert len(run.losses) == 12
    assert first_difference(open_run(trained), run) is None
    for (name, a), b in zip(
        open_run(trained).load_model().state_dict().items(), run.load_model().state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert load_manifest(trained).id == load_manifest(tmp_path).id


def test_another_run_in_the_same_folder_is_refused_and_named(shapes: tuple[Recipe, Path], trained: Path) -> None:
    shards = load_manifest(shapes[1] / "shards")
    other = shapes[0].model_copy(update={"train": shapes[0].train.model_copy(update={"seed": 1, "steps": 13})})
    with pytest.raises(BadInput, match=r"whose `settings.seed` is 0 and not 1, `optimizer.num_steps` is 12 "):
        train(other, shards, TrainFolder(trained))
    with pytest.raises(BadInput, match="nothing to resume"):
        train(other, shards, TrainFolder(trained / "empty"), must_resume=True)


def with_train(recipe: Recipe, **changed: object) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=changed)})


@pytest.mark.parametrize("steps", [13, 24, 11])
def test_another_number_of_steps_is_refused_with_the_rate_that_would_be_another(
    shapes: tuple[Recipe, Path], trained: Path, steps: int
) -> None:
    """The refusal is exact: a run of so many steps, trained from the start, has that rate at that step."""
    shards = load_manifest(shapes[1] / "shards")
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    with pytest.raises(BadInput) as refusal:
        train(with_train(shapes[0], steps=steps), shards, TrainFolder(trained))
    said = str(refusal.value)
    assert "holds a run of 12 steps (12 done); its learning rates rise and fall with the number of all steps" in said
    found = re.search(rf"of {steps} steps, step (\d+) would have the rate (\S+) and not (\S+);", said)
    assert found is not None
    step, rates = int(found[1]), [float(found[2]), float(found[3])]
    schedules = [OptimizerConfig(num_steps=n, num_warmup_steps=round(0.04 * n)) for n in (steps, 12)]
    assert rates == pytest.approx([learning_rate(schedule, step) for schedule in schedules], rel=0.01)
    assert rates[0] != rates[1]
    assert all(learning_rate(schedules[0], before) == learning_rate(schedules[1], before) for before in range(step))
    assert said.endswith(f"give --set train.steps=12 to go on with it, or another --out to train for {steps} steps")
    assert {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()} == before


def test_a_run_of_minutes_goes_on_when_its_number_of_steps_is_named_and_not_for_other_minutes(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    timed, shards = with_train(shapes[0], steps=None, minutes=0.005), load_manifest(shapes[1] / "shards")
    run = train(timed, shards, TrainFolder(tmp_path))
    steps = run.document.optimizer.num_steps
    assert train(with_train(timed, steps=steps), shards, TrainFolder(tmp_path)).losses == run.losses
    with pytest.raises(BadInput, match=rf"measured for 0.005 minutes .*--set train.steps={steps} .* for 0.5 minutes"):
        train(with_train(timed, minutes=0.5), shards, TrainFolder(tmp_path))


def test_a_run_of_another_version_is_refused_in_one_line(trained: Path, tmp_path: Path) -> None:
    document = json.loads((trained / "run.json").read_bytes())
    document["compute"] = document.pop("precision")
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=r"of another version of tuwen .`precision` is missing.; use the version that"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CheckFailed, match="not JSON"):
        open_run(tmp_path)


def test_a_finished_run_is_not_trained_again(shapes: tuple[Recipe, Path], trained: Path) -> None:
    before = (trained / "checkpoint.safetensors").read_bytes()
    train(shapes[0], load_manifest(shapes[1] / "shards"), TrainFolder(trained))
    assert (trained / "checkpoint.safetensors").read_bytes() == before


def test_minutes_become_a_number_of_steps_that_is_written_down(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    timed = shapes[0].model_copy(update={"train": shapes[0].train.model_copy(update={"steps": None, "minutes": 0.01})})
    shards = load_manifest(shapes[1] / "shards")
    run = train(timed, shards, TrainFolder(tmp_path))
    assert len(run.losses) == open_run(tmp_path).document.optimizer.num_steps >= 2
    assert train(timed, shards, TrainFolder(tmp_path)).losses == run.losses


def test_training_learns_and_its_manifest_holds(shapes: tuple[Recipe, Path], trained: Path) -> None:
    run = open_run(trained)
    assert run.losses[-1]["loss"] < run.losses[0]["loss"] - 0.5
    assert [entry["step"] for entry in run.losses] == list(range(12))
    manifest = load_manifest(trained, "train")
    assert list(verify_manifest(manifest)) == []
    assert manifest.document["lineage"]["parents"] == [load_manifest(shapes[1] / "shards").id]
    assert run.layout == layout_of(shapes[0], load_manifest(shapes[1] / "shards"))


def test_compare_names_the_first_step_that_differs(trained: Path, tmp_path: Path) -> None:
    run = open_run(trained)
    for path in trained.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / "losses.jsonl").read_text().splitlines()
    entry = json.loads(lines[5])
    entry["loss"] = math.nextafter(entry["loss"], 0)
    (tmp_path / "losses.jsonl").write_text("\n".join([*lines[:5], json.dumps(entry), *lines[6:]]) + "\n")
    assert str(first_difference(run, open_run(tmp_path))).startswith("step 5: loss is")
    (tmp_path / "losses.jsonl").write_text("\n".join(lines[:9]) + "\n")
    assert "12 steps, the other 9" in str(first_difference(run, open_run(tmp_path)))


def test_a_finished_run_that_was_altered_is_not_sealed_anew(
    shapes: tuple[Recipe, Path], trained: Path, tmp_path: Path
) -> None:
    for path in trained.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(trained)).parent.mkdir(exist_ok=True)
            (tmp_path / path.relative_to(trained)).write_bytes(path.read_bytes())
    log = tmp_path / "losses.jsonl"
    log.write_text(log.read_text().replace('"loss": ', '"loss": 1'))
    with pytest.raises(CheckFailed, match=r"losses.jsonl: .* instead of"):
        train(shapes[0], load_manifest(shapes[1] / "shards"), TrainFolder(tmp_path))


def test_a_checkpoint_that_was_cut_short_is_refused(shapes: tuple[Recipe, Path], trained: Path, tmp_path: Path) -> None:
    for path in trained.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "manifest.json").unlink()  # as if killed just then
    (tmp_path / "checkpoint.safetensors").write_bytes((trained / "checkpoint.safetensors").read_bytes()[:5000])
    with pytest.raises(CheckFailed, match="not a whole checkpoint"):
        train(shapes[0], load_manifest(shapes[1] / "shards"), TrainFolder(tmp_path))


def test_sampling_gives_pictures_that_repeat_and_the_best_come_first(trained: Path, tmp_path: Path) -> None:
    run = open_run(trained)
    pictures, scores = sample_pictures(run, ["一个红色的圆", "蓝"], count=3, seed=0)
    assert pictures.shape == (2, 3, 64, 64, 3)
    again, _ = sample_pictures(run, ["蓝"], count=1, seed=0)
    assert np.array_equal(again[0, 0], pictures[1, 0])
    best = sample_prompt(run, "一个红色的圆", tmp_path / "p.png", count=3, best=2, seed=0, choice=Choice("likelihood"))
    assert best == sorted((round(float(score), 4) for score in scores[0]), reverse=True)[:2]
    assert (tmp_path / "p.png").is_file()
    with pytest.raises(BadInput, match="is empty"):
        sample_pictures(run, ["  "], count=1, seed=0)


def test_the_nearest_score_is_one_for_the_real_pictures_and_far_less_for_an_untrained_model(
    shapes: tuple[Recipe, Path], trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that copies the corpus scores 1: what is measured can be reached, and is not given away."""
    recipe, folder = shapes
    corpus, shards = load_manifest(folder / "corpus"), load_manifest(folder / "shards")
    run = open_run(trained)
    reader = SplitReader(shards, "train")
    codes = {reader.meta(row)["caption"]: reader.rows(np.array([row]))[0] for row in range(len(reader))}

    def copies(run: object, prompts: list[str], *more: object, **options: object) -> tuple[np.ndarray, None]:
        return np.stack(
            [open_run(trained).image_codes.decode(codes[prompt].reshape(1, 8, 8)) for prompt in prompts]
        ), None

    honest = nearest_score(run, corpus, recipe.split.validation, "train", 30, seed=0, temperature=0)
    monkeypatch.setattr("tuwen.train.painting.nearest.sample_pictures", copies)
    perfect = nearest_score(run, corpus, recipe.split.validation, "train", 30, seed=0, temperature=0)
    assert perfect["own_in_5"] > 0.9
    assert honest["own_in_5"] < perfect["own_in_5"] / 2
    assert perfect["chance"] == pytest.approx(5 / perfect["pictures"], abs=1e-4)
    assert (perfect["with_skin_tone"], perfect["own_in_5_with_skin_tone"]) == (0, None)
    assert perfect["own_in_5_without_skin_tone"] == perfect["own_in_5"]
    line = f"own picture among the nearest 5: {perfect['own_in_5']:.1%} of 30 captions of train"
    assert said(perfect) == line
    toned: NearestScore = {**perfect, "with_skin_tone": 4, "own_in_5_with_skin_tone": 0.25}
    assert said(toned) == f"{line}, {perfect['own_in_5']:.1%} without skin tone, 25.0% with one"


def test_own_pictures_are_ranked_by_caption_the_very_pair_by_key_and_skin_tones_are_known() -> None:
    """Six grey pictures from dark to light; the sampled ones are those of the first and, nearly, of the fifth."""
    grey = np.repeat(np.arange(0, 240, 40, dtype=np.uint8), 16 * 16 * 3).reshape(6, 16, 16, 3)
    captions, keys = ["医生", "蜜蜂", "蜜蜂", "医生，浅肤色", "火箭", "圆"], list("abcdef")
    real = grey.reshape(6, -1).astype(np.float32)
    test = NearestTest(
        ["蜜蜂", "医生，浅肤色"], ["c", "d"], np.array(captions, dtype=object), np.array(keys, dtype=object), real
    )
    own, strict = test.ranks(np.stack((grey[0], np.full((16, 16, 3), 150, np.uint8))))
    assert own.tolist() == [1, 1]
    assert strict.tolist() == [2, 1]
    assert test.with_skin_tone.tolist() == [False, True]
    assert test.chance == pytest.approx(5 * 1.5 / 6)
