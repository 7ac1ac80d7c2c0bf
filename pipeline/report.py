"""`report.html`: one self-contained page that shows a run and what proves it.

    write_report(Path("runs/emoji"))

Reads only what the stages left on disk (manifests, decision table, losses, paintings), so it can be written after
any of them and shows what is there. Galleries are samples in the order of the keys, which are hashes: the same
pictures each time, and as quick for a million pairs as for a thousand.
"""

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from ..manifests.atomic import whole_file
from ..manifests.errors import BadInput
from ..manifests.manifest import FILE_NAME, Manifest, load_manifest
from ..manifests.recipe import Recipe
from .clean_image import decode
from .corpus import ROOTS, read_thumbnails, read_verdicts
from .decide import STAGES
from .loss_curve import loss_curve
from .sources import read_picture

_KEPT_SHOWN = 36
_DROPPED_SHOWN = 9  # of each reason
_TWINS_SHOWN = 18
_PICTURE_PX = 72

REASONS = {
    "missing_picture": "有文无图 · a caption without its picture",
    "empty_file": "空文件 · an empty file",
    "svg": "SVG · not a raster picture",
    "not_a_picture": "不是图片 · not a picture",
    "broken_header": "文件头损坏 · a broken header",
    "broken_pixels": "数据损坏 · broken pixel data",
    "truncated": "文件不完整 · a truncated file",
    "too_many_pixels": "像素过多 · too many pixels",
    "too_small": "太小 · too small",
    "too_long": "太窄长 · too long and narrow",
    "single_colour": "单色 · of a single colour",
    "no_caption": "无描述 · no caption",
    "empty_caption": "描述为空 · an empty caption",
    "caption_too_short": "描述太短 · a caption too short",
    "caption_too_long": "描述太长 · a caption too long",
    "file_name": "只是文件名 · nothing but a file name",
    "too_little_han": "汉字太少 · too little Chinese",
    "caption_seen_too_often": "套话 · boilerplate, seen too often",
    "same_caption": "描述相同 · the same caption",
    "same_bytes": "字节相同 · the same bytes",
    "same_pixels": "像素相同 · the same pixels",
    "near_picture": "近似 · nearly the same picture",
}


def write_report(run: Path, corpus_folder: Path | None = None) -> Path:
    """Into `run`, the folder that holds corpus/ (or `corpus_folder` does), and shards/ and train/ if they are there."""
    corpus = load_manifest(corpus_folder or run / "corpus", "corpus")
    recipe = Recipe.model_validate(corpus.document["lineage"]["recipe"])
    verdicts = read_verdicts(corpus).sort_by("key")
    page = _template().render(
        name=recipe.name,
        totals=corpus.document["totals"],
        funnel=_funnel(corpus),
        sources=corpus.document["licenses"],
        kept=_gallery(corpus, verdicts.filter(verdicts["kept"]), _KEPT_SHOWN),
        dropped=_dropped(corpus, verdicts),
        twins=_twins(corpus, verdicts),
        shards=_shards(run / "shards"),
        training=_training(run / "train"),
        proofs=_proofs(run),
        environment=corpus.document["lineage"]["environment"],
        tool=corpus.document["lineage"]["tool"],
        times=_json(run / "times.json") or [],
    )
    path = run / "report.html"
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(
        "report.html"
    )


def _funnel(corpus: Manifest) -> list[dict[str, Any]]:
    """Of every stage what came out, as a share of all pairs, and what fell by reason."""
    pairs = corpus.document["totals"]["pairs"]
    return [
        {
            **step,
            "share": 100 * step["out"] / pairs,
            "reasons": [(REASONS.get(reason, reason), count) for reason, count in step["dropped"].items()],
        }
        for step in corpus.document["lineage"]["steps"]
        if step["name"] in STAGES
    ]


def _gallery(corpus: Manifest, rows: pa.Table, most: int) -> list[dict[str, Any]]:
    return [{**row, "picture": _picture(corpus, row)} for row in rows.slice(0, most).to_pylist()]


