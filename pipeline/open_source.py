"""Where the pictures of a recipe's sources lie; what does not lie on disk yet is gathered first, drawn or fetched.

opened = open_source(source, recipe, out=Path("runs/x/corpus"))      # an OpenSource; maybe after hours of fetching
roots_of(corpus)["photos"]                                           # where its pictures lie on this machine
"""

import json
from dataclasses import replace
from pathlib import Path

from ..manifests.atomic import whole_file
from ..manifests.manifest import Manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import EmojiSource, FolderSource, ParquetSource, Source, UrlsSource
from .executor.stage import run_stage
from .fetch.gather import gather_urls
from .sources import emoji_corpus
from .sources.source import OpenSource

_ROOTS = ".work/roots.json"


def open_source(source: Source, recipe: Recipe, out: Path, workers: int | None = None) -> OpenSource:
    """Where the pictures of a source lie; what does not lie anywhere yet is gathered into tars first."""
    folder = gathered_folder(out, source.name)
    if isinstance(source, EmojiSource):
        parts = emoji_corpus.gather_parts(source)
        run_stage(f"draw {source.name}", emoji_corpus.gather, parts, {}, folder, workers=workers)
        return OpenSource(source.name, "webdataset", folder, *emoji_corpus.LICENSES[source.artwork])
    if isinstance(source, UrlsSource):
        gather_urls(source, recipe.base / source.path, folder, workers)
        return OpenSource(source.name, "fetched", folder, source.license, source.attribution)
    opened = OpenSource(source.name, source.kind, recipe.base / source.path, source.license, source.attribution)
    if isinstance(source, FolderSource):
        return replace(opened, captions=source.captions)
    if isinstance(source, ParquetSource):
        return replace(opened, columns={"image": source.image, "caption": source.caption})
    return opened


def gathered_folder(corpus: Path, source_name: str) -> Path:
    return corpus / "pictures" / source_name


def picture_roots(recipe: Recipe, corpus: Path) -> dict[str, Path]:
    """Source name → the folder (or tar) that `origin` is relative to."""
    gathered = (EmojiSource, UrlsSource)
    return {
        source.name: gathered_folder(corpus, source.name) if isinstance(source, gathered) else recipe.base / source.path
        for source in recipe.sources
    }


def remember_roots(sources: list[OpenSource], out: Path) -> None:
    """Where the pictures lie on this machine, those of evaluation sets too: for pages that show them, no part of the
    manifest."""
    with whole_file(out / _ROOTS) as temporary:
        temporary.write_text(
            json.dumps({source.name: str(source.root.resolve()) for source in sources}), encoding="utf-8"
        )


def roots_of(corpus: Manifest) -> dict[str, Path]:
    """Where the pictures of each source lie on this machine: what was gathered moves with the corpus."""
    path = corpus.folder / _ROOTS
    said = json.loads(path.read_bytes()) if path.is_file() else {}
    gathered = {name: gathered_folder(corpus.folder, name) for name in said}
    return {name: gathered[name] if gathered[name].is_dir() else Path(root) for name, root in said.items()}
