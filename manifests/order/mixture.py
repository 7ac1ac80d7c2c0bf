"""The source that is read at each position, in exact integer proportions, and the inverse.

    mixture = Mixture([Phase(0, (3, 1)), Phase(100_000, (1, 1))])
    sources, draws = mixture.at(np.arange(8))         # position p reads the draws[p]-th sample of source sources[p]
    mixture.positions(source=1, draws=[0, 1])         # where the first two samples of source 1 are read

A phase repeats a table with one entry a position, as many as its weights sum to. After any number of positions each
source is less than one sample away from its exact share, and exactly at it after each full table (R. Tijdeman, "The
chairman assignment problem", Discrete Mathematics 32, 1980). A source continues in the next phase where it was, so
nothing is read twice.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property, reduce
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ..documents import MixturePhase
from ..errors import BadInput

Numbers = NDArray[np.int64]

MAX_TABLE_LENGTH = 1 << 16


@dataclass(frozen=True)
class Phase:
    start: int  # position from which the weights hold
    weights: tuple[int, ...]  # one a source; a source of weight 0 is not read


class Mixture:
    def __init__(self, phases: list[Phase]) -> None:
        """Raises BadInput for weights or starts that make no mixture."""
        _check(phases)
        self.num_sources = len(phases[0].weights)
        self._starts = [phase.start for phase in phases]
        self._tables = [_Table(phase.weights) for phase in phases]
        self._drawn = [np.zeros(self.num_sources, dtype=np.int64)]  # samples of each source before each phase
        for number in range(len(phases) - 1):
            length = self._starts[number + 1] - self._starts[number]
            self._drawn.append(self._drawn[-1] + self._tables[number].drawn_before(length))

    def at(self, positions: Numbers) -> tuple[Numbers, Numbers]:
        """Return source and draw of each position."""
        sources, draws = np.empty_like(positions), np.empty_like(positions)
        phases = np.searchsorted(self._starts, positions, side="right") - 1
        for number in np.unique(phases).tolist():
            here, table = phases == number, self._tables[number]
            cycles, entries = np.divmod(positions[here] - self._starts[number], table.length)
            sources[here] = table.sources[entries]
            draws[here] = self._drawn[number][sources[here]] + cycles * table.weights[sources[here]]
            draws[here] += table.occurrences[entries]
        return sources, draws

    def positions(self, source: int, draws: list[int]) -> list[int]:
        """Return the positions of those draws of a source. A draw that no phase reaches is left out."""
        firsts = [int(drawn[source]) for drawn in self._drawn]
        positions = []
        for draw in draws:
            number = bisect_right(firsts, draw) - 1
            table, draw_in_phase = self._tables[number], draw - firsts[number]
            weight = int(table.weights[source])
            if weight:
                cycle, occurrence = divmod(draw_in_phase, weight)
                entry = int(np.flatnonzero(table.sources == source)[occurrence])
                positions.append(self._starts[number] + cycle * table.length + entry)
        return positions

    def document(self) -> list[MixturePhase]:
        """Return the phases for a manifest, with weights divided by their greatest common divisor."""
        return [
            MixturePhase.of(start, table.weights.tolist())
            for start, table in zip(self._starts, self._tables, strict=True)
        ]


def parse_phases(weights: str | None, later: list[str]) -> list[Phase] | None:
    """Return the phases of `--weights 3,1` and `--phase 100000:1,1`, or None without weights.

    Raises BadInput for anything that cannot be read so.
    """
    if weights is None and not later:
        return None
    if weights is None:
        raise BadInput("--phase without --weights", cure="give the weights from position 0 on, too: --weights 1,1")
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
    """One cycle of a phase: the source of each entry, and how often that source came earlier in the cycle."""

    def __init__(self, weights: tuple[int, ...]) -> None:
        divisor = reduce(gcd, weights)
        self.weights = np.array([weight // divisor for weight in weights], dtype=np.int64)
        self.length = int(self.weights.sum())

    @cached_property
    def sources(self) -> Numbers:
        """The source of each entry: the most urgent of those that may come next without exceeding their share."""
        weights = [int(weight) for weight in self.weights]
        active = [source for source, weight in enumerate(weights) if weight]
        if len(active) == 1:
            return np.array(active * self.length)
        room = 2 * len(active) - 2
        given = [0] * len(weights)
        sources = []
        for entry in range(1, self.length + 1):
            # How far each is below its share, in units of 1 / (length · room), so that the arithmetic is in integers.
            lacks = {source: (entry * weights[source] - given[source] * self.length) * room for source in active}
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
        """Return how often each source is read in the first `length` positions of the phase."""
        cycles, rest = divmod(length, self.length)
        return cycles * self.weights + np.bincount(self.sources[:rest], minlength=len(self.weights))


def _check(phases: list[Phase]) -> None:
    starts = [phase.start for phase in phases]
    if not phases or starts[0] != 0 or sorted(set(starts)) != starts:
        raise BadInput(f"phases that begin at {starts}", cure="let the first begin at 0 and each later than the last")
    for phase in phases:
        if len(phase.weights) != len(phases[0].weights) or min(phase.weights) < 0 or not any(phase.weights):
            raise BadInput(f"the weights {phase.weights}", cure="give every source a whole number, one of them above 0")
        if sum(phase.weights) // reduce(gcd, phase.weights) > MAX_TABLE_LENGTH:
            raise BadInput(
                f"the weights {phase.weights}", cure=f"round them, so that they sum to {MAX_TABLE_LENGTH} or less"
            )
