"""A Chinese CLIP in a folder of the user's: the cosine of a picture and a caption, −1 … 1.

    check_clip(folder, "similarity.model")          # BadInput when it, or what reads it, is not there
    clip = ChineseClip(folder)
    clip.cosines([clip.pixels(picture)], [0, 0], ["一只蜜蜂", "红色的圆"])        # (2,)

The folder is one that transformers' `ChineseCLIPModel.save_pretrained` and `ChineseCLIPProcessor.save_pretrained`
leave. Needs the extra `clip`.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...manifests.errors import BadInput

_MAX_TOKENS = 52  # what Chinese-CLIP was trained with; longer captions are cut


def check_clip(folder: Path, named_by: str) -> None:
    """Raises BadInput when the folder holds no model, or when transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise BadInput(f"{named_by} needs transformers", cure="pip install 'tuwen[clip]'")
    if not (folder / "config.json").is_file():
        raise BadInput(f"{named_by}: {folder} holds no model", cure="name a folder as save_pretrained leaves it")


class ChineseClip:
    def __init__(self, folder: Path) -> None:
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

    def cosines(self, pixels: list[Any], pictures: list[int], captions: list[str]) -> NDArray[np.float32]:
        """The cosine of each caption with the picture whose index is in `pictures`."""
        import torch

        text = self._processor.tokenizer(
            captions, padding="max_length", truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            output = self._model(pixel_values=torch.stack(pixels), **text)
        cosines: NDArray[np.float32] = (output.image_embeds[pictures] * output.text_embeds).sum(dim=1).numpy()
        return cosines
