"""What a position sees of its caption: before its picture, behind it (reversed), among random pieces, or not at all.

    (codes, text, lengths), is_reversed = captions_seen(stream.next(), positions, settings, layout)

A pure function of the seed and the position. Reversed positions (`reverse`) learn the caption from the picture, so they
see it as it is. Of the others, random pieces (`caption_noise`) teach the model to find a name among other words: it has
seen 蜜蜂 only, and is asked for 一只蜜蜂. They are targets of the text as all pieces are. A caption that is dropped
(`drop_captions`) has none.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...manifests.shards.split_reader import Rows
from ...tokenize.sequence import SequenceLayout
from ..reading.coin import coins, numbers
from ..run.preset import TrainSettings

MOST_NOISE = 4  # pieces around a caption


def captions_seen(
    rows: Rows, positions: Sequence[int], settings: TrainSettings, layout: SequenceLayout
) -> tuple[Rows, NDArray[np.bool_]]:
    """Rows whose captions are as the positions see them, and which rows are reversed (b,)."""
    is_reversed = coins("reverse", settings.seed, positions, settings.reverse)
    seen = with_noise(rows, ~is_reversed, positions, settings, layout) if settings.caption_noise else rows
    codes, text, lengths = seen
    is_dropped = ~is_reversed & coins("drop captions", settings.seed, positions, settings.drop_captions)
    return (codes, text, np.where(is_dropped, 0, lengths)), is_reversed


def with_noise(
    rows: Rows, may_be: NDArray[np.bool_], positions: Sequence[int], settings: TrainSettings, layout: SequenceLayout
) -> Rows:
    """One to four random pieces before and after the captions of a share of the positions, where they `may_be`.

    There are fewer where the layout has no room for them, so that a caption is never cut for its noise.
    """
    codes, text, lengths = rows
    noisy = np.zeros((len(text), text.shape[1] + MOST_NOISE), np.int64)
    noisy[:, : text.shape[1]] = text
    noisy_lengths = np.array(lengths, np.int64)
    is_noisy = may_be & coins("caption noise", settings.seed, positions, settings.caption_noise)
    numbers_BN = numbers("caption noise", settings.seed, positions, 2 + MOST_NOISE)
    for row in np.flatnonzero(is_noisy).tolist():
        length, (how_many, where, *pieces) = int(lengths[row]), numbers_BN[row].tolist()
        count = min(1 + how_many % MOST_NOISE, max(0, layout.text_max - length))
        before = where % (count + 1)
        noise = [piece % layout.text_vocab for piece in pieces[:count]]
        noisy[row, : length + count] = [*noise[:before], *text[row, :length].tolist(), *noise[before:]]
        noisy_lengths[row] = length + count
    return codes, noisy, noisy_lengths
