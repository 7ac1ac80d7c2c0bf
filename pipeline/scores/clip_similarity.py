"""The similarity of picture and caption: the cosine of a Chinese CLIP in a folder of the user's, −1 … 1.

    run_score(SCORES["similarity"], recipe, parts, corpus, run)     # needs the extra `clip`

Comes in: a part's measures, its verdicts of `judge`, and its pictures, read again. Goes out: `PART.parquet` with
`similarity`, one row a pair, null where a rule had dropped the pair before. The folder is one that transformers'
`ChineseCLIPModel.save_pretrained` and `ChineseCLIPProcessor.save_pretrained` leave.
"""

import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...manifests.canonical import sha256_of, sha256_of_file
from ...manifests.errors import BadInput
from ..executor.part import InputFile, Part
from ..pictures.measured_pictures import LOCATION_COLUMNS, in_batches, measured_pictures

if TYPE_CHECKING:
    from ...manifests.recipe.recipe import Recipe

COLUMN = pa.field("similarity", pa.float32())  # −1 … 1; null where a rule had dropped the pair before
_BATCH = 16
_MAX_TOKENS = 52  # what Chinese-CLIP was trained with; longer captions are cut


def is_asked(recipe: "Recipe") -> bool:
    return recipe.similarity.model is not None


def model_of(recipe: "Recipe") -> InputFile:
    """The folder of the model, hashed over its files. Raises BadInput when it, or what reads it, is not there."""
    folder = recipe.base / str(recipe.similarity.model)
    if importlib.util.find_spec("transformers") is None:
        raise BadInput("similarity.model needs transformers", cure="pip install 'tuwen[clip]'")
    if not (folder / "config.json").is_file():
        raise BadInput(f"similarity.model: {folder} holds no model", cure="name a folder as save_pretrained leaves it")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sha256 = sha256_of({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})
    return InputFile(str(folder.resolve()), sha256)


def similarity(part: Part[None], config: None, folder: Path) -> dict[str, int]:
    measured = pq.read_table(part.input_path("measures"), columns=LOCATION_COLUMNS)
    judged = pq.read_table(part.input_path("judged"), columns=["caption", "reason"])
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
    pq.write_table(pa.table([column], schema=pa.schema([COLUMN])), folder / f"{part.name}.parquet", compression="zstd")
    return {"pairs": len(measured)}


class _ChineseClip:
    def __init__(self, folder: str) -> None:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        import torch
        from transformers import ChineseCLIPModel, ChineseCLIPProcessor

        torch.set_num_threads(1)  # a task has one CPU, and sums depend on the number of threads
        self._model = ChineseCLIPModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self._model.train(False)
        self._processor = ChineseCLIPProcessor.from_pretrained(folder, local_files_only=True)

    def pixels(self, picture: Any) -> Any:
        """(3, H, W) of the model's size, so that a batch of large pictures is never in memory."""
        return self._processor.image_processor(images=picture, return_tensors="pt")["pixel_values"][0]

    def cosines(self, pixels: list[Any], pictures: list[int], captions: list[str]) -> np.ndarray[Any, Any]:
        """The cosine of each caption with the picture whose index is in `pictures`."""
        import torch

        text = self._processor.tokenizer(
            captions, padding="max_length", truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            output = self._model(pixel_values=torch.stack(pixels), **text)
        cosines: np.ndarray[Any, Any] = (output.image_embeds[pictures] * output.text_embeds).sum(dim=1).numpy()
        return cosines


@lru_cache(maxsize=1)
def _load(model: InputFile) -> _ChineseClip:
    return _ChineseClip(model.path)
