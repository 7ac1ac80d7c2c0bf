"""The compact VQ's network: any size that its patch divides, codes of a picture that depend on it alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tuwen.manifests.errors import BadInput
from tuwen.manifests.run_folders import ImageTokenizerFolder
from tuwen.tokenize.compact.compact_codes import open_compact_vq, save_compact_vq
from tuwen.tokenize.compact.compact_vq import CompactVQ, CompactVQConfig

SMALL = {"width": 16, "fine_width": 8, "codebook_size": 32}


@pytest.mark.parametrize("patch", [8, 16])
@pytest.mark.parametrize("attention", [False, True])
def test_it_takes_any_size_that_its_patch_divides(patch: int, attention: bool) -> None:
    model = CompactVQ(CompactVQConfig.model_validate({**SMALL, "patch_px": patch, "attention": attention}))
    for height, width in ((16, 16), (48, 32), (128, 128)):
        codes = model.encode(torch.rand(3, 3, height, width))
        assert codes.shape == (3, height // patch, width // patch)
        assert model.decode(codes).shape == (3, 3, height, width)
    with pytest.raises(ValueError, match=f"24 x 36 px do not divide in patches of {patch} px"):
        model.encode(torch.rand(1, 3, 24, 36))


@pytest.mark.parametrize(("side", "patch"), [(64, 8), (64, 16), (128, 8), (96, 16)])
def test_a_tokenizer_of_any_side_and_patch_comes_back_as_it_was_saved(tmp_path: Path, side: int, patch: int) -> None:
    config = CompactVQConfig.model_validate({**SMALL, "patch_px": patch, "attention": True})
    model = with_random_ends(CompactVQ(config)).half().float()
    files = ImageTokenizerFolder(tmp_path)
    save_compact_vq(model, side, files.weights, files.config)
    opened = open_compact_vq(files.weights, files.config)
    grid = (side // patch, side // patch)
    assert (opened.identity.name, opened.identity.side_px, opened.identity.grid) == (f"compact-{side}", side, grid)
    pictures = np.random.default_rng(0).integers(0, 256, (19, side, side, 3), dtype=np.uint8)
    codes = opened.encode(pictures)
    assert np.array_equal(codes, model.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255).numpy())
    assert np.array_equal(codes[7:8], opened.encode(pictures[7:8]))
    assert len(np.unique(codes)) >= 4
    assert np.array_equal(opened.decode(codes)[7:8], opened.decode(codes[7:8]))


def test_a_side_that_the_patch_does_not_divide_is_refused_with_both(tmp_path: Path) -> None:
    files = ImageTokenizerFolder(tmp_path)
    save_compact_vq(CompactVQ(CompactVQConfig.model_validate(SMALL)), 64, files.weights, files.config)
    files.config.write_text(files.config.read_text().replace('"side_px":64', '"side_px":60'))
    with pytest.raises(BadInput, match=r"config\.json: patches of 8 px do not divide 60 px"):
        open_compact_vq(files.weights, files.config)


def with_random_ends(model: CompactVQ) -> CompactVQ:
    """A new network's blocks are identities; one in use is not."""
    torch.manual_seed(0)
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return model
