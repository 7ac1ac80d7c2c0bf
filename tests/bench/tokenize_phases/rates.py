"""Pictures a second of the whole job beside what it cannot be faster than, and beside other people's scripts.

Where others share the machine, seconds say little; CPU seconds of the same work hardly change. Both are shown, and
both shares of the bare work.
"""

import json
import sys
from pathlib import Path

from corpus_phases.contest import Contender, Row, contest

from .photographs import write_photographs
from .random_vq import write_vq16

HERE = Path(__file__).parent
PEERS_PY = HERE.parent / "tokenize_peers"
ENCODER_AIM, DECODING_AIM = 0.95, 0.90
BATCH = 8  # of VQ-16 and CogView's; as fast as 16 on a CPU, and a short job is less long
FEW, MORE = BATCH, 3 * BATCH  # pictures of a job for each CPU, and those that the longer of two jobs has beyond them
PHOTOGRAPHS = {"few": 256, "many": 1280}  # where decoding takes the time

_OURS = (
    "sha256 of the bytes, decoding with checks, crop, resize, encoder, caption ids, quality gate, shards with boxes, "
    "hashes and manifest; a picture more, so without what a job costs once"
)


def encoder(folder: Path, rounds: int, side: int) -> str:
    """Where the encoder takes the time: LlamaGen's VQ-16."""
    model = write_vq16(folder / "vq-16")
    asked = {"kind": "diffusers", "path": str(model), "size": side, "batch": BATCH}
    size = ["--size", str(side)]
    bare = [HERE / "bare.py", "encoder", model, "--pictures", str(MORE), "--batch", str(BATCH), *size]
    contenders = []
    for cpus in (1, 2):
        count, processes = str(MORE * cpus), ["--processes", str(cpus)]
        many = write_photographs(folder / f"photographs-{(FEW + MORE) * cpus}", (FEW + MORE) * cpus)
        script = ["--model", str(model), "--pictures", count, *size, *processes]
        contenders += [
            _python("bare encoder", cpus, [*bare, *processes],
                    "diffusers' VQModel on tensors in memory, batches of 8, a thread a process"),
            _job(folder, asked, FEW * cpus, (FEW + MORE) * cpus, cpus),
            _python("in LlamaGen's manner", cpus,
                    [PEERS_PY / "llamagen_like.py", many / "files", folder / "out-llamagen", *script],
                    "batch 1, a loader with workers, two .npy a picture; a thread a CPU"),
            _python("webdataset script", cpus,
                    [PEERS_PY / "webdataset_script.py", many / "tars", folder / "out-webdataset", *script],
                    "tars, loader, batches of 8, tars of codes and captions; a thread a CPU"),
        ]  # fmt: skip
    return _said(contest("encoder", contenders, rounds, folder), "bare encoder", ENCODER_AIM)


def decoding(folder: Path, rounds: int) -> str:
    """Where decoding takes the time: compact-64 on photographs of 1,000 px."""
    few, many = (write_photographs(folder / f"photographs-{count}", count) for count in PHOTOGRAPHS.values())
    contenders = []
    for cpus in (1, 2):
        processes = ["--processes", str(cpus)]
        contenders += [
            _python("bare decode and crop", cpus, [HERE / "bare.py", "decoding", many / "tars", *processes],
                    "Pillow to RGB, centre square, bicubic to 64 px; no encoder, nothing written"),
            _python("decode, crop, encode", cpus, [HERE / "bare.py", "coding", many / "tars", *processes],
                    "the same, and compact-64 in batches of 64; nothing written"),
            _job(folder, {"tokenizer": "compact-64"}, int(few.name.split("-")[1]), int(many.name.split("-")[1]), cpus),
            _python("webdataset script", cpus,
                    [PEERS_PY / "webdataset_script.py", many / "tars", folder / "out-webdataset-64", *processes],
                    "tars, loader, compact-64 in batches of 64, tars of codes and captions"),
        ]  # fmt: skip
    return _said(contest("decoding", contenders, rounds, folder), "bare decode and crop", DECODING_AIM)


def cogdata(folder: Path, rounds: int, peers: Path) -> str:
    """CogView's VQ-VAE at 256 px beside cogdata."""
    python, model = str(peers / "bin" / "python"), folder / "cogview.pt"
    script = str(PEERS_PY / "run_cogdata.py")
    contenders = []
    for cpus in (1, 2):
        many = write_photographs(folder / f"photographs-{(FEW + MORE) * cpus}", (FEW + MORE) * cpus)
        run = [python, script, "run", str(many), str(folder / "out-cogdata"), "--model", str(model)]
        asked = {"kind": "cogview", "path": str(model), "size": 256, "batch": BATCH}
        contenders += [
            Contender("cogdata 0.0.7", cpus, [*run, "--processes", str(cpus)],
                      "its own task, data set and saver, on CPUs; batches of 16; no manifest, no check"),
            _job(folder, asked, FEW * cpus, (FEW + MORE) * cpus, cpus),
        ]  # fmt: skip
    return _said(contest("cogdata", contenders, rounds, folder), "cogdata 0.0.7", None)


def _python(name: str, cpus: int, command: list[str | Path], work: str) -> Contender:
    return Contender(name, cpus, [sys.executable, *map(str, command)], work)


def _job(folder: Path, image: dict[str, object], few: int, many: int, cpus: int) -> Contender:
    """A shard a worker, so that none waits for another. Random weights give the quality gate nothing to judge."""
    gate = {"rows": 16 if "tokenizer" in image else 0}
    recipe = json.dumps({"image": image, "block_rows": many // cpus, "shard_blocks": 1, "quality": gate})
    sources = [write_photographs(folder / f"photographs-{count}", count) for count in (few, many)]
    command = [HERE / "job.py", *sources, folder / "out-tuwen", "--recipe", recipe, "--workers", str(cpus)]
    return _python("tuwen tokenize", cpus, command, _OURS)


def _said(rows: list[Row], bare: str, aim: float | None) -> str:
    lines = [
        f"| contender | CPUs | pictures/s | rounds | of {bare} | CPU ms a picture | of {bare}, by CPU | bytes a sample "
        "| peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    verdicts = []
    for row in rows:
        limit = next(each for each in rows if each["name"] == bare and each["cpus"] == row["cpus"])
        share, by_cpu = row["rate"] / limit["rate"], limit["cpu_ms"] / row["cpu_ms"]
        size = f"{row['bytes_each']:,.0f}" if "bytes_each" in row else "–"
        lines.append(
            f"| {row['name']} | {row['cpus']} | {row['rate']:,.2f} | {row['slowest']:,.2f} to {row['fastest']:,.2f} "
            f"| {100 * share:.0f}% | {row['cpu_ms']:,.1f} | {100 * by_cpu:.0f}% | {size} | {row['peak_mb']:,.0f} |"
        )
        if row["name"] == "tuwen tokenize" and aim:
            verdict = "reached" if share >= aim else "reached by CPU alone" if by_cpu >= aim else "MISSED"
            verdicts.append(
                f"{row['cpus']} CPUs: {100 * share:.0f}% of {bare}, {100 * by_cpu:.0f}% by CPU seconds "
                f"(aim {100 * aim:.0f}%: {verdict}); {row['fixed_seconds']:.1f} s a job besides."
            )
    loads = [row["load_before"] for row in rows]
    works = {row["name"]: row["work"] for row in rows}
    explained = [f"* **{name}**: {work}" for name, work in works.items()]
    return "\n".join(
        [*verdicts, "", *lines, "", *explained, "", f"Load before each run: {min(loads):.1f} to {max(loads):.1f}."]
    )
