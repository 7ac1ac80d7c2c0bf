"""What a source holds that is no pair and belongs to none: counted by kind, with a few names.

    passed: PassedOver = {}
    pass_over(passed, PassedFile("*.docx", "notes/readme.docx"))
    passed                                        # {"*.docx": {"count": 1, "examples": ["notes/readme.docx"]}}

Every file below a source, every member of an archive and every row of a table is a pair, or belongs to one, or is
counted here. The manifest, the report and the last line of `tuwen corpus` have the counts.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypedDict

_MOST_EXAMPLES = 3  # of a kind


@dataclass(frozen=True)
class PassedFile:
    """A file, a member or a row that is passed over."""

    kind: str  # in words, or the ending: "hidden", "broken link", "*.docx"
    name: str  # below the source


class PassedKind(TypedDict):
    count: int
    examples: list[str]


PassedOver = dict[str, PassedKind]  # by kind


def by_ending(name: str) -> PassedFile:
    """The file under the kind that its ending names."""
    ending = PurePosixPath(name).suffix.lower()
    return PassedFile(f"*{ending}" if ending else "no ending", name)


def pass_over(passed: PassedOver, file: PassedFile) -> None:
    add_passed(passed, {file.kind: PassedKind(count=1, examples=[file.name])})


def add_passed(passed: PassedOver, more: PassedOver) -> None:
    """Add the counts of `more`; the first examples stay."""
    for kind, each in more.items():
        known = passed.setdefault(kind, PassedKind(count=0, examples=[]))
        known["count"] += each["count"]
        known["examples"] = [*known["examples"], *each["examples"]][:_MOST_EXAMPLES]


def passed_line(source: str, passed: PassedOver) -> str:
    """One line for people: "photos: passed over 3 files: 2 *.docx (a.docx, b.docx), 1 hidden (.DS_Store)"."""
    kinds = sorted(passed.items(), key=lambda item: (-item[1]["count"], item[0]))
    shown = [f"{each['count']:,} {kind} ({', '.join(each['examples'][:2])})" for kind, each in kinds]
    count = sum(each["count"] for each in passed.values())
    return f"{source}: passed over {count:,}: {', '.join(shown)}"
