"""A small corpus of planted files and captions, judged: what the tests of duplicates build again and again."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tuwen.manifests.manifest import Manifest
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe

from ...conftest import write_recipe
from ...stages import build_corpus

Rows = dict[str, dict[str, Any]]


def plant(folder: Path, files: dict[str, bytes], captions: list[tuple[str, str]]) -> None:
    """Pictures and one captions.jsonl of (file, caption) lines, in `folder`."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    lines = [json.dumps({"file": name, "caption": caption}) for name, caption in captions]
    (folder / "captions.jsonl").write_text("\n".join(lines))


def build(folder: Path, **sections: str) -> Manifest:
    """The corpus of what was planted in `folder/pictures`; given again with other sections it is decided again."""
    return build_corpus(load_recipe(str(write_recipe(folder, **sections))), folder / "corpus")


def rows_of(corpus: Manifest) -> Rows:
    """Its verdicts by `file`, or by `file#caption` where a picture has several."""
    rows = read_verdicts(corpus).to_pylist()
    several = Counter(row["origin"] for row in rows)
    return {row["origin"] if several[row["origin"]] == 1 else f"{row['origin']}#{row['caption']}": row for row in rows}


def corpus_of(folder: Path, files: dict[str, bytes], captions: list[tuple[str, str]], **sections: str) -> Rows:
    plant(folder / "pictures", files, captions)
    return rows_of(build(folder, **sections))
