"""Whether a corpus was decided before: from the same measures, by the same recipe, code and libraries.

    stamp = decision_stamp(recipe, [*measured, *measured_evaluation], facts)      # None: more than these is read
    if manifest := decided_before(corpus, stamp): …                    # nothing has changed, every file is as it was
    remember_decision(corpus, stamp, manifest)

A decision is a function of these, so a command that is given again need not make it again, nor start a cluster. A file
of the decision table is as it was if its size and the time of its last change are; `recheck` hashes it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..manifests.atomic import whole_file
from ..manifests.canonical import sha256_of, sha256_of_file
from ..manifests.documents import SourceFacts
from ..manifests.errors import TuwenError
from ..manifests.manifest import Manifest, load_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import CorpusSource
from ..manifests.run_folders import CorpusFolder
from ..manifests.verify import verify_manifest
from .decide import JUDGE, decide
from .executor.fingerprint import made_by
from .executor.part import PartResult
from .scores.scores import asked_scores


def decision_stamp(recipe: Recipe, measured: Sequence[PartResult[Any]], facts: Mapping[str, SourceFacts]) -> str | None:
    """A hash of all that is decided from; None for recipes that name a model, a word list or another corpus."""
    other_corpora = bool(recipe.earlier) or any(isinstance(source, CorpusSource) for source in recipe.evaluation)
    if recipe.captions.word_list or other_corpora or list(asked_scores(recipe)):
        return None
    return sha256_of(
        {
            "recipe": recipe.document(),
            "measures": [[result.name, result.files[0].sha256, result.kept_from or ""] for result in measured],
            "facts": {name: each.model_dump() for name, each in facts.items()},
            "code": made_by(decide, JUDGE.libraries, ("pipeline/corpus.py",)).sha256,
        }
    )


def decided_before(corpus: CorpusFolder, stamp: str | None, recheck: bool = False) -> Manifest | None:
    """The manifest that was decided from the same, if all of its files are still what it says."""
    if stamp is None or not corpus.decided.is_file():
        return None
    try:
        known = json.loads(corpus.decided.read_bytes())
        manifest = load_manifest(corpus.path, "corpus")
        if (known["stamp"], known["seal"]) != (stamp, manifest.seal):
            return None
        as_noted = not recheck and known.get("changed") == _changed(manifest)
        return manifest if as_noted or _is_whole(manifest) else None
    except (ValueError, KeyError, OSError, TuwenError):
        return None


def remember_decision(corpus: CorpusFolder, stamp: str | None, manifest: Manifest) -> None:
    corpus.decided.unlink(missing_ok=True)
    if stamp is not None:
        with whole_file(corpus.decided) as temporary:
            known = {"stamp": stamp, "seal": manifest.seal, "changed": _changed(manifest)}
            temporary.write_text(json.dumps(known), encoding="utf-8")


def _changed(manifest: Manifest) -> dict[str, list[int]]:
    """Size and time of the last change, ns, of every file. Raises OSError when one is missing."""
    files = [*manifest.files, *([manifest.contaminated] if manifest.contaminated else [])]
    stats = {file.name: (manifest.folder / file.name).stat() for file in files}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _is_whole(manifest: Manifest) -> bool:
    table = manifest.contaminated
    if table is not None:
        path = manifest.folder / table.name
        if not path.is_file() or sha256_of_file(path) != table.sha256:
            return False
    return not any(verify_manifest(manifest, "first"))
