"""Shards as Parquet: other tools read it, and `tuwen import` reads the same rows back."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.tokenizing import Crops, ImageTokenizer, Tokenize
from tuwen.manifests.run_folders import TEXT_MODEL, ShardsFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest
from tuwen.tokenize.import_codes.asked import Asked
from tuwen.tokenize.import_codes.import_codes import import_codes

from ..conftest import files_of
from ..manifests.synthetic import make_shards
from ..stages import export_parquet, export_samples, write_shards
from .toy_tokenizers import MODULE


@pytest.fixture(scope="module")
def exported(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return export_parquet(load_manifest(shapes[1] / "shards"), tmp_path_factory.mktemp("parquet"))


def rows_of(manifest: Manifest, split: str) -> list[tuple[Any, ...]]:
    reader = SplitReader(manifest, split)
    codes, text, lengths = reader.rows(np.arange(len(reader)))
    return [
        (codes[row].tolist(), text[row, : lengths[row]].tolist(), meta) for row, meta in enumerate(reader.all_meta())
    ]


def imported(path: Path, out: Path, **facts: Any) -> Manifest:
    return import_codes(Asked(path=path, name="theirs", **facts), ShardsFolder(out))


def test_pyarrow_reads_every_row_with_its_codes_and_what_is_known_of_it(
    shapes: tuple[Recipe, Path], exported: Manifest
) -> None:
    shards = load_manifest(shapes[1] / "shards")
    for split, tables in exported.splits.items():
        table = ds.dataset([str(exported.folder / name) for name in tables.shards]).to_table()
        assert table.schema.field("codes").type == pa.list_(pa.uint16(), 64)
        for row, (codes, text, meta) in zip(table.to_pylist(), rows_of(shards, split), strict=True):
            assert (row["codes"], row["text_ids"], row["split"]) == (codes, text, split)
            assert {name: row[name] for name in meta} == meta
    assert list(verify_manifest(exported)) == []
    assert exported.lineage.parents == [shards.id]


def test_an_import_gives_the_shards_back_without_an_option(
    shapes: tuple[Recipe, Path], exported: Manifest, tmp_path: Path
) -> None:
    shards = load_manifest(shapes[1] / "shards")
    back = imported(exported.folder, tmp_path)
    for split in ("train", "validation"):
        assert rows_of(back, split) == rows_of(shards, split)
    ours, theirs = back.lineage.image_tokenizer, shards.lineage.image_tokenizer
    assert ours == theirs
    assert back.sample_schema == shards.sample_schema
    assert [(entry.license, entry.source) for entry in back.licenses] == [("CC0-1.0", "shapes")]
    assert back.document["split_rule"]["by"] == "the column `split` of the imported files"


def test_a_lone_file_is_read_back_with_the_text_model_alone(
    shapes: tuple[Recipe, Path], exported: Manifest, tmp_path: Path
) -> None:
    path = tmp_path / "alone" / "a.parquet"
    path.parent.mkdir()
    path.write_bytes((exported.folder / exported.splits["train"].shards[0]).read_bytes())
    with pytest.raises(BadInput, match="say --text-model FILE"):
        imported(path, tmp_path / "none")
    back = imported(path, tmp_path / "out", text_model=shapes[1] / "tokenizer" / "text.model")
    assert rows_of(back, "train") == rows_of(load_manifest(shapes[1] / "shards"), "train")[:16]
    tokenizer = back.lineage.image_tokenizer
    assert tokenizer is not None
    assert tokenizer.name == "compact-64"


def test_the_files_are_the_same_for_one_and_two_workers(
    shapes: tuple[Recipe, Path], exported: Manifest, tmp_path: Path
) -> None:
    for workers in (1, 2):
        again = export_parquet(load_manifest(shapes[1] / "shards"), tmp_path / str(workers), workers)
        assert files_of(again) == files_of(exported)
        assert again.id == exported.id


@pytest.mark.parametrize(
    ("shape", "codebook", "codebooks"), [((32,), 4096, 1), ((4, 4, 2), 512, 2), ((4, 4), 70_000, 1)]
)
def test_codes_of_every_shape_come_back(tmp_path: Path, shape: tuple[int, ...], codebook: int, codebooks: int) -> None:
    shards = make_shards(
        tmp_path / "shards", {"train": 50, "validation": 10}, shape=shape, codebook=codebook, codebooks=codebooks
    )
    exported = export_parquet(shards, tmp_path / "parquet")
    text_model = tmp_path / "text.json"
    text_model.write_text(
        '{"kind": "characters", "characters": "' + "".join(map(chr, range(0x4E00, 0x4E00 + 900))) + '"}'
    )
    back = imported(exported.folder, tmp_path / "back", text_model=text_model)
    for split in ("train", "validation"):
        ours, theirs = rows_of(back, split), rows_of(shards, split)
        assert [(row[0], row[2]) for row in ours] == [(row[0], row[2]) for row in theirs]
    assert back.sample_schema.codes == shards.sample_schema.codes


@pytest.fixture(scope="module")
def of_two_tokenizers(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two crops of each picture, by two tokenizers."""
    recipe, run = shapes
    image = ImageTokenizer(kind="python", python=f"{MODULE}:MeanColours", size=64)
    pairs = ImageTokenizer(kind="python", python=f"{MODULE}:MeanColourPairs", size=128)
    tokenize = Tokenize(
        image=image,
        also={"pairs": pairs},
        text=recipe.tokenize.text,
        crops=Crops(kind="random", count=2),
        block_rows=64,
    )
    recipe = recipe.model_copy(update={"tokenize": tokenize})
    recipe._base = shapes[0].base
    corpus, out = load_manifest(run / "corpus"), tmp_path_factory.mktemp("two")
    return write_shards(recipe, corpus, run / "tokenizer" / TEXT_MODEL, out)


