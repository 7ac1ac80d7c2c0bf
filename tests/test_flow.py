"""The whole, as a user runs it: the commands in their own processes, killed, interrupted, and given bad input."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tuwen import __main__ as command_line
from tuwen.manifests.manifest import Manifest, load_manifest

from .conftest import files_of, write_pictures, write_recipe

ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def tuwen(*arguments: str, cwd: Path) -> Done:
    """A command as the console script runs it, in this process: the cluster of the tests is there already."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["tuwen", *arguments])
        try:
            command_line.main()
        except SystemExit as stop:
            return Done(int(stop.code or 0), out.getvalue(), err.getvalue())
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    raise AssertionError("the command line always ends with an exit code")


def in_a_process_of_its_own(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tuwen", *arguments]
    return subprocess.run(command, check=False, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def begin(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Started and left to run, in a session of its own, so that all of it can be killed at once."""
    command = [sys.executable, "-m", "tuwen", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def wait_for(condition: Any, process: subprocess.Popen[str], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    assert condition()


def steps_done(run: Path) -> int:
    """Lines of the loss log, once there is a checkpoint to go on from."""
    log = run / "losses.jsonl"
    return len(log.read_text().splitlines()) if (run / "checkpoint.safetensors").is_file() and log.is_file() else 0


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with pictures and a recipe, taken through all commands once."""
    folder = tmp_path_factory.mktemp("user")
    write_pictures(folder / "pictures")
    recipe = write_recipe(folder).name
    for command in (["corpus"], ["tokenizer", "--only", "text"], ["tokenize"], ["train"]):
        done = tuwen(command[0], recipe, *command[1:], cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_commands_lead_from_pictures_to_a_painting(user: Path) -> None:
    run = user / "runs" / "shapes"
    assert {path.name for path in run.iterdir()} == {"corpus", "tokenizer", "shards", "train", "report.html"}
    for stage in ("corpus", "tokenizer", "shards", "train"):
        assert tuwen("manifest", "verify", f"runs/shapes/{stage}", cwd=user).returncode == 0
    options = ["--prompt", "一个红色的圆", "--count", "4", "--best", "2", "--out", "x.png"]
    painted = tuwen("sample", "runs/shapes", *options, cwd=user)
    assert painted.returncode == 0, painted.stderr
    assert (user / "x.png").stat().st_size > 200


def test_results_go_to_standard_output_as_json_when_asked(user: Path) -> None:
    shown = json.loads(tuwen("manifest", "show", "runs/shapes/shards", "--json", cwd=user).stdout)
    assert shown["kind"] == "shards"
    place = ["--seed", "0", "--position", "7", "--count", "2"]
    keys = json.loads(tuwen("manifest", "what", "runs/shapes/shards", *place, "--json", cwd=user).stdout)
    when = tuwen("manifest", "when", "runs/shapes/shards", keys[1], "--seed", "0", "--batch", "4", "--json", cwd=user)
    assert json.loads(when.stdout) == [{"epoch": 0, "position": 8, "step": 2}]
    pair = json.loads(tuwen("why", "runs/shapes", keys[0], "--json", cwd=user).stdout)[0]
    assert pair["verdict"] == "kept"


def test_what_and_when_take_seed_batch_and_shuffle_from_the_run(user: Path, tmp_path: Path) -> None:
    """The run of the recipe has seed 0, a batch of 16 rows and the global shuffle."""
    stated = ["--seed", "0", "--batch", "16", "--epochs", "2"]
    key = tuwen("manifest", "what", "runs/shapes/shards", "--seed", "0", "--position", "21", cwd=user).stdout.strip()
    expected = tuwen("manifest", "when", "runs/shapes/shards", key, *stated, cwd=user).stdout
    assert expected.startswith("epoch 0  position 21  step 1\n")
    (tmp_path / "copy").symlink_to(user / "runs" / "shapes" / "shards")
    of_run = [["runs/shapes"], ["runs/shapes/train"], ["runs/shapes/shards"],
              [str(tmp_path / "copy"), "--run", "runs/shapes"]]  # fmt: skip
    for shards, *options in of_run:
        assert tuwen("manifest", "what", shards, *options, "--position", "21", cwd=user).stdout.strip() == key
        for digits in (key, key[:9].upper()):
            said = tuwen("manifest", "when", shards, digits, *options, "--epochs", "2", cwd=user)
            assert said.stdout == expected, said.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["when", "COPY", "ab", "--seed", "0"], "no --batch; give --batch, or the run that has read these shards"),
        (["what", "COPY", "--position", "0"], "no --seed; give --seed, or the run"),
        (["what", "COPY", "--position", "0", "--run", "pictures"], "pictures: no training run there"),
        (["when", "runs/shapes", "", "--seed", "0"], "keys of `train` begin so; give more of its digits"),
        (["when", "runs/shapes", "f" * 31], "not in the split `train`"),
    ],
)
def test_what_and_when_say_what_they_need(user: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "copy").symlink_to(user / "runs" / "shapes" / "shards")
    done = tuwen("manifest", *(str(tmp_path / "copy") if each == "COPY" else each for each in arguments), cwd=user)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_vocabulary_that_came_out_smaller_is_said(user: Path) -> None:
    asked = ["shapes.yaml", "--set", "tokenize.text.vocab=300", "--out"]
    made = tuwen("tokenizer", *asked, "small-vocabulary", "--only", "text", cwd=user)
    assert made.returncode == 0
    said = "pieces, not the 300 of `tokenize.text.vocab`: "
    assert f"{said}the captions give no more" in made.stderr
    assert f"{said}its model has no more" in tuwen("tokenize", *asked, "small-shards-300", cwd=user).stderr


def test_verify_fails_on_one_flipped_byte_and_names_the_shard_and_the_block(user: Path) -> None:
    shard = user / "runs" / "shapes" / "shards" / "train-00001.tar"
    whole = shard.read_bytes()
    try:
        shard.write_bytes(whole[:900] + bytes([whole[900] ^ 1]) + whole[901:])
        done = tuwen("manifest", "verify", "runs/shapes/shards", cwd=user)
        assert done.returncode == 1
        assert "train-00001.tar: block 0 is corrupt" in done.stderr
    finally:
        shard.write_bytes(whole)


def test_manifests_are_compared_merged_thinned_and_exported_from_the_command_line(user: Path, tmp_path: Path) -> None:
    shards = "runs/shapes/shards"
    again = tuwen("tokenize", "shapes.yaml", "--set", "tokenize.text.storage=padded", "--out", "padded", cwd=user)
    assert again.returncode == 0, again.stderr
    changes = tuwen("manifest", "diff", shards, "padded", cwd=user)
    assert changes.returncode == 0, changes.stderr
    assert "tokenize.text.storage: ragged → padded" in changes.stdout
    assert "0 added, 0 removed, 0 changed, 72 equal" in changes.stdout
    refused = tuwen("manifest", "merge", shards, "padded", "--out", "merged", cwd=user)
    assert refused.returncode == 2
    assert "text ragged is True and False" in refused.stderr
    less = tuwen("manifest", "quarantine", shards, "train-00001.tar", "--out", "less", "--reason", "spoiled", cwd=user)
    assert less.returncode == 0, less.stderr
    assert "train-00001.tar  16 samples: spoiled" in tuwen("manifest", "show", "less", cwd=user).stdout
    lone = tuwen("manifest", "show", f"{shards}/train-00000.tar", cwd=user)
    assert "blocks of 16 rows" in lone.stdout
    exported = tuwen("manifest", "export", shards, "--layout", "sample", "--out", "exported", cwd=user)
    assert exported.returncode == 0, exported.stderr
    assert "72 samples in 5 tars" in exported.stdout
    place = ["--seed", "0", "--position", "9", "--count", "1", "--shuffle", "window:2"]
    key = tuwen("manifest", "what", shards, *place, cwd=user).stdout.strip()
    when = ["--seed", "0", "--batch", "4", "--shuffle", "window:2"]
    assert "position 9  step 2" in tuwen("manifest", "when", shards, key, *when, cwd=user).stdout
    trained = tuwen(
        "train", "shapes.yaml", "--from", "less", "--set", "train.steps=3", "--out", str(tmp_path), cwd=user
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "run.json").read_text())["shards"] == load_manifest(user / "less").id


