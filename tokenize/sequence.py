"""How a pair becomes one sequence of ids: `[ROI1] text [BASE] [BOI1] codes [EOI1]`, padded at the end.

    layout = compact_layout(codebook=1024, num_codes=64, text_vocab=2000, text_max=24)
    ids, positions = layout.sequences(codes, text, lengths)          # (n, layout.length) each

There is one vocabulary: codes from 0, then text pieces, then commands. Text is trimmed to fit, codes never are. In
`compact` a code has the same position whatever the caption's length. Padding comes last, where causal attention cannot
see it, so no mask is needed. A reversed sequence is `[BOI1] codes [EOI1] [ROI1] text [BASE]`: its first token says the
direction and [BASE] ends the caption, so no id is added. (CogView's begins with [BASE] and has no end.)

The k codes of a position follow each other, codebook by codebook, and each codebook has ids of its own. Interleaved
codes factorise exactly, and need no other model and no other sampler, for a sequence k times as long. A delayed
pattern, with k heads and one step a position, pays from four codebooks on and would be a layout of its own.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..manifests.documents import ArraySchema
from ..manifests.errors import BadInput

Ids = NDArray[np.int64]

# In CogView's order (THUDM/CogView, data_utils/unified_tokenizer.py).
COGVIEW_COMMANDS = (
    "[PAD]", "[BOI1]", "[BOI2]", "[BOI3]", "[EOI1]", "[EOI2]", "[EOI3]", "[ROI1]", "[ROI2]", "[ROI3]",
    "[SEP]", "[MASK]", "[CLS]", "[ENC]", "[TINY]", "[SMALL]", "[BASE]", "[BIG]",
    "[POS0]", "[POS1]", "[POS2]", "[POS3]", "[POS4]", "[POS5]", "[POS6]", "[POS7]", "[POS8]",
)  # fmt: skip
COMPACT_COMMANDS = ("[PAD]", "[ROI1]", "[BASE]", "[BOI1]", "[EOI1]")


@dataclass(frozen=True)
class SequenceLayout:
    name: str
    codebook: int  # codes of one codebook
    num_codes: int  # of one picture, all codebooks together: positions · codebooks
    text_vocab: int
    text_max: int  # longest caption, in pieces
    commands: tuple[str, ...]
    aligned: bool  # code j stands at one position whatever the caption's length
    vocab_multiple: int  # the vocabulary is padded to a multiple of this
    codebooks: int = 1  # codes at each position of the picture

    @property
    def text_offset(self) -> int:
        """The first id that is no code."""
        return self.codebook * self.codebooks

    @cached_property
    def command_ids(self) -> dict[str, int]:
        first = self.text_offset + self.text_vocab
        return {command: first + number for number, command in enumerate(self.commands)}

    @cached_property
    def code_offsets(self) -> Ids:
        """The first id of the codebook of each code: (num_codes,)."""
        return np.arange(self.num_codes) % self.codebooks * self.codebook

    @property
    def vocab(self) -> int:
        ids = self.text_offset + self.text_vocab + len(self.commands)
        return -(-ids // self.vocab_multiple) * self.vocab_multiple

    @property
    def length(self) -> int:
        """The length of a sequence with the longest caption: 4 commands, text, codes."""
        return self.text_max + self.num_codes + 4

    @property
    def first_code_position(self) -> int:
        return self.text_max + 3

    @property
    def pad(self) -> int:
        return self.command_ids["[PAD]"]

    def is_code(self, ids: Any) -> Any:
        """True where ids, an array or a tensor, are codes."""
        return ids < self.text_offset

    def codebooks_of(self, ids: Ids) -> tuple[Ids, Ids]:
        """The first id, and the size, of the codebook of each id; 0 and 0 where it is no code."""
        is_code = self.is_code(ids)
        return np.where(is_code, ids // self.codebook * self.codebook, 0), np.where(is_code, self.codebook, 0)

    def prompt(self, text: list[int]) -> tuple[Ids, Ids]:
        """Return ids and positions of `[ROI1] text [BASE] [BOI1]`, which precede the first code."""
        text = text[: self.text_max]
        ids = [
            self.command_ids["[ROI1]"],
            *(self.text_offset + piece for piece in text),
            self.command_ids["[BASE]"],
            self.command_ids["[BOI1]"],
        ]
        return np.array(ids, dtype=np.int64), self._positions(len(text), is_reversed=False)[: len(ids)]

    def picture(self, codes: Ids) -> tuple[Ids, Ids]:
        """Return ids and positions of `[BOI1] codes [EOI1] [ROI1]`, which precede a caption; codes are (num_codes,)."""
        commands = self.command_ids
        ids = [commands["[BOI1]"], *(codes + self.code_offsets).tolist(), commands["[EOI1]"], commands["[ROI1]"]]
        return np.array(ids, dtype=np.int64), self._positions(0, is_reversed=True)[: len(ids)]

    def sequences(
        self, codes: NDArray[Any], text: NDArray[Any], lengths: Ids, is_reversed: NDArray[np.bool_] | bool = False
    ) -> tuple[Ids, Ids]:
        """Lay out codes (n, num_codes) and text (n, ≥ longest) of caption lengths (n,): ids, positions (n, length).

        `is_reversed` is true of the rows (n,), or of all, that have their picture first.
        """
        rows = len(codes)
        ids = np.full((rows, self.length), self.pad, dtype=np.int64)
        positions = np.full((rows, self.length), self.length - 1, dtype=np.int64)
        lengths = np.minimum(lengths, self.text_max)
        is_reversed = np.broadcast_to(is_reversed, rows)
        for length, picture_first in sorted(set(zip(lengths.tolist(), is_reversed.tolist(), strict=True))):
            chosen = (lengths == length) & (is_reversed == picture_first)  # rows of one shape are laid out together
            caption, picture = (self.num_codes + 2, 0) if picture_first else (0, length + 2)  # where each begins
            ids[chosen, caption] = self.command_ids["[ROI1]"]
            ids[chosen, caption + 1 : caption + 1 + length] = self.text_offset + text[chosen, :length].astype(np.int64)
            ids[chosen, caption + 1 + length] = self.command_ids["[BASE]"]
            ids[chosen, picture] = self.command_ids["[BOI1]"]
            ids[chosen, picture + 1 : picture + 1 + self.num_codes] = codes[chosen] + self.code_offsets
            ids[chosen, picture + 1 + self.num_codes] = self.command_ids["[EOI1]"]
            positions[chosen, : length + self.num_codes + 4] = self._positions(length, picture_first)
        return ids, positions

    def _positions(self, length: int, is_reversed: bool) -> Ids:
        """Of the tokens in order: in an aligned layout they are those of the text-first sequence."""
        positions = np.arange(length + self.num_codes + 4)
        if not self.aligned:
            return positions
        caption, picture = positions[: length + 2], self.text_max + 2 + np.arange(self.num_codes + 2)
        caption[-1] = self.text_max + 1
        return np.concatenate((picture, caption) if is_reversed else (caption, picture))


def layout_for(name: Literal["compact", "cogview"], schema: ArraySchema, text_max: int) -> SequenceLayout:
    """Return the layout for shards of this schema. Raises BadInput when they do not fit into CogView's ids."""
    codes, vocab = schema.codes, schema.text.vocab
    num_codes = math.prod(codes.shape)
    if name == "compact":
        return compact_layout(codes.codebook, num_codes, vocab, text_max, codes.codebooks)
    layout = cogview_layout()
    if (codes.codebook, num_codes, codes.codebooks) != (layout.codebook, layout.num_codes, 1):
        raise BadInput(
            f"pictures are {num_codes:,} codes of {codes.codebooks} × {codes.codebook:,}, "
            "and those of `layout: cogview` 1,024 of 8,192",
            cure="tokenize with `kind: cogview` at `size: 256`, or say --set train.layout=compact",
        )
    if vocab > layout.text_vocab:
        raise BadInput(
            f"captions have {vocab:,} pieces, and those of `layout: cogview` 50,000",
            cure="tokenize with CogView's model (`tokenize.text.path`), or say --set train.layout=compact",
        )
    return layout


def compact_layout(codebook: int, num_codes: int, text_vocab: int, text_max: int, codebooks: int = 1) -> SequenceLayout:
    return SequenceLayout(
        "compact",
        codebook,
        num_codes,
        text_vocab,
        text_max,
        COMPACT_COMMANDS,
        aligned=True,
        vocab_multiple=64,
        codebooks=codebooks,
    )


def cogview_layout() -> SequenceLayout:
    """CogView's ids: 0–8191 codes, 8192–58191 text, 58192–58218 commands, padded to 58,240; 1,089 positions.

    CogView's own loader cuts the last codes of a caption with 62 to 64 pieces; here the caption is trimmed to 61.
    """
    return SequenceLayout("cogview", 8192, 1024, 50_000, 61, COGVIEW_COMMANDS, aligned=False, vocab_multiple=128)
