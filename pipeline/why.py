"""`tuwen why`: every measure, score and verdict of one pair, and of its duplicates.

pair, *duplicates = explain_pair(load_manifest("runs/emoji/corpus"), "8a31")      # a key, or the first digits of one
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..manifests.decision_table import VERDICTS
from ..manifests.errors import BadInput
from ..manifests.manifest import Manifest
from ..manifests.pair import MEASURES
from ..manifests.run_folders import CorpusFolder
from .corpus_files.verdicts import verdict_parts
from .load_recipe import recorded_recipe
from .reasons import Row
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
    measures = pq.read_table(folder.measures / part, columns=_MEASURES).take(indices).to_pylist()
    scores = {name: pq.read_table(folder.score(name) / part)[name] for name in _scores(corpus)}
    for index, row, measured in zip(indices, table.take(indices).to_pylist(), measures, strict=True):
        verdict = "kept" if row["kept"] else f"dropped at {row['stage']}: {row['reason']}"
        row["phash64"] = None if row["phash64"] is None else f"{row['phash64']:016x}"
        yield {"verdict": verdict, **row, **measured, **{name: scores[name][index].as_py() for name in scores}}


def _scores(corpus: Manifest) -> list[str]:
    """The scores that the recipe of this corpus names; the folder may have others, of an earlier recipe."""
    recipe = recorded_recipe(corpus.document["lineage"]["recipe"])
    return [score.name for score in asked_scores(recipe) if score.column is not None]
