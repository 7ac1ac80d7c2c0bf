"""What is merged that must not be: thousands of hard pairs, frames of a video, duplicates among distractors.

    .venv/bin/python tests/bench/duplicates/bench_false_merges.py --artwork FOLDER

Draws the hard sets once under runs/bench-duplicates/hard. Of each set: how many pairs with other captions the hash
proposes, and how many are accepted. Accepted pairs that no one could tell apart (no level of a signature differs by
more than 6) are counted apart and shown. Contact sheets: hard.png and planted.png, beside the sets.
"""

import argparse
from pathlib import Path

import numpy as np
from hard_sets import HARD_SETS
from measured import Measured, measured
from picture_sets import HOME, half
from PIL import Image

from tuwen.pipeline.duplicates.same_picture import THUMBNAIL_BYTES, difference
from tuwen.pipeline.pictures.picture_rules import SINGLE_COLOUR_STD

_HARD = HOME / "hard"
_INDISTINCT_LEVELS = 6
_PLANTED = ("jpeg-50", "webp-50", "scale-0.5-area", "brightness-0.8", "gamma-1.25")
_ROW = 400  # codes compared with all others at once


def hard_set(name: str, artwork: Path) -> tuple[Measured, dict[str, str]]:
    """The set's measures, and name → caption; drawn if it is not there yet."""
    folder, listed = _HARD / name, _HARD / f"{name}.tsv"
    if not listed.exists():
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for stem, caption, picture in HARD_SETS[name](artwork):
            picture.save(folder / f"{stem}.png", compress_level=1, icc_profile=None)
            lines.append(f"{stem}\t{caption}\n")
        listed.write_text("".join(lines))
    return measured(folder), dict(line.rstrip("\n").split("\t", 1) for line in listed.open())


def near(codes, radius: int):
    """(n, 2) of all rows a < b whose codes are near: brute force, the oracle."""
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(codes), _ROW):
        bits = np.bitwise_count(codes[start : start + _ROW, None] ^ codes[None, :])
        a, b = np.nonzero(bits <= radius)
        found.append(np.column_stack([a + start, b])[a + start < b])
    return np.concatenate(found)


def hard(artwork: Path) -> None:
    print(
        "| set | pictures | proposed at 4 / 6 / 8 bits | worst cell ≤ 18 | accepted at 4 / 6 / 8 | can be told apart |"
    )
    print("|---|---|---|---|---|---|")
    shown = []
    for name in HARD_SETS:
        found, captions = hard_set(name, artwork)
        caption = np.array([captions[each] for each in found.names])
        pairs = near(found.codes, 8)
        lively = (found.std >= SINGLE_COLOUR_STD)[pairs].all(axis=1)
        pairs = pairs[lively & (caption[pairs[:, 0]] != caption[pairs[:, 1]])]
        bits = np.bitwise_count(found.codes[pairs[:, 0]] ^ found.codes[pairs[:, 1]])
        a, b = found.signatures[pairs[:, 0]], found.signatures[pairs[:, 1]]
        apart = difference(a, b)
        levels = np.array([_levels_apart(x, y) for x, y in zip(a, b, strict=True)]).reshape(-1, 2)
        same, clear = apart <= 1, levels.max(axis=1, initial=0) > _INDISTINCT_LEVELS
        proposed = " / ".join(str(int((bits <= radius).sum())) for radius in (4, 6, 8))
        accepted = " / ".join(str(int((same & (bits <= radius)).sum())) for radius in (4, 6, 8))
        before = int((levels[:, 0] <= 18).sum())
        print(f"| {name} | {len(found.names)} | {proposed} | {before} | {accepted} | {int((same & clear).sum())} |")
        for row in np.flatnonzero(same & clear):
            x, y = pairs[row]
            print(
                f"    {bits[row]} bits, {apart[row]:.2f}: {found.names[x]} {caption[x]} | {found.names[y]} {caption[y]}"
            )
            shown.append((_HARD / name / f"{found.names[x]}.png", _HARD / name / f"{found.names[y]}.png"))
    contact_sheet(shown, HOME / "hard.png")


def _levels_apart(a, b) -> tuple[int, int]:
    """Levels by which the colours differ at most, and all values."""
    apart = np.abs(a.astype(np.int16) - b)
    return int(apart[:THUMBNAIL_BYTES].max()), int(apart.max())


