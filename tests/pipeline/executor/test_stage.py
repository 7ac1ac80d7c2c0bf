"""A stage: parts run once, again only when something that they depend on changed, and say why."""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, TypedDict

import pytest
import ray

from tuwen.manifests.canonical import sha256_of_file
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.pipeline.executor import finished_parts as finished_parts_module
from tuwen.pipeline.executor import stage as stage_module
from tuwen.pipeline.executor.fingerprint import MadeBy
from tuwen.pipeline.executor.meter import PartMeter
from tuwen.pipeline.executor.part import InputFile, Part, PartResult
from tuwen.pipeline.executor.stage import Stage, StageRun, run_stage

# Workers cannot import a test module, so what it defines travels by value.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Config(TypedDict):
    ledger: str  # not hashed
    suffix: str


def write_part(part: Part[str], config: Config, folder: Path) -> dict[str, int]:
    """Writes its text, and a line into a ledger that tells how often it ran."""
    with Path(config["ledger"]).open("a") as ledger:
        ledger.write(part.name + "\n")
    if part.spec == "bad":
        raise BadInput("bad part", cure="none")
    (folder / f"{part.name}.txt").write_text(part.spec + config["suffix"])
    return {"pairs": len(part.spec)}


WRITE = Stage("write", write_part, libraries=("numpy",), unhashed=("ledger",))


class Runs:
    """A folder, and how often each part ran in it."""

    def __init__(self, folder: Path) -> None:
        self.out, self.ledger = folder / "out", folder / "ledger"

    def run(
        self,
        *texts: str,
        suffix: str = "",
        stage: Stage[str, Config, Any] = WRITE,
        keep: bool = False,
        recheck: bool = False,
    ) -> list[PartResult[Any]]:
        parts = [Part(f"p{number}", text) for number, text in enumerate(texts)]
        config = Config(ledger=str(self.ledger), suffix=suffix)
        return run_stage(stage, parts, config, self.out, StageRun(workers=1, keep_measures=keep, recheck=recheck))

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.ledger.read_text().split())


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def made_by(code: str, numpy: str = "2.4") -> MadeBy:
    return MadeBy({"pipeline/pictures/decode.py": code}, {"numpy": numpy})


def test_a_stage_runs_a_part_once_and_again_only_when_its_input_or_its_settings_changed(runs: Runs) -> None:
    first = runs.run("a", "bb")
    assert [result.summary for result in first] == [{"pairs": 1}, {"pairs": 2}]
    assert runs.run("a", "bb") == first
    runs.run("a", "cc")
    assert runs.counts == {"p0": 1, "p1": 2}
    runs.run("a", "cc", suffix="x")
    assert runs.counts == {"p0": 2, "p1": 3}


