"""Where the pictures of a recipe's sources lie; what does not lie on disk yet is gathered first, drawn or fetched.

source = open_source(section, recipe, corpus, run)      # an OpenSource; maybe after hours of fetching
roots_of(manifest)["photos"]                            # where its pictures lie on this machine
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from ..manifests.atomic import whole_file
from ..manifests.manifest import Manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import SourceSection
from ..manifests.run_folders import CorpusFolder
from .executor.part import PictureRoot
from .executor.ray_cluster import start_cluster
from .executor.stage import StageRun
from .source_kinds import KINDS
from .sources.source import OpenSource


def open_source(section: SourceSection, recipe: Recipe, corpus: CorpusFolder, run: StageRun) -> OpenSource:
    """Gathers what does not lie on disk yet. Raises what drawing or fetching raises."""
    kind, gathered = KINDS[section.kind], corpus.pictures(section.name)
    if kind.gather is not None:
        start_cluster(run.ray, run.workers)
        kind.gather(section, recipe, gathered, run)
    return kind.locate(section, recipe.base, gathered)


def picture_roots(recipe: Recipe, corpus: CorpusFolder) -> dict[str, PictureRoot]:
    """The root of each source by its name, as the recipe says where it lies."""
    located = [
        KINDS[section.kind].locate(section, recipe.base, corpus.pictures(section.name)) for section in recipe.sources
    ]
    return {source.name: _absolute(source.root) for source in located}


def write_roots(roots: Mapping[str, PictureRoot], corpus: CorpusFolder) -> None:
    """Where the pictures lie on this machine, for pages that show them. It is no part of the manifest."""
    document = {name: asdict(_absolute(root)) for name, root in roots.items()}
    with whole_file(corpus.roots) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def roots_of(manifest: Manifest) -> dict[str, PictureRoot]:
    """Where the pictures of each source lie on this machine: what was gathered moves with the corpus."""
    corpus = CorpusFolder(manifest.folder)
    document = json.loads(corpus.roots.read_bytes()) if corpus.roots.is_file() else {}
    roots = {name: PictureRoot(**root) for name, root in document.items() if isinstance(root, dict)}
    for name, root in roots.items():
        if corpus.pictures(name).is_dir():
            roots[name] = replace(root, path=str(corpus.pictures(name).resolve()))
    return roots


def _absolute(root: PictureRoot) -> PictureRoot:
    return replace(root, path=str(Path(root.path).resolve()))
