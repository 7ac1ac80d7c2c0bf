"""The decision table of a finished corpus, whole or part by part, and the thumbnails of its pictures.

verdicts = read_verdicts(load_manifest("runs/emoji/corpus"), ["key", "caption", "kept"])
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.canonical import sha256_of_file
from ...manifests.decision_table import VERDICTS
from ...manifests.documents import FileEntry
from ...manifests.errors import CheckFailed
from ...manifests.manifest import Manifest
from ...manifests.pair import THUMBNAIL_SIDE_PX
from ...manifests.run_folders import CorpusFolder


def read_verdicts(corpus: Manifest, columns: list[str] | None = None) -> pa.Table:
    """The decision table of a corpus, all parts in order. Raises CheckFailed on a part that was altered."""
    return pa.concat_tables(verdict_parts(corpus, columns))


def verdict_parts(corpus: Manifest, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The decision table part by part, so that it need not fit in memory."""
    for entry in corpus.files:
        yield read_part(corpus.folder, entry, columns)


def read_part(folder: Path, entry: FileEntry, columns: list[str] | None = None) -> pa.Table:
    """One part, as the manifest lists it. Columns that an older version did not write are null."""
    path = folder / entry.name
    if not path.is_file() or sha256_of_file(path) != entry.sha256:
        raise CheckFailed(f"{path}: missing or altered", cure="run `tuwen corpus` again")
    known = pq.read_schema(path).names
    table = pq.read_table(path, columns=[name for name in columns if name in known] if columns else None)
    for name in columns or VERDICTS.names:
        if name not in known:
            table = table.append_column(name, pa.nulls(len(table), VERDICTS.field(name).type))
    return table.select(columns or VERDICTS.names)


def read_thumbnails(corpus: Manifest, keys: list[str], side_px: int) -> NDArray[np.float32]:
    """RGB thumbnails of measured pairs, (len(keys), side_px, side_px, 3) in 0 … 255; `side_px` divides 32."""
    thumbnails: dict[str, bytes] = {}
    wanted = set(keys)
    for entry in corpus.files:
        table = pq.read_table(
            CorpusFolder(corpus.folder).measures / Path(entry.name).name, columns=["key", "thumbnail"]
        )
        thumbnails.update((key, data) for key, data in zip(*table.to_pydict().values(), strict=True) if key in wanted)
    pixels = np.frombuffer(b"".join(thumbnails[key] for key in keys), np.uint8).astype(np.float32)
    cell = THUMBNAIL_SIDE_PX // side_px
    means: NDArray[np.float32] = pixels.reshape(len(keys), side_px, cell, side_px, cell, 3).mean(axis=(2, 4))
    return means
