"""`make fuzz`: every reader of a source is given files that are broken in any way; only BadInput may come out.

    python tests/bench/fuzz_readers.py --seconds 600 csv jsonl        # these readers, ten minutes each
    python tests/bench/fuzz_readers.py --seconds 60                   # all

With atheris the bytes are chosen by the code that they reach; without it whole samples are cut, joined and flipped at
random. A crash is kept as a file in runs/fuzz/, with the traceback beside it. Prints the inputs tried and the crashes.
"""

import argparse
import base64
import io
import json
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import draw, encoded
from tests.pipeline.sources.reading import Reading
from tuwen.manifests.errors import BadInput
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.tables.table_rows import column_names, table_rows

JPEG = encoded(draw("红", "圆", 16), "JPEG")
CRASHES = Path("runs/fuzz")


@dataclass(frozen=True)
class Target:
    """A reader, the name of the file that is fuzzed, and samples from which the fuzzer starts."""

    read: Callable[[Path], object]  # is given the folder
    file: str
    samples: list[bytes]
    beside: dict[str, bytes] = field(default_factory=dict)  # files that stay as they are
    mended: Callable[[bytes], bytes] = lambda data: data  # checksums put right, behind which nothing would be reached


def source(kind: str, **keys: Any) -> Callable[[Path], object]:
    return lambda folder: Reading(kind, folder, **keys)


def rows(folder: Path) -> None:
    (path,) = folder.iterdir()
    column_names(path)
    for _ in table_rows(path):
        pass


def recipe(folder: Path) -> None:
    load_recipe(str(folder / "recipe.yaml"))


def annotated(name: str, *samples: Any) -> Target:
    data = [sample if isinstance(sample, bytes) else json.dumps(sample).encode() for sample in samples]
    return Target(source("folder", captions=name), name, data, {"a.jpg": JPEG, "b.jpg": JPEG})


