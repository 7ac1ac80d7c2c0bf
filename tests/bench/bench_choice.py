"""Which way of sampling gives pictures that match their captions: greedy, at a temperature, best of 8, guided.

    python tests/bench/bench_choice.py runs/emoji --captions 200

Needs a run of `tuwen train` or a painter, and the corpus that it was trained on. For some captions of each split, one
picture is chosen each way. The table has own-in-5 and strict-in-5 (painting/nearest.py) in percent, each with Wilson's
95% interval, and own-in-5 of the captions without and with a skin tone. The captions, and the eight samples that are
chosen among, are the same for every way. Choosing by caption-loss needs a run with `reverse`, guidance one with
`drop_captions`; else these rows are left out.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.run_folders import RunFolder
from tuwen.tokenize.image_codes import Pictures
from tuwen.train.judging.interval import said, share_of
from tuwen.train.painting.choosing import Choice, scores
from tuwen.train.painting.generate_pictures import sample
from tuwen.train.painting.nearest import NEAREST, NearestTest
from tuwen.train.run.run import Run, open_run

GUIDANCE = (1.5, 3.0, 5.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run, or a painter's")
    parser.add_argument("--corpus", type=Path, help="default: RUN/corpus")
    parser.add_argument("--captions", type=int, default=200, help="of each split at most")
    parser.add_argument("--splits", nargs="+", default=["validation", "train"])
    parser.add_argument("--best-of", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=Path, help="the folder of a Chinese CLIP")
    asked = parser.parse_args()
    run, corpus = open_run(asked.run), load_manifest(asked.corpus or RunFolder(asked.run).corpus.path, "corpus")
    choices = [Choice("likelihood"), *([Choice("caption-loss")] if run.document.settings.reverse else [])]
    choices += [Choice("clip", asked.clip)] if asked.clip else []
    validation = float(corpus.document["lineage"]["recipe"]["split"]["validation"])
    for split in asked.splits:
        test = NearestTest.of(corpus, validation, split, asked.captions, asked.seed)
        toned = test.with_skin_tone
        print(
            f"\n{len(test.captions)} captions of {split}, {len(test.real):,} pictures, chance {test.chance:.2%}, ",
            end="",
        )
        print(f"{run.document.threads} threads, load {os.getloadavg()[0]:.1f}\n")
        print(
            f"| way | own in 5 | strict in 5 | own, {(~toned).sum()} without skin tone | own, {toned.sum()} with one |"
        )
        print("|---|---|---|---|---|")
        for way, pictures in ways(run, test.captions, asked.best_of, choices, asked.temperature, asked.seed):
            own, strict = (ranks < NEAREST for ranks in test.ranks(pictures))
            shares = (with_interval(each) for each in (own, strict, own[~toned], own[toned]))
            print(f"| {way} | {' | '.join(shares)} |", flush=True)


def ways(
    run: Run, captions: list[str], best_of: int, choices: list[Choice], temperature: float, seed: int
) -> Iterator[tuple[str, Pictures]]:
    """The picture of each caption, chosen in every way that the run can."""
    first = np.zeros(len(captions), np.int64)
    yield "greedy", sample(run, captions, 1, seed, temperature=0).chosen(first)
    many = sample(run, captions, best_of, seed, temperature=temperature)
    yield f"temperature {temperature:g}", many.chosen(first)
    for choice in choices:
        yield f"best of {best_of} by {choice.by}", many.chosen(scores(many, choice).argmax(axis=1))
    for guidance in GUIDANCE if run.document.settings.drop_captions else ():
        for each in (0.0, temperature):
            way = f"temperature {each:g}" if each else "greedy"
            guided = sample(run, captions, 1, seed, temperature=each, guidance=guidance)
            yield f"guidance {guidance:g}, {way}", guided.chosen(first)


def with_interval(is_near: NDArray[np.bool_]) -> str:
    return said(share_of(is_near)) if len(is_near) else "–"


if __name__ == "__main__":
    main()
