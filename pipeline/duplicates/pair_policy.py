"""Which pairs of duplicate pictures are kept: the recipe's `duplicates.pairs`.

    choice = choose_pairs(rows, "image", top_k=1)     # rows: those that no evaluation set has taken away

A group holds the pairs of all pictures that are duplicates of one picture, the leader; they may have one caption or
many. `own_captions` keeps the leader with its own captions. `pair` drops a pair only for a duplicate with the same
caption. The other policies pool the group's captions, keep the best, the best few or all, and show them with the
leader's picture.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

Policy = Literal["own_captions", "pair", "image", "image_topk", "keep_all_captions"]


@dataclass(frozen=True)
class PairRows:
    """One value a row, (n,) each."""

    picture: Ints  # the same number for the pairs of one picture: its best pair
    leader: Ints  # the picture that it is a duplicate of; its own if it is the best
    rank: Ints  # 0 for the best pair
    caption: Ints  # equal numbers for equal captions
    caption_rank: Ints  # 0 for the best caption


@dataclass(frozen=True)
class Choice:
    keeper: Ints  # the pair kept instead; itself if it is kept
    picture: Ints  # the pair whose picture it is shown with; itself if its own
    surplus: Mask  # dropped though no kept pair has its caption: the picture has better captions


def choose_pairs(rows: PairRows, policy: Policy, top_k: int) -> Choice:
    """The pairs that the policy keeps, and for the others the pair kept instead."""
    everything = np.arange(len(rows.rank))
    if policy == "own_captions":
        dropped = rows.leader != rows.picture
        return Choice(np.where(dropped, rows.leader, everything), everything, np.zeros(len(everything), np.bool_))
    same = _best_of(np.column_stack([rows.leader, rows.caption]), rows.rank)
    if policy == "pair":
        return Choice(same, everything, np.zeros(len(everything), np.bool_))
    limit = {"image": 1, "image_topk": top_k, "keep_all_captions": len(everything)}[policy]
    rank_in_group = _rank_in_group(rows, np.flatnonzero(same == everything))
    surplus = rank_in_group >= limit
    best = _best_of(rows.leader[:, None], np.where(same == everything, rank_in_group, len(everything)))
    keeper = np.where(surplus[same], best, same)
    kept = keeper == everything
    elsewhere = kept & (rows.picture != rows.leader)
    return Choice(keeper, np.where(elsewhere, rows.leader, everything), surplus[same])


def _best_of(group: Ints, rank: Ints) -> Ints:
    """The row with the smallest rank in each row's group. Rows of one group have equal rows of `group`."""
    order = np.lexsort((rank, *group.T))
    ordered = group[order]
    begins = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])[: len(order)]
    best = np.empty(len(order), np.int64)
    best[order] = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    return best


def _rank_in_group(rows: PairRows, chosen: Ints) -> Ints:
    """The rank of each chosen row's caption in its group: 0 for the best, then 1, 2, …; 0 for the others."""
    order = chosen[np.lexsort((rows.rank[chosen], rows.caption_rank[chosen], rows.leader[chosen]))]
    leader = rows.leader[order]
    begins = np.flatnonzero(np.diff(leader, prepend=-1))
    rank_in_group = np.zeros(len(rows.rank), np.int64)
    rank_in_group[order] = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
    return rank_in_group
