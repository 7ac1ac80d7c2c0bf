"""`tuwen train`: shards → checkpoint. A run that is killed continues with the same command, and gives the same losses.

    run = train(recipe, load_manifest("runs/emoji/shards"), RunFolder(Path("runs/emoji")).train)

The run is a pure function of run.json and the shards, for any number of ranks. A recipe may state minutes instead of
steps: then the speed is measured before the first step, and the number of steps is written into run.json.
"""

import json
from contextlib import nullcontext

import torch

from ...manifests.atomic import sole_writer
from ...manifests.errors import BadInput, CheckFailed
from ...manifests.license_counts import licenses_of_split
from ...manifests.manifest import Manifest, file_entry, load_manifest, new_manifest, save_manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import TOKENIZER_FILES, TrainFolder
from ...manifests.verify import verify_manifest
from ...pipeline.executor.ray_cluster import usable_cpus
from ..painting.sketches import Sketches
from ..ranks.ranks import Ranks
from ..run.changed_plan import OF_THE_PLAN, go_on_with, other_plan
from ..run.checkpoint import Checkpoint, load_checkpoint
from ..run.run import Run, RunDocument, begin_run, open_run
from .base_run import first_weights
from .declared_run import DeclaredRun, differences
from .process import Process, Stopped
from .records import Records
from .time_steps import NUM_STEPS, steps_within
from .trainer import Trainer, train_device
from .validation import Validation

_CURES = {"precision": "say --set train.precision=… as run.json has it: `auto` means another one on this machine"}


def train(recipe: Recipe, shards: Manifest, folder: TrainFolder, must_resume: bool = False) -> Run:
    """Train a recipe to the last step in this process alone, from the checkpoint in `folder` if there is one."""
    return train_declared(DeclaredRun.of_recipe(recipe, shards), folder, Process(), must_resume)


def train_declared(declared: DeclaredRun, folder: TrainFolder, process: Process, must_resume: bool = False) -> Run:
    """Every rank calls it with the same arguments; the first one writes.

    Raises BadInput when `folder` holds another run, or when `must_resume` and there is no checkpoint; Stopped when the
    process was asked to stop.
    """
    ranks = process.ranks
    with sole_writer(folder.path) if ranks.is_first else nullcontext():
        found = _found(declared, folder) if ranks.is_first else None
        if ranks.is_first and must_resume and (found is None or not folder.checkpoint.is_file()):
            raise BadInput(f"{folder.path}: nothing to resume", cure="leave --resume away to begin")
        is_finished = ranks.from_first(found is not None and _is_finished(folder))
        document = ranks.from_first(found.document if found else None)
        if not is_finished:
            document = document or _new_document(declared, process)
            _check_ranks(document, ranks)
            torch.set_num_threads(document.threads)
            if ranks.is_first and found is None:
                begin_run(folder, declared.shards, document, declared.base_weights())
            _train_to_the_end(Run(folder, document), declared, process)
            if ranks.is_first:
                _save_manifest(Run(folder, document), declared)
        return Run(folder, document)


def _found(declared: DeclaredRun, folder: TrainFolder) -> Run | None:
    """The run that `folder` holds. Raises BadInput, with what differs, when another one is asked for."""
    if not folder.document.is_file():
        return None
    run = open_run(folder.path)
    asked = declared.document(declared.num_steps or run.document.optimizer.num_steps, run.document.threads)
    differing = differences(run.document, asked)
    if declared.num_steps is not None:
        differing.pop("minutes", None)  # the number of steps was measured for them once, and is named now
    if not differing:
        return run
    if set(differing) <= OF_THE_PLAN:
        changed = go_on_with(run, asked) if "minutes" not in differing else None
        if changed is None:
            raise other_plan(run, declared.train, asked.optimizer if "minutes" not in differing else None)
        return changed
    values = ", ".join(f"`{key}` is {there} and not {here}" for key, (there, here) in differing.items())
    cure = _CURES.get(" ".join(differing), "give another --out, or delete that folder")
    raise BadInput(f"{folder.path}: holds another run, whose {values}", cure=cure)