def tar_bytes(mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:  # type: ignore[call-overload]
        members = {"a.jpg": JPEG, "a.txt": "猫".encode(), "b.json": b'{"caption": "x"}', "b.png": JPEG}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def zip_bytes() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", JPEG)
        archive.writestr("a.txt", "一只猫")
    return data.getvalue()


def nested_tars() -> list[bytes]:
    """Tars of each format with long names, tars behind one another, and archives of all kinds inside of a tar."""
    long = {"目录/" * 40 + "a.jpg": JPEG, "b": JPEG, "c.jpg!large": JPEG, "a.jpg#2": b"", "__x__": b"x"}
    inside = {"i.tar": tar_of(long), "i.zip": zip_bytes(), "i.tgz": tar_bytes("w:gz")}
    formats = [tar_of(long, tarfile.PAX_FORMAT), tar_of(long, tarfile.GNU_FORMAT)]
    return [*formats, tar_of(inside), tar_of(long) + tar_bytes()]


def tar_of(members: dict[str, bytes], format_: int = tarfile.GNU_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=format_) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1.5 if format_ == tarfile.PAX_FORMAT else 1  # type: ignore[assignment]
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def with_checksums(tar: bytes) -> bytes:
    """Every block that looks like a header, with the checksum of what it holds now."""
    data = bytearray(tar)
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


def table() -> pa.Table:
    pictures = [{"bytes": JPEG, "path": "a.jpg"}, {"bytes": None, "path": None}]
    return pa.table({"image": pictures, "caption": ["一只猫", None], "n": [1.5, float("nan")]})


def parquet_bytes() -> bytes:
    data = io.BytesIO()
    pq.write_table(table(), data)
    return data.getvalue()


def arrow_bytes(table: pa.Table, is_file: bool = False) -> bytes:
    data = io.BytesIO()
    with (pa.ipc.new_file if is_file else pa.ipc.new_stream)(data, table.schema) as writer:
        writer.write_table(table)
    return data.getvalue()


def nested() -> pa.Table:
    """Every layout that has offsets, which Arrow believes: lists, views, dictionaries, structs of them."""
    image = base64.b64encode(JPEG).decode()
    return pa.table({
        "image": pa.array([[image, "a.jpg"], None]), "caption": pa.array([[["一", "二"]], []]),
        "recaption": pa.array(["三", "四"]).dictionary_encode(), "url": pa.array(["五", None], pa.string_view()),
        "text": pa.array([[{"a": ["x"], "b": b"y"}], None]), "view": pa.array([["x"], []], pa.list_view(pa.string())),
        "map": pa.array([[("a", "b")], []], pa.map_(pa.string(), pa.string())),
        "two": pa.array([["a", "b"], ["c", "d"]], pa.list_(pa.large_string(), 2)),
    })  # fmt: skip


_COCO = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "猫"}]}
_TURNS = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "猫"}]
TARGETS = {
    "csv": Target(rows, "x.csv", ['url,caption\nhttp://a,"猫\n咪"\nb,"c'.encode(), "a,b\n1,二".encode("gbk")]),
    "tsv": Target(rows, "x.tsv", ["url\tcaption\nhttp://a\t猫\n".encode(), "a\tb\n一\t二\n".encode("utf-16")]),
    "jsonl": Target(rows, "x.jsonl", [b'{"url": "a", "caption": ["\\ud83d", 1, null, NaN]}\n{"url"']),
    "json": Target(rows, "x.json", [b'[{"a": 1}, {"a": [1, {}]}]', b'{"a":\n {"b": "c"}}']),
    "annotations.json": annotated("x.json", _COCO, [{"image": "a.jpg", "conversations": _TURNS}], {"a": "猫"}),
    "annotations.tsv": annotated("x.tsv", "a.jpg\t猫\nb\t狗\n".encode(), b"file_name\ttext\na.jpg\tx\n"),
    "annotations.txt": annotated("x.txt", "a#zhm#0\t猫\nb.jpg#zhb#1 狗\n".encode()),
    "sidecar.json": Target(source("folder"), "a.json", [b'{"caption": "x", "url": 1}'], {"a.jpg": JPEG}),
    "sidecar.txt": Target(source("folder"), "a.txt", ["猫\n狗".encode(), "一只猫".encode("gbk")], {"a.jpg": JPEG}),
    "tar": Target(source("webdataset"), "x.tar", [tar_bytes()]),
    "tars": Target(source("webdataset"), "x.tar", nested_tars(), mended=with_checksums),
    "tgz": Target(source("webdataset"), "x.tgz", [tar_bytes("w:gz")]),
    "zip": Target(source("webdataset"), "x.zip", [zip_bytes()]),
    "parquet": Target(source("parquet"), "x.parquet", [parquet_bytes()]),
    "arrow": Target(source("parquet"), "x.arrow", [arrow_bytes(table()), arrow_bytes(table(), is_file=True)]),
    "nested.arrow": Target(
        source("parquet", captions=[name for name in nested().column_names if name not in ("image", "url")]),
        "x.arrow",
        [arrow_bytes(nested()), arrow_bytes(nested(), is_file=True)],
        {"a.jpg": JPEG},
    ),
    "list.arrow": Target(rows, "x.arrow", [arrow_bytes(nested()), arrow_bytes(nested(), is_file=True)]),
    "list.parquet": Target(rows, "x.parquet", [parquet_bytes()]),
    "chinese-clip": Target(
        source("chinese-clip"),
        "train_imgs.tsv",
        [b"1\t" + base64.b64encode(JPEG) + b"\n2\t" + base64.urlsafe_b64encode(JPEG)],
        {"train_texts.jsonl": '{"text_id": 1, "text": "猫", "image_ids": [1, 2]}'.encode()},
    ),
    "chinese-clip.jsonl": Target(
        source("chinese-clip"),
        "train_texts.jsonl",
        ['{"text_id": 1, "text": "猫", "image_ids": [1, 2]}\n{"query_text": ["一"], "item_ids": 1e9}'.encode()],
        {"train_imgs.tsv": b"1\t" + base64.b64encode(JPEG)},
    ),
    "recipe": Target(recipe, "recipe.yaml", [b"name: x\nsources: [{name: a, kind: folder, path: p}]\n"]),
}


