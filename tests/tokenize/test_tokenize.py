"""Pictures and captions to codes, ids, sequences and shards: the same bytes for any number of workers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import CompactVQTraining, Recipe
from tuwen.manifests.run_folders import TEXT_MODEL
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.corpus_files.split import split_of
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.reasons import STAGES
from tuwen.tokenize.caption_ids import CaptionIds, train_sentencepiece
from tuwen.tokenize.compact_codes import CompactCodes, open_compact_vq, save_compact_vq
from tuwen.tokenize.compact_vq import CompactVQ, CompactVQConfig
from tuwen.tokenize.crops import fit_square
from tuwen.tokenize.open_image_codes import SHIPPED, find_image_tokenizer, open_image_codes
from tuwen.tokenize.quality import psnr
from tuwen.tokenize.reconstruction import measure_reconstruction
from tuwen.tokenize.sequence import COGVIEW_COMMANDS, cogview_layout, compact_layout
from tuwen.tokenize.train_compact_vq import train_compact_vq

from ..conftest import COLOURS, SHAPES, draw, encoded, files_of, png, write_recipe
from ..stages import build_corpus, train_tokenizers, write_shards

CAPTIONS = ["一只红色的猫", "一只蓝色的狗", "红色的花和蓝色的天", "两只小鸟", "绿色的树，红色的花"] * 4

# --- image codes ------------------------------------------------------------------------------------


def some_pictures() -> np.ndarray:
    pictures = [draw(colour, shape, 60).resize((64, 64)) for colour in COLOURS for shape in SHAPES]
    return np.stack([np.asarray(picture) for picture in pictures])


def test_the_shipped_tokenizer_keeps_its_word() -> None:
    folder = SHIPPED / "compact-64"
    image_codes = open_image_codes(find_image_tokenizer("compact-64", Path()))
    assert (image_codes.identity.codebook, image_codes.identity.grid, image_codes.identity.side_px) == (
        1024,
        (8, 8),
        64,
    )
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10_000_000
    manifest = load_manifest(folder, "tokenizer")
    assert manifest.document["lineage"]["recipe"]["name"] == "emoji"
    listed = {entry["name"]: entry["sha256"] for entry in manifest.document["files"]}
    assert listed["weights.safetensors"] == image_codes.identity.sha256


def test_the_shipped_tokenizer_rebuilds_pictures_that_it_never_saw() -> None:
    image_codes = open_image_codes(SHIPPED / "compact-64")
    pictures = some_pictures()
    codes = image_codes.encode(pictures)
    assert codes.shape == (len(pictures), 8, 8)
    assert 0 <= codes.min() <= codes.max() < 1024
    assert psnr(pictures, image_codes.decode(codes))["psnr_mean_db"] > 18


def test_the_codes_of_a_picture_do_not_depend_on_its_neighbours() -> None:
    image_codes = open_image_codes(SHIPPED / "compact-64")
    pictures = some_pictures()
    together = image_codes.encode(pictures)
    alone = np.concatenate([image_codes.encode(pictures[row : row + 1]) for row in range(len(pictures))])
    shuffled = image_codes.encode(pictures[::-1].copy())[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, shuffled)


def test_a_tokenizer_comes_back_as_it_was_saved_and_a_spoilt_one_is_refused(tmp_path: Path) -> None:
    model = CompactVQ(CompactVQConfig(width=16, fine_width=8, codebook_size=32)).half().float()
    save_compact_vq(tmp_path, model)
    opened = open_compact_vq(tmp_path)
    pictures = some_pictures()
    assert np.array_equal(opened.encode(pictures), CompactCodes(model, opened.identity).encode(pictures))
    (tmp_path / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(BadInput, match="not a compact tokenizer"):
        open_compact_vq(tmp_path)
    with pytest.raises(BadInput, match="compact-64"):
        find_image_tokenizer("no-such-tokenizer", tmp_path)


def test_a_short_training_learns_uses_its_codes_and_repeats_itself() -> None:
    config = CompactVQConfig(codebook_size=16, width=16, fine_width=8, encoder_depth=1, decoder_depth=1)
    training = CompactVQTraining(steps=60, batch=8, precision="float32")
    pictures = some_pictures()
    model, history = train_compact_vq(pictures, config, training)
    again, repeated = train_compact_vq(pictures, config, training)
    assert history == repeated
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert np.mean(history[-5:]) < 0.85 * np.mean(history[:5])
    codes = model.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
    assert len(codes.unique()) >= 5


def test_a_wide_picture_is_cropped_in_the_middle_and_the_box_is_told() -> None:
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste("red", (100, 0, 200, 100))
    square, box = fit_square(picture, 64)
    assert box == [100, 0, 200, 100]
    assert square.shape == (64, 64, 3)
    assert (square == [255, 0, 0]).all()


# --- caption ids ------------------------------------------------------------------------------------


def test_sentencepiece_gives_the_same_model_for_the_same_captions_and_the_captions_back() -> None:
    model = train_sentencepiece(CAPTIONS, vocab=64)
    assert model == train_sentencepiece(CAPTIONS, vocab=64)
    captions = CaptionIds(model)
    assert captions.vocab <= 64
    for caption in CAPTIONS:
        assert captions.decode(captions.encode(caption)) == caption
    assert captions.decode(captions.encode("，")) == "，"  # no normalisation of SentencePiece's own
    assert 0 in captions.encode("龘")  # <unk>


def test_a_vocabulary_smaller_than_the_characters_is_refused_with_the_number() -> None:
    with pytest.raises(BadInput, match=r"more characters.*set `tokenize.text.vocab` to \d+ or more"):
        train_sentencepiece([chr(0x4E00 + n) * 2 for n in range(300)], vocab=64)


# --- sequences --------------------------------------------------------------------------------------


def test_the_cogview_layout_is_cogviews() -> None:
    layout = cogview_layout()
    assert layout.command_ids["[PAD]"] == 58_192
    assert layout.command_ids["[ROI1]"] == 58_199
    assert layout.command_ids["[BASE]"] == 58_208
    assert layout.command_ids["[POS8]"] == 58_218
    assert len(COGVIEW_COMMANDS) == 27
    assert layout.vocab == 58_240
    assert layout.length == 1089
    ids, positions = layout.sequences(np.array([[8191] * 1024]), np.array([[0, 49_999]]), np.array([2]))
    assert ids[0, :6].tolist() == [58_199, 8192, 58_191, 58_208, 58_193, 8191]
    assert ids[0, 5 + 1024] == layout.command_ids["[EOI1]"]
    assert positions[0, : 6 + 1024].tolist() == list(range(1030))


def test_text_is_trimmed_and_codes_never_are() -> None:
    layout = compact_layout(codebook=100, num_codes=4, text_vocab=50, text_max=3)
    text = np.tile(np.arange(5), (6, 1))
    codes = np.arange(24).reshape(6, 4)
    ids, positions = layout.sequences(codes, text, np.array([0, 1, 2, 3, 4, 5]))
    for row in range(6):
        sequence = [token for token in ids[row].tolist() if token != layout.pad]
        assert sequence[-5:-1] == codes[row].tolist()
        assert sequence[-1] == layout.command_ids["[EOI1]"]
        assert sequence[0] == layout.command_ids["[ROI1]"]
        assert len(sequence) == 4 + 4 + min(row, 3)
        first = ids[row].tolist().index(codes[row, 0])
        assert positions[row, first : first + 5].tolist() == [6, 7, 8, 9, 10]  # the same for every caption's length


def test_a_prompt_is_the_beginning_of_a_sequence() -> None:
    layout = compact_layout(codebook=100, num_codes=4, text_vocab=50, text_max=3)
    for text in ([], [7], [7, 8, 9], [7, 8, 9, 10]):
        ids, positions = layout.prompt(text)
        row, places = layout.sequences(np.zeros((1, 4), int), np.array([text or [0]]), np.array([len(text)]))
        assert row[0, : len(ids)].tolist() == ids.tolist()
        assert places[0, : len(ids)].tolist() == positions.tolist()


# --- shards -----------------------------------------------------------------------------------------


def test_shards_are_byte_identical_for_one_two_and_four_workers(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = shapes
    expected = load_manifest(run / "shards")
    corpus, text_model = load_manifest(run / "corpus"), run / "tokenizer" / TEXT_MODEL
    for workers in (1, 2, 4):
        manifest = write_shards(recipe, corpus, text_model, tmp_path / str(workers), workers)
        assert manifest.id == expected.id
        assert files_of(manifest) == files_of(expected)


def test_every_kept_pair_is_in_one_split_with_its_caption_and_codes(shapes: tuple[Recipe, Path]) -> None:
    recipe, run = shapes
    shards, corpus = load_manifest(run / "shards"), load_manifest(run / "corpus")
    kept = {row["key"]: row for row in read_verdicts(corpus).to_pylist() if row["kept"]}
    captions = CaptionIds((run / "tokenizer" / TEXT_MODEL).read_bytes())
    seen = {}
    for split in ("train", "validation"):
        reader = SplitReader(shards, split)
        _, text, lengths = reader.rows(np.arange(len(reader)))
        for row in range(len(reader)):
            meta = reader.meta(row)
            seen[meta["key"]] = split
            assert meta["caption"] == kept[meta["key"]]["caption"]
            assert text[row, : lengths[row]].tolist() == captions.encode(meta["caption"])[:16]
            assert split == split_of(kept[meta["key"]]["cluster"], recipe.split.validation)
    assert set(seen) == set(kept)
    assert set(seen.values()) == {"train", "validation"}


@pytest.mark.parametrize("images", ["none", "exact", "near"])
def test_a_planted_twin_never_straddles_whatever_the_policy_of_duplicates(tmp_path: Path, images: str) -> None:
    """Of every picture one twin as JPEG and one at half the size, under names and captions of their own.

    The pictures are textured, as photographs are: of flat, symmetric drawings the hash misses one twin in ten.
    """
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator, lines = np.random.default_rng(0), []
    for number in range(60):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        picture = coarse.resize((96, 96), Image.Resampling.BICUBIC)
        half = picture.resize((48, 48), Image.Resampling.LANCZOS)
        smaller = encoded(half, "WEBP", lossless=True)
        files = {"png": png(picture), "jpg": encoded(picture, "JPEG", quality=80), "webp": smaller}
        for kind, data in files.items():
            (folder / f"{number}.{kind}").write_bytes(data)
            lines.append(f"{number}.{kind}\t第{number}张的{kind}")
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = load_recipe(
        str(write_recipe(tmp_path, split="{validation: 0.5}", duplicates=f"{{images: {images}}}")),
        ["tokenize.text.vocab=80"],
    )
    corpus = build_corpus(recipe, tmp_path / "corpus")
    train_tokenizers(recipe, corpus, tmp_path / "tokenizer", ("text",))
    shards = write_shards(recipe, corpus, tmp_path / "tokenizer" / TEXT_MODEL, tmp_path / "shards")
    origins = {row["key"]: row["origin"] for row in read_verdicts(corpus, ["key", "origin"]).to_pylist()}
    splits: dict[str, set[str]] = {}
    for split in ("train", "validation"):
        for meta in SplitReader(shards, split).all_meta():
            splits.setdefault(Path(origins[meta["key"]]).stem, set()).add(split)
    assert len(splits) == 60
    assert {name for name, found in splits.items() if len(found) > 1} == set()
    assert {split for found in splits.values() for split in found} == {"train", "validation"}
    assert shards.document["totals"]["samples"] == (60 if images == "near" else 180)
    assert shards.document["leakage"]["cluster_in_both"] == 0


def test_the_manifest_of_shards_tells_their_whole_descent(shapes: tuple[Recipe, Path]) -> None:
    corpus, shards = (load_manifest(shapes[1] / stage).document for stage in ("corpus", "shards"))
    lineage = shards["lineage"]
    assert lineage["parents"] == [corpus["id"]]
    assert [step["name"] for step in lineage["steps"]] == [*STAGES, "tokenize"]
    assert lineage["recipe"]["tokenize"]["block_rows"] == 16
    assert lineage["image_tokenizer"]["codebook"] == 1024
    assert shards["leakage"]["cluster_in_both"] == shards["leakage"]["pixels_hash_in_both"] == 0
    assert shards["licenses"][0]["license"] == "CC0-1.0"
    assert sum(entry["samples"] for entry in shards["licenses"]) == shards["totals"]["samples"]


def test_a_picture_that_changed_since_it_was_measured_stops_the_shards(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, run = shapes
    corpus = load_manifest(run / "corpus")
    row = next(row for row in read_verdicts(corpus).to_pylist() if row["kept"])
    path = recipe.base / "pictures" / row["origin"]
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + b"x")
        with pytest.raises(CheckFailed, match="changed since it was measured"):
            write_shards(recipe, corpus, run / "tokenizer" / TEXT_MODEL, tmp_path)
        assert not (tmp_path / "manifest.json").exists()
    finally:
        path.write_bytes(whole)


def test_reconstruction_is_measured_on_pictures_of_the_validation_split(shapes: tuple[Recipe, Path]) -> None:
    recipe, run = shapes
    measured = measure_reconstruction(recipe, load_manifest(run / "corpus"), load_manifest(run / "shards"))
    assert measured["split"] == "validation"
    assert measured["pictures"] == load_manifest(run / "shards").document["splits"]["validation"]["samples"]
    assert measured["psnr_mean_db"] > 15
    assert (run / "shards" / "reconstruction.png").is_file()


def test_a_recipe_trains_a_tokenizer_of_its_own_and_can_use_it(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = shapes
    tokenize = recipe.tokenize.model_copy(
        update={"image": recipe.tokenize.image.model_copy(update={"training": CompactVQTraining(steps=3, batch=4)})}
    )
    short = recipe.model_copy(update={"tokenize": tokenize})
    corpus = load_manifest(run / "corpus")
    result = train_tokenizers(short, corpus, tmp_path)
    assert {entry["name"] for entry in result.document["files"]} >= {
        "text.model",
        "image/weights.safetensors",
        "image/quality.json",
    }
    assert load_manifest(tmp_path / "image").document["lineage"]["parents"] == [corpus.id]
    assert open_image_codes(find_image_tokenizer(str(tmp_path / "image"), Path())).identity.codebook == 1024
