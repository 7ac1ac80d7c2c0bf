"""Peers that read tars: webdataset, Megatron-Energon, Hugging Face datasets."""

import functools
import io
import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from raw import BATCH_ROWS, Batch, Block, Raw, Sample, block_rng

TAR_SAMPLES = 16_384
TAR_BLOCKS = 8
SHUFFLE_BUFFER = 10_000
SHUFFLE_BLOCKS = 16


def encode_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0))
    return buffer.getvalue()


@functools.lru_cache(maxsize=4096)
def npy_header(header: bytes) -> tuple[tuple[int, ...], np.dtype]:
    stream = io.BytesIO(header)
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, dtype


def decode_npy(data: bytes) -> np.ndarray:
    """The array of an .npy file, over its bytes; np.load of a BytesIO takes several times as long."""
    start = 10 + int.from_bytes(data[8:10], "little")
    shape, dtype = npy_header(data[:start])
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def sample_members(raw: Raw) -> Iterator[dict[str, Any]]:
    for index, (codes, text) in enumerate(raw.samples()):
        yield {"__key__": f"{index:09d}", "codes.npy": encode_npy(codes), "text.npy": encode_npy(text)}


def raw_sample_members(raw: Raw) -> Iterator[dict[str, Any]]:
    for index, (codes, text) in enumerate(raw.samples()):
        yield {"__key__": f"{index:09d}", "codes.bin": codes.tobytes(), "text.bin": text.tobytes()}


def block_members(raw: Raw) -> Iterator[dict[str, Any]]:
    for index, block in enumerate(raw.blocks()):
        members = {"codes.npy": block.codes, "text.npy": block.text, "text_ptr.npy": block.ptr}
        yield {"__key__": f"b{index:06d}", **{name: encode_npy(array) for name, array in members.items()}}


def decode_members(sample: dict[str, Any]) -> Sample:
    return decode_npy(sample["codes.npy"]), decode_npy(sample["text.npy"])


def decode_block_members(sample: dict[str, Any]) -> Block:
    return Block(*decode_members(sample), decode_npy(sample["text_ptr.npy"]))


def write_tars(
    members: Callable[[Raw], Iterable[dict[str, Any]]], samples_per_tar: int, folder: Path, out: Path
) -> None:
    """A whole mtime keeps tarfile from giving every member another kilobyte of pax headers."""
    import webdataset

    pattern = str(out / "%06d.tar")
    options = {"maxcount": samples_per_tar, "maxsize": sys.maxsize, "mtime": 0, "encoder": False, "verbose": 0}
    with webdataset.ShardWriter(pattern, **options) as writer:
        for sample in members(Raw.open(folder)):
            writer.write(sample)


def tars(out: Path) -> list[str]:
    return sorted(str(path) for path in out.glob("*.tar"))


def webdataset_epochs(out: Path, shuffle_buffer: int) -> Iterator[dict[str, Any]]:
    import webdataset

    urls = tars(out)
    for epoch in itertools.count():
        shards = len(urls) if shuffle_buffer else False
        dataset = webdataset.WebDataset(urls, shardshuffle=shards, seed=epoch, empty_check=False)
        if shuffle_buffer:
            dataset = dataset.shuffle(shuffle_buffer, rng=random.Random(epoch))
        yield from dataset


def read_webdataset_samples(out: Path, shuffled: bool) -> Iterator[Sample]:
    return map(decode_members, webdataset_epochs(out, SHUFFLE_BUFFER if shuffled else 0))


def read_webdataset_blocks(out: Path, shuffled: bool) -> Iterator[Batch]:
    rng = block_rng(shuffled)
    for sample in webdataset_epochs(out, SHUFFLE_BLOCKS if shuffled else 0):
        yield from decode_block_members(sample).batches(rng)


def write_energon(
    members: Callable[[Raw], Iterable[dict[str, Any]]], samples_per_tar: int, folder: Path, out: Path
) -> None:
    write_tars(members, samples_per_tar, folder, out)
    prepare = [str(Path(sys.executable).with_name("energon")), "prepare", "--non-interactive", "--no-progress"]
    options = ["--num-workers", "1", "--split-ratio", "1,0,0", "--sample-type", "CrudeWebdataset"]
    subprocess.run([*prepare, *options, str(out)], check=True, stdout=sys.stderr)


def energon_samples(
    out: Path, shuffle_buffer: int, batch_size: int | None, decode: Callable[[dict[str, Any]], tuple[np.ndarray, ...]]
) -> Iterator[Any]:
    """The loader's items endlessly: lists of batch_size samples, whose arrays are in .arrays, or single samples."""
    from megatron import energon

    @energon.edataclass
    class Arrays(energon.Sample):
        arrays: tuple[np.ndarray, ...]

    @energon.stateless
    def cook(sample: dict[str, Any]) -> Arrays:
        return Arrays(**energon.basic_sample_keys(sample), arrays=decode(sample))

    class Encoder(energon.DefaultTaskEncoder):
        decoder = None
        cookers = (energon.Cooker(cook),)

        def batch(self, samples: list[Arrays]) -> list[Arrays]:
            return samples

    options: dict[str, Any] = {
        "split_part": "train",
        "worker_config": energon.WorkerConfig(rank=0, world_size=1, num_workers=0),
        "batch_size": batch_size,
        "task_encoder": Encoder(),
    }
    if shuffle_buffer:
        dataset = energon.get_train_dataset(
            out, shuffle_buffer_size=shuffle_buffer, max_samples_per_sequence=None, **options
        )
    else:
        dataset = energon.get_val_dataset(out, **options)
    loader = energon.get_savable_loader(dataset, gc_collect_every_n_steps=1_000_000)
    while True:
        yield from loader


def read_energon_samples(out: Path, shuffled: bool) -> Iterator[Sample]:
    for batch in energon_samples(out, SHUFFLE_BUFFER if shuffled else 0, BATCH_ROWS, decode_members):
        for sample in batch:
            yield sample.arrays


def read_energon_blocks(out: Path, shuffled: bool) -> Iterator[Batch]:
    rng = block_rng(shuffled)
    for sample in energon_samples(out, SHUFFLE_BLOCKS if shuffled else 0, None, decode_block_members):
        yield from sample.arrays.batches(rng)


def read_datasets_webdataset(out: Path, shuffled: bool) -> Iterator[Sample]:
    import datasets

    dataset = datasets.load_dataset("webdataset", data_files={"train": tars(out)}, split="train", streaming=True)
    if shuffled:
        dataset = dataset.shuffle(seed=0, buffer_size=SHUFFLE_BUFFER)
    for epoch in itertools.count():
        dataset.set_epoch(epoch)
        for sample in dataset:
            yield np.frombuffer(sample["codes.bin"], np.uint16), np.frombuffer(sample["text.bin"], np.uint16)
