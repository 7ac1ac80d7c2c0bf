"""`tuwen import`: codes that others tokenized → shards and their manifest.

    manifest = import_codes(Asked(path=Path("merge.bin"), name="cogdata", text_model=…), ShardsFolder(Path("shards")))

One process reads the files once, in a fixed order: the same files and options give the same bytes. A row that cannot be
used is named in `refused.parquet`, and counted. A pair's split is a hash of its key, unless the files state it.
"""

import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ...manifests.atomic import sole_writer, whole_file
from ...manifests.canonical import sha256_of_file
from ...manifests.documents import FileEntry, Json, License, Split, Step
from ...manifests.errors import BadInput
from ...manifests.license_counts import counted_licenses
from ...manifests.manifest import Manifest, drop_manifest, file_entry, new_manifest, save_manifest
from ...manifests.run_folders import IMAGE_TOKENIZER, TEXT_MODEL, TOKENIZER_FILES, ImageTokenizerFolder, ShardsFolder
from ...pipeline.corpus_files.split import SPLITS
from ...pipeline.executor.progress import progress
from ..caption_ids import CaptionIds, open_caption_ids
from ..image_codes import ImageTokenizerIdentity
from ..shard_header import SampleSchema, sample_schema, shard_header
from .asked import Asked
from .code_rows import BrokenRow, CodeFiles
from .find_format import open_code_files
from .given_tokenizer import put_tokenizer
from .growing_table import growing_table
from .paired_row import RowPairing
from .split_shards import SplitShards

IMPORTED, REFUSED = "imported.parquet", "refused.parquet"
_SHOWN = 5  # refused rows that are printed

