"""The caption sets of this folder, by class; README.md says whence each comes."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent


def classes(name: str) -> dict[str, list[str]]:
    """Captions by class, from a file in which a line `[class]` stands above the captions of the class."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            found[heading[1]] = []
        elif line:
            list(found.values())[-1].append(line)
    return found


def appstream() -> list[str]:
    """Chinese sentences that people wrote of programs and of pictures of them."""
    return (FOLDER / "appstream.txt").read_text(encoding="utf-8").splitlines()


def cldr_names(language: str) -> list[str]:
    """Unicode's names of the emoji, without those that differ in skin alone: short, human-checked, in 15 languages."""
    import emoji

    emoji.config.load_language(language)
    named = [(char, names[language]) for char, names in emoji.EMOJI_DATA.items() if language in names]
    plain = {
        name.strip(":").replace("_", " ") for char, name in named if not re.search("[\U0001f3fb-\U0001f3ff]", char)
    }
    return sorted(plain)