def test_a_file_that_was_altered_at_the_same_size_is_made_again(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run("a", "b")
    (runs.out / "p0.txt").write_text("A")
    runs.run("a", "b")
    assert runs.counts == {"p0": 2, "p1": 1}
    assert "write: runs again for 1 of 2 parts (1 pair), since these changed: files that" in capsys.readouterr().err


def flip_unseen(path: Path) -> None:
    """Other bytes of the same size, as of the same time."""
    before = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_files_of_finished_parts_are_hashed_only_where_their_time_has_changed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.run("a", "b")
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of_file(path)

    monkeypatch.setattr(finished_parts_module, "sha256_of_file", counted)
    runs.run("a", "b")
    assert hashed == []
    os.utime(runs.out / "p0.txt")  # as in a folder that was copied
    runs.run("a", "b")
    runs.run("a", "b")
    assert hashed == ["p0.txt"]  # its new time is known now
    runs.run("a", "b", recheck=True)
    assert hashed == ["p0.txt", "p0.txt", "p1.txt"]
    assert runs.counts == {"p0": 1, "p1": 1}


def test_bytes_that_changed_unseen_are_found_by_recheck(runs: Runs) -> None:
    runs.run("a", "b")
    flip_unseen(runs.out / "p0.txt")
    runs.run("a", "b")
    assert runs.counts == {"p0": 1, "p1": 1}
    runs.run("a", "b", recheck=True)
    assert runs.counts == {"p0": 2, "p1": 1}
    assert (runs.out / "p0.txt").read_text() == "a"


def test_bytes_that_changed_unseen_are_found_by_the_stage_that_reads_them(runs: Runs, tmp_path: Path) -> None:
    (result,) = runs.run("a")
    flip_unseen(runs.out / "p0.txt")
    reading = [Part("p0", "text").with_inputs(text=result.file(runs.out))]
    config = Config(ledger=str(tmp_path / "other"), suffix="")
    with pytest.raises(CheckFailed, match=r"p0.txt: was altered since it was made; give .* --recheck"):
        run_stage(WRITE, reading, config, tmp_path / "read", StageRun(workers=1))
    assert not (tmp_path / "other").exists()


def test_a_file_that_is_gone_is_made_again(runs: Runs) -> None:
    runs.run("a", "b")
    (runs.out / "p1.txt").unlink()
    runs.run("a", "b")
    assert runs.counts == {"p0": 1, "p1": 2}


def test_a_setting_that_is_not_hashed_runs_nothing_again(runs: Runs, tmp_path: Path) -> None:
    runs.run("a")
    runs.ledger = tmp_path / "another"
    runs.run("a")
    assert not runs.ledger.exists()


def test_an_input_file_counts_by_its_content_and_not_by_where_it_lies(tmp_path: Path) -> None:
    def run(path: str, sha256: str) -> None:
        part = Part("p0", "text", {"measures": InputFile(path, sha256)})
        run_stage(WRITE, [part], Config(ledger=str(tmp_path / "ledger"), suffix=""), tmp_path / "out", StageRun())

    run("/a/p.parquet", "sha256:1")
    run("/b/p.parquet", "sha256:1")
    assert (tmp_path / "ledger").read_text().split() == ["p0"]
    run("/b/p.parquet", "sha256:2")
    assert (tmp_path / "ledger").read_text().split() == ["p0", "p0"]


def test_a_part_that_is_no_longer_asked_for_is_removed(runs: Runs) -> None:
    runs.run("a", "b")
    runs.run("a")
    assert sorted(path.name for path in runs.out.glob("*.txt")) == ["p0.txt"]


def test_what_a_part_refuses_comes_out_as_it_was_and_the_others_stay_done(runs: Runs) -> None:
    with pytest.raises(BadInput, match="bad part; none"):
        runs.run("a", "bad")
    runs.run("a", "good")
    assert runs.counts["p0"] == 1
    assert not list(runs.out.glob(".part-*"))


def wait_or_write(part: Part[str], config: Config, folder: Path) -> dict[str, int]:
    """Writes its text; "slow" does so as soon as a file `go` lies beside the ledger."""
    go = Path(config["ledger"]).with_name("go")
    for _ in range(600 if part.spec == "slow" else 0):
        if go.exists():
            break
        time.sleep(0.05)
    return write_part(part, config, folder)


class RefusingMeter(PartMeter):
    def finished(self, result: PartResult[Any]) -> None:
        raise CheckFailed("too much was lost", cure="none")


def test_parts_that_are_at_work_are_ended_before_what_stopped_the_stage_comes_out(runs: Runs) -> None:
    """Else they would write their markers into the next run, which begins while the error is still held."""
    stage = Stage("wait", wait_or_write, libraries=("numpy",), unhashed=("ledger",))
    parts = [Part("p0", "slow"), Part("p1", "fast")]
    config = Config(ledger=str(runs.ledger), suffix="")
    with pytest.raises(CheckFailed) as held:
        run_stage(stage, parts, config, runs.out, StageRun(workers=2, cpus=0.5), meter=RefusingMeter(2))
    runs.ledger.with_name("go").touch()
    time.sleep(1)
    assert held.value.cure == "none"
    assert runs.counts == {"p1": 1}


def test_code_and_libraries_that_changed_are_named_with_the_parts_and_pairs_that_run_again(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage_module, "made_by", lambda *_: made_by("old", "2.3"))
    runs.run("abc", "defgh")
    monkeypatch.setattr(stage_module, "made_by", lambda *_: made_by("new"))
    capsys.readouterr()
    runs.run("abc", "defgh")
    assert capsys.readouterr().err.splitlines()[0] == (
        "write: runs again for 2 of 2 parts (8 pairs), since these changed: pipeline/pictures/decode.py, "
        "numpy 2.3 → 2.4"
    )


def test_a_first_run_says_nothing(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run("a")
    assert capsys.readouterr().err == ""


def test_what_another_version_made_is_kept_where_it_is_asked_for_and_recorded(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readable = Stage("write", write_part, (), unhashed=("ledger",), is_readable=lambda path: path.name != "p1.txt")
    monkeypatch.setattr(stage_module, "made_by", lambda *_: made_by("old"))
    old = made_by("old").sha256
    runs.run("a", "b", stage=readable)
    monkeypatch.setattr(stage_module, "made_by", lambda *_: made_by("new"))
    results = runs.run("a", "b", stage=readable, keep=True)
    assert runs.counts == {"p0": 1, "p1": 2}, "p1 cannot be read as this version's"
    assert [result.kept_from for result in results] == [old, None]
    assert "--keep-measures" not in capsys.readouterr().err
    runs.run("a", "b", stage=readable)
    assert runs.counts == {"p0": 2, "p1": 2}
    assert "--keep-measures accepts what is there" in capsys.readouterr().err


def test_kept_parts_run_again_when_their_input_or_their_settings_changed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    readable = Stage("write", write_part, (), unhashed=("ledger",), is_readable=lambda path: True)
    monkeypatch.setattr(stage_module, "made_by", lambda *_: made_by("old"))
    runs.run("a", "b", stage=readable)
    monkeypatch.setattr(stage_module, "made_by", lambda *_: made_by("new"))
    runs.run("a", "c", stage=readable, keep=True)
    assert runs.counts == {"p0": 1, "p1": 2}


def test_a_marker_of_an_older_format_runs_the_part_again_and_says_so(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.run("a")
    old = {"fingerprint": "sha256:0", "files": [], "summary": {"pairs": 1}}
    (runs.out / ".done" / "p0.json").write_text(json.dumps(old))
    runs.run("a")
    assert runs.counts == {"p0": 2}
    assert "1 of 1 part (1 pair), since these changed: the version of tuwen\n" in capsys.readouterr().err
