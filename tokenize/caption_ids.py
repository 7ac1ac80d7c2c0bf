"""Captions ↔ ids, by one file: SentencePiece, a Hugging Face tokenizer.json, or a table of characters.

    captions = open_caption_ids(Path("text.model").read_bytes())
    captions.encode("一只蜜蜂")         # [17, 402, 5]

The file's content says its kind. Equal files give equal ids.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Protocol

import sentencepiece

from ..manifests.canonical import canonical_json
from ..manifests.errors import BadInput

_SPECIAL = ("<unk>", "<s>", "</s>", "<n>")  # ids 0 … 3 of a table of characters, as in SentencePiece's models


class CaptionIds(Protocol):
    kind: str
    sha256: str  # of the file
    vocab: int  # ids are below it

    def encode(self, caption: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


def open_caption_ids(data: bytes) -> CaptionIds:
    """Return the tokenizer whose file this is. Raises BadInput when it is of no kind that is known."""
    sha256 = "sha256:" + hashlib.sha256(data).hexdigest()
    document = _json(data)
    if document is None:
        return SentencePieceIds(data, sha256)
    if document.get("kind") == "characters":
        return CharacterIds(document, sha256)
    return HuggingFaceIds(data, sha256)


class SentencePieceIds:
    kind = "sentencepiece"

    def __init__(self, data: bytes, sha256: str) -> None:
        if not data:
            raise BadInput("the text tokenizer is an empty file", cure="name another file")
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=data)
        except RuntimeError:
            raise BadInput("the text tokenizer is no SentencePiece model", cure="name another file") from None
        self.sha256, self.vocab = sha256, int(self._pieces.get_piece_size())

    def encode(self, caption: str) -> list[int]:
        return list(self._pieces.encode(caption))

    def decode(self, ids: list[int]) -> str:
        return str(self._pieces.decode(ids))


class HuggingFaceIds:
    """tokenizer.json of Qwen, BERT or any other; no special tokens are added."""

    kind = "huggingface"

    def __init__(self, data: bytes, sha256: str) -> None:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError:
            raise BadInput(
                "a tokenizer.json needs tokenizers", cure="pip install -c constraints.txt -e '.[pretrained]'"
            ) from None
        try:
            self._tokenizer: Any = Tokenizer.from_str(data.decode())
        except Exception as error:  # what tokenizers raises is an Exception without a class of its own
            raise BadInput(f"no tokenizer.json ({str(error)[:120]})", cure="name another file") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.sha256, self.vocab = sha256, int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def encode(self, caption: str) -> list[int]:
        return list(self._tokenizer.encode(caption, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids))


class CharacterIds:
    """Each character is an id; one that is not in the table is id 0."""

    kind = "characters"

    def __init__(self, document: dict[str, Any], sha256: str) -> None:
        self._characters = [*_SPECIAL, *document["characters"]]
        self._ids = {character: number for number, character in enumerate(self._characters)}
        self.sha256, self.vocab = sha256, len(self._characters)

    def encode(self, caption: str) -> list[int]:
        return [self._ids.get("<n>" if character == "\n" else character, 0) for character in caption]

    def decode(self, ids: list[int]) -> str:
        return "".join("\n" if number == 3 else self._characters[number] for number in ids if number > 2)


def character_table(captions: Iterable[str], vocab: int) -> bytes:
    """Return the file of a table: the most frequent characters, at most `vocab` with four special ones.

    Raises BadInput when there is no caption.
    """
    counts: dict[str, int] = {}
    for caption in captions:
        for character in caption:
            counts[character] = counts.get(character, 0) + 1
    counts.pop("\n", None)
    if not counts:
        raise BadInput("the corpus has no caption to take characters from", cure="loosen the rules of `captions`")
    most = sorted(counts, key=lambda character: (-counts[character], character))[: vocab - len(_SPECIAL)]
    return canonical_json({"kind": "characters", "characters": "".join(most)}) + b"\n"


def _json(data: bytes) -> dict[str, Any] | None:
    if data.lstrip()[:1] != b"{":
        return None
    try:
        document = json.loads(data)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
