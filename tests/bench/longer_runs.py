"""What longer trainings than the demo's gave: figures and pictures of `train/longer`, which the demo's report shows.

    python tests/bench/longer_runs.py --corpus runs/emoji/corpus --tuned runs/emoji-style --described runs/described \\
        --refined runs/emoji-refine --out train/longer

`--base` is the shipped painter; `--tuned` and `--refined` are runs of `emoji-style` and `emoji-refine`, each with its
shards beside it; `--described` is one that was trained with many reversed rows. Shares have Wilson's 95% interval.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.tokenize.image_codes import Pictures
from tuwen.tokenize.quality import decode_in_batches
from tuwen.train.describing.caption_search import search_captions
from tuwen.train.judging.interval import said, said_mean, share_of
from tuwen.train.judging.refined import SHOWN, judge_refined
from tuwen.train.painting.choosing import Choice, scores
from tuwen.train.painting.generate_pictures import Sampled, check_refines, sample
from tuwen.train.painting.nearest import NEAREST, NearestTest
from tuwen.train.run.run import Run, open_run

HAND, BEST_OF, BEAMS = "openmoji", 8, 8
SPLITS = ("train", "validation")
Entry = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=Path("emoji"))
    for name in ("corpus", "tuned", "described", "refined", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--described-shards", type=Path, help="default: beside the run")
    parser.add_argument("--refined-shards", type=Path, help="default: beside the run")
    parser.add_argument("--captions", type=int, default=200, help="of each split")
    parser.add_argument("--only", nargs="+", help="parts to measure anew; the others stay as they are")
    asked = parser.parse_args()
    corpus, base = load_manifest(asked.corpus, "corpus"), open_run(asked.base)
    described, refined = open_run(asked.described), open_run(asked.refined)
    parts: dict[str, Callable[[], tuple[Entry, Pictures]]] = {
        "tuned": lambda: of_tuned(base, open_run(asked.tuned), corpus, asked.captions),
        "refined": lambda: of_refined(refined, shards_of(refined, asked.refined_shards), corpus, asked.captions),
        "chosen": lambda: of_chosen(described, corpus, asked.captions),
        "described": lambda: of_described(described, shards_of(described, asked.described_shards), asked.captions),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    figures = asked.out / "figures.json"
    known = {each["picture"]: each for each in json.loads(figures.read_bytes())} if figures.is_file() else {}
    entries = []
    for name, work in parts.items():
        if asked.only and name not in asked.only:
            entries.append(known[f"{name}.webp"])
            continue
        entry, pictures = work()
        picture = f"{name}.webp"
        rows = [np.concatenate(list(row), axis=1) for row in pictures.reshape(-1, SHOWN, *pictures.shape[1:])]
        Image.fromarray(np.concatenate(rows)).save(asked.out / picture, quality=80, method=6)
        entries.append({**entry, "picture": picture})
        print(json.dumps(entry, ensure_ascii=False, indent=1), flush=True)
    text = json.dumps(entries, ensure_ascii=False, indent=1)
    figures.write_text(f"{text}\n", encoding="utf-8")


def shards_of(run: Run, folder: Path | None) -> Manifest:
    return load_manifest(folder or run.whole.shards.path, "shards")


def steps_of(run: Run) -> str:
    return f"{run.totals['samples']:,} samples"


def tests_of(corpus: Manifest, captions: int) -> dict[str, NearestTest]:
    share = float(corpus.document["lineage"]["recipe"]["split"]["validation"])
    return {split: NearestTest.of(corpus, share, split, captions, seed=0) for split in SPLITS}


def likeliest(run: Run, test: NearestTest) -> Pictures:
    return sample(run, test.captions, 1, 0, temperature=0).chosen(np.zeros(len(test.captions), np.int64))


def of_tuned(base: Run, tuned: Run, corpus: Manifest, captions: int) -> tuple[Entry, Pictures]:
    verdicts, tests = read_verdicts(corpus, ["key", "source"]), tests_of(corpus, captions)
    source_of = dict(zip(verdicts["key"].to_pylist(), verdicts["source"].to_pylist(), strict=True))
    rows, shown = [], []
    for name, run in (("the painter", base), ("fine-tuned", tuned)):
        cells = [name, steps_of(run)]
        for test in tests.values():
            pictures = likeliest(run, test)
            keys = test.nearest_keys(pictures, set(test.all_keys.tolist()))
            cells.append(said(share_of([source_of[key] == HAND for key in keys])))
            cells.append(said(share_of(test.ranks(pictures)[0] < NEAREST)))
        rows.append(cells)
        shown.append(pictures[:SHOWN])
    return {
        "title": "调 · fine-tuned to one hand",
        "text": "The painter goes on with OpenMoji's drawings alone. The hand is that of the nearest real picture.",
        "columns": ["", "read", *(f"{what}, {split}" for split in SPLITS for what in ("OpenMoji's hand", "own in 5"))],
        "rows": rows,
        "caption": f"Above the painter, below the same captions after fine-tuning: {'、'.join(test.captions[:SHOWN])}.",
        "command": "tuwen corpus emoji-style && tuwen tokenize emoji-style && tuwen train emoji-style",
    }, np.concatenate(shown)  # fmt: skip


def of_refined(run: Run, shards: Manifest, corpus: Manifest, pictures: int) -> tuple[Entry, Pictures]:
    found, sheet = judge_refined(run, shards, corpus, pictures)
    likenesses = {
        "decoded in 64 px and enlarged, bicubic": found["bicubic"],
        "refined": found["refined"],
        "refined − enlarged": found["gain"],
        "their own finer codes": found["own_codes"],
    }
    rows = [
        [name, said_mean(likeness["psnr_db"], 2), said_mean(likeness["ssim"], 3)]
        for name, likeness in likenesses.items()
    ]
    layout = check_refines(run)
    passes = run.totals["samples"] * layout.num_codes / (shards.splits["train"].samples * layout.num_places)
    nearer = "enlarged" if found["gain"]["psnr_db"]["mean"] < 0 else "refined"
    return {
        "title": "细 · refined",
        "text": f"{found['pictures']} held-out pictures from their real 8 × 8 codes, beside the pictures themselves in "
        f"{found['side_px']} px. The 16 × 16 finer codes were learned in {steps_of(run)} of one window each: "
        f"{passes:.1f} passes over the codes. The {nearer} ones are nearer to the pictures.",
        "columns": ["", "PSNR, dB", "SSIM"],
        "rows": rows,
        "caption": "From above: enlarged, refined, of their own finer codes, the pictures.",
        "command": "tuwen corpus emoji-refine && tuwen tokenize emoji-refine && tuwen train emoji-refine",
    }, sheet


def of_chosen(run: Run, corpus: Manifest, captions: int) -> tuple[Entry, Pictures]:
    test = tests_of(corpus, captions)["validation"]
    many = sample(run, test.captions, BEST_OF, 0, temperature=1)
    ways = {
        "one sample": many.chosen(np.zeros(len(test.captions), np.int64)),
        f"best of {BEST_OF} by likelihood": best(many, Choice("likelihood")),
        f"best of {BEST_OF} by caption-loss": best(many, Choice("caption-loss")),
    }
    rows = []
    for way, pictures in ways.items():
        own, strict = (share_of(ranks < NEAREST) for ranks in test.ranks(pictures))
        rows.append([way, said(own), said(strict)])
    return {
        "title": "选 · chosen among eight",
        "text": f"{len(test.captions)} held-out captions, by a painter that went on for {steps_of(run)}, of which "
        f"{run.document.settings.reverse:.0%} had their picture first.",
        "columns": ["", "own in 5", "strict in 5"],
        "rows": rows,
        "caption": f"From above: one sample, by likelihood, by caption-loss; {'、'.join(test.captions[:SHOWN])}.",
        "command": "tuwen sample RUN --prompt 一只蜜蜂 --count 8 --best 1 --by caption-loss",
    }, np.concatenate([pictures[:SHOWN] for pictures in ways.values()])


def best(many: Sampled, choice: Choice) -> Pictures:
    return many.chosen(scores(many, choice).argmax(axis=1))


def of_described(run: Run, shards: Manifest, pictures: int) -> tuple[Entry, Pictures]:
    reader, model, encoder = SplitReader(shards, "validation"), run.load_model(), run.caption_ids
    rows = np.linspace(0, len(reader) - 1, min(len(reader), pictures)).astype(np.int64)
    codes = reader.rows(rows)[0].astype(np.int64)
    places, shown = list[int](), list[str]()
    every = max(1, len(rows) // SHOWN)
    for number, (of_picture, meta) in enumerate(zip(codes, reader.metas(rows), strict=True)):
        found = search_captions(model, run.layout, of_picture, BEAMS, run.document.precision)
        said_of_it, own = [encoder.decode(each.pieces) for each in found], meta["caption"]
        places.append(next((place for place, each in enumerate(said_of_it) if each == own), BEAMS))
        if number % every == 0 and len(shown) < SHOWN:
            shown.append(f"{said_of_it[0]} ({own})")
    in_1, in_5 = (share_of(np.array(places) < most) for most in (1, 5))
    return {
        "title": "述 · described",
        "text": f"{len(rows)} held-out pictures, by the painter that also chose.",
        "columns": ["", "says the very caption", "has it among its five likeliest"],
        "rows": [["beam search", said(in_1), said(in_5)]],
        "caption": f"What is said of these held-out pictures, and in brackets their captions: {'; '.join(shown)}.",
        "command": "tuwen caption RUN PICTURE…",
    }, decode_in_batches(run.image_codes, codes[::every][:SHOWN].reshape(-1, *run.image_codes.identity.shape))


if __name__ == "__main__":
    main()
