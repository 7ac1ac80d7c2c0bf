"""`tuwen train`: shards → checkpoint. A run that is killed continues with the same command, and gives the same losses.

    run = train(recipe, load_manifest("runs/emoji/shards"), RunFolder(Path("runs/emoji")).train)

The run is a pure function of run.json and the shards. A recipe may state minutes instead of steps: then the speed is
measured before the first step, and the number of steps is written into run.json.
"""

import json
import os
from contextlib import nullcontext
from typing import Literal

import torch

from ..manifests.atomic import sole_writer
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.license_counts import licenses_of_split
from ..manifests.manifest import Manifest, file_entry, load_manifest, new_manifest, save_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.training import Train
from ..manifests.run_folders import TOKENIZER_FILES, TrainFolder
from ..manifests.verify import verify_manifest
from ..pipeline.executor.progress import progress
from ..pipeline.executor.ray_cluster import usable_cpus
from ..tokenize.precision import matmul_dtype
from ..tokenize.sequence import SequenceLayout, layout_for
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .longer_run import other_length
from .loss_log import append_entry, reopen_losses
from .optimizer import OptimizerConfig
from .preset import WARMUP_SHARE, declared_steps, resolve_settings
from .ranks import ALONE, Ranks
from .run import Run, RunDocument, begin_run, open_run
from .time_steps import NUM_STEPS, steps_within
from .trainer import Trainer, train_device

_CURES = {"precision": "say --set train.precision=… as run.json has it: `auto` means another one on this machine"}


def train(
    recipe: Recipe, shards: Manifest, folder: TrainFolder, must_resume: bool = False, ranks: Ranks = ALONE
) -> Run:
    """Train to the last step, from the checkpoint in `folder` if there is one. Every rank calls it; the first writes.

    Raises BadInput when `folder` holds another run, or when `must_resume` and there is no checkpoint.
    """
    with sole_writer(folder.path) if ranks.is_first else nullcontext():
        found = _existing_run(recipe, shards, folder) if ranks.is_first else None
        if ranks.is_first and must_resume and (found is None or not folder.checkpoint.is_file()):
            raise BadInput(f"{folder.path}: nothing to resume", cure="leave --resume away to begin")
        is_finished = ranks.from_first(found is not None and _is_finished(folder))
        document = ranks.from_first(found.document if found else None)
        if not is_finished:
            torch.set_num_threads(document.threads if document else _threads(recipe.train, ranks))
            document = document or _new_document(recipe, shards, ranks)
            check_ranks(document, ranks)
            if ranks.is_first and found is None:
                begin_run(folder, shards, document)
            _train_to_the_end(Run(folder, document), shards, recipe.train, ranks)
            if ranks.is_first:
                _save_manifest(Run(folder, document), recipe, shards)
        return Run(folder, document)


def layout_of(recipe: Recipe, shards: Manifest) -> SequenceLayout:
    """The recipe's layout of ids for these shards."""
    return layout_for(recipe.train.layout, shards.sample_schema, recipe.tokenize.text.max_tokens)


def _existing_run(recipe: Recipe, shards: Manifest, folder: TrainFolder) -> Run | None:
    """The run that `folder` holds. Raises BadInput, with the fields that differ, when the recipe asks for another."""
    if not folder.document.is_file():
        return None
    run = open_run(folder.path)
    num_steps = declared_steps(recipe.train) or run.document.optimizer.num_steps  # measured once, and not again
    layout = layout_of(recipe, shards)
    same = {
        "shards": run.document.shards == shards.id,
        "layout": run.document.layout == layout,
        "settings": run.document.settings == resolve_settings(recipe.train, layout),
        "precision": run.document.precision == _precision(recipe),
        "threads": recipe.train.threads in (None, run.document.threads),
        "minutes": run.document.minutes == _minutes(recipe.train) or declared_steps(recipe.train) is not None,
        "steps": run.document.optimizer.num_steps == num_steps,
    }
    differing = [name for name, is_same in same.items() if not is_same]
    if differing and set(differing) <= {"minutes", "steps"}:
        asked = _document(recipe, shards, num_steps).optimizer if "steps" in differing else None
        raise other_length(run, recipe.train, asked)
    if differing:
        raise BadInput(
            f"{folder.path}: holds another run ({', '.join(differing)} differ)",
            cure=_CURES.get(" ".join(differing), "give another --out, or delete that folder"),
        )
    return run


def _is_finished(folder: TrainFolder) -> bool:
    """Raises CheckFailed when the run is finished but was altered since: it must not be sealed anew."""
    if not folder.manifest.is_file():
        return False
    for fault in verify_manifest(load_manifest(folder.path, "train")):
        raise CheckFailed(f"{folder.path}: {fault}", cure="or delete the run and train again")
    return True


