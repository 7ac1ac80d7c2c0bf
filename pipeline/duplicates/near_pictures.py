"""Near-duplicate pictures, and the kept one of each: hashes propose pairs, the pictures' signatures decide.

    near_duplicates = near_pictures(pictures, radius=4)         # a NearDuplicates (`leader_pass`)

Comes in: a 64-bit code of each picture, or eight with those of its flips and rotations; ranks; and a mapped file of
signatures. Candidates are all pairs within the radius, by an exact join (`hamming_join`). Components of candidates are
independent of one another; some thousand pictures of whole components are a Ray task.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray

from ..executor.progress import progress
from .components import components
from .hamming_join import hamming_pairs
from .leader_pass import NearDuplicates, Neighbours, leader_pass
from .same_picture import difference, transposed
from .signature_file import map_signatures

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_TASK_PICTURES = 4_000
_STRIP_PAIRS = 4_000  # whose signatures are in memory at once: 57 MB
_CROWD = 10_000
_COMPARED_A_SECOND = 7_000  # of pictures that are nearly alike; clearly others go six times as fast


@dataclass(frozen=True)
class Pictures:
    codes: NDArray[np.uint64]  # (n, 1) or (n, 8): upright, then in the order of PIL.Image.Transpose
    rank: Ints  # 0 for the best
    protected: NDArray[np.bool_]  # these have the best ranks and are always kept
    certain: Ints  # (k, 2) duplicates whatever their codes
    signatures: Callable[[Ints], AbstractContextManager[Path]]  # of some pictures, in a file to map


def near_pictures(pictures: Pictures, radius: int) -> NearDuplicates:
    """The near-duplicates. Warns if very many pictures have one hash: unlike ones are compared two by two."""
    unique, ids = np.unique(pictures.codes, return_inverse=True)
    num_pictures, width = pictures.codes.shape
    ids = ids.reshape(num_pictures, width)
    _warn_of_crowds(ids[:, 0])
    near = hamming_pairs(unique, radius)
    if width > 1:  # two codes that are both of transposed pictures propose nothing
        upright = np.zeros(len(unique), np.bool_)
        upright[ids[:, 0]] = True
        near = near[upright[near].any(axis=1)]
    component = _components(ids, near, pictures.certain, len(unique))
    compared = np.flatnonzero(np.bincount(component)[component] > 1)
    compared = compared[np.argsort(component[compared], kind="stable")]
    leader, least = np.arange(len(ids)), np.zeros(len(ids), np.float32)
    ties = [np.empty((0, 2), np.int64)]
    with pictures.signatures(compared) as path:
        for rows, part in _in_tasks(pictures, ids, near, component, compared, path):
            leader[rows], least[rows] = rows[part.leader], part.difference
            ties.append(rows[part.ties])
    return NearDuplicates(leader, least, np.concatenate(ties))


def _warn_of_crowds(code: Ints) -> None:
    most = int(np.bincount(code).max(initial=0))
    if most > _CROWD:
        hours = most**2 / 2 / _COMPARED_A_SECOND / 3600
        print(
            f"{most:,} pictures have one hash: copies are quickly told, but unlike ones would take up to {hours:,.0f} "
            "hours of one core; if they are nearly empty, raise images.min_std or images.min_entropy",
            file=sys.stderr,
        )


def _components(ids: Ints, near: Ints, certain: Ints, num_codes: int) -> Ints:
    """The component of each picture among the candidates; in the graph, codes are numbered after the pictures."""
    pictures = np.arange(len(ids))
    belongs = np.column_stack([np.repeat(pictures, ids.shape[1]), len(ids) + ids.reshape(-1)])
    return components(len(ids) + num_codes, np.concatenate([belongs, len(ids) + near, certain]))[: len(ids)]


def _in_tasks(
    pictures: Pictures, ids: Ints, near: Ints, component: Ints, compared: Ints, path: Path
) -> list[tuple[Ints, NearDuplicates]]:
    """Rows and their near-duplicates, task by task; `compared` is ordered by component."""
    if not len(compared):
        return []
    number = np.cumsum(np.diff(component[compared], prepend=component[compared[0]]) != 0)
    first = np.searchsorted(number, np.arange(number[-1] + 2))  # where each component begins
    chunk_of_component = first[:-1] // _TASK_PICTURES
    chunk = chunk_of_component[number]
    chunk_of_picture = np.full(len(ids), -1)
    chunk_of_picture[compared] = chunk
    chunk_of_code = np.full(int(ids.max()) + 1, -1)
    chunk_of_code[ids[compared].reshape(-1)] = np.repeat(chunk, ids.shape[1])
    near_in = _by_chunk(chunk_of_code[near[:, 0]], near)
    certain_in = _by_chunk(chunk_of_picture[pictures.certain[:, 0]], pictures.certain)
    task = ray.remote(num_cpus=1)(_compare_chunk)
    nothing = np.empty((0, 2), np.int64)
    running = []
    for name, positions in _by_chunk(chunk, np.arange(len(compared))).items():
        rows = compared[positions]
        certain = _positions_in(rows, certain_in.get(name, nothing))
        inside = Neighbours(ids[rows], near_in.get(name, nothing), certain)
        rank = np.argsort(np.argsort(pictures.rank[rows]))
        answer = task.remote(inside, rank, pictures.protected[rows], str(path.resolve()), int(positions[0]))
        running.append((rows, answer))
    results = []
    with progress("look", len(running), "task") as advance:
        for rows, answer in running:
            results.append((rows, ray.get(answer)))
            advance()
    return results


def _by_chunk(chunk: Ints, values: Ints) -> dict[int, Ints]:
    order = np.argsort(chunk, kind="stable")
    names, starts = np.unique(chunk[order], return_index=True)
    return dict(zip(names.tolist(), np.split(values[order], starts[1:]), strict=True)) if len(names) else {}


def _positions_in(rows: Ints, pairs: Ints) -> Ints:
    """`pairs` of pictures as positions in `rows`, which has them all."""
    order = np.argsort(rows)
    positions: Ints = order[np.searchsorted(rows[order], pairs)]
    return positions


def _compare_chunk(near: Neighbours, rank: Ints, protected: NDArray[np.bool_], path: str, first: int) -> NearDuplicates:
    """The near-duplicates of one task. `first` is the row of the file at which its signatures begin."""
    codes, ids = np.unique(near.codes, return_inverse=True)
    inside = Neighbours(ids.reshape(near.codes.shape), np.searchsorted(codes, near.near), near.certain)
    signatures = map_signatures(path)[first : first + len(rank)]

    def compare(a: Ints, b: Ints, transpose: Ints) -> Floats:
        differences = np.empty(len(a), np.float32)
        for method in np.unique(transpose).tolist():
            pairs = np.flatnonzero(transpose == method)
            for start in range(0, len(pairs), _STRIP_PAIRS):
                strip = pairs[start : start + _STRIP_PAIRS]
                differences[strip] = difference(transposed(signatures[a[strip]], method), signatures[b[strip]])
        return differences

    return leader_pass(inside, rank, protected, compare)
