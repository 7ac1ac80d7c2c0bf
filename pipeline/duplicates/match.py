"""Verdicts on duplicates, over all pairs that no rule has dropped and over the pictures that are known elsewhere.

    compared = compared_rows(pairs, known, recipe.duplicates)
    table = match(pairs, compared, vectors, recipe.duplicates, out / ".work/near", captions_of)     # a row a pair

Works on columns (`deciding`), never on rows as Python objects. Signatures are read only for pictures whose hashes are
near. Known pictures, of evaluation sets and of earlier corpora, are compared, but get no verdict. The join runs
whatever the policy, since clusters must hold near-duplicates together even when both are kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...manifests.pair import MEASURES
from ...manifests.recipe.rules import Duplicates
from ..pictures.picture_rules import SINGLE_COLOUR_STD
from .keep_best import DuplicateVerdicts, keep_best
from .key_bytes import KEY, key_column
from .leader_pass import NearDuplicates
from .near_pictures import Pictures, near_pictures
from .role import Role
from .signature_file import signature_file

_FEW = pa.dictionary(pa.int32(), pa.string())  # few values, many rows

_HASHES = [("key", KEY), ("image_sha256", KEY), ("pixels_hash", KEY)]  # the first 16 bytes
_DIGESTS = [("origin", KEY), ("caption", KEY), ("han", pa.int32())]  # of the texts, and Han characters of the caption
_MEASURED = ("bytes", "phash64", "width", "height", "std")
_PLACE = [("source", _FEW), ("measures", _FEW), ("row", pa.int32())]
OF_PAIRS = ["key", "source", "measures", "row", "stage", "reason"]
_KNOWN = [("role", pa.int8()), ("corpus", pa.int16()), ("earlier_cluster", KEY)]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Vectors:
    """Embeddings of length 1 of some rows (pairs first, then known pictures), and the pairs of them that are alike."""

    rows: Ints  # sorted
    values: Floats  # (len(rows), d)
    alike: Ints  # (n, 2) of rows


def deciding(rules: Duplicates) -> pa.Schema:
    """The columns that decisions are made of: numbers alone, 140 bytes a row.

    `measures` and `row` say where all else of a pair is: its signature, its origin, its caption.
    """
    flips = [MEASURES.field("phash64_flips")] if rules.flips else []
    measured = [*(MEASURES.field(name) for name in _MEASURED), *flips]
    return pa.schema([*_HASHES, *_DIGESTS, *measured, *_PLACE, ("similarity", pa.float32())])


def known_schema(rules: Duplicates) -> pa.Schema:
    """Columns of pictures known elsewhere: their `Role`, the number of their corpus, their cluster there."""
    return pa.schema([*deciding(rules), *_KNOWN])


@dataclass(frozen=True)
class Compared:
    """Rows that are compared: living pairs, and then known pictures."""

    rows: pa.Table  # by `known_schema`
    number: Ints  # of each row, counted through all pairs and on through the known pictures
    living: int  # pairs among them


def compared_rows(pairs: pa.Table, known: pa.Table, rules: Duplicates) -> Compared:
    """`pairs` by `deciding`, with `reason`, empty where alive; `known` by `known_schema`.

    These rows have all that `match` compares, so of `pairs` it needs no more than `OF_PAIRS`.
    """
    alive = np.flatnonzero(pc.equal(pairs["reason"], "").to_numpy())
    mine = pairs.select(deciding(rules).names).take(alive)
    constants = {"role": Role.HERE, "corpus": 0, "earlier_cluster": None}
    for field in pa.schema(_KNOWN):
        mine = mine.append_column(field, pa.repeat(pa.scalar(constants[field.name], field.type), len(mine)))
    number = np.concatenate([alive, len(pairs) + np.arange(len(known))])
    rows = pa.concat_tables([mine, known]).unify_dictionaries()
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    del mine, rows  # so that each column is freed when it has been combined, and before the next one is
    combined = {name: columns.pop(name).combine_chunks() for name in list(columns)}
    return Compared(pa.table(combined), number, len(alive))


def match(
    pairs: pa.Table,
    compared: Compared,
    vectors: Vectors | None,
    rules: Duplicates,
    folder: Path,
    captions_of: Callable[[pa.Table], list[str]],
) -> pa.Table:
    """The verdict of every pair. `pairs` has the columns `OF_PAIRS`; stage and reason are empty where alive.

    `captions_of` reads the captions of some rows, for near captions. Returns the columns key, source, kept, stage,
    reason, keeper, distance, difference, cosine, picture, cluster and `keeper_row`: the keeper's row, counted through
    `pairs` and on through the known pictures.
    """
    rows, number, alive = compared.rows, compared.number, compared.number[: compared.living]

    def near_of(some: Ints, rank: Ints, protected: NDArray[np.bool_]) -> NearDuplicates:
        return _near_duplicates(rows, some, rank, protected, _among(vectors, number[some]), rules, folder)

    verdicts = keep_best(rows, rules, rows["role"].to_numpy(), near_of, lambda some: captions_of(rows.take(some)))
    decided = _decided(len(alive), rows, number, verdicts, vectors, rules)
    return _among_all_pairs(pairs, alive, decided)


def _among(vectors: Vectors | None, numbers: Ints) -> Ints:
    """The pairs of alike vectors that are both among `numbers` (sorted), as positions there."""
    if vectors is None or not len(numbers):
        return np.empty((0, 2), np.int64)
    positions = np.minimum(np.searchsorted(numbers, vectors.alike), len(numbers) - 1)
    both: Ints = positions[(numbers[positions] == vectors.alike).all(axis=1)]
    return both


def _near_duplicates(
    rows: pa.Table,
    compared: Ints,
    rank: Ints,
    protected: NDArray[np.bool_],
    alike: Ints,
    rules: Duplicates,
    folder: Path,
) -> NearDuplicates:
    """Near-duplicates as positions in `compared`. Pictures of nearly one colour have none: their hashes are noise."""
    lively = np.flatnonzero(rows["std"].to_numpy()[compared] >= SINGLE_COLOUR_STD)
    chosen = compared[lively]
    measures, row = rows["measures"].combine_chunks(), rows["row"].to_numpy()
    position = np.full(len(compared), -1, np.int64)
    position[lively] = np.arange(len(lively))
    alike = position[alike]
    pictures = Pictures(
        codes=_picture_codes(rows, chosen, rules),
        rank=np.argsort(np.argsort(rank[lively])),
        protected=protected[lively],
        certain=alike[(alike >= 0).all(axis=1)],
        signatures=lambda some: signature_file(measures.take(pa.array(chosen[some])), row[chosen[some]], folder),
    )
    near = near_pictures(pictures, rules.radius)
    leader, difference = np.arange(len(compared)), np.zeros(len(compared), np.float32)
    leader[lively], difference[lively] = lively[near.leader], near.difference
    return NearDuplicates(leader, difference, lively[near.ties])


def _picture_codes(rows: pa.Table, chosen: Ints, rules: Duplicates) -> NDArray[np.uint64]:
    """(n, 1), or (n, 8) where flips and rotations count as near."""
    codes: NDArray[np.uint64] = rows["phash64"].to_numpy()[chosen, None]
    if not rules.flips:
        return codes
    flips = rows["phash64_flips"].combine_chunks().take(pa.array(chosen)).flatten().to_numpy()
    return np.concatenate([codes, flips.reshape(-1, MEASURES.field("phash64_flips").type.list_size)], axis=1)


def _among_all_pairs(pairs: pa.Table, alive: Ints, decided: dict[str, pa.Array]) -> pa.Table:
    """The columns of `decided`, one value for each living pair, with those of the pairs that a rule dropped."""
    all_keys = pairs["key"].combine_chunks()
    default = {name: pairs[name].cast(pa.string()).combine_chunks() for name in ("stage", "reason")}
    default["cluster"] = all_keys
    position = np.full(len(pairs), -1, np.int64)
    position[alive] = np.arange(len(alive))
    among_all = {name: _spread(column, position, default.get(name)) for name, column in decided.items()}
    kept = pc.equal(among_all["reason"], "")
    return pa.table({"key": all_keys, "source": pairs["source"], "kept": kept, **among_all})


def _decided(
    count: int, rows: pa.Table, number: Ints, verdicts: DuplicateVerdicts, vectors: Vectors | None, rules: Duplicates
) -> dict[str, pa.Array]:
    """The columns of the first `count` rows: those of the living pairs."""
    itself, keeper, shown = np.arange(count), verdicts.keeper[:count], verdicts.picture[:count]
    duplicate = np.where(shown != itself, shown, verdicts.picture[keeper])  # the picture that it is compared with
    has_duplicate, dropped = duplicate != itself, verdicts.reason[:count] != ""
    keys = rows["key"].combine_chunks()
    return {
        "stage": pa.array(verdicts.stage[:count], pa.string()),
        "reason": pa.array(verdicts.reason[:count], pa.string()),
        "keeper": _where(dropped, keys.take(pa.array(keeper))),
        "distance": pa.array(_distances(rows, duplicate, rules), mask=~has_duplicate),
        "difference": _floats(verdicts.difference[:count], has_duplicate),
        "cosine": _floats(_cosines(vectors, number[:count], number[duplicate]), has_duplicate),
        "picture": _where(shown != itself, keys.take(pa.array(shown))),
        "cluster": key_column(verdicts.cluster[:count]),
        "keeper_row": pa.array(number[keeper], mask=~dropped),
    }


def _spread(column: pa.Array, position: Ints, default: pa.Array | None) -> pa.Array:
    """`column[position]`, and where the position is -1 `default`, or null."""
    nothing = pa.nulls(len(position), column.type) if default is None else default
    if not len(column):
        return nothing
    return pc.if_else(pa.array(position < 0), nothing, column.take(pa.array(np.maximum(position, 0))))


def _where(mask: NDArray[np.bool_], values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), values, pa.nulls(len(values), values.type))


def _floats(values: Floats, mask: NDArray[np.bool_]) -> pa.Array:
    """`values`, null outside of `mask` and where there is no number."""
    return pa.array(values, pa.float32(), mask=~mask | np.isnan(values))


def _distances(rows: pa.Table, keeper: Ints, rules: Duplicates) -> NDArray[np.int32]:
    """Distances of the hashes; the flip or rotation that fits best counts, where those count as near."""
    mine = np.arange(len(keeper))
    codes = _picture_codes(rows, np.arange(len(rows)), rules)
    apart = np.bitwise_count(codes[mine, :1] ^ codes[keeper])
    distance: NDArray[np.int32] = apart.min(axis=1).astype(np.int32)
    return distance


def _cosines(vectors: Vectors | None, mine: Ints, keeper: Ints) -> Floats:
    """The cosine of each row and its keeper, not a number where one of the two has no vector."""
    cosines = np.full(len(mine), np.nan, np.float32)
    if vectors is None or not len(vectors.rows):
        return cosines
    dropped = np.flatnonzero(mine != keeper)
    both = np.column_stack([mine[dropped], keeper[dropped]])
    position = np.minimum(np.searchsorted(vectors.rows, both), len(vectors.rows) - 1)
    known = (vectors.rows[position] == both).all(axis=1)
    a, b = position[known].T
    cosines[dropped[known]] = np.einsum("nd,nd->n", vectors.values[a], vectors.values[b])
    return cosines
