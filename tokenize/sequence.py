"""How a pair becomes one sequence of ids: `[ROI1] text [BASE] [BOI1] codes [EOI1]`, padded at the end.

    layout = compact_layout(codebook=1024, num_codes=64, text_vocab=2000, text_max=24)
    ids, positions = layout.sequences(codes, text, lengths)          # (n, layout.length) each

There is one vocabulary: codes from 0, then text pieces, then commands. Text is trimmed to fit, codes never are
(CogView's loader cuts the last two codes when a caption has 62 to 64 tokens). In `compact`, code j has the same
position whatever the caption's length, so each patch of the picture has one position embedding. Padding comes last,
where causal attention cannot see it, so no mask is needed.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    codebook: int
    num_codes: int  # h·w of one picture
    text_vocab: int
    text_max: int  # longest caption, in pieces
    commands: tuple[str, ...]
    aligned: bool  # code j stands at one position whatever the caption's length
    vocab_multiple: int  # the vocabulary is padded to a multiple of this

    @property
    def text_offset(self) -> int:
        return self.codebook

    @cached_property
    def command_ids(self) -> dict[str, int]:
        return {command: self.codebook + self.text_vocab + number for number, command in enumerate(self.commands)}

    @property
    def vocab(self) -> int:
        ids = self.codebook + self.text_vocab + len(self.commands)
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

    def prompt(self, text: list[int]) -> tuple[Ids, Ids]:
        """Return ids and positions of `[ROI1] text [BASE] [BOI1]`, which precede the first code."""
        text = text[: self.text_max]
        ids = [
            self.command_ids["[ROI1]"],
            *(self.text_offset + piece for piece in text),
            self.command_ids["[BASE]"],
            self.command_ids["[BOI1]"],
        ]
        return np.array(ids, dtype=np.int64), self._prompt_positions(len(text))

    def sequences(self, codes: NDArray[Any], text: NDArray[Any], lengths: Ids) -> tuple[Ids, Ids]:
        """Lay out codes (n, num_codes) and text (n, ≥ longest) of caption lengths (n,): ids, positions (n, length)."""
        rows = len(codes)
        ids = np.full((rows, self.length), self.pad, dtype=np.int64)
        positions = np.full((rows, self.length), self.length - 1, dtype=np.int64)
        lengths = np.minimum(lengths, self.text_max)
        for length in np.unique(lengths).tolist():  # rows of one length are laid out together
            chosen = lengths == length
            end = length + 3
            ids[chosen, 0] = self.command_ids["[ROI1]"]
            ids[chosen, 1 : length + 1] = self.text_offset + text[chosen, :length].astype(np.int64)
            ids[chosen, length + 1 : end] = [self.command_ids["[BASE]"], self.command_ids["[BOI1]"]]
            ids[chosen, end : end + self.num_codes] = codes[chosen]
            ids[chosen, end + self.num_codes] = self.command_ids["[EOI1]"]
            first = self.first_code_position if self.aligned else end
            positions[chosen, :end] = self._prompt_positions(length)
            positions[chosen, end : end + self.num_codes + 1] = first + np.arange(self.num_codes + 1)
        return ids, positions

    def _prompt_positions(self, length: int) -> Ids:
        before = np.arange(length + 3)
        if self.aligned:
            before[-2:] = [self.text_max + 1, self.text_max + 2]
        return before


def compact_layout(codebook: int, num_codes: int, text_vocab: int, text_max: int) -> SequenceLayout:
    return SequenceLayout(
        "compact", codebook, num_codes, text_vocab, text_max, COMPACT_COMMANDS, aligned=True, vocab_multiple=64
    )


def cogview_layout(text_max: int = 61) -> SequenceLayout:
    """CogView's ids: 0–8191 codes, 8192–58191 text, 58192–58218 commands, padded to 58,240; 1,089 positions."""
    return SequenceLayout("cogview", 8192, 1024, 50_000, text_max, COGVIEW_COMMANDS, aligned=False, vocab_multiple=128)
