"""Which pairs of duplicate pictures stay: the recipe's `duplicates.pairs`.

    choice = choose_pairs(rows, "image", top_k=1)     # rows: those that no evaluation set has taken away

A group holds the pairs of all pictures that are duplicates of one, the leader; they may have one caption or many. With
`own_captions` the leader stays with its own, with `pair` a pair falls only to a twin of the same caption; the others
take the group's captions together, the best, the best few or all, and show them with the leader's picture.
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
    """(n,) each."""

    picture: Ints  # the same number for the pairs of one picture: its best pair
    leader: Ints  # the picture that it is a twin of; its own if it is the best
    rank: Ints  # 0 for the best pair
    caption: Ints  # equal numbers for equal captions
    caption_rank: Ints  # 0 for the best caption


@dataclass(frozen=True)
class Choice:
    keeper: Ints  # the pair that stays instead; itself if it stays
    picture: Ints  # the pair whose picture it is shown with; itself if its own
    surplus: Mask  # fell though its caption is not among those that stay: the picture has better ones


def choose_pairs(rows: PairRows, policy: Policy, top_k: int) -> Choice:
    everything = np.arange(len(rows.rank))
    if policy == "own_captions":
        falls = rows.leader != rows.picture
        return Choice(np.where(falls, rows.leader, everything), everything, np.zeros(len(everything), np.bool_))
    same = _best_of(np.column_stack([rows.leader, rows.caption]), rows.rank)
    if policy == "pair":
        return Choice(same, everything, np.zeros(len(everything), np.bool_))
    limit = {"image": 1, "image_topk": top_k, "keep_all_captions": len(everything)}[policy]
    place = _place_in_group(rows, np.flatnonzero(same == everything))
    surplus = place >= limit
    best = _best_of(rows.leader[:, None], np.where(same == everything, place, len(everything)))
    keeper = np.where(surplus[same], best, same)
    stays = keeper == everything
    elsewhere = stays & (rows.picture != rows.leader)
    return Choice(keeper, np.where(elsewhere, rows.leader, everything), surplus[same])


def _best_of(group: Ints, rank: Ints) -> Ints:
    """Of each row the one with the smallest rank among those of its group (rows of `group` are equal)."""
    order = np.lexsort((rank, *group.T))
    ordered = group[order]
    begins = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])[: len(order)]
    best = np.empty(len(order), np.int64)
    best[order] = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    return best


def _place_in_group(rows: PairRows, asked: Ints) -> Ints:
    """Of the rows asked for 0 for the best caption of their group, then 1, 2, …; of others 0."""
    order = asked[np.lexsort((rows.rank[asked], rows.caption_rank[asked], rows.leader[asked]))]
    leader = rows.leader[order]
    begins = np.flatnonzero(np.diff(leader, prepend=-1))
    place = np.zeros(len(rows.rank), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
    return place
