"""What catalogues and loaders look for beside exported tars: Croissant, and the indices of wids.

texts = tar_catalogues(manifest.document, recipe, results, ExportFolder(out))      # {path: text}
"""

import json
from pathlib import Path

from ...manifests.catalogues.croissant import Member, Tar, croissant
from ...manifests.catalogues.wids_index import IndexedTar, wids_index
from ...manifests.documents import Json
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import ExportFolder
from ..corpus_files.split import SPLITS
from ..executor.part import PartResult
from .exported_picture import ExportSummary

_BESIDE = {
    "json": Member("json", "application/json", "keys, captions, source, origin, license, url, size, sha256 as JSON."),
    "caption": Member("txt", "text/plain", "The captions, UTF-8, one a line."),
}


def tar_catalogues(
    document: Json, recipe: Recipe, results: list[PartResult[ExportSummary]], folder: ExportFolder
) -> dict[Path, str]:
    by_split: dict[str, list[IndexedTar]] = {split: [] for split in SPLITS}
    for result in results:
        file = result.files[0]
        by_split[file.name.partition("-")[0]].append(IndexedTar(file.name, result.summary["pictures"], file.bytes))
    texts = {folder.wids_index(split): wids_index(split, tars) for split, tars in by_split.items() if tars}
    endings = sorted({ending for result in results for ending in result.summary["endings"]})
    texts[folder.croissant] = json.dumps(_croissant(document, recipe, endings), indent=1, ensure_ascii=False) + "\n"
    return texts


def _croissant(document: Json, recipe: Recipe, endings: list[str]) -> Json:
    licenses = document["licenses"]
    tars = [
        Tar(file["name"], file["sha256"], file["bytes"], file["name"].partition("-")[0]) for file in document["files"]
    ]
    totals, parent = document["totals"], document["lineage"]["parents"][0]
    return croissant(
        recipe.name,
        description=f"{totals['pairs']} Chinese captions of {totals['pictures']} pictures; made from {parent}.",
        licenses=sorted({entry["license"] for entry in licenses}) or ["unknown"],
        attribution="; ".join(dict.fromkeys(entry["attribution"] for entry in licenses if entry["attribution"])),
        version="1.0.0",
        date=document["created"][:10],
        tars=tars,
        members={"image": Member(" ".join(endings), "image/*", "The picture."), **_BESIDE},
    )
