"""Who is whose twin, over all pairs that no rule has dropped, and over the pictures that are known elsewhere.

    table = match(pairs, known, vectors, recipe.duplicates, out / ".work/near")     # a row a pair

Works on columns (`deciding`), never on rows as Python objects. Signatures are read only for pictures whose hashes are
near. Known pictures, of evaluation sets and of earlier corpora, take part and do not come out. The join runs whatever
the policy, since clusters must hold near twins together even when both are kept.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...manifests.pair import MEASURES
from ...manifests.recipe.rules import Duplicates
from ..pictures.picture_rules import SINGLE_COLOUR_STD
from .keep_best import HERE, Twins, keep_best
from .key_bytes import key_column
from .leader_pass import NearDuplicates
from .near_pictures import Pictures, near_pictures
from .signature_file import signature_file

_FEW = pa.dictionary(pa.int32(), pa.string())  # few values, many rows

_MEASURED = ("origin", "bytes", "image_sha256", "pixels_hash", "phash64", "width", "height", "std")
_SAID = [("caption", pa.string()), ("similarity", pa.float32())]
_KNOWN = [("standing", pa.int8()), ("corpus", pa.int16()), ("earlier_cluster", pa.string())]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Vectors:
    """Embeddings of length 1 of some rows, pairs first and known pictures behind them, and those that are alike."""

    rows: Ints  # sorted
    values: Floats  # (len(rows), d)
    alike: Ints  # (n, 2) of rows


def deciding(rules: Duplicates) -> pa.Schema:
    """What decisions are made of; `measures` and `row` say where a picture's signature is."""
    turned = [MEASURES.field("phash64_flips")] if rules.flips else []
    columns = [("key", pa.string()), ("source", _FEW), *(MEASURES.field(name) for name in _MEASURED), *turned]
    return pa.schema([*columns, ("measures", _FEW), ("row", pa.int64()), *_SAID])


def known_schema(rules: Duplicates) -> pa.Schema:
    """Of pictures known elsewhere: how they stand (`keep_best`), the number of their corpus, their cluster there."""
    return pa.schema([*deciding(rules), *_KNOWN])


def match(pairs: pa.Table, known: pa.Table, vectors: Vectors | None, rules: Duplicates, folder: Path) -> pa.Table:
    """`pairs` by `deciding`, with `stage` and `reason`, empty where alive; `known` by `known_schema`.

    Returns of every pair key, source, kept, stage, reason, keeper, distance, difference, cosine, picture, cluster, and
    `keeper_row`: the keeper's row, counted through `pairs` and on through `known`.
    """
    alive = np.flatnonzero(pc.equal(pairs["reason"], "").to_numpy())
    mine = pairs.select(deciding(rules).names).take(alive)
    constants = {"standing": HERE, "corpus": 0, "earlier_cluster": None}
    for field in pa.schema(_KNOWN):
        mine = mine.append_column(field, pa.repeat(pa.scalar(constants[field.name], field.type), len(mine)))
    rows = pa.concat_tables([mine, known]).unify_dictionaries().combine_chunks()
    place = np.concatenate([alive, len(pairs) + np.arange(len(known))])  # of each row its number outside

    def near_of(asked: Ints, rank: Ints, protected: NDArray[np.bool_]) -> NearDuplicates:
        return _near_duplicates(rows, asked, rank, protected, _among(vectors, place[asked]), rules, folder)

    twins = keep_best(rows, rules, rows["standing"].to_numpy(), near_of)
    return _with_twins(pairs, alive, rows, place, twins, vectors, rules)


def _among(vectors: Vectors | None, asked: Ints) -> Ints:
    """The alike pairs that both are among `asked` (sorted), as places there."""
    if vectors is None or not len(asked):
        return np.empty((0, 2), np.int64)
    places = np.minimum(np.searchsorted(asked, vectors.alike), len(asked) - 1)
    both: Ints = places[(asked[places] == vectors.alike).all(axis=1)]
    return both


def _near_duplicates(
    rows: pa.Table, asked: Ints, rank: Ints, protected: NDArray[np.bool_], alike: Ints, rules: Duplicates, folder: Path
) -> NearDuplicates:
    """As places among `asked`. Pictures of nearly one colour have hashes of pure noise: they never make edges."""
    lively = np.flatnonzero(rows["std"].to_numpy()[asked] >= SINGLE_COLOUR_STD)
    chosen = asked[lively]
    measures, row = rows["measures"].combine_chunks(), rows["row"].to_numpy()
    place = np.full(len(asked), -1, np.int64)
    place[lively] = np.arange(len(lively))
    alike = place[alike]
    pictures = Pictures(
        codes=_picture_codes(rows, chosen, rules),
        rank=np.argsort(np.argsort(rank[lively])),
        protected=protected[lively],
        certain=alike[(alike >= 0).all(axis=1)],
        signatures=lambda some: signature_file(measures.take(pa.array(chosen[some])), row[chosen[some]], folder),
    )
    found = near_pictures(pictures, rules.radius)
    leader, difference = np.arange(len(asked)), np.zeros(len(asked), np.float32)
    leader[lively], difference[lively] = lively[found.leader], found.difference
    return NearDuplicates(leader, difference, lively[found.ties])


