"""A verdict for every measured pair: scores → judge → caption counts → match → decision table.

    decisions = decide(recipe, measured, measured_evaluation, corpus, run)      # .table: one row a pair
    files = write_verdicts(decisions.table, measured, corpus)

Another threshold costs a second read of the tables; pictures are read again only for a score that was never asked for.
The few columns that decisions are made of are in memory, as numbers and digests; texts are read again for the few rows
that need them, and the decision table is written part by part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..manifests.atomic import whole_file
from ..manifests.canonical import sha256_of_file
from ..manifests.decision_table import VERDICTS
from ..manifests.documents import FileEntry, Step
from ..manifests.errors import BadInput
from ..manifests.manifest import file_entry
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import CorpusFolder
from .corpus_files.stage_tables import read_stage_table
from .duplicates.embedding_tier import VectorsRecord, embedding_tier
from .duplicates.key_bytes import KEY, hex_of_keys
from .duplicates.known_pictures import KnownPictures, known_pictures, measured_columns
from .duplicates.match import OF_PAIRS, compared_rows, match
from .executor.part import InputFile, Part, PartResult
from .executor.ray_cluster import start_cluster
from .executor.stage import Stage, StageRun, run_stage
from .judge import COMPARED, JudgeConfig, judge
from .pictures.measure import MeasureSummary
from .reasons import STAGES, fetch_reasons
from .scores.scores import Score, asked_scores, run_score

DECIDED = (
    "kept", "stage", "reason", "keeper", "keeper_from", "picture", "distance", "difference", "cosine", "cluster"
)  # fmt: skip
JUDGE = Stage("judge", judge, libraries=("pyarrow", "opencc", "ftfy", "py3langid", "rjieba", "pyahocorasick"))

Measured = PartResult[MeasureSummary]


@dataclass(frozen=True)
class Decisions:
    table: pa.Table  # the columns DECIDED of every pair, with `key` and `source`, in the order of the parts
    contaminated: pa.Table | None  # duplicates of evaluation pictures; None where there are no such pictures
    parents: list[str]  # ids of the corpora that were matched against
    vectors: VectorsRecord | None  # how near embeddings were sought; None without a model
    scored: list[PartResult[Any]]  # of scores: some may be kept from another version


def decide(
    recipe: Recipe, measured: list[Measured], measured_evaluation: list[Measured], corpus: CorpusFolder, run: StageRun
) -> Decisions:
    """The decision on every pair. `run.roots` are those of all sources, evaluation sources included."""
    start_cluster(run.ray, run.workers)  # joins run on it, too
    parts = [_part(result, corpus.measures, run) for result in measured]
    early = _run_scores(recipe, parts, corpus, run, is_after_rules=False)
    to_judge = _with_words(parts, recipe)
    for score, results in early:
        to_judge = _with(to_judge, score.name, results, corpus.score(score.name))
    judged = run_stage(JUDGE, to_judge, _judge_config(recipe), corpus.judged, run)
    parts = _with(parts, "judged", judged, corpus.judged)
    pairs = _deciding_columns(corpus, measured, judged, recipe)
    late = _run_scores(recipe, parts, corpus, run, is_after_rules=True)
    for score, results in (*early, *late):
        pairs = _apply_score(pairs, score, results, corpus, recipe)
    pairs = _drop_frequent_captions(pairs, recipe)
    known = known_pictures(recipe, measured_evaluation, corpus)
    evaluation_parts = [_part(result, corpus.evaluation_measures, run) for result in measured_evaluation]
    tier = embedding_tier(recipe, parts, evaluation_parts, pairs, known, corpus, run)
    compared = compared_rows(pairs, known.table, recipe.duplicates)
    pairs = pairs.select(OF_PAIRS)  # the rest of their columns is freed
    table = match(pairs, compared, tier.vectors, recipe.duplicates, corpus.near, partial(_captions_of, corpus))
    table = table.append_column("keeper_from", _keepers_from(table, known))
    contaminated = _contaminated(pairs, table, known, corpus) if recipe.evaluation else None
    scored = [result for _, results in (*early, *late) for result in results]
    table = table.drop_columns(["keeper_row"])
    return Decisions(table, contaminated, known.parents, tier.record, [*scored, *tier.results])


def write_verdicts(decisions: pa.Table, measured: list[Measured], corpus: CorpusFolder) -> list[FileEntry]:
    """Write the decision table, a Parquet file for each part of the measures. Returns the manifest's entries."""
    names = [f"{result.name}.parquet" for result in measured]
    for stale in corpus.verdicts.glob("*.parquet"):
        if stale.name not in names:
            stale.unlink()
    files, start = [], 0
    decided_later = ("caption", "masked", *DECIDED)
    for name, result in zip(names, measured, strict=True):
        table = read_stage_table(corpus.measures / name, columns=[c for c in VERDICTS.names if c not in decided_later])
        judged = read_stage_table(corpus.judged / name, columns=["caption", "masked"])
        rows = decisions.slice(start, len(table))
        for column, source in [("caption", judged), ("masked", judged), *((c, rows) for c in DECIDED)]:
            values = source[column].combine_chunks()
            table = table.append_column(column, hex_of_keys(values) if values.type == KEY else values)
        with whole_file(corpus.verdicts / name) as temporary:
            pq.write_table(table.select(VERDICTS.names).cast(VERDICTS), temporary, compression="zstd")
        measures_sha256 = result.files[0].sha256
        entry = file_entry(corpus.path, corpus.verdicts_name(name), rows=len(table))
        files.append(entry.model_copy(update={"measures_sha256": measures_sha256}))
        start += len(table)
    return files


