"""A SentencePiece model of a corpus' own captions.

    model = train_sentencepiece(captions, vocab=2000)      # its bytes: a file `text.model`

The corpus has normalised its captions already, so SentencePiece's own normalisation is off: the text that is counted,
matched and trained on is the same.
"""

import io
import re
from collections.abc import Iterable

import sentencepiece

from ..manifests.errors import BadInput


def train_sentencepiece(captions: Iterable[str], vocab: int) -> bytes:
    """Return the bytes of a model: the same captions in the same order give the same bytes.

    `vocab` is an upper bound. Raises BadInput when there is no caption, or when they have more characters than that.
    """
    lines = list(captions)
    if not any(lines):
        raise BadInput("the corpus has no caption to train SentencePiece on", cure="loosen the rules of `captions`")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            split_by_whitespace=False,
            user_defined_symbols=["<n>"],
            num_threads=1,  # more change the order of sums, and with it the pieces
            minloglevel=2,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,  # ids 0 … 2 as in CogView's model, and <n> is 3
        )
    except RuntimeError as error:
        needed = re.search(r"required_chars.*?(\d+) vs (\d+)", str(error))
        if needed is None:
            raise
        cure = f"set `tokenize.text.vocab` to {int(needed[2]) * 2} or more"
        raise BadInput(
            f"the captions have more characters ({needed[2]}) than the vocabulary has places", cure
        ) from None
    return model.getvalue()
