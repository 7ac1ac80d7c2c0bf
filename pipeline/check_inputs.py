"""Checks everything that a recipe names, before the first picture is fetched or decoded.

    check_inputs(load_recipe("my-corpus.yaml"), corpus)       # raises BadInput: a path, a list, a model, a word list, …

`tuwen corpus` and its `--explain` run the same checks. Of a list of addresses a few rows are read; no other file of a
source is opened.
"""

from collections.abc import Iterator

from ..manifests.errors import BadInput
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import CorpusSource, FileSource
from ..manifests.run_folders import CorpusFolder
from .captions.words import read_words
from .duplicates.known_pictures import open_known_corpus
from .scores.scores import asked_scores
from .source_kinds import KINDS


def check_inputs(recipe: Recipe, corpus: CorpusFolder) -> None:
    """Finds what would otherwise be found where it is used, days later perhaps."""
    data = list(_data_paths(recipe))
    for what, path in (*data, *_other_paths(recipe)):
        check_is_local(what, path)
    for what, path in data:
        if not (recipe.base / path).exists():
            raise BadInput(
                f"{what}: {recipe.base / path} does not exist", cure="paths are relative to the recipe; correct it"
            )
    if recipe.captions.word_list:
        read_words(recipe.base / recipe.captions.word_list)
    for score in asked_scores(recipe):
        score.check(recipe)
    _check_corpora(recipe, corpus)
    for section in (*recipe.sources, *recipe.evaluation):
        if not isinstance(section, CorpusSource) and (check := KINDS[section.kind].check):
            check(section, recipe.base)


def _data_paths(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The paths of sources and of earlier corpora, each with what it is of."""
    for section in (*recipe.sources, *recipe.evaluation):
        if isinstance(section, FileSource | CorpusSource):
            yield f"source {section.name}", section.path
    yield from (("earlier", path) for path in recipe.earlier)


def _other_paths(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The paths whose readers say themselves what is missing."""
    others = {
        "captions.word_list": recipe.captions.word_list,
        "similarity.model": recipe.similarity.model,
        "duplicates.embedding.model": recipe.duplicates.embedding.model,
    }
    yield from ((key, path) for key, path in others.items() if path)


def check_is_local(what: str, path: str) -> None:
    """Raises BadInput when the path is an address, with the command that copies what lies there."""
    scheme, _, rest = path.partition("://")
    if not rest or "/" in scheme:
        return
    name = rest.rstrip("/").rpartition("/")[2] or "data"
    copy = {"s3": f" (`aws s3 sync {path} {name}`)", "oss": f" (`ossutil sync {path} {name}`)"}.get(scheme, "")
    raise BadInput(
        f"{what}: {path} is no folder or file of this machine",
        cure=f"copy it here{copy}, or mount it, and give that path",
    )


def _check_corpora(recipe: Recipe, corpus: CorpusFolder) -> None:
    evaluation = [source.path for source in recipe.evaluation if isinstance(source, CorpusSource)]
    for path in (*evaluation, *recipe.earlier):
        if (recipe.base / path).resolve() == corpus.path.resolve():
            raise BadInput(
                f"{path} is the corpus that this recipe builds: every pair would be its own duplicate",
                cure="name another recipe's corpus, or copy this one away first",
            )
        open_known_corpus(recipe.base / path)
