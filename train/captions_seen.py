"""What a position sees of its caption: the caption, the caption among random pieces, or none.

    codes, text, lengths = captions_seen(stream.next(), positions, settings, layout)

A pure function of the seed and the position. Random pieces (`caption_noise`) teach the model to find a name among other
words: it has seen 蜜蜂 only, and is asked for 一只蜜蜂. They are targets of the text as all pieces are. A caption that
is dropped (`drop_captions`) has none.
"""

from collections.abc import Sequence

import numpy as np

from ..manifests.shards.split_reader import Rows
from ..tokenize.sequence import SequenceLayout
from .coin import coins, numbers
from .preset import TrainSettings

MOST_NOISE = 4  # pieces around a caption


def captions_seen(rows: Rows, positions: Sequence[int], settings: TrainSettings, layout: SequenceLayout) -> Rows:
    """Rows whose captions are as the positions see them; without any share those that were given."""
    codes, text, lengths = rows
    if settings.caption_noise:
        codes, text, lengths = with_noise(rows, positions, settings.seed, settings.caption_noise, layout)
    if settings.drop_captions:
        is_dropped = coins("drop captions", settings.seed, positions, settings.drop_captions)
        lengths = np.where(is_dropped, 0, lengths)
    return codes, text, lengths


def with_noise(rows: Rows, positions: Sequence[int], seed: int, share: float, layout: SequenceLayout) -> Rows:
    """One to four random pieces before and after the captions of a share of the positions.

    There are fewer where the layout has no room for them, so that a caption is never cut for its noise.
    """
    codes, text, lengths = rows
    noisy = np.zeros((len(text), text.shape[1] + MOST_NOISE), np.int64)
    noisy[:, : text.shape[1]] = text
    noisy_lengths = np.array(lengths, np.int64)
    numbers_BN = numbers("caption noise", seed, positions, 2 + MOST_NOISE)
    for row in np.flatnonzero(coins("caption noise", seed, positions, share)).tolist():
        length, (how_many, where, *pieces) = int(lengths[row]), numbers_BN[row].tolist()
        count = min(1 + how_many % MOST_NOISE, max(0, layout.text_max - length))
        before = where % (count + 1)
        noise = [piece % layout.text_vocab for piece in pieces[:count]]
        noisy[row, : length + count] = [*noise[:before], *text[row, :length].tolist(), *noise[before:]]
        noisy_lengths[row] = length + count
    return codes, noisy, noisy_lengths
