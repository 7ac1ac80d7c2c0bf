"""The signatures that near pictures are compared by, in one file that any task can map.

    with signature_file(measures, row, folder) as path:       # each picture's file of measures, and its row there
        signatures = map_signatures(path)                     # (n, SIGNATURE_BYTES) uint8, in the same order

Each file of measures is read once, by a task of its own that writes its rows in place. For 200,000 pictures the file
takes 1.4 GB on disk, and no memory.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from ..corpus_files.stage_tables import read_stage_table
from ..executor.progress import progress
from .same_picture import SIGNATURE_BYTES

Ints = NDArray[np.int64]

_COLUMNS = ["thumbnail", "luminance"]
_FILE = "signatures"


def map_signatures(path: Path | str) -> NDArray[np.uint8]:
    if not Path(path).stat().st_size:
        return np.empty((0, SIGNATURE_BYTES), np.uint8)  # nothing cannot be mapped
    return np.memmap(path, np.uint8, mode="r").reshape(-1, SIGNATURE_BYTES)


@contextmanager
def signature_file(measures: pa.DictionaryArray, row: Ints, folder: Path) -> Iterator[Path]:
    """Write the file into `folder`, on a disk that every node sees, and delete it afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    path.write_bytes(b"")
    names = [str(Path(name).resolve()) for name in measures.dictionary.to_pylist()]  # a task stands in another folder
    file = measures.indices.to_numpy()
    order = np.argsort(file, kind="stable")
    edges = np.flatnonzero(np.diff(file[order], prepend=-1, append=-1)) if len(row) else np.zeros(1, np.int64)
    task = ray.remote(num_cpus=1)(_copy)
    copies = [
        task.remote(names[file[order[start]]], row[order[start:stop]], order[start:stop], str(path.resolve()))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    try:
        with progress("compare", len(copies), "file") as advance:
            for copy in copies:
                ray.get(copy)
                advance()
        yield path
    finally:
        path.unlink(missing_ok=True)


def _copy(name: str, rows: Ints, positions: Ints, path: str) -> None:
    table = read_stage_table(name, columns=_COLUMNS).take(rows)
    parts = [np.frombuffer(b"".join(table[column].to_pylist()), np.uint8).reshape(len(rows), -1) for column in _COLUMNS]
    signatures = np.concatenate(parts, axis=1)
    with Path(path).open("r+b") as file:  # by pwrite: two nodes that map the same page of a shared disk undo each other
        for position, signature in zip(positions.tolist(), signatures, strict=True):
            os.pwrite(file.fileno(), signature.tobytes(), position * SIGNATURE_BYTES)
        os.fsync(file.fileno())
