"""What pydantic finds wrong, in plain words: its own speak of discriminators, patterns and inputs.

    except ValidationError as error:
        found = plain_errors(error, document)[0]
        found.path, found.problem, found.cure        # "images.min_side", "`images.min_side` is -3", "give 1 or more"

A kind of error that has no row here gets words that are always true. Own validators speak for themselves: their text is
"what is wrong; the cure".
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Context = Mapping[str, Any]  # what pydantic knows of the limit that was broken

_LONGEST_VALUE = 60  # characters of a value that is quoted

_CURES: dict[str, Callable[[Context], str]] = {
    "greater_than_equal": lambda limit: f"give {_number(limit['ge'])} or more",
    "greater_than": lambda limit: f"give more than {_number(limit['gt'])}",
    "less_than_equal": lambda limit: f"give {_number(limit['le'])} or less",
    "less_than": lambda limit: f"give less than {_number(limit['lt'])}",
    "int_type": lambda limit: "give a whole number",
    "int_parsing": lambda limit: "give a whole number",
    "int_parsing_size": lambda limit: "give a smaller number",
    "int_from_float": lambda limit: "give a whole number",
    "float_type": lambda limit: "give a number",
    "float_parsing": lambda limit: "give a number",
    "finite_number": lambda limit: "give a number that is finite",
    "bool_type": lambda limit: "say true or false",
    "bool_parsing": lambda limit: "say true or false",
    "string_type": lambda limit: 'give text, in quotes if YAML would take it for something else: "2024"',
    "string_too_short": lambda limit: f"give {limit['min_length']} characters or more",
    "string_too_long": lambda limit: f"give {limit['max_length']} characters or fewer",
    "literal_error": lambda limit: f"say {_alternatives(limit['expected'])}",
    "enum": lambda limit: f"say {_alternatives(limit['expected'])}",
    "list_type": lambda limit: "give a list: [first, second]",
    "tuple_type": lambda limit: "give a list: [first, second]",
    "too_short": lambda limit: f"list {limit['min_length']} or more",
    "too_long": lambda limit: f"list {limit['max_length']} or fewer",
    "dict_type": lambda limit: "give keys and values: {key: value}",
    "model_type": lambda limit: "give keys and values: {key: value}",
    "model_attributes_type": lambda limit: "give keys and values: {key: value}",
    "union_tag_invalid": lambda limit: f"say {_alternatives(limit['expected_tags'])}",
    "union_tag_not_found": lambda limit: f"say which one it is with {limit['discriminator']}: …",
}


@dataclass(frozen=True)
class PlainError:
    kind: str  # of pydantic's errors: "missing", "extra_forbidden", …
    path: str  # "sources.0.fetch"
    problem: str  # "`sources.0.fetch` is missing"
    cure: str


def plain_errors(error: ValidationError, document: Any, prefix: str = "") -> list[PlainError]:
    """One for each place of the document that was validated. `prefix` is its own path in a larger one: "sources.0."."""
    found = [_plain(each, (prefix + _path(each, document)).rstrip(".")) for each in error.errors()]
    return list({each.path: each for each in reversed(found)}.values())[::-1]


def shown_value(value: Any) -> str:
    """A value as a recipe has it, cut where it is long."""
    if value is None:
        return "empty"
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError):  # a YAML document may hold itself; a key may be a date
        text = str(value)
    text = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
    return repr(text) if isinstance(value, str) else text


def _plain(error: "ErrorDetails", path: str) -> PlainError:
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return PlainError(kind, path, f"`{path}` is missing", "add it")
    if kind in ("extra_forbidden", "invalid_key"):  # a key that is no text is never known
        return PlainError("extra_forbidden", path, f"`{path}` is not known", "remove it")
    is_value = f"`{path}` is {shown_value(value)}"
    if kind != "value_error":
        cure = _CURES[kind](error.get("ctx", {})) if kind in _CURES else "give a value of another form"
        return PlainError(kind, path, is_value, cure)
    own_words = error["msg"].removeprefix("Value error, ")
    if isinstance(value, str | int | float) or value is None:
        return PlainError(kind, path, is_value, own_words)
    problem, _, cure = own_words.partition("; ")  # of a section as a whole, whose message names the values
    return PlainError(kind, path, f"`{path}`: {problem}" if path else problem, cure)


def _path(error: "ErrorDetails", document: Any) -> str:
    """The path of an error in the document, without the names of types that pydantic adds for a union."""
    location, parts = error["loc"], []
    for number, part in enumerate(location):
        is_missing_key = error["type"] == "missing" and number == len(location) - 1
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            if not is_missing_key:
                continue
        parts.append(str(part))
    return ".".join(parts)


def _number(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else f"{limit}"


def _alternatives(expected: str) -> str:
    """`'largest' or 'first'` without the quotes."""
    return expected.replace("'", "")
