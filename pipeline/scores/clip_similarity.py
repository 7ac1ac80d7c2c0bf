"""The similarity of picture and caption: the cosine of a Chinese CLIP in a folder of the user's, −1 … 1.

    run_score(SCORES["similarity"], recipe, parts, corpus, run)     # needs the extra `clip`

Comes in: a part's measures, its verdicts of `judge`, and its pictures, read again. Goes out: `PART.parquet` with
`similarity`, one row a pair, null where a rule had dropped the pair before. The folder is one that transformers'
`ChineseCLIPModel.save_pretrained` and `ChineseCLIPProcessor.save_pretrained` leave.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...manifests.canonical import sha256_of, sha256_of_file
from ..corpus_files.stage_tables import WRITTEN, read_stage_table
from ..executor.part import InputFile, Part
from ..pictures.measured_pictures import LOCATION_COLUMNS, in_batches, measured_pictures
from .chinese_clip import ChineseClip, check_clip

if TYPE_CHECKING:
    from ...manifests.recipe.recipe import Recipe

COLUMN = pa.field("similarity", pa.float32())  # −1 … 1; null where a rule had dropped the pair before
_BATCH = 16


def is_asked(recipe: "Recipe") -> bool:
    return recipe.similarity.model is not None


def model_of(recipe: "Recipe") -> InputFile:
    """The folder of the model, hashed over its files. Raises BadInput when it, or what reads it, is not there."""
    folder = recipe.base / str(recipe.similarity.model)
    check_clip(folder, "similarity.model")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sha256 = sha256_of({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})
    return InputFile(str(folder.resolve()), sha256)


def similarity(part: Part[None], config: None, folder: Path) -> dict[str, int]:
    measured = read_stage_table(part.input_path("measures"), columns=LOCATION_COLUMNS)
    judged = read_stage_table(part.input_path("judged"), columns=["caption", "reason"])
    alive = np.flatnonzero(pc.equal(judged["reason"], "").to_numpy())
    captions = judged["caption"].take(alive).to_pylist()
    clip = _load(part.inputs["model"])
    cosines = np.full(len(measured), np.nan, np.float32)
    pictures = measured_pictures(measured.take(alive), part.roots)
    small = ((rows, clip.pixels(picture)) for rows, picture in pictures)
    for batch in in_batches(small, _BATCH):
        pictures_of = [number for number, (rows, _) in enumerate(batch) for _ in rows]
        rows_of = [row for rows, _ in batch for row in rows]
        pixels, texts = [pixels for _, pixels in batch], [captions[row] for row in rows_of]
        cosines[alive[rows_of]] = clip.cosines(pixels, pictures_of, texts)
    column = pa.array(cosines, mask=np.isnan(cosines))
    pq.write_table(pa.table([column], schema=pa.schema([COLUMN])), folder / f"{part.name}.parquet", **WRITTEN)
    return {"pairs": len(measured)}


@lru_cache(maxsize=1)
def _load(model: InputFile) -> ChineseClip:
    return ChineseClip(Path(model.path))
