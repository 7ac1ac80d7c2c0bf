"""A corpus as a whole: the same bytes for any number of workers, another threshold, and the page that shows it."""

from collections import Counter
from pathlib import Path

import pytest

from tuwen.manifests.atomic import sole_writer
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.corpus_files.split import split_of
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
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


def test_the_report_is_one_page_that_loads_nothing(shapes: tuple[Recipe, Path]) -> None:
    page = write_report(shapes[1]).read_text(encoding="utf-8")
    assert "drawn by the tests" in page
    assert load_manifest(shapes[1] / "corpus").id in page
    assert not [part for part in ('src="http', "<script", "@import", "url(http") if part in page]
    assert all(f"一个{colour}色" in page for colour in list(COLOURS)[:3])
