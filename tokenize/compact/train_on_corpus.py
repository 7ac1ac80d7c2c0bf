"""Trains a compact VQ on the pictures of a corpus, and measures it on those that are held out.

    train_on_corpus(recipe, corpus, splits, TokenizerFolder(…), StageRun())

Writes the folder `image/`: weights, config, the recipe, and quality.json. The crops of each split are files of the
stage `crop` in `.work/`, from which the training reads; beside them lies its checkpoint until it has ended.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import yaml

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json, exact, sha256_of, sha256_of_file
from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import ImageTokenizerFolder, TokenizerFolder
from ...pipeline.executor.progress import progress
from ...pipeline.executor.stage import Stage, StageRun, run_stage
from ..crops.cropped import CropConfig, crop
from ..image_codes import ImageCodes
from ..plan_parts import plan_parts
from ..quality import Quality, measure_quality
from .compact_codes import open_compact_vq, save_compact_vq
from .crop_batches import CropBatches
from .train_compact_vq import train_compact_vq
from .training_state import steps_done

CROP = Stage("crop", crop, libraries=("pillow", "numpy"))

_PART_PIXELS = 1 << 23  # of a file of crops, 24 MiB: what a worker holds
_MEASURED_PIXELS = 1 << 24  # of each split


def train_on_corpus(
    recipe: Recipe, corpus: Manifest, splits: dict[str, pa.Table], folder: TokenizerFolder, run: StageRun
) -> None:
    """Leave all but the manifest in `folder.image`."""
    training, image = recipe.tokenize.image.training, ImageTokenizerFolder(folder.image)
    perceptual = _feature_network(recipe)
    crops = {split: _crops(rows, folder, split, training.side, run) for split, rows in splits.items()}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    identity = _identity(recipe, corpus, perceptual, device)
    done = steps_done(folder.training, identity, training.steps)
    phase = f"train VQ, on from step {done}" if done else "train VQ"
    with progress(phase, training.steps - done, "step") as advance:
        model, history = train_compact_vq(
            CropBatches(crops["train"], training.batch, training.seed, training.shift),
            training,
            perceptual=perceptual,
            checkpoint=folder.training,
            identity=identity,
            on_step=lambda step, steps, error: advance(1, note=f"rms error {error:.4f}"),
            device=device,
        )
    save_compact_vq(model, training.side, image.weights, image.config)
    image_codes = open_compact_vq(image.weights, image.config)
    document = {
        "pictures": {split: len(rows) for split, rows in splits.items()},
        "quality": {split: _measure(image_codes, CropBatches(files, 1, 0)) for split, files in crops.items()},
        "loss": [round(float(np.mean(history[start : start + 100])), 5) for start in range(0, len(history), 100)],
        "threads": torch.get_num_threads(),
    }
    with whole_file(image.quality) as temporary:
        temporary.write_bytes(canonical_json(exact(document)) + b"\n")
    with whole_file(image.recipe) as temporary:
        temporary.write_text(
            yaml.safe_dump(json.loads(recipe.model_dump_json()), allow_unicode=True, sort_keys=False), encoding="utf-8"
        )
    folder.training.unlink(missing_ok=True)


def _crops(rows: pa.Table, folder: TokenizerFolder, split: str, side: int, run: StageRun) -> list[Path]:
    parts = plan_parts(rows, run.roots, folder.plan, split, part_rows=_PART_PIXELS // side**2)
    out = folder.crops(split)
    results = run_stage(CROP, parts, CropConfig(side_px=side), out, run, label=f"crop {split}")
    return [Path(result.file(out).path) for result in results]


def _feature_network(recipe: Recipe) -> Path | None:
    name = recipe.tokenize.image.training.perceptual
    if name is None:
        return None
    path = recipe.base / name
    if not path.is_file():
        raise BadInput(f"feature network: {path} does not exist", cure="correct `tokenize.image.training.perceptual`")
    return path


def _identity(recipe: Recipe, corpus: Manifest, perceptual: Path | None, device: str) -> str:
    """What two trainings must share for one to go on from the other's checkpoint."""
    document = recipe.tokenize.image.training.model_dump(mode="json", exclude={"steps", "checkpoint_every"})
    document |= {"corpus": corpus.id, "split": recipe.split.model_dump(mode="json"), "device": device}
    document |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    return sha256_of(exact(document | {"features": perceptual and sha256_of_file(perceptual)}))


def _measure(image_codes: ImageCodes, crops: CropBatches) -> Quality:
    """Of all pictures of a small split, of evenly spaced ones of a large one."""
    most = _MEASURED_PIXELS // image_codes.identity.side_px**2
    rows = np.linspace(0, len(crops) - 1, min(len(crops), most)).astype(int)
    return measure_quality(image_codes, np.stack([crops.picture(int(row)) for row in rows]))
