"""`tuwen import` of cogdata's `.bin`: shards with its codes and ids; a row that cannot be used is named and counted."""

import json
import tempfile
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.canonical import canonical_json, sha256_of_file
from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.manifest_schema import manifest_schema
from tuwen.manifests.merge import merge
from tuwen.manifests.run_folders import ShardsFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.show import describe
from tuwen.manifests.verify import verify_manifest
from tuwen.tokenize.import_codes.asked import Asked, parse_grid
from tuwen.tokenize.import_codes.import_codes import import_codes
from tuwen.tokenize.sequence import layout_for

from ...conftest import files_of
from .others_files import CAPTIONS, LETTERS, cogdata_ids, ids_of, imported, random_codes, refused_of, rows_of, write_bin


def test_a_bin_of_cogdata_becomes_shards_with_its_codes_and_ids(tmp_path: Path, text_model: Path) -> None:
    codes = random_codes(4, 1024, 8192)
    write_bin(tmp_path / "merge.bin", [cogdata_ids(caption) for caption in CAPTIONS], codes)
    manifest = imported(tmp_path / "merge.bin", tmp_path / "out", text_model, tokenizer="cogview")
    for row, (row_codes, text, meta) in enumerate(rows_of(manifest)):
        assert row_codes == codes[row].tolist()
        assert text == ids_of(CAPTIONS[row])
        assert meta["caption"] == CAPTIONS[row]
        assert (meta["source"], meta["license"]) == ("theirs", "unknown")
    assert manifest.sample_schema.codes.shape == [32, 32]
    assert manifest.sample_schema.codes.codebook == 8192
    assert list(verify_manifest(manifest, "always")) == []
    assert "cogview" in describe(manifest)
    assert "not looked for: split by key; duplicates" in describe(manifest)
    jsonschema.validate(manifest.document, manifest_schema(), jsonschema.Draft202012Validator)


def test_a_row_of_cogdata_is_laid_out_as_cogviews_template_does(tmp_path: Path, text_model: Path) -> None:
    """TextCodeTemplate: [ROI1], the ids of the row, [BASE] [BOI1], its codes, [EOI1]: the row's own ids come back."""
    codes = random_codes(1, 1024, 8192)
    write_bin(tmp_path / "merge.bin", [cogdata_ids("绿三角")], codes)
    manifest = imported(tmp_path / "merge.bin", tmp_path / "out", text_model)
    layout = layout_for("cogview", manifest.sample_schema, text_max=24)
    ids, _ = layout.sequences(*SplitReader(manifest, "train").rows(np.array([0])))
    sequence = [58_199, *cogdata_ids("绿三角"), 58_208, 58_193, *codes[0].tolist(), 58_196]
    assert ids[0, : len(sequence)].tolist() == sequence


def test_the_manifest_tells_what_was_imported_with_the_hash_of_each_file(tmp_path: Path, text_model: Path) -> None:
    folder = tmp_path / "task"
    for name in ("b", "a"):
        (folder / name).mkdir(parents=True)
        write_bin(folder / name / f"{name}.bin", [cogdata_ids("红圆")] * 3, random_codes(3, 1024, 8192))
    manifest = imported(folder, tmp_path / "out", text_model)
    table = pq.read_table(manifest.folder / "imported.parquet").to_pylist()
    assert [entry["name"] for entry in table] == ["a/a.bin", "b/b.bin"]
    assert [entry["sha256"] for entry in table] == [sha256_of_file(folder / entry["name"]) for entry in table]
    assert {"imported.parquet", "text.model"} <= {file.name for file in manifest.files}
    assert manifest.lineage.recipe is not None
    assert manifest.lineage.recipe["imported"]["kind"] == "cogdata"
    assert [(step.name, step.pairs_in, step.out) for step in manifest.lineage.steps] == [("import", 6, 6)]
    assert len({meta["key"] for _, _, meta in rows_of(manifest)}) == 6


def test_a_broken_row_is_named_with_its_number_and_the_others_are_kept(tmp_path: Path, text_model: Path) -> None:
    codes = random_codes(7, 1024, 8192)
    codes[1, 1000], codes[5, 3] = 8192, -1
    texts = [cogdata_ids(caption) for caption in [*CAPTIONS, "红", "蓝", "绿"]]
    texts[2], texts[3] = [], [7]  # no caption; an id without cogdata's offset
    write_bin(tmp_path / "merge.bin", texts, codes)
    with (tmp_path / "merge.bin").open("ab") as file:
        file.write(b"\0" * 100)
    manifest = imported(tmp_path / "merge.bin", tmp_path / "out", text_model, grid=parse_grid("32x32"))
    assert refused_of(manifest) == {
        "merge.bin#1": "code_beyond_codebook",
        "merge.bin#2": "no_caption",
        "merge.bin#3": "text_id_beyond_vocabulary",
        "merge.bin#5": "code_beyond_codebook",
        "merge.bin#7": "cut_off",
    }
    assert [meta["caption"] for _, _, meta in rows_of(manifest)] == ["红圆", "红", "绿"]
    (step,) = manifest.lineage.steps
    assert (step.pairs_in, step.out) == (8, 3)
    assert step.dropped == {"code_beyond_codebook": 2, "cut_off": 1, "no_caption": 1, "text_id_beyond_vocabulary": 1}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_cogdata_wrote_comes_back_whatever_its_numbers(data: st.DataObject) -> None:
    codebook, side, length = (data.draw(st.integers(*bounds)) for bounds in ((2, 70_000), (1, 6), (1, 9)))
    one_text = st.lists(st.integers(4, 3 + len(LETTERS)), min_size=1, max_size=length)
    texts = data.draw(st.lists(one_text, min_size=1, max_size=5))
    codes = np.random.default_rng(side).integers(0, codebook, (len(texts), side * side))
    with tempfile.TemporaryDirectory() as folder:
        path, model = Path(folder) / "x.bin", Path(folder) / "text.json"
        model.write_bytes(canonical_json({"kind": "characters", "characters": LETTERS}))
        write_bin(path, [[piece + codebook for piece in text] for text in texts], codes, length)
        facts = {"codebook": codebook, "grid": parse_grid(f"{side}x{side}"), "text_length": length}
        rows = rows_of(imported(path, Path(folder) / "out", model, **facts))
        assert [row[0] for row in rows] == codes.tolist()
        assert [row[1] for row in rows] == texts


