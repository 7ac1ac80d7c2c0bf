"""CogView end to end: its VQ-VAE's shape, its ids of captions, its layout, one step of training, a picture."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tuwen.manifests.canonical import canonical_json
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.caption_ids import open_caption_ids
from tuwen.tokenize.pretrained.cogview_vq import CogViewVQ
from tuwen.tokenize.sequence import cogview_layout
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.training.loop import train

from ..conftest import draw, write_recipe
from ..stages import build_corpus, write_shards

PIECES = 50_000
COG_MODEL = os.environ.get("TUWEN_COG_MODEL")


def table_of_50000() -> bytes:
    """A stand-in for CogView's model: a table of characters with the same number of ids, in which 红 is the last."""
    filler = "".join(chr(0x20000 + number) for number in range(PIECES - 4 - 3))
    return canonical_json({"kind": "characters", "characters": f"圆黄{filler}红"})


@dataclass(frozen=True)
class Shards:
    recipe: Recipe
    manifest: Manifest


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Three pairs through `kind: cogview` with random weights and narrow layers, at 256 px."""
    folder = tmp_path_factory.mktemp("cogview")
    (folder / "pictures").mkdir()
    captions = {"红圆": draw("红", "圆", 60), "黄圆": draw("黄", "圆", 50), "红": draw("红", "三角", 70)}
    for name, picture in captions.items():
        picture.save(folder / "pictures" / f"{name}.png")
    lines = [f"{name}.png\t{name}\n" for name in captions]
    (folder / "pictures" / "captions.tsv").write_text("".join(lines), encoding="utf-8")
    torch.manual_seed(0)
    network = CogViewVQ([8, 8, 8], 8, 8192)
    torch.nn.init.normal_(network.quantize_t.embed)
    with torch.no_grad():
        for weights in network.enc_b.parameters():
            weights.mul_(3)  # so that latents differ by more than codes do
    torch.save(network.state_dict(), folder / "vq.pt")
    (folder / "pieces.json").write_bytes(table_of_50000())
    image = "{kind: cogview, path: vq.pt, size: 256, batch: 1}"
    text = "{tokenizer: characters, path: pieces.json, max_tokens: 64}"
    recipe = load_recipe(str(write_recipe(
        folder, tokenize=f"{{image: {image}, text: {text}}}", split="{validation: 0}",
        train="{preset: tiny, layout: cogview, steps: 2, batch: 1, precision: float32}",
    )))  # fmt: skip
    corpus = build_corpus(recipe, folder / "corpus")
    return Shards(recipe, write_shards(recipe, corpus, folder / "pieces.json", folder / "shards", workers=1))


def test_the_ids_of_a_pair_are_cogviews(tokenized: Shards) -> None:
    """By hand: [ROI1] 58199, text from 8192 on, [BASE] 58208, [BOI1] 58193, codes as they are, [EOI1] 58196."""
    reader = SplitReader(tokenized.manifest, "train")
    codes, text, lengths = reader.rows(np.arange(len(reader)))
    assert codes.shape == (3, 1024)
    assert len(np.unique(codes)) > 20
    ids, positions = cogview_layout().sequences(codes, text, lengths)
    expected = {"红圆": [58_191, 8_196], "黄圆": [8_197, 8_196], "红": [58_191]}
    for row, meta in enumerate(reader.all_meta()):
        sequence = [58_199, *expected[meta["caption"]], 58_208, 58_193, *codes[row].tolist(), 58_196]
        assert ids[row, : len(sequence)].tolist() == sequence
        assert set(ids[row, len(sequence) :].tolist()) == {58_192}
        assert positions[row, : len(sequence)].tolist() == list(range(len(sequence)))


def test_a_model_of_1089_positions_and_58240_ids_trains_and_gives_pictures(
    tokenized: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuwen.train.painting.sampling.BATCH_ROWS", 1)  # for the time that 1,024 codes take
    run = train(tokenized.recipe, tokenized.manifest, TrainFolder(tmp_path))
    assert run.layout == cogview_layout()
    assert (run.document.settings.model.num_positions, run.document.settings.model.vocab_size) == (1089, 58_240)
    assert len(run.losses) == 2
    pictures, _ = sample_pictures(run, ["红圆"], count=1, seed=0, temperature=0)
    assert pictures.shape == (1, 1, 256, 256, 3)


@pytest.mark.skipif(not COG_MODEL, reason="TUWEN_COG_MODEL does not name CogView's cog-pretrain.model")
def test_cogviews_own_model_gives_its_ids() -> None:
    captions = open_caption_ids(Path(COG_MODEL or "").read_bytes())
    assert captions.vocab == PIECES
    assert captions.encode("一只蜜蜂") == [15_955, 20_128]
    layout = cogview_layout()
    prompt, _ = layout.prompt(captions.encode("一只蜜蜂"))
    assert prompt.tolist() == [58_199, 24_147, 28_320, 58_208, 58_193]
