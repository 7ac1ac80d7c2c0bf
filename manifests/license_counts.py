"""Licences with their samples, counted pair by pair: a source may have pictures of several licences.

    counts = {"train": Counter({("photos", "CC0-1.0"): 160, ("photos", "CC-BY-4.0"): 170}), "validation": …}
    counted_licenses(corpus.licenses, counts)       # entries with `samples` and, for each split, `splits`
    licenses_of_split(shards.licenses, "train")     # the entries of what a training run reads

The samples of all entries sum to the samples of the manifest, and those of a split to the samples of the split.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from .documents import License
from .manifest import Manifest
from .shards.row_meta import RowMeta
from .shards.split_reader import SplitReader

Counts = Mapping[str, Counter[tuple[str, str]]]  # split → (source, licence) → samples


def counted_licenses(entries: Sequence[License], counts: Counts) -> list[License]:
    """The entries of `entries` with these counts, and one more for each source and licence that they lack.

    Two sources of one name, in a merged manifest, are counted as one that names both attributions.
    """
    total: Counter[tuple[str, str]] = sum(counts.values(), Counter())
    attributions: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.attribution:
            attributions.setdefault(entry.source, {})[entry.attribution] = None
    places = dict.fromkeys([*((entry.source, entry.license) for entry in entries), *sorted(total)])
    return [
        License(
            source=source,
            license=words,
            attribution="; ".join(attributions.get(source, {})),
            samples=total[source, words],
            splits={split: each[source, words] for split, each in counts.items() if each[source, words]},
        )
        for source, words in places
    ]


def licenses_of_split(entries: Sequence[License], split: str) -> list[License]:
    """The entries with the samples of one split alone; as they are where an older version counted by source."""
    if any(entry.splits is None for entry in entries):
        return list(entries)
    of_split = {number: (entry.splits or {}).get(split, 0) for number, entry in enumerate(entries)}
    return [
        entry.model_copy(update={"samples": of_split[number], "splits": None})
        for number, entry in enumerate(entries)
        if of_split[number]
    ]


def recounted_licenses(shards: Manifest) -> list[License]:
    """The licences of `shards`, counted anew by the metadata of every row.

    The entries of the manifest as they are where rows do not say their source and licence.
    """
    counter = LicenseCounter()
    if all(shard.layout == "block" for shard in shards.shards):
        for split in shards.splits:
            for meta in SplitReader(shards, split).all_meta():
                counter.add(split, meta)
    return counter.licenses(shards)


class LicenseCounter:
    """Counts rows as they are read, for whoever reads them all anyway."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[tuple[str, str]]] = {}

    def add(self, split: str, meta: RowMeta) -> None:
        if "source" in meta and "license" in meta:
            self._counts.setdefault(split, Counter())[meta["source"], meta["license"]] += 1

    def licenses(self, shards: Manifest) -> list[License]:
        """The licences of `shards`, whose rows were all added; its own entries if some rows did not say theirs."""
        counted = {split: each.total() for split, each in self._counts.items()}
        if any(counted.get(name, 0) != split.samples for name, split in shards.splits.items()):
            return shards.licenses
        return counted_licenses(shards.licenses, self._counts)
