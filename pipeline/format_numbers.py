"""Numbers as a person reads them: in the report, in the reasons and in what a command prints.

number(0.12345), num_bytes(2_500_000), proportion(0.5)      # "0.123", "2.5 MB", "1 : 2"
"""


def number(value: float) -> str:
    """At most three significant digits below a thousand, whole numbers above."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def compact(count: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:g}{unit}"
    return f"{count:g}"


def num_bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f} B"


def proportion(value: float) -> str:
    return f"{value:.3g} : 1" if value >= 1 else f"1 : {1 / value:.3g}"


def percent(share: float) -> str:
    return f"{100 * share:g}%"
