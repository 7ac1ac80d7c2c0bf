"""`tuwen tokenize RECIPE --check SHARDS`: do shards still say what corpus and tokenizer give?

    found = check_shards(corpus, shards, rows=256)
    found.faults             # ["train: 8a31…: its picture has changed since it was measured", …]
    found.equal_codes        # 0.99998: of those that were encoded again

Rows spread evenly over each split are read, cropped and encoded again. What is named: a corpus of another id, pairs
that are gone, pictures, crops, captions and codes that differ. Another kind of processor may change a few codes in a
million.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch

from ..manifests.errors import TuwenError
from ..manifests.manifest import Manifest
from ..manifests.run_folders import ShardsFolder
from ..manifests.shards.row_meta import RowMeta
from ..manifests.shards.split_reader import SplitReader
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.executor.progress import progress
from ..pipeline.open_source import roots_of
from .caption_ids import CaptionIds, open_caption_ids
from .crops.cropped import cropped
from .image_codes import Codes, ImageCodes
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


def check_shards(corpus: Manifest, shards: Manifest, rows: int) -> CheckedShards:
    """`rows` are those of each split at most."""
    torch.set_num_threads(1)  # as the shards were written
    found = CheckedShards()
    if corpus.id not in shards.lineage.parents:
        found.faults.append(f"{shards.folder}: was made of another corpus than {corpus.folder}")
    folder = ShardsFolder(shards.folder)
    image_codes = open_image_codes(folder.image_tokenizer)
    captions = open_caption_ids(folder.text_model.read_bytes())
    kept = read_kept_pairs(corpus, PLAN_COLUMNS)
    row_of_key = {key: number for number, key in enumerate(kept["key"].to_pylist())}
    for split in shards.splits:
        reader = SplitReader(shards, split)
        if not len(reader):
            continue
        chosen = np.unique(np.linspace(0, len(reader) - 1, min(rows, len(reader))).astype(np.int64))
        codes, text, lengths = reader.rows(chosen)
        with progress(f"check {split}", len(chosen), "row") as advance:
            for at, meta in enumerate(reader.metas(chosen)):
                ids = text[at, : lengths[at]].tolist()
                row = row_of_key.get(meta["key"])
                pair = None if row is None else kept.slice(row, 1)
                faults = _faults(pair, meta, codes[at], ids, corpus, image_codes, captions, found)
                found.faults += [f"{split}: {meta['key']}: {fault}" for fault in faults]
                advance()
    return found


def _faults(
    pair: pa.Table | None,
    meta: RowMeta,
    codes: Codes,
    ids: list[int],
    corpus: Manifest,
    image_codes: ImageCodes,
    captions: CaptionIds,
    found: CheckedShards,
) -> list[str]:
    """What differs in one row. The counts of `found` grow by its codes."""
    if pair is None:
        return ["is not kept in the corpus any more"]
    faults = []
    if pair["caption"][0].as_py() != meta["caption"]:
        faults.append("its caption is another one in the corpus")
    if captions.encode(meta["caption"])[: len(ids)] != ids:
        faults.append("its caption has other ids")
    try:
        identity = image_codes.identity
        ((picture, box),) = cropped(pair, roots_of(corpus), identity.side_px, identity.resize)
    except TuwenError as error:
        return [*faults, str(error)]
    if box != list(meta["crop"]):
        faults.append(f"is cropped to {box}, was to {list(meta['crop'])}")
    again = image_codes.encode(np.stack([picture])).reshape(-1)
    different = int((again != codes.astype(again.dtype)).sum())
    found.rows, found.codes = found.rows + 1, found.codes + len(again)
    found.different_codes += different
    return [*faults, f"{different} of its {len(again)} codes are others"] if different else faults