def funnel(decisions: pa.Table) -> list[Step]:
    """The stages in order, each with its pairs in, out, and dropped by reason; the counts of a stage sum."""
    counted = pa.table({name: decisions[name] for name in ("stage", "reason")})
    counts = counted.group_by(["stage", "reason"]).aggregate([([], "count_all")]).sort_by("reason").to_pylist()
    steps: list[Step] = []
    left = len(decisions)
    for stage in STAGES:
        reasons = {row["reason"]: row["count_all"] for row in counts if row["stage"] == stage}
        steps.append(Step.of(stage, left, reasons))
        left = steps[-1].out
    return steps


def write_contaminated(decisions: Decisions, corpus: CorpusFolder) -> FileEntry | None:
    """Write the pairs that were dropped for evaluation pictures. Returns None if the recipe has no evaluation set."""
    corpus.contaminated.unlink(missing_ok=True)
    if decisions.contaminated is None:
        return None
    with whole_file(corpus.contaminated) as temporary:
        pq.write_table(decisions.contaminated, temporary, compression="zstd")
    return file_entry(corpus.path, corpus.contaminated_name, rows=len(decisions.contaminated))


def _run_scores(
    recipe: Recipe, parts: list[Part[None]], corpus: CorpusFolder, run: StageRun, *, is_after_rules: bool
) -> list[tuple[Score, list[PartResult[Any]]]]:
    """The scores that are one number a pair, each with its results by part. Embeddings have a tier of their own."""
    return [
        (score, run_score(score, recipe, parts, corpus.score(score.name), run))
        for score in asked_scores(recipe)
        if score.column is not None and score.is_after_rules == is_after_rules
    ]


def _part(result: Measured, folder: Path, run: StageRun) -> Part[None]:
    """A measured part, as the input of a later stage."""
    source = result.summary["source"]
    return Part(result.name, None, {"measures": result.file(folder)}, roots={source: run.roots[source]})


def _with(parts: list[Part[None]], name: str, results: list[PartResult[Any]], folder: Path) -> list[Part[None]]:
    """`parts`, each with its file of an earlier stage as one more input."""
    return [part.with_inputs(**{name: result.file(folder)}) for part, result in zip(parts, results, strict=True)]


def _with_words(parts: list[Part[None]], recipe: Recipe) -> list[Part[None]]:
    """`parts` with the user's word list as one more input, if the recipe names one."""
    if not recipe.captions.word_list:
        return parts
    path = (recipe.base / recipe.captions.word_list).resolve()
    words = InputFile(str(path), sha256_of_file(path))
    return [part.with_inputs(words=words) for part in parts]


def _judge_config(recipe: Recipe) -> JudgeConfig:
    return JudgeConfig(
        captions=recipe.captions.resolved(), images=recipe.images.resolved(), fetch_reasons=fetch_reasons()
    )


def _deciding_columns(
    corpus: CorpusFolder, measured: list[Measured], judged: list[PartResult[Any]], recipe: Recipe
) -> pa.Table:
    """Every measured pair with its caption, stage and reason; both come in the order of the parts."""
    names = [result.files[0].name for result in measured]
    pairs = measured_columns(corpus.measures, names, recipe.duplicates, with_texts=False)
    pairs = pairs.drop_columns(["origin", "caption", "han", "problem"])
    if not len(pairs):
        raise BadInput(f"{corpus.path}: the sources hold no pair", cure="check the paths and captions of the recipe")
    verdicts = pa.concat_tables(_judged_columns(corpus.judged / f"{result.name}.parquet") for result in judged)
    for name in verdicts.column_names:
        pairs = pairs.append_column(name, verdicts[name])
    return pairs.unify_dictionaries()


def _judged_columns(path: Path) -> pa.Table:
    table = read_stage_table(path, columns=["stage", "reason", *COMPARED.names])
    columns = {name: table[name].dictionary_encode() for name in ("stage", "reason")}
    named = {"caption": "caption_digest", "origin": "origin_digest", "han": "han"}
    return pa.table({**columns, **{name: table[column] for name, column in named.items()}})


