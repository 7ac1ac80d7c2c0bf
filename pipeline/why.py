"""`tuwen why`: every measurement, verdict and twin of one pair.

rows = explain(load_manifest("runs/emoji/corpus"), "8a31")      # a key, or the first digits of one
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..manifests.errors import BadInput
from ..manifests.manifest import Manifest
from .corpus import read_verdicts


def explain(corpus: Manifest, key: str) -> list[dict[str, Any]]:
    """The pair first, then its twins. Raises BadInput when no pair, or more than one, begins with `key`."""
    verdicts = read_verdicts(corpus)
    found = verdicts.filter(pc.starts_with(verdicts["key"], key.lower()))
    if len(found) != 1:
        problem = "no such pair" if not len(found) else f"{len(found)} pairs begin so"
        raise BadInput(
            f"{key}: {problem} in {corpus.folder}", cure="give a key of the decision table, or more of its digits"
        )
    pair = found.to_pylist()[0]
    related = pc.or_(pc.equal(verdicts["cluster"], pair["cluster"]), pc.equal(verdicts["key"], pair["keeper"] or ""))
    twins = verdicts.filter(pc.and_(related, pc.not_equal(verdicts["key"], pair["key"])))
    return [_readable(pair), *(_readable(twin) for twin in _sorted(twins))]


def _sorted(twins: pa.Table) -> list[dict[str, Any]]:
    return sorted(twins.to_pylist(), key=lambda twin: (not twin["kept"], twin["key"]))


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    verdict = "kept" if row["kept"] else f"dropped at {row['stage']}: {row['reason']}"
    row["phash64"] = None if row["phash64"] is None else f"{row['phash64']:016x}"
    return {"verdict": verdict, **row}
