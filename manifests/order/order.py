"""The row that is read at each position: a pure function of manifest, seed and shuffle, and its inverse.

    order = open_order(manifest, "train", seed=0, shuffle=Shuffle())
    rows = order.rows(np.arange(128))             # the rows of the split at positions 0 … 127
    order.positions(row=5, num_epochs=3)          # the positions at which row 5 is read

A position is the number of samples read before, from the start of training. A manifest without a mixture is one
source. In a mixture every source has epochs of its own: in each it is read once, in the order that it has alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..canonical import sha256_of
from ..documents import ShardEntry
from ..errors import BadInput
from ..manifest import Manifest
from ..manifest_fields import plain_json
from .mixture import Mixture, Phase
from .permutation import VERSION
from .shuffle import Shuffle, Shuffled

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    sources: tuple[Shuffled, ...]
    first_rows: tuple[int, ...]  # of each source, among the rows of the whole split
    mixture: Mixture | None

    @property
    def id(self) -> str:
        """Two orders with one id read the same rows at the same positions."""
        sources = [
            {"source": source.source, "rows": source.num_rows, "seed": source.seed,
             "shuffle": source.shuffle.document(), "block_rows": source.block_rows}
            for source in self.sources
        ]  # fmt: skip
        phases = [] if self.mixture is None else self.mixture.document()
        return sha256_of({"permutation": VERSION, "sources": sources, "phases": plain_json(phases)})

    def rows(self, positions: Numbers) -> Numbers:
        """Return the rows at those positions, counted through all shards of the split."""
        if self.mixture is None:
            return self.sources[0].rows(positions)
        sources, draws = self.mixture.at(positions)
        rows = np.empty_like(positions)
        for source in np.unique(sources).tolist():
            here = sources == source
            rows[here] = self.sources[source].rows(draws[here]) + self.first_rows[source]
        return rows

    def positions(self, row: int, num_epochs: int) -> list[int]:
        """Return the positions at which a row of the split is read in the first epochs of its source."""
        source = int(np.searchsorted(self.first_rows, row, side="right")) - 1
        draws = self.sources[source].draws(row - self.first_rows[source], num_epochs)
        return draws if self.mixture is None else self.mixture.positions(source, draws)


def open_order(manifest: Manifest, split: str, seed: int, shuffle: Shuffle | None = None) -> Order:
    """Return the order of a split. Raises BadInput when the split, or a source that has a weight, is empty."""
    shards = manifest.shards_of(split)
    if not sum(shard.samples for shard in shards):
        raise BadInput(f"{manifest.folder}: the split `{split}` is empty", cure="name another one")
    shuffle = shuffle or Shuffle()
    mixture = manifest.mixture
    if mixture is None:
        return Order((_shuffled(f"{manifest.id}/{split}", shards, seed, shuffle),), (0,), None)
    phases = [Phase(phase.start, tuple(phase.weights)) for phase in mixture.phases]
    by_name = {shard.name: shard for shard in shards}
    sources: list[Shuffled] = []
    first_rows = [0]
    for number, source in enumerate(mixture.sources):
        own = [by_name[name] for name in source.shards if name in by_name]
        shuffled = _shuffled(f"{source.id}/{split}", own, seed, shuffle)
        if not shuffled.num_rows and any(phase.weights[number] for phase in phases):
            raise BadInput(
                f"{manifest.folder}: source {number} ({source.id}) has no sample in the split `{split}`",
                cure="merge those that have some, or without --weights",
            )
        sources.append(shuffled)
        first_rows.append(first_rows[-1] + shuffled.num_rows)
    return Order(tuple(sources), tuple(first_rows[:-1]), Mixture(phases))


def _shuffled(source: str, shards: list[ShardEntry], seed: int, shuffle: Shuffle) -> Shuffled:
    num_rows, block_rows = sum(shard.samples for shard in shards), max((s.block_rows for s in shards), default=1)
    return Shuffled(source, num_rows, seed, shuffle, block_rows)
