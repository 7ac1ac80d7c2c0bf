"""Finds an image tokenizer by its name or its folder, and opens it.

folder = find_image_tokenizer("compact-64", base=recipe.base)     # a shipped name, or a folder
image_codes = open_image_codes(folder)                            # an `ImageCodes`
"""

from functools import cache
from pathlib import Path

from ..manifests.errors import BadInput
from ..manifests.run_folders import ImageTokenizerFolder
from .compact_codes import open_compact_vq
from .image_codes import ImageCodes

SHIPPED = Path(__file__).parent


@cache
def open_image_codes(folder: Path) -> ImageCodes:
    """Raises BadInput when `folder` holds no tokenizer."""
    return open_compact_vq(folder)


def find_image_tokenizer(name: str, base: Path) -> Path:
    """The folder of a shipped tokenizer, or of one by path: relative to the recipe, or to the current directory."""
    for folder in (SHIPPED / name, base / name, Path(name)):
        if ImageTokenizerFolder(folder).weights.is_file():
            return folder.resolve()
    shipped = ", ".join(sorted(path.name for path in SHIPPED.iterdir() if ImageTokenizerFolder(path).weights.is_file()))
    raise BadInput(
        f"image tokenizer `{name}`: not found",
        cure=f"give a folder that `tuwen tokenizer` left, or a shipped one: {shipped}",
    )
