"""Which transforms of a picture are found again: of the hash alone, and after verification, at three radii.

    .venv/bin/python tests/bench/duplicates/bench_perceptual.py photographs emoji

Needs what picture_sets.py and transforms.py wrote under runs/bench-duplicates. Prints a table a set and half with 95%
intervals (Wilson), and leaves the readings in runs/bench-duplicates/recall.json.
"""

import json
import math
import sys

import numpy as np
from measured import measured
from picture_sets import HOME, half
from transforms import TRANSFORMS

from tuwen.pipeline.duplicates.same_picture import difference, transposed

_RADII = (4, 6, 8)


def recall(name: str, which: str) -> dict[str, dict[str, int]]:
    """Transform → counts: pictures, hash alone and verified at each radius, and turned at radius 4."""
    originals = measured(HOME / name / "original")
    chosen = [row for row, each in enumerate(originals.names) if half(each) == which]
    counts = {}
    for transform in TRANSFORMS:
        found = measured(HOME / name / transform)
        place = {each: row for row, each in enumerate(found.names)}
        pairs = [(row, place[originals.names[row]]) for row in chosen if originals.names[row] in place]
        a, b = np.array(pairs).T
        bits = np.bitwise_count(originals.codes[a] ^ found.codes[b])
        same = difference(originals.signatures[a], found.signatures[b]) <= 1
        counts[transform] = {"pictures": len(a)}
        counts[transform] |= {f"hash {radius}": int((bits <= radius).sum()) for radius in _RADII}
        counts[transform] |= {f"verified {radius}": int(((bits <= radius) & same).sum()) for radius in _RADII}
        counts[transform]["turned"] = int(_turned_too(originals, found, a, b, (bits <= 4) & same).sum())
    return counts


def _turned_too(originals, found, a, b, already):
    """Also by the nearest of the seven hashes of the turned original."""
    bits = np.bitwise_count(originals.turned_codes[a] ^ found.codes[b][:, None])
    result = already.copy()
    for turn in range(7):
        near = np.flatnonzero(~result & (bits[:, turn] <= 4))
        result[near] = difference(transposed(originals.signatures[a[near]], turn), found.signatures[b[near]]) <= 1
    return result


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95% interval of a share."""
    z, share = 1.96, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half_width = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half_width), min(1.0, middle + half_width)


def main(names: list[str]) -> None:
    readings = {}
    for name in names:
        for which in ("tune", "test"):
            readings[f"{name} {which}"] = counts = recall(name, which)
            number = max(each["pictures"] for each in counts.values())
            print(f"\n{name}, {which} half, {number} pictures: % found (95% interval)\n")
            print("| transform | hash, 4 bits | verified, 4 bits | 6 bits | 8 bits | turned, 4 bits |")
            print("|---|---|---|---|---|---|")
            for transform, each in counts.items():
                columns = ("hash 4", "verified 4", "verified 6", "verified 8", "turned")
                print(
                    f"| {transform} | " + " | ".join(_said(each[column], each["pictures"]) for column in columns) + " |"
                )
    (HOME / "recall.json").write_text(json.dumps(readings, indent=1))


def _said(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{hits / of:.1%} ({low:.1%}–{high:.1%})".replace("%", "")


if __name__ == "__main__":
    main(sys.argv[1:] or ["photographs", "emoji"])
