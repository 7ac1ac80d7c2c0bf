"""Who is whose twin, over all pairs that no rule has dropped.

    table = match(pairs, evaluation, recipe.duplicates)     # key, source, and the columns of the verdict

Works on columns (DECIDING), never on rows as Python objects. Thumbnails are read only for pictures whose hashes are
near. Evaluation pictures take part, are never dropped, and do not come out. The join runs whatever the policy, since
clusters must hold near-twins together even when both are kept.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.pair import MEASURES, THUMBNAIL_BYTES
from ...manifests.recipe_rules import Duplicates
from ..pictures.clean_image import SINGLE_COLOUR_STD
from .keep_best import Twins, keep_best
from .near_images import near_edges

_FEW = pa.dictionary(pa.int32(), pa.string())  # few values, many rows

DECIDING = pa.schema(
    [
        ("key", pa.string()),
        ("source", _FEW),
        *(
            MEASURES.field(name)
            for name in ("origin", "bytes", "image_sha256", "pixels_hash", "phash64", "width", "height", "std")
        ),
        ("measures", _FEW),  # the file that holds its thumbnail, and the row there
        ("row", pa.int64()),
        ("caption", pa.string()),
        ("reason", _FEW),
    ]
)
_ASKED = [name for name in DECIDING.names if name != "reason"]

Ints = NDArray[np.int64]


def match(pairs: pa.Table, evaluation: pa.Table, rules: Duplicates) -> pa.Table:
    """`pairs` with `reason` empty where alive. Returns key, source, kept, stage, reason, keeper, distance, cluster."""
    alive = np.flatnonzero(pc.equal(pairs["reason"], "").to_numpy())
    others = evaluation.filter(pc.is_null(evaluation["problem"]))
    others = others.append_column("caption", others["caption_raw"]).select(_ASKED)
    rows = pa.concat_tables([pairs.select(_ASKED).take(alive), others]).unify_dictionaries().combine_chunks()
    is_evaluation = np.arange(len(rows)) >= len(alive)
    twins = keep_best(rows, rules, is_evaluation, lambda asked: _near_edges(rows, asked))
    return _with_twins(pairs, alive, rows, twins)


def _near_edges(rows: pa.Table, asked: Ints) -> Ints:
    # Pictures of nearly one colour have hashes of pure noise: they never make edges.
    distinct = asked[rows["std"].to_numpy()[asked] >= SINGLE_COLOUR_STD]
    codes = rows["phash64"].to_numpy()[distinct]
    edges = near_edges(codes, lambda chosen: _thumbnails(rows, distinct[chosen]))
    return np.column_stack([distinct[edges[:, 0]], distinct[edges[:, 1]], edges[:, 2]])


def _thumbnails(rows: pa.Table, chosen: Ints) -> NDArray[np.uint8]:
    """(len(chosen), 3072), read from the measures file by file: most pairs are nobody's candidate."""
    measures = rows["measures"].combine_chunks()
    names, file, row = measures.dictionary.to_pylist(), measures.indices.to_numpy(), rows["row"].to_numpy()
    found = np.empty((len(chosen), THUMBNAIL_BYTES), np.uint8)
    files = file[chosen]
    order = np.argsort(files, kind="stable")
    edges = np.flatnonzero(np.diff(files[order], prepend=-1, append=-1))
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        here = order[start:stop]
        column = pq.read_table(names[files[here[0]]], columns=["thumbnail"])["thumbnail"].take(row[chosen[here]])
        found[here] = np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, THUMBNAIL_BYTES)
    return found


def _with_twins(pairs: pa.Table, alive: Ints, rows: pa.Table, twins: Twins) -> pa.Table:
    """What was decided of the living pairs, put back among all of them."""
    mine = slice(0, len(alive))
    dropped = twins.reason[mine] != ""
    keys, codes = rows["key"].combine_chunks(), rows["phash64"].to_numpy()
    place = np.full(len(pairs), -1, np.int64)
    place[alive] = np.arange(len(alive))

    def among_all(values: pa.Array, default: pa.Array) -> pa.Array:
        """`values`, one for each living pair, in the places of all pairs."""
        return pc.if_else(pa.array(place < 0), default, values.take(pa.array(np.maximum(place, 0))))

    keeper = pc.if_else(pa.array(dropped), keys.take(pa.array(twins.keeper[mine])), pa.nulls(len(alive), pa.string()))
    distance = np.bitwise_count(codes[mine] ^ codes[twins.keeper[mine]]).astype(np.int32)
    nothing = {kind: pa.nulls(len(pairs), kind) for kind in (pa.string(), pa.int32())}
    all_keys = pairs["key"].combine_chunks()
    said = {name: pairs[name].cast(pa.string()).combine_chunks() for name in ("stage", "reason")}
    if not len(alive):
        columns = {"stage": said["stage"], "reason": said["reason"], "keeper": nothing[pa.string()],
                   "distance": nothing[pa.int32()], "cluster": all_keys}  # fmt: skip
    else:
        columns = {
            "stage": among_all(pa.array(twins.stage[mine], pa.string()), said["stage"]),
            "reason": among_all(pa.array(twins.reason[mine], pa.string()), said["reason"]),
            "keeper": among_all(keeper, nothing[pa.string()]),
            "distance": among_all(pa.array(distance, mask=~dropped), nothing[pa.int32()]),
            "cluster": among_all(keys.take(pa.array(twins.cluster[mine])), all_keys),
        }
    kept = pc.equal(columns["reason"], "")
    return pa.table({"key": all_keys, "source": pairs["source"], "kept": kept, **columns})
