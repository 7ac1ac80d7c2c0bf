"""A row of imported codes → a row of a shard, or the reason why it is none.

pairing = RowPairing(asked, text_sha256=None, text=caption_ids)
pairing.paired(row)         # ("train", codes, text ids, RowMeta), or BrokenRow(place, "code_beyond_codebook")
"""

from collections import Counter
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ...manifests.documents import Json
from ...manifests.pair import pair_key
from ...manifests.shards.row_meta import RowMeta, pair_key_of
from ...pipeline.corpus_files.split import SPLITS, split_of
from ..caption_ids import CaptionIds
from .asked import Asked
from .code_rows import BrokenRow, CodeRow

VALIDATION = 0.02  # share, where neither the user nor the files say another
MOST_IDS = 4096  # of a caption, as in recipes; longer ones are trimmed

_CURES = {
    "wrong_number_of_codes": "correct --grid or --codebooks",
    "code_beyond_codebook": "correct --codebook, or --grid where rows are cut at the wrong place",
    "text_id_beyond_vocabulary": "give the --text-model that the ids are of, or correct --text-offset",
    "no_caption": "say --captions FILE or --caption-column",
    "no_codes": "correct --codes-column",
}


class PairedRow(NamedTuple):
    split: str
    codes: NDArray[Any]
    text: list[int]
    meta: RowMeta


class RowPairing:
    def __init__(self, asked: Asked, text_sha256: str | None, text: CaptionIds) -> None:
        """`text_sha256` is of the tokenizer of the ids in the files; ids of another one are made anew."""
        self.asked, self._text = asked, text
        self._ids_hold = text_sha256 in (None, text.sha256)
        self.samples: Counter[str] = Counter()
        self.licenses: dict[str, Counter[tuple[str, str]]] = {split: Counter() for split in SPLITS}
        self.trimmed = 0
        self._splits_stated = False
        self._num_codes = asked.num_codes

    def paired(self, row: CodeRow | BrokenRow) -> PairedRow | BrokenRow:
        if isinstance(row, BrokenRow):
            return row
        ids = self._text_ids(row)
        reason = self._problem(row, ids)
        if reason:
            return BrokenRow(row.place, reason)
        meta = self._meta(row, ids)
        split = self._split(row, meta["key"])
        self.samples[split] += 1
        self.licenses[split][meta["source"], meta["license"]] += 1
        self.trimmed += len(ids) > MOST_IDS
        return PairedRow(split, row.codes, ids[:MOST_IDS], meta)

    @property
    def split_rule(self) -> Json:
        if self._splits_stated:
            return {"by": "the column `split` of the imported files"}
        share = VALIDATION if self.asked.validation is None else self.asked.validation
        return {"by": "key", "hash": "blake2b-64, person tuwen/split", "validation": share}

    @staticmethod
    def cure(refused: Counter[str]) -> str:
        """What mends the reason for which most rows were refused."""
        reason = next(iter(dict(refused.most_common(1))), "")
        return _CURES.get(reason, "name a file that holds pairs")

    def _text_ids(self, row: CodeRow) -> list[int]:
        if row.text is not None and self._ids_hold:
            return row.text
        return self._text.encode(row.caption)

    def _problem(self, row: CodeRow, ids: list[int]) -> str | None:
        if row.codes.size != self._num_codes:
            return "wrong_number_of_codes"
        if row.codes.min() < 0 or row.codes.max() >= self.asked.num_ids:
            return "code_beyond_codebook"
        if not ids:
            return "no_caption"
        if min(ids) < 0 or max(ids) >= self._text.vocab:
            return "text_id_beyond_vocabulary"
        return None

    def _meta(self, row: CodeRow, ids: list[int]) -> RowMeta:
        """What the files say; a key of the place in them, and the caption that the ids spell, where they do not."""
        key = pair_key(self.asked.name, row.place, 0) + (f"-{row.view}" if row.view else "")
        caption = row.caption or self._text.decode(ids)
        stated: Any = {
            "key": key, "source": self.asked.name, "license": self.asked.license, **row.meta, "caption": caption,
        }  # fmt: skip
        meta: RowMeta = stated
        return meta

    def _split(self, row: CodeRow, key: str) -> str:
        if row.split in SPLITS and self.asked.validation is None:
            self._splits_stated = True
            return row.split
        return split_of(pair_key_of(key), VALIDATION if self.asked.validation is None else self.asked.validation)
