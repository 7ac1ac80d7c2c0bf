"""The rows of a corpus for its report: the decision table with the measures and scores beside it.

    for part in corpus_parts(corpus):       # COLUMNS, measures and scores; one part is in memory at a time
        ...
    rows_of(corpus, {"8a31…"})              # single rows, by key
    evaluation_rows_of(corpus, {"f00d…"})   # the same, of pictures of the evaluation sources
    measured_thumbnails(corpus, rows)       # their 32×32 RGB thumbnails, by `part` and `row`

The sha256 of each part of the decision table is checked. Measures are not in the manifest: where they are missing, or
belong to another table, their columns are null. Columns that an older corpus lacks are null, too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.manifest import Manifest
from ...manifests.pair import MEASURES, THUMBNAIL_SIDE_PX
from ...manifests.run_folders import CorpusFolder
from ..corpus_files.verdicts import verdict_parts
from ..reasons import Row
from ..scores.scores import score_columns

Thumbnail = NDArray[np.uint8]  # (32, 32, 3) RGB

# Without `caption_raw`: it may hold personal data that were masked, and the report travels.
COLUMNS = [
    "key", "source", "origin", "offset", "bytes", "license", "url", "caption", "image_sha256", "width", "height",
    "format", "kept", "stage", "reason", "keeper", "distance", "difference", "cosine", "picture", "cluster", "phash64",
    "pixels_hash",
]  # fmt: skip
_NUMBERS = [
    field.name
    for field in MEASURES
    if field.name not in COLUMNS and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
]
_WORDS = ["metadata"]


def corpus_parts(corpus: Manifest) -> Iterator[pa.Table]:
    """Each part of the decision table with its measures and scores, and with `part` and `row`, its position."""
    folders = _columns_beside(CorpusFolder(corpus.folder))
    for number, verdicts in enumerate(verdict_parts(corpus, COLUMNS)):
        columns = {name: verdicts[name] for name in COLUMNS}
        for folder, names in folders.items():
            table = _table_beside(folder / _part_name(corpus, number), names, len(verdicts))
            columns |= {name: table[name] for name in names}
        columns["part"] = pa.chunked_array([np.full(len(verdicts), number)])
        columns["row"] = pa.chunked_array([np.arange(len(verdicts))])
        yield pa.table(columns)


def rows_of(corpus: Manifest, keys: set[str]) -> dict[str, Row]:
    """Key → its row. Reads the column of keys of all parts, and the others only in parts that hold one of `keys`."""
    rows: dict[str, Row] = {}
    for number, entry in enumerate(corpus.files if keys else []):
        for index, row in _rows_with(corpus.folder / entry.name, keys, COLUMNS):
            rows[row["key"]] = {**row, "part": number, "row": index}
    return rows


def evaluation_rows_of(corpus: Manifest, keys: set[str]) -> dict[str, Row]:
    """Key → its row, with `thumbnail`, as far as the measures of the evaluation sources are still there."""
    folder = CorpusFolder(corpus.folder).evaluation_measures
    paths = sorted(folder.glob("*.parquet")) if keys else []
    rows = (row for path in paths for _, row in _rows_with(path, keys, [*COLUMNS, "thumbnail"]))
    return {row["key"]: {**row, "reason": ""} for row in rows}


def measured_thumbnails(corpus: Manifest, rows: Iterable[Row]) -> dict[str, Thumbnail]:
    """Key → its thumbnail, for the rows that have one; one row group is in memory at a time."""
    by_part: dict[int, list[Row]] = {}
    for row in rows:
        by_part.setdefault(row["part"], []).append(row)
    thumbnails: dict[str, Thumbnail] = {}
    for number, wanted in sorted(by_part.items()):
        path = CorpusFolder(corpus.folder).measures / _part_name(corpus, number)
        if path.is_file():
            with pq.ParquetFile(path) as file:
                thumbnails.update(_thumbnails(file, wanted))
    return thumbnails


def pixels_of(thumbnail: bytes) -> Thumbnail:
    return np.frombuffer(thumbnail, np.uint8).reshape(THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX, 3)


def _part_name(corpus: Manifest, number: int) -> str:
    """The file name of a part, the same in every folder of the corpus."""
    return Path(corpus.files[number].name).name


def _columns_beside(folder: CorpusFolder) -> dict[Path, list[str]]:
    """The folders that have numbers for each row of the decision table, each with its columns."""
    return {folder.measures: [*_NUMBERS, *_WORDS]} | {
        folder.score(score.name): [score.name] for score in score_columns()
    }


def _table_beside(path: Path, columns: list[str], num_rows: int) -> pa.Table:
    """The columns as float32, or words; null where the file or the column is missing, or belongs to another table."""
    table = pa.table({})
    if path.is_file():
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows == num_rows:
                table = file.read(columns=[name for name in columns if name in file.schema_arrow.names])
    schema = pa.schema([(name, pa.string() if name in _WORDS else pa.float32()) for name in columns])
    known = set(table.column_names)
    return pa.table(
        {
            field.name: table[field.name].cast(field.type) if field.name in known else pa.nulls(num_rows, field.type)
            for field in schema
        }
    )


def _rows_with(path: Path, keys: set[str], columns: list[str]) -> Iterator[tuple[int, Row]]:
    """The rows of a file whose key is one of `keys`, each with its index; COLUMNS that the file lacks are None."""
    with pq.ParquetFile(path) as file:
        wanted = pa.array(sorted(keys), pa.string())
        indices = np.flatnonzero(pc.is_in(file.read(columns=["key"])["key"], wanted).to_numpy())
        rows = file.read(columns=columns).take(indices).to_pylist() if len(indices) else []
    for index, row in zip(indices.tolist(), rows, strict=True):
        yield index, {**dict.fromkeys(COLUMNS), **row}


def _thumbnails(file: pq.ParquetFile, rows: list[Row]) -> Iterator[tuple[str, Thumbnail]]:
    starts = np.cumsum([0, *(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))])
    groups = np.searchsorted(starts, [row["row"] for row in rows], side="right") - 1
    for group in np.unique(groups).tolist():
        if group >= file.num_row_groups:  # the measures belong to another table
            continue
        table = file.read_row_group(group, columns=["key", "thumbnail"])
        for row in (row for row, its_group in zip(rows, groups, strict=True) if its_group == group):
            index = row["row"] - int(starts[group])
            data = table["thumbnail"][index].as_py()
            if data is not None and table["key"][index].as_py() == row["key"]:
                yield row["key"], pixels_of(data)