def _is_finished(folder: TrainFolder) -> bool:
    """Raises CheckFailed when the run is finished but was altered since: it must not be sealed anew."""
    if not folder.manifest.is_file():
        return False
    for fault in verify_manifest(load_manifest(folder.path, "train")):
        raise CheckFailed(f"{folder.path}: {fault}", cure="or delete the run and train again")
    return True


def _new_document(declared: DeclaredRun, process: Process) -> RunDocument:
    """The first rank's: it counts its own CPUs and, where minutes are stated, its own time."""
    ranks, threads = process.ranks, max(1, usable_cpus() // process.ranks.on_this_machine)
    num_steps = declared.num_steps
    if num_steps is None:
        assert declared.train.minutes is not None
        timed = ranks.from_first(declared.document(NUM_STEPS, threads))
        _check_ranks(timed, ranks)
        torch.set_num_threads(timed.threads)
        num_steps = steps_within(declared.train.minutes, timed, declared.shards, declared.train, process)
    document: RunDocument = ranks.from_first(declared.document(num_steps, threads))
    return document


def _check_ranks(document: RunDocument, ranks: Ranks) -> None:
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


def _train_to_the_end(run: Run, declared: DeclaredRun, process: Process) -> None:
    document, ranks, habits = run.document, process.ranks, declared.train
    trainer = Trainer.new(document, declared.shards, habits.verify, ranks, habits.sharded)
    validation = Validation.of(document, declared.shards, ranks, trainer.device)
    sketches = Sketches.of(run, declared.shards) if ranks.is_first and habits.sketch_every else None
    if document.init:
        trainer.begin_from(ranks.from_first(first_weights(run) if ranks.is_first else None))
    found: Checkpoint | None = ranks.from_first(load_checkpoint(run.folder.checkpoint) if ranks.is_first else None)
    if found is not None:
        trainer.restore(found)
    elif document.init and sketches is not None:
        sketches.paint(trainer.judged, 0)  # what the base paints
    first, num_steps = found.step if found else 0, document.optimizer.num_steps
    records = Records(run, habits, first, process.show, trainer.seconds_a_token()) if ranks.is_first else None
    with trainer.stream, records or nullcontext():
        for done in range(first + 1, num_steps + 1):
            entry = trainer.train_step(done - 1)
            is_last = done == num_steps
            validated = None
            if validation is not None and (is_last or done % document.settings.validate_every == 0):
                validated = validation.losses(trainer.judged, done)
            stops = ranks.total([int(process.stop.is_set())])[0] > 0 and not is_last
            is_kept = done % habits.checkpoint_every == 0 or done == document.optimizer.branch_step
            checkpoint = trainer.checkpoint(done) if is_kept or is_last or stops else None
            if records is not None:
                records.add_step(entry)
                if validated is not None:
                    records.add_validation(validated)
                if checkpoint is not None:
                    records.save(checkpoint)
                if sketches is not None and (done % habits.sketch_every == 0 or is_last):
                    sketches.paint(trainer.judged, done)
            if stops:
                raise Stopped(f"stopped after step {done - 1}, and saved", cure="the same command continues from there")


def _save_manifest(run: Run, declared: DeclaredRun) -> None:
    folder, shards = run.folder, declared.shards
    checkpoint = load_checkpoint(folder.checkpoint)
    assert checkpoint is not None
    tokenizer = [folder.image_tokenizer / name for name in TOKENIZER_FILES]
    paths = [folder.document, folder.losses, folder.validation, folder.checkpoint, folder.text_model]
    paths += [path for path in tokenizer if path.is_file()]  # imported shards may have none
    finer_tokenizer = [folder.finer_tokenizer / name for name in TOKENIZER_FILES] if run.document.finer else []
    paths += [path for path in finer_tokenizer if path.is_file()]
    paths += [folder.init] if run.document.init else []
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
            "recipe": declared.recipe,
            "parents": [shards.id, *([run.document.init] if run.document.init else [])],
            "run": json.loads(run.document.model_dump_json()),
        },
    )
    save_manifest(folder.path, document)
