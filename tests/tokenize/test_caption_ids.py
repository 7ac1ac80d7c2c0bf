"""Captions to ids and back: SentencePiece, a table of characters, a tokenizer.json of Hugging Face."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tuwen.manifests.errors import BadInput
from tuwen.tokenize.caption_ids import character_table, open_caption_ids
from tuwen.tokenize.train_sentencepiece import train_sentencepiece

CAPTIONS = ["一只红色的猫", "一只蓝色的狗", "红色的花和蓝色的天", "两只小鸟", "绿色的树，红色的花"] * 4


def hugging_face_file() -> bytes:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        CAPTIONS, trainers.WordPieceTrainer(special_tokens=["[UNK]", "[CLS]"], vocab_size=80, show_progress=False)
    )
    tokenizer.enable_truncation(3)
    return tokenizer.to_str().encode()


def test_sentencepiece_gives_the_same_model_for_the_same_captions_and_the_captions_back() -> None:
    model = train_sentencepiece(CAPTIONS, vocab=64)
    assert model == train_sentencepiece(CAPTIONS, vocab=64)
    captions = open_caption_ids(model)
    assert (captions.kind, captions.vocab <= 64) == ("sentencepiece", True)
    for caption in CAPTIONS:
        assert captions.decode(captions.encode(caption)) == caption
    assert captions.decode(captions.encode("，")) == "，"  # no normalisation of SentencePiece's own
    assert 0 in captions.encode("龘")  # <unk>


def test_a_vocabulary_smaller_than_the_characters_is_refused_with_the_number() -> None:
    with pytest.raises(BadInput, match=r"more characters.*set `tokenize.text.vocab` to \d+ or more"):
        train_sentencepiece([chr(0x4E00 + n) * 2 for n in range(300)], vocab=64)


@given(st.lists(st.text(max_size=12), min_size=1))
def test_every_character_of_the_captions_comes_back_from_its_table(captions: list[str]) -> None:
    if not "".join(captions).replace("\n", ""):
        return
    characters = open_caption_ids(character_table(captions, vocab=100_000))
    for caption in captions:
        ids = characters.encode(caption)
        assert len(ids) == len(caption)
        assert characters.decode(ids) == caption
        assert all(3 <= number < characters.vocab for number in ids)


def test_the_most_frequent_characters_have_a_place_and_others_are_unknown() -> None:
    characters = open_caption_ids(character_table(["红红红蓝蓝绿"], vocab=6))
    assert characters.vocab == 6
    assert characters.encode("红蓝绿") == [4, 5, 0]


def test_a_tokenizer_of_hugging_face_adds_nothing_and_cuts_nothing() -> None:
    data = hugging_face_file()
    ours, theirs = open_caption_ids(data), Tokenizer.from_str(data.decode())
    theirs.no_truncation()
    assert (ours.kind, ours.vocab) == ("huggingface", theirs.get_vocab_size())
    for caption in CAPTIONS:
        assert ours.encode(caption) == theirs.encode(caption, add_special_tokens=False).ids
    assert len(ours.encode("猫 狗 花 天 鸟 树")) > 3


@pytest.mark.parametrize("data", [b"no model", b"", json.dumps({"model": {"type": "?"}}).encode()])
def test_a_file_of_no_known_kind_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        open_caption_ids(data)
