"""Captions a second on one core: Tuwen's rules beside Data-Juicer's operators for the same steps."""

import json
import subprocess
import sys
from pathlib import Path

from .contest import Contender, contest, table

HERE = Path(__file__).parent
PEERS_PY = HERE.parent / "corpus_peers"
SAID = HERE.parents[1] / "pipeline" / "captions"

OURS = (
    "wrong decoding mended, HTML, emoji, invisible signs, NFKC, spaces, traditional → simplified, all repeated until "
    "nothing changes; 11 kinds of personal data masked; file names, language, Han, boilerplate, repetition, length"
)
THEIRS = (
    "fix_unicode (ftfy, NFKC), clean_html, whitespace_normalization, chinese_convert, clean_links, clean_email, "
    "clean_ip, text_length, character_repetition, special_characters, language_id_score; no other personal data, no "
    "boilerplate, no file names; a filter that drops spares those behind it the work"
)


def captions(folder: Path, count: int, rounds: int, peers: Path) -> str:
    python = str(peers / "data-juicer" / "bin" / "python")
    reviews, said = folder / "captions" / "reviews.jsonl", folder / "captions" / "said.jsonl"
    subprocess.run([python, str(PEERS_PY / "chinese_lines.py"), str(reviews), "--count", str(count)], check=True)
    _write_said(said, count)
    tables = []
    for lines in (reviews, said):
        theirs = [
            python,
            str(PEERS_PY / "run_data_juicer.py"),
            "captions",
            str(lines),
            str(folder / "captions" / "out"),
        ]
        contenders = [
            Contender("tuwen", 1, [sys.executable, str(HERE / "clean_captions.py"), str(lines)], OURS),
            Contender("data-juicer", 1, theirs, THEIRS),
        ]
        rows = contest(f"captions-{lines.stem}", contenders, rounds, folder)
        ahead = rows[0]["rate"] / rows[1]["rate"]
        tables.append(f"{lines.stem}: tuwen is {ahead:.1f} × data-juicer\n\n{table(rows, 'captions', 'data-juicer')}")
    return "\n\n".join(tables)


def _write_said(path: Path, count: int) -> None:
    """What is said of pictures: the Chinese names of the emoji, and the captions that tests/captions collects."""
    from tuwen.pipeline.sources.emoji import chinese_names

    said = sorted(set(chinese_names().values()))
    for file in sorted(SAID.glob("*.txt")):
        lines = file.read_text(encoding="utf-8").splitlines()
        said += [line for line in lines if line and not line.startswith(("[", "#"))]
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            out.write(json.dumps({"text": said[number % len(said)]}, ensure_ascii=False) + "\n")
