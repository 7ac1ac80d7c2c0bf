"""The embedding tier: which pictures a model calls the same, over the corpus and what is known elsewhere.

    vectors, how = alike_vectors(recipe, parts, evaluation_parts, pairs, known, out, workers)

Every readable picture that no rule has dropped goes through the model once (`embed`); vectors of an earlier corpus are
taken from it if the same model made them. Pairs above the cosine are then compared in colour, since no such model was
taught that a blue cup is not a red one (`colours_overall`).
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from ..executor.part import Part
from ..executor.stage import run_stage
from ..scores.embedding import embed, model_hash, read_vectors
from .colours_overall import same_colours_overall
from .cosine_join import cosine_join
from .known_pictures import KnownPictures
from .match import Vectors
from .signature_file import map_signatures, signature_file

Ints = NDArray[np.int64]

_STRIP_PAIRS = 4_000
_FOLDER = "embedding"


def alike_vectors(
    recipe: Recipe,
    parts: list[Part],
    evaluation_parts: list[Part],
    pairs: pa.Table,
    known: KnownPictures,
    out: Path,
    workers: int | None,
) -> tuple[Vectors, dict[str, Any]]:
    """`pairs` with `reason`, empty where alive. Returns what `match` takes, and what the manifest says of it."""
    config = _config(recipe)
    model = str((recipe.base / str(recipe.duplicates.embedding.model)).resolve())
    files = _embedded(parts, config, model, out / _FOLDER, workers)
    made = {path.name: sha256_of_file(path) for path in files}
    beside = dict(zip(_measures(out, evaluation_parts), _embedded(evaluation_parts, config, model,
                      out / f"{_FOLDER}-evaluation", workers), strict=True))  # fmt: skip
    for corpus in known.corpora:
        beside |= _earlier(corpus, config)
    row, place = _rows_in_files(pairs, known.table, beside)
    folder = out / ".work/near"
    folder.mkdir(parents=True, exist_ok=True)
    values, found = read_vectors([*files, *beside.values()], row, folder / "vectors")
    (folder / "vectors").unlink()  # what is mapped stays readable, and nothing is left behind
    rows = place[np.searchsorted(row, found)]
    near, _, how = cosine_join(values, recipe.duplicates.embedding.min_cosine)
    alike = _alike_in_colour(rows[near], pairs, known.table, folder)
    return Vectors(rows, values, alike), {**config, "sha256": made, **how}


def _config(recipe: Recipe) -> dict[str, Any]:
    said = recipe.duplicates.embedding
    config = said.model_dump(mode="json", include={"size", "shape", "mean", "std"})
    return {"model": model_hash(recipe.base / str(said.model), said.size), **config}


def _embedded(parts: list[Part], config: dict[str, Any], model: str, folder: Path, workers: int | None) -> list[Path]:
    asked = [replace(part, place={**part.place, "model": model}) for part in parts]
    results = run_stage("embed", embed, asked, config, folder, workers=workers) if asked else []
    return [folder / result.files[0]["name"] for result in results]


def _measures(out: Path, evaluation_parts: list[Part]) -> list[str]:
    """As `known_pictures` names them."""
    return [str(out / "measures-evaluation" / Path(part.place["measures"]).name) for part in evaluation_parts]


def _earlier(corpus: Manifest, config: dict[str, Any]) -> dict[str, Path]:
    """Its files of measures, and the vectors beside them; none if another model made them."""
    vectors = corpus.document["lineage"].get("vectors", {})
    made_by = {name: vectors.get(name) for name in config}
    names = [Path(entry["name"]).name for entry in corpus.document["files"]]
    if made_by != exact(config):
        print(f"{corpus.folder}: has no vectors of this model; its pictures are compared by hashes", file=sys.stderr)
        return {}
    for name in names:
        path = corpus.folder / _FOLDER / name
        if not path.is_file() or sha256_of_file(path) != vectors["sha256"].get(name):
            raise BadInput(f"{path}: missing or altered", cure="run `tuwen corpus` on its recipe again")
    return {str(corpus.folder / "measures" / name): corpus.folder / _FOLDER / name for name in names}


def _rows_in_files(pairs: pa.Table, known: pa.Table, beside: dict[str, Path]) -> tuple[Ints, Ints]:
    """Of living pairs and known pictures: the row, counted through all files of vectors, and their own number."""
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
    place = np.concatenate([alive, len(pairs) + has])
    row, first = np.unique(row, return_index=True)  # a corpus may be both an evaluation set and an earlier one
    return row, place[first]


def _alike_in_colour(near: Ints, pairs: pa.Table, known: pa.Table, folder: Path) -> Ints:
    """Those of the rows' pairs whose colours allow that they are one picture."""
    if not len(near):
        return near
    rows, places = np.unique(near, return_inverse=True)
    places = places.reshape(near.shape)
    where = pa.concat_tables([table.select(["measures", "row"]) for table in (pairs, known)]).unify_dictionaries()
    where = where.take(pa.array(rows)).combine_chunks()
    kept = [np.empty((0, 2), np.int64)]
    with signature_file(where["measures"].combine_chunks(), where["row"].to_numpy(), folder) as path:
        thumbnails = map_signatures(path)[:, :THUMBNAIL_BYTES]
        for start in range(0, len(near), _STRIP_PAIRS):
            a, b = places[start : start + _STRIP_PAIRS].T
            kept.append(near[start : start + _STRIP_PAIRS][same_colours_overall(thumbnails[a], thumbnails[b])])
    return np.concatenate(kept)
