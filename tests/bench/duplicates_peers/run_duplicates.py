"""What others do to find near codes, in their environment; prints one JSON line.

    python run_duplicates.py imagededup-brute CODES.npy PAIRS.npy
    python run_duplicates.py imagededup-bktree CODES.npy PAIRS.npy
    python run_duplicates.py data-juicer CODES.npy PAIRS.npy

imagededup is asked as its `find_duplicates` asks itself: HashEval over a dictionary of names and hexadecimal hashes.
It imports torchvision for a network that nobody asks here: two modules stand empty. Data-Juicer's image_deduplicator
is given its hashes and keeps the first of every equal ones.
"""

import contextlib
import json
import os
import sys
import time
import types

import numpy as np

RADIUS = 4


def by_imagededup(codes: np.ndarray, method: str) -> tuple[float, np.ndarray]:
    from imagededup.handlers.search.retrieval import HashEval
    from imagededup.methods.hashing import Hashing

    hashes = {str(row): f"{code:016x}" for row, code in enumerate(codes.tolist())}
    began = time.perf_counter()
    found = HashEval(
        test=hashes, queries=hashes, distance_function=Hashing.hamming_distance, verbose=False, threshold=RADIUS,
        search_method=method, num_dist_workers=2,
    ).retrieve_results()  # fmt: skip
    seconds = time.perf_counter() - began
    pairs = {tuple(sorted((int(a), int(b)))) for a, others in found.items() for b in others}
    return seconds, np.array(sorted(pairs), np.int64).reshape(-1, 2)


def by_data_juicer(codes: np.ndarray) -> tuple[float, np.ndarray]:
    from data_juicer.core.data.dj_dataset import NestedDataset
    from data_juicer.ops.deduplicator.image_deduplicator import ImageDeduplicator
    from data_juicer.utils.constant import HashKeys
    from datasets import Dataset

    rows = {"row": range(len(codes)), HashKeys.imagehash: [f"{code:016x}" for code in codes.tolist()]}
    dataset = NestedDataset(Dataset.from_dict(rows))
    operator = ImageDeduplicator(method="phash")
    began = time.perf_counter()
    kept, _ = operator.process(dataset)
    seconds = time.perf_counter() - began
    dropped = np.setdiff1d(np.arange(len(codes)), np.array(kept["row"]))
    first = {code: row for row, code in reversed(list(enumerate(codes.tolist())))}
    pairs = [(first[int(codes[row])], row) for row in dropped.tolist()]
    return seconds, np.array(pairs, np.int64).reshape(-1, 2)


def without_the_network_of_imagededup() -> None:
    for module, name in (("imagededup.methods.cnn", "CNN"), ("imagededup.utils.models", "CustomModel")):
        stand_in = types.ModuleType(module)
        setattr(stand_in, name, None)
        sys.modules[module] = stand_in


def main() -> None:
    what, codes_file, pairs_file = sys.argv[1:]
    os.environ["HF_HUB_OFFLINE"] = "1"
    without_the_network_of_imagededup()
    codes = np.load(codes_file)
    with contextlib.redirect_stdout(sys.stderr):
        if what == "data-juicer":
            seconds, pairs = by_data_juicer(codes)
        else:
            seconds, pairs = by_imagededup(codes, {"brute": "brute_force_cython", "bktree": "bktree"}[what[11:]])
    np.save(pairs_file, pairs)
    sys.__stdout__.write(json.dumps({"seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
