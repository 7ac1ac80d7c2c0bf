"""Of twins, keep the best by the recipe's policy, then by key, whatever the order of the input.

    twins = keep_best(rows, rules, standing, near_of)     # rows: pairs that no rule dropped, and known pictures

Equal bytes, then equal pixels, then near twins by a leader pass, best first: a picture falls only to one that stays
itself, so a chain a–b–c cannot swallow a set whose ends are unlike. Evaluation pictures and those of earlier corpora
come first: what is a twin of them goes, never they. Then `pair_policy`; equal and near captions last, among the rest.
Clusters are the components of all ties between pictures, dropped or not: the split goes by them.
"""

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
from .picture_duplicates import EXACT, NEAR, NearOf, PictureDuplicates, best_of_equal, equal_codes, to_the_end

EVALUATION, EARLIER, HERE, EARLIER_DROPPED = range(4)  # how a row stands; the last only holds clusters together

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Words = NDArray[np.object_]

_OF_PICTURES = [*EXACT.values(), NEAR]
_STAGES = {"near_picture": "near", "near_caption": "near", "more_captions": "choice"}  # the others: exact
_PROTECTORS = {EVALUATION: "evaluation", EARLIER: "earlier"}


@dataclass(frozen=True)
class Twins:
    """Of every row."""

    keeper: Ints  # the row kept instead; itself when kept
    stage: Words
    reason: Words
    difference: Floats  # of a near twin and its keeper, or the picture it is shown with; else not a number
    picture: Ints  # the row whose picture it is shown with
    cluster: NDArray[np.bytes_]  # the smallest key in its cluster, or the cluster that an earlier corpus gave it


def keep_best(rows: pa.Table, rules: Duplicates, standing: NDArray[np.int8], near_of: NearOf) -> Twins:
    """`rows` has the columns of `match.deciding` with `corpus` (a number) and `earlier_cluster`."""
    rank = _ranks(rows, rules.keep, standing)
    protected = np.isin(standing, list(_PROTECTORS))
    pictures = PictureDuplicates(rows, rank, protected)
    pictures.compare(near_of)
    verdicts = _Verdicts(pictures, standing)
    alive = verdicts.decide_pictures(rows, rules)
    if rules.captions != "none":
        verdicts.decide_captions(rows["caption"], alive, rank, rules)
    names, earlier = key_bytes(rows["key"]), np.isin(standing, (EARLIER, EARLIER_DROPPED))
    names[earlier] = key_bytes(rows["earlier_cluster"].filter(pa.array(earlier)))
    return verdicts.twins(cluster_names(names, earlier, pictures.ties()))