def _captions_of(corpus: CorpusFolder, rows: pa.Table) -> list[str]:
    """The captions of pairs of this corpus, which `measures` and `row` locate."""
    return _looked_up(rows, lambda measures: read_stage_table(corpus.judged / measures.name, ["caption"])["caption"])


def _origins_of(rows: pa.Table) -> list[str]:
    return _looked_up(rows, lambda measures: read_stage_table(measures, ["origin"])["origin"])


def _looked_up(rows: pa.Table, column_of: Callable[[Path], pa.ChunkedArray]) -> list[str]:
    """A text of each row; each file is read once."""
    measures, row = rows["measures"].combine_chunks(), rows["row"].to_numpy()
    file, names = measures.indices.to_numpy(), measures.dictionary.to_pylist()
    order = np.argsort(file, kind="stable")
    texts: NDArray[np.object_] = np.empty(len(row), object)
    for same in np.split(order, np.flatnonzero(np.diff(file[order])) + 1) if len(order) else ():
        texts[same] = column_of(Path(names[file[same[0]]])).take(pa.array(row[same])).to_pylist()
    found: list[str] = texts.tolist()
    return found


def _apply_score(
    pairs: pa.Table, score: Score, results: list[PartResult[Any]], corpus: CorpusFolder, recipe: Recipe
) -> pa.Table:
    """`pairs` with the score in its column, if they have one of that name, and with the verdicts that it gives."""
    if score.reasons is None and score.name not in pairs.column_names:
        return pairs
    scores = pa.concat_tables(read_stage_table(result.file(corpus.score(score.name)).path) for result in results)
    column = scores[score.name]
    if score.name in pairs.column_names:  # `similarity`: of duplicates the best caption is chosen by it
        pairs = pairs.set_column(pairs.schema.get_field_index(score.name), score.name, column)
    least, most = score.limits(recipe)
    below, above = score.reasons or ("", "")
    alive, values = pc.equal(pairs["reason"], "").to_numpy(), column.to_numpy()  # null: NaN, which passes both limits
    if below and least is not None:
        pairs = _set(pairs, alive & (values < least), stage="pair", reason=below)
    if above and most is not None:
        pairs = _set(pairs, alive & (values > most), stage="pair", reason=above)
    return pairs


def _drop_frequent_captions(pairs: pa.Table, recipe: Recipe) -> pa.Table:
    """Drop captions that too many pictures have; counted over the whole corpus, among the pairs still alive."""
    max_count = recipe.captions.resolved().max_count
    assert max_count is not None
    alive = pc.equal(pairs["reason"], "").to_numpy()
    caption = pairs["caption"].combine_chunks().dictionary_encode().indices.to_numpy()
    counts = np.bincount(caption[alive], minlength=int(caption.max()) + 1)
    return _set(pairs, alive & (counts[caption] > max_count), stage="caption", reason="caption_seen_too_often")


def _keepers_from(table: pa.Table, known: KnownPictures) -> pa.Array:
    """The name of the set that the keeper of each pair is in; null for this corpus."""
    row = pc.subtract(table["keeper_row"], len(table)).combine_chunks()
    keeper = known.table.take(pc.if_else(pc.less(row, 0), None, row))
    names = pa.array(known.names).take(keeper["corpus"].combine_chunks())
    return pc.if_else(pc.equal(names, ""), keeper["source"].combine_chunks().cast(pa.string()), names)


def _contaminated(pairs: pa.Table, table: pa.Table, known: KnownPictures, corpus: CorpusFolder) -> pa.Table:
    """Every pair that is dropped for a picture of an evaluation set, and that picture."""
    rows = pc.indices_nonzero(pc.equal(table["stage"], "evaluation"))
    dropped, measured = table.take(rows), pairs.take(rows)
    keeper = known.table.take(pc.subtract(dropped["keeper_row"], len(pairs)))
    return pa.table(
        {
            "key": hex_of_keys(dropped["key"]),
            "source": dropped["source"].cast(pa.string()),
            "origin": pa.array(_origins_of(measured), pa.string()),
            "caption": pa.array(_captions_of(corpus, measured), pa.string()),
            **{name: dropped[name] for name in ("reason", "distance", "difference", "cosine")},
            "evaluation_key": hex_of_keys(keeper["key"]),
            "evaluation_source": dropped["keeper_from"],
            "evaluation_origin": pa.array(_origins_of(keeper), pa.string()),
        }
    )


def _set(table: pa.Table, rows: NDArray[np.bool_], **values: str) -> pa.Table:
    """`table` with string columns set to one value in the rows of a mask."""
    for name, value in values.items():
        column = pc.if_else(pa.array(rows), value, table[name].cast(pa.string()))
        table = table.set_column(table.schema.get_field_index(name), name, column.dictionary_encode())
    return table
