"""Is all there that a recipe names besides its pictures? Asked before the first of them is fetched or decoded.

check_inputs(load_recipe("my-corpus.yaml"), out)       # raises BadInput: a model, a word list, a corpus
"""

from pathlib import Path

from ..manifests.errors import BadInput
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import CorpusSource
from .captions.words import read_words
from .duplicates.known_pictures import open_known_corpus
from .scores.clip_similarity import model_hash as clip_hash
from .scores.embedding import model_hash
from .scores.nsfw import check_installed


def check_inputs(recipe: Recipe, out: Path) -> None:
    """What would otherwise be found where each is used, days later perhaps; tables are checked when they are read."""
    if recipe.captions.word_list:
        read_words(recipe.base / recipe.captions.word_list)
    if recipe.images.resolved().max_nsfw is not None:
        check_installed()
    if recipe.similarity.model is not None:
        clip_hash(recipe.base / recipe.similarity.model)
    embedding = recipe.duplicates.embedding
    if embedding.model is not None:
        model_hash(recipe.base / embedding.model, embedding.size)
    evaluation = [source.path for source in recipe.evaluation if isinstance(source, CorpusSource)]
    for path in (*evaluation, *recipe.earlier):
        if (recipe.base / path).resolve() == out.resolve():
            raise BadInput(
                f"{path} is the corpus that this recipe builds: every pair would be its own twin",
                cure="name another recipe's corpus, or copy this one away first",
            )
        open_known_corpus(recipe.base / path)
