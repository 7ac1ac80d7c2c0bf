"""Clusters of duplicates: their sizes, how wide they are, and when to warn of them."""

from itertools import combinations, pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.pipeline.duplicates.cluster_shapes import (
    CODES_COMPARED,
    LARGE,
    ClusterRows,
    ClusterShapes,
    cluster_shapes,
    warning,
)


def key(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}"


def table_of(rows: list[tuple[int, int, int]]) -> pa.Table:
    """Rows of (cluster, picture, code); the codes differ in their lowest bits, which floats do not tell apart."""
    return pa.table({
        "key": [key(1000 + number) for number in range(len(rows))],
        "cluster": [key(cluster) for cluster, _, _ in rows],
        "pixels_hash": [key(picture) for _, picture, _ in rows],
        "phash64": pa.array([2**63 + code for _, _, code in rows], pa.uint64()),
    })  # fmt: skip


def one_by_one(table: pa.Table) -> dict[str, tuple[int, int, int, tuple[str, ...]]]:
    """Cluster → pictures, pairs, diameter, samples: the definition, in loops."""
    found = {}
    rows = table.to_pylist()
    for cluster in {row["cluster"] for row in rows}:
        mine = sorted((row for row in rows if row["cluster"] == cluster), key=lambda row: row["key"])
        first = {row["pixels_hash"]: row["key"] for row in reversed(mine)}
        distances = [(a["phash64"] ^ b["phash64"]).bit_count() for a, b in combinations(mine, 2)]
        if len(first) > 1:
            found[cluster] = len(first), len(mine), max(distances), tuple(sorted(first.values())[:6])
    return found


rows = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20), st.integers(0, 255)), max_size=60)


@given(rows, st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=150, deadline=None)
def test_shapes_are_what_the_definition_says_however_the_table_is_cut(
    rows: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    table, expected = table_of(rows), one_by_one(table_of(rows))
    parts = ClusterRows()
    for low, high in pairwise([0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]):
        parts.add(table.slice(low, high - low))
    shapes = parts.shapes()
    assert shapes == cluster_shapes(table)
    assert {each.key: (each.pictures, each.pairs, each.diameter, each.samples) for each in shapes.largest} == expected
    assert [each.key for each in shapes.largest] == sorted(expected, key=lambda name: (-expected[name][0], name))
    assert sum(each.clusters for each in shapes.sizes) == shapes.clusters == len(expected)
    assert sum(each.pictures for each in shapes.sizes) == sum(pictures for pictures, _, _, _ in expected.values())
    assert max(each.diameter for each in shapes.sizes) == max(
        (width for _, _, width, _ in expected.values()), default=0
    )


def of_sizes(sizes: list[int]) -> ClusterShapes:
    """A cluster of each size, all its pictures and codes different."""
    return cluster_shapes(
        table_of([(number, picture, picture) for number, size in enumerate(sizes) for picture in range(size)])
    )


def test_clusters_are_counted_by_size() -> None:
    shapes = of_sizes([1, 2, 2, 3, 4, 5, 6, 10, 11, 100, 101, 1000, 1001])
    counted = {each.sizes: each.clusters for each in shapes.sizes}
    assert counted == {"2": 2, "3": 1, "4–5": 2, "6–10": 2, "11–100": 2, "101–1,000": 2, "> 1,000": 1}
    assert [each.pictures for each in shapes.largest[:3]] == [1001, 1000, 101]


def test_copies_of_one_picture_are_no_cluster() -> None:
    assert cluster_shapes(table_of([(1, 5, 0), (1, 5, 0), (2, 6, 0)])).clusters == 0


def test_pairs_without_a_picture_or_a_cluster_are_passed_over() -> None:
    table = table_of([(1, 1, 0), (1, 2, 3), (1, 3, 0), (1, 4, 0)])
    for name, row in (("pixels_hash", 2), ("cluster", 3)):
        column = pa.array([None if index == row else value for index, value in enumerate(table[name].to_pylist())])
        table = table.set_column(table.schema.get_field_index(name), name, column)
    (only,) = cluster_shapes(table).largest
    assert (only.pictures, only.pairs, only.diameter) == (2, 2, 2)
    assert cluster_shapes(table.slice(0, 0)).largest == ()


def test_of_more_codes_than_are_compared_the_diameter_is_said_to_be_a_lower_bound() -> None:
    exact, bound = (of_sizes([size]).largest[0] for size in (CODES_COMPARED, CODES_COMPARED + 1))
    assert exact.is_exact and exact.diameter == 11  # 0 … 1,999
    assert not bound.is_exact and bound.diameter == 11


def test_clusters_above_a_thousand_pictures_are_warned_of_with_the_cure() -> None:
    assert warning(of_sizes([LARGE, 2])) is None
    line = warning(of_sizes([LARGE + 1, 2]))
    assert line is not None and "\n" not in line
    smallest = min(key(1000 + number) for number in range(LARGE + 1))
    for words in (
        "1 cluster of duplicates has more than 1,000",
        "1,001",
        "10 of 64 bits",
        smallest,
        "duplicates.radius",
    ):
        assert words in line
    assert "2 clusters of duplicates have" in str(warning(of_sizes([LARGE + 1, LARGE + 5])))
