"""The model, its optimizer and its sampler: what may be looked at, how it learns, how codes are drawn."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from tuwen.manifests.recipe.model_options import Activation
from tuwen.tokenize.sequence import compact_layout
from tuwen.train.painting.sampling import SamplingConfig, choose_codes, sample_codes
from tuwen.train.run.schedule import OptimizerConfig, learning_rate
from tuwen.train.training.optimizer import new_optimizers, take_step
from tuwen.train.transformer.micro_batch import summed_nats, target_nats
from tuwen.train.transformer.model import ModelConfig, Transformer

VOCABULARY, CODES = 64, 40


SHORT, LONG = [60, 41, 61, 62], [60, 41, 45, 43, 44, 61, 62]  # [ROI1] text [BASE] [BOI1]


def tiny_model(seed: int = 0, activation: Activation = "swiglu") -> Transformer:
    config = ModelConfig(vocab_size=VOCABULARY, num_positions=32, width=32, depth=2, heads=2, activation=activation)
    return Transformer(config, seed)


def tokens(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))
    return ids, torch.arange(length).expand(rows, length)


def positions_of(prompt: list[int]) -> list[int]:
    return [*range(len(prompt) - 2), 10, 11]


def test_cached_decoding_gives_the_logits_of_the_full_pass() -> None:
    model, (ids, positions) = tiny_model().eval().requires_grad_(False), tokens(3, 12)
    cache = model.new_cache(12)
    pieces = [model(ids[:, a:b], positions[:, a:b], cache) for a, b in ((0, 5), (5, 6), (6, 9), (9, 12))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids, positions), atol=1e-5, rtol=1e-5)


def test_a_later_token_never_changes_an_earlier_logit() -> None:
    model, (ids, positions) = tiny_model(), tokens(3, 12)
    altered = ids.clone()
    altered[:, 7:] = (altered[:, 7:] + 1) % VOCABULARY
    before, after = model(ids, positions), model(altered, positions)
    torch.testing.assert_close(before[:, :7], after[:, :7], atol=1e-6, rtol=0)
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_another_row_never_changes_this_one() -> None:
    model, (ids, positions) = tiny_model(), tokens(3, 12)
    altered = ids.clone()
    altered[1:] = 0
    torch.testing.assert_close(model(ids, positions)[0], model(altered, positions)[0], atol=1e-6, rtol=0)


def test_the_seed_alone_decides_the_first_weights() -> None:
    first, again, other = (tiny_model(seed).head.weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_model_refuses_heads_that_do_not_divide_its_width_and_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="width 100 is no multiple of 3 heads"):
        ModelConfig(vocab_size=8, num_positions=8, width=100, heads=3)
    with pytest.raises(ValidationError, match="layers"):
        ModelConfig.model_validate({"vocab_size": 8, "num_positions": 8, "layers": 3})


def test_the_learning_rate_rises_in_a_line_and_falls_on_a_cosine_to_zero() -> None:
    config = OptimizerConfig(num_steps=110, num_warmup_steps=10, peak_learning_rate=1.0)
    assert learning_rate(config, 0) == pytest.approx(1 / 11)
    assert learning_rate(config, 10) == 1.0
    assert learning_rate(config, 60) == pytest.approx(0.5)
    assert learning_rate(config, 110) == pytest.approx(0.0)


def test_only_matrices_decay() -> None:
    model = tiny_model()
    (optimizer,) = new_optimizers(model, OptimizerConfig(num_steps=10, num_warmup_steps=1))
    decayed, free = optimizer.param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decayed["weight_decay"] > 0 == free["weight_decay"]
    assert all("norm" not in names[id(p)] and "bias" not in names[id(p)] for p in decayed["params"])
    assert {"token.weight", "position.weight"} <= {names[id(p)] for p in free["params"]}
    assert len(names) == len(decayed["params"]) + len(free["params"])


def test_top_k_never_picks_beyond_the_k_likeliest() -> None:
    logits = torch.randn(4, CODES, generator=torch.Generator().manual_seed(1)).expand(500, 4, CODES).reshape(-1, CODES)
    noise = -torch.empty(logits.shape).exponential_(generator=torch.Generator().manual_seed(0)).log()
    picks = choose_codes(logits, noise, SamplingConfig(temperature=5.0, top_k=3)).view(500, 4)
    for row in range(4):
        assert set(picks[:, row].tolist()) == set(logits[row].topk(3).indices.tolist())


def test_top_p_draws_from_the_fewest_likeliest_that_make_up_so_much_and_always_from_one() -> None:
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log().expand(500, 4)
    noise = -torch.empty(logits.shape).exponential_(generator=torch.Generator().manual_seed(0)).log()
    for top_p, expected in ((0.01, {1}), (0.49, {1}), (0.51, {1, 3}), (0.81, {0, 1, 3}), (0.999, {0, 1, 2, 3})):
        picks = choose_codes(logits, noise, SamplingConfig(top_k=4, top_p=top_p))
        assert set(picks.tolist()) == expected, top_p
    assert set(choose_codes(logits, noise, SamplingConfig(top_k=1, top_p=0.999)).tolist()) == {1}


def test_draws_follow_the_softmax_at_the_temperature() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(20_000, 3)
    noise = -torch.empty(logits.shape).exponential_(generator=torch.Generator().manual_seed(0)).log()
    picks = choose_codes(logits, noise, SamplingConfig(temperature=0.5, top_k=3))
    torch.testing.assert_close(torch.bincount(picks) / 20_000, torch.softmax(logits[0] / 0.5, -1), atol=0.01, rtol=0)


def test_a_picture_does_not_depend_on_what_is_sampled_beside_it() -> None:
    model, config = tiny_model(), SamplingConfig(num_codes=9, codebook_size=CODES)
    prompts = [SHORT, LONG, [60, 42, 61, 62]]
    together, scores = sample_codes(
        model, prompts, [positions_of(p) for p in prompts], num_samples=3, seed=7, config=config
    )
    alone, _ = sample_codes(model, [SHORT], [positions_of(SHORT)], num_samples=1, seed=7, config=config)
    assert together.shape == (3, 3, 9)
    assert scores.shape == (3, 3)
    assert together.max() < CODES
    np.testing.assert_array_equal(alone[0, 0], together[0, 0])
    assert (together[0, 0] != together[0, 1]).any()


def test_the_pictures_of_a_seed_stay_the_same() -> None:
    """Written down when keys and values were still concatenated: no change of the sampler may change them."""
    config = SamplingConfig(num_codes=9, codebook_size=CODES, precision="float32")
    model, places = tiny_model(activation="gelu"), [positions_of(SHORT), positions_of(LONG)]
    codes, _ = sample_codes(model, [SHORT, LONG], places, 2, 7, config)
    assert codes.tolist() == [
        [[6, 35, 29, 22, 24, 25, 5, 39, 19], [31, 29, 3, 17, 26, 35, 7, 32, 21]],
        [[33, 7, 38, 29, 8, 39, 16, 20, 33], [26, 9, 2, 27, 23, 13, 33, 8, 11]],
    ]


class Uncached(Transformer):
    """Reads every token again at every step."""

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, cache: Any = None, largest: Any = None) -> Any:
        if not hasattr(cache, "seen"):
            cache.seen = ids[:, :0], positions[:, :0]
        cache.seen = tuple(torch.cat(pair, dim=1) for pair in zip(cache.seen, (ids, positions), strict=True))
        return super().forward(*cache.seen)


def test_sampling_with_the_cache_gives_every_code_of_sampling_without_it() -> None:
    config = SamplingConfig(num_codes=20, codebook_size=CODES, temperature=0.7, top_p=0.9, precision="float32")
    asked = ([SHORT, LONG], [positions_of(SHORT), positions_of(LONG)], 8, 7, config)
    (with_cache, scores), (without, others) = (
        sample_codes(model, *asked) for model in (tiny_model(), Uncached(tiny_model().config))
    )
    np.testing.assert_array_equal(with_cache, without)
    np.testing.assert_allclose(scores, others, atol=1e-5)


def test_guidance_mixes_the_logits_with_and_without_the_caption_code_by_code() -> None:
    model, empty = tiny_model(), [60, 61, 62]
    config = SamplingConfig(num_codes=6, codebook_size=CODES, temperature=0, guidance=3, precision="float32")
    prompts, places = [SHORT, LONG], [positions_of(SHORT), positions_of(LONG)]
    codes, scores = sample_codes(model, prompts, places, 1, 7, config, (empty, positions_of(empty)))
    for prompt, chosen, score in zip(prompts, codes[:, 0].tolist(), scores[:, 0], strict=True):
        with torch.no_grad():
            captioned, without = (
                model(torch.tensor([each + chosen]), torch.tensor([[*positions_of(each), *range(12, 18)]]))[0]
                for each in (prompt, empty)
            )
        captioned, without = captioned[len(prompt) - 1 : -1, :CODES], without[len(empty) - 1 : -1, :CODES]
        assert (without + 3 * (captioned - without)).argmax(dim=1).tolist() == chosen
        of_caption = captioned.log_softmax(dim=1)[range(6), chosen].mean().item()
        assert score == pytest.approx(of_caption, abs=1e-4)  # the likelihood is not that of the guided logits
    assert (
        codes.tolist()
        != sample_codes(model, prompts, places, 1, 7, config.model_copy(update={"guidance": 1}))[0].tolist()
    )


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    model, config = tiny_model(), SamplingConfig(num_codes=9, codebook_size=CODES)
    first, again, other = (
        sample_codes(model, [SHORT], [positions_of(SHORT)], 1, seed, config)[0] for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_tiny_model_learns_eight_pictures_by_heart_and_samples_them() -> None:
    model = tiny_model()
    random = torch.Generator().manual_seed(0)
    prompts = [[60, 40 + row, 61, 62] for row in range(8)]
    codes = torch.randint(0, CODES, (8, 9), generator=random)
    ids = torch.cat((torch.tensor(prompts), codes, torch.full((8, 1), 63)), dim=1)
    positions = torch.tensor([[*positions_of(prompt), *range(12, 22)] for prompt in prompts])
    config = OptimizerConfig(num_steps=200, num_warmup_steps=10, peak_learning_rate=1e-2)
    optimizers = new_optimizers(model, config)
    for step in range(config.num_steps):
        F.cross_entropy(model(ids[:, :-1], positions[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm)
        take_step(optimizers, config, step)
        model.zero_grad()
    greedy = SamplingConfig(num_codes=9, codebook_size=CODES, temperature=0)
    sampled, _ = sample_codes(model, prompts, [positions_of(prompt) for prompt in prompts], 1, 0, greedy)
    np.testing.assert_array_equal(sampled[:, 0], codes.numpy())


def test_losses_are_split_by_the_kind_of_the_label_and_padding_does_not_count() -> None:
    layout = compact_layout(codebook=4, num_codes=2, text_vocab=3, text_max=2)
    ids, _ = layout.sequences(np.array([[1, 2]]), np.array([[1]]), np.array([1]))
    targets = torch.from_numpy(ids[:, 1:])
    logits = torch.zeros(1, targets.shape[1], layout.vocab)
    logits[0, torch.arange(targets.shape[1]), targets[0]] = torch.where(targets[0] < 4, 3.0, 0.0)
    text, codes = summed_nats(target_nats(logits, targets), targets, layout)[0].tolist()
    assert text == pytest.approx(4 * math.log(layout.vocab))  # piece, BASE, BOI1, EOI1
    assert codes == pytest.approx(2 * (math.log(layout.vocab - 1 + math.e**3) - 3))
