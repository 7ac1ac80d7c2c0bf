"""Which kept pairs go into which file of an export: the pairs of each split, cut into parts of some thousand.

for rows in planned_rows(corpus, recipe, folder.plan):
    rows.name, rows.pairs, rows.pictures        # "train-00000", 5000, 4873

The rows of a part are on disk, so that a corpus of any size fits. All captions of a picture are in one part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.atomic import whole_file
from ...manifests.canonical import sha256_of_file
from ...manifests.manifest import Manifest
from ...manifests.recipe.recipe import Recipe
from ..corpus_files.kept_pairs import kept_pairs
from ..corpus_files.split import SPLITS, split_of
from ..executor.part import InputFile
from .exported_picture import EXPORTED, ExportRow, picture_of


@dataclass(frozen=True)
class PlannedRows:
    split: str
    number: int  # in its split
    rows: InputFile
    pairs: int
    pictures: int

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"


def planned_rows(corpus: Manifest, recipe: Recipe, plan: Path) -> Iterator[PlannedRows]:
    """Yield each part once its rows are written, so that parts of the splits come in turn."""
    open_rows: dict[str, list[ExportRow]] = {split: [] for split in SPLITS}
    numbers = dict.fromkeys(SPLITS, 0)

    def close(split: str) -> PlannedRows:
        rows, number = open_rows[split], numbers[split]
        open_rows[split], numbers[split] = [], number + 1
        return _written(split, number, rows, plan)

    for table in kept_pairs(corpus.folder, corpus.files, EXPORTED):
        for row in table.to_pylist():
            split = split_of(row["cluster"], recipe.split.validation)
            rows = open_rows[split]
            if len(rows) >= recipe.export.tar_pairs and picture_of(row) != picture_of(rows[-1]):
                yield close(split)
            open_rows[split].append(row)
    for split in SPLITS:
        if open_rows[split]:
            yield close(split)


def _written(split: str, number: int, rows: list[ExportRow], plan: Path) -> PlannedRows:
    path = plan / f"{split}-{number:05d}.parquet"
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
    pictures = sum(1 for _ in groupby(rows, key=picture_of))
    return PlannedRows(split, number, InputFile(str(path.resolve()), sha256_of_file(path)), len(rows), pictures)
