"""`tuwen import`: what others tokenized becomes shards; a row that cannot be used is named, and counted."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.canonical import canonical_json, sha256_of_file
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.manifest_schema import manifest_schema
from tuwen.manifests.merge import merge
from tuwen.manifests.order.order import open_order
from tuwen.manifests.order.order_lookup import keys_at, reads_of_key
from tuwen.manifests.order.shuffle import Shuffle
from tuwen.manifests.run_folders import ShardsFolder, TrainFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.show import describe
from tuwen.manifests.verify import verify_manifest
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.import_codes.asked import Asked, parse_grid
from tuwen.tokenize.import_codes.import_codes import import_codes
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.tokenize.sequence import layout_for
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.training.loop import train

from ..conftest import files_of, write_recipe
from .toy_tokenizers import MODULE

LETTERS = "红圆蓝方绿三角黄"
PIECES = {letter: number + 4 for number, letter in enumerate(LETTERS)}
CAPTIONS = ["红圆", "蓝方", "绿三角", "黄圆"]


@pytest.fixture
def text_model(tmp_path: Path) -> Path:
    path = tmp_path / "text.json"
    path.write_bytes(canonical_json({"kind": "characters", "characters": LETTERS}))
    return path


def ids_of(caption: str) -> list[int]:
    return [PIECES[letter] for letter in caption]


def random_codes(rows: int, number: int, codebook: int) -> Any:
    return np.random.default_rng(rows).integers(0, codebook, (rows, number))


def imported(path: Path, out: Path, text_model: Path | None, **facts: Any) -> Manifest:
    return import_codes(
        Asked(path=path, name="theirs", text_model=text_model, **{"validation": 0.0, **facts}), ShardsFolder(out)
    )


def rows_of(manifest: Manifest, split: str = "train") -> list[tuple[list[int], list[int], Any]]:
    reader = SplitReader(manifest, split)
    codes, text, lengths = reader.rows(np.arange(len(reader)))
    return [
        (codes[row].tolist(), text[row, : lengths[row]].tolist(), meta) for row, meta in enumerate(reader.all_meta())
    ]


def refused_of(manifest: Manifest) -> dict[str, str]:
    table = pq.read_table(manifest.folder / "refused.parquet")
    return dict(zip(table["place"].to_pylist(), table["reason"].to_pylist(), strict=True))


def write_bin(path: Path, texts: list[list[int]], codes: Any, length: int = 64) -> None:
    """As cogdata's BinarySaver does: text ids filled up with −1, then codes, as int32."""
    rows = np.full((len(texts), length + codes.shape[1]), -1, np.int32)
    for row, ids in enumerate(texts):
        rows[row, : len(ids)] = ids
    rows[:, length:] = codes
    path.write_bytes(rows.tobytes())


def cogdata_ids(caption: str) -> list[int]:
    return [piece + 8192 for piece in ids_of(caption)]


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


def dalle_mini(path: Path, rows: int = 4, codes: Any = None, **columns: Any) -> Any:
    codes = random_codes(rows, 256, 16384) if codes is None else codes
    table = {"caption": (CAPTIONS * rows)[:rows], "encoding": codes.tolist(), **columns}
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(table), path, row_group_size=3)
    return codes


FACTS_256 = {"codebook": 16384, "grid": parse_grid("16x16")}


def test_parquet_of_dalle_mini_becomes_shards(tmp_path: Path, text_model: Path) -> None:
    codes = np.concatenate(
        [dalle_mini(tmp_path / "encoded" / f"{n:03d}.parquet", rows) for n, rows in ((1, 5), (2, 4))]
    )
    manifest = imported(tmp_path / "encoded", tmp_path / "out", text_model, **FACTS_256)
    assert [row[0] for row in rows_of(manifest)] == codes.tolist()
    assert [row[1] for row in rows_of(manifest)][:4] == [ids_of(caption) for caption in CAPTIONS]
    alone = imported(tmp_path / "encoded" / "002.parquet", tmp_path / "alone", text_model, **FACTS_256)
    assert [row[0] for row in rows_of(alone)] == codes[5:].tolist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int32()), pa.large_list(pa.uint16()), pa.list_(pa.int64(), 16),
        pa.list_(pa.list_(pa.int64(), 4), 4), pa.list_(pa.list_(pa.uint16())),
    ],
    ids=str,
)  # fmt: skip
def test_codes_are_read_from_every_kind_of_list_and_null_rows_are_named(
    tmp_path: Path, text_model: Path, kind: pa.DataType
) -> None:
    codes = random_codes(5, 16, 100)
    is_nested = pa.types.is_nested(kind.value_type)
    rows: list[Any] = [row.reshape(4, 4).tolist() if is_nested else row.tolist() for row in codes]
    rows[2] = None
    table = pa.table({"text": ["红", "圆", "蓝", "方", "绿"], "codes": pa.array(rows, kind)})
    pq.write_table(table, tmp_path / "x.parquet")
    manifest = imported(tmp_path / "x.parquet", tmp_path / "out", text_model, codebook=100, grid=parse_grid("4x4"))
    assert [row[0] for row in rows_of(manifest)] == np.delete(codes, 2, axis=0).tolist()
    assert refused_of(manifest) == {"x.parquet#2": "no_codes"}


