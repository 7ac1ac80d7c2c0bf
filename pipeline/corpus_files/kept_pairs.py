"""The kept pairs of a finished corpus, each with the picture that it is shown with.

    rows = read_kept_pairs(load_manifest("runs/emoji/corpus"), ["key", "caption", "source", "origin", "offset"])

That is its own picture, unless the recipe's `duplicates.pairs` moved its caption to a better duplicate (the column
`picture` of the decision table). Then the columns of the picture are the duplicate's, and the row is next to its row.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...manifests.documents import FileEntry
from ...manifests.manifest import Manifest
from .verdicts import read_part

_OF_PICTURE = ("source", "origin", "offset", "bytes", "license", "url", "image_sha256", "pixels_hash", "phash64",
               "width", "height", "format", "mode", "std")  # fmt: skip


def read_kept_pairs(corpus: Manifest, columns: list[str]) -> pa.Table:
    """The kept pairs of all parts."""
    return pa.concat_tables(kept_pairs(corpus.folder, corpus.files, columns)).combine_chunks()


def kept_pairs(folder: Path, files: list[FileEntry], columns: list[str]) -> Iterator[pa.Table]:
    """The kept pairs, part by part in the order of the manifest. Pairs with moved captions stay in memory."""
    needed = list({*columns, "key", "kept", "picture"})
    parts = (read_part(folder, entry, needed) for entry in files)
    moved = pa.concat_tables(table.filter(pc.and_(table["kept"], pc.is_valid(table["picture"]))) for table in parts)
    for table in (read_part(folder, entry, needed) for entry in files):
        own = np.flatnonzero(pc.and_(table["kept"], pc.is_null(table["picture"])).to_numpy())
        index = pc.index_in(moved["picture"], value_set=table["key"].combine_chunks()).combine_chunks()
        here = np.flatnonzero(index.is_valid().to_numpy(zero_copy_only=False))
        beside = index.drop_null().to_numpy()
        rows = pa.concat_tables(
            [table.take(own).select(columns), _shown(moved.take(here), table.take(beside), columns)]
        )
        order = np.lexsort((np.arange(len(rows)), np.concatenate([own, beside])))
        yield rows.take(order)


def _shown(pairs: pa.Table, pictures: pa.Table, columns: list[str]) -> pa.Table:
    return pa.table({name: (pictures if name in _OF_PICTURE else pairs)[name] for name in columns})