def trial(target: Target, folder: Path, data: bytes) -> None:
    """Raises what is no BadInput."""
    (folder / target.file).write_bytes(target.mended(data))
    try:
        target.read(folder)
    except BadInput as error:
        assert "\n" not in str(error), "more than one line"
        assert error.cure, "no cure"


_SPECIAL = [b'"', b"\0", b"\r", b"\n", b"\t", b"{", b"[", b"\\ud800", b"1e999", b"\xff"]


def mutated(samples: list[bytes], generator: random.Random) -> bytes:
    """Half of the samples keep their length: where offsets point elsewhere nothing but the container is tried."""
    data = bytearray(generator.choice(samples))
    moves = (2, 5) if generator.random() < 0.5 else range(6)
    for _ in range(generator.randint(1, 8)):
        at = generator.randrange(len(data) + 1)
        move = generator.choice(moves)
        if move == 0:
            del data[at : at + generator.randint(1, 40)]
        elif move == 1:
            data[at:at] = generator.randbytes(generator.randint(1, 6))
        elif move == 2 and data:
            data[at % len(data)] ^= 1 << generator.randrange(8)
        elif move == 3:
            data[at:at] = generator.choice(samples)[: generator.randint(1, 600)]
        elif move == 5:
            number = generator.choice([0, 1, 255, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]).to_bytes(4, "little")
            data[at : at + 4] = number[: len(data) - at]
        else:
            data[at:at] = generator.choice(_SPECIAL)
    return bytes(data)


def fuzz_at_random(name: str, seconds: float, folder: Path) -> int:
    """The number of inputs that were tried; each crash is kept."""
    target, generator, tried = TARGETS[name], random.Random(0), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(target.samples, generator)
        tried += 1
        try:
            trial(target, folder, data)
        except Exception:
            keep_crash(name, data)
    return tried


def keep_crash(name: str, data: bytes) -> None:
    """One file for each place in the code: the last line of the traceback names it."""
    text = traceback.format_exc()
    place = "".join(c if c.isalnum() else "-" for c in text.strip().splitlines()[-1])[:60]
    path = CRASHES / f"{name}-{place}"
    if not path.exists():
        CRASHES.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=600, help="of each target")
    asked = parser.parse_args()
    names = asked.targets or list(TARGETS)
    has_atheris = find_spec("atheris") is not None
    print(f"{'coverage-guided' if has_atheris else 'at random'}, {asked.seconds:g} s each")
    before = set(CRASHES.glob("*.txt"))
    for name in names:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
            folder = Path(scratch) / "source"
            folder.mkdir()
            for beside, data in TARGETS[name].beside.items():
                (folder / beside).write_bytes(data)
            if has_atheris:
                child = Path(__file__).with_name("fuzz_by_coverage.py")
                command = [sys.executable, str(child), name, str(folder), str(int(asked.seconds))]
                output = subprocess.run(command, check=False, capture_output=True, text=True).stderr
                counts = [line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line]
                tried = counts[0] if counts else f"stopped: {output[-300:]}"
            else:
                tried = f"{fuzz_at_random(name, asked.seconds, folder):,}"
        crashes = sorted(set(CRASHES.glob(f"{name}-*.txt")) - before)
        print(f"{name}: {tried} inputs, {len(crashes)} crashes {[path.name for path in crashes]}", flush=True)
    if set(CRASHES.glob("*.txt")) - before:
        sys.exit(1)
    shutil.rmtree(CRASHES, ignore_errors=True)


if __name__ == "__main__":
    main()