def test_columns_of_others_are_not_taken_for_ours(tmp_path: Path, text_model: Path) -> None:
    theirs = {"key": [1, 1, 1, 1], "split": ["validation"] * 4, "text_ids": [[7]] * 4, "license": [0.5] * 4}
    codes = dalle_mini(tmp_path / "x.parquet", **theirs)
    manifest = imported(tmp_path / "x.parquet", tmp_path / "out", text_model, validation=None, **FACTS_256)
    rows = [row for split in ("train", "validation") for row in rows_of(manifest, split)]
    assert sorted(row[0] for row in rows) == sorted(codes.tolist())
    assert {row[2]["license"] for row in rows} == {"unknown"}
    assert len({row[2]["key"] for row in rows}) == 4
    assert sorted(row[1] for row in rows) == sorted(map(ids_of, CAPTIONS))
    assert manifest.document["split_rule"]["by"] == "key"


def test_a_file_of_a_folder_that_lacks_the_codes_is_named(tmp_path: Path, text_model: Path) -> None:
    dalle_mini(tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"caption": ["红"]}), tmp_path / "in" / "b.parquet")
    with pytest.raises(BadInput, match=r"b\.parquet: has no column `encoding`; say --codes-column with one of caption"):
        imported(tmp_path / "in", tmp_path / "out", text_model, **FACTS_256)


def test_broken_rows_of_parquet_are_named(tmp_path: Path, text_model: Path) -> None:
    codes: list[Any] = random_codes(6, 16, 100).tolist()
    codes[0], codes[1], codes[2] = codes[0][:15], None, [100] * 16
    captions = ["红", "红", "红", None, "", "圆"]
    pq.write_table(pa.table({"图": captions, "编码": codes}), tmp_path / "x.parquet")
    facts = {"codebook": 100, "grid": parse_grid("16"), "caption_column": "图", "codes_column": "编码"}
    manifest = imported(tmp_path / "x.parquet", tmp_path / "out", text_model, **facts)
    assert refused_of(manifest) == {
        "x.parquet#0": "wrong_number_of_codes",
        "x.parquet#1": "no_codes",
        "x.parquet#2": "code_beyond_codebook",
        "x.parquet#3": "no_caption",
        "x.parquet#4": "no_caption",
    }
    assert manifest.sample_schema.codes.shape == [16]
    floats = pa.table({"caption": ["红"], "codes": [[0.5] * 16]})
    pq.write_table(floats, tmp_path / "floats.parquet")
    with pytest.raises(BadInput, match=r"no row can be used \(1 no_codes\); correct --codes-column"):
        imported(tmp_path / "floats.parquet", tmp_path / "floats", text_model, codebook=100, grid=parse_grid("16"))


