"""One reader fuzzed by atheris, in a process of its own: `fuzz_readers.py` starts it.

python fuzz_by_coverage.py TARGET FOLDER SECONDS
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tuwen"]):
    from fuzz_readers import TARGETS, keep_crash, trial


def main() -> None:
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    seeds = folder.parent / "seeds"
    seeds.mkdir()
    for number, sample in enumerate(TARGETS[name].samples):
        (seeds / str(number)).write_bytes(sample)

    def one_input(data: bytes) -> None:
        try:
            trial(TARGETS[name], folder, data)
        except Exception:
            keep_crash(name, data)

    options = [
        f"-max_total_time={seconds}",
        "-max_len=20000",
        "-print_final_stats=1",
        "-rss_limit_mb=8000",
        "-timeout=60",
    ]
    atheris.Setup(["fuzz", str(seeds), *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
