"""Does a tokenizer give one picture one set of codes? The function of the stage `stability`, before a job of encoding.

Comes in: a part with the rows of a few pairs, and the files of each array's tokenizer. Goes out: for each array, how
many codes differ when the same batch is encoded twice, when a picture is encoded alone, and when it has other
neighbours.
"""

from itertools import islice
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow.parquet as pq
import torch

from ...pipeline.executor.part import Part
from ..image_codes import Codes, ImageCodes, Pictures
from .crops_ahead import CropItem, CropPlan, crops_of
from .encode_shard import open_encoders

_ALONE = 2  # pictures that are encoded alone; each costs a whole batch


class StabilityConfig(TypedDict):
    crops: CropPlan
    device: str
    threads: int


Stability = dict[str, int]  # "codes" and "codes_alone" count those compared; "twice", "alone", "among_others" differ


def measure_stability(part: Part[None], config: StabilityConfig, folder: Path) -> dict[str, Stability]:
    torch.set_num_threads(config["threads"])
    encoders = open_encoders(part, config["device"])
    rows = pq.read_table(part.input_path("rows"))
    wanted = max(encoder.batch for encoder in encoders.values())
    found = next(crops_of([rows], part.roots, config["crops"], decoders=0))
    items = list(islice((item for item in found if isinstance(item, CropItem)), wanted))
    if not items:
        return {}
    return {
        array: _stability(encoder, np.stack([item.pictures[array] for item in items][: encoder.batch]))
        for array, encoder in encoders.items()
    }


def _stability(encoder: ImageCodes, pictures: Pictures) -> Stability:
    codes = encoder.encode(pictures)
    alone = np.concatenate([encoder.encode(pictures[number : number + 1]) for number in range(len(pictures))[:_ALONE]])
    return Stability(
        codes=codes.size,
        twice=_differing(codes, encoder.encode(pictures)),
        alone=_differing(codes[:_ALONE], alone),
        codes_alone=alone.size,
        among_others=_differing(codes[::-1], encoder.encode(pictures[::-1].copy())),
    )


def _differing(codes: Codes, again: Codes) -> int:
    return int((codes != again).sum())
