"""The embedding tier: which pictures a model calls the same, over the corpus and what is known elsewhere.

    tier = embedding_tier(recipe, parts, evaluation_parts, pairs, known, corpus, run)
    tier.vectors                      # for `match`; None where the recipe names no model

Every readable picture that no rule has dropped goes through the model once (`scores/embedding`); vectors of an earlier
corpus are read from it if the same model made them. Pairs above the cosine are then compared in colour, since no such
model was taught that a blue cup is not a red one (`colours_overall`).
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Required, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.canonical import exact, sha256_of_file
from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest
from ...manifests.pair import THUMBNAIL_BYTES
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import CorpusFolder
from ..executor.part import Part, PartResult
from ..executor.stage import StageRun
from ..scores.embedding import config_of, model_of, read_vectors
from ..scores.scores import SCORES, run_score
from .colours_overall import same_colours_overall
from .cosine_join import SearchRecord, cosine_join
from .known_pictures import KnownPictures
from .match import Vectors
from .signature_file import map_signatures, signature_file

Ints = NDArray[np.int64]

_STRIP_PAIRS = 4_000


class VectorsOrigin(TypedDict):
    """What made vectors: those that agree in it can be compared."""

    model: str  # sha256
    size: int  # these four as in EmbeddingConfig
    shape: str
    mean: list[float]
    std: list[float]


class VectorsRecord(VectorsOrigin, SearchRecord):
    """The manifest's `lineage.vectors`."""

    sha256: Required[dict[str, str]]  # by file of vectors


@dataclass(frozen=True)
class EmbeddingTier:
    vectors: Vectors | None  # None without a model
    record: VectorsRecord | None
    results: list[PartResult[Any]]


def embedding_tier(
    recipe: Recipe,
    parts: list[Part[None]],
    evaluation_parts: list[Part[None]],
    pairs: pa.Table,
    known: KnownPictures,
    corpus: CorpusFolder,
    run: StageRun,
) -> EmbeddingTier:
    """The embeddings of living pairs and known pictures. `pairs` have the column `reason`, empty where alive."""
    score = SCORES["embedding"]
    if not score.is_asked(recipe):
        return EmbeddingTier(None, None, [])
    origin = _origin(recipe)
    folder = corpus.score(score.name)
    results = run_score(score, recipe, parts, folder, run)
    files = [Path(result.file(folder).path) for result in results]
    beside = _of_evaluation(recipe, evaluation_parts, corpus, run) if evaluation_parts else {}
    for earlier in known.corpora:
        beside |= _earlier(earlier, origin)
    row, number = _rows_in_files(pairs, known.table, beside)
    corpus.near.mkdir(parents=True, exist_ok=True)
    values, with_vector = read_vectors([*files, *beside.values()], row, corpus.near / "vectors")
    (corpus.near / "vectors").unlink()  # mapped files remain readable, and none is left behind
    rows = number[np.searchsorted(row, with_vector)]
    near, _, search = cosine_join(values, recipe.duplicates.embedding.min_cosine)
    alike = _alike_in_colour(rows[near], pairs, known.table, corpus.near)
    record = VectorsRecord(**origin, **search, sha256={file.name: sha256_of_file(file) for file in files})
    return EmbeddingTier(Vectors(rows, values, alike), record, results)


def _of_evaluation(recipe: Recipe, parts: list[Part[None]], corpus: CorpusFolder, run: StageRun) -> dict[str, Path]:
    """Each file of measures of the evaluation sources, as `known_pictures` names it, with its vectors."""
    score = SCORES["embedding"]
    folder = corpus.evaluation_score(score.name)
    results = run_score(score, recipe, parts, folder, run)
    measures = [str(corpus.evaluation_measures / part.input_path("measures").name) for part in parts]
    return {name: Path(result.file(folder).path) for name, result in zip(measures, results, strict=True)}


def _origin(recipe: Recipe) -> VectorsOrigin:
    return VectorsOrigin(model=model_of(recipe).sha256, **config_of(recipe))


def _earlier(corpus: Manifest, origin: VectorsOrigin) -> dict[str, Path]:
    """Each file of measures of an earlier corpus with its vectors; none if another model made them."""
    vectors = corpus.document["lineage"].get("vectors", {})
    folder = CorpusFolder(corpus.folder)
    names = [Path(entry["name"]).name for entry in corpus.document["files"]]
    if {name: vectors.get(name) for name in origin} != exact(origin):
        print(f"{corpus.folder}: has no vectors of this model; its pictures are compared by hashes", file=sys.stderr)
        return {}
    for name in names:
        path = folder.score("embedding") / name
        if not path.is_file() or sha256_of_file(path) != vectors["sha256"].get(name):
            raise BadInput(f"{path}: missing or altered", cure="run `tuwen corpus` on its recipe again")
    return {str(folder.measures / name): folder.score("embedding") / name for name in names}


def _rows_in_files(pairs: pa.Table, known: pa.Table, beside: dict[str, Path]) -> tuple[Ints, Ints]:
    """Rows of living pairs and known pictures, counted through all files of vectors, and their own numbers."""
    alive = np.flatnonzero(pc.equal(pairs["reason"], "").to_numpy())
    starts, start = {}, len(pairs)
    for measures in beside:
        starts[measures] = start
        start += pq.read_metadata(measures).num_rows
    file = known["measures"].combine_chunks()
    first = np.array([starts.get(name, -1) for name in file.dictionary.to_pylist()], np.int64)
    begins = first[file.indices.to_numpy()] if len(known) else np.empty(0, np.int64)
    has = np.flatnonzero(begins >= 0)
    row = np.concatenate([alive, begins[has] + known["row"].to_numpy()[has]])
    number = np.concatenate([alive, len(pairs) + has])
    row, first = np.unique(row, return_index=True)  # a corpus may be both an evaluation set and an earlier one
    return row, number[first]


def _alike_in_colour(near: Ints, pairs: pa.Table, known: pa.Table, folder: Path) -> Ints:
    """The pairs of `near` whose colours allow that they are one picture."""
    if not len(near):
        return near
    rows, positions = np.unique(near, return_inverse=True)
    positions = positions.reshape(near.shape)
    measured = pa.concat_tables([table.select(["measures", "row"]) for table in (pairs, known)]).unify_dictionaries()
    measured = measured.take(pa.array(rows)).combine_chunks()
    kept = [np.empty((0, 2), np.int64)]
    with signature_file(measured["measures"].combine_chunks(), measured["row"].to_numpy(), folder) as path:
        thumbnails = map_signatures(path)[:, :THUMBNAIL_BYTES]
        for start in range(0, len(near), _STRIP_PAIRS):
            a, b = positions[start : start + _STRIP_PAIRS].T
            kept.append(near[start : start + _STRIP_PAIRS][same_colours_overall(thumbnails[a], thumbnails[b])])
    return np.concatenate(kept)
