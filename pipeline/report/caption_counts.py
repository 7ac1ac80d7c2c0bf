"""How many pairs have each caption: exact over the whole corpus, without holding the captions.

    captions = CaptionCounts()
    captions.add(part)                      # part by part: 32 bytes for each distinct caption of a part
    captions.tally()                        # pairs by the number of pairs that have their caption
    captions.most_frequent(corpus, 10)      # [CaptionCount("你好", dropped=110, kept=10), …]

The pairs that are counted are those that `captions.max_count` is applied to: no earlier rule dropped them.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.manifest import Manifest
from ..reasons import STAGES
from .tally import Counts, Tally

TOO_OFTEN = "caption_seen_too_often"
_LATER_STAGES = pa.array(STAGES[STAGES.index("pair") + 1 :])  # after the count over the corpus

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class CaptionCount:
    caption: str
    dropped: int
    kept: int


class CaptionCounts:
    def __init__(self) -> None:
        # hash of a caption, (n, 2) dropped and kept, number of a part that has the caption
        self._parts: list[tuple[Hashes, Counts, Counts]] = [
            (np.empty(0, np.uint64), np.empty((0, 2), np.int64), np.empty(0, np.int64))
        ]

    def add(self, part: pa.Table) -> None:
        rows = part.filter(_reached_the_count(part)).select(["caption", "kept"])
        captions = rows["caption"].combine_chunks().dictionary_encode()
        kept = rows["kept"].to_numpy().astype(bool)
        code, size = captions.indices.to_numpy(), len(captions.dictionary)
        counts = np.column_stack([np.bincount(code[~kept], minlength=size), np.bincount(code[kept], minlength=size)])
        number = part["part"][0].as_py() if len(part) else 0
        self._parts.append((_hashes(captions.dictionary.to_pylist()), counts, np.full(size, number)))

    def count_of(self, caption: str) -> int:
        """The number of pairs that have this caption."""
        hashes, counts, _ = self._summed()
        wanted = _hashes([caption])[0]
        index = int(np.searchsorted(hashes, wanted))
        return int(counts[index].sum()) if index < len(hashes) and hashes[index] == wanted else 0

    def tally(self) -> Tally:
        """Pairs by the number of pairs that have their caption."""
        counts, tally = self._summed()[1], Tally()
        tally.add_counts(counts.sum(axis=1).astype(np.float64), counts)
        return tally

    def distinct(self) -> int:
        return len(self._summed()[0])

    def most_frequent(self, corpus: Manifest, most: int) -> list[CaptionCount]:
        """The captions that most pairs have, and more than one. Their text is read again from the decision table."""
        hashes, counts, parts = self._summed()
        total = counts.sum(axis=1)
        best = np.lexsort((hashes, -total))[:most]
        best = best[total[best] > 1]
        texts: dict[int, str] = {}
        for number in np.unique(parts[best]).tolist():
            path = corpus.folder / corpus.files[number].name
            captions = pc.unique(pq.read_table(path, columns=["caption"])["caption"]).drop_null().to_pylist()
            texts.update(zip(_hashes(captions).tolist(), captions, strict=True))
        return [CaptionCount(texts[int(hashes[index])], *counts[index].tolist()) for index in best.tolist()]

    def _summed(self) -> tuple[Hashes, Counts, Counts]:
        """Merge the parts into one, in which each hash stands once, in order."""
        if len(self._parts) > 1:
            hashes, counts, parts = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
            distinct, first, index = np.unique(hashes, return_index=True, return_inverse=True)
            summed = np.zeros((len(distinct), 2), np.int64)
            np.add.at(summed, index, counts)
            self._parts = [(distinct, summed, parts[first])]
        return self._parts[0]


def _reached_the_count(part: pa.Table) -> pa.ChunkedArray:
    later = pc.or_(pc.is_in(part["stage"], _LATER_STAGES), pc.equal(part["reason"], TOO_OFTEN))
    return pc.and_(pc.or_(part["kept"], later), pc.is_valid(part["caption"]))


def _hashes(captions: list[str]) -> Hashes:
    """64 bits each: two of ten million captions share one with a probability of 3 in a million."""
    digests = b"".join(hashlib.blake2b(caption.encode(), digest_size=8).digest() for caption in captions)
    return np.frombuffer(digests, np.uint64)
