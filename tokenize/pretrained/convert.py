"""The model that a recipe names → the two files of an image tokenizer.

convert(recipe.tokenize.image, recipe.base, ImageTokenizerFolder(folder))     # kind: diffusers, path: models/movq, …
"""

from pathlib import Path

from ...manifests.errors import BadInput
from ...manifests.recipe.tokenizing import ImageTokenizer
from ...manifests.run_folders import ImageTokenizerFolder
from .network import Converted
from .pretrained_codes import adapter, write_pretrained


def convert(asked: ImageTokenizer, base: Path, folder: ImageTokenizerFolder) -> None:
    """Raises BadInput when the model is missing, of another kind, or cannot encode pictures of that size."""
    assert asked.size is not None  # the recipe checks it
    write_pretrained(
        _converted(asked, base), asked.kind, asked.size, asked.resampling, asked.batch, asked.license,
        folder.weights, folder.config,
    )  # fmt: skip


def _converted(asked: ImageTokenizer, base: Path) -> Converted:
    path = (base / asked.path).absolute() if asked.path else None
    if path is not None and not path.exists():
        raise BadInput(f"image tokenizer: {path} does not exist", cure="correct `tokenize.image.path`")
    module = adapter(asked.kind)
    if asked.kind == "python":
        converted: Converted = module.convert(path, asked.python)
    elif asked.kind == "torchscript":
        converted = module.convert(path, asked.codebook)
    elif asked.kind in ("taming", "llamagen"):
        converted = getattr(module, f"convert_{asked.kind}")(path)
    else:
        converted = module.convert(path)
    return converted
