"""The choices of the model: each keeps what holds for any model, and does what its name says."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.model_options import ModelOptions
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TrainFolder
from tuwen.tokenize.sequence import cogview_layout, compact_layout
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.run.preset import model_config
from tuwen.train.run.run import open_run
from tuwen.train.run.schedule import OptimizerConfig
from tuwen.train.training.loop import train
from tuwen.train.training.optimizer import new_optimizers, take_step
from tuwen.train.transformer.attention import causal_attention
from tuwen.train.transformer.code_noise import CodeNoise
from tuwen.train.transformer.largest import Largest
from tuwen.train.transformer.micro_batch import MicroBatch
from tuwen.train.transformer.model import ModelConfig, Transformer
from tuwen.train.transformer.norms import new_norm
from tuwen.train.transformer.rotary import CodeGrid, turned, turns_of

from .test_model import VOCABULARY, tokens
from .test_ranks import with_train

GRID = CodeGrid(first_position=4, columns=3)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"norms": "pre"},
    {"norm_kind": "rms"},
    {"relaxed_norms": True},
    {"norm_kind": "rms", "relaxed_norms": True},
    {"activation": "relu2"},
    {"activation": "gelu"},
    {"positions": "rotary2d", "grid": GRID},
    {"qk_norm": True},
    {"relaxed_attention": True},
    {"tie_ids": True},
    {"logit_cap": 3.0},
    {"embedding_gradient": 0.1},
    {"positions": "rotary2d", "grid": GRID, "qk_norm": True, "relaxed_attention": True, "norm_kind": "rms"},
]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "defaults")


def model_with(seed: int = 0, **options: Any) -> Transformer:
    shape = {"vocab_size": VOCABULARY, "num_positions": 32, "width": 32, "depth": 2, "heads": 2}
    return Transformer(ModelConfig(**{**shape, **options}), seed)


def losses_of(model: Transformer, steps: int) -> list[float]:
    """A short training on three rows."""
    (ids, positions), losses = tokens(3, 12), []
    config = OptimizerConfig(num_steps=steps, num_warmup_steps=2, peak_learning_rate=1e-2)
    optimizers = new_optimizers(model, config)
    for step in range(steps):
        loss = F.cross_entropy(model(ids[:, :-1], positions[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm)
        take_step(optimizers, config, step)
        model.zero_grad()
        losses.append(loss.item())
    return losses


@each_option
def test_cached_decoding_gives_the_logits_of_the_full_pass(options: dict[str, Any]) -> None:
    model, (ids, positions) = model_with(**options).eval().requires_grad_(False), tokens(3, 12)
    cache = model.new_cache(12)
    pieces = [model(ids[:, a:b], positions[:, a:b], cache) for a, b in ((0, 5), (5, 6), (6, 9), (9, 12))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids, positions), atol=1e-5, rtol=1e-5)


@each_option
def test_neither_a_later_token_nor_another_row_changes_a_logit(options: dict[str, Any]) -> None:
    model, (ids, positions) = model_with(**options).eval().requires_grad_(False), tokens(3, 12)
    altered = ids.clone()
    altered[1:], altered[0, 7:] = 0, (ids[0, 7:] + 1) % VOCABULARY
    before, after = model(ids, positions)[0], model(altered, positions)[0]
    torch.testing.assert_close(before[:7], after[:7], atol=1e-6, rtol=0)
    assert not torch.allclose(before[7:], after[7:])


@each_option
def test_a_model_with_the_option_learns_three_rows(options: dict[str, Any]) -> None:
    losses = losses_of(model_with(**options), steps=40)
    assert losses[-1] < losses[0] / 2


def test_the_first_model_trains_as_it_did_before_there_were_options() -> None:
    """Written down before; of the defaults only the activation is another since."""
    losses = losses_of(model_with(activation="gelu"), steps=20)
    assert losses[::6] == pytest.approx([4.119315, 2.532994, 1.354214, 1.023692], rel=1e-4)


def test_relaxed_attention_is_the_plain_softmax_and_stays_finite_where_that_overflows_in_float16() -> None:
    q, k, v = torch.randn(3, 4, 9, 16, generator=torch.Generator().manual_seed(0))
    for size in (1.0, 10.0):
        plain, relaxed = (causal_attention(size * q, k, v, relaxed) for relaxed in (False, True))
        torch.testing.assert_close(relaxed, plain, atol=1e-5, rtol=1e-4)
    exact = causal_attention(1e5 * q.double(), k.double(), v.double())
    half = [(1e4 * q).half(), (10 * k).half(), v.half()]
    assert not causal_attention(*half).isfinite().all()
    relaxed = causal_attention(*half, relaxed=True)
    torch.testing.assert_close(relaxed.double(), exact, atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_relaxed_norms_are_the_plain_ones_token_by_token_and_a_token_of_zeros_stays_finite(kind: Any) -> None:
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 30.0])[:, None, None]
    plain, relaxed = new_norm(kind, 64), new_norm(kind, 64, relaxed=True)
    torch.testing.assert_close(relaxed(x), plain(x), atol=1e-4, rtol=1e-4)
    assert relaxed(torch.zeros(1, 64)).isfinite().all()
    x.requires_grad_()
    target = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad((norm(x) * target).sum(), x)[0] for norm in (plain, relaxed)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)
    large = torch.full((1, 64), 60_000.0, dtype=torch.float16)
    large[0, ::2] = -large[0, 1::2]
    assert relaxed(large)[0, 1].item() == pytest.approx(1, abs=0.01)


def test_the_score_of_two_codes_depends_on_the_rows_and_columns_between_them_alone() -> None:
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    at = torch.arange(20)[None]  # 4 tokens of text, then 5 rows of 3 codes, then [EOI1]
    turns = turns_of(at, GRID, head_width=16)
    scores = (turned(q.expand(1, 20, 1, 16), turns)[0, :, 0] @ turned(k.expand(1, 20, 1, 16), turns)[0, :, 0].T).numpy()
    code = {(row, column): 4 + 3 * row + column for row in range(5) for column in range(3)}
    one_down, one_right, two_back = (
        [scores[code[r + down, c + right], code[r, c]] for r, c in code if (r + down, c + right) in code]
        for down, right in ((1, 0), (0, 1), (1, -2))
    )
    for same in (one_down, one_right, two_back):
        np.testing.assert_allclose(same, same[0], atol=1e-5)
    assert len({round(float(each[0]), 3) for each in (one_down, one_right, two_back)}) == 3
    np.testing.assert_allclose([scores[i + 1, i] for i in range(3)], scores[1, 0], atol=1e-5)
    two_books = turns_of(at, GRID.model_copy(update={"codebooks": 2}), head_width=16)[0][0]
    assert torch.equal(two_books[4], two_books[5])
    assert torch.equal(two_books[6], turns[0][0, 5])


def test_swiglu_has_as_many_parameters_as_the_others() -> None:
    counts = [
        sum(p.numel() for p in model_with(width=768, heads=6, activation=kind).parameters())
        for kind in ("gelu", "relu2", "swiglu")
    ]
    assert counts[0] == counts[1] == counts[2]


def test_tied_ids_begin_with_embeddings_and_logits_of_the_usual_size_in_one_tensor() -> None:
    tied, apart, (ids, positions) = model_with(tie_ids=True), model_with(), tokens(3, 12)
    assert set(apart.state_dict()) - set(tied.state_dict()) == {"head.weight"}
    assert tied.embedded(ids).std().item() == pytest.approx(apart.embedded(ids).std().item(), rel=0.1)
    # An id sees itself in the residual, so its own logit is larger: the others tell the size.
    others = ~F.one_hot(ids, VOCABULARY).bool()
    sizes = [model(ids, positions)[others].std().item() for model in (tied, apart)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.3)


def test_capped_logits_stay_below_the_cap_and_in_their_order() -> None:
    capped, free, (ids, positions) = model_with(logit_cap=0.1), model_with(), tokens(3, 12)
    logits, uncapped = capped(ids, positions), free(ids, positions)
    assert logits.abs().max() < 0.1 < uncapped.abs().max()
    torch.testing.assert_close(logits, 0.1 * torch.tanh(uncapped / 0.1))


def test_an_embedding_learns_from_a_share_of_its_gradient_and_is_read_as_it_is() -> None:
    (ids, positions), gradients, logits = tokens(3, 12), [], []
    for share in (1.0, 0.1):
        model = model_with(embedding_gradient=share)
        logits.append(model(ids, positions))
        logits[-1].square().sum().backward()
        gradients.append(model.token.weight.grad)
    assert torch.equal(*logits)
    assert gradients[0] is not None
    torch.testing.assert_close(gradients[1], 0.1 * gradients[0])


def test_noise_is_a_function_of_seed_and_position_and_replaces_codes_by_codes_of_their_book_alone() -> None:
    layout = compact_layout(codebook=50, num_codes=400, text_vocab=9, text_max=4, codebooks=2)
    random = np.random.default_rng(0)
    rows = random.integers(0, 50, (6, 400)), random.integers(0, 9, (6, 4)), np.array([0, 1, 2, 3, 4, 4])
    ids, _ = layout.sequences(*rows)
    noised = CodeNoise(0.3, seed=5, positions=range(10, 16)).applied(ids, layout)
    is_code = ids < layout.text_offset
    assert np.array_equal(noised[~is_code], ids[~is_code])
    assert np.array_equal(noised // 50, np.where(is_code, ids // 50, noised // 50))
    assert (noised != ids)[is_code].mean() == pytest.approx(0.3 * 49 / 50, abs=0.03)
    assert np.array_equal(CodeNoise(0.3, 5, range(13, 16)).applied(ids[3:], layout), noised[3:])
    other_seed = CodeNoise(0.3, 6, range(10, 16)).applied(ids, layout)
    assert ((other_seed != ids) & (noised != ids))[is_code].mean() == pytest.approx(0.09, abs=0.02)
    batch = MicroBatch.of(rows, layout, torch.device("cpu"), CodeNoise(0.3, 5, range(10, 16)))
    assert np.array_equal(batch.targets_BL.numpy(), ids[:, 1:])
    assert np.array_equal(batch.read_BL.numpy(), noised[:, :-1])


def test_a_model_built_without_memory_is_initialised_to_the_weights_of_its_seed() -> None:
    options: dict[str, Any] = {"positions": "rotary2d", "grid": GRID, "qk_norm": True}
    with torch.device("meta"):
        model = model_with(**options)
    assert all(parameter.is_meta for parameter in model.parameters())
    model.to_empty(device="cpu").initialise(torch.Generator().manual_seed(3))
    expected = model_with(seed=3, **options)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    assert {name for name, _ in model.named_buffers()} == set()


def test_the_largest_values_are_those_of_the_blocks_and_looking_changes_no_logit() -> None:
    model, (ids, positions) = model_with(logit_cap=0.2), tokens(3, 12)
    largest = Largest(depth=2, device=torch.device("cpu"))
    with torch.no_grad():
        logits = model(ids, positions, largest=largest)
        assert torch.equal(logits, model(ids, positions))
        x = model.token(ids) + model.position(positions)
        block = model.blocks[0]
        q, k, _ = block.queries_keys_values(block.before_attention(x), None)
        assert largest.scores[0] == pytest.approx((q @ k.mT).tril().abs().max().item() / 4, rel=1e-5)
        assert largest.residuals[0] == block(x, None, None, None).abs().max()
        model(torch.zeros_like(ids), positions, largest=largest)  # the largest of all passes
    assert largest.logits[0] > 0.2  # before they are capped


def test_options_of_a_recipe_are_recorded_and_a_run_with_them_paints(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    options = ModelOptions(
        width=32, positions="rotary2d", qk_norm=True, norm_kind="rms", activation="swiglu", tie_ids=True,
        relaxed_attention=True, relaxed_norms=True, logit_cap=30.0, embedding_gradient=0.5,
    )  # fmt: skip
    recipe = with_train(shapes[0], model=options, code_noise=0.1, steps=4, telemetry="layers")
    run = train(recipe, load_manifest(shapes[1] / "shards"), TrainFolder(tmp_path))
    model = open_run(tmp_path).document.settings.model
    assert model.model_dump(include=set(ModelOptions.model_fields)) == {
        **options.model_dump(), "depth": 2, "heads": 2, "norms": "sandwich"
    }  # fmt: skip
    assert model.grid == CodeGrid(first_position=run.layout.first_code_position, columns=8)
    assert open_run(tmp_path).document.settings.code_noise == 0.1
    last = run.losses[-1]
    assert last["largest_residual"] == max(last["largest_residuals"])
    assert last["largest_score"] == max(last["largest_scores"])
    assert len(last["largest_scores"]) == len(last["largest_residuals"]) == 2
    assert math.isfinite(last["loss"])
    pictures, _ = sample_pictures(run, ["红圆"], count=1, seed=0)
    assert pictures.shape == (1, 1, 64, 64, 3)


def test_options_that_do_not_fit_are_refused_with_the_cure() -> None:
    options = ModelOptions(positions="rotary2d")
    with pytest.raises(BadInput, match=r"cannot tell the codes of `layout: cogview` by their positions; say --set"):
        model_config("cogview-base", cogview_layout(), None, options)
    with pytest.raises(BadInput, match=r"`train.model`: width 512 is no multiple of 5 heads"):
        model_config("demo", compact_layout(8, 4, 8, 8), options=ModelOptions(heads=5))
