"""A recipe that pydantic does not take, as one line: the file, the key, the value and the cure.

refusal("my.yaml", error, Recipe, document)     # my.yaml: unknown key `images.min_sid`; did you mean `min_side`?
"""

import difflib
from typing import Any

from pydantic import ValidationError

from ..errors import BadInput
from ..validation_words import plain_errors
from .section import Section

# (section, former name of a key) → its present name
_RENAMED = {
    ("duplicates", "turned"): "flips",
    ("training", "compute"): "precision",
    ("train", "compute"): "precision",
}

_CURES_OF_MISSING = {
    "name": "add `name: …`: folders and keys are named by it",
    "sources": "add `sources: [{name: …, kind: folder, path: …}]`",
    "path": "add `path: …`, relative to the recipe",
    "fetch": "add `fetch: {contact: https://…}`, your page or e-mail address for the owners of the sites",
    "contact": "add `contact: https://…`, your page or e-mail address for the owners of the sites",
}
_CURES_OF_FORM = {"contact": "give a web page or an e-mail address, such as https://example.com/us"}


def refusal(file: str, error: ValidationError, model: type[Section], document: Any, prefix: str = "") -> BadInput:
    """The first error as one line. `prefix` is the path of `model` and of its `document` in the recipe."""
    found = plain_errors(error, document, prefix)
    first, key = found[0], found[0].path.rpartition(".")[2]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first.kind == "extra_forbidden":
        return _unknown_key(file, first.path, model, prefix, more)
    if first.kind == "missing":
        cure = _CURES_OF_MISSING.get(key, first.cure)
    else:
        cure = _CURES_OF_FORM[key] if first.kind == "string_pattern_mismatch" and key in _CURES_OF_FORM else first.cure
    return BadInput(f"{file}: {first.problem}{more}", cure=cure)


def with_new_names(document: Any, section: str = "") -> Any:
    """Return a copy in which renamed keys have their present names."""
    if isinstance(document, list):
        return [with_new_names(value, section) for value in document]
    if not isinstance(document, dict):
        return document
    return {_RENAMED.get((section, key), key): with_new_names(value, key) for key, value in document.items()}


def _unknown_key(file: str, path: str, model: type[Section], prefix: str, more: str) -> BadInput:
    *parents, key = path.removeprefix(prefix).split(".")
    if renamed := _RENAMED.get((["", *parents][-1], key)):
        return BadInput(f"{file}: the key `{path}` has another name now{more}", cure=f"write `{renamed}`")
    known = _keys_at(model, parents)
    close = difflib.get_close_matches(key, known, n=1)
    cure = f"did you mean `{close[0]}`?" if close else f"known keys here: {', '.join(known)}"
    return BadInput(f"{file}: unknown key `{path}`{more}", cure=cure)


def _keys_at(model: type[Section], path: list[str]) -> list[str]:
    """The keys of the section at `path` below `model`."""
    for part in path:
        field = model.model_fields.get(part)
        if field and isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            model = field.annotation
    return sorted(model.model_fields)
