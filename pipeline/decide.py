"""From what was measured to a verdict for every pair: judge → similarity → caption counts → match → decision table.

    decisions = decide(recipe, measured, measured_evaluation, roots, out, workers)      # .table: one row a pair
    files = write_verdicts(decisions.table, measured, out)

Another threshold costs a second read of the tables; pictures are read again only for a score that was never asked for.
What lies in memory are the few columns that decisions are made of, about 1.4 KB a pair at the peak (1.3 GB more
for a million pairs than for 100,000); the decision table itself is written part by part.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..manifests.atomic import whole_file
from ..manifests.canonical import sha256_of_file
from ..manifests.errors import BadInput
from ..manifests.manifest import file_entry
from ..manifests.pair import VERDICTS
from ..manifests.recipe.recipe import Recipe
from .captions.words import read_words
from .duplicates.embedding_tier import alike_vectors
from .duplicates.known_pictures import KnownPictures, known_pictures, measured_columns
from .duplicates.match import match
from .executor.part import Part, PartResult
from .executor.stage import run_stage
from .judge import judge
from .scores.clip_similarity import model_hash, similarity
from .scores.nsfw import check_installed, nsfw

STAGES = ("fetch", "read", "picture", "caption", "pair", "evaluation", "earlier", "exact", "near", "choice")
DECIDED = (
    "kept", "stage", "reason", "keeper", "keeper_from", "picture", "distance", "difference", "cosine", "cluster"
)  # fmt: skip

_MEASURES, _JUDGED, _NSFW, _SIMILARITY = "measures", ".work/judged", "nsfw", "similarity"
_CONTAMINATED = "contaminated.parquet"


@dataclass(frozen=True)
class Decisions:
    table: pa.Table  # the columns DECIDED of every pair, with `key` and `source`, in the order of the parts
    contaminated: pa.Table | None  # pairs that are twins of evaluation pictures; None where there are no such pictures
    parents: list[str]  # ids of the corpora that were matched against
    vectors: dict[str, Any]  # how near embeddings were sought; empty where no model is named


def decide(
    recipe: Recipe,
    measured: list[PartResult],
    measured_evaluation: list[PartResult],
    roots: dict[str, Path],
    out: Path,
    workers: int | None,
) -> Decisions:
    """`out` is the corpus; `roots` are of all sources, those of the evaluation too."""
    judged = _judge(measured, recipe, roots, out, workers)
    pairs = _deciding_columns(out, measured, judged, recipe)
    pairs = _drop_unlike(pairs, _similarity(measured, judged, recipe, roots, out, workers), recipe)
    pairs = _drop_frequent_captions(pairs, recipe)
    known = known_pictures(recipe, measured_evaluation, out)
    vectors, how = None, dict[str, Any]()
    if recipe.duplicates.embedding.model is not None:
        parts = [
            _with(_part(result, roots, out), out / _JUDGED, judged=said)
            for result, said in zip(measured, judged, strict=True)
        ]
        parts_evaluation = [_part(result, roots, out, "measures-evaluation") for result in measured_evaluation]
        vectors, how = alike_vectors(recipe, parts, parts_evaluation, pairs, known, out, workers)
    table = match(pairs, known.table, vectors, recipe.duplicates, out / ".work/near")
    table = table.append_column("keeper_from", _keepers_from(table, known))
    contaminated = _contaminated(pairs, table, known) if recipe.evaluation else None
    return Decisions(table.drop_columns(["keeper_row"]), contaminated, known.parents, how)


def write_verdicts(decisions: pa.Table, measured: list[PartResult], out: Path) -> list[dict[str, Any]]:
    """The decision table, a Parquet file for each part of the measures. Returns the manifest's entries."""
    folder = out / "verdicts"
    names = [f"{result.name}.parquet" for result in measured]
    for stale in folder.glob("*.parquet"):
        if stale.name not in names:
            stale.unlink()
    files, start = [], 0
    for name, result in zip(names, measured, strict=True):
        table = pq.read_table(out / _MEASURES / name, columns=[c for c in VERDICTS.names if c not in _DECIDED_LATER])
        said = pq.read_table(out / _JUDGED / name, columns=["caption", "masked"])
        rows = decisions.slice(start, len(table))
        for column, source in [*(("caption", said), ("masked", said)), *((c, rows) for c in DECIDED)]:
            table = table.append_column(column, source[column].combine_chunks())
        with whole_file(folder / name) as temporary:
            pq.write_table(table.select(VERDICTS.names).cast(VERDICTS), temporary, compression="zstd")
        entry = file_entry(out, f"verdicts/{name}", rows=len(table))
        files.append({**entry, "measures_sha256": result.files[0]["sha256"]})
        start += len(table)
    return files