class _Verdicts:
    """Which row stays for which, and why."""

    def __init__(self, pictures: PictureDuplicates, standing: NDArray[np.int8]) -> None:
        self._pictures, self._standing = pictures, standing
        self._keeper = np.arange(len(standing))
        self._picture = self._keeper.copy()
        self._reason: Words = np.full(len(standing), "", dtype=object)

    def decide_pictures(self, rows: pa.Table, rules: Duplicates) -> Ints:
        """By evaluation sets and earlier corpora first, whatever the policy. Returns the rows that stay."""
        pictures, here = self._pictures, self._standing == HERE
        end = pictures.best(set(_OF_PICTURES))
        taken = here & pictures.protected[end]
        self._drop(np.flatnonzero(taken), end[taken], pictures.reason[pictures.of_row[taken]])
        asked = np.flatnonzero(here & ~taken)
        counted = {"none": set[str](), "exact": set(EXACT.values()), "near": set(_OF_PICTURES)}[rules.images]
        leader = pictures.best(counted)
        choice = choose_pairs(_pair_rows(rows, asked, pictures, leader), rules.pairs, rules.top_k)
        self._choose(asked, choice)
        stay: Ints = asked[choice.keeper == np.arange(len(asked))]
        return stay

    def _choose(self, asked: Ints, choice: Choice) -> None:
        """Rows of `choice` are places among `asked`."""
        falls = choice.keeper != np.arange(len(asked))
        row, keeper = asked[falls], asked[choice.keeper[falls]]
        of_row = self._pictures.of_row
        reason = np.where(of_row[row] == of_row[keeper], "same_caption", self._pictures.reason[of_row[row]])
        self._drop(row, keeper, np.where(choice.surplus[falls], "more_captions", reason))
        self._picture[asked] = asked[choice.picture]

    def decide_captions(self, captions: pa.ChunkedArray, alive: Ints, rank: Ints, rules: Duplicates) -> None:
        """Of equal captions the best pair stays, of near ones the best caption."""
        codes, before = equal_codes(captions), to_the_end(self._keeper).copy()
        same = best_of_equal(codes, alive, rank)
        self._drop(same[:, 0], same[:, 1], np.full(len(same), "same_caption", dtype=object))
        if rules.captions == "near":
            best = np.setdiff1d(alive, same[:, 0])
            best = best[np.argsort(rank[best])]
            pairs, _ = jaccard_join(captions.take(best).to_pylist(), rules.min_jaccard)
            lone = Neighbours(np.arange(len(best))[:, None], np.empty((0, 2), np.int64), pairs)
            places = np.arange(len(best))
            leader = leader_pass(lone, places, np.zeros(len(best), np.bool_), _never_asked).leader
            falls = leader != places
            self._drop(best[falls], best[leader[falls]], np.full(falls.sum(), "near_caption", dtype=object))
        followed = np.flatnonzero(self._reason[before] != "")  # twins of what fell now go on to another picture
        self._reason[followed] = self._reason[before[followed]]

    def _drop(self, row: Ints, keeper: Ints, reason: Words) -> None:
        self._keeper[row], self._reason[row] = keeper, reason

    def twins(self, cluster: NDArray[np.bytes_]) -> Twins:
        keeper = to_the_end(self._keeper)
        stage: Words = np.array(
            [_STAGES.get(reason, "exact" if reason else "") for reason in self._reason], dtype=object
        )
        for standing, name in _PROTECTORS.items():
            stage[(self._reason != "") & (self._standing[keeper] == standing)] = name
        moved = self._picture != np.arange(len(keeper))
        twin = np.where(moved, self._picture, self._picture[keeper])
        difference = self._pictures.difference_of(moved | np.isin(self._reason, _OF_PICTURES), twin)
        return Twins(keeper, stage, self._reason, difference, self._picture, cluster)


def _pair_rows(rows: pa.Table, asked: Ints, pictures: PictureDuplicates, leader: Ints) -> PairRows:
    """As places among `asked`: every leader is one of them."""
    place = np.full(len(rows), -1, np.int64)
    place[asked] = np.arange(len(asked))
    picture = pictures.of_row[asked]
    # By picture first: keys of two copies lie in any order, and the leader's own pairs must come before all others.
    rank = np.argsort(np.lexsort((pictures.rank[asked], pictures.rank[picture])))
    return PairRows(
        picture=place[picture],
        leader=place[leader[asked]],
        rank=rank,
        caption=equal_codes(rows["caption"])[asked],
        caption_rank=_caption_ranks(rows, asked, rank),
    )


def _caption_ranks(rows: pa.Table, asked: Ints, rank: Ints) -> Ints:
    """The best caption says most of its picture: by the cosine where that was measured, else in Han characters."""
    han = pc.fill_null(pc.count_substring_regex(rows["caption"], r"\p{Han}"), 0).to_numpy()[asked]
    cosine = np.nan_to_num(rows["similarity"].to_numpy()[asked].astype(np.float64), nan=-1.0)
    ranks = np.empty(len(asked), np.int64)
    ranks[np.lexsort((rank, -han, -cosine))] = np.arange(len(asked))
    return ranks


def _ranks(rows: pa.Table, keep: str, standing: NDArray[np.int8]) -> Ints:
    """0 for the best row; those that stand elsewhere and may not fall come first."""
    if keep == "first":
        order = np.lexsort((np.arange(len(rows)), standing))  # as the recipe lists its sources
    else:
        area = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
        order = np.lexsort((key_bytes(rows["key"]), -rows["bytes"].to_numpy(), -area, standing))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _never_asked(a: Ints, b: Ints, turn: Ints) -> Floats:
    return np.full(len(a), np.inf, np.float32)
