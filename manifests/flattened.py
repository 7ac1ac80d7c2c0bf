"""A nested document as one level of keys: what run.json and recipes are compared by.

flattened({"settings": {"lr": 0.002}})       # {"settings.lr": 0.002}
"""

from typing import Any


def flattened(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
