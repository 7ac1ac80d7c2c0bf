"""How clusters are called: by the smallest key in them, or as an earlier corpus called them.

names = cluster_names(keys, earlier, ties)       # (n,) 32 bytes each

A cluster is all that hangs together by ties between pictures, in any number of steps, whether it stays or falls. The
split goes by its name, so a name that an earlier corpus gave holds old and new twins in one split.
"""

import numpy as np
from numpy.typing import NDArray

from .components import components

Ints = NDArray[np.int64]
Keys = NDArray[np.bytes_]


def cluster_names(keys: Keys, earlier: NDArray[np.bool_], ties: Ints) -> Keys:
    """`keys` are of the rows, and of `earlier` ones the names of the clusters that they were in."""
    label = components(len(keys), ties)
    tied = np.flatnonzero(np.bincount(label, minlength=len(keys))[label] > 1)
    order = tied[np.lexsort((keys[tied], ~earlier[tied], label[tied]))]
    first = order[np.flatnonzero(np.diff(label[order], prepend=-1))]
    name_of_label, names = keys.copy(), keys.copy()
    name_of_label[label[first]] = keys[first]
    names[tied] = name_of_label[label[tied]]
    return names
