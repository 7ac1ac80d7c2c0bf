"""`tuwen train`: shards → checkpoint. Killed at any moment, the same command goes on and gives the same losses.

    run = train(recipe, load_manifest("runs/emoji/shards"), out=Path("runs/emoji/train"))

A recipe states steps, or minutes: then the speed is measured once, the number of steps is written into
`run.json`, and from there on the run is a pure function of that file and the shards.
"""

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.manifest import FILE_NAME, Manifest, file_entry, load_manifest, new_manifest, save_manifest
from ..manifests.recipe.recipe import Recipe, Train
from ..manifests.run_folders import IMAGE_TOKENIZER, TEXT_MODEL, TOKENIZER_FILES
from ..manifests.verify import verify_manifest
from ..pipeline.executor.progress import progress
from ..pipeline.executor.ray_cluster import usable_cpus
from ..tokenize.precision import autocast, matmul_dtype
from ..tokenize.sequence import SequenceLayout, compact_layout
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .model import Transformer
from .optimizer import OptimizerConfig, learning_rate, new_optimizer, take_step
from .preset import WARMUP_SHARE, Settings, settle, stated_steps
from .read_plan import ReadPlan
from .run import CHECKPOINT, LOSSES, RUN, Run, RunDocument, begin_run, open_run
from .stream import Stream, open_stream

_TIMED_STEPS = 12
_WARM_STEPS = 4


def train(recipe: Recipe, shards: Manifest, out: Path, must_resume: bool = False) -> Run:
    """Raises BadInput when `out` holds another run, or when `must_resume` and there is nothing to resume."""
    with sole_writer(out):
        layout = layout_of(recipe, shards)
        settings = settle(recipe.train, layout)
        run = _continued(recipe, shards, layout, settings, out)
        if must_resume and (run is None or not (out / CHECKPOINT).is_file()):
            raise BadInput(f"{out}: nothing to resume", cure="leave --resume away to begin")
        if run is not None and _finished(run):
            return run
        torch.set_num_threads(run.document.threads if run else usable_cpus())
        run = run or begin_run(out, shards, _new_document(recipe, shards, layout, settings))
        _train(run, shards, recipe.train)
        _save_manifest(run, recipe, shards)
        return run


def _finished(run: Run) -> bool:
    """Raises CheckFailed when the run is finished but was altered since: it must not be sealed anew."""
    if not (run.folder / FILE_NAME).is_file():
        return False
    for fault in verify_manifest(load_manifest(run.folder, "train")):
        raise CheckFailed(f"{run.folder}: {fault}", cure="or delete the run and train again")
    return True


def layout_of(recipe: Recipe, shards: Manifest) -> SequenceLayout:
    schema = shards.document["schema"]
    height, width = schema["codes"]["shape"]
    return compact_layout(
        schema["codes"]["codebook"], height * width, schema["text"]["vocab"], recipe.tokenize.text.max_tokens
    )


def losses_of(logits: Tensor, targets: Tensor, layout: SequenceLayout) -> tuple[Tensor, Tensor, Tensor]:
    """Mean nats a token over all but padding, over text and commands, and over codes; split by the label's kind."""
    nats = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    labels = targets.flatten()
    counted, is_code = labels != layout.pad, labels < layout.codebook
    return nats[counted].mean(), nats[counted & ~is_code].mean(), nats[is_code].mean()


def _train(run: Run, shards: Manifest, recipe: Train) -> None:
    document = run.document
    num_steps = document.optimizer.num_steps
    stream = _open_stream(shards, document.settings, recipe)
    model, optimizer = _new_model(document)
    start = 0
    if (checkpoint := load_checkpoint(run.folder / CHECKPOINT)) is not None:
        model.load_state_dict(checkpoint.model)
        optimizer.load_state_dict(checkpoint.optimizer)
        stream.resume(checkpoint.stream)
        start = checkpoint.step
    with stream, _loss_log(run, start) as log, progress("train", num_steps - start, "step") as advance:
        for step in range(start, num_steps):
            entry = train_step(model, optimizer, stream, run, step)
            log.write(json.dumps(entry) + "\n")
            advance(1, note=f"loss {entry['loss']:.3f}")
            if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == num_steps:
                log.flush()
                os.fsync(log.fileno())
                save_checkpoint(
                    run.folder / CHECKPOINT,
                    Checkpoint(step + 1, model.state_dict(), optimizer.state_dict(), stream.state()),
                )


def train_step(
    model: Transformer, optimizer: torch.optim.Optimizer, stream: Stream, run: Run, step: int
) -> dict[str, Any]:
    """One update; returns what the log says of it."""
    document = run.document
    device = next(model.parameters()).device
    ids, positions = run.layout.sequences(*stream.next())
    longest = int((ids != run.layout.pad).sum(axis=1).max())  # padding stands at the end: cut what all rows have
    ids_BL = torch.from_numpy(ids[:, :longest]).to(device)
    positions_BL = torch.from_numpy(positions[:, :longest]).to(device)
    with autocast(device, matmul_dtype(document.precision, device)):
        logits_BLV = model(ids_BL[:, :-1], positions_BL[:, :-1])
    loss, text_loss, code_loss = losses_of(logits_BLV, ids_BL[:, 1:], run.layout)
    torch.autograd.backward(loss)
    norm = take_step(optimizer, document.optimizer, step)
    if not torch.isfinite(loss):
        raise CheckFailed(
            f"step {step}: the loss is {loss.item()}", cure="lower `train.lr` and begin again in another --out"
        )
    return {
        "step": step,
        "loss": loss.item(),
        "text": text_loss.item(),
        "codes": code_loss.item(),
        "lr": learning_rate(document.optimizer, step),
        "norm": norm.item(),
        "samples": stream.state()["samples"],
    }