def test_codes_of_further_tokenizers_and_several_crops_are_exported_and_imported(
    of_two_tokenizers: Manifest, tmp_path: Path
) -> None:
    exported = export_parquet(of_two_tokenizers, tmp_path / "parquet")
    (name,) = exported.splits["train"].shards
    table = pq.read_table(exported.folder / name)
    reader = SplitReader(of_two_tokenizers, "train", codes="codes_pairs")
    codes = reader.rows(np.arange(len(reader)))[0]
    assert table["codes_pairs"].to_pylist() == codes.tolist()
    keys = table["key"].to_pylist()
    assert keys[1] == f"{keys[0]}-1"
    assert table["crop"][0] != table["crop"][1]
    back = imported(exported.folder, tmp_path / "back", codes_column="codes_pairs")
    assert [row[0] for row in rows_of(back, "train")] == codes.tolist()
    assert [row[2]["key"] for row in rows_of(back, "train")] == keys
    assert back.sample_schema.codes == of_two_tokenizers.sample_schema.also["codes_pairs"]
    assert back.lineage.image_tokenizer == (of_two_tokenizers.lineage.also or {})["codes_pairs"]


def test_ordinary_tars_have_the_codes_of_further_tokenizers_too(of_two_tokenizers: Manifest, tmp_path: Path) -> None:
    exported = export_samples(of_two_tokenizers, tmp_path)
    reader = SplitReader(of_two_tokenizers, "train", codes="codes_pairs")
    key = reader.meta(3)["key"]
    with tarfile.open(tmp_path / exported.splits["train"].shards[0]) as tar:
        member = tar.extractfile(f"{key}.codes_pairs.npy")
        assert member is not None
        codes = np.load(io.BytesIO(member.read()))
    assert codes.shape == (16, 16, 2)
    assert codes.reshape(-1).tolist() == reader.rows(np.array([3]))[0][0].tolist()
    assert exported.lineage.also is not None


def test_what_an_import_recorded_of_its_files_is_no_part_of_an_export(exported: Manifest, tmp_path: Path) -> None:
    shards = imported(exported.folder, tmp_path / "shards")
    again = export_parquet(shards, tmp_path / "parquet")
    assert not (tmp_path / "parquet" / "imported.parquet").exists()
    assert {pq.read_schema(path).names[0] for path in (tmp_path / "parquet").glob("*.parquet")} == {"key"}
    assert sum(split.samples for split in again.splits.values()) == exported.totals["samples"]
    back = imported(again.folder, tmp_path / "back")
    assert [shard.sha256 for shard in back.shards] == [shard.sha256 for shard in shards.shards]


def test_a_corrupt_shard_is_not_exported(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", {"train": 50})
    path = tmp_path / "shards" / "train-00000.tar"
    data = bytearray(path.read_bytes())
    data[shards.shards[0].arrays["codes"].blocks[1]] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckFailed, match="block 1 is corrupt"):
        export_parquet(shards, tmp_path / "parquet")
    assert not (tmp_path / "parquet" / "manifest.json").exists()
