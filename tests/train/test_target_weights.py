"""What each target weighs in the loss that is learned from."""

import numpy as np
import pytest
import torch

from tuwen.tokenize.sequence import compact_layout
from tuwen.train.transformer.micro_batch import MicroBatch
from tuwen.train.transformer.target_weights import TargetWeights

LAYOUT = compact_layout(codebook=8, num_codes=4, text_vocab=5, text_max=3)
ROWS = (np.arange(8).reshape(2, 4), np.array([[1, 2, 3], [4, 0, 0]]), np.array([3, 1]))


def batch_of(is_reversed: list[bool]) -> MicroBatch:
    return MicroBatch.of(ROWS, LAYOUT, torch.device("cpu"), is_reversed=np.array(is_reversed))


def weights_of(text: float = 0.5, first_code: float = 13.0, reversed_text: float = 3.0) -> TargetWeights:
    return TargetWeights.of(text, first_code, reversed_text, LAYOUT)


def test_the_first_code_weighs_most_and_the_others_less_and_less_while_padding_weighs_nothing() -> None:
    weights = weights_of().of_batch(batch_of([False, False]))
    codes = [13.0, 7.0, 5.0, 4.0]
    assert weights.tolist() == [[0.5] * 5 + codes + [0.5], [0.5] * 3 + codes + [0.5, 0.0, 0.0]]


def test_in_a_reversed_row_codes_weigh_one_and_the_caption_has_a_weight_of_its_own() -> None:
    batch = batch_of([False, True])
    assert (batch.targets_BL[1] == LAYOUT.pad).tolist() == [False] * 4 + [True] * 2 + [False] * 2 + [True] * 2
    assert weights_of().of_batch(batch)[1].tolist() == [1.0] * 4 + [0.0] * 2 + [3.0] * 2 + [0.0] * 2


@pytest.mark.parametrize("is_reversed", [[False, False], [False, True], [True, True]])
def test_the_total_of_a_step_is_the_sum_of_the_weights_of_its_targets(is_reversed: list[bool]) -> None:
    weights, batch = weights_of(), batch_of(is_reversed)
    assert weights.total(batch.counts_22.flatten().tolist()) == pytest.approx(float(weights.of_batch(batch).sum()))