_FILES = pa.schema([("name", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string())])
_ROWS = pa.schema([("place", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True)
class _Tokenizers:
    image: ImageTokenizerIdentity
    text: CaptionIds

    @property
    def schema(self) -> SampleSchema:
        return sample_schema(self.image, self.text.vocab, None)

    @property
    def lineage(self) -> Json:
        text = {"name": self.text.kind, "sha256": self.text.sha256, "vocab": self.text.vocab}
        return {"image_tokenizer": self.image.document(), "text_tokenizer": text}


def import_codes(asked: Asked, folder: ShardsFolder) -> Manifest:
    """Return the manifest of the shards.

    Raises BadInput when a fact is missing that no file states, or when no row can be used.
    """
    files = open_code_files(asked)
    if folder.path.resolve() == files.folder.resolve():
        raise BadInput(f"{folder.path}: holds what is imported", cure="give another --out")
    with sole_writer(folder.path):
        drop_manifest(folder.path)
        tokenizers = _put_tokenizers(files.asked, folder)
        pairing = RowPairing(files.asked.with_tokenizer(tokenizers.image), files.text_sha256, tokenizers.text)
        header = shard_header(tokenizers.schema, tokenizers.image.document(), tokenizers.text.sha256)
        shards = SplitShards(folder.path, header, SPLITS)
        refused = _read(files, pairing, shards, folder.path)
        _check_something_is_left(pairing, refused)
        return _save(files, pairing, shards, tokenizers, refused, folder)


def _put_tokenizers(asked: Asked, folder: ShardsFolder) -> _Tokenizers:
    text = _put_text_model(asked, folder)
    shutil.rmtree(folder.image_tokenizer, ignore_errors=True)  # of an import before this one
    return _Tokenizers(put_tokenizer(asked, ImageTokenizerFolder(folder.image_tokenizer)), text)


def _put_text_model(asked: Asked, folder: ShardsFolder) -> CaptionIds:
    if asked.text_model is None:
        raise BadInput(
            f"{asked.path}: holds no text tokenizer",
            cure="say --text-model FILE: CogView's cog-pretrain.model, a tokenizer.json, or text.model of a run",
        )
    if not asked.text_model.is_file():
        raise BadInput(f"{asked.text_model}: no such file", cure="correct --text-model")
    try:
        text = open_caption_ids(asked.text_model.read_bytes())
    except BadInput as error:
        raise BadInput(f"{asked.text_model}: {error.problem}", error.cure) from None
    with whole_file(folder.text_model) as temporary:
        shutil.copyfile(asked.text_model, temporary)
    return text


def _read(files: CodeFiles, pairing: RowPairing, shards: SplitShards, out: Path) -> Counter[str]:
    """Put every row into a shard or among the refused, and return how many were refused for which reason."""
    refused: Counter[str] = Counter()
    with growing_table(out / REFUSED, _ROWS) as refuse, progress("import", files.num_rows or 0, "row") as advance:
        for row in files.rows(pairing.asked):
            paired = pairing.paired(row)
            if isinstance(paired, BrokenRow):
                refused[paired.reason] += 1
                refuse({"place": paired.place, "reason": paired.reason})
                if refused.total() <= _SHOWN:
                    print(f"{paired.place}: {paired.reason}", file=sys.stderr)
            else:
                shards.add(*paired)
            advance(1)
    with growing_table(out / IMPORTED, _FILES) as add:
        for name in files.names:
            path = files.folder / name
            add({"name": name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)})
    return refused


def _check_something_is_left(pairing: RowPairing, refused: Counter[str]) -> None:
    path, samples = pairing.asked.path, pairing.samples
    if not samples.total():
        told = ", ".join(f"{count:,} {reason}" for reason, count in refused.most_common())
        raise BadInput(f"{path}: no row can be used ({told or 'there is none'})", cure=pairing.cure(refused))
    if not samples["train"]:
        raise BadInput(f"{path}: no pair is left for training", cure="say --validation 0")


def _save(
    files: CodeFiles,
    pairing: RowPairing,
    shards: SplitShards,
    tokenizers: _Tokenizers,
    refused: Counter[str],
    folder: ShardsFolder,
) -> Manifest:
    entries = shards.finish()
    listed = [entry for split in SPLITS for entry in entries[split]]
    samples = {split: pairing.samples[split] for split in SPLITS}
    names = {split: [entry.name for entry in entries[split]] for split in SPLITS}
    document = new_manifest(
        "shards",
        schema=tokenizers.schema,
        splits={split: Split(samples=samples[split], shards=names[split]) for split in SPLITS},
        split_rule=pairing.split_rule,
        leakage={"rule": f"split by {pairing.split_rule['by']}; duplicates were not looked for", "checked": samples},
        licenses=_licenses(pairing),
        shards=listed,
        files=_files(folder),
        totals={
            "samples": sum(samples.values()),
            "bytes": sum(entry.bytes for entry in listed),
            "text_tokens": sum(entry.stats["text_tokens"] for entry in listed),
            "captions_trimmed": pairing.trimmed,
        },
        lineage={
            "recipe": _recipe(files, pairing.asked),
            "steps": [Step.of("import", sum(samples.values()) + refused.total(), dict(sorted(refused.items())))],
            **tokenizers.lineage,
        },
    )
    return save_manifest(folder.path, document)


def _files(folder: ShardsFolder) -> list[FileEntry]:
    names = [*(f"{IMAGE_TOKENIZER}/{name}" for name in TOKENIZER_FILES), TEXT_MODEL, IMPORTED, REFUSED]
    return [file_entry(folder.path, name) for name in sorted(names) if (folder.path / name).is_file()]


def _recipe(files: CodeFiles, asked: Asked) -> Json:
    """What was imported and how; the hash of each file stands in `imported.parquet`."""
    grid = {"shape": list(asked.shape), "scales": list(asked.grid.scales if asked.grid else ())}
    return {
        "name": asked.name,
        "imported": {
            "kind": files.kind,
            "files": len(files.names),
            "codebook": asked.num_ids,
            **grid,
            "validation": asked.validation,
            "captions": sha256_of_file(asked.captions) if asked.captions and asked.captions.is_file() else None,
        },
    }


def _licenses(pairing: RowPairing) -> list[License]:
    asked = pairing.asked
    known = [License(source=asked.name, license=asked.license, attribution=asked.attribution, samples=0)]
    return [entry for entry in counted_licenses(known, pairing.licenses) if entry.samples]
