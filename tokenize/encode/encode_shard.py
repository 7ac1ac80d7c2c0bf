"""One shard from its rows of the decision table: the function of the stage `tokenize`.

Comes in: a part whose inputs are `rows` (Parquet, see `plan_parts`), `text_model`, and of each array of codes the two
files of its tokenizer: "codes.weights", "codes.config", "codes_NAME.weights", …
Goes out: `PART.tar`, and its entry for the manifest.

Rows are encoded in stretches of a block's samples. A stretch that is done is a file in the part's scratch folder, from
which a killed job goes on. The bytes depend on the rows, the settings and the tokenizers alone.
"""

import functools
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ...manifests.errors import CheckFailed
from ...manifests.shards.block_shard import write_shard
from ...pipeline.executor.part import InputFile, Part
from ..caption_ids import CaptionIds, open_caption_ids
from ..image_codes import ImageCodes
from ..quality import codebook_use
from ..read_image_codes import read_image_codes
from ..shard_header import ShardHeader
from .blocks import Blocks
from .crops_ahead import crops_of
from .encode_rows import EncodePlan, encode_rows
from .encoded_rows import Facts, LostPair, read_facts, save_encoded
from .part_progress import PartProgress
from .quality_gate import QualityGate


class EncodeConfig(TypedDict):
    plan: EncodePlan
    views: int  # crops of a picture
    block_rows: int
    max_fall_db: str  # this and `decoders` change no result
    decoders: int
    device: str
    threads: int
    header: ShardHeader


class ShardSummary(TypedDict):
    entry: dict[str, Any] | None  # JSON of ShardEntry; None: every picture of the part was lost
    lost: list[LostPair]
    pairs: int  # rows that came in
    encoding_ms: int
    elapsed_ms: int


def encode_shard(part: Part[None], config: EncodeConfig, folder: Path) -> ShardSummary:
    """Write the shard. Raises CheckFailed if a tokenizer has changed, or if the quality gate stops the job."""
    torch.set_num_threads(config["threads"])
    rows = pq.read_table(part.input_path("rows"))
    encoders = open_encoders(part, config["device"])
    paths, facts = _encode_stretches(rows, part, encoders, config)
    summary = ShardSummary(
        entry=None,
        lost=[lost for each in facts for lost in each.lost],
        pairs=len(rows),
        encoding_ms=sum(each.encoding_ms for each in facts),
        elapsed_ms=sum(each.elapsed_ms for each in facts),
    )
    if len(summary["lost"]) < len(rows):
        summary["entry"] = _write(folder / f"{part.name}.tar", paths, facts, encoders, config)
    return summary


def _encode_stretches(
    rows: pa.Table, part: Part[None], encoders: dict[str, ImageCodes], config: EncodeConfig
) -> tuple[list[Path], list[Facts]]:
    """The files of all stretches, and what is known of each. Those that an earlier attempt left are not made again."""
    scratch = Path(part.scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    captions = _caption_ids(part.inputs["text_model"])
    progress, gate = PartProgress(scratch), QualityGate(float(config["max_fall_db"]))
    length = max(1, config["block_rows"] // config["views"])
    stretches = {scratch / f"{start:09d}.parquet": rows.slice(start, length) for start in range(0, len(rows), length)}
    known = {path: read_facts(path) for path in stretches}
    todo = [stretches[path] for path, found in known.items() if found is None]
    crops = crops_of(todo, part.roots, config["plan"]["crops"], config["decoders"])
    facts: list[Facts] = []
    for path, stretch in stretches.items():
        found = known[path]
        if found is None:
            encoded = encode_rows(
                stretch, next(crops), encoders, captions, config["plan"], bool(config["decoders"]), progress.say
            )
            save_encoded(path, encoded)
            found = encoded.facts
        facts.append(found)
        progress.end_stretch(len(stretch), found.encoding_ms)
        gate.check(f"{part.name}, {len(stretch)} rows from row {int(path.stem)}", found.quality)
    return list(stretches), facts


def _write(
    path: Path, stretches: list[Path], facts: list[Facts], encoders: dict[str, ImageCodes], config: EncodeConfig
) -> dict[str, Any]:
    """Write the shard and return its entry in the manifest as JSON."""
    header = config["header"]
    identities = {array: encoder.identity for array, encoder in encoders.items()}
    blocks = Blocks(stretches, identities, config["block_rows"])
    entry = write_shard(
        path,
        blocks,
        block_rows=config["block_rows"],
        codebook=identities["codes"].codebook,
        vocab=header["schema"]["text"]["vocab"],
        text_width=header["schema"]["text"].get("width"),
        header=dict(header),
        also={array: identity.codebook for array, identity in identities.items() if array != "codes"},
    )
    document = entry.model_dump()
    document["stats"]["captions_trimmed"] = sum(each.trimmed for each in facts)
    document["quality"] = {
        array: {**_mean_quality(facts, array), **_decimals(codebook_use(counts))}
        for array, counts in blocks.counts.items()
    }
    return document


def _mean_quality(facts: list[Facts], array: str) -> dict[str, str]:
    """The numbers of the gate, as means over the stretches by their number of pictures."""
    measured = [each.quality[array] for each in facts if array in each.quality]
    pictures = sum(int(each["pictures"]) for each in measured)
    if not pictures:
        return {}
    means = {
        name: sum(float(each[name]) * int(each["pictures"]) for each in measured) / pictures
        for name in ("psnr_mean_db", "ssim", "gain_db")
    }
    return {"pictures": str(pictures), **{name: str(round(value, 3)) for name, value in means.items()}}


def _decimals(values: Any) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def open_encoders(part: Part[Any], device: str) -> dict[str, ImageCodes]:
    """The tokenizer of each array, from the part's inputs. Raises CheckFailed if its files have changed."""
    arrays = [name.removesuffix(".weights") for name in part.inputs if name.endswith(".weights")]
    return {array: _image_codes(part.inputs[f"{array}.weights"], part.inputs[f"{array}.config"], device)
            for array in sorted(arrays)}  # fmt: skip


@functools.cache  # by path and hash: a worker lives longer than a command that another tokenizer follows
def _image_codes(weights: InputFile, config: InputFile, device: str) -> ImageCodes:
    image_codes = read_image_codes(Path(weights.path), Path(config.path), device)
    identity = image_codes.identity
    if (identity.sha256, identity.config_sha256) != (weights.sha256, config.sha256):
        raise _changed(weights)
    return image_codes


@functools.cache
def _caption_ids(model: InputFile) -> CaptionIds:
    caption_ids = open_caption_ids(Path(model.path).read_bytes())
    if caption_ids.sha256 != model.sha256:
        raise _changed(model)
    return caption_ids


def _changed(file: InputFile) -> CheckFailed:
    return CheckFailed(f"{file.path}: changed while shards were written", cure="give the command again")
