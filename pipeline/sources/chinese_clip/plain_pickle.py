"""The tuple of text and numbers in a pickle, without running a pickle: it may call any function of the machine.

    plain_tuple(pickle.dumps((1076345, 8428, "高级感托特包斜挎")))     # (1076345, 8428, "高级感托特包斜挎")
    plain_tuple(pickle.dumps((1, print)))                            # None

Only the operations that such a tuple needs are known; any other refuses the whole. `pickletools` reads them.
"""

import pickletools
from typing import Any

_MOST_BYTES = 1 << 20
_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


def plain_tuple(data: bytes) -> tuple[Any, ...] | None:
    """None if the pickle holds anything but one tuple of str and int, or is not whole."""
    if len(data) > _MOST_BYTES:
        return None
    try:
        value = _run(data)
    except (ValueError, IndexError, KeyError, UnicodeError, OverflowError):
        return None
    is_plain = isinstance(value, tuple) and all(isinstance(each, str | int) for each in value)
    return value if is_plain else None


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    remembered: dict[Any, Any] = {}  # a string that stands in a pickle twice is written once
    for operation, argument, _ in pickletools.genops(data):
        name = operation.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _TUPLES:
            start = len(stack) - _TUPLES[name]
            stack[start:] = [tuple(stack[start:])]
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            start = stack.index(_MARK)
            stack[start:] = [tuple(stack[start + 1 :])]
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
            remembered[len(remembered) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(remembered[argument])
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ValueError(f"not plain: {name}")
    return stack.pop()
