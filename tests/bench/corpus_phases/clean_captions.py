"""Captions through Tuwen's rules in one process, under the preset wukong; prints one JSON line.

python clean_captions.py LINES.jsonl
"""

import argparse
import json
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lines", type=Path)
    asked = parser.parse_args()
    began = time.perf_counter()
    from tuwen.manifests.recipe.rules import Captions
    from tuwen.pipeline.captions.clean_caption import CaptionCleaner

    captions = [json.loads(line)["text"] for line in asked.lines.read_text(encoding="utf-8").splitlines()]
    cleaner = CaptionCleaner(Captions(preset="wukong").resolved())
    cleaner(captions[0])
    started, cpu_started = time.perf_counter(), time.process_time()
    kept = sum(not cleaner(caption).reason for caption in captions)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    print(
        json.dumps(
            {
                "count": len(captions),
                "kept": kept,
                "seconds": round(ended - started, 3),
                "cpu_seconds": round(cpu_ended - cpu_started, 3),
                "start_seconds": round(started - began, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