def _dropped(corpus: Manifest, verdicts: pa.Table) -> list[dict[str, Any]]:
    counts = Counter(verdicts.filter(pc.invert(verdicts["kept"]))["reason"].to_pylist())
    return [
        {
            "reason": reason,
            "title": REASONS.get(reason, reason),
            "count": count,
            "examples": _gallery(corpus, verdicts.filter(pc.equal(verdicts["reason"], reason)), _DROPPED_SHOWN),
        }
        for reason, count in counts.most_common()
    ]


def _twins(corpus: Manifest, verdicts: pa.Table) -> list[dict[str, Any]]:
    """Dropped beside kept, the least alike first, so that a person can judge the threshold."""
    twins = verdicts.filter(pc.is_valid(verdicts["keeper"]))
    keepers = verdicts.filter(pc.is_in(verdicts["key"], twins["keeper"].combine_chunks()))
    by_key = {row["key"]: row for row in keepers.to_pylist()}
    pairs = [(row, by_key[row["keeper"]]) for row in twins.to_pylist() if row["keeper"] in by_key]
    if not pairs:  # none, or all of an evaluation set, which the table does not hold
        return []
    left = read_thumbnails(corpus, [row["key"] for row, _ in pairs], 32)
    right = read_thumbnails(corpus, [keeper["key"] for _, keeper in pairs], 32)
    difference = np.abs(left - right).reshape(len(pairs), -1).max(axis=1)
    worst = np.argsort(-difference, kind="stable")[:_TWINS_SHOWN]
    return [
        {
            "dropped": {**pairs[place][0], "picture": _picture(corpus, pairs[place][0])},
            "keeper": {**pairs[place][1], "picture": _picture(corpus, pairs[place][1])},
            "difference": int(difference[place]),
        }
        for place in worst.tolist()
    ]


def _shards(folder: Path) -> dict[str, Any] | None:
    if not (folder / FILE_NAME).is_file():
        return None
    document = load_manifest(folder, "shards").document
    return {
        "totals": document["totals"],
        "splits": document["splits"],
        "leakage": document["leakage"],
        "tokenizer": document["lineage"]["image_tokenizer"],
        "measured": _json(folder / "reconstruction.json"),
        "sheet": _file(folder / "reconstruction.png"),
    }


def _training(folder: Path) -> dict[str, Any] | None:
    if not (folder / FILE_NAME).is_file():
        return None
    losses = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    paintings = _json(folder / "paintings" / "paintings.json") or []
    return {
        "run": _json(folder / "run.json"),
        "last": losses[-1],
        "curve": loss_curve(losses),
        "paintings": [{**each, "picture": _file(folder / "paintings" / each["file"])} for each in paintings],
        "nearest": _json(folder / "nearest.json") or [],
    }


def _proofs(run: Path) -> list[dict[str, Any]]:
    found = []
    for stage in ("corpus", "tokenizer", "shards", "train"):
        if (run / stage / FILE_NAME).is_file():
            document = load_manifest(run / stage).document
            files = [*document.get("shards", []), *document.get("files", [])]
            found.append({
                "stage": stage, "id": document["id"], "seal": document["seal"], "created": document["created"],
                "parents": document["lineage"].get("parents", []), "digest": document.get("totals", {}).get("digest"),
                "files": len(files), "bytes": sum(file["bytes"] for file in files), "listed": files[:12],
            })  # fmt: skip
    return found


def _picture(corpus: Manifest, row: dict[str, Any]) -> str:
    """A small WebP of a pair as a data URI; empty when there is no picture to show."""
    if not row["image_sha256"] or not row["width"]:
        return ""
    root = Path((_json(corpus.folder / ROOTS) or {}).get(row["source"], ""))
    try:
        data = read_picture(root, row["origin"], row["offset"], row["bytes"])
    except (OSError, BadInput):  # the sources may have moved since: the page shows what it can
        return ""
    decoded = decode(data, max_pixels=1 << 40)
    if decoded.picture is None:
        return ""
    decoded.picture.thumbnail((2 * _PICTURE_PX, 2 * _PICTURE_PX), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    decoded.picture.save(buffer, "WEBP", quality=80)
    return _data_uri(buffer.getvalue(), "webp")


def _file(path: Path) -> str:
    return _data_uri(path.read_bytes(), path.suffix[1:]) if path.is_file() else ""


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else None
