"""What a look at a folder or a file found, and the recipe that says it.

print(shown(seen))   # a recipe; what else was seen stands in it as comments
"""

import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from .sources.passed_over import PassedOver, passed_line

MOST_FILES = 20_000  # that are looked at

Section = dict[str, Any]  # an entry of `sources:`, of any kind


@dataclass
class Pair:
    origin: str
    captions: list[str]
    problem: str | None


@dataclass
class Seen:
    """What a path holds: the sections that read it, its first pairs, and what is not understood."""

    sections: list[Section] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    passed_over: PassedOver = field(default_factory=dict)
    not_understood: list[str] = field(default_factory=list)
    is_all: bool = True  # False: there are more files than were looked at


def shown(seen: Seen) -> str:
    """The recipe as YAML; all else that was seen stands in comments, so that the output is a recipe."""
    lines = [f"name: {seen.sections[0]['name']}", "sources:"]
    for section in seen.sections:
        text = yaml.safe_dump(section, allow_unicode=True, default_flow_style=True, sort_keys=False, width=10_000)
        lines.append(f"  - {text.strip()}")
    facts = [*(f"read as: {reads}" for reads in seen.reads)]
    if seen.passed_over:
        facts.append(passed_line("not in a pair", seen.passed_over))
    facts += [f"not understood: {problem}" for problem in seen.not_understood]
    if not seen.is_all:
        facts.append(f"only the first {MOST_FILES:,} files were looked at")
    if any(section["kind"] == "urls" for section in seen.sections):
        facts.append("put your own page or mail address for fetch.contact")
    facts += ["the first pairs:", *(f"  {_pair_line(pair)}" for pair in seen.pairs)]
    return "\n".join([*lines, *(f"# {' '.join(fact.split()) if fact[:2] != '  ' else fact}" for fact in facts)])


def _pair_line(pair: Pair) -> str:
    captions = " | ".join(json.dumps(caption, ensure_ascii=False) for caption in pair.captions) or "no caption"
    return f"{pair.origin}  {captions}{f'  ({pair.problem})' if pair.problem else ''}"
