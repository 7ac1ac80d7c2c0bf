"""The report's section on codes: what each tokenizer keeps of the pictures, as a sheet, and shard by shard.

section = shards_section(run.shards)
section.codes[0].grid, section.codes[0].worst      # "8×8", [ShardQuality(name="train-00003.tar", psnr_db=24.8, …), …]
"""

import json
from dataclasses import dataclass
from math import prod
from typing import Any, NotRequired, TypedDict

from ...manifests.documents import ImageTokenizer, Leakage, ShardEntry, Split
from ...manifests.manifest import load_manifest
from ...manifests.run_folders import ImageTokenizerFolder, ShardsFolder
from .thumbnails import file_uri

_SHARDS_SHOWN = 6


class Reconstruction(TypedDict):
    """reconstruction.json; numbers with a fraction are decimal strings."""

    split: str
    pictures: int
    psnr_mean_db: str
    psnr_of_mean_db: str
    ssim: NotRequired[str]  # not before version 0.7
    codebook_used: str  # share of the codes, 0 … 1
    perplexity: str


class OtherHand(TypedDict):
    """An entry of by-other-hands.json: pictures of a hand that no training saw. Numbers are decimal strings."""

    name: str
    pictures: int
    psnr_mean_db: str
    ssim: str


@dataclass(frozen=True)
class ShardQuality:
    """What a sample of a shard's pictures keeps."""

    name: str
    pictures: int  # of the sample
    psnr_db: float
    ssim: float
    codebook_used: float
    perplexity: float


@dataclass(frozen=True)
class CodesOfTokenizer:
    array: str  # in the shards: "codes", "codes_NAME"
    tokenizer: ImageTokenizer
    grid: str  # "8×8"
    num_codes: int  # of a picture
    measured: Reconstruction | None
    sheet: str  # data URI
    other_hands: list[OtherHand]
    other_hands_sheet: str  # data URI
    worst: list[ShardQuality]  # by PSNR
    num_measured: int  # shards


@dataclass(frozen=True)
class ShardsSection:
    totals: dict[str, int]
    splits: dict[str, Split]
    leakage: Leakage | None
    codes: list[CodesOfTokenizer]
    lost: dict[str, int]  # reason → pairs whose pictures could not be read again


def shards_section(folder: ShardsFolder) -> ShardsSection | None:
    """None where there are no shards, or where none of them names its tokenizer."""
    if not folder.manifest.is_file():
        return None
    shards = load_manifest(folder.path, "shards")
    tokenizers = {"codes": shards.lineage.image_tokenizer, **(shards.lineage.also or {})}
    last = shards.lineage.steps[-1] if shards.lineage.steps else None
    return ShardsSection(
        totals=shards.totals,
        splits=shards.splits,
        leakage=shards.leakage,
        codes=[_codes(folder, array, each, shards.shards) for array, each in tokenizers.items() if each],
        lost=last.dropped if last and last.name == "tokenize" else {},
    )


def _codes(folder: ShardsFolder, array: str, tokenizer: ImageTokenizer, shards: list[ShardEntry]) -> CodesOfTokenizer:
    measured = [_quality(shard.name, shard.quality[array]) for shard in shards if shard.quality.get(array)]
    files = ImageTokenizerFolder(folder.image_tokenizer_of(array))
    return CodesOfTokenizer(
        array=array,
        tokenizer=tokenizer,
        grid="×".join(map(str, [*tokenizer.grid, *[tokenizer.codebooks] * (tokenizer.codebooks > 1)])),
        num_codes=prod(tokenizer.grid) * tokenizer.codebooks,
        measured=_reconstruction(folder, array),
        sheet=file_uri(folder.reconstruction_sheet_of(array)),
        other_hands=json.loads(files.by_other_hands.read_bytes()) if files.by_other_hands.is_file() else [],
        other_hands_sheet=file_uri(files.by_other_hands_sheet),
        worst=sorted(measured, key=lambda quality: quality.psnr_db)[:_SHARDS_SHOWN],
        num_measured=len(measured),
    )


def _quality(shard: str, quality: dict[str, Any]) -> ShardQuality:
    return ShardQuality(
        name=shard,
        pictures=int(quality.get("pictures", 0)),
        psnr_db=float(quality.get("psnr_mean_db", 0)),
        ssim=float(quality.get("ssim", 0)),
        codebook_used=float(quality["codebook_used"]),
        perplexity=float(quality["perplexity"]),
    )


def _reconstruction(folder: ShardsFolder, array: str) -> Reconstruction | None:
    path = folder.reconstruction_of(array)
    if not path.is_file():
        return None
    measured: Reconstruction = json.loads(path.read_bytes())
    return measured
