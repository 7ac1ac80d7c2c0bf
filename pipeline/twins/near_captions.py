"""Which captions are nearly the same: all pairs whose sets of character 2-grams have a Jaccard similarity ≥ a threshold.

    pairs, jaccard = near_captions(pa.array(["一只猫在睡觉", "一只猫在睡觉。"]), 0.8)     # [[0, 1]], [0.833]

Exact, without MinHash. Order each set from the 2-gram that is rarest in the corpus to the most frequent one. Two sets
as alike as asked share at least a = ⌈t·|x|⌉ of x, so their k-th common one is among the first |x| − a + k of x, and of
y (prefix filtering: Chaudhuri, Ganti and Kaushik 2006). So sets that share a rare 2-gram are candidates; in a crowd,
those that share two, then three. A 256-bit sketch dismisses most of them, the sets themselves decide.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...manifests.errors import BadInput
from ..progress import progress

MAX_PAIRS = 50_000_000  # 1.2 GB of pairs

_CROWD = 64  # sets that share 2-grams; fewer are compared with each other at once
_MAX_SHARED = 4  # after so many a crowd is one because its captions are alike
_CHUNK = 1 << 19  # candidates whose sketches are in memory at once

Ints = NDArray[np.int64]
Pairs = NDArray[np.int64]  # (n, 2)


@dataclass(frozen=True)
class _Sets:
    """The set of row r is grams[starts[r] : starts[r + 1]], rarest first, as numbers in the order of rarity."""

    grams: NDArray[np.int32]
    starts: Ints
    sizes: Ints
    sketches: NDArray[np.uint64]  # (n, 4)


@dataclass(frozen=True)
class _Shared:
    """Row r's gram at `place` of its set is the last of those by which it is in `group`, in the order of the groups."""

    group: Ints
    row: Ints
    place: Ints

    def __getitem__(self, chosen: Ints | NDArray[np.bool_]) -> "_Shared":
        return _Shared(self.group[chosen], self.row[chosen], self.place[chosen])


def near_captions(
    captions: list[str] | pa.Array, min_jaccard: float, *, max_pairs: int = MAX_PAIRS
) -> tuple[Pairs, NDArray[np.float32]]:
    """(n, 2) rows a < b in sorted order, and their similarity; `captions` are distinct, an empty one is near none.

    Raises BadInput when more than `max_pairs` are near.
    """
    sets = _sets_of(pa.array(captions, pa.string()) if isinstance(captions, list) else captions)
    least_shared = _least_shared(sets.sizes, min_jaccard)
    found = _Found(sets, min_jaccard, max_pairs)
    shared = _first_shared(sets, least_shared)
    for count in range(1, _MAX_SHARED + 1):
        shared, crowd = _by_group(shared, sets)
        crowded = crowd > _CROWD if count < _MAX_SHARED else np.zeros(len(crowd), bool)
        found.compare(shared[~crowded])
        # Those that share all that they must cannot be asked for one more; but with a larger set, they must share more.
        found.compare(shared[crowded & (least_shared[shared.row] <= count)])
        shared = _one_more(sets, least_shared, shared[crowded], count + 1)
    return found.sorted()


def _least_shared(sizes: Ints, min_jaccard: float) -> Ints:
    """The fewest grams of a set of each size that a near set has: of k out of n, the similarity is at most k / n."""
    table = np.zeros(int(sizes.max(initial=0)) + 1, np.int64)
    for size in range(1, len(table)):
        shares = np.arange(size + 1) / size  # as the similarity itself is computed: ⌈0.7·10⌉ would be 8
        table[size] = np.searchsorted(shares, min_jaccard)
    least: Ints = table[sizes]
    return least


def _sets_of(captions: pa.Array) -> _Sets:
    grams, row = _grams(captions)
    values, gram = np.unique(grams, return_inverse=True)
    both = np.unique(row * max(1, len(values)) + gram)  # each gram of a row once
    row, gram = np.divmod(both, max(1, len(values)))
    count = np.bincount(gram, minlength=len(values))
    rarity = np.empty(len(values), np.int64)
    rarity[np.argsort(count, kind="stable")] = np.arange(len(values))  # of equally rare ones the smaller first
    row, gram = np.divmod(np.sort(row * max(1, len(values)) + rarity[gram]), max(1, len(values)))
    sizes = np.bincount(row, minlength=len(captions))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return _Sets(gram.astype(np.int32), starts, sizes, _sketches(values[np.argsort(rarity)], gram, starts))


def _grams(captions: pa.Array) -> tuple[NDArray[np.uint64], Ints]:
    """Every 2-gram as a number, and the row that it is of; of a caption of one character, that character."""
    text = "".join(captions.to_pylist())
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = pa.compute.utf8_length(captions).to_numpy(zero_copy_only=False).astype(np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    last = np.zeros(len(codes), bool)
    last[np.cumsum(lengths)[lengths > 0] - 1] = True
    following = np.append(codes[1:], np.uint64(0))
    following[last] = 0x1FFFFF  # no character
    kept = ~last | (lengths[row] == 1)
    return ((codes << np.uint64(21)) | following)[kept], row[kept]
