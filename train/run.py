"""The folder of a training run: what it is, what it has learned, and how to paint with it.

    run = open_run(Path("runs/emoji"))           # or runs/emoji/train
    run.layout, run.caption_ids, run.image_codes, run.load_model()

A run explains itself: `run.json` (its declared inputs, number of steps included), `text.model` and
`image_tokenizer/` (so that it can paint anywhere), `losses.jsonl`, `checkpoint.safetensors`, `manifest.json`.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..manifests.atomic import whole_file
from ..manifests.canonical import canonical_json, exact
from ..manifests.errors import BadInput
from ..manifests.manifest import Manifest
from ..manifests.run_folders import IMAGE_TOKENIZER, TEXT_MODEL
from ..tokenize.caption_ids import CaptionIds
from ..tokenize.image_codes import ImageCodes
from ..tokenize.open_image_codes import open_image_codes
from ..tokenize.sequence import SequenceLayout
from .checkpoint import load_checkpoint
from .model import Transformer
from .optimizer import OptimizerConfig
from .preset import Settings

RUN, LOSSES, CHECKPOINT = "run.json", "losses.jsonl", "checkpoint.safetensors"


class RunDocument(BaseModel):
    """Two runs with equal documents, on one machine, give the same bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: str  # id of the shard manifest
    layout: dict[str, Any]
    settings: Settings
    optimizer: OptimizerConfig
    precision: Literal["float32", "bfloat16"]
    threads: int
    minutes: str | None = None  # that the number of steps was measured for


@dataclass(frozen=True)
class Run:
    folder: Path
    document: RunDocument

    @property
    def layout(self) -> SequenceLayout:
        return SequenceLayout(**{**self.document.layout, "commands": tuple(self.document.layout["commands"])})

    @property
    def caption_ids(self) -> CaptionIds:
        return CaptionIds((self.folder / TEXT_MODEL).read_bytes())

    @property
    def image_codes(self) -> ImageCodes:
        return open_image_codes(self.folder / IMAGE_TOKENIZER)

    @property
    def losses(self) -> list[dict[str, Any]]:
        """One entry a step; a line that a kill cut short does not count."""
        path = self.folder / LOSSES
        lines = path.read_text().splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def load_model(self) -> Transformer:
        checkpoint = load_checkpoint(self.folder / CHECKPOINT)
        if checkpoint is None:
            raise BadInput(f"{self.folder}: no checkpoint yet", cure="let `tuwen train` run for a while")
        model = Transformer(self.document.settings.model)
        model.load_state_dict(checkpoint.model)
        return model.eval()


def begin_run(folder: Path, shards: Manifest, document: RunDocument) -> Run:
    """Write down what the run is before its first step, with the tokenizers that its codes are made of."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shards.folder / TEXT_MODEL, folder / TEXT_MODEL)
    shutil.copytree(shards.folder / IMAGE_TOKENIZER, folder / IMAGE_TOKENIZER, dirs_exist_ok=True)
    with whole_file(folder / RUN) as temporary:
        temporary.write_bytes(canonical_json(exact(document.model_dump())) + b"\n")
    return Run(folder, document)


def open_run(folder: Path) -> Run:
    """Raises BadInput when there is no run in `folder` or in its `train/`."""
    for place in (folder, folder / "train"):
        if (place / RUN).is_file():
            return Run(place, RunDocument.model_validate_json((place / RUN).read_bytes()))
    raise BadInput(f"{folder}: no training run there", cure="name the folder that `tuwen train` wrote")
