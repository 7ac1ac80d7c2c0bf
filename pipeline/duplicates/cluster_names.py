"""The name of each cluster: the smallest key in it, or the name that an earlier corpus gave it.

names = cluster_names(keys, earlier, ties)       # (n,) 32 bytes each

A cluster is a component of the ties between pictures, whether they were kept or dropped. The split goes by its name, so
a name that an earlier corpus gave holds old and new duplicates in one split.
"""

import numpy as np
from numpy.typing import NDArray

from .components import components

Ints = NDArray[np.int64]
Keys = NDArray[np.bytes_]


def cluster_names(keys: Keys, earlier: NDArray[np.bool_], ties: Ints) -> Keys:
    """The name of each row's cluster. `keys` are the rows' keys, and for `earlier` rows the names of their clusters."""
    label = components(len(keys), ties)
    tied = np.flatnonzero(np.bincount(label, minlength=len(keys))[label] > 1)
    order = tied[np.lexsort((keys[tied], ~earlier[tied], label[tied]))]
    first = order[np.flatnonzero(np.diff(label[order], prepend=-1))]
    name_of_label, names = keys.copy(), keys.copy()
    name_of_label[label[first]] = keys[first]
    names[tied] = name_of_label[label[tied]]
    return names
