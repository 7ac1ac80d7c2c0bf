"""`tuwen tokenize RECIPE --check SHARDS`: do shards still say what corpus and tokenizers give?

    found = check_shards(corpus, shards, rows=256)
    found.faults             # ["train: 8a31…: its picture has changed since it was measured", …]
    found.equal_codes        # 0.99998: of those that were encoded again

Rows spread evenly over each split are read, cropped and encoded again. What is named: a corpus of another id, pairs
that are gone, pictures, crops, captions and codes that differ. Another kind of processor may change a few codes in a
million.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from ..manifests.errors import TuwenError
from ..manifests.manifest import Manifest
from ..manifests.recipe.tokenizing import Crops, Job
from ..manifests.run_folders import ShardsFolder
from ..manifests.shards.row_meta import RowMeta, pair_key_of
from ..manifests.shards.split_reader import SplitReader
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.executor.part import PictureRoot
from ..pipeline.executor.progress import progress
from ..pipeline.open_source import roots_of
from ..pipeline.pictures.measured_pictures import measured_pictures
from .caption_ids import CaptionIds, open_caption_ids
from .crops.boxes import CropRule, crop_rule, views_of
from .crops.resample import rendered
from .image_codes import ImageCodes
from .open_image_codes import open_image_codes
from .plan_parts import PLAN_COLUMNS


@dataclass
class CheckedShards:
    rows: int = 0  # that were encoded again
    codes: int = 0
    different_codes: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def equal_codes(self) -> float:
        """The share of codes that came out again."""
        return 1.0 - self.different_codes / max(1, self.codes)


@dataclass(frozen=True)
class _Again:
    """What encodes a sample again."""

    encoders: Mapping[str, ImageCodes]  # by array
    captions: CaptionIds
    rule: CropRule
    roots: Mapping[str, PictureRoot]


@dataclass(frozen=True)
class _Sample:
    """A row of the shards."""

    meta: RowMeta
    text: list[int]
    codes: dict[str, NDArray[Any]]  # by array


def check_shards(corpus: Manifest, shards: Manifest, rows: int) -> CheckedShards:
    """`rows` are those of each split at most."""
    found = CheckedShards()
    if corpus.id not in shards.lineage.parents:
        found.faults.append(f"{shards.folder}: was made of another corpus than {corpus.folder}")
    folder, recorded = ShardsFolder(shards.folder), (shards.lineage.recipe or {}).get("tokenize", {})
    torch.set_num_threads(_section(Job, recorded.get("job")).threads)  # as the shards were written
    again = _Again(
        {array: open_image_codes(folder.image_tokenizer_of(array)) for array in ("codes", *shards.sample_schema.also)},
        open_caption_ids(folder.text_model.read_bytes()),
        crop_rule(_section(Crops, recorded.get("crops"))),
        roots_of(corpus),
    )
    kept = read_kept_pairs(corpus, PLAN_COLUMNS)
    row_of_key = {key: number for number, key in enumerate(kept["key"].to_pylist())}
    for split in shards.splits:
        samples = _samples(shards, split, list(again.encoders), rows)
        with progress(f"check {split}", len(samples), "row") as advance:
            for sample in samples:
                row = row_of_key.get(pair_key_of(sample.meta["key"]))
                pair = None if row is None else kept.slice(row, 1)
                faults = _faults(pair, sample, again, found)
                found.faults += [f"{split}: {sample.meta['key']}: {fault}" for fault in faults]
                advance()
    return found


def _section(section: type[Any], recorded: Any) -> Any:
    """A section of the recipe as the manifest records it; the defaults where an older version recorded none."""
    try:
        return section.model_validate(recorded or {})
    except ValidationError:
        return section()


def _samples(shards: Manifest, split: str, arrays: list[str], rows: int) -> list[_Sample]:
    readers = {array: SplitReader(shards, split, codes=array) for array in arrays}
    reader = readers["codes"]
    if not len(reader):
        return []
    chosen = np.unique(np.linspace(0, len(reader) - 1, min(rows, len(reader))).astype(np.int64))
    _, text, lengths = reader.rows(chosen)
    codes = {array: each.rows(chosen)[0] for array, each in readers.items()}
    return [
        _Sample(meta, text[at, : lengths[at]].tolist(), {array: values[at] for array, values in codes.items()})
        for at, meta in enumerate(reader.metas(chosen))
    ]


def _faults(pair: pa.Table | None, sample: _Sample, again: _Again, found: CheckedShards) -> list[str]:
    """What differs in one row. The counts of `found` grow by its codes."""
    if pair is None:
        return ["is not kept in the corpus any more"]
    meta, faults = sample.meta, []
    if pair["caption"][0].as_py() != meta["caption"]:
        faults.append("its caption is another one in the corpus")
    if again.captions.encode(meta["caption"])[: len(sample.text)] != sample.text:
        faults.append("its caption has other ids")
    try:
        ((_, picture),) = measured_pictures(pair, again.roots)
    except TuwenError as error:
        return [*faults, str(error)]
    key, _, number = meta["key"].partition("-")
    view = views_of(picture.size, key, again.rule)[int(number or 0)]
    if (list(view.box), view.mirrored) != (list(meta["crop"]), meta.get("mirrored", False)):
        faults.append(f"is cropped to {list(view.box)}, was to {list(meta['crop'])}")
    found.rows += 1
    for array, encoder in again.encoders.items():
        identity = encoder.identity
        crop = rendered(picture, view, identity.side_px, identity.resize, again.rule["fill"])
        codes = encoder.encode(np.stack([crop])).reshape(-1)
        different = int((codes != sample.codes[array].astype(codes.dtype)).sum())
        found.codes += len(codes)
        found.different_codes += different
        if different:
            faults.append(f"{different} of its {len(codes)} {array} are others")
    return faults
