"""A script as webdataset's users write it: tars → decode("pil") → DataLoader → encoder → tars of codes.

    python webdataset_script.py TARS OUT --model models/vq-16 --processes 2        # VQ-16 at 256 px, batches of 8
    python webdataset_script.py TARS OUT --processes 2                             # compact-64 at 64 px, batches of 64

`--processes` is the threads of torch and, at most as many as there are tars, the workers of the loader. Bicubic from
the centre square. Codes go out as codes.npy (int64) beside the caption. No check, no manifest, no resume. The clock
starts when the model is loaded; prints one JSON line.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from llamagen_like import cpu_seconds
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tokenize_phases"))


def encoder_of(model: Path | None, side: int) -> tuple[int, int, Callable[[np.ndarray], np.ndarray]]:
    """Side, batch, and uint8 (B, side, side, 3) → codes (B, n)."""
    if model is None:
        from tuwen.tokenize.open_image_codes import find_image_tokenizer, open_image_codes

        image_codes = open_image_codes(find_image_tokenizer("compact-64", Path()))
        return 64, 64, lambda pictures: image_codes.encode(pictures).reshape(len(pictures), -1)
    from random_vq import VQ16

    network = VQ16(model)

    def encode(pictures: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        return network.encode(pixels).numpy()

    return side, 8, encode


def square(picture: Image.Image, side: int) -> np.ndarray:
    picture = picture.convert("RGB")
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    return np.asarray(picture.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tars", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pictures", type=int, default=1 << 60)
    parser.add_argument("--size", type=int, default=256, help="px of VQ-16's pictures")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.processes)
    side, batch, encode = encoder_of(asked.model, asked.size)
    asked.out.mkdir(parents=True, exist_ok=True)
    urls = sorted(map(str, asked.tars.glob("*.tar")))
    dataset: Any = wds.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("__key__", "jpg", "txt")
    dataset = dataset.map_tuple(str, lambda picture: square(picture, side), str).batched(batch, partial=True)
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=min(asked.processes, len(urls)))
    count = 0
    began, spent = time.perf_counter(), cpu_seconds()
    with wds.ShardWriter(str(asked.out / "%05d.tar"), maxcount=10_000, verbose=0) as writer:
        for keys, pictures, captions in loader:
            for key, codes, caption in zip(keys, encode(np.stack(pictures)), captions, strict=True):
                writer.write({"__key__": key, "codes.npy": codes, "txt": caption})
            count += len(keys)
            if count >= asked.pictures:
                break
    seconds = time.perf_counter() - began
    del loader
    size = sum(path.stat().st_size for path in asked.out.glob("*.tar"))
    print(
        json.dumps(
            {"count": count, "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds() - spent, 3),
             "bytes_each": round(size / count)}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
