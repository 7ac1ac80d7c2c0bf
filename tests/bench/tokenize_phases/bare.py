"""What a tokenization job cannot be faster than: the encoder on tensors in memory, and decoding and cropping alone.

    python bare.py encoder MODEL --pictures 32 --processes 2     # LlamaGen's VQ-16, float32
    python bare.py decoding TARS --processes 2                   # read, decode to RGB, centre square, bicubic to 64 px
    python bare.py coding TARS --processes 2                     # the same, and compact-64 in batches of 64

Each process has one thread. The clock starts when models are loaded, in all processes at once; prints one JSON line.
"""

import argparse
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import Barrier as new_barrier
from multiprocessing import Process, Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import torch
from PIL import Image

Work = Callable[[], int]  # returns how many pictures it did
SIDE_PX = 64
BATCH = 64


def encoder(model: Path, pictures: int, batch: int, side: int) -> Work:
    from random_vq import VQ16

    network = VQ16(model)
    pixels = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def run() -> int:
        for _ in range(pictures // batch):
            network.encode(pixels)
        return pictures

    network.encode(pixels)
    return run


def decoding(tars: list[Path]) -> Work:
    return lambda: sum(1 for tar in tars for _ in squares(tar))


def coding(tars: list[Path]) -> Work:
    from tuwen.tokenize.open_image_codes import find_image_tokenizer, open_image_codes

    image_codes = open_image_codes(find_image_tokenizer("compact-64", Path()))

    def run() -> int:
        count = 0
        for tar in tars:
            found = list(squares(tar))
            for start in range(0, len(found), BATCH):
                count += len(image_codes.encode(np.stack(found[start : start + BATCH])))
        return count

    return run


def squares(path: Path) -> Iterator[np.ndarray]:
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if member.name.endswith(".jpg"):
                file = tar.extractfile(member)
                assert file is not None
                picture = Image.open(io.BytesIO(file.read())).convert("RGB")
                edge = min(picture.size)
                left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
                square = picture.crop((left, top, left + edge, top + edge))
                yield np.asarray(square.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def measure(make: Callable[[], Work], ready: Barrier, said: "Queue[tuple[int, float, float]]") -> None:
    torch.set_num_threads(1)
    run = make()
    ready.wait()
    began, spent = time.perf_counter(), time.process_time()
    said.put((run(), time.perf_counter() - began, time.process_time() - spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("encoder", "decoding", "coding"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--pictures", type=int, default=32, help="of each process, for encoder")
    parser.add_argument("--batch", type=int, default=16, help="for encoder")
    parser.add_argument("--size", type=int, default=256, help="px, for encoder")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    tars = sorted(asked.path.glob("*.tar"))
    ready, said = new_barrier(asked.processes), Queue()  # type: ignore[var-annotated]
    processes = []
    for number in range(asked.processes):
        make = (
            partial(encoder, asked.path, asked.pictures, asked.batch, asked.size)
            if asked.what == "encoder"
            else partial(decoding if asked.what == "decoding" else coding, tars[number :: asked.processes])
        )
        processes.append(Process(target=measure, args=(make, ready, said)))
        processes[-1].start()
    found = [said.get() for _ in processes]
    for process in processes:
        process.join()
    count, cpu_seconds = sum(each[0] for each in found), sum(each[2] for each in found)
    seconds = max(each[1] for each in found)
    print(json.dumps({"count": count, "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)}))


if __name__ == "__main__":
    main()