def _picture_codes(rows: pa.Table, chosen: Ints, rules: Duplicates) -> NDArray[np.uint64]:
    """(n, 1), or (n, 8) where pictures that are turned count as near."""
    codes: NDArray[np.uint64] = rows["phash64"].to_numpy()[chosen, None]
    if not rules.flips:
        return codes
    turned = rows["phash64_flips"].combine_chunks().take(pa.array(chosen)).flatten().to_numpy()
    return np.concatenate([codes, turned.reshape(-1, MEASURES.field("phash64_flips").type.list_size)], axis=1)


def _with_twins(
    pairs: pa.Table, alive: Ints, rows: pa.Table, place: Ints, twins: Twins, vectors: Vectors | None, rules: Duplicates
) -> pa.Table:
    """What was decided of the living pairs, put back among all of them."""
    decided = _decided(len(alive), rows, place, twins, vectors, rules)
    all_keys = pairs["key"].combine_chunks()
    default = {name: pairs[name].cast(pa.string()).combine_chunks() for name in ("stage", "reason")}
    default["cluster"] = all_keys
    where = np.full(len(pairs), -1, np.int64)
    where[alive] = np.arange(len(alive))
    among_all = {name: _spread(column, where, default.get(name)) for name, column in decided.items()}
    kept = pc.equal(among_all["reason"], "")
    return pa.table({"key": all_keys, "source": pairs["source"], "kept": kept, **among_all})


def _decided(
    count: int, rows: pa.Table, place: Ints, twins: Twins, vectors: Vectors | None, rules: Duplicates
) -> dict[str, pa.Array]:
    """The columns of the first `count` rows: those of the living pairs."""
    itself, keeper, shown = np.arange(count), twins.keeper[:count], twins.picture[:count]
    twin = np.where(shown != itself, shown, twins.picture[keeper])  # the picture that it stands beside
    has_twin, dropped = twin != itself, twins.reason[:count] != ""
    keys = rows["key"].combine_chunks()
    return {
        "stage": pa.array(twins.stage[:count], pa.string()),
        "reason": pa.array(twins.reason[:count], pa.string()),
        "keeper": _where(dropped, keys.take(pa.array(keeper))),
        "distance": pa.array(_distances(rows, twin, rules), mask=~has_twin),
        "difference": _floats(twins.difference[:count], has_twin),
        "cosine": _floats(_cosines(vectors, place[:count], place[twin]), has_twin),
        "picture": _where(shown != itself, keys.take(pa.array(shown))),
        "cluster": key_column(twins.cluster[:count]),
        "keeper_row": pa.array(place[keeper], mask=~dropped),
    }


def _spread(column: pa.Array, where: Ints, default: pa.Array | None) -> pa.Array:
    """`column`, one value for each living pair, in the places of all pairs; elsewhere `default`, or null."""
    nothing = pa.nulls(len(where), column.type) if default is None else default
    if not len(column):
        return nothing
    return pc.if_else(pa.array(where < 0), nothing, column.take(pa.array(np.maximum(where, 0))))


def _where(mask: NDArray[np.bool_], values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), values, pa.nulls(len(values), values.type))


def _floats(values: Floats, mask: NDArray[np.bool_]) -> pa.Array:
    """Null where not asked for, and where there is no number."""
    return pa.array(values, pa.float32(), mask=~mask | np.isnan(values))


def _distances(rows: pa.Table, keeper: Ints, rules: Duplicates) -> NDArray[np.int32]:
    """Of the hashes; turned as they fit best, where turned pictures count as near."""
    mine = np.arange(len(keeper))
    codes = _picture_codes(rows, np.arange(len(rows)), rules)
    apart = np.bitwise_count(codes[mine, :1] ^ codes[keeper])
    distance: NDArray[np.int32] = apart.min(axis=1).astype(np.int32)
    return distance


def _cosines(vectors: Vectors | None, mine: Ints, keeper: Ints) -> Floats:
    """Not a number where one of the two has no vector."""
    found = np.full(len(mine), np.nan, np.float32)
    if vectors is None or not len(vectors.rows):
        return found
    asked = np.flatnonzero(mine != keeper)
    both = np.column_stack([mine[asked], keeper[asked]])
    places = np.minimum(np.searchsorted(vectors.rows, both), len(vectors.rows) - 1)
    known = (vectors.rows[places] == both).all(axis=1)
    a, b = places[known].T
    found[asked[known]] = np.einsum("nd,nd->n", vectors.values[a], vectors.values[b])
    return found
