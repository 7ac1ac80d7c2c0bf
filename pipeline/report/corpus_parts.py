"""A corpus for its report: the decision table with what was measured beside it, one part in memory at a time.

    for part in corpus_parts(corpus):       # COLUMNS, and what was measured and scored, as far as the corpus still has
        ...
    rows_of(corpus, {"8a31…"})              # single rows again, by key
    evaluation_rows_of(corpus, {"f00d…"})   # the same, of pictures of the evaluation sources
    measured_thumbnails(corpus, rows)       # their 32×32 colour thumbnails, by `part` and `row`

The sha256 of each part of the table is checked on the way. What was measured is no part of the manifest: where it is
gone, or is of another table, the report does without; so it does without columns that older corpora lack.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.decision_table import VERDICTS
from ...manifests.manifest import Manifest
from ...manifests.pair import THUMBNAIL_SIDE_PX
from ...manifests.run_folders import CorpusFolder
from ..corpus_files.verdicts import verdict_parts
from ..scores.scores import score_columns

Row = dict[str, Any]

# `caption_raw` is not among them: it may hold personal data that were masked, and the report travels.
COLUMNS = [
    "key", "source", "origin", "offset", "bytes", "license", "url", "caption", "image_sha256", "width", "height",
    "format", "kept", "stage", "reason", "keeper", "distance", "difference", "cosine", "picture", "cluster", "phash64",
    "pixels_hash",
]  # fmt: skip
_MEASURED = ["frames", "std", "entropy", "sharpness", "border", "jpeg_quality"]


def corpus_parts(corpus: Manifest) -> Iterator[pa.Table]:
    """Each part with all columns, those that were not measured null, and with `part` and `row`, where a pair stands."""
    for number, verdicts in enumerate(verdict_parts(corpus, _present(corpus))):
        name = Path(corpus.document["files"][number]["name"]).name
        columns = {column: _column(verdicts, column) for column in COLUMNS}
        for folder, measured in _measured_columns(corpus).items():
            beside = _beside(folder / name, measured, len(verdicts))
            columns |= {column: beside[column] for column in measured}
        columns["part"] = pa.chunked_array([np.full(len(verdicts), number)])
        columns["row"] = pa.chunked_array([np.arange(len(verdicts))])
        yield pa.table(columns)


def _measured_columns(corpus: Manifest) -> dict[Path, list[str]]:
    """Folder → its columns; its files are named as those of the table."""
    folder = CorpusFolder(corpus.folder)
    return {folder.measures: _MEASURED} | {folder.score(score.name): [score.name] for score in score_columns()}


def _present(corpus: Manifest) -> list[str]:
    """Those of COLUMNS that this corpus has, as its manifest says."""
    known = corpus.document.get("schema") or COLUMNS
    return [column for column in COLUMNS if column in known]


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name in table.column_names:
        return table[name]
    return pa.chunked_array([pa.nulls(len(table), VERDICTS.field(name).type)])


def _beside(path: Path, columns: list[str], num_rows: int) -> pa.Table:
    nothing = pa.table({column: pa.nulls(num_rows, pa.float32()) for column in columns})
    if not path.is_file():
        return nothing
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != num_rows or not set(columns) <= set(file.schema_arrow.names):
            return nothing
        found = file.read(columns=columns)
    return pa.table({column: found[column].cast(pa.float32()) for column in columns})


def rows_of(corpus: Manifest, keys: set[str]) -> dict[str, Row]:
    """Key → its row. Reads one column of all parts, and the others only where a key is found."""
    wanted = pa.array(sorted(keys), pa.string())
    found = {}
    for number, entry in enumerate(corpus.document["files"]):
        with pq.ParquetFile(corpus.folder / entry["name"]) as file:
            places = np.flatnonzero(pc.is_in(file.read(columns=["key"])["key"], wanted).to_numpy())
            if len(places):
                table = file.read(columns=COLUMNS).take(places)
                for row, place in zip(table.to_pylist(), places.tolist(), strict=True):
                    found[row["key"]] = {**dict.fromkeys(COLUMNS), **row, "part": number, "row": place}
    return found


def evaluation_rows_of(corpus: Manifest, keys: set[str]) -> dict[str, Row]:
    """Key → its row, with `thumbnail`, as far as what was measured of the evaluation sources is still there."""
    wanted, found = pa.array(sorted(keys), pa.string()), {}
    for path in sorted(CorpusFolder(corpus.folder).evaluation_measures.glob("*.parquet")) if keys else []:
        with pq.ParquetFile(path) as file:
            places = np.flatnonzero(pc.is_in(file.read(columns=["key"])["key"], wanted).to_numpy())
            if len(places):
                for row in file.read(columns=[*COLUMNS, "thumbnail"]).take(places).to_pylist():
                    found[row["key"]] = {**dict.fromkeys(COLUMNS), "reason": "", **row}
    return found


def measured_thumbnails(corpus: Manifest, rows: Iterable[Row]) -> dict[str, NDArray[np.uint8]]:
    """Key → (32, 32, 3), of those that were measured; one row group is read at a time."""
    by_part: dict[int, list[Row]] = {}
    for row in rows:
        by_part.setdefault(row["part"], []).append(row)
    found: dict[str, NDArray[np.uint8]] = {}
    for number, wanted in sorted(by_part.items()):
        path = CorpusFolder(corpus.folder).measures / Path(corpus.document["files"][number]["name"]).name
        if path.is_file():
            with pq.ParquetFile(path) as file:
                found.update(_thumbnails(file, wanted))
    return found


def _thumbnails(file: pq.ParquetFile, rows: list[Row]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    starts = np.cumsum([0, *(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))])
    groups = np.searchsorted(starts, [row["row"] for row in rows], side="right") - 1
    for group in np.unique(groups).tolist():
        if group >= file.num_row_groups:  # of another table
            continue
        table = file.read_row_group(group, columns=["key", "thumbnail"])
        for row in (row for row, at in zip(rows, groups, strict=True) if at == group):
            place = row["row"] - int(starts[group])
            data = table["thumbnail"][place].as_py()
            if data is not None and table["key"][place].as_py() == row["key"]:
                yield row["key"], pixels_of(data)


def pixels_of(thumbnail: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(thumbnail, np.uint8).reshape(THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX, 3)
