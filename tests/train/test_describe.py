"""Captions of pictures: the search finds the likeliest one, draws follow the model, and files come in as shards did."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.errors import BadInput
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.tokenize.sequence import compact_layout
from tuwen.train.describing.caption_search import draw_captions, search_captions
from tuwen.train.describing.describe_pictures import DescribeOptions, describe, describe_pictures
from tuwen.train.painting.caption_loss import caption_losses
from tuwen.train.run.run import Run, open_run
from tuwen.train.transformer.model import ModelConfig, Transformer

from .test_plans import trained

LAYOUT = compact_layout(codebook=20, num_codes=6, text_vocab=4, text_max=3)
CODES = np.array([3, 1, 4, 1, 5, 9])


def tiny_model(seed: int) -> Transformer:
    config = ModelConfig(vocab_size=LAYOUT.vocab, num_positions=LAYOUT.length, width=32, depth=2, heads=2)
    model = Transformer(config, seed).eval()
    with torch.no_grad():
        model.head.weight *= 20  # type: ignore[union-attr]  # new weights find all pieces equally likely
    return model


def scores_of_all_captions(model: Transformer) -> dict[tuple[int, ...], float]:
    """−`caption_losses`, another way to the same number, of all 84 captions of one to three of four pieces."""
    texts = [list(text) for length in range(1, LAYOUT.text_max + 1) for text in product(range(4), repeat=length)]
    codes = np.broadcast_to(CODES, (len(texts), 1, len(CODES)))
    losses = caption_losses(model, LAYOUT, texts, codes, torch.float32)[:, 0]
    return {tuple(text): -float(loss) for text, loss in zip(texts, losses, strict=True)}


@pytest.mark.parametrize("seed", range(5))
def test_a_search_with_beams_enough_finds_the_likeliest_captions_a_piece_with_their_losses(seed: int) -> None:
    model = tiny_model(seed)
    scores = scores_of_all_captions(model)
    found = search_captions(model, LAYOUT, CODES, beams=64, precision="float32")
    best = sorted(scores, key=lambda caption: -scores[caption])[:5]
    assert [tuple(caption.pieces) for caption in found[:5]] == best
    assert [caption.score for caption in found[:5]] == pytest.approx([scores[caption] for caption in best], abs=1e-5)


def test_drawn_captions_begin_as_often_with_a_piece_as_the_model_says_and_the_seed_draws_them_again() -> None:
    model = tiny_model(1)
    drawn = draw_captions(model, LAYOUT, CODES, 2000, seed=0, temperature=1.0, precision="float32")
    ids, positions = (torch.tensor([each.tolist()]) for each in LAYOUT.picture(CODES))
    with torch.no_grad():
        logits = model(ids, positions)[0, -1, LAYOUT.text_offset : LAYOUT.text_offset + 4]
    begun = np.bincount([caption.pieces[0] for caption in drawn], minlength=4) / len(drawn)
    assert begun.tolist() == pytest.approx(logits.softmax(dim=0).tolist(), abs=0.05)
    again = draw_captions(model, LAYOUT, CODES, 20, seed=0, temperature=1.0, precision="float32")
    assert again == drawn[:20]
    assert draw_captions(model, LAYOUT, CODES, 20, seed=1, temperature=1.0, precision="float32") != again


@pytest.fixture(scope="module")
def run(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(trained(shapes, tmp_path_factory.mktemp("describe"), steps=6, reverse=0.5))


def test_a_file_is_cropped_as_the_shards_were_whatever_its_size_and_format(run: Run, tmp_path: Path) -> None:
    red = Image.new("RGB", (300, 100), "red")
    red.paste("blue", (0, 0, 100, 100))  # beside the centre square
    red.save(tmp_path / "wide.png")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "square.webp", lossless=True)
    wide, square = describe(run, [tmp_path / "wide.png", tmp_path / "square.webp"], DescribeOptions(count=3))
    assert wide == square
    assert len(wide) == 3
    assert wide[0].score >= wide[1].score >= wide[2].score


def test_what_is_said_of_a_picture_does_not_depend_on_what_is_described_beside_it(run: Run) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    for options in (DescribeOptions(count=2), DescribeOptions(count=2, temperature=0.7, seed=5)):
        together = describe_pictures(run, pictures, options)
        assert together == [describe_pictures(run, picture[None], options)[0] for picture in pictures]


def test_the_command_prints_a_line_for_each_caption_and_refuses_what_is_no_picture(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    (tmp_path / "text.png").write_text("no picture")
    asked = ["caption", str(run.folder.path), str(tmp_path / "red.png"), "--count", "2"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [str(tmp_path / "red.png")] * 2
    (described,) = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert described["file"] == str(tmp_path / "red.png")
    assert len(described["captions"]) == 2
    with pytest.raises(BadInput, match=r"text.png: not_a_picture; name a whole JPEG"):
        describe(run, [tmp_path / "red.png", tmp_path / "text.png"], DescribeOptions())
    with pytest.raises(BadInput, match=r"gone.png: No such file"):
        describe(run, [tmp_path / "gone.png"], DescribeOptions())


def test_a_run_that_has_learned_no_captions_says_so(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    plain = open_run(trained(shapes, tmp_path, steps=2))
    with pytest.raises(BadInput, match="no captions from their pictures, so it cannot say them; train with --set"):
        describe(plain, [tmp_path / "any.png"], DescribeOptions())