def save_npy(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


FACTS = {"codebook": 16384, "grid": parse_grid("4x4")}


def test_llamagens_text_to_image_codes_take_their_captions_from_the_lists(tmp_path: Path, text_model: Path) -> None:
    codes = random_codes(12, 16, 16384)
    for number, row in enumerate(codes[:11]):
        save_npy(tmp_path / "codes" / "part-a" / f"{number}.npy", row[None])
    save_npy(tmp_path / "codes" / "part-b" / "1.npy", codes[11][None])
    for name, texts in (("part-a", CAPTIONS * 3), ("part-b", ["红", "绿"])):
        lines = [json.dumps({"image_path": "x.jpg", "text": [text, "另一句"]}, ensure_ascii=False) for text in texts]
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    manifest = imported(tmp_path / "codes", tmp_path / "out", text_model, captions=tmp_path / "lists", **FACTS)
    assert [row[0] for row in rows_of(manifest)] == codes.tolist()  # 10.npy after 9.npy
    assert [row[2]["caption"] for row in rows_of(manifest)] == [*(CAPTIONS * 3)[:11], "绿"]


def test_llamagens_class_codes_take_names_for_labels_and_views_stay_in_one_split(
    tmp_path: Path, text_model: Path
) -> None:
    codes = random_codes(40, 2 * 16, 16384).reshape(40, 1, 2, 16)
    for number, views in enumerate(codes):
        save_npy(tmp_path / "all" / "imagenet256_codes" / f"{number}.npy", views)
        save_npy(tmp_path / "all" / "imagenet256_labels" / f"{number}.npy", np.array([number % 4]))
    (tmp_path / "names.txt").write_text("\n".join(CAPTIONS), encoding="utf-8")
    asked = {**FACTS, "captions": tmp_path / "names.txt", "validation": 0.3}
    manifest = imported(tmp_path / "all", tmp_path / "out", text_model, **asked)
    keys = {split: [meta["key"] for _, _, meta in rows_of(manifest, split)] for split in ("train", "validation")}
    assert sum(map(len, keys.values())) == 80
    assert all(second == f"{first}-1" for of in keys.values() for first, second in zip(of[::2], of[1::2], strict=True))
    assert rows_of(manifest)[0][0] in codes.reshape(-1, 16).tolist()
    assert {meta["caption"] for _, _, meta in rows_of(manifest)} == set(CAPTIONS)


def test_a_broken_npy_and_a_missing_caption_are_named(tmp_path: Path, text_model: Path) -> None:
    codes = random_codes(4, 16, 16384)
    for number, row in enumerate(codes):
        save_npy(tmp_path / "npy" / f"{number}.npy", row)
        (tmp_path / "npy" / f"{number}.txt").write_text(CAPTIONS[number], encoding="utf-8")
    whole = (tmp_path / "npy" / "1.npy").read_bytes()
    (tmp_path / "npy" / "1.npy").write_bytes(whole[:-3])
    (tmp_path / "npy" / "2.txt").write_bytes("红".encode("gb18030"))
    save_npy(tmp_path / "npy" / "3.npy", np.array([{"a": 1}], dtype=object))
    manifest = imported(tmp_path / "npy", tmp_path / "out", text_model, **FACTS)
    assert refused_of(manifest) == {"1.npy": "unreadable", "2.npy": "no_caption", "3.npy": "unreadable"}
    assert [row[0] for row in rows_of(manifest)] == codes[:1].tolist()


def a_bin(folder: Path) -> Path:
    write_bin(folder / "merge.bin", [cogdata_ids("红圆")], random_codes(1, 1024, 8192))
    return folder / "merge.bin"


def a_parquet(folder: Path) -> Path:
    dalle_mini(folder / "x.parquet")
    return folder / "x.parquet"


def a_folder_of_npy(folder: Path) -> Path:
    save_npy(folder / "npy" / "0.npy", np.zeros((1, 16), np.int64))
    return folder / "npy"


def a_mixture(folder: Path) -> Path:
    dalle_mini(folder / "mixed" / "x.parquet")
    save_npy(folder / "mixed" / "0.npy", np.zeros((1, 16), np.int64))
    return folder / "mixed"


def half_a_bin(folder: Path) -> Path:
    a_bin(folder).write_bytes(b"\0" * 100)
    return folder / "merge.bin"


@pytest.mark.parametrize(
    ("make", "facts", "refusal"),
    [
        (a_parquet, {"grid": parse_grid("16x16")}, "how many codes there are; say --codebook 16384"),
        (a_parquet, {"codebook": 16384}, "how its codes lie in a picture; say --grid 32x32"),
        (a_parquet, {"caption_column": "图"}, "no column `图`; say --caption-column with one of caption, encoding"),
        (a_folder_of_npy, FACTS, "has no 0.txt beside 0.npy; say --captions FILE"),
        (a_bin, {"text_model": None}, "holds no text tokenizer; say --text-model FILE"),
        (a_bin, {"text_model": Path("none.model")}, "none.model: no such file; correct --text-model"),
        (a_bin, {"tokenizer": "compact-64"}, r"gives 8×8 codes of 1,024, not 32×32 of 8,192; correct --grid"),
        (a_bin, {"tokenizer": "{kind: llamagen, size: 256}"}, r"`kind: llamagen` needs the model; write it as"),
        (a_bin, {"text_offset": 0}, r"\(1 text_id_beyond_vocabulary\); give the --text-model that the ids are of"),
        (a_bin, {"codebook": 10, "text_offset": 8192}, r"\(1 code_beyond_codebook\); correct --codebook"),
        (a_bin, {"kind": "llamagen"}, "is not a folder of .npy; correct --kind"),
        (half_a_bin, {}, "100 bytes are no rows of 64 text ids and 32 × 32 codes; say --grid"),
        (a_mixture, FACTS, "holds parquet and llamagen; say --kind parquet"),
        (lambda folder: folder / "none", {}, "none: does not exist; name a file or a folder of codes"),
        (lambda folder: folder / "text.json", {}, r"text.json: holds no codes that are known"),
    ],
)  # fmt: skip
def test_what_is_missing_is_asked_for_with_its_option(
    tmp_path: Path, text_model: Path, make: Callable[[Path], Path], facts: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(BadInput, match=refusal):
        imported(make(tmp_path), tmp_path / "out", **{"text_model": text_model, **facts})
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_parquet_file_that_is_cut_stops_the_import(tmp_path: Path, text_model: Path) -> None:
    path = a_parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckFailed, match="restore the file, or take it out"):
        imported(path, tmp_path / "out", text_model, codebook=16384, grid=parse_grid("16x16"))


@pytest.mark.parametrize("text", ["", "0x3", "3x", "3x3x3", "8x8+16", "2x3+4x4", "-1"])
def test_what_is_no_grid_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="write "):
        parse_grid(text)


