"""`tuwen export`: the kept pairs of a corpus in a format that others read, for any loader and for other people.

    manifest = export(load_manifest("runs/photos/corpus"), recipe, Path("exported"), StageRun())

`recipe.export.format` is one of `FORMATS`. Leaves in `out` its files, `manifest.json`, and `README.md` (the data card);
beside tars `croissant.json` and `index.SPLIT.json` (wids), too. Given to `tuwen corpus` as a source, they hold the same
pairs. A part of some thousand pairs is one Ray task, resumable, with the same bytes for any number of workers.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ...manifests.atomic import sole_writer, whole_file
from ...manifests.canonical import sha256_of_file
from ...manifests.documents import FileEntry, Json, Split
from ...manifests.errors import BadInput
from ...manifests.manifest import FILE_NAME, Manifest, drop_manifest, new_manifest, save_manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import ExportFolder
from ...manifests.shards.shard_locations import refuse_own_folder
from ..corpus_files.split import SPLITS
from ..executor.part import Part, PictureRoot
from ..executor.stage import StageRun, run_stage
from ..open_source import roots_of
from .data_card import data_card
from .exported_picture import ExportConfig
from .formats import FORMATS, Format, Results
from .plan import PlannedRows, planned_rows


class WrittenFile(NamedTuple):
    entry: FileEntry
    split: str | None  # whose pairs it lists; None: it lists none


def export(corpus: Manifest, recipe: Recipe, out: Path, run: StageRun) -> Manifest:
    """Export a corpus. `recipe` is its own, or one whose `export` differs. Raises BadInput if the pictures are gone."""
    refuse_own_folder(out, [corpus])
    _refuse_other_format(out, recipe.export.format)
    run, folder, format_ = replace(run, roots=_roots(corpus)), ExportFolder(out), FORMATS[recipe.export.format]
    with sole_writer(out):
        drop_manifest(out)
        plan = list(planned_rows(corpus, recipe, folder.plan))
        parts = [
            Part(name, spec, {"rows": rows.rows}, roots=run.roots)
            for rows, (name, spec) in zip(plan, format_.parts(plan), strict=True)
        ]
        rules = recipe.export
        config = ExportConfig(pictures=rules.pictures, quality=rules.quality, max_side=rules.max_side)
        results = run_stage(format_.stage, parts, config, folder.pieces if format_.join else out, run)
        document = _document(corpus, recipe, _written(format_, plan, results, folder), results)
        _write_beside(document, recipe, results, folder)
        manifest = save_manifest(out, document)
        shutil.rmtree(folder.pieces, ignore_errors=True)
        return manifest


def _document(corpus: Manifest, recipe: Recipe, files: list[WrittenFile], results: Results) -> Json:
    return new_manifest(
        "export",
        files=[file.entry for file in files],
        splits={split: _split(split, files) for split in SPLITS},
        split_rule={"by": "cluster", "validation": recipe.split.validation},
        licenses=corpus.document["licenses"],
        totals={
            "pairs": sum(result.summary["pairs"] for result in results),
            "pictures": sum(result.summary["pictures"] for result in results),
            "bytes": sum(file.entry.bytes for file in files),
        },
        lineage={
            "recipe": {**corpus.document["lineage"]["recipe"], "export": recipe.document()["export"]},
            "steps": corpus.document["lineage"]["steps"],
            "parents": [corpus.id],
        },
    )


def _written(format_: Format, plan: list[PlannedRows], results: Results, folder: ExportFolder) -> list[WrittenFile]:
    """What the parts have left, or what their pieces were put together to; those that list pairs with their number."""
    if format_.join is None:
        return [
            WrittenFile(file.model_copy(update={"rows": rows.pairs}), rows.split)
            if file.name.endswith(format_.listing)
            else WrittenFile(file, None)
            for rows, result in zip(plan, results, strict=True)
            for file in result.files
        ]
    named = list(zip(plan, results, strict=True))
    parts = {split: [result.name for rows, result in named if rows.split == split] for split in SPLITS}
    pairs = {split: sum(rows.pairs for rows in plan if rows.split == split) for split in SPLITS}
    return [
        WrittenFile(_entry(folder.path / name, None if split is None else pairs[split]), split)
        for name, split in format_.join(folder.pieces, parts, folder.path).items()
    ]


def _entry(path: Path, rows: int | None) -> FileEntry:
    entry = FileEntry(name=path.name, bytes=path.stat().st_size, sha256=sha256_of_file(path))
    return entry if rows is None else entry.model_copy(update={"rows": rows})


def _split(split: str, files: list[WrittenFile]) -> Split:
    listed = [file.entry for file in files if file.split == split]
    return Split(samples=sum(entry.rows or 0 for entry in listed), shards=[entry.name for entry in listed])


def _refuse_other_format(out: Path, format_: str) -> None:
    """Raise BadInput when `out` holds an export in another format, whose files would stay among the new ones."""
    path = out / FILE_NAME
    recipe = json.loads(path.read_bytes()).get("lineage", {}).get("recipe", {}) if path.is_file() else {}
    there = recipe.get("export", {}).get("format", "webdataset") if recipe else format_
    if there != format_:
        raise BadInput(f"{out}: holds an export in the format {there}", cure="give another --out, or remove that one")


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


def _write_beside(document: Json, recipe: Recipe, results: Results, folder: ExportFolder) -> None:
    """Write the card and the catalogues. The manifest does not list them: their dates would change its id."""
    catalogues = FORMATS[recipe.export.format].catalogues
    texts = catalogues(document, recipe, results, folder) if catalogues else {}
    endings = sorted({ending for result in results for ending in result.summary["endings"]})
    texts[folder.card] = data_card(document, recipe, endings)
    for path, text in texts.items():
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
