"""What a report counts, samples and draws: exactly, and the same however a corpus is cut into parts."""

import re
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.pipeline.report.axis import Rule
from tuwen.pipeline.report.caption_counts import CaptionCounts
from tuwen.pipeline.report.charts import histogram
from tuwen.pipeline.report.loss_curve import HeldOutEntry, LossEntry, loss_curve
from tuwen.pipeline.report.samples import DROPPED_SHOWN, KEPT_SHOWN, Samples
from tuwen.pipeline.report.tally import Tally

cuts = st.lists(st.integers(0, 60), max_size=5)


def in_parts(table: pa.Table, at: list[int]) -> list[pa.Table]:
    edges = [0, *sorted(min(row, len(table)) for row in at), len(table)]
    return [table.slice(low, high - low) for low, high in pairwise(edges)]


@given(st.lists(st.tuples(st.integers(-50, 5000), st.booleans()), min_size=1, max_size=60), cuts)
@settings(max_examples=60, deadline=None)
def test_a_tally_counts_exactly_however_the_values_are_cut(pairs: list[tuple[int, bool]], at: list[int]) -> None:
    tally = Tally()
    edges = [0, *sorted(min(row, len(pairs)) for row in at), len(pairs)]
    for low, high in pairwise(edges):
        values = np.array([value for value, _ in pairs[low:high]], np.float64)
        tally.add(values, np.array([kept for _, kept in pairs[low:high]], bool))
    values, counts = tally.counted()
    expected = Counter(pairs)
    assert [(value, *row) for value, row in zip(values.tolist(), counts.tolist(), strict=True)] == [
        (value, expected[value, False], expected[value, True]) for value in sorted({value for value, _ in pairs})
    ]
    ordered = sorted(value for value, _ in pairs)
    assert tally.quantile(0.5) == ordered[(len(ordered) - 1) // 2]


STAGE_OF = {
    "": "", "too_small": "picture", "unlike_caption": "pair", "caption_seen_too_often": "caption",
    "same_pixels": "earlier", "near_picture": "near", "more_captions": "choice",
}  # fmt: skip
EARLIER = ("too_small", "unlike_caption")  # given before captions are counted
verdict_rows = st.lists(
    st.tuples(st.sampled_from("甲乙丙丁"), st.sampled_from(list(STAGE_OF))),
    min_size=1,
    max_size=60,
)


def table_of(rows: list[tuple[str, str]]) -> pa.Table:
    generator = np.random.default_rng(len(rows))
    return pa.table({
        "key": [generator.bytes(16).hex() for _ in rows],
        "caption": [caption for caption, _ in rows],
        "reason": [reason for _, reason in rows],
        "stage": [STAGE_OF[reason] for _, reason in rows],
        "kept": [not reason for _, reason in rows],
        "distance": pa.array(generator.integers(0, 5, len(rows)), pa.int32()),
        "part": [0] * len(rows),
    })  # fmt: skip


@given(verdict_rows, cuts)
@settings(max_examples=60, deadline=None)
def test_captions_are_counted_over_the_pairs_that_reach_the_rule(rows: list[tuple[str, str]], at: list[int]) -> None:
    captions = CaptionCounts()
    for part in in_parts(table_of(rows), at):
        captions.add(part)
    expected = Counter(caption for caption, reason in rows if reason not in EARLIER)
    assert {caption: captions.count_of(caption) for caption in "甲乙丙丁"} == {c: expected[c] for c in "甲乙丙丁"}
    assert captions.distinct() == len(expected)
    values, counts = captions.tally().counted()
    by_count: Counter[int] = Counter()
    for count in expected.values():
        by_count[count] += count
    assert dict(zip(values.tolist(), counts.sum(axis=1).tolist(), strict=True)) == by_count


@given(verdict_rows, cuts)
@settings(max_examples=40, deadline=None)
def test_the_sample_is_the_smallest_keys_of_each_reason_however_the_corpus_is_cut(
    rows: list[tuple[str, str]], at: list[int]
) -> None:
    table = table_of(rows)
    samples = Samples()
    for part in in_parts(table, at):
        samples.add(part)
    for reason in STAGE_OF:
        most = DROPPED_SHOWN if reason else KEPT_SHOWN
        expected = sorted(row["key"] for row in table.to_pylist() if row["reason"] == reason)[:most]
        assert [row["key"] for row in samples.of(reason)] == expected


@pytest.mark.parametrize("scale", ["log", "linear", "symmetric"])
@pytest.mark.parametrize("values", [[1], [5, 5, 5], [0.25, 4], [1, 1e9], [3, 200, 201]])
def test_a_histogram_draws_every_pair_of_any_values(scale: Any, values: list[float]) -> None:
    tally = Tally()
    tally.add(np.array(values, np.float64), np.arange(len(values)) % 2 == 0)
    chart = histogram(tally, "title", "px", scale, [Rule(200, "≥ 200")])
    assert chart is not None
    kept, dropped = (
        sum(int(count) for count in re.findall(rf"(\d+) {name}", chart.svg)) for name in ("kept", "dropped")
    )
    assert (kept, dropped) == ((len(values) + 1) // 2, len(values) // 2)
    numbers = [float(number) for number in re.findall(r'(?:x|y|width|height)="([-\d.]+)"', chart.svg)]
    assert all(0 <= number <= 100 for number in numbers)


def test_the_ticks_of_whole_numbers_are_whole() -> None:
    tally = Tally()
    tally.add(np.array([4.0, 5.0, 5.0, 6.0]), np.ones(4, bool))
    chart = histogram(tally, "title", "characters", "linear", [])
    assert chart is not None and [label for _, label in chart.across] == ["4", "5", "6"]


def test_a_histogram_of_nothing_is_none() -> None:
    tally = Tally()
    tally.add(np.array([np.nan]), np.array([True]))
    assert histogram(tally, "title", "px", "log", []) is None


def test_the_loss_curve_survives_losses_that_are_no_numbers() -> None:
    losses = [{"step": step, "codes": value, "text": 2.0} for step, value in enumerate((3.0, float("nan"), 1.0))]
    assert "nan" not in loss_curve(losses, []).svg


def test_losses_on_held_out_pairs_are_dashed_lines_at_their_steps() -> None:
    losses: list[LossEntry] = [{"step": step, "codes": 4.0, "text": 2.0, "samples": 8 * step} for step in range(101)]
    held_out: list[HeldOutEntry] = [
        {"step": 51, "codes": 3.0, "text": 1.0, "sources": {"a": 3.0}},
        {"step": 101, "codes": 2.0, "text": 1.0, "sources": {"a": 2.0}},
    ]
    chart = loss_curve(losses, held_out)
    assert '<polyline points="50.00,25.00 100.00,50.00" class="held-out codes"/>' in chart.svg
    assert chart.words[2] == "held out: codes 2.00, text 1.00"
    assert "held-out" not in loss_curve(losses, []).svg


def test_captions_told_from_pictures_have_a_line_of_their_own_in_steps_that_had_some() -> None:
    losses: list[LossEntry] = [{"step": step, "codes": 4.0, "text": 2.0, "samples": 8 * step} for step in range(3)]
    losses[1]["reverse"] = 1.0
    chart = loss_curve(losses, [])
    assert '<polyline points="50.00,75.00" class="smooth reverse"/>' in chart.svg
    assert (chart.keys[2], chart.words[2]) == ("reverse", "述 captions from pictures 1.00")
    assert "reverse" not in loss_curve(losses[:1], []).keys
