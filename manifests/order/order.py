"""Which row of which source is read at which position: a pure function of manifest, seed and shuffle, and its inverse.

    order = open_order(manifest, "train", seed=0, shuffle=Shuffle())
    sources, rows = order.at(np.arange(128))            # what is read at the global positions 0 … 127
    order.positions(source=0, row=5, num_epochs=3)      # when that row is read

A position counts samples from the start of training. A manifest without a mixture is one source. In a merged one with
weights every source has epochs of its own, in each of which it is read once, in the order that it has alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..canonical import sha256_of
from ..errors import BadInput
from ..manifest import Manifest
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
        return sha256_of({"permutation": VERSION, "sources": self._documents(), "phases": self._phases()})

    def rows(self, positions: Numbers) -> Numbers:
        """The rows of the split, counted through all of its shards, at those positions."""
        if self.mixture is None:
            return self.sources[0].rows(positions)
        sources, draws = self.mixture.at(positions)
        rows = np.empty_like(positions)
        for source in np.unique(sources).tolist():
            here = sources == source
            rows[here] = self.sources[source].rows(draws[here]) + self.first_rows[source]
        return rows

    def positions(self, row: int, num_epochs: int) -> list[int]:
        """The positions at which a row of the split is read in the first epochs of its source."""
        source = int(np.searchsorted(self.first_rows, row, side="right")) - 1
        draws = self.sources[source].draws(row - self.first_rows[source], num_epochs)
        return draws if self.mixture is None else self.mixture.positions(source, draws)

    def _documents(self) -> list[dict[str, Any]]:
        return [
            {"source": source.source, "rows": source.num_rows, "seed": source.seed,
             "shuffle": source.shuffle.document(), "block_rows": source.block_rows}
            for source in self.sources
        ]  # fmt: skip

    def _phases(self) -> list[dict[str, Any]]:
        return [] if self.mixture is None else self.mixture.document()


def open_order(manifest: Manifest, split: str, seed: int, shuffle: Shuffle | None = None) -> Order:
    """Raises BadInput when there is nothing to read."""
    shards = manifest.shards_of(split)
    if not sum(shard.samples for shard in shards):
        raise BadInput(f"{manifest.folder}: the split `{split}` is empty", cure="name another one")
    shuffle = shuffle or Shuffle()
    declared = manifest.document.get("mixture")
    if declared is None:
        block_rows = max(shard.block_rows for shard in shards)
        whole = Shuffled(f"{manifest.id}/{split}", sum(s.samples for s in shards), seed, shuffle, block_rows)
        return Order((whole,), (0,), None)
    phases = [Phase(phase["from"], tuple(phase["weights"])) for phase in declared["phases"]]
    sources, first_rows, begin = [], [], 0
    by_name = {shard.name: shard for shard in shards}
    for number, entry in enumerate(declared["sources"]):
        own = [by_name[name] for name in entry["shards"] if name in by_name]
        num_rows = sum(shard.samples for shard in own)
        if not num_rows and any(phase.weights[number] for phase in phases):
            raise BadInput(
                f"{manifest.folder}: source {number} ({entry['id']}) has no sample in the split `{split}`",
                cure="merge those that have some, or without --weights",
            )
        block_rows = max((shard.block_rows for shard in own), default=1)
        sources.append(Shuffled(f"{entry['id']}/{split}", num_rows, seed, shuffle, block_rows))
        first_rows.append(begin)
        begin += num_rows
    return Order(tuple(sources), tuple(first_rows), Mixture(phases))
