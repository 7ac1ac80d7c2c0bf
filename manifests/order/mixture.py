"""Which source is read at which position, in exact integer proportions, and back.

    mixture = Mixture([Phase(0, (3, 1)), Phase(100_000, (1, 1))])
    sources, draws = mixture.at(np.arange(8))         # at position p the draws[p]-th sample of source sources[p]
    mixture.positions(source=1, draws=[0, 1])

A phase repeats a table of ΣW places. It is laid out so that after any number of positions each source is less than one
sample away from its exact share, and after every ΣW positions on it (R. Tijdeman, "The chairman assignment
problem", Discrete Mathematics 32, 1980). A source goes on in the next phase where it was: nothing is read twice.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property, reduce
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

Numbers = NDArray[np.int64]

MAX_PLACES = 1 << 16


@dataclass(frozen=True)
class Phase:
    start: int  # the first position at which it holds
    weights: tuple[int, ...]  # one a source; 0: not read


class Mixture:
    def __init__(self, phases: list[Phase]) -> None:
        """Raises BadInput on weights that cannot be."""
        _check(phases)
        self.num_sources = len(phases[0].weights)
        self._starts = [phase.start for phase in phases]
        self._tables = [_Table(phase.weights) for phase in phases]
        self._drawn = [np.zeros(self.num_sources, dtype=np.int64)]  # of each source, before each phase
        for number in range(len(phases) - 1):
            length = self._starts[number + 1] - self._starts[number]
            self._drawn.append(self._drawn[-1] + self._tables[number].drawn_before(length))

    def at(self, positions: Numbers) -> tuple[Numbers, Numbers]:
        """Source and draw of each position."""
        sources, draws = np.empty_like(positions), np.empty_like(positions)
        phases = np.searchsorted(self._starts, positions, side="right") - 1
        for number in np.unique(phases).tolist():
            here, table = phases == number, self._tables[number]
            cycles, places = np.divmod(positions[here] - self._starts[number], table.length)
            sources[here] = table.sources[places]
            draws[here] = self._drawn[number][sources[here]] + cycles * table.weights[sources[here]]
            draws[here] += table.occurrences[places]
        return sources, draws

    def positions(self, source: int, draws: list[int]) -> list[int]:
        """Where those draws of a source are read; a draw that no phase comes to is left out."""
        firsts = [int(drawn[source]) for drawn in self._drawn]
        found = []
        for draw in draws:
            number = bisect_right(firsts, draw) - 1
            table, more = self._tables[number], draw - firsts[number]
            weight = int(table.weights[source])
            if weight:
                cycle, occurrence = divmod(more, weight)
                place = int(np.flatnonzero(table.sources == source)[occurrence])
                found.append(self._starts[number] + cycle * table.length + place)
        return found

    def document(self) -> list[dict[str, Any]]:
        return [
            {"from": start, "weights": table.weights.tolist()}
            for start, table in zip(self._starts, self._tables, strict=True)
        ]


def parse_phases(weights: str | None, later: list[str]) -> list[Phase] | None:
    """`3,1` and [`100000:1,1`]; None when there are no weights. Raises BadInput on anything else."""
    if weights is None and not later:
        return None
    if weights is None:
        raise BadInput("--phase without --weights", cure="say the weights of the beginning, too: --weights 1,1")
    try:
        texts = [f"0:{weights}", *later]
        pairs = [text.partition(":") for text in texts]
        return [Phase(int(start), tuple(int(weight) for weight in text.split(","))) for start, _, text in pairs]
    except ValueError:
        raise BadInput(
            f"--weights {weights} {' '.join('--phase ' + text for text in later)}".rstrip(),
            cure="write --weights 3,1 --phase 100000:1,1",
        ) from None


class _Table:
    """One cycle of a phase: at each place its source, and how often that source came before in the cycle."""

    def __init__(self, weights: tuple[int, ...]) -> None:
        divisor = reduce(gcd, weights)
        self.weights = np.array([weight // divisor for weight in weights], dtype=np.int64)
        self.length = int(self.weights.sum())

    @cached_property
    def sources(self) -> Numbers:
        """Among the sources that may have the next place without coming too far ahead, that which needs one first."""
        weights = [int(weight) for weight in self.weights]
        active = [source for source, weight in enumerate(weights) if weight]
        if len(active) == 1:
            return np.array(active * self.length)
        room = 2 * len(active) - 2
        given = [0] * len(weights)
        sources = []
        for place in range(1, self.length + 1):
            # What each lacks of its share, in units of 1 / (length · room), so that all is done in integers.
            lacks = {source: (place * weights[source] - given[source] * self.length) * room for source in active}
            ready = [source for source in active if lacks[source] >= self.length]
            # (1 - 1/room - lack) / share, the time until it is too late, compared as fractions
            chosen = min(ready, key=lambda s: ((room - 1) * self.length - lacks[s]) / weights[s])
            given[chosen] += 1
            sources.append(chosen)
        return np.array(sources)

    @cached_property
    def occurrences(self) -> Numbers:
        occurrences = np.empty(self.length, dtype=np.int64)
        for source in range(len(self.weights)):
            here = self.sources == source
            occurrences[here] = np.arange(int(here.sum()))
        return occurrences

    def drawn_before(self, length: int) -> Numbers:
        """How often each source is read in the first `length` positions of the phase."""
        cycles, rest = divmod(length, self.length)
        return cycles * self.weights + np.bincount(self.sources[:rest], minlength=len(self.weights))


def _check(phases: list[Phase]) -> None:
    starts = [phase.start for phase in phases]
    if not phases or starts[0] != 0 or sorted(set(starts)) != starts:
        raise BadInput(f"phases that begin at {starts}", cure="let the first begin at 0 and each later than the last")
    for phase in phases:
        if len(phase.weights) != len(phases[0].weights) or min(phase.weights) < 0 or not any(phase.weights):
            raise BadInput(f"the weights {phase.weights}", cure="give every source a whole number, one of them above 0")
        if sum(phase.weights) // reduce(gcd, phase.weights) > MAX_PLACES:
            raise BadInput(f"the weights {phase.weights}", cure=f"round them, so that they sum to {MAX_PLACES} or less")
