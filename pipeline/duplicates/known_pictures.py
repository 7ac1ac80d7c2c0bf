"""The pictures that are known elsewhere: those of evaluation sets, and of corpora that were built before.

    known = known_pictures(recipe, measured_evaluation, corpus)      # .table: by `match.known_schema`

An evaluation source is measured with the corpus. A corpus is read from its measures, by the hashes in its manifest, and
no picture is decoded again. Pairs that an earlier corpus kept drop their duplicates here. Duplicates that it dropped
only hold clusters together, so that a cluster keeps its name, and its split, from corpus to corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...manifests.canonical import sha256_of_file
from ...manifests.errors import BadInput
from ...manifests.manifest import Manifest, load_manifest
from ...manifests.pair import SIGNATURES
from ...manifests.recipe.recipe import Recipe
from ...manifests.recipe.rules import Duplicates
from ...manifests.recipe.sources import CorpusSource
from ...manifests.run_folders import CorpusFolder
from ..corpus_files.stage_tables import read_stage_table
from ..corpus_files.verdicts import verdict_parts
from ..executor.part import PartResult
from .key_bytes import KEY, digests, keys_of_hex
from .match import deciding, known_schema
from .role import Role

_DUPLICATE_STAGES = ("evaluation", "earlier", "exact", "near", "choice")  # a pair is dropped for a duplicate there


@dataclass(frozen=True)
class KnownPictures:
    table: pa.Table
    parents: list[str]  # ids of the corpora's manifests
    names: list[str]  # by the number in `corpus`: 0 is this corpus, 1 its evaluation sources, then corpora
    corpora: list[Manifest]  # in the order of `corpus`, from 2 on


def known_pictures(recipe: Recipe, measured_evaluation: list[PartResult[Any]], corpus: CorpusFolder) -> KnownPictures:
    """The known pictures of a recipe. Raises BadInput on measures that were altered, or cannot be compared."""
    rules = recipe.duplicates
    evaluations = [source for source in recipe.evaluation if isinstance(source, CorpusSource)]
    paths = [(source.name, source.path, Role.EVALUATION) for source in evaluations]
    paths += [(path, path, Role.EARLIER) for path in recipe.earlier]
    names = [part.files[0].name for part in measured_evaluation]
    measured = measured_columns(corpus.evaluation_measures, names, rules)
    tables, corpora = [_known(measured, 1, Role.EVALUATION, rules)], []
    for number, (_, path, role) in enumerate(paths, start=2):
        corpora.append(open_known_corpus(recipe.base / path))
        tables += [_known(table, number, role, rules) for table in _pictures_of(corpora[-1], role, rules)]
    sets = ["", "", *(name for name, _, _ in paths)]
    return KnownPictures(pa.concat_tables(tables), [known.id for known in corpora], sets, corpora)


def measured_columns(folder: Path, names: list[str], rules: Duplicates, with_texts: bool = True) -> pa.Table:
    """The columns `deciding` of every pair of these files, as it was measured, and its `problem`.

    Without texts there are no digests of them, which the judge makes of a corpus' own pairs.
    """
    schema = deciding(rules)
    unmeasured = {"measures", "row", "origin", "caption", "han", "similarity"}
    columns = [name for name in schema.names if name not in unmeasured]
    texts = ["origin", "caption_raw"] if with_texts else []
    tables = [pa.table({**{name: pa.array([], schema.field(name).type) for name in schema.names},
                        "problem": pa.array([], pa.string())})]  # fmt: skip
    for name in names:
        path = folder / name
        renamed = pq.read_schema(path).names.count("phash64_turned")  # as version 0.4.0 called phash64_flips
        read = ["phash64_turned" if renamed and column == "phash64_flips" else column for column in columns]
        table = read_stage_table(path, columns=[*read, "problem", *texts])
        table = table.rename_columns([*columns, "problem", *texts])
        for hashed in ("key", "image_sha256", "pixels_hash"):
            table = table.set_column(table.schema.get_field_index(hashed), hashed, keys_of_hex(table[hashed]))
        origin, caption = (digests(table[text].to_pylist()) for text in texts) if texts else (_nothing(table),) * 2
        table = table.drop_columns(texts).append_column("origin", origin).append_column("caption", caption)
        table = table.append_column("han", pa.nulls(len(table), pa.int32()))
        measures = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(table), np.int32)), pa.array([str(path)]))
        table = table.append_column("measures", measures)
        table = table.append_column("row", pa.array(np.arange(len(table), dtype=np.int32)))
        table = table.append_column("similarity", pa.nulls(len(table), pa.float32()))
        tables.append(table.select(tables[0].column_names).cast(tables[0].schema))
    return pa.concat_tables(tables).unify_dictionaries()


def _nothing(table: pa.Table) -> pa.Array:
    return pa.nulls(len(table), KEY)


def _known(measured: pa.Table, number: int, role: Role, rules: Duplicates) -> pa.Table:
    """The readable rows of `measured` by `known_schema`; a column of it that is there already is kept."""
    more = {"role": role, "corpus": number, "earlier_cluster": None}
    schema = known_schema(rules)
    for name, value in more.items():
        if name not in measured.column_names:
            measured = measured.append_column(name, pa.repeat(pa.scalar(value, schema.field(name).type), len(measured)))
    return measured.filter(pc.is_null(measured["problem"])).select(schema.names).cast(schema)


def open_known_corpus(path: Path) -> Manifest:
    """The manifest of a corpus. Raises BadInput if it is none, or if its measures cannot be compared with these."""
    corpus = load_manifest(path)
    if corpus.document["kind"] != "corpus":
        raise BadInput(f"{path}: a manifest of {corpus.document['kind']}", cure="name the folder of a corpus")
    if corpus.document["lineage"].get("signatures") != SIGNATURES:
        raise BadInput(
            f"{path}: measured by another version of tuwen, whose hashes cannot be compared with these",
            cure="run `tuwen corpus` on its recipe again",
        )
    return corpus


def _pictures_of(corpus: Manifest, role: Role, rules: Duplicates) -> Iterator[pa.Table]:
    """The pictures of a corpus, part by part; of an earlier corpus those that were kept or dropped as duplicates."""
    shown = _shown_with_other_captions(corpus)
    parts = verdict_parts(corpus, ["key", "kept", "stage", "picture", "cluster"])
    for entry, verdicts in zip(corpus.document["files"], parts, strict=True):
        name = Path(entry["name"]).name
        path = CorpusFolder(corpus.folder).measures / name
        if not path.is_file() or sha256_of_file(path) != entry["measures_sha256"]:
            raise BadInput(f"{path}: missing or altered", cure="run `tuwen corpus` on its recipe again")
        table = measured_columns(CorpusFolder(corpus.folder).measures, [name], rules)
        if role == Role.EARLIER:
            own = pc.and_(verdicts["kept"], pc.is_null(verdicts["picture"]))
            trained_on = pc.or_(own, pc.is_in(verdicts["key"], shown))
            roles = pc.if_else(trained_on, Role.EARLIER, Role.EARLIER_DROPPED).cast(pa.int8())
            table = table.append_column("role", roles).append_column(
                "earlier_cluster", keys_of_hex(verdicts["cluster"])
            )
            table = table.filter(pc.or_(verdicts["kept"], pc.is_in(verdicts["stage"], pa.array(_DUPLICATE_STAGES))))
        yield table


def _shown_with_other_captions(corpus: Manifest) -> pa.Array:
    """Keys of pictures that are kept with the caption of another pair, though their own pair may be dropped."""
    kept = pa.concat_tables(part.filter(part["kept"]) for part in verdict_parts(corpus, ["kept", "picture"]))
    return kept["picture"].drop_null().unique()
