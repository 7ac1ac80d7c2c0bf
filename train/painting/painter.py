"""A run as a painter: what `tuwen sample` needs of it, with weights of a byte each.

    save_painter(open_run(Path("runs/emoji")), Path("emoji-painter"))       # an eighth of a checkpoint
    open_run(Path("emoji-painter")).load_model()

The folder has the names of a training run. It can be sampled, scored and verified, but not trained on.
"""

import shutil
from pathlib import Path

from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest, file_entry, load_manifest, new_manifest, save_manifest
from ...manifests.run_folders import TOKENIZER_FILES, TrainFolder
from ..run.byte_weights import save_byte_weights
from ..run.checkpoint import load_checkpoint
from ..run.run import Run


def save_painter(run: Run, path: Path) -> Manifest:
    """Write the painter of a finished run. Raises BadInput when the run is not finished, or `path` is not empty."""
    if run.document.finer is not None:
        raise BadInput(f"{run.folder.path}: has learned finer codes alone", cure="name the run that it was begun from")
    trained = load_manifest(run.folder.path, "train")
    checkpoint = load_checkpoint(run.folder.checkpoint)
    if checkpoint is None:
        raise BadInput(f"{run.folder.path}: has no checkpoint", cure="name a run of `tuwen train`, not a painter")
    if path.exists() and any(path.iterdir()):
        raise BadInput(f"{path}: is not empty", cure="give another --out")
    painter = TrainFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.folder.document, painter.document)
    shutil.copyfile(run.folder.text_model, painter.text_model)
    shutil.copytree(run.folder.image_tokenizer, painter.image_tokenizer)
    save_byte_weights(painter.painter, run.load_weights())
    tokenizer = [painter.image_tokenizer / name for name in TOKENIZER_FILES]
    paths = [painter.document, painter.painter, painter.text_model, *tokenizer]
    document = new_manifest(
        "train",
        files=[file_entry(path, each.relative_to(path).as_posix()) for each in paths],
        totals=trained.document["totals"],
        licenses=trained.licenses,
        lineage={**trained.document["lineage"], "parents": [trained.id]},
    )
    save_manifest(path, document)
    return load_manifest(path)
