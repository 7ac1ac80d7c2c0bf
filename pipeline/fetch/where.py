"""`where:` of a list of addresses: the rows that are wanted, told from their cells before anything is fetched.

    where = {"language": "zh", "NSFW": ["UNLIKELY", "UNSURE"], "similarity": ">= 0.3", "LICENSE": {"not": "?"}}
    is_wanted({"language": "zh", "NSFW": "UNLIKELY", "similarity": 0.31, "LICENSE": None}, where)     # True

A value is met by an equal cell: as numbers where both are, else as text, in upper or lower case. A list is met by any
of its values, a cell with several texts if one of them fits. An empty cell meets nothing but a `not`.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from ..tables.cell_text import cell_texts

Value = bool | int | float | str  # ">= 0.3" is a comparison
Condition = Value | list[Value] | dict[Literal["not"], Value | list[Value]]

_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*(.*?)\s*")
_COMPARES = {
    ">=": lambda cell, limit: cell >= limit,
    "<=": lambda cell, limit: cell <= limit,
    ">": lambda cell, limit: cell > limit,
    "<": lambda cell, limit: cell < limit,
}


def check_condition(condition: Condition) -> Condition:
    """Raises ValueError on a comparison with what is no number."""
    values = condition.get("not") if isinstance(condition, dict) else condition
    for value in values if isinstance(values, list) else [values]:
        comparison = _COMPARISON.fullmatch(value) if isinstance(value, str) else None
        if comparison and _number(comparison[2]) is None:
            raise ValueError(f"write a number behind `{comparison[1]}`")
    return condition


def is_wanted(record: Mapping[str, Any], where: Mapping[str, Condition], encoding: str = "utf-8") -> bool:
    """Raises BrokenCell on a cell that is no text."""
    return all(_is_met(_texts(record.get(column), encoding), condition) for column, condition in where.items())


def _texts(cell: Any, encoding: str) -> list[str]:
    return [str(cell)] if isinstance(cell, bool) else cell_texts(cell, encoding)


def _is_met(texts: list[str], condition: Condition) -> bool:
    if isinstance(condition, dict):
        return not _is_met(texts, condition["not"])
    values = condition if isinstance(condition, list) else [condition]
    return any(_fits(text.strip(), value) for text in texts for value in values)


def _fits(text: str, value: Value) -> bool:
    cell = _number(text)
    if isinstance(value, str) and (comparison := _COMPARISON.fullmatch(value)):
        limit = _number(comparison[2])
        return cell is not None and limit is not None and _COMPARES[comparison[1]](cell, limit)
    number = None if isinstance(value, bool) else _number(str(value))
    if cell is not None and number is not None:
        return cell == number
    return text.casefold() == str(value).strip().casefold()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
