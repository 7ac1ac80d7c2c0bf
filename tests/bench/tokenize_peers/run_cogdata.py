"""cogdata 0.0.7's own image-text task on CPUs, over tars: its data set, transforms, loader, VQ-VAE and saver.

    python run_cogdata.py model models/cogview.pt                         # random weights in its own network
    python run_cogdata.py run SOURCE OUT --model models/cogview.pt --processes 2

Its launcher asks for GPUs and NCCL and is left out: the ranks are started here. Replaced: the device that it asks CUDA
for, and icetk, which another of its tasks needs. Its batch is 16 instead of 128, as it makes a one-hot array of 8,192
for each code (17 GB at 128). A rank has one thread and decodes itself. The clock starts when the model is loaded;
prints one JSON line.
"""

import argparse
import json
import sys
import tarfile
import time
import types
from multiprocessing import Barrier, Process, Queue
from pathlib import Path
from typing import Any
from unittest import mock

import torch

sys.modules["icetk"] = types.SimpleNamespace(icetk=None)  # type: ignore[assignment]
torch.cuda.current_device = lambda: "cpu"  # type: ignore[assignment, return-value]
# torchvision from PyPI is built for CUDA's torch; cogdata needs its transforms alone, which are plain Python.
with mock.patch("torch.library.register_fake", lambda *_, **__: lambda function: function):
    from cogdata.data_savers import BinarySaver
    from cogdata.datasets import TarDataset
    from cogdata.tasks import ImageTextTokenizationTask
    from cogdata.utils.cogview import get_tokenizer
    from cogdata.utils.cogview.api import new_model

SIZE = 256


def write_model(path: Path) -> None:
    torch.manual_seed(0)
    torch.save(new_model().state_dict(), path)


def pictures_alone(source: Path, out: Path) -> Path:
    """Its data set takes every file of a tar for a picture."""
    tar = out / "pictures.tar"
    with tarfile.open(tar, "w") as file:
        for path in sorted((source / "files").iterdir()):
            file.add(path, path.name)
    return tar


def run_rank(rank: int, asked: argparse.Namespace, tar: Path, ready: Any, said: Any) -> None:
    torch.set_num_threads(1)
    get_tokenizer(str(asked.model))
    saver = BinarySaver(str(asked.out / f"{rank}.bin"))
    task = ImageTextTokenizationTask(saver=saver, img_sizes=[SIZE])
    dataset = TarDataset(str(tar), asked.processes, rank, task.get_transform_fn())
    ready.wait()
    began, spent = time.perf_counter(), time.process_time()
    task.process(
        [dataset], dataset_dir=str(asked.source), text_files=["captions.json"], text_format="dict", device="cpu",
        batch_size=16, dataloader_num_workers=0, model_path=str(asked.model),
    )  # fmt: skip
    said.put((len(dataset), time.perf_counter() - began, time.process_time() - spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("model").add_argument("path", type=Path)
    run = commands.add_parser("run")
    run.add_argument("source", type=Path)
    run.add_argument("out", type=Path)
    run.add_argument("--model", type=Path, required=True)
    run.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    if asked.command == "model":
        write_model(asked.path)
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    tar = pictures_alone(asked.source, asked.out)
    ready: Any = Barrier(asked.processes)
    said: Any = Queue()
    ranks = [Process(target=run_rank, args=(rank, asked, tar, ready, said)) for rank in range(asked.processes)]
    for rank in ranks:
        rank.start()
    found = [said.get() for _ in ranks]
    for rank in ranks:
        rank.join()
    count = sum(each[0] for each in found)
    size = sum(path.stat().st_size for path in asked.out.glob("*.bin"))
    row = {"count": count, "seconds": max(each[1] for each in found), "cpu_seconds": sum(each[2] for each in found)}
    print(json.dumps({**row, "bytes_each": round(size / count)}))


if __name__ == "__main__":
    main()
