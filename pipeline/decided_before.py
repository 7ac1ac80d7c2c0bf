"""Whether a corpus was decided before: from the same measures, by the same recipe, code and libraries.

    stamp = decision_stamp(recipe, [*measured, *measured_evaluation], facts)      # None: more than these is read
    if manifest := decided_before(corpus, stamp): …                    # nothing has changed, every file is as it was
    remember_decision(corpus, stamp, manifest)

A decision is a function of these, so a command that is given again need not make it again, nor start a cluster.
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


def decided_before(corpus: CorpusFolder, stamp: str | None) -> Manifest | None:
    """The manifest that was decided from the same, if all of its files are still what it says."""
    if stamp is None or not corpus.decided.is_file():
        return None
    try:
        known = json.loads(corpus.decided.read_bytes())
        manifest = load_manifest(corpus.path, "corpus")
        is_same = known == {"stamp": stamp, "seal": manifest.seal}
        return manifest if is_same and _is_whole(manifest) else None
    except (ValueError, TuwenError):
        return None


def remember_decision(corpus: CorpusFolder, stamp: str | None, manifest: Manifest) -> None:
    corpus.decided.unlink(missing_ok=True)
    if stamp is not None:
        with whole_file(corpus.decided) as temporary:
            temporary.write_text(json.dumps({"stamp": stamp, "seal": manifest.seal}), encoding="utf-8")


def _is_whole(manifest: Manifest) -> bool:
    table = manifest.contaminated
    if table is not None:
        path = manifest.folder / table.name
        if not path.is_file() or sha256_of_file(path) != table.sha256:
            return False
    return not any(verify_manifest(manifest, "first"))
