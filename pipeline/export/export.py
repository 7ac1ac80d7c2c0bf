"""`tuwen export`: the kept pairs of a corpus as ordinary WebDataset tars, for any loader and for other people.

    manifest = export(load_manifest("runs/photos/corpus"), recipe, Path("exported"), StageRun())

Leaves in `out`: `train-00000.tar` … and `validation-00000.tar` … (`export_tar`), `manifest.json`, and what others look
for: `croissant.json`, `README.md` (the data card), `index.SPLIT.json` (wids). All captions of a picture are one sample.
Given to `tuwen corpus` as a `webdataset` source, the tars hold the same pairs. A tar is a part: one Ray task each,
resumable, the same bytes for any number of workers.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.atomic import sole_writer, whole_file
from ...manifests.canonical import sha256_of_file
from ...manifests.catalogues.croissant import Member, Tar, croissant
from ...manifests.catalogues.wids_index import IndexedTar, wids_index
from ...manifests.documents import FileEntry, Json, Split
from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest, drop_manifest, new_manifest, save_manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import ExportFolder
from ...manifests.shards.shard_locations import refuse_own_folder
from ..corpus_files.kept_pairs import kept_pairs
from ..corpus_files.split import SPLITS, split_of
from ..executor.part import InputFile, Part, PartResult, PictureRoot
from ..executor.stage import Stage, StageRun, run_stage
from ..open_source import roots_of
from .data_card import data_card
from .export_tar import EXPORTED, ExportConfig, ExportRow, ExportSummary, export_tar, picture_of

_BESIDE = {
    "json": Member("json", "application/json", "keys, captions, source, origin, license, url, size, sha256 as JSON."),
    "caption": Member("txt", "text/plain", "The captions, UTF-8, one a line."),
}


EXPORT = Stage("export", export_tar, libraries=("pillow",))

_Result = PartResult[ExportSummary]


def export(corpus: Manifest, recipe: Recipe, out: Path, run: StageRun) -> Manifest:
    """Export a corpus. `recipe` is its own, or one whose `export` differs. Raises BadInput if the pictures are gone."""
    refuse_own_folder(out, [corpus])
    run, folder = replace(run, roots=_roots(corpus)), ExportFolder(out)
    with sole_writer(out):
        drop_manifest(out)
        rules = recipe.export
        config = ExportConfig(pictures=rules.pictures, quality=rules.quality, max_side=rules.max_side)
        results = run_stage(EXPORT, list(_plan(corpus, recipe, run, folder)), config, out, run)
        files = [result.files[0].model_copy(update={"rows": result.summary["pairs"]}) for result in results]
        document = new_manifest(
            "export",
            files=files,
            splits=_splits(files),
            split_rule={"by": "cluster", "validation": recipe.split.validation},
            licenses=corpus.document["licenses"],
            totals={
                "pairs": sum(result.summary["pairs"] for result in results),
                "pictures": sum(result.summary["pictures"] for result in results),
                "bytes": sum(file.bytes for file in files),
            },
            lineage={
                "recipe": {**corpus.document["lineage"]["recipe"], "export": recipe.document()["export"]},
                "steps": corpus.document["lineage"]["steps"],
                "parents": [corpus.id],
            },
        )
        _write_catalogues(document, recipe, results, folder)
        return save_manifest(out, document)


def _plan(corpus: Manifest, recipe: Recipe, run: StageRun, folder: ExportFolder) -> Iterator[Part[None]]:
    """The tars as parts: the kept pairs of each split. Their rows are on disk, so that a corpus of any size fits."""
    open_rows: dict[str, list[ExportRow]] = {split: [] for split in SPLITS}
    numbers = dict.fromkeys(SPLITS, 0)

    def close(split: str) -> Part[None]:
        name = f"{split}-{numbers[split]:05d}"
        numbers[split] += 1
        path = folder.plan / f"{name}.parquet"
        with whole_file(path) as temporary:
            pq.write_table(pa.Table.from_pylist(open_rows[split]), temporary)
        open_rows[split] = []
        return Part(name, None, {"rows": InputFile(str(path.resolve()), sha256_of_file(path))}, roots=run.roots)

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


def _roots(corpus: Manifest) -> dict[str, PictureRoot]:
    """The roots of the corpus' sources. Raises BadInput if pictures of one are not where they were."""
    names = {source["name"] for source in corpus.document["lineage"]["recipe"]["sources"]}
    roots = {name: root for name, root in roots_of(corpus).items() if name in names}
    for name, root in roots.items():
        if not Path(root.path).exists():
            raise BadInput(f"the pictures of source {name} are not at {root.path}", cure="run `tuwen corpus` again")
    if not roots:
        raise BadInput(f"{corpus.folder}: does not say where its pictures lie", cure="run `tuwen corpus` again")
    return roots


def _splits(files: list[FileEntry]) -> dict[str, Split]:
    tars = {split: [file for file in files if file.name.startswith(f"{split}-")] for split in SPLITS}
    return {
        split: Split(samples=sum(file.rows or 0 for file in listed), shards=[file.name for file in listed])
        for split, listed in tars.items()
    }


def _write_catalogues(document: Json, recipe: Recipe, results: list[_Result], folder: ExportFolder) -> None:
    """Write the card and indices. The manifest does not list them: their dates would change its id."""
    by_split: dict[str, list[IndexedTar]] = {split: [] for split in SPLITS}
    for result in results:
        file = result.files[0]
        by_split[file.name.partition("-")[0]].append(IndexedTar(file.name, result.summary["pictures"], file.bytes))
    texts = {folder.wids_index(split): wids_index(split, tars) for split, tars in by_split.items() if tars}
    endings = sorted({ending for result in results for ending in result.summary["endings"]})
    texts[folder.croissant] = json.dumps(_croissant(document, recipe, endings), indent=1, ensure_ascii=False) + "\n"
    texts[folder.card] = data_card(document, recipe, endings)
    for path, text in texts.items():
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


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
