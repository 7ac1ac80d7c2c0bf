"""Pictures, the tokenizer that a recipe asks for, and the comparison of its codes with those of an original."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuwen.manifests.recipe.tokenizing import ImageTokenizer
from tuwen.manifests.run_folders import ImageTokenizerFolder
from tuwen.tokenize.image_codes import ImageCodes
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.tokenize.pretrained.convert import convert

SIZE = 64
Array = np.ndarray[Any, Any]


def opened(tmp_path: Path, **asked: Any) -> ImageCodes:
    folder = ImageTokenizerFolder(tmp_path / "tokenizer")
    convert(ImageTokenizer.model_validate({"size": SIZE, "batch": 5, **asked}), tmp_path, folder)
    return open_image_codes(folder.path)


def pictures(count: int = 5, side_px: int = SIZE) -> Array:
    return np.random.default_rng(0).integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8)


def pixels(low: float = -1.0, count: int = 5) -> Tensor:
    """The same pictures as a library takes them: `low` … 1."""
    unit = (torch.from_numpy(pictures(count)).permute(0, 3, 1, 2).float() / 255).contiguous()
    return (unit - 0.5) / 0.5 if low else unit


def as_pictures(decoded: Tensor, low: float = -1.0) -> Array:
    unit = decoded / 2 + 0.5 if low else decoded
    return (unit.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def check_parity(ours: ImageCodes, codes: Tensor, decoded: Array | None) -> None:
    """All codes equal, and a picture alone beside five; decoded pixels differ by rounding alone."""
    encoded = ours.encode(pictures())
    assert (encoded == codes.numpy()).all()
    assert len(np.unique(encoded)) > 1, "one code for everything shows nothing"
    assert (np.concatenate([ours.encode(each[None]) for each in pictures()]) == encoded).all()
    if decoded is not None:
        difference = np.abs(ours.decode(encoded).astype(int) - decoded.astype(int))
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.99