def compact_codes(folder: Path) -> Path:
    """64 codes a picture, as compact-64 gives them, beside their captions."""
    for number, row in enumerate(random_codes(24, 64, 1024)):
        save_npy(folder / "npy" / f"{number}.npy", row.reshape(8, 8))
        (folder / "npy" / f"{number}.txt").write_text(CAPTIONS[number % 4], encoding="utf-8")
    return folder / "npy"


TRAINING = "{preset: tiny, steps: 2, batch: 4, precision: float32}"


def test_imported_codes_are_trained_on_and_pictures_need_their_tokenizer(tmp_path: Path, text_model: Path) -> None:
    path, recipe = compact_codes(tmp_path), load_recipe(str(write_recipe(tmp_path, train=TRAINING)))
    facts = {"codebook": 1024, "grid": parse_grid("8x8")}
    without = imported(path, tmp_path / "without", text_model, tokenizer="ours", **facts)
    run = train(recipe, without, TrainFolder(tmp_path / "run"))
    assert run.losses[-1]["samples"] == 8
    assert list(verify_manifest(load_manifest(tmp_path / "run"))) == []
    with pytest.raises(BadInput, match=r"imported without their image tokenizer; .*--tokenizer FOLDER"):
        sample_pictures(run, ["红圆"], count=1, seed=0)
    given = imported(path, tmp_path / "given", text_model, tokenizer="compact-64")
    assert (given.sample_schema.codes.codebook, given.sample_schema.codes.shape) == (1024, [8, 8])
    pictures, _ = sample_pictures(train(recipe, given, TrainFolder(tmp_path / "run2")), ["红圆"], count=1, seed=0)
    assert pictures.shape == (1, 1, 64, 64, 3)


def test_a_tokenizer_of_others_is_given_as_in_a_recipe(tmp_path: Path, text_model: Path) -> None:
    for number, row in enumerate(random_codes(8, 64, 256)):
        save_npy(tmp_path / "npy" / f"{number}.npy", row[None])
        (tmp_path / "npy" / f"{number}.txt").write_text("红圆", encoding="utf-8")
    said = f"{{kind: python, python: '{MODULE}:MeanColours', size: 64}}"
    manifest = imported(tmp_path / "npy", tmp_path / "out", text_model, tokenizer=said)
    assert (manifest.sample_schema.codes.codebook, manifest.sample_schema.codes.shape) == (256, [8, 8])
    codes = SplitReader(manifest, "train").rows(np.arange(8))[0].astype(np.int64).reshape(-1, 8, 8)
    image_codes = open_image_codes(tmp_path / "out" / "image_tokenizer")
    assert np.array_equal(image_codes.encode(image_codes.decode(codes)), codes)


def test_what_and_when_answer_for_imported_pairs(tmp_path: Path, text_model: Path) -> None:
    manifest = imported(compact_codes(tmp_path), tmp_path / "out", text_model, tokenizer="compact-64")
    order = open_order(manifest, "train", 3, Shuffle())
    (key,) = keys_at(manifest, order, 5, 1, "train")
    assert [read["position"] for read in reads_of_key(manifest, order, key, 4, 1, "train")] == [5]
