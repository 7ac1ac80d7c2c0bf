"""Canonical JSON, in which equal content has equal bytes, and the hashes over it.

Keys are sorted, there is no white space, text is UTF-8, and floats are refused, because languages print the same float
differently. A number with a fraction is stored as its shortest decimal string: `exact(0.02) == "0.02"`.

    sha256_of({"b": 1, "a": "图"}) == sha256_of({"a": "图", "b": 1})
"""

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(document: Any) -> bytes:
    """Return the UTF-8 bytes of `document`. Raises TypeError for a float; `exact` makes it a string."""
    _refuse_floats(document, "$")
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def sha256_of(document: Any) -> str:
    """Return `sha256:` and 64 hex digits: the hash of the canonical JSON of `document`."""
    return "sha256:" + hashlib.sha256(canonical_json(document)).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return `sha256:` and 64 hex digits: the hash of the bytes of a file."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def exact(document: Any) -> Any:
    """Return `document` with every float replaced by its shortest decimal string."""
    if isinstance(document, float):
        return repr(document)
    if isinstance(document, dict):
        return {key: exact(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [exact(value) for value in document]
    return document


def _refuse_floats(document: Any, where: str) -> None:
    if isinstance(document, float):
        raise TypeError(f"{where} is the float {document!r}; use exact() before hashing")
    if isinstance(document, dict):
        for key, value in document.items():
            _refuse_floats(value, f"{where}.{key}")
    elif isinstance(document, list | tuple):
        for number, value in enumerate(document):
            _refuse_floats(value, f"{where}[{number}]")
