"""Connected components: which nodes are connected by ties.

    labels = components(5, np.array([[3, 1], [4, 3]]))     # [0, 1, 2, 1, 1]

Every root that has a smaller neighbour becomes a child of the smallest one; then all trees are flattened, and the ties
join roots. Of two tied roots at least one is gone after two rounds, so a chain of n takes about log n rounds.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def components(num: int, ties: Ints) -> Ints:
    """(num,): the smallest member of each node's component; `ties` is (n, 2) of nodes, in any order, with repeats."""
    above = np.arange(num)
    low, high = np.minimum(ties[:, 0], ties[:, 1]), np.maximum(ties[:, 0], ties[:, 1])
    while low.size:
        np.minimum.at(above, high, low)
        _flatten(above, high)
        a, b = above[low], above[high]
        apart = a != b
        low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
    _flatten(above, np.flatnonzero(above != np.arange(num)))
    return above


def _flatten(above: Ints, nodes: Ints) -> None:
    """Make each node a child of the root of its tree, in log(depth) steps: each step halves all depths at once."""
    parent = above[nodes]
    while nodes.size:
        higher = above[parent]
        moved = higher != parent
        nodes, parent = nodes[moved], higher[moved]
        above[nodes] = parent