def _continued(recipe: Recipe, shards: Manifest, layout: SequenceLayout, settings: Settings, out: Path) -> Run | None:
    """The run that `out` holds, if it is this one."""
    if not (out / RUN).is_file():
        return None
    run = open_run(out)
    asked = {
        "shards": shards.id,
        "layout": layout.document(),
        "settings": settings,
        "precision": _precision(recipe),
        "minutes": _minutes(recipe),
    }
    differ = [name for name, value in asked.items() if getattr(run.document, name) != value]
    steps = stated_steps(recipe.train)
    if steps is not None and steps != run.document.optimizer.num_steps:
        differ.append("steps")
    if differ:
        raise BadInput(
            f"{out}: holds another run ({', '.join(differ)} differ)", cure="give another --out, or delete that folder"
        )
    return run


def _new_document(recipe: Recipe, shards: Manifest, layout: SequenceLayout, settings: Settings) -> RunDocument:
    def document(num_steps: int) -> RunDocument:
        optimizer = OptimizerConfig(
            num_steps=num_steps,
            num_warmup_steps=min(num_steps - 1, round(num_steps * WARMUP_SHARE)),
            peak_learning_rate=settings.lr,
        )
        return RunDocument(
            shards=shards.id,
            layout=layout.document(),
            settings=settings,
            optimizer=optimizer,
            precision=_precision(recipe),
            minutes=_minutes(recipe),
            threads=torch.get_num_threads(),
        )

    steps = stated_steps(recipe.train)
    if steps is None:
        steps = steps_in(recipe.train, document(_TIMED_STEPS + _WARM_STEPS), shards)
    return document(steps)


def steps_in(recipe: Train, document: RunDocument, shards: Manifest) -> int:
    """How many steps fit into the recipe's minutes, measured on a model that is thrown away."""
    assert recipe.minutes is not None
    run = Run(Path(), document)
    model, optimizer = _new_model(document)
    stream = _open_stream(shards, document.settings, recipe)
    times = []
    with stream, progress("time steps", _WARM_STEPS + _TIMED_STEPS, "step") as advance:
        for step in range(_WARM_STEPS + _TIMED_STEPS):
            began = time.perf_counter()
            train_step(model, optimizer, stream, run, step)
            times.append(time.perf_counter() - began)
            advance()
    return max(2, round(60 * recipe.minutes / statistics.median(times[_WARM_STEPS:])))


def _open_stream(shards: Manifest, settings: Settings, recipe: Train) -> Stream:
    plan = ReadPlan(seed=settings.seed, batch=settings.batch, shuffle=settings.shuffle, verify=recipe.verify)
    return open_stream(shards, plan)


def _new_model(document: RunDocument) -> tuple[Transformer, torch.optim.Optimizer]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Transformer(document.settings.model, document.settings.seed).to(device).train()
    return model, new_optimizer(model, document.optimizer)


def _precision(recipe: Recipe) -> Literal["float32", "bfloat16"]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bfloat16" if matmul_dtype(recipe.train.precision, device) == torch.bfloat16 else "float32"


def _minutes(recipe: Recipe) -> str | None:
    """What the number of steps was made of, unless it was stated."""
    return str(recipe.train.minutes) if stated_steps(recipe.train) is None else None


def _loss_log(run: Run, start: int) -> Any:
    """The log cut back to the checkpoint: later lines were of steps that will be done again."""
    kept = run.losses[:start]
    if len(kept) < start:
        raise CheckFailed(
            f"{run.folder / LOSSES}: shorter than the checkpoint's {start} steps", cure="restore it, or delete the run"
        )
    path = run.folder / LOSSES
    with whole_file(path) as temporary:
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    return path.open("a")


def _save_manifest(run: Run, recipe: Recipe, shards: Manifest) -> None:
    checkpoint = load_checkpoint(run.folder / CHECKPOINT)
    assert checkpoint is not None
    names = [RUN, LOSSES, CHECKPOINT, TEXT_MODEL, *(f"{IMAGE_TOKENIZER}/{name}" for name in TOKENIZER_FILES)]
    document = new_manifest(
        "train",
        files=[file_entry(run.folder, name) for name in names],
        totals={
            "steps": checkpoint.step,
            "samples": checkpoint.stream["samples"],
            "digest": checkpoint.stream["digest"],
        },
        licenses=shards.document["licenses"],
        lineage={
            "recipe": recipe.document(),
            "parents": [shards.id],
            "run": json.loads(run.document.model_dump_json()),
        },
    )
    save_manifest(run.folder, document)
