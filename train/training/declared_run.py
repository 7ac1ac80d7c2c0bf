"""What a training is asked to be: recipe and shards, or the run.json of an earlier one, → the document of the run.

declared = DeclaredRun.of_recipe(recipe, shards)
declared.num_steps                        # None: the recipe states minutes, for which they are measured
declared.document(num_steps=2000, threads=2)
differences(found, asked)                 # {"settings.lr": (0.002, 0.001)}
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch

from ...manifests.documents import Json
from ...manifests.errors import BadInput
from ...manifests.flattened import flattened
from ...manifests.manifest import Manifest, load_manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.recipe.training import Train
from ...manifests.run_folders import RunFolder
from ...pipeline.load_recipe import recorded_recipe
from ...tokenize.finer_sequence import FinerLayout, finer_layout_for
from ...tokenize.precision import matmul_dtype
from ...tokenize.sequence import SequenceLayout, layout_for
from ..run.checkpoint import Tensors
from ..run.preset import PRESETS, declared_steps, resolve_optimizer, resolve_settings
from ..run.run import Run, RunDocument, open_run
from ..transformer.model import ModelConfig
from .base_run import base_id, check_fits, open_base
from .trainer import train_device


@dataclass(frozen=True)
class DeclaredRun:
    shards: Manifest
    train: Train  # of the recipe; of a repeated run only what changes no result is read of it
    recipe: Json  # as the manifest of the run records it
    layout: SequenceLayout
    base: Run | None = None  # the run that it begins from
    finer: FinerLayout | None = None  # where it continues codes with finer ones
    repeated: Run | None = None  # whose run.json is to be trained again

    @classmethod
    def of_recipe(cls, recipe: Recipe, shards: Manifest) -> Self:
        layout, base = layout_of(recipe, shards), None
        if recipe.train.init is not None:
            base = open_base(recipe.train.init, recipe.base)
            check_fits(base, shards, layout, recipe.train)
        return cls(shards, recipe.train, recipe.document(), layout, base, finer_of(recipe, shards, layout, base))

    @classmethod
    def of_run(cls, path: Path) -> Self:
        """Repeat the run.json at `path`, with the shards beside its run.

        Raises BadInput when they are not those that the run has read.
        """
        run = open_run(path.parent)
        shards = load_manifest(RunFolder(path.resolve().parent.parent).shards.path, "shards")
        if shards.id != run.document.shards:
            raise BadInput(
                f"{path}: is of the shards {run.document.shards}, and those at {shards.folder} are {shards.id}",
                cure="tokenize as then; `tuwen manifest diff` shows what differs",
            )
        if not run.folder.manifest.is_file():  # it was stopped: run.json has all that matters
            return cls(shards, Train(), shards.document["lineage"]["recipe"], run.layout, repeated=run)
        recipe = load_manifest(run.folder.path).document["lineage"]["recipe"]
        return cls(shards, recorded_recipe(recipe).train, recipe, run.layout, repeated=run)

    @property
    def num_steps(self) -> int | None:
        return self.repeated.document.optimizer.num_steps if self.repeated else declared_steps(self.train)

    @property
    def minutes(self) -> str | None:
        """The minutes that the number of steps is measured for; None when the steps are declared."""
        if self.repeated:
            return self.repeated.document.minutes
        return str(self.train.minutes) if declared_steps(self.train) is None else None

    def document(self, num_steps: int, threads: int) -> RunDocument:
        """The run.json of so many steps, with so many threads where the recipe does not state them."""
        if self.repeated:
            return self.repeated.document
        lineage = self.shards.document["lineage"]
        return RunDocument(
            shards=self.shards.id,
            image_tokenizer=_sha256(lineage.get("image_tokenizer")),
            text_tokenizer=_sha256(lineage.get("text_tokenizer")),
            layout=self.layout,
            settings=resolve_settings(self.train, self.layout, self.shards.sample_schema.codes, self._model),
            optimizer=resolve_optimizer(self.train, num_steps),
            precision=self._precision,
            minutes=self.minutes,
            finer=self.finer,
            finer_tokenizer=_sha256((lineage.get("also") or {}).get(self.finer.array)) if self.finer else "",
            init=base_id(self.base) if self.base else "",
            threads=self.train.threads or threads,
        )

    @property
    def _model(self) -> ModelConfig | None:
        """The base's model, with the ids and positions that are added to it; None: the preset's."""
        if self.base is None:
            return None
        model, finer = self.base.document.settings.model, self.finer
        if finer is None:
            return model
        return model.model_copy(update={"vocab_size": finer.vocab, "num_positions": finer.num_positions})

    def base_weights(self) -> Tensors | None:
        """What the first step begins from; None: the weights that the seed gives."""
        if self.base is not None:
            return self.base.load_weights()
        return self.repeated.load_base() if self.repeated is not None and self.repeated.document.init else None

    @property
    def _precision(self) -> Literal["float32", "bfloat16", "float16"]:
        if self.train.precision != "auto":
            return self.train.precision
        return "bfloat16" if matmul_dtype("auto", train_device()) == torch.bfloat16 else "float32"


def layout_of(recipe: Recipe, shards: Manifest) -> SequenceLayout:
    """The recipe's layout of ids for these shards."""
    name = recipe.train.layout or PRESETS[recipe.train.preset].layout
    return layout_for(name, shards.sample_schema, recipe.tokenize.text.max_tokens)


def finer_of(recipe: Recipe, shards: Manifest, layout: SequenceLayout, base: Run | None) -> FinerLayout | None:
    """The recipe's layout of finer codes. Raises BadInput when the shards, or the base's model, cannot have them."""
    asked = recipe.train.refine
    if asked is None or base is None:
        return None
    if base.document.settings.model.positions == "rotary2d":
        raise BadInput(
            f"`train.refine`: {base.folder.path} has rotary2d positions, which know one grid",
            cure="begin from a run with `positions: learned`",
        )
    return finer_layout_for(layout, shards.sample_schema, f"codes_{asked.codes}", asked.window)


def differences(found: RunDocument, asked: RunDocument) -> dict[str, tuple[Any, Any]]:
    """The values that are not the same, by their keys in run.json: (the run's, those that are asked for)."""
    a, b = flattened(found.model_dump()), flattened(asked.model_dump())
    return {key: (a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)}


def _sha256(tokenizer: Any) -> str:
    return tokenizer["sha256"] if isinstance(tokenizer, dict) else ""