def funnel(decisions: pa.Table) -> list[dict[str, Any]]:
    """Of every stage: pairs in, out, and dropped by reason; each stage's counts sum."""
    counted = pa.table({name: decisions[name] for name in ("stage", "reason")})
    counts = counted.group_by(["stage", "reason"]).aggregate([([], "count_all")]).sort_by("reason").to_pylist()
    steps: list[dict[str, Any]] = []
    left = len(decisions)
    for stage in STAGES:
        reasons = {row["reason"]: row["count_all"] for row in counts if row["stage"] == stage}
        steps.append({"name": stage, "in": left, "out": left - sum(reasons.values()), "dropped": reasons})
        left = steps[-1]["out"]
    return steps


def write_contaminated(decisions: Decisions, out: Path) -> dict[str, Any]:
    """The list of pairs that evaluation pictures took away, for a person to read. Returns the manifest's entry."""
    path = out / _CONTAMINATED
    path.unlink(missing_ok=True)
    if decisions.contaminated is None:
        return {}
    with whole_file(path) as temporary:
        pq.write_table(decisions.contaminated, temporary, compression="zstd")
    return {"contaminated": file_entry(out, _CONTAMINATED, rows=len(decisions.contaminated))}


_DECIDED_LATER = ("caption", "masked", *DECIDED)


def _judge(
    measured: list[PartResult], recipe: Recipe, roots: dict[str, Path], out: Path, workers: int | None
) -> list[PartResult]:
    parts = [_part(result, roots, out) for result in measured]
    if recipe.images.resolved().max_nsfw is not None:
        check_installed()
        scored = run_stage("nsfw", nsfw, parts, {}, out / _NSFW, workers=workers)
        parts = [_with(part, out / _NSFW, nsfw=result) for part, result in zip(parts, scored, strict=True)]
    captions, images = recipe.captions.model_dump(), recipe.images.model_dump()
    config: dict[str, Any] = {"captions": captions, "images": images, "words": None}
    if recipe.captions.word_list:
        words = recipe.base / recipe.captions.word_list
        read_words(words)  # refused here, before any task
        config["words"] = sha256_of_file(words)
        parts = [replace(part, place={**part.place, "words": str(words.resolve())}) for part in parts]
    return run_stage("judge", judge, parts, config, out / _JUDGED, workers=workers)


def _similarity(
    measured: list[PartResult], judged: list[PartResult], recipe: Recipe, roots: dict[str, Path], out: Path,
    workers: int | None,
) -> pa.ChunkedArray | None:  # fmt: skip
    """Of every pair, null where it was not asked for; None when no model is named."""
    if recipe.similarity.model is None:
        return None
    model = recipe.base / recipe.similarity.model
    config = {"model": model_hash(model)}
    parts = [
        _with(_part(result, roots, out, model=str(model.resolve())), out / _JUDGED, judged=said)
        for result, said in zip(measured, judged, strict=True)
    ]
    found = run_stage("similarity", similarity, parts, config, out / _SIMILARITY, workers=workers)
    tables = [pq.read_table(out / _SIMILARITY / result.files[0]["name"]) for result in found]
    return pa.concat_tables(tables)["similarity"]


def _part(result: PartResult, roots: dict[str, Path], out: Path, folder: str = _MEASURES, **place: str) -> Part:
    """What was measured of a part, as the input of a stage that follows."""
    root = str(roots[result.summary["source"]].resolve())
    return _with(Part(result.name, {}, {"root": root, **place}), out / folder, measures=result)