def test_a_run_that_was_killed_and_resumed_equals_one_that_was_not(user: Path) -> None:
    options = ["train", "shapes.yaml", "--set", "train.steps=60", "--set", "train.checkpoint_every=5"]
    assert tuwen(*options, "--out", "whole", cwd=user).returncode == 0
    for kill_after in (7, 23):
        process = begin(*options, "--out", "killed", cwd=user)
        wait_for(lambda steps=kill_after: steps_done(user / "killed") >= steps, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert in_a_process_of_its_own(*options, "--out", "killed", "--resume", cwd=user).returncode == 0
    compared = tuwen("compare", "whole", "killed", cwd=user)
    assert compared.returncode == 0, compared.stderr
    assert "equal in all of 60 steps" in compared.stdout
    other = tuwen(*options, "--out", "other", "--set", "train.seed=1", cwd=user)
    assert other.returncode == 0
    compared = tuwen("compare", "whole", "other", cwd=user)
    assert compared.returncode == 1
    assert "step 0: loss is" in compared.stderr


SMALL_SHARDS = ["tokenize", "shapes.yaml", "--set", "tokenize.block_rows=2", "--out"]


@pytest.fixture(scope="module")
def whole(user: Path) -> Manifest:
    """Many small shards that nobody interrupted."""
    done = tuwen(*SMALL_SHARDS, "small-shards", cwd=user)
    assert done.returncode == 0, done.stderr
    return load_manifest(user / "small-shards")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_shards_are_the_same_after_a_kill_in_the_middle(
    user: Path, whole: Manifest, tmp_path: Path, number: signal.Signals
) -> None:
    options = SMALL_SHARDS
    process = begin(*options, str(tmp_path / "killed"), "--workers", "1", cwd=user)
    wait_for(lambda: len(list((tmp_path / "killed").glob("*.tar"))) >= 3, process)
    os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert not (tmp_path / "killed" / "manifest.json").exists()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert said.strip().splitlines()[-1] == "tuwen: interrupted; the same command continues from here"
    done = len(list((tmp_path / "killed" / ".done").glob("*.json")))
    assert 0 < done < len(whole.shards)
    again = tuwen(*options, str(tmp_path / "killed"), cwd=user)
    assert again.returncode == 0, again.stderr
    killed = load_manifest(tmp_path / "killed")
    assert whole.id == killed.id
    assert files_of(whole) == files_of(killed)
    assert not list((tmp_path / "killed").glob(".part-*"))


def test_a_corpus_goes_where_out_says_with_its_page(user: Path) -> None:
    done = tuwen("corpus", "shapes.yaml", "--out", "elsewhere", "--json", cwd=user)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["pairs"] == 72
    assert (user / "elsewhere" / "report.html").is_file()
    assert not (user / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["corpus", "nowhere.yaml"], "nowhere.yaml: no such recipe"),
        (["corpus", "shapes.yaml", "--set", "sources.0.path=nowhere"], "nowhere does not exist"),
        (["corpus", "shapes.yaml", "--set", "images.min_sid=1"], "did you mean `min_side`?"),
        (["tokenize", "shapes.yaml", "--from", "nowhere"], "no manifest there"),
        (["tokenize", "shapes.yaml", "--set", "tokenize.image.tokenizer=vqgan"], "image tokenizer `vqgan`: not found"),
        (["train", "shapes.yaml", "--from", "nowhere"], "no manifest there"),
        (["sample", "runs/shapes/shards", "--prompt", "圆"], "no training run there"),
        (["manifest", "verify", "pictures"], "no manifest there"),
        (["manifest", "show", "nowhere.tar"], "nowhere.tar: no such file"),
        (["manifest", "merge", "runs/shapes/shards", "--out", "x"], "one manifest alone cannot be merged"),
        (["manifest", "quarantine", "runs/shapes/shards", "x.tar", "--out", "x"], "no shard x.tar"),
        (["manifest", "export", "runs/shapes/shards", "--layout", "tar", "--out", "x"], "'tar' is not one of 'sample'"),
        (["manifest", "what", "runs/shapes/shards", "--seed", "0", "--position", "0", "--shuffle", "x"], "--shuffle x"),
        (["manifest", "verify", "gopher://host/shards"], "Protocol not known: gopher"),
        (["train", "shapes.yaml", "--set", "train.shuffle.run=3"], "not filled by runs of 3"),
        (["manifest", "verify", "runs/shapes/shards", "--mode", "some"], "is not one of 'off', 'first', 'block'"),
        (["why", "runs/shapes", "ffffffffffff"], "no such pair"),
        (["corpuss"], "No such command 'corpuss'"),
        (["corpus"], "no recipe; name one, or look at your data with --look PATH"),
        (["sample", "runs/shapes", "--prompt", "圆", "--count", "0"], "greater than or equal to 1"),
        (["corpus", "shapes.yaml", "--set", "duplicates.turned=true"], "has another name now; write `flips`"),
        (["train", "shapes.yaml", "--set", "train.compute=float32"], "has another name now; write `precision`"),
    ],
)
def test_bad_input_is_one_line_with_the_cure_and_exit_code_2(user: Path, arguments: list[str], said: str) -> None:
    done = tuwen(*arguments, cwd=user)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_whole(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the-file")

    monkeypatch.chdir(user)
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(sys, "argv", ["tuwen", "train", "shapes.yaml", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as stop:
        command_line.main()
    assert stop.value.code == 2
    assert "the-file: no space left; free some, then give the same command again" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*.json"))
    monkeypatch.undo()
    again = tuwen("train", "shapes.yaml", "--out", str(tmp_path / "run"), cwd=user)
    assert again.returncode == 0, again.stderr
