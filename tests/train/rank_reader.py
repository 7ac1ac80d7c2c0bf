"""One rank as a process of its own: python rank_reader.py SHARDS RANK WORLD_SIZE BATCH STEPS LOG

Writes one line a step, flushed, with a hash of the batch and the state of the stream; continues where the log ends.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

from tuwen.manifests.manifest import load_manifest
from tuwen.train.reading.read_plan import ReadPlan
from tuwen.train.reading.stream import open_stream


def main(folder: str, rank: int, world_size: int, batch: int, steps: int, log: Path) -> None:
    lines = log.read_text().splitlines() if log.exists() else []
    kept = [json.loads(line) for line in lines if line.endswith("}}")]  # the last may have been cut by the kill
    stream = open_stream(
        load_manifest(folder), ReadPlan(seed=3, batch=batch, rank=rank, world_size=world_size, threads=1)
    )
    if kept:
        stream.resume(kept[-1]["state"])
    log.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    with log.open("a") as file, stream:
        for _ in range(len(kept), steps):
            read = hashlib.sha256(stream.next()[0].tobytes()).hexdigest()
            file.write(json.dumps({"read": read, "state": stream.state()}) + "\n")
            file.flush()
            time.sleep(0.001)


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:6]), Path(sys.argv[6]))  # type: ignore[call-arg]
