"""The folder of a training run: its declared inputs, its losses, its weights and the tokenizers that its codes need.

    run = open_run(Path("runs/emoji"))           # or runs/emoji/train
    run.layout, run.caption_ids, run.image_codes, run.losses, run.load_model()

The folder is complete in itself, so pictures can be sampled wherever it is copied: `run.json` (the inputs, number of
steps included), `text.model`, `image_tokenizer/`, `losses.jsonl`, `checkpoint.safetensors`, `manifest.json`.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json, exact
from ...manifests.errors import BadInput, CheckFailed
from ...manifests.manifest import Manifest, load_manifest
from ...manifests.run_folders import RunFolder, ShardsFolder, TrainFolder
from ...manifests.validation_words import plain_errors
from ...tokenize.caption_ids import CaptionIds, open_caption_ids
from ...tokenize.finer_sequence import FinerLayout
from ...tokenize.image_codes import ImageCodes
from ...tokenize.open_image_codes import open_image_codes
from ...tokenize.sequence import SequenceLayout
from ..transformer.lora import merged
from ..transformer.model import ModelConfig, Transformer
from .byte_weights import load_byte_weights
from .checkpoint import Tensors, load_checkpoint
from .loss_log import StepEntry, read_losses
from .preset import TrainSettings
from .schedule import OptimizerConfig

SHIPPED = Path(__file__).parents[1] / "shipped"  # painters, by their recipe's name


class RunDocument(BaseModel):
    """run.json: two runs with equal documents give the same bits on one machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: str  # id of the shard manifest
    image_tokenizer: str  # sha256
    text_tokenizer: str  # sha256
    layout: SequenceLayout
    settings: TrainSettings
    optimizer: OptimizerConfig
    precision: Literal["float32", "bfloat16", "float16"]  # of matrix products
    finer: FinerLayout | None = None  # of a run that continues codes with finer ones, which is all that it learns
    finer_tokenizer: str = ""  # sha256
    init: str = ""  # id of the manifest of the run that it was begun from
    threads: int  # of torch: sums are cut by their number
    minutes: str | None = None  # that the recipe stated; the number of steps was measured for them

    @property
    def learned(self) -> SequenceLayout | FinerLayout:
        """The layout of the sequences that it learns from."""
        return self.finer or self.layout


class RunTotals(TypedDict):
    """How far a run has come."""

    steps: int
    samples: int


@dataclass(frozen=True)
class Run:
    folder: TrainFolder
    document: RunDocument

    @property
    def layout(self) -> SequenceLayout:
        return self.document.layout

    @property
    def caption_ids(self) -> CaptionIds:
        return open_caption_ids(self.folder.text_model.read_bytes())

    @property
    def image_codes(self) -> ImageCodes:
        """Raises BadInput when the shards were imported without their image tokenizer."""
        return _opened(self.folder.image_tokenizer)

    @property
    def finer_image_codes(self) -> ImageCodes:
        """The tokenizer of the finer codes. Raises BadInput when the run has none."""
        return _opened(self.folder.finer_tokenizer)

    @property
    def samples(self) -> Path:
        """Where its pictures go: into the run, or, of a shipped painter, below the current directory."""
        return self.whole.samples if self.is_shipped else self.folder.samples

    @property
    def is_shipped(self) -> bool:
        return self.folder.path.parent == SHIPPED

    @property
    def whole(self) -> RunFolder:
        """The folder with its corpus and its shards; of a shipped painter that of its recipe."""
        return RunFolder.of(self.folder.path.name) if self.is_shipped else RunFolder(self.folder.path.parent)

    @property
    def judged(self) -> TrainFolder:
        """Where its evaluation goes: into the run, or, of a shipped painter, below the current directory."""
        return TrainFolder(self.whole.path) if self.is_shipped else self.folder

    @property
    def totals(self) -> RunTotals:
        """Raises BadInput when it has done no step."""
        if self.folder.manifest.is_file():
            totals = load_manifest(self.folder.path).document["totals"]
            return RunTotals(steps=totals["steps"], samples=totals["samples"])
        if not self.losses:
            raise BadInput(f"{self.folder.path}: has done no step", cure="let `tuwen train` run for a while")
        return RunTotals(steps=self.losses[-1]["step"] + 1, samples=self.losses[-1]["samples"])

    @property
    def losses(self) -> list[StepEntry]:
        return read_losses(self.folder.losses)

    def load_model(self) -> Transformer:
        """The model that paints: of the last checkpoint, or of a painter, in evaluation mode.

        A run that learns finer codes paints with its base. Raises BadInput when there is no model.
        """
        if self.document.finer is None:
            return self.load_learned()
        sizes = {"vocab_size": self.layout.vocab, "num_positions": self.layout.length}
        return _evaluating(self.document.settings.model.model_copy(update=sizes), self.load_base())

    def load_learned(self) -> Transformer:
        """The model that the run has trained."""
        return _evaluating(self.document.settings.model, self.load_weights())

    def load_weights(self) -> Tensors:
        """Those of `load_learned`; what LoRA has learned is merged into the matrices of its base."""
        checkpoint, lora = load_checkpoint(self.folder.checkpoint), self.document.settings.lora
        if checkpoint is not None:
            return merged(self.load_base(), checkpoint.weights, lora) if lora else checkpoint.weights
        if self.folder.painter.is_file():
            return load_byte_weights(self.folder.painter)
        raise BadInput(f"{self.folder.path}: no checkpoint yet", cure="let `tuwen train` run for a while")

    def load_base(self) -> Tensors:
        """The weights that this fine-tuning began from. Raises CheckFailed when they are missing or damaged."""
        try:
            return load_file(self.folder.init)
        except (OSError, ValueError, SafetensorError):
            cure = "train again in another --out"
            raise CheckFailed(f"{self.folder.init}: gone, cut or altered", cure=cure) from None