def _with(part: Part, folder: Path, **results: PartResult) -> Part:
    """`part` with the one file of an earlier stage's result, under a name: hashed by content, handed over as a path."""
    files = {name: result.files[0] for name, result in results.items()}
    identity = {name: file["sha256"] for name, file in files.items()}
    place = {name: str((folder / file["name"]).resolve()) for name, file in files.items()}
    return replace(part, identity={**part.identity, **identity}, place={**part.place, **place})


def _deciding_columns(out: Path, measured: list[PartResult], judged: list[PartResult], recipe: Recipe) -> pa.Table:
    """Of every measured pair, with its caption, stage and reason; both come in the order of the parts."""
    names = [result.files[0]["name"] for result in measured]
    pairs = measured_columns(out / _MEASURES, names, recipe.duplicates).drop_columns(["caption", "problem"])
    if not len(pairs):
        raise BadInput(f"{out}: the sources hold no pair", cure="check the paths and the captions of the recipe")
    names = ["caption", "stage", "reason"]
    said = pa.concat_tables(
        [pq.read_table(out / _JUDGED / result.files[0]["name"], columns=names) for result in judged]
    )
    for name in names:
        column = said[name] if name == "caption" else said[name].dictionary_encode()
        pairs = pairs.append_column(name, column)
    return pairs


def _drop_unlike(pairs: pa.Table, cosines: pa.ChunkedArray | None, recipe: Recipe) -> pa.Table:
    """Pairs whose picture and caption say different things, or, above the maximum, the same letters."""
    if cosines is None:
        return pairs
    pairs = pairs.set_column(pairs.schema.get_field_index("similarity"), "similarity", cosines)
    rules = recipe.similarity.resolved()
    cosine = cosines.to_numpy()  # not a number compares as false, both ways
    if rules.min is not None:
        pairs = _set(pairs, cosine < rules.min, stage="pair", reason="unlike_caption")
    if rules.max is not None:
        pairs = _set(pairs, cosine > rules.max, stage="pair", reason="too_like_caption")
    return pairs


def _drop_frequent_captions(pairs: pa.Table, recipe: Recipe) -> pa.Table:
    """Boilerplate is what is said of many pictures; counted over the whole corpus, by all pairs still alive."""
    max_count = recipe.captions.resolved().max_count
    assert max_count is not None
    alive = pc.equal(pairs["reason"], "").to_numpy()
    caption = pairs["caption"].combine_chunks().dictionary_encode().indices.to_numpy()
    counts = np.bincount(caption[alive], minlength=int(caption.max()) + 1)
    return _set(pairs, alive & (counts[caption] > max_count), stage="caption", reason="caption_seen_too_often")


def _keepers_from(table: pa.Table, known: KnownPictures) -> pa.Array:
    """Of every pair the name of the set that its keeper stands in; null if that is this corpus."""
    row = pc.subtract(table["keeper_row"], len(table)).combine_chunks()
    twin = known.table.take(pc.if_else(pc.less(row, 0), None, row))
    names = pa.array(known.names).take(twin["corpus"].combine_chunks())
    return pc.if_else(pc.equal(names, ""), twin["source"].combine_chunks().cast(pa.string()), names)


def _contaminated(pairs: pa.Table, table: pa.Table, known: KnownPictures) -> pa.Table:
    """Every pair that a twin in an evaluation set took away, and that twin."""
    rows = pc.indices_nonzero(pc.equal(table["stage"], "evaluation"))
    said = table.take(rows)
    twin = known.table.take(pc.subtract(said["keeper_row"], len(pairs)))
    return pa.table(
        {
            "key": said["key"],
            "source": said["source"].cast(pa.string()),
            **{name: pairs[name].take(rows) for name in ("origin", "caption")},
            **{name: said[name] for name in ("reason", "distance", "difference", "cosine")},
            "evaluation_key": twin["key"],
            "evaluation_source": said["keeper_from"],
            "evaluation_origin": twin["origin"],
        }
    )


def _set(table: pa.Table, rows: NDArray[np.bool_], **values: str) -> pa.Table:
    """`table` with string columns set to one value in the rows of a mask."""
    for name, value in values.items():
        column = pc.if_else(pa.array(rows), value, table[name].cast(pa.string()))
        table = table.set_column(table.schema.get_field_index(name), name, column.dictionary_encode())
    return table
