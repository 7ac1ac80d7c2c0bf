"""How often each caption is said: counted over the whole corpus, exactly, without holding the captions.

    captions = CaptionCounts()
    captions.add(part)                  # part by part: 32 bytes for each caption that a part holds
    captions.tally()                    # pairs by how often their caption is said
    captions.most_said(corpus, 10)      # [{"caption": "你好", "count": 120}, …]

Counted are the pairs that no rule before `captions.max_count` dropped: the population to which that rule is applied.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.manifest import Manifest
from .tally import Tally

TOO_OFTEN = "caption_seen_too_often"
_LATER = pa.array(["evaluation", "exact", "near"])  # stages


class CaptionCounts:
    def __init__(self) -> None:
        empty = np.empty(0, np.uint64), np.empty((0, 2), np.int64), np.empty(0, np.int64)
        self._parts: list[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]] = [empty]

    def add(self, part: pa.Table) -> None:
        captions = part.filter(_counted(part)).select(["caption", "kept"])
        said = captions["caption"].combine_chunks().dictionary_encode()
        kept = captions["kept"].to_numpy().astype(bool)
        place, size = said.indices.to_numpy(), len(said.dictionary)
        counts = np.column_stack([np.bincount(place[~kept], minlength=size), np.bincount(place[kept], minlength=size)])
        number = part["part"][0].as_py() if len(part) else 0
        self._parts.append((_hashes(said.dictionary.to_pylist()), counts, np.full(size, number)))

    def count_of(self, caption: str) -> int:
        hashes, counts, _ = self._summed()
        place = int(np.searchsorted(hashes, _hashes([caption])[0]))
        return int(counts[place].sum()) if place < len(hashes) and hashes[place] == _hashes([caption])[0] else 0

    def tally(self) -> Tally:
        counts, tally = self._summed()[1], Tally()
        tally.add_counts(counts.sum(axis=1).astype(np.float64), counts)
        return tally

    def distinct(self) -> int:
        return len(self._summed()[0])

    def most_said(self, corpus: Manifest, most: int) -> list[dict[str, Any]]:
        """Those said more than once, with their words, which are read again from the parts that hold them."""
        hashes, counts, parts = self._summed()
        total = counts.sum(axis=1)
        best = np.lexsort((hashes, -total))[:most]
        best = best[total[best] > 1]
        words: dict[int, str] = {}
        for number in np.unique(parts[best]).tolist():
            path = corpus.folder / corpus.document["files"][number]["name"]
            said = pc.unique(pq.read_table(path, columns=["caption"])["caption"]).drop_null().to_pylist()
            words.update(zip(_hashes(said).tolist(), said, strict=True))
        return [
            {"caption": words[int(hashes[place])], "dropped": int(counts[place, 0]), "kept": int(counts[place, 1])}
            for place in best.tolist()
        ]

    def _summed(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
        """Over all parts: hash, (n, 2) dropped and kept, and a part that holds the caption."""
        if len(self._parts) > 1:
            hashes, counts, parts = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
            distinct, first, place = np.unique(hashes, return_index=True, return_inverse=True)
            summed = np.zeros((len(distinct), 2), np.int64)
            np.add.at(summed, place, counts)
            self._parts = [(distinct, summed, parts[first])]
        return self._parts[0]


def _counted(part: pa.Table) -> pa.ChunkedArray:
    reached = pc.or_(pc.is_in(part["stage"], _LATER), pc.equal(part["reason"], TOO_OFTEN))
    return pc.and_(pc.or_(part["kept"], reached), pc.is_valid(part["caption"]))


def _hashes(captions: list[str]) -> NDArray[np.uint64]:
    """64 bits each: two of ten million captions share one with a chance of 3 in a million."""
    digests = b"".join(hashlib.blake2b(caption.encode(), digest_size=8).digest() for caption in captions)
    return np.frombuffer(digests, np.uint64)