def test_the_command_counts_what_was_refused(tmp_path: Path, text_model: Path) -> None:
    write_bin(tmp_path / "merge.bin", [cogdata_ids("红圆"), []], random_codes(2, 1024, 8192))
    command = ["import", str(tmp_path / "merge.bin"), "--text-model", str(text_model), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--validation", "0"])
    assert done.exit_code == 0
    assert "1 sample in 1 shard, 1 row refused" in done.stdout
    assert "merge.bin#1: no_caption" in done.stderr
    done = CliRunner().invoke(app, [*command, "--validation", "0", "--license", "CC0-1.0", "--json"])
    assert json.loads(done.stdout)["totals"]["samples"] == 1
    assert load_manifest(tmp_path / "out").licenses[0].license == "CC0-1.0"


def test_imports_of_one_tokenizer_are_merged(tmp_path: Path, text_model: Path) -> None:
    manifests = []
    for name in ("a", "b"):
        write_bin(tmp_path / f"{name}.bin", [cogdata_ids("红圆")] * 5, random_codes(5, 1024, 8192))
        asked = Asked(
            path=tmp_path / f"{name}.bin", name=name, text_model=text_model, tokenizer="cogview", validation=0
        )
        manifests.append(import_codes(asked, ShardsFolder(tmp_path / name)))
    with pytest.raises(BadInput, match="hold the same shard"):
        merge([manifests[0], manifests[0]], tmp_path / "both")
    merged = merge(manifests, tmp_path / "both")
    assert [row[0] for row in rows_of(merged)] == [row[0] for made in manifests for row in rows_of(made)]


def test_several_sizes_of_a_picture_are_one_row_with_its_scales(tmp_path: Path, text_model: Path) -> None:
    codes = random_codes(2, 64 + 256, 512)
    write_bin(tmp_path / "x.bin", [[piece + 512 for piece in ids_of("红圆")]] * 2, codes, length=8)
    asked = {"codebook": 512, "grid": parse_grid("8x8+16x16"), "text_length": 8}
    manifest = imported(tmp_path / "x.bin", tmp_path / "out", text_model, **asked)
    assert manifest.sample_schema.codes.shape == [320]
    tokenizer = manifest.lineage.image_tokenizer
    assert tokenizer is not None
    assert (tokenizer.model_extra or {})["scales"] == [8, 16]
    assert [row[0] for row in rows_of(manifest)] == codes.tolist()


def test_the_same_files_give_the_same_bytes_and_the_share_of_validation_is_by_key(
    tmp_path: Path, text_model: Path
) -> None:
    write_bin(tmp_path / "merge.bin", [cogdata_ids("红圆")] * 300, random_codes(300, 1024, 8192))
    first, again = (
        imported(tmp_path / "merge.bin", tmp_path / name, text_model, validation=0.3) for name in ("first", "again")
    )
    assert first.id == again.id
    assert files_of(first) == files_of(again)
    counts = {split: first.splits[split].samples for split in ("train", "validation")}
    assert counts["train"] + counts["validation"] == 300
    assert 50 < counts["validation"] < 130
    assert first.document["split_rule"]["by"] == "key"
    more = imported(tmp_path / "merge.bin", tmp_path / "more", text_model, validation=0.5)
    held_out = [{meta["key"] for _, _, meta in rows_of(made, "validation")} for made in (first, more)]
    assert held_out[0] < held_out[1]


def test_rows_beyond_one_shard_go_on_in_the_next(
    tmp_path: Path, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuwen.tokenize.import_codes.split_shards._BLOCK_ROWS", 16)
    monkeypatch.setattr("tuwen.tokenize.import_codes.split_shards._MOST_CODES", 2 * 16 * 1024)
    codes = random_codes(75, 1024, 8192)
    write_bin(tmp_path / "merge.bin", [cogdata_ids("红圆")] * 75, codes)
    manifest = imported(tmp_path / "merge.bin", tmp_path / "out", text_model)
    assert [(shard.name, shard.samples) for shard in manifest.shards] == [
        ("train-00000.tar", 32), ("train-00001.tar", 32), ("train-00002.tar", 11),
    ]  # fmt: skip
    assert [row[0] for row in rows_of(manifest)] == codes.tolist()
