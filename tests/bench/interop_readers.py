"""How other tools read an export, in their own environment: python interop_readers.py TOOL FOLDER

Prints one JSON line: of each split the samples as [key, sha256 of the codes as uint16, caption], sorted. Of pictures it
is the sha256 of their file.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SourceItem = dict[str, list[tuple[str, str, str]]]
SPLITS = ("train", "validation")


def sample(key: str, codes: Any, caption: str) -> tuple[str, str, str]:
    return key, hashlib.sha256(np.asarray(codes, dtype="<u2").tobytes()).hexdigest(), caption


def picture(key: str, image: Any, caption: str) -> tuple[str, str, str]:
    data = image["bytes"] or Path(image["path"]).read_bytes()
    return key, hashlib.sha256(data).hexdigest(), caption


def files_of(loaded: Any) -> Any:
    """A split of `datasets` whose pictures are not decoded."""
    from datasets import Image

    return loaded.cast_column("image", Image(decode=False))


def webdataset(folder: Path) -> SourceItem:
    import webdataset as wds

    found = {}
    for split in SPLITS:
        urls = [str(path) for path in sorted(folder.glob(f"{split}-*.tar"))]
        rows = wds.WebDataset(urls, shardshuffle=False).decode()
        found[split] = [sample(row["__key__"], row["codes.npy"], row["txt"]) for row in rows]
    return found


def datasets(folder: Path) -> SourceItem:
    from datasets import load_dataset

    files = {split: str(folder / f"{split}-*.tar") for split in SPLITS}
    found = {}
    for streaming in (False, True):
        loaded = load_dataset("webdataset", data_files=files, streaming=streaming, cache_dir=tempfile.mkdtemp())
        found[streaming] = {
            split: [sample(row["__key__"], row["codes.npy"], row["txt"]) for row in loaded[split]] for split in SPLITS
        }
    assert found[False] == found[True]
    by_card = load_dataset(str(folder), cache_dir=tempfile.mkdtemp())  # by the head of README.md
    assert {split: len(by_card[split]) for split in SPLITS} == {split: len(found[True][split]) for split in SPLITS}
    return found[True]


def energon(folder: Path) -> SourceItem:
    from megatron.energon import WorkerConfig, get_loader, get_train_dataset, get_val_dataset

    command = [str(Path(sys.executable).with_name("energon")), "prepare", "--non-interactive", "--no-progress"]
    parts = ["train:train-.*", "val:validation-.*", "test:test-.*"]
    options = [word for part in parts for word in ("--split-parts", part)]
    subprocess.run([*command, "--num-workers", "2", *options, str(folder)], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    config = WorkerConfig(rank=0, world_size=1, num_workers=0)
    train = get_train_dataset(folder, worker_config=config, batch_size=None, shuffle_buffer_size=None,
                              max_samples_per_sequence=None, repeat=False)  # fmt: skip
    validation = get_val_dataset(folder, worker_config=config, batch_size=None)
    return {
        split: [
            sample(found.__key__.rpartition("/")[2], np.asarray(found.image), found.caption)
            for found in get_loader(part)
        ]
        for split, part in (("train", train), ("validation", validation))
    }


def wids(folder: Path) -> SourceItem:
    import wids as library

    found = {}
    for split in SPLITS:
        index = str(folder / f"index.{split}.json")
        read = library.ShardListDataset(
            index, cache_dir=str(folder), transformations=[library.wids_decode.decode_basic]
        )
        rows = [read[number] for number in range(len(read))]
        found[split] = [sample(row["__key__"], row[".codes.npy"], row[".txt"]) for row in rows]
    return found


def croissant(folder: Path) -> SourceItem:
    os.environ["CROISSANT_CACHE"] = tempfile.mkdtemp()  # by name alone: another folder's tars would be believed
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors, issues.errors
    assert not issues.warnings, issues.warnings
    splits = {
        row[f"split-{split}/key"].decode(): split for split in SPLITS for row in dataset.records(f"split-{split}")
    }
    found: SourceItem = {split: [] for split in SPLITS}
    for row in dataset.records("samples"):
        key = row["samples/key"].decode()
        codes = np.load(io.BytesIO(row["samples/codes"]))
        found[splits[key]].append(sample(key, codes, row["samples/caption"].decode()))
    return found


def huggingface(folder: Path) -> SourceItem:
    from datasets import Image, load_dataset

    loaded = load_dataset(str(folder), cache_dir=tempfile.mkdtemp())  # by the head of README.md
    assert all(loaded[split].features["image"] == Image() for split in SPLITS)
    return {
        split: [picture(row["key"], row["image"], row["caption"]) for row in files_of(loaded[split])]
        for split in SPLITS
    }


def imagefolder(folder: Path) -> SourceItem:
    from datasets import load_dataset

    loaded = load_dataset("imagefolder", data_dir=str(folder), cache_dir=tempfile.mkdtemp())
    return {
        split: [picture(row["key"], row["image"], row["text"]) for row in files_of(loaded[split])] for split in SPLITS
    }


def parquet(folder: Path) -> SourceItem:
    """pandas, and `datasets` by the head of README.md, at once and streaming."""
    import pandas
    from datasets import load_dataset

    tables = {split: [pandas.read_parquet(path) for path in sorted(folder.glob(f"{split}-*"))] for split in SPLITS}
    found = {
        split: [sample(row.key, row.codes, row.caption) for table in of_split for row in table.itertuples()]
        for split, of_split in tables.items()
    }
    for streaming in (False, True):
        loaded = load_dataset(str(folder), streaming=streaming, cache_dir=tempfile.mkdtemp())
        by_datasets = {
            split: [sample(row["key"], row["codes"], row["caption"]) for row in loaded[split]] for split in SPLITS
        }
        assert by_datasets == found
    return found


TOOLS: dict[str, Callable[[Path], SourceItem]] = {
    "webdataset": webdataset, "datasets": datasets, "energon": energon, "wids": wids, "croissant": croissant,
    "huggingface": huggingface, "imagefolder": imagefolder, "parquet": parquet,
}  # fmt: skip

if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    read = TOOLS[sys.argv[1]](Path(sys.argv[2]))
    print("\n" + json.dumps({split: sorted(samples) for split, samples in read.items()}))
