"""The model that a recipe names → the two files of an image tokenizer.

convert(recipe.tokenize.image, recipe.base, ImageTokenizerFolder(folder))     # kind: diffusers, path: models/movq, …
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json
from ...manifests.errors import BadInput
from ...manifests.recipe.tokenizing import ImageTokenizer
from ...manifests.run_folders import ImageTokenizerFolder
from .network import Converted, Network
from .pretrained_codes import adapter
from .pretrained_config import PretrainedConfig, with_decimals, with_floats
from .seen import seen


def convert(asked: ImageTokenizer, base: Path, folder: ImageTokenizerFolder) -> None:
    """Raises BadInput when the model is missing, of another kind, or cannot encode pictures of that size."""
    path = (base / asked.path).absolute() if asked.path else None
    if path is not None and not path.exists():
        raise BadInput(f"image tokenizer: {path} does not exist", cure="correct `tokenize.image.path`")
    converted = _converted(asked, path)
    config = _config(asked, converted, path)
    with whole_file(folder.weights) as temporary:
        save_file({name: tensor.contiguous().clone() for name, tensor in sorted(converted.tensors.items())}, temporary)
    with whole_file(folder.config) as temporary:
        temporary.write_bytes(canonical_json(config.model_dump(mode="json")) + b"\n")


def _converted(asked: ImageTokenizer, path: Path | None) -> Converted:
    """Raises BadInput, which says what lies at the path where that is of another kind."""
    try:
        return _by_adapter(asked, path)
    except BadInput as error:
        found = seen(path) if path else None
        if found is None or found.kind == asked.kind:
            raise
        cure = f"write `kind: {found.kind}`" if found.kind else "name the folder or file of an image tokenizer"
        raise BadInput(f"{path}: is {found.what}, which `kind: {asked.kind}` does not read", cure=cure) from error


def _by_adapter(asked: ImageTokenizer, path: Path | None) -> Converted:
    module = adapter(asked.kind)
    if asked.kind == "python":
        converted: Converted = module.convert(path, asked.python)
    elif asked.kind == "torchscript":
        converted = module.convert(path, asked.codebook)
    else:
        converted = module.convert(path)
    return converted


def _config(asked: ImageTokenizer, converted: Converted, path: Path | None) -> PretrainedConfig:
    assert asked.size is not None  # the recipe checks it
    model = with_decimals(converted.model)
    network = adapter(asked.kind).build(with_floats(model), converted.tensors)
    mean, std = ((repr(red), repr(green), repr(blue)) for red, green, blue in converted.normalisation)
    grid = _grid(network, converted, asked)
    return PretrainedConfig(
        kind=asked.kind,
        name=converted.name or asked.kind,
        side_px=asked.size,
        grid=grid,
        codebook=converted.codebook,
        codebooks=converted.codebooks,
        scales=_scales(converted, grid),
        decodes=converted.decodes,
        mean=mean,
        std=std,
        resize=asked.resampling,
        batch=asked.batch,
        precision=asked.precision,
        compile=asked.compile,
        channels_last=asked.channels_last,
        license=asked.license,
        library=converted.library,
        files={_name(file, path): _sha256(file) for file in converted.files},
        model=model,
    )


@torch.inference_mode()
def _grid(network: Network, converted: Converted, asked: ImageTokenizer) -> tuple[int, ...]:
    """The grid (h, w), or the row (n,), of codes of a picture of the asked size, from one that is black."""
    side = asked.size or 0
    try:
        codes = network.encode(torch.zeros(1, 3, side, side))
    except (RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())[:160]
        raise BadInput(f"{asked.kind}: cannot encode {side} px ({problem})", cure="correct `size`") from None
    shape = tuple(codes.shape[1:])
    grid = shape[:-1] if converted.codebooks > 1 else shape
    is_grid = len(grid) == 2 and not any(side % cells for cells in grid)
    if (converted.codebooks > 1 and shape[-1] != converted.codebooks) or not (is_grid or len(grid) == 1):
        raise BadInput(
            f"{asked.kind}: {side} px become codes of {shape}, neither a row nor a grid that divides the picture",
            cure="correct `size`",
        )
    return grid


def _scales(converted: Converted, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Those that add up to the codes of a picture. Raises BadInput when none do."""
    fitting = [scales for scales in converted.scales if sum(side**2 for side in scales) == grid[0]]
    if converted.scales and not fitting:
        raise BadInput(f"{converted.name}: its scales do not add up to {grid[0]} codes", cure="correct `scales`")
    return fitting[0] if fitting else ()


def _name(file: Path, path: Path | None) -> str:
    """The name of a file below the path that the recipe names, or alone."""
    return str(file.relative_to(path)) if path and path.is_dir() and file.is_relative_to(path) else file.name


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        digest: Any = hashlib.file_digest(opened, "sha256")
    return f"sha256:{digest.hexdigest()}"
