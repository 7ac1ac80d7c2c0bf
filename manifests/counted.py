"""A number with its noun, which has no `s` after 1.

counted(1, "shard"), counted(7592, "sample")      # "1 shard", "7,592 samples"
"""


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