def planted() -> None:
    """A hundred duplicates by five transforms among ten thousand distinct pictures: what is found, and what else."""
    folders = [HOME / "photographs/original", *(_HARD / name for name in ("stamps", "icons", "emoji-all", "flags"))]
    parts = _distinct([(folder, measured(folder)) for folder in folders])
    chosen = [name for name in measured(HOME / "photographs/original").names if half(name) == "test"][:100]
    for number, transform in enumerate(_PLANTED):
        found = measured(HOME / "photographs" / transform)
        rows = np.isin(found.names, chosen[number * 20 : number * 20 + 20])
        parts.append((HOME / "photographs" / transform, _rows(found, rows)))
    paths = [_file(folder, name) for folder, found in parts for name in found.names]
    codes = np.concatenate([found.codes for _, found in parts])
    signatures = np.concatenate([found.signatures for _, found in parts])
    std = np.concatenate([found.std for _, found in parts])
    truth = {frozenset((str(_file(HOME / "photographs/original", p.stem)), str(p))) for p in paths[-100:]}
    for radius in (4, 6, 8):
        pairs = near(codes, radius)
        pairs = pairs[(std >= SINGLE_COLOUR_STD)[pairs].all(axis=1)]
        kept = pairs[difference(signatures[pairs[:, 0]], signatures[pairs[:, 1]]) <= 1]
        named = [(paths[a], paths[b]) for a, b in kept]
        right = sum(frozenset(map(str, pair)) in truth for pair in named)
        print(
            f"{radius} bits: {len(paths)} pictures, {len(pairs)} proposed, {len(kept)} accepted, {right} of 100 planted"
        )
        contact_sheet(
            [pair for pair in named if frozenset(map(str, pair)) not in truth], HOME / f"planted-{radius}.png"
        )


def _distinct(parts: list[tuple[Path, Measured]]) -> list[tuple[Path, Measured]]:
    """Without the pictures whose signature an earlier one has to the bit: what is left was drawn in another way."""
    seen: set[bytes] = set()
    kept = []
    for folder, found in parts:
        new = [(each := row.tobytes()) not in seen and not seen.add(each) for row in found.signatures]
        kept.append((folder, _rows(found, np.array(new))))
    return kept


def _rows(found: Measured, rows) -> Measured:
    return Measured(**{name: values[rows] for name, values in vars(found).items()})


def _file(folder: Path, stem: str) -> Path:
    return next(path for ending in (".png", ".jpg", ".webp") if (path := folder / f"{stem}{ending}").exists())


def frames(folder: Path) -> None:
    """PNG frames in the order of their names: at which distance are they no duplicates any more?"""
    for video in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = measured(video)
        for step in (1, 2, 5, 10, 25, 50):
            a, b = np.arange(len(found.names) - step), np.arange(step, len(found.names))
            bits = np.bitwise_count(found.codes[a] ^ found.codes[b])
            same = difference(found.signatures[a], found.signatures[b]) <= 1
            shares = " / ".join(f"{(same & (bits <= radius)).mean():.0%}" for radius in (4, 6, 8))
            print(f"{video.name}: {step} frames apart, duplicates at 4 / 6 / 8 bits {shares} of {len(a)}")


def contact_sheet(pairs: list[tuple[Path, Path]], there: Path, side_px: int = 96, columns: int = 6) -> None:
    """Each pair side by side, at most 240 of them, evenly taken."""
    chosen = pairs[:: max(1, len(pairs) // 240)][:240]
    height = max(1, -(-len(chosen) // columns))
    sheet = Image.new("RGB", (columns * (2 * side_px + 12), height * (side_px + 6)), "white")
    for number, pair in enumerate(chosen):
        left, top = number % columns * (2 * side_px + 12), number // columns * (side_px + 6)
        for place, path in enumerate(pair):
            sheet.paste(Image.open(path).convert("RGB").resize((side_px, side_px)), (left + place * side_px, top))
    sheet.save(there)
    print(there, len(pairs), "pairs")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--artwork", type=Path, required=True)
    parser.add_argument(
        "--part", choices=["hard", "planted", "frames"], nargs="+", default=["hard", "planted", "frames"]
    )
    said = parser.parse_args()
    for part in said.part:
        {"hard": lambda: hard(said.artwork), "planted": planted, "frames": lambda: frames(said.artwork / "frames")}[
            part
        ]()
