"""The formats of `tuwen export`, one row each: how the kept pairs are cut into files, and who writes a file.

    format = FORMATS["huggingface"]
    parts = format.parts(plan)              # [("train-00000-of-00004", {"lists": False}), …]

To add a format: a module with the function of its stage and the one that names its parts, its row here, its name in
`export.format` of the recipe, and `cards/NAME.md`, which says in the data card what lies there and how it is read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...manifests.documents import Json
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import ExportFolder
from ..executor.part import PartResult
from ..executor.stage import Stage
from . import chinese_clip, huggingface, imagefolder, webdataset
from .exported_picture import ExportConfig, ExportSummary
from .plan import PlannedRows
from .tar_catalogues import tar_catalogues

Results = list[PartResult[ExportSummary]]


@dataclass(frozen=True)
class Format:
    """What differs from format to format."""

    stage: Stage[Any, ExportConfig, ExportSummary]
    parts: Callable[[list[PlannedRows]], list[tuple[str, Any]]]  # name and spec of each
    listing: str  # how the names of the files end that list the pairs
    unit: str  # what people call such a file
    # Puts the pieces of the parts together: (folder of the pieces, split → names of its parts, out) → file → its split.
    join: Callable[[Path, dict[str, list[str]], Path], dict[str, str | None]] | None = None
    catalogues: Callable[[Json, Recipe, Results, ExportFolder], dict[Path, str]] | None = None  # file → its text
    hub_files: dict[str, list[str]] | None = None  # of each split, for the hub; None: its listings


FORMATS: dict[str, Format] = {
    "webdataset": Format(
        Stage("export", webdataset.write_tar, libraries=("pillow",)),
        webdataset.tars,
        listing=".tar",
        unit="tar",
        catalogues=tar_catalogues,
    ),
    "chinese-clip": Format(
        Stage("export", chinese_clip.write_piece, libraries=("pillow", "pyarrow")),
        chinese_clip.pieces,
        listing=chinese_clip.LISTING,
        unit="file",
        join=chinese_clip.join,
    ),
    "huggingface": Format(
        Stage("export", huggingface.write_parquet, libraries=("pillow", "pyarrow")),
        huggingface.tables,
        listing=".parquet",
        unit="file",
    ),
    "imagefolder": Format(
        Stage("export", imagefolder.write_folder, libraries=("pillow",)),
        imagefolder.folders,
        listing=imagefolder.LISTING,
        unit="folder",
        hub_files={split: [f"{split}/**"] for split in ("train", "validation")},
    ),
}
