"""A score is one row: it is computed and judged by, `why` and `--explain` name it, and the report draws it."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.part import Part
from tuwen.pipeline.executor.stage import Stage
from tuwen.pipeline.explain import explained
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.scores.scores import SCORES, Score
from tuwen.pipeline.why import explain_pair

from ...conftest import draw, png, write_pictures, write_recipe
from ...stages import build_corpus, write_report

# Workers cannot import a test module, so what it defines travels by value.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

COLUMN = pa.field("squareness", pa.float32())


def squareness(part: Part[None], config: None, folder: Path) -> dict[str, int]:
    """The shorter side of each picture by its longer one."""
    table = pq.read_table(part.input_path("measures"), columns=["width", "height"])
    values = [min(row["width"], row["height"]) / max(row["width"], row["height"]) for row in table.to_pylist()]
    pq.write_table(pa.table({COLUMN.name: pa.array(values, COLUMN.type)}), folder / f"{part.name}.parquet")
    return {"pairs": len(values)}


def row_of(is_after_rules: bool, checked: list[Recipe], reasons: tuple[str, str] | None = None) -> Score:
    return Score(
        "squareness",
        COLUMN,
        is_asked=lambda recipe: True,
        check=checked.append,
        stage=Stage("squareness", squareness, libraries=("pyarrow",)),
        is_after_rules=is_after_rules,
        title="方 · squareness",
        limits=lambda recipe: (0.9, None),
        reasons=reasons,
    )


@pytest.mark.parametrize("is_after_rules", [False, True])
def test_a_score_is_added_by_its_row(is_after_rules: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Recipe] = []
    row = row_of(is_after_rules, checked)
    monkeypatch.setitem(SCORES, row.name, row)
    write_pictures(tmp_path / "pictures")
    recipe = load_recipe(str(write_recipe(tmp_path)))
    corpus = build_corpus(recipe, tmp_path / "run" / "corpus")

    assert checked == [recipe], "asked for once, before anything runs"
    assert "squareness" in explained(recipe)["measured"]
    key = read_verdicts(corpus)["key"][0].as_py()
    assert explain_pair(corpus, key)[0]["squareness"] == 1.0
    page = write_report(tmp_path / "run").read_text("utf-8")
    assert "方 · squareness" in page and "≥ 0.9" in page


@pytest.mark.parametrize("is_after_rules", [False, True])
def test_a_score_with_reasons_drops_the_pairs_outside_of_its_limits(
    is_after_rules: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(is_after_rules, [], reasons=("not_square", ""))
    monkeypatch.setitem(SCORES, row.name, row)
    write_pictures(tmp_path / "pictures")
    wide, wide_without_han = draw("红", "圆", 60).resize((160, 96)), draw("蓝", "圆", 60).resize((160, 96))
    for name, picture, caption in (("wide", wide, "一个红色的圆"), ("latin", wide_without_han, "a circle")):
        (tmp_path / "pictures" / f"{name}.png").write_bytes(png(picture))
        (tmp_path / "pictures" / f"{name}.txt").write_text(caption, encoding="utf-8")
    recipe = load_recipe(str(write_recipe(tmp_path, captions="{min_han_share: 0.5}")))
    corpus = build_corpus(recipe, tmp_path / "run" / "corpus")
    dropped = {row["origin"]: (row["stage"], row["reason"]) for row in read_verdicts(corpus).to_pylist()}
    assert dropped["wide.png"] == ("pair", "not_square")
    assert dropped["latin.png"] == ("caption", "too_little_han"), "a rule that speaks before names the reason"
    steps = {step["name"]: step for step in corpus.document["lineage"]["steps"]}
    assert steps["pair"]["dropped"] == {"not_square": 1}