def _opened(tokenizer: Path) -> ImageCodes:
    if not tokenizer.is_dir():
        raise BadInput(
            f"{tokenizer}: the shards of this run were imported without their image tokenizer",
            cure="import and train again with --tokenizer FOLDER, or put its two files there",
        )
    return open_image_codes(tokenizer)


def _evaluating(config: ModelConfig, weights: Tensors) -> Transformer:
    model = Transformer(config)
    model.load_state_dict(weights)
    return model.eval()


def begin_run(folder: TrainFolder, shards: Manifest, document: RunDocument, base: Tensors | None) -> Run:
    """Write run.json, and copy the tokenizers of the shards and the weights that it begins from, before any step."""
    source = ShardsFolder(shards.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.text_model, folder.text_model)
    if source.image_tokenizer.is_dir():  # imported shards may have none
        shutil.copytree(source.image_tokenizer, folder.image_tokenizer, dirs_exist_ok=True)
    if document.finer and source.image_tokenizer_of(document.finer.array).is_dir():
        shutil.copytree(source.image_tokenizer_of(document.finer.array), folder.finer_tokenizer, dirs_exist_ok=True)
    if base is not None:
        with whole_file(folder.init) as temporary:
            save_file(base, temporary)
    write_document(folder, document)
    return Run(folder, document)


def write_document(folder: TrainFolder, document: RunDocument) -> None:
    with whole_file(folder.document) as temporary:
        temporary.write_bytes(canonical_json(exact(document.model_dump())) + b"\n")


def open_run(path: Path) -> Run:
    """The training run in `path`, or in its `train/`, or the painter that is shipped under that name.

    Raises BadInput when there is none, or one of another version.
    """
    for folder in (TrainFolder(path), RunFolder(path).train, TrainFolder(SHIPPED / path)):
        if folder.document.is_file():
            return Run(folder, _read_document(folder.document))
    shipped = ", ".join(sorted(each.name for each in SHIPPED.glob("*")))
    raise BadInput(
        f"{path}: no training run there",
        cure=f"name the folder that `tuwen train` wrote, or what is shipped: {shipped}",
    )


def _read_document(path: Path) -> RunDocument:
    try:
        document = json.loads(path.read_bytes())
        return RunDocument.model_validate(document)
    except ValidationError as error:
        problem = plain_errors(error, document)[0].problem
        cure = "use the version that trained it, or train again in another --out"
        raise BadInput(f"{path}: of another version of tuwen ({problem})", cure) from None
    except ValueError:
        raise CheckFailed(f"{path}: not JSON, so it was cut or altered", cure="restore it, or train again") from None
