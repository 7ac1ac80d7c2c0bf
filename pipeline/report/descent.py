"""Whether the shards and the training run that a page shows are of the corpus that it shows: by the ids of parents.

    warnings_of_descent(run, corpus)      # ["The shards are of another corpus than the one shown: …"]; [] if all fit

A corpus that is built again with other rules has another id, and what was made of it before stays where it was.
"""

from pathlib import Path

from ...manifests.manifest import Manifest, load_manifest
from ...manifests.run_folders import MANIFEST, RunFolder

_DIGITS = len("sha256:") + 12  # of an id, as the page shows it elsewhere in full


def warnings_of_descent(run: RunFolder, corpus: Manifest) -> list[str]:
    """One line for people for each stage that is of something else."""
    shards, trained = _loaded(run.shards.path), _loaded(run.train.path)
    fits = shards is not None and corpus.id in shards.lineage.parents
    warnings = []
    if shards is not None and not fits:
        warnings.append(
            f"The shards are of another corpus than the one shown here: they were made of {_parents(shards)}, and this "
            f"corpus is {corpus.id[:_DIGITS]}. Give tuwen tokenize again to make them anew."
        )
    if trained is not None and (shards is None or shards.id not in trained.lineage.parents):
        here = "there are none here" if shards is None else f"those shown here are {shards.id[:_DIGITS]}"
        warnings.append(f"The training run has read other shards: {_parents(trained)}, and {here}.")
    elif trained is not None and not fits:
        warnings.append("The training run has read these shards, so it is of another corpus, too.")
    return warnings


def shards_of(run: RunFolder, corpus: Manifest) -> Manifest | None:
    """The shards of the run, if they were made of this corpus."""
    shards = _loaded(run.shards.path)
    return shards if shards is not None and corpus.id in shards.lineage.parents else None


def _loaded(folder: Path) -> Manifest | None:
    return load_manifest(folder) if (folder / MANIFEST).is_file() else None


def _parents(manifest: Manifest) -> str:
    return ", ".join(parent[:_DIGITS] for parent in manifest.lineage.parents) or "nothing that is named"