def _new_document(recipe: Recipe, shards: Manifest, ranks: Ranks) -> RunDocument:
    """The first rank's: it counts its own CPUs and, where minutes are stated, its own time."""
    num_steps = declared_steps(recipe.train)
    if num_steps is None:
        assert recipe.train.minutes is not None
        timed = ranks.from_first(_document(recipe, shards, NUM_STEPS))
        check_ranks(timed, ranks)
        num_steps = steps_within(recipe.train.minutes, timed, shards, recipe.train.verify, ranks)
    document: RunDocument = ranks.from_first(_document(recipe, shards, num_steps))
    return document


def check_ranks(document: RunDocument, ranks: Ranks) -> None:
    """Raises BadInput when the ranks cannot share the micro-batches, or compute on two kinds of devices."""
    micro_batches = document.settings.micro_batches
    if ranks.world_size > micro_batches:
        raise BadInput(
            f"{ranks.world_size} ranks cannot share the {micro_batches} micro-batches of a step",
            cure=f"give at most {micro_batches}, or begin a run with --set train.micro_batches={ranks.world_size}",
        )
    with_gpu = ranks.total([int(train_device().type == "cuda")])[0]
    if 0 < with_gpu < ranks.world_size:
        raise BadInput(
            f"{with_gpu} of {ranks.world_size} ranks have a GPU, the others not; CPUs and GPUs give other bits",
            cure="start all of them where there are GPUs, or hide those with CUDA_VISIBLE_DEVICES=",
        )


def _threads(recipe: Train, ranks: Ranks) -> int:
    return recipe.threads or max(1, usable_cpus() // ranks.on_this_machine)


def _document(recipe: Recipe, shards: Manifest, num_steps: int) -> RunDocument:
    layout = layout_of(recipe, shards)
    settings = resolve_settings(recipe.train, layout)
    optimizer = OptimizerConfig(
        num_steps=num_steps,
        num_warmup_steps=min(num_steps - 1, round(num_steps * WARMUP_SHARE)),
        peak_learning_rate=settings.lr,
    )
    return RunDocument(
        shards=shards.id,
        layout=layout,
        settings=settings,
        optimizer=optimizer,
        precision=_precision(recipe),
        minutes=_minutes(recipe.train),
        threads=torch.get_num_threads(),
    )


def _train_to_the_end(run: Run, shards: Manifest, recipe: Train, ranks: Ranks) -> None:
    num_steps = run.document.optimizer.num_steps
    trainer = Trainer.new(run.document, shards, recipe.verify, ranks)
    first = 0
    checkpoint: Checkpoint | None = ranks.from_first(load_checkpoint(run.folder.checkpoint) if ranks.is_first else None)
    if checkpoint is not None:
        trainer.restore(checkpoint)
        first = checkpoint.step
    with trainer.stream:
        if not ranks.is_first:
            for step in range(first, num_steps):
                trainer.train_step(step)
            return
        with (
            reopen_losses(run.folder.losses, first) as log,
            progress("train", num_steps - first, "step") as advance,
        ):
            for step in range(first, num_steps):
                entry = trainer.train_step(step)
                append_entry(log, entry)
                advance(1, note=f"loss {entry['loss']:.3f}")
                if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == num_steps:
                    log.flush()
                    os.fsync(log.fileno())  # before the checkpoint, which must never be ahead of the log
                    save_checkpoint(run.folder.checkpoint, trainer.checkpoint(step + 1))


def _precision(recipe: Recipe) -> Literal["float32", "bfloat16"]:
    return "bfloat16" if matmul_dtype(recipe.train.precision, train_device()) == torch.bfloat16 else "float32"


def _minutes(recipe: Train) -> str | None:
    """The minutes that the number of steps is measured for; None when the steps are declared."""
    return str(recipe.minutes) if declared_steps(recipe) is None else None


def _save_manifest(run: Run, recipe: Recipe, shards: Manifest) -> None:
    folder = run.folder
    checkpoint = load_checkpoint(folder.checkpoint)
    assert checkpoint is not None
    tokenizer = [folder.image_tokenizer / name for name in TOKENIZER_FILES]
    paths = [folder.document, folder.losses, folder.checkpoint, folder.text_model]
    paths += [path for path in tokenizer if path.is_file()]  # imported shards may have none
    document = new_manifest(
        "train",
        files=[file_entry(folder.path, path.relative_to(folder.path).as_posix()) for path in paths],
        totals={
            "steps": checkpoint.step,
            "samples": checkpoint.stream["samples"],
            "digest": checkpoint.stream["digest"],
        },
        licenses=licenses_of_split(shards.licenses, "train"),
        lineage={
            "recipe": recipe.document(),
            "parents": [shards.id],
            "run": json.loads(run.document.model_dump_json()),
        },
    )
    save_manifest(folder.path, document)
