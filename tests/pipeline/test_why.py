"""`tuwen why`: a pair is found by what a person has at hand; its verdict has the rule and the evaluation picture."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.find_pairs import MOST_LISTED, find_pairs
from tuwen.pipeline.reasons import Row
from tuwen.pipeline.why import explain_pair

from ..conftest import draw, png, write_recipe
from ..test_flow import Done, tuwen

NAMES = ("2021/red.png", "2021/red-small.png", "2022/red.png", "猫 一.png", "gone.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in two folders, one of them too small, one a picture of the evaluation source, one that is not there."""
    folder = tmp_path_factory.mktemp("why")
    files = {
        "2021/red.png": png(draw("红", "圆", 60)), "2021/red-small.png": png(draw("红", "方块", 60).resize((40, 40))),
        "2022/red.png": png(draw("红", "三角", 60)), "猫 一.png": png(draw("黑", "圆", 60)),
    }  # fmt: skip
    for name, data in files.items():
        (folder / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pictures" / name).write_bytes(data)
    lines = [f"{name}\t第{number}张图片" for number, name in enumerate([*files, "gone.png"])]
    (folder / "pictures" / "captions.tsv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "bench").mkdir()
    (folder / "bench" / "known.png").write_bytes(files["猫 一.png"])
    write_recipe(folder, evaluation="[{name: bench, kind: folder, path: bench}]", images="{min_side: 64}")
    done = tuwen("corpus", "shapes.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Manifest:
    return load_manifest(folder / "runs/shapes/corpus")


def why(folder: Path, what: str, *options: str) -> Done:
    return tuwen("why", "runs/shapes", what, *options, cwd=folder)


def origins(corpus: Manifest, what: str) -> set[str]:
    return {row["origin"] for row in find_pairs(corpus, what).rows}


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("2021/red.png", {"2021/red.png"}),
        ("./2021/red.png", {"2021/red.png"}),
        ("2021\\RED.PNG", {"2021/red.png"}),
        ("red.png", {"2021/red.png", "2022/red.png"}),
        ("red-small.png", {"2021/red-small.png"}),
        ("2021", {"2021/red.png", "2021/red-small.png"}),
        ("small", {"2021/red-small.png"}),
        ("猫 一", {"猫 一.png"}),
        ("gone.png", {"gone.png"}),
        ("never", set()),
    ],
)
def test_a_pair_is_found_by_its_name_or_a_part_of_it_and_what_fits_best_is_meant(
    corpus: Manifest, what: str, found: set[str]
) -> None:
    assert origins(corpus, what) == found


def test_the_path_of_a_picture_on_this_machine_finds_it(folder: Path, corpus: Manifest) -> None:
    assert origins(corpus, str(folder / "pictures" / "2022" / "red.png")) == {"2022/red.png"}


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_first_digits_of_a_key_find_its_pair(corpus: Manifest, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(read_verdicts(corpus, ["key"])["key"].to_pylist()))
    digits = key[: data.draw(st.integers(6, 32))]
    assert [row["key"] for row in find_pairs(corpus, data.draw(st.sampled_from([digits, digits.upper()]))).rows] == [
        key
    ]


def explained(folder: Path, what: str) -> Row:
    rows: list[Row] = json.loads(why(folder, what, "--json").stdout)
    return rows[0]


def test_a_dropped_pair_has_its_rule_with_the_number_the_key_and_what_was_measured(folder: Path) -> None:
    row = explained(folder, "red-small.png")
    assert row["verdict"] == "dropped at picture: too_small"
    assert (row["rule"], row["rule_key"]) == ("shorter side ≥ 64 px", "images.min_side")
    assert row["measured"] == "40 × 40 px"


def test_a_pair_that_an_evaluation_picture_took_away_names_that_picture(folder: Path) -> None:
    row = explained(folder, "猫 一.png")
    assert row["verdict"] == "dropped at evaluation: same_bytes"
    assert (row["evaluation_source"], row["evaluation_origin"]) == ("bench", "known.png")
    assert "evaluation_origin  known.png" in why(folder, "猫 一.png").stdout


def test_several_pairs_that_fit_are_listed_with_their_keys_and_none_is_bad_input(folder: Path) -> None:
    several = why(folder, "red")
    assert several.returncode == 0
    first, *lines = several.stdout.splitlines()
    assert first == "3 pairs fit red:" and len(lines) == 3
    assert {line.split()[0] for line in lines} == {
        row["key"][:12] for row in json.loads(why(folder, "red", "--json").stdout)["pairs"]
    }
    none = why(folder, "never")
    assert (none.returncode, none.stderr) == (
        2,
        "tuwen: never: no such pair in runs/shapes/corpus; give a key, a file name, an address, or a part of one\n",
    )


def test_of_many_pairs_the_first_twenty_are_listed(shapes: tuple[object, Path]) -> None:
    found = find_pairs(load_manifest(shapes[1] / "corpus"), ".png")
    assert (found.count, len(found.rows)) == (72, MOST_LISTED)


def test_a_corpus_without_its_measures_explains_what_is_left(folder: Path, corpus: Manifest) -> None:
    key = find_pairs(corpus, "2022/red.png").rows[0]["key"]
    measures = corpus.folder / "measures"
    measures.rename(corpus.folder / "elsewhere")
    try:
        row = explain_pair(corpus, key)[0]
    finally:
        (corpus.folder / "elsewhere").rename(measures)
    assert row["verdict"] == "kept" and "entropy" not in row
