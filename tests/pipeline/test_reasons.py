"""A reason is one row: a rule that gives a new word needs nothing else to be counted, titled, explained and shown."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.sources import CorpusSource
from tuwen.pipeline import reasons
from tuwen.pipeline.reason_tables import readme_tables, with_tables
from tuwen.pipeline.reasons import (
    REASONS,
    STAGES,
    Reason,
    fetch_reasons,
    measured_of,
    rule_of,
    title_of,
)

from ..stages import write_report
from .report.test_report import corpus_of_rows

README = Path(reasons.__file__).parent / "README.md"
RECIPE = Recipe(name="t", sources=[CorpusSource(name="s", kind="corpus", path="p")])


def test_the_tables_in_the_readme_are_those_that_are_written() -> None:
    text = README.read_text("utf-8")
    assert with_tables(text) == text, "run `python -m tuwen.pipeline.reason_tables`"


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.name)
def test_every_reason_stands_in_the_funnel_with_a_title_in_both_languages(reason: Reason) -> None:
    assert reason.stages and set(reason.stages) <= set(STAGES)
    chinese, english = reason.title.split(" · ")
    assert chinese and english and reason.when
    rule_of(reason.name, RECIPE)  # raises nothing, whatever the recipe leaves open


def test_a_status_is_named_and_an_unknown_reason_names_itself() -> None:
    assert title_of("http_503") == "服务器答复 503 · the server answered 503"
    assert title_of("never_heard_of") == "never_heard_of"


def test_a_measure_that_is_missing_is_left_out() -> None:
    assert measured_of({"reason": "too_small", "width": 128, "height": 64}) == "128 × 64 px"
    assert measured_of({"reason": "too_small", "width": None, "height": None}) == ""
    assert measured_of({"reason": "unsafe"}) == ""


def test_a_reason_is_added_by_its_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reason = Reason(
        "too_red",
        ("fetch", "picture"),
        "太红 · too red",
        "the redness is above `images.max_red`",
        rule=lambda rules: f"redness ≤ {rules.images.min_side}",
        measured=lambda row: f"redness {row['width'] / row['height']:.1f}",
    )
    monkeypatch.setitem(REASONS, reason.name, reason)
    assert title_of("too_red") == "太红 · too red"
    assert rule_of("too_red", RECIPE) == "redness ≤ 32"
    assert measured_of({"reason": "too_red", "width": 70, "height": 10}) == "redness 7.0"
    assert "too_red" in fetch_reasons()
    assert "| picture | `too_red` | the redness is above `images.max_red` |" in readme_tables()
    dropped = {"kept": False, "stage": "picture", "reason": "too_red", "caption": "红", "width": 70, "height": 10}
    corpus_of_rows(tmp_path / "corpus", [dropped, {"caption": "好"}])
    (tmp_path / "corpus" / "measures").mkdir()
    thumbnails = pa.table({"key": [f"{0:032x}", f"{1:032x}"], "thumbnail": [bytes(32 * 32 * 3)] * 2})
    pq.write_table(thumbnails, tmp_path / "corpus" / "measures" / "p.parquet")
    page = write_report(tmp_path).read_text("utf-8")
    for words in ("太红 · too red", "rule: redness ≤ 32", "redness 7.0"):
        assert words in page
