"""`tuwen why`: every measurement, score, verdict and duplicate of one pair.

rows = explain_pair(load_manifest("runs/emoji/corpus"), "8a31")      # a key, or the first digits of one
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from .scores.scores import asked_scores

_NOT_TO_READ = ("phash64_flips", "thumbnail", "luminance", "problem")
_MEASURED = [name for name in MEASURES.names if name not in (*VERDICTS.names, *_NOT_TO_READ)]


def explain_pair(corpus: Manifest, key: str) -> list[dict[str, Any]]:
    """The pair first, then its duplicates. Raises BadInput when no pair, or more than one, begins with `key`."""
    begins = key.lower()
    found = list(_rows(corpus, lambda table: pc.starts_with(table["key"], begins)))
    if len(found) != 1:
        problem = "no such pair" if not found else f"{len(found)} pairs begin so"
        raise BadInput(
            f"{key}: {problem} in {corpus.folder}", cure="give a key of the decision table, or more of its digits"
        )
    pair = found[0]
    duplicates = _rows(corpus, lambda table: pc.equal(table["cluster"], pair["cluster"]))
    keeper = _rows(corpus, lambda table: pc.equal(table["key"], (not pair["keeper_from"] and pair["keeper"]) or ""))
    related = {row["key"]: row for row in (*duplicates, *keeper) if row["key"] != pair["key"]}
    return [pair, *sorted(related.values(), key=lambda row: (not row["kept"], row["key"]))]


def _rows(corpus: Manifest, asked: Any) -> Iterator[dict[str, Any]]:
    """The rows of the decision table for which `asked(table)` is true, with what was measured of them."""
    for entry, table in zip(corpus.document["files"], verdict_parts(corpus), strict=True):
        places = pc.indices_nonzero(asked(table)).to_pylist()
        if places:
            yield from _readable(corpus, Path(entry["name"]).name, table, places)


def _readable(corpus: Manifest, file: str, table: pa.Table, places: list[int]) -> Iterator[dict[str, Any]]:
    folder = CorpusFolder(corpus.folder)
    measured = pq.read_table(folder.measures / file, columns=_MEASURED).take(places).to_pylist()
    scores = {name: pq.read_table(folder.score(name) / file)[name] for name in _scores(corpus)}
    for place, row, more in zip(places, table.take(places).to_pylist(), measured, strict=True):
        verdict = "kept" if row["kept"] else f"dropped at {row['stage']}: {row['reason']}"
        row["phash64"] = None if row["phash64"] is None else f"{row['phash64']:016x}"
        yield {"verdict": verdict, **row, **more, **{name: scores[name][place].as_py() for name in scores}}


def _scores(corpus: Manifest) -> list[str]:
    """The scores that this corpus was decided by: others may lie there from an earlier recipe."""
    recipe = recorded_recipe(corpus.document["lineage"]["recipe"])
    return [score.name for score in asked_scores(recipe) if score.column is not None]
