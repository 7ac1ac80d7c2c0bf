"""The table of presets: each can be built, has as many parameters as the README says, and is known to recipes."""

import re
from typing import get_args

import pytest
import torch

from tuwen.manifests.environment import PACKAGE
from tuwen.manifests.recipe.training import PresetName
from tuwen.tokenize.sequence import cogview_layout, compact_layout
from tuwen.train.run.preset import PRESETS, model_config
from tuwen.train.transformer.model import Transformer

# As the README says: 256 codes of 1,024, captions of 32 pieces of 8,000; or CogView's ids.
LAYOUTS = {"compact": compact_layout(1024, 256, 8000, 32), "cogview": cogview_layout()}


def test_a_recipe_can_name_every_preset_and_no_other() -> None:
    assert set(PRESETS) == set(get_args(PresetName))


@pytest.mark.parametrize("name", get_args(PresetName))
def test_a_preset_is_built_without_memory_and_has_the_parameters_that_the_readme_states(name: PresetName) -> None:
    preset = PRESETS[name]
    with torch.device("meta"):
        model = Transformer(model_config(name, LAYOUTS[preset.layout]))
    count = sum(parameter.numel() for parameter in model.parameters())
    readme = (PACKAGE / "train" / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}` \| (.*) \|$", readme, re.MULTILINE)
    assert row is not None, f"no row of {name}"
    stated = row.group(1).split(" | ")
    assert stated[0] == f"{count:,}"
    assert stated[1] == f"{preset.depth} × {preset.width} × {preset.heads}"
    assert preset.batch % preset.micro_batches == 0
    assert preset.micro_batches & (preset.micro_batches - 1) == 0
    assert preset.warmup < preset.steps
