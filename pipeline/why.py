"""`tuwen why`: every measure, score and verdict of one pair, and of its duplicates.

    pair, *duplicates = explain_pair(load_manifest("runs/emoji/corpus"), "8a31")      # a key, or its first digits
    print(explained_text([pair, *duplicates]))

A dropped pair has the rule that it broke, with its number and its key in the recipe, and what was measured. One that
was dropped for a picture of an evaluation source has that picture. Measures that are gone, or that an older version did
not take, are left out.
"""

import functools
import operator
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.cells import cell_len, set_cell_size

from ..manifests.decision_table import VERDICTS
from ..manifests.errors import BadInput
from ..manifests.manifest import Manifest
from ..manifests.pair import MEASURES
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import CorpusFolder
from .corpus_files.verdicts import verdict_parts
from .find_pairs import Found
from .load_recipe import recorded_recipe
from .reasons import Row, key_of, measured_of, rule_of
from .scores.scores import asked_scores

_NOT_SHOWN = ("phash64_flips", "thumbnail", "luminance", "problem")  # bytes, and the verdict in other words
_MEASURES = [name for name in MEASURES.names if name not in (*VERDICTS.names, *_NOT_SHOWN)]


def explain_pair(corpus: Manifest, key: str) -> list[Row]:
    """The row of the pair first, then those of its cluster and its keeper, kept ones first.

    Raises BadInput when no pair, or more than one, has a key that begins with `key`.
    """
    prefix = key.lower()
    pairs = list(_rows(corpus, lambda table: pc.starts_with(table["key"], prefix)))
    if len(pairs) != 1:
        problem = "no such pair" if not pairs else f"{len(pairs)} pairs begin so"
        raise BadInput(
            f"{key}: {problem} in {corpus.folder}", cure="give a key of the decision table, or more of its digits"
        )
    (pair,) = pairs
    if pair["stage"] == "evaluation":
        pair = {"verdict": pair["verdict"], **_evaluation_picture(corpus, pair["key"]), **pair}
    keeper_key = pair["keeper"] or "" if not pair["keeper_from"] else ""  # else it is in another corpus
    cluster = _rows(corpus, lambda table: pc.equal(table["cluster"], pair["cluster"]))
    keeper = _rows(corpus, lambda table: pc.equal(table["key"], keeper_key))
    duplicates = {row["key"]: row for row in (*cluster, *keeper) if row["key"] != pair["key"]}
    return [pair, *sorted(duplicates.values(), key=lambda row: (not row["kept"], row["key"]))]


def _rows(corpus: Manifest, matches: Callable[[pa.Table], pa.ChunkedArray]) -> Iterator[Row]:
    """The rows of the decision table that match, with their measures and scores."""
    for entry, table in zip(corpus.files, verdict_parts(corpus), strict=True):
        indices = pc.indices_nonzero(matches(table)).to_pylist()
        if indices:
            yield from _readable_rows(corpus, Path(entry.name).name, table, indices)


def _readable_rows(corpus: Manifest, part: str, table: pa.Table, indices: list[int]) -> Iterator[Row]:
    folder = CorpusFolder(corpus.folder)
    beside = [_read(folder.measures / part, _MEASURES, indices)]
    beside += [_read(folder.score(name) / part, [name], indices) for name in _scores(corpus)]
    for number, row in enumerate(table.take(indices).to_pylist()):
        known: Row = functools.reduce(operator.or_, (rows[number] for rows in beside), row)
        row["phash64"] = None if row["phash64"] is None else f"{row['phash64']:016x}"
        yield {"verdict": verdict_of(row), **_broken_rule(corpus, known), **known, "phash64": row["phash64"]}


def _read(path: Path, columns: list[str], indices: list[int]) -> list[Row]:
    """Some rows of a table, with those of the columns that it has; empty rows if it is gone."""
    if not path.is_file():
        return [{} for _ in indices]
    known = set(pq.read_schema(path).names)
    rows: list[Row] = pq.read_table(path, columns=[name for name in columns if name in known]).take(indices).to_pylist()
    return rows


def verdict_of(row: Row) -> str:
    return "kept" if row["kept"] else f"dropped at {row['stage']}: {row['reason']}"


def explained_text(rows: list[Row]) -> str:
    """The rows as people read them, a value a line, an empty line between two pairs."""
    return "\n\n".join("\n".join(f"{name:>18}  {value}" for name, value in row.items()) for row in rows)


def listed_text(found: Found, what: str) -> str:
    """Several pairs, a line each: the first digits of the key, the verdict, where it comes from, its caption."""
    lines = [
        (row["key"][:12], verdict_of(row), row["source"], row["url"] or row["origin"], row["caption"] or "")
        for row in found.rows
    ]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(4)]
    shown = [
        "  ".join(set_cell_size(cell, width) for cell, width in zip(line, widths, strict=False)) + f"  {line[-1]}"
        for line in lines
    ]
    more = f", the first {len(lines)}" if found.count > len(lines) else ""
    return "\n".join([f"{found.count:,} pairs fit {what}{more}:", *(line.rstrip() for line in shown)])


def _broken_rule(corpus: Manifest, row: Row) -> Row:
    """The rule that a dropped pair broke, the key that sets it, and what was measured; without what does not exist."""
    if row["kept"]:
        return {}
    rule, key = rule_of(row["reason"], _recipe(corpus)), key_of(row["reason"])
    facts = {"rule": rule, "rule_key": key, "measured": measured_of(row)}
    return {name: value for name, value in facts.items() if value}


def _evaluation_picture(corpus: Manifest, key: str) -> Row:
    """The picture of an evaluation source for which the pair was dropped, from the table of contaminated pairs."""
    path = corpus.folder / corpus.contaminated.name if corpus.contaminated else None
    if path is None or not path.is_file():
        return {}
    columns = ["key", "evaluation_key", "evaluation_source", "evaluation_origin"]
    rows: list[Row] = pq.read_table(path, columns=columns, filters=[("key", "=", key)]).to_pylist()
    return {name: rows[0][name] for name in columns[1:]} if rows else {}


def _scores(corpus: Manifest) -> list[str]:
    """The scores that the recipe of this corpus names; the folder may have others, of an earlier recipe."""
    return [score.name for score in asked_scores(_recipe(corpus)) if score.column is not None]


def _recipe(corpus: Manifest) -> Recipe:
    return recorded_recipe(corpus.document["lineage"]["recipe"])
