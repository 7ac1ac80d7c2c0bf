"""Keep the best pair of each group of duplicates: by the recipe's policy, then by key, for any order of the input.

    verdicts = keep_best(rows, rules, roles, near_of, captions_of)     # rows: living pairs, and known pictures

Equal bytes come first, then equal pixels, then near-duplicates by a leader pass, best first. A picture is dropped only
for one that is kept, so a chain a–b–c does not merge pictures whose ends are unlike. Evaluation pictures and those of
earlier corpora are never dropped; their duplicates are. Then comes `pair_policy`; equal and near captions come last,
among the pairs that are left. Clusters are the components of all ties between pictures, dropped or not: the split goes
by them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...manifests.recipe.rules import Duplicates
from .cluster_names import cluster_names
from .jaccard_join import jaccard_join
from .key_bytes import key_bytes
from .leader_pass import Neighbours, leader_pass
from .pair_policy import Choice, PairRows, choose_pairs
from .picture_duplicates import EXACT, NEAR, NearOf, PictureDuplicates, best_of_equal, equal_codes, last_keeper
from .role import NAME_OF_PROTECTED, Role

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Words = NDArray[np.object_]

_OF_PICTURES = [*EXACT.values(), NEAR]
_STAGES = {"near_picture": "near", "near_caption": "near", "more_captions": "choice"}  # the others: exact


@dataclass(frozen=True)
class DuplicateVerdicts:
    """The verdict of every row: one value a row in each field."""

    keeper: Ints  # the row kept instead; itself when kept
    stage: Words
    reason: Words
    difference: Floats  # of a near-duplicate and its keeper, or the picture it is shown with; else not a number
    picture: Ints  # the row whose picture it is shown with
    cluster: NDArray[np.bytes_]  # the smallest key of its cluster, or the cluster that an earlier corpus gave it


def keep_best(
    rows: pa.Table,
    rules: Duplicates,
    roles: NDArray[np.int8],
    near_of: NearOf,
    captions_of: Callable[[Ints], list[str]],
) -> DuplicateVerdicts:
    """The verdicts. `captions_of` reads the captions of some rows.

    `rows` has the columns of `match.deciding`, `corpus` (a number) and `earlier_cluster`.
    """
    rank = _ranks(rows, rules.keep, roles)
    protected = np.isin(roles, list(NAME_OF_PROTECTED))
    pictures = PictureDuplicates(rows, rank, protected)
    pictures.compare(near_of)
    verdicts = _Verdicts(pictures, roles)
    alive = verdicts.decide_pictures(rows, rules)
    if rules.captions != "none":
        verdicts.decide_captions(rows["caption"], alive, rank, rules, captions_of)
    names, earlier = key_bytes(rows["key"]), np.isin(roles, (Role.EARLIER, Role.EARLIER_DROPPED))
    names[earlier] = key_bytes(rows["earlier_cluster"].filter(pa.array(earlier)))
    return verdicts.finished(cluster_names(names, earlier, pictures.ties()))


class _Verdicts:
    """The verdicts as they are made: for each row the row kept instead, and why."""

    def __init__(self, pictures: PictureDuplicates, roles: NDArray[np.int8]) -> None:
        self._pictures, self._roles = pictures, roles
        self._keeper = np.arange(len(roles))
        self._picture = self._keeper.copy()
        self._reason: Words = np.full(len(roles), "", dtype=object)

    def decide_pictures(self, rows: pa.Table, rules: Duplicates) -> Ints:
        """Drop duplicates of known pictures first, then go by the policy. Returns the rows that are kept."""
        pictures, here = self._pictures, self._roles == Role.HERE
        end = pictures.best(set(_OF_PICTURES))
        taken = here & pictures.protected[end]
        self._drop(np.flatnonzero(taken), end[taken], pictures.reason[pictures.of_row[taken]])
        undecided = np.flatnonzero(here & ~taken)
        counted = {"none": set[str](), "exact": set(EXACT.values()), "near": set(_OF_PICTURES)}[rules.images]
        leader = pictures.best(counted)
        choice = choose_pairs(_pair_rows(rows, undecided, pictures, leader), rules.pairs, rules.top_k)
        self._choose(undecided, choice)
        kept: Ints = undecided[choice.keeper == np.arange(len(undecided))]
        return kept

    def _choose(self, undecided: Ints, choice: Choice) -> None:
        """Drop the pairs that the policy drops. `choice` is in positions of `undecided`."""
        dropped = choice.keeper != np.arange(len(undecided))
        row, keeper = undecided[dropped], undecided[choice.keeper[dropped]]
        of_row = self._pictures.of_row
        reason = np.where(of_row[row] == of_row[keeper], "same_caption", self._pictures.reason[of_row[row]])
        self._drop(row, keeper, np.where(choice.surplus[dropped], "more_captions", reason))
        self._picture[undecided] = undecided[choice.picture]

    def decide_captions(
        self,
        captions: pa.ChunkedArray,
        alive: Ints,
        rank: Ints,
        rules: Duplicates,
        captions_of: Callable[[Ints], list[str]],
    ) -> None:
        """Keep the best pair of equal captions, and the best caption of near ones."""
        codes, before = equal_codes(captions), last_keeper(self._keeper).copy()
        same = best_of_equal(codes, alive, rank)
        self._drop(same[:, 0], same[:, 1], np.full(len(same), "same_caption", dtype=object))
        if rules.captions == "near":
            best = np.setdiff1d(alive, same[:, 0])
            best = best[np.argsort(rank[best])]
            pairs, _ = jaccard_join(captions_of(best), rules.min_jaccard)
            lone = Neighbours(np.arange(len(best))[:, None], np.empty((0, 2), np.int64), pairs)
            itself = np.arange(len(best))
            leader = leader_pass(lone, itself, np.zeros(len(best), np.bool_), _never_compared).leader
            dropped = leader != itself
            self._drop(best[dropped], best[leader[dropped]], np.full(dropped.sum(), "near_caption", dtype=object))
        followed = np.flatnonzero(self._reason[before] != "")  # duplicates of pairs that were dropped for their caption
        self._reason[followed] = self._reason[before[followed]]

    def _drop(self, row: Ints, keeper: Ints, reason: Words) -> None:
        self._keeper[row], self._reason[row] = keeper, reason

    def finished(self, cluster: NDArray[np.bytes_]) -> DuplicateVerdicts:
        keeper = last_keeper(self._keeper)
        stage: Words = np.array(
            [_STAGES.get(reason, "exact" if reason else "") for reason in self._reason], dtype=object
        )
        for role, name in NAME_OF_PROTECTED.items():
            stage[(self._reason != "") & (self._roles[keeper] == role)] = name
        moved = self._picture != np.arange(len(keeper))
        duplicate = np.where(moved, self._picture, self._picture[keeper])
        difference = self._pictures.difference_of(moved | np.isin(self._reason, _OF_PICTURES), duplicate)
        return DuplicateVerdicts(keeper, stage, self._reason, difference, self._picture, cluster)


def _pair_rows(rows: pa.Table, undecided: Ints, pictures: PictureDuplicates, leader: Ints) -> PairRows:
    """The undecided rows by their position among them; every leader is one of them."""
    position = np.full(len(rows), -1, np.int64)
    position[undecided] = np.arange(len(undecided))
    picture = pictures.of_row[undecided]
    # By picture first: keys of two copies lie in any order, and the leader's own pairs must come before all others.
    rank = np.argsort(np.lexsort((pictures.rank[undecided], pictures.rank[picture])))
    return PairRows(
        picture=position[picture],
        leader=position[leader[undecided]],
        rank=rank,
        caption=equal_codes(rows["caption"])[undecided],
        caption_rank=_caption_ranks(rows, undecided, rank),
    )


def _caption_ranks(rows: pa.Table, undecided: Ints, rank: Ints) -> Ints:
    """The rank of each caption: the best has the highest cosine where that was measured, else the most Han."""
    han = pc.fill_null(rows["han"], 0).to_numpy()[undecided]
    cosine = np.nan_to_num(rows["similarity"].to_numpy()[undecided].astype(np.float64), nan=-1.0)
    ranks = np.empty(len(undecided), np.int64)
    ranks[np.lexsort((rank, -han, -cosine))] = np.arange(len(undecided))
    return ranks


def _ranks(rows: pa.Table, keep: str, roles: NDArray[np.int8]) -> Ints:
    """The rank of each row, 0 for the best; rows that may not be dropped come first."""
    if keep == "first":
        order = np.lexsort((np.arange(len(rows)), roles))  # as the recipe lists its sources
    else:
        area = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
        order = np.lexsort((key_bytes(rows["key"]), -rows["bytes"].to_numpy(), -area, roles))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _never_compared(a: Ints, b: Ints, transpose: Ints) -> Floats:
    return np.full(len(a), np.inf, np.float32)
