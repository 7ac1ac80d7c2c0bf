"""A script in the manner of LlamaGen's extract_codes: pictures of a folder, batch 1, an .npy a picture.

    python llamagen_like.py FILES OUT --model models/vq-16 --processes 2

As there: ADM's halving and centre crop, a DataLoader of batch 1 with workers that decode, codes and label as files of
their own in int64. Other than there: no mirrored copy, a CPU. `--processes` is the threads of torch and the workers of
the loader. The clock starts when the model is loaded; prints one JSON line.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "tokenize_phases"))

from random_vq import VQ16


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, folder: Path, count: int, side: int) -> None:
        self.side = side
        self.paths = sorted(folder.glob("*.jpg"))[:count]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        pixels = np.array(adm(Image.open(self.paths[at]).convert("RGB"), self.side))
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1, at


def adm(picture: Image.Image, side: int) -> Image.Image:
    while min(picture.size) >= 2 * side:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    scale = side / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.processes)
    model = VQ16(asked.model)
    (asked.out / "codes").mkdir(parents=True, exist_ok=True)
    (asked.out / "labels").mkdir(exist_ok=True)
    loader = DataLoader(Pictures(asked.files, asked.pictures, asked.size), batch_size=1, num_workers=asked.processes)
    began, spent = time.perf_counter(), cpu_seconds()
    for number, (pixels, label) in enumerate(loader):
        np.save(asked.out / "codes" / f"{number}.npy", model.encode(pixels).reshape(1, 1, -1).numpy())
        np.save(asked.out / "labels" / f"{number}.npy", label.numpy())
    seconds = time.perf_counter() - began
    del loader
    size = sum(path.stat().st_size for path in asked.out.rglob("*.npy"))
    print(
        json.dumps(
            {"count": asked.pictures, "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds() - spent, 3),
             "bytes_each": round(size / asked.pictures)}
        )
    )  # fmt: skip


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
