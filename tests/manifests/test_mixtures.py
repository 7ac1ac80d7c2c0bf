"""Mixtures of sources: their shares, the order of each, and which row is read when, asked both ways."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.merge import merge
from tuwen.manifests.order.mixture import Mixture, Phase, parse_phases
from tuwen.manifests.order.order import open_order
from tuwen.manifests.order.order_lookup import keys_at, reads_of_key
from tuwen.manifests.order.shuffle import parse_shuffle

from .synthetic import key_of, make_shards

# --- mixtures ---------------------------------------------------------------------------------------

weights = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


@given(first=weights, start=st.integers(1, 500), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_mixture_is_less_than_one_sample_away_from_its_shares_and_invertible(
    first: list[int], start: int, data: st.DataObject
) -> None:
    second = data.draw(st.lists(st.integers(0, 40), min_size=len(first), max_size=len(first)).filter(any))
    mixture = Mixture([Phase(0, tuple(first)), Phase(start, tuple(second))])
    sources, draws = mixture.at(np.arange(1500))
    for part, shares in ((sources[:start], first), (sources[start:], second)):
        counts = np.array([np.cumsum(part == source) for source in range(len(first))])
        exact = np.outer(shares, np.arange(1, len(part) + 1)) / sum(shares)
        assert np.abs(counts - exact).max() < 1
        cycle = sum(shares) // math.gcd(*shares)
        assert np.abs(counts[:, cycle - 1 :: cycle] - exact[:, cycle - 1 :: cycle]).max(initial=0) < 1e-6
    for source in range(len(first)):
        positions = np.flatnonzero(sources == source)
        assert draws[positions].tolist() == list(range(len(positions)))
        assert mixture.positions(source, draws[positions].tolist()) == positions.tolist()


@pytest.mark.parametrize(
    "phases",
    [
        [],
        [Phase(5, (1, 1))],
        [Phase(0, (1, 1)), Phase(0, (1, 2))],
        [Phase(0, (0, 0))],
        [Phase(0, (-1, 2))],
        [Phase(0, (1, 1)), Phase(9, (1,))],
        [Phase(0, (1, 1_000_000_007))],
    ],
)
def test_weights_that_cannot_be_are_refused(phases: list[Phase]) -> None:
    with pytest.raises(BadInput):
        Mixture(phases)


def test_phases_are_read_from_words() -> None:
    assert parse_phases("3,1", ["100:1,1"]) == [Phase(0, (3, 1)), Phase(100, (1, 1))]
    assert parse_phases(None, []) is None
    with pytest.raises(BadInput, match="--weights 3;1"):
        parse_phases("3;1", [])


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Manifest, Manifest, Manifest]:
    a = make_shards(tmp_path / "a", {"train": 90, "validation": 10}, name="a")
    b = make_shards(tmp_path / "b", {"train": 40, "validation": 10}, name="b")
    return merge([a, b], tmp_path / "mixed", [Phase(0, (3, 1)), Phase(200, (1, 1))]), a, b


def test_a_mixed_source_has_epochs_of_its_own_in_the_order_that_it_has_alone(
    mixed: tuple[Manifest, Manifest, Manifest],
) -> None:
    manifest, a, b = mixed
    keys = keys_at(manifest, open_order(manifest, "train", 0), 0, 400)
    names = np.array([bytes.fromhex(key[:2]).decode() for key in keys])
    assert (names[:200] == "a").sum() == 150
    assert (names[200:] == "a").sum() == 100
    for name, source in (("a", a), ("b", b)):
        own = [key for key in keys if bytes.fromhex(key[:2]).decode() == name]
        assert own == keys_at(source, open_order(source, "train", 0), 0, len(own))
        rows = source.document["splits"]["train"]["samples"]
        for epoch in range(len(own) // rows):
            assert len(set(own[epoch * rows : (epoch + 1) * rows])) == rows


def test_without_weights_a_merged_manifest_reads_every_sample_once_an_epoch(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 90}, name="a")
    b = make_shards(tmp_path / "b", {"train": 40}, name="b")
    merged = merge([a, b], tmp_path / "both")
    assert len(set(keys_at(merged, open_order(merged, "train", 0), 130, 130))) == 130


def test_a_source_with_weight_and_without_a_sample_is_refused_and_one_of_weight_0_is_not_read(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 90, "validation": 10}, name="a")
    b = make_shards(tmp_path / "b", {"train": 40, "validation": 0}, name="b")
    mixed = merge([a, b], tmp_path / "mixed", [Phase(0, (1, 1))])
    with pytest.raises(BadInput, match=r"source 1 .* has no sample in the split `validation`"):
        open_order(mixed, "validation", 0)
    only_a = merge([a, b], tmp_path / "only", [Phase(0, (1, 0))])
    keys = keys_at(only_a, open_order(only_a, "validation", 0), 0, 10, "validation")
    assert set(keys) == {key_of("a", "validation", row) for row in range(10)}


def test_a_mixed_source_of_other_blocks_is_windowed_by_its_own(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 90}, name="a", block_rows=16)
    b = make_shards(tmp_path / "b", {"train": 90}, name="b", block_rows=4)
    mixed = merge([a, b], tmp_path / "mixed", [Phase(0, (1, 1))])
    shuffle = parse_shuffle("window:2")
    keys = keys_at(mixed, open_order(mixed, "train", 0, shuffle), 0, 180)
    for name, source in (("a", a), ("b", b)):
        own = [key for key in keys if bytes.fromhex(key[:2]).decode() == name]
        assert own == keys_at(source, open_order(source, "train", 0, shuffle), 0, 90)


# --- what and when ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["global", "none", "window:4:2"])
def test_what_and_when_are_inverse(mixed: tuple[Manifest, Manifest, Manifest], words: str) -> None:
    for manifest in mixed:
        order = open_order(manifest, "train", 3, parse_shuffle(words))
        keys = keys_at(manifest, order, 20, 5)
        for number, key in enumerate(keys):
            readings = reads_of_key(manifest, order, key, batch=8, epochs=9)
            assert {"position": 20 + number, "step": (20 + number) // 8} in [
                {name: reading[name] for name in ("position", "step")} for reading in readings
            ]
            assert [keys_at(manifest, order, reading["position"], 1) for reading in readings] == [[key]] * 9
    with pytest.raises(BadInput, match="not in the split"):
        reads_of_key(manifest, order, key_of("c", "train", 0), batch=8, epochs=1)


def test_an_order_is_another_for_another_seed_shuffle_manifest_or_mixture(
    mixed: tuple[Manifest, Manifest, Manifest], tmp_path: Path
) -> None:
    manifest, a, b = mixed
    other = merge([a, b], tmp_path / "other", [Phase(0, (2, 1))])
    orders = [
        open_order(manifest, "train", 0), open_order(manifest, "train", 1), open_order(other, "train", 0),
        open_order(a, "train", 0), open_order(a, "validation", 0), open_order(a, "train", 0, parse_shuffle("none")),
        open_order(a, "train", 0, parse_shuffle("window:2")), open_order(a, "train", 0, parse_shuffle("window:4")),
    ]  # fmt: skip
    assert len({order.id for order in orders}) == len(orders)
    assert open_order(a, "train", 0).id == open_order(a, "train", 0).id
    with pytest.raises(BadInput, match="no split"):
        open_order(a, "test", 0)
