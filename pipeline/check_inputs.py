"""Checks what a recipe names besides its pictures, before the first of them is fetched or decoded.

check_inputs(load_recipe("my-corpus.yaml"), corpus)       # raises BadInput: a model, a word list, a corpus
"""

from ..manifests.errors import BadInput
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import CorpusSource
from ..manifests.run_folders import CorpusFolder
from .captions.words import read_words
from .duplicates.known_pictures import open_known_corpus
from .scores.scores import asked_scores


def check_inputs(recipe: Recipe, corpus: CorpusFolder) -> None:
    """Finds what would otherwise be found where it is used, days later perhaps. Tables are checked as they are read."""
    if recipe.captions.word_list:
        read_words(recipe.base / recipe.captions.word_list)
    for score in asked_scores(recipe):
        score.check(recipe)
    evaluation = [source.path for source in recipe.evaluation if isinstance(source, CorpusSource)]
    for path in (*evaluation, *recipe.earlier):
        if (recipe.base / path).resolve() == corpus.path.resolve():
            raise BadInput(
                f"{path} is the corpus that this recipe builds: every pair would be its own duplicate",
                cure="name another recipe's corpus, or copy this one away first",
            )
        open_known_corpus(recipe.base / path)
