"""Captions to ids and back, by a SentencePiece model that is the same for the same captions."""

import pytest

from tuwen.manifests.errors import BadInput
from tuwen.tokenize.caption_ids import CaptionIds, train_sentencepiece

CAPTIONS = ["一只红色的猫", "一只蓝色的狗", "红色的花和蓝色的天", "两只小鸟", "绿色的树，红色的花"] * 4


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
