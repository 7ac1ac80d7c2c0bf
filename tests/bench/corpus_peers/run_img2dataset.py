"""img2dataset as its own command, into WebDataset tars; prints one JSON line. Everything is fetched anew.

    python run_img2dataset.py LIST.parquet OUT --processes 2 --threads 32 --decode

Without `--decode` the bytes stay as they came (`disable_all_reencoding`); with it they are decoded, cropped to 256 px
and encoded again. `seconds` run from the first shard's beginning to the last one's end, as its own statistics say.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

PICTURES_A_TAR = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--decode", action="store_true")
    asked = parser.parse_args()
    shutil.rmtree(asked.out, ignore_errors=True)
    settings = {
        "url_list": asked.list, "output_folder": asked.out, "input_format": "parquet", "output_format": "webdataset",
        "url_col": "url", "caption_col": "caption", "processes_count": asked.processes, "thread_count": asked.threads,
        "number_sample_per_shard": PICTURES_A_TAR, "compute_hash": "sha256", "extract_exif": False,
        **({"resize_mode": "center_crop", "image_size": 256} if asked.decode
           else {"resize_mode": "no", "disable_all_reencoding": True}),
    }  # fmt: skip
    program = str(Path(sys.executable).with_name("img2dataset"))
    command = [program, *(f"--{key}={value}" for key, value in settings.items())]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=sys.stderr)
    whole = time.perf_counter() - began
    shards = [json.loads(path.read_bytes()) for path in sorted(asked.out.glob("*_stats.json"))]
    seconds = max(shard["end_time"] for shard in shards) - min(shard["start_time"] for shard in shards)
    count = sum(shard["successes"] for shard in shards)
    print(json.dumps({"count": count, "seconds": round(seconds, 3), "start_seconds": round(whole - seconds, 3)}))


if __name__ == "__main__":
    main()
