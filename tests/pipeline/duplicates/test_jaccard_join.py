"""Captions that are nearly the same: all of them, none else, whatever the crowd."""

import random
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.duplicates import jaccard_join as module
from tuwen.pipeline.duplicates.jaccard_join import jaccard_join

CHARACTERS = "一二三猫狗山水红蓝的了在，。😀A"
few_captions = st.lists(st.text(alphabet=CHARACTERS[:5], max_size=12), unique=True, max_size=40)
jaccards = st.sampled_from([0.05, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def similarity(a: str, b: str) -> float:
    """By the definition."""
    grams = [{text[i : i + 2] for i in range(len(text) - 1)} or set(text) for text in (a, b)]
    return len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1]))


def near(captions: list[str], min_jaccard: float) -> dict[frozenset[str], float]:
    pairs, found = jaccard_join(captions, min_jaccard)
    return {frozenset([captions[a], captions[b]]): value for (a, b), value in zip(pairs.tolist(), found, strict=True)}


def by_definition(captions: list[str], min_jaccard: float) -> dict[frozenset[str], float]:
    return {
        frozenset([a, b]): np.float32(similarity(a, b))
        for number, a in enumerate(captions)
        for b in captions[:number]
        if similarity(a, b) >= min_jaccard
    }


@settings(max_examples=150, deadline=None)
@given(few_captions, jaccards, st.sampled_from([1, 2, 64]))
def test_exactly_the_pairs_of_the_definition_are_found(captions: list[str], min_jaccard: float, crowd: int) -> None:
    """With crowds of any size, so that sets must share one, two, three and four 2-grams to be compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CROWD", crowd)
        patch.setattr(module, "_MEMBERS_AT_ONCE", 7 * crowd)
        assert near(captions, min_jaccard) == by_definition(captions, min_jaccard)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(alphabet=CHARACTERS, min_size=8, max_size=30), unique=True, min_size=1, max_size=20),
    st.integers(0, 2**32),
)
def test_a_caption_with_one_character_changed_is_near_wherever_the_definition_says_so(
    captions: list[str], seed: int
) -> None:
    chance = random.Random(seed)
    edited = []
    for caption in captions:
        index, put = chance.randrange(len(caption)), chance.choice(["", *CHARACTERS])
        edited.append(caption[:index] + put + caption[index + chance.randrange(2) :])
    every = list(dict.fromkeys(captions + edited))
    found = near(every, 0.8)
    for caption, other in zip(captions, edited, strict=True):
        if caption != other:
            assert (frozenset([caption, other]) in found) == (similarity(caption, other) >= 0.8)


@given(few_captions, jaccards, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_captions_changes_nothing(
    captions: list[str], min_jaccard: float, chance: random.Random
) -> None:
    shuffled = chance.sample(captions, len(captions))
    assert near(captions, min_jaccard) == near(shuffled, min_jaccard)


def test_pairs_come_sorted_with_the_smaller_row_first_and_from_arrow_as_from_a_list() -> None:
    captions = ["山水之间的一座小城", "完全不同的句子", "山水之间的一座小城。", "山水之间的一座小城！", "猫"]
    pairs, jaccard = jaccard_join(captions, 0.7)
    assert pairs.tolist() == [[0, 2], [0, 3], [2, 3]]
    assert jaccard.tolist() == pytest.approx([8 / 9, 8 / 9, 8 / 10])
    again, _ = jaccard_join(pa.array(captions), 0.7)
    assert np.array_equal(again, pairs)


def test_captions_of_one_set_of_grams_are_the_same_and_an_empty_one_is_near_none() -> None:
    assert near(["哈哈", "哈哈哈", "哈", "哈哈哈哈", ""], 1.0) == {
        frozenset(pair): 1.0 for pair in (["哈哈", "哈哈哈"], ["哈哈", "哈哈哈哈"], ["哈哈哈", "哈哈哈哈"])
    }
    for none in ([], [""], ["猫"]):
        assert near(none, 0.8) == {}


def test_a_crowd_that_shares_a_pattern_but_is_not_alike_takes_no_square_of_time() -> None:
    """800 million pairs share half of their 2-grams and more; compared one by one they would take minutes."""
    captions = [f"产品实拍图高清{chr(0x4E00 + n % 200)}{chr(0x5E00 + n // 200)}" for n in range(40_000)]
    edited = [caption + "。" for caption in captions[::400]]
    began = time.process_time()
    found = near(captions + edited, 0.85)
    assert time.process_time() - began < 30
    assert found == {frozenset([caption, caption + "。"]): np.float32(8 / 9) for caption in captions[::400]}


def test_more_pairs_than_memory_should_hold_are_refused_with_the_cure() -> None:
    captions = [f"这是一句很长很长的话说的都是同一件事情只有最后一个字不同{chr(0x4E00 + n)}" for n in range(600)]
    pairs, _ = jaccard_join(captions, 0.8)
    assert len(pairs) == 600 * 599 // 2
    with pytest.raises(BadInput, match=r"more than 1,000 pairs of captions.*raise `min_jaccard`"):
        jaccard_join(captions, 0.8, max_pairs=1_000)
