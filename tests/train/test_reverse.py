"""The reverse task, picture → caption, and the choice among samples by what it says of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.scores.chinese_clip import ChineseClip
from tuwen.tokenize.sequence import compact_layout
from tuwen.train.painting.caption_loss import caption_losses
from tuwen.train.painting.choosing import Choice
from tuwen.train.painting.generate_pictures import sample, sample_pictures, sample_prompt
from tuwen.train.run.loss_log import read_lines
from tuwen.train.run.run import Run, open_run
from tuwen.train.run.schedule import OptimizerConfig
from tuwen.train.training.optimizer import new_optimizers, take_step
from tuwen.train.transformer.micro_batch import MicroBatch
from tuwen.train.transformer.model import ModelConfig, Transformer

from ..chinese_clip import save_chinese_clip
from .test_plans import trained

LAYOUT = compact_layout(codebook=20, num_codes=6, text_vocab=30, text_max=5)
CPU = torch.device("cpu")


def tiny_model() -> Transformer:
    return Transformer(ModelConfig(vocab_size=LAYOUT.vocab, num_positions=LAYOUT.length, width=32, depth=2, heads=2))


@pytest.fixture(scope="module")
def run(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("reverse")
    return open_run(trained(shapes, folder, steps=6, reverse=0.4, drop_captions=0.2, validate_every=3))


def test_of_a_reversed_row_the_codes_the_caption_and_its_end_are_learned() -> None:
    rows = np.arange(12).reshape(2, 6), np.array([[1, 2, 3]] * 2), np.array([2, 3])
    batch = MicroBatch.of(rows, LAYOUT, CPU, is_reversed=np.array([False, True]))
    assert batch.counts_B2.tolist() == [[2 + 3, 6], [3 + 1, 6]]  # [BASE] [BOI1] [EOI1] beside 2 pieces; an end beside 3
    learned = batch.targets_BL[1][batch.targets_BL[1] != LAYOUT.pad].tolist()
    assert learned == [6, 7, 8, 9, 10, 11, 21, 22, 23, LAYOUT.command_ids["[BASE]"]]
    of_directions = batch.by_direction(torch.tensor([[1.0, 2.0], [30.0, 40.0]]))
    assert of_directions.tolist() == [[1, 2], [30, 40]]


def test_losses_of_reversed_captions_are_logged_apart_and_measured_on_held_out_rows(
    shapes: tuple[Recipe, Path], run: Run
) -> None:
    assert all(entry["reverse"] > 0 for entry in run.losses)
    reader = SplitReader(load_manifest(shapes[1] / "shards"), "validation")
    codes, text, lengths = reader.rows(np.arange(len(reader)))
    texts = [row[:length].tolist() for row, length in zip(text, lengths, strict=True)]
    losses = caption_losses(run.load_model(), run.layout, texts, codes[:, None].astype(np.int64), torch.float32)[:, 0]
    pieces = np.minimum(lengths, run.layout.text_max) + 1
    third, last = read_lines(run.folder.validation)
    assert last["reverse"] == pytest.approx((losses * pieces).sum() / pieces.sum(), rel=1e-5)
    assert last["reverse"] < third["reverse"]


def test_a_run_without_the_reverse_task_logs_none_and_does_not_choose_by_caption_loss(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    plain = open_run(trained(shapes, tmp_path, steps=2))
    assert not any("reverse" in entry for entry in [*plain.losses, *read_lines(plain.folder.validation)])
    with pytest.raises(
        BadInput, match=r"no captions from their pictures.*--by likelihood, or train with --set train.reverse=0.1"
    ):
        sample_pictures(plain, ["蓝"], count=2, seed=0, choice=Choice("caption-loss"))


def test_a_caption_loss_does_not_depend_on_what_is_judged_beside_it() -> None:
    model = tiny_model().eval()
    generator = np.random.default_rng(0)
    texts = [[1, 2], [3], [4, 5, 6, 7, 8, 9, 10], [11, 12], [13]]
    codes = generator.integers(0, 20, (5, 7, 6))
    together = caption_losses(model, LAYOUT, texts, codes, torch.float32)
    for p in range(5):
        for s in (0, 6):
            alone = caption_losses(model, LAYOUT, [texts[p]], codes[p : p + 1, s : s + 1], torch.float32)
            assert alone[0, 0] == together[p, s]
    cut = caption_losses(model, LAYOUT, [texts[2][:5]], codes[2:3], torch.float32)
    np.testing.assert_array_equal(cut[0], together[2])


def test_a_caption_loss_is_the_mean_over_the_pieces_and_the_end_after_the_picture() -> None:
    model, codes = tiny_model().eval(), np.arange(6)
    loss = caption_losses(model, LAYOUT, [[4, 9]], codes[None, None], torch.float32)[0, 0]
    roi, base, boi, eoi = (LAYOUT.command_ids[name] for name in ("[ROI1]", "[BASE]", "[BOI1]", "[EOI1]"))
    ids = torch.tensor([[boi, *codes.tolist(), eoi, roi, 24, 29]])
    places = torch.tensor([[7, 8, 9, 10, 11, 12, 13, 14, 0, 1, 2]])
    with torch.no_grad():
        log_probabilities = model(ids, places)[0].log_softmax(dim=1)
    expected = -log_probabilities[[8, 9, 10], [24, 29, base]].mean().item()
    assert loss == pytest.approx(expected, abs=1e-5)


def test_a_tiny_model_learns_to_tell_which_of_eight_pictures_a_caption_is_of() -> None:
    model, generator = tiny_model(), np.random.default_rng(1)
    codes, texts = generator.integers(0, 20, (8, 6)), generator.permutation(30)[:16].reshape(8, 2)
    batch = MicroBatch.of((codes, texts, np.full(8, 2)), LAYOUT, CPU, is_reversed=True)
    config = OptimizerConfig(num_steps=120, num_warmup_steps=10, peak_learning_rate=1e-2)
    optimizers = new_optimizers(model, config)
    for step in range(config.num_steps):
        (batch.nats_B2(model, torch.float32).sum() / batch.counts_B2.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm)
        take_step(optimizers, config, step)
        model.zero_grad()
    losses = caption_losses(model, LAYOUT, texts.tolist(), np.stack([codes] * 8), torch.float32)
    assert losses.argmin(axis=1).tolist() == list(range(8))


def test_the_best_by_caption_loss_are_those_that_say_the_prompt_best(run: Run, tmp_path: Path) -> None:
    sampled = sample(run, ["一个红色的圆"], count=4, seed=0)
    losses = caption_losses(run.load_model(), run.layout, sampled.texts, sampled.codes_PSN, torch.float32)[0]
    kept = sample_prompt(
        run, "一个红色的圆", tmp_path / "p.png", count=4, best=2, seed=0, choice=Choice("caption-loss")
    )
    assert kept == [round(float(-loss), 4) for loss in sorted(losses)[:2]]
    pictures, _ = sample_pictures(run, ["一个红色的圆"], count=4, seed=0)
    np.testing.assert_array_equal(sampled.chosen(np.array([losses.argmin()]))[0], pictures[0, losses.argmin()])


def test_a_chinese_clip_of_the_users_chooses_and_what_it_needs_is_said(run: Run, tmp_path: Path) -> None:
    prompt = "一个红色的圆"
    clip = save_chinese_clip(tmp_path / "clip", [prompt])
    pictures, scores = sample_pictures(run, [prompt], count=4, seed=0, choice=Choice("clip", clip))
    judge = ChineseClip(clip)
    alone = [judge.cosines([judge.pixels(Image.fromarray(each))], [0], [prompt])[0] for each in pictures[0]]
    np.testing.assert_allclose(scores[0], alone, atol=1e-5)
    with pytest.raises(BadInput, match="--by clip needs a model; name the folder of a Chinese CLIP with --clip FOLDER"):
        sample_pictures(run, [prompt], count=1, seed=0, choice=Choice("clip"))
    with pytest.raises(BadInput, match=r"--clip: .*none holds no model; name a folder"):
        sample_pictures(run, [prompt], count=1, seed=0, choice=Choice("clip", tmp_path / "none"))
