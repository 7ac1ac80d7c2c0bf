"""The pairs of a corpus that a person means: by key, by file name or origin, by address, or by a part of one.

    found = find_pairs(load_manifest("runs/emoji/corpus"), "1f41d.png")
    found.count, found.rows[0]["key"]

What fits best is meant alone: a whole key, origin or address before a file name or the first digits of a key, and these
before a part. The case of letters, `\\` for `/`, and the path of the source before a name are no difference.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..manifests.manifest import Manifest
from .corpus_files.verdicts import verdict_parts
from .open_source import roots_of
from .reasons import Row

MOST_LISTED = 20
_COLUMNS = ["key", "source", "origin", "url", "caption", "kept", "stage", "reason"]


@dataclass(frozen=True)
class Found:
    count: int
    rows: list[Row]  # the first ones, in the order of the decision table


def find_pairs(corpus: Manifest, what: str) -> Found:
    """The pairs that fit best; none if nothing fits. The decision table is read part by part."""
    wanted = _names(corpus, what)
    tiers: list[list[pa.Table]] = [[], [], []]
    for table in verdict_parts(corpus, _COLUMNS):
        for tier, mask in zip(tiers, _masks(table, wanted), strict=True):
            fitting = table.filter(mask)
            if len(fitting):
                tier.append(fitting)
    best = next((tier for tier in tiers if tier), [])
    rows: list[Row] = pa.concat_tables(best).slice(0, MOST_LISTED).to_pylist() if best else []
    return Found(sum(map(len, best)), rows)


def _names(corpus: Manifest, what: str) -> list[str]:
    """`what` in lower case, and the name that it has below a source if it is a path to there."""
    plain = re.sub(r"^(\./)+", "", what.strip().replace("\\", "/")).lower()
    roots = [root.path.rstrip("/").lower() + "/" for root in roots_of(corpus).values()]
    below = [plain.removeprefix(root) for root in roots if plain.startswith(root)]
    return list(dict.fromkeys([*below, plain]))


def _masks(table: pa.Table, wanted: Sequence[str]) -> list[pa.ChunkedArray]:
    """The rows that fit: wholly; by file name or the first digits of the key; by a part."""
    key, origin, url = (pc.utf8_lower(pc.fill_null(table[name], "")) for name in ("key", "origin", "url"))
    values = pa.array(wanted)
    whole = [pc.is_in(column, values) for column in (key, origin, url)]
    ends = [pc.ends_with(column, f"/{name}") for column in (origin, url) for name in wanted]
    begins = [pc.starts_with(key, name) for name in wanted]
    parts = [pc.match_substring(column, name) for column in (origin, url) for name in wanted]
    return [_any(whole), _any([*ends, *begins]), _any(parts)]


def _any(masks: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    return functools.reduce(pc.or_, masks)
