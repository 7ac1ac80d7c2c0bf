"""Finds an image tokenizer by its name or its folder, and opens it.

folder = find_image_tokenizer("compact-64", base=recipe.base)     # a shipped name, or a folder
image_codes = open_image_codes(folder)                            # an `ImageCodes`
"""

from pathlib import Path

from ..manifests.errors import BadInput
from ..manifests.run_folders import ImageTokenizerFolder
from .image_codes import ImageCodes
from .read_image_codes import read_image_codes

SHIPPED = Path(__file__).parent


def open_image_codes(folder: Path, device: str = "cpu") -> ImageCodes:
    """Return the tokenizer in `folder`, on cpu or cuda. Raises BadInput when there is none."""
    files = ImageTokenizerFolder(folder)
    return read_image_codes(files.weights, files.config, device)


def find_image_tokenizer(name: str, base: Path) -> Path:
    """Return the absolute folder of a shipped tokenizer, or of one by path: relative to `base`, or to the current
    directory. Raises BadInput when neither exists."""
    for folder in (SHIPPED / name, base / name, Path(name)):
        if ImageTokenizerFolder(folder).weights.is_file():
            return folder.resolve()
    shipped = ", ".join(sorted(path.name for path in SHIPPED.iterdir() if ImageTokenizerFolder(path).weights.is_file()))
    raise BadInput(
        f"image tokenizer `{name}`: not found",
        cure=f"give the folder `tokenizer/image` of a run, or a shipped one: {shipped}",
    )
