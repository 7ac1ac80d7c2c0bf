"""The least that measuring a picture can be: read, hash the bytes, decode, resize, hash.

    python bare_loop.py TARS --processes 1        # prints one JSON line

No verdict, no table, no check: half a picture or a decoder's crash ends it. `--hash` says what the 64-bit DCT hash is
taken of: `full`, the whole picture, as `imagehash.phash` does it and Tuwen too; or `small`, the 256 px that are there
already: faster, and another hash. Processes share the tars; numpy has one thread.
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import resource
import tarfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

_N = np.arange(32)
_DCT = 2 * np.cos(np.pi * _N[:, None] * (2 * _N[None, :] + 1) / 64)


def measured(data: bytes, of: str) -> tuple[str, int, int, int]:
    digest = hashlib.sha256(data).hexdigest()
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    small = picture.resize((256, 256), Image.Resampling.BILINEAR)
    grey = (picture if of == "full" else small).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    low = (_DCT @ np.asarray(grey, np.float64) @ _DCT.T)[:8, :8]
    bits = np.packbits((low > np.median(low)).reshape(-1))
    return digest, int.from_bytes(bits.tobytes(), "big"), picture.width, picture.height


def measure_tar(path: Path, of: str) -> int:
    count = 0
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if member.name.endswith(".jpg"):
                file = tar.extractfile(member)
                assert file is not None
                measured(file.read(), of)
                count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tars", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--hash", choices=("full", "small"), default="full")
    asked = parser.parse_args()
    tars = sorted(asked.tars.glob("*.tar"))
    work = partial(measure_tar, of=asked.hash)
    if asked.processes == 1:
        began, spent = time.perf_counter(), time.process_time()
        count = sum(map(work, tars))
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - spent
    else:
        with multiprocessing.Pool(asked.processes) as pool:
            began = time.perf_counter()
            count = sum(pool.imap_unordered(work, tars))
            seconds = time.perf_counter() - began
            pool.close()
            pool.join()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_seconds = used.ru_utime + used.ru_stime
    print(json.dumps({"count": count, "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)}))


if __name__ == "__main__":
    main()
