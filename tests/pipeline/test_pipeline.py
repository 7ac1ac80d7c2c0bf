"""A corpus as a whole: stages that resume, the same bytes for any number of workers, and the page that shows it."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray

from tuwen.manifests.atomic import sole_writer
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.corpus_files.split import split_of
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.part import Part
from tuwen.pipeline.executor.stage import run_stage
from tuwen.pipeline.load_recipe import load_recipe

from ..conftest import COLOURS, write_pictures, write_recipe
from ..stages import build_corpus, write_report


def test_a_caption_that_is_said_too_often_is_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    lines = (tmp_path / "pictures" / "captions.tsv").read_text(encoding="utf-8").splitlines()
    spam = [f"{line.split(chr(9))[0]}\t点击查看大图" if number < 5 else line for number, line in enumerate(lines)]
    (tmp_path / "pictures" / "captions.tsv").write_text("\n".join(spam), encoding="utf-8")
    recipe = load_recipe(str(write_recipe(tmp_path, captions="{preset: none, max_count: 4}")))
    steps = {step["name"]: step for step in build_corpus(recipe, tmp_path / "corpus").document["lineage"]["steps"]}
    assert steps["caption"]["dropped"] == {"caption_seen_too_often": 5}


def tables_of(corpus: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((corpus / "verdicts").iterdir())}


def test_the_decision_table_is_the_same_for_one_two_and_four_workers(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    expected = tables_of(shapes[1] / "corpus")
    for workers in (1, 2, 4):
        corpus = build_corpus(shapes[0], tmp_path / str(workers), workers)
        assert tables_of(tmp_path / str(workers)) == expected
        assert corpus.id == load_manifest(shapes[1] / "corpus").id


def test_another_threshold_decides_without_decoding_again(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    recipe = str(write_recipe(tmp_path))
    build_corpus(load_recipe(recipe), tmp_path / "corpus")
    measures = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus" / "measures").glob("*.parquet")}
    stricter = build_corpus(load_recipe(recipe, ["captions.max_length=10"]), tmp_path / "corpus")
    assert {path: path.stat().st_mtime_ns for path in measures} == measures
    steps = {step["name"]: step["dropped"] for step in stricter.document["lineage"]["steps"]}
    assert steps["caption"] == {"caption_too_long": 48}


def test_a_split_depends_on_the_cluster_alone() -> None:
    names = Counter(split_of(f"{number:032x}", 0.05) for number in range(20_000))
    assert 850 < names["validation"] < 1150
    assert split_of("ab" * 16, 0.0) == "train"
    assert split_of("ab" * 16, 1.0) == "validation"


def test_a_verdict_table_that_was_altered_is_not_read(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    corpus = build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")
    path = tmp_path / "corpus" / corpus.document["files"][0]["name"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckFailed, match="missing or altered"):
        read_verdicts(corpus)
    assert read_verdicts(build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")).num_rows == 72


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    with sole_writer(tmp_path / "corpus"), pytest.raises(BadInput, match="another tuwen is writing there"):
        build_corpus(load_recipe(str(write_recipe(tmp_path))), tmp_path / "corpus")


# Workers cannot import a test module, so what it defines travels by value.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def write_part(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes its text, and a line into a ledger that tells how often it ran."""
    with Path(part.place["ledger"]).open("a") as ledger:
        ledger.write(part.name + "\n")
    if part.identity["text"] == "bad":
        raise BadInput("bad part", cure="none")
    (folder / f"{part.name}.txt").write_text(part.identity["text"])
    return {"length": len(part.identity["text"])}


def parts(ledger: Path, *texts: str) -> list[Part]:
    return [Part(f"p{number}", {"text": text}, {"ledger": str(ledger)}) for number, text in enumerate(texts)]


def test_a_stage_runs_a_part_once_and_again_only_when_its_input_changed(tmp_path: Path) -> None:
    ledger, out = tmp_path / "ledger", tmp_path / "out"
    first = run_stage("t", write_part, parts(ledger, "a", "bb"), {}, out)
    assert [result.summary for result in first] == [{"length": 1}, {"length": 2}]
    assert run_stage("t", write_part, parts(ledger, "a", "bb"), {}, out) == first
    run_stage("t", write_part, parts(ledger, "a", "cc"), {}, out)
    assert Counter(ledger.read_text().split()) == {"p0": 1, "p1": 2}
    run_stage("t", write_part, parts(ledger, "a", "cc"), {"x": 1}, out)
    (out / "p0.txt").write_text("A")  # altered behind its back, at the same size
    run_stage("t", write_part, parts(ledger, "a", "cc"), {"x": 1}, out)
    assert Counter(ledger.read_text().split()) == {"p0": 3, "p1": 3}


def test_a_part_that_is_no_longer_asked_for_is_removed(tmp_path: Path) -> None:
    ledger, out = tmp_path / "ledger", tmp_path / "out"
    run_stage("t", write_part, parts(ledger, "a", "b"), {}, out)
    run_stage("t", write_part, parts(ledger, "a"), {}, out)
    assert sorted(path.name for path in out.glob("*.txt")) == ["p0.txt"]


def test_what_a_part_refuses_comes_out_as_it_was_and_the_others_stay_done(tmp_path: Path) -> None:
    ledger, out = tmp_path / "ledger", tmp_path / "out"
    with pytest.raises(BadInput, match="bad part; none"):
        run_stage("t", write_part, parts(ledger, "a", "bad"), {}, out, workers=1)
    run_stage("t", write_part, parts(ledger, "a", "good"), {}, out)
    assert Counter(ledger.read_text().split())["p0"] == 1
    assert not list(out.glob(".part-*"))


def test_the_report_is_one_page_that_loads_nothing(shapes: tuple[Recipe, Path]) -> None:
    page = write_report(shapes[1]).read_text(encoding="utf-8")
    assert "drawn by the tests" in page
    assert load_manifest(shapes[1] / "corpus").id in page
    assert not [part for part in ('src="http', "<script", "@import", "url(http") if part in page]
    assert all(f"一个{colour}色" in page for colour in list(COLOURS)[:3])
