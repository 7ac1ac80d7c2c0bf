"""Who is whose twin, over all pairs that no rule has dropped.

    table = match(pairs, evaluation, recipe.duplicates)     # adds kept, keeper, distance, cluster

Works on columns: the measurements of the whole corpus but the thumbnails lie in memory (about 2 KB a pair); thumbnails
are read only for pictures whose hashes are near. Evaluation pictures take part, are never dropped, and do not come
out. The join runs whatever the policy, since clusters must hold near-twins together even when both are kept.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..manifests.pair import MEASURES, THUMBNAIL_BYTES, VERDICTS
from ..manifests.recipe import Duplicates
from .clean_image import SINGLE_COLOUR_STD
from .keep_best import Twins, keep_best
from .near_images import near_edges
from .part import PartResult

_COLUMNS = [
    "key",
    "source",
    "origin",
    "bytes",
    "image_sha256",
    "pixels_hash",
    "phash64",
    "width",
    "height",
    "std",
    "measures",
    "row",
]

Ints = NDArray[np.int64]


def measured_pairs(folder: Path, measured: list[PartResult]) -> pa.Table:
    """All measured pairs without thumbnails; `measures` and `row` say where a pair's thumbnail is."""
    names = [name for name in MEASURES.names if name != "thumbnail"]
    tables = [
        pa.table(
            {name: pa.array([], MEASURES.field(name).type) for name in names}
            | {"measures": pa.array([], pa.string()), "row": pa.array([], pa.int64())}
        )
    ]
    for result in measured:
        path = folder / result.files[0]["name"]
        table = pq.read_table(path, columns=names)
        table = table.append_column("measures", pa.array([str(path)] * len(table), pa.string()))
        tables.append(table.append_column("row", pa.array(np.arange(len(table), dtype=np.int64))))
    return pa.concat_tables(tables)


def match(pairs: pa.Table, evaluation: pa.Table, rules: Duplicates) -> pa.Table:
    """`pairs` with `reason` empty where alive; returns it with stage, reason and the twin columns of VERDICTS."""
    alive = np.flatnonzero(pairs["reason"].to_numpy() == "")
    candidates = pairs.take(alive).select([*_COLUMNS, "caption"])
    others = evaluation.filter(pc.is_null(evaluation["problem"])).select([*_COLUMNS, "caption_raw"])
    rows = pa.concat_tables([candidates, others.rename_columns(candidates.column_names)]).combine_chunks()
    is_evaluation = np.arange(len(rows)) >= len(alive)
    twins = keep_best(rows, rules, is_evaluation, lambda asked: _near_edges(rows, asked))
    return _with_twins(pairs, alive, rows, twins)


def _near_edges(rows: pa.Table, asked: Ints) -> Ints:
    # Pictures of nearly one colour have hashes of pure noise: they never make edges.
    distinct = asked[rows["std"].to_numpy()[asked] >= SINGLE_COLOUR_STD]
    thumbnails = _Thumbnails(rows)
    edges = near_edges(rows["phash64"].to_numpy()[distinct], lambda chosen: thumbnails.of(distinct[chosen]))
    return np.column_stack([distinct[edges[:, 0]], distinct[edges[:, 1]], edges[:, 2]])


class _Thumbnails:
    """Thumbnails of chosen rows, read from the measures file by file: most pairs are nobody's candidate."""

    def __init__(self, rows: pa.Table) -> None:
        files = rows["measures"].combine_chunks().dictionary_encode()
        self._names = files.dictionary.to_pylist()
        self._file = files.indices.to_numpy()
        self._row = rows["row"].to_numpy()
        self._loaded: dict[int, NDArray[np.uint8]] = {}

    def of(self, rows: Ints) -> NDArray[np.uint8]:
        """(len(rows), 3072)"""
        found = np.empty((len(rows), THUMBNAIL_BYTES), np.uint8)
        files = self._file[rows]
        for file in np.unique(files).tolist():
            here = files == file
            found[here] = self._load(file)[self._row[rows[here]]]
        return found

    def _load(self, file: int) -> NDArray[np.uint8]:
        if file not in self._loaded:
            column = pq.read_table(self._names[file], columns=["thumbnail"])["thumbnail"]
            data = b"".join(thumbnail or bytes(THUMBNAIL_BYTES) for thumbnail in column.to_pylist())
            self._loaded[file] = np.frombuffer(data, np.uint8).reshape(-1, THUMBNAIL_BYTES)
        return self._loaded[file]


def _with_twins(pairs: pa.Table, alive: Ints, rows: pa.Table, twins: Twins) -> pa.Table:
    keys = rows["key"].to_pylist()
    codes = rows["phash64"].to_numpy()
    distance = np.bitwise_count(codes ^ codes[twins.keeper])
    columns: dict[str, list[Any]] = {name: pairs[name].to_pylist() for name in ("stage", "reason")}
    columns |= {"keeper": [None] * len(pairs), "distance": [None] * len(pairs), "cluster": pairs["key"].to_pylist()}
    for place, row in enumerate(alive.tolist()):
        columns["cluster"][row] = keys[twins.cluster[place]]
        if twins.reason[place]:
            columns["stage"][row], columns["reason"][row] = twins.stage[place], twins.reason[place]
            columns["keeper"][row] = keys[twins.keeper[place]]
            columns["distance"][row] = int(distance[place])
    columns["kept"] = [not reason for reason in columns["reason"]]
    pairs = pairs.drop_columns(["stage", "reason"])
    for name, values in columns.items():
        pairs = pairs.append_column(name, pa.array(values, VERDICTS.field(name).type))
    return pairs
