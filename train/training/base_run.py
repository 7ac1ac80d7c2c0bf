"""The run that a fine-tuning begins from: found, and refused where it does not fit the shards.

    base = open_base("runs/base", recipe.base)          # or `emoji`, which is shipped
    check_fits(base, shards, layout, recipe.train)      # BadInput, with what differs

Codes and pieces mean what the base has learned only where both tokenizers and the layout of ids are its own. The model
is the base's, whatever the preset, which then gives batch and learning rate alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...manifests.errors import BadInput
from ...manifests.flattened import flattened
from ...manifests.manifest import Manifest, load_manifest
from ...manifests.recipe.training import Train
from ...tokenize.finer_sequence import FinerLayout
from ...tokenize.sequence import SequenceLayout
from ..run.checkpoint import Tensors
from ..run.run import Run, open_run
from ..transformer.model import ModelConfig, Transformer


def open_base(init: str, recipe_folder: Path) -> Run:
    """The finished run of that name: relative to the recipe, else to the current directory, else shipped.

    Raises BadInput when there is none, or when it is not finished, so that no manifest says what it is.
    """
    places = [place.resolve() for place in (recipe_folder / init, Path(init)) if place.exists()]
    run = open_run(places[0] if places else Path(init))
    if not run.folder.manifest.is_file():
        raise BadInput(
            f"`train.init`: {run.folder.path} is not finished, so nothing says what it is",
            cure="let `tuwen train` end, or name another run",
        )
    return run


def first_weights(run: Run) -> Tensors:
    """What a run with a base begins from: the base's weights, and first ones of the ids and positions that it adds."""
    weights, finer, settings = run.load_base(), run.document.finer, run.document.settings
    return weights if finer is None else grown(weights, settings.model, settings.seed, finer)


def grown(base: Tensors, config: ModelConfig, seed: int, layout: FinerLayout) -> Tensors:
    """The weights of a model of more ids and positions, of which the first are the base's.

    The position of a finer code begins as that of the coarse code which it is a part of: it looks there.
    """
    weights = dict(Transformer(config, seed).state_dict())
    for name, tensor in base.items():
        weights[name][: len(tensor)] = tensor
    if config.num_positions > layout.coarse.length:
        row, column = np.divmod(np.arange(layout.num_places), layout.finer_grid[1])
        under = row // layout.scale * layout.coarse_grid[1] + column // layout.scale
        of_coarse = base["position.weight"][layout.coarse.first_code_position :]
        first = layout.first_place_position
        weights["position.weight"][first : first + layout.num_places] = of_coarse[torch.from_numpy(under)]
    return weights


def base_id(base: Run) -> str:
    return load_manifest(base.folder.path, "train").id


def check_fits(base: Run, shards: Manifest, layout: SequenceLayout, asked: Train) -> None:
    """Raises BadInput when the base was trained on other tokenizers, another layout or another model than asked."""
    lineage, where = shards.document["lineage"], f"`train.init`: {base.folder.path}"
    if base.document.finer is not None:
        raise BadInput(f"{where} has learned finer codes alone", cure="begin from the run that it was begun from")
    for kind, own in (("image", base.document.image_tokenizer), ("text", base.document.text_tokenizer)):
        tokenizer = lineage.get(f"{kind}_tokenizer")
        found = tokenizer["sha256"] if isinstance(tokenizer, dict) else ""
        if found != own:
            cure = f"tokenize with the base's own, in {base.folder.image_tokenizer}"
            if kind == "text":
                cure = f"tokenize with the base's own: --set tokenize.text.path={base.folder.text_model}"
            raise BadInput(
                f"{where} was trained with the {kind} tokenizer {own}, and the shards have {found or 'none'}", cure=cure
            )
    of_base, of_shards = flattened({"layout": vars(base.layout)}), flattened({"layout": vars(layout)})
    of_base |= flattened({"train.model": base.document.settings.model.model_dump()})
    of_shards |= flattened({"train.model": asked.model.model_dump(exclude_none=True)})
    for key, value in of_shards.items():
        if of_base.get(key) != value:
            cure = f"leave `{key}` away" if key.startswith("train.") else f"begin from a run with {_said(key, value)}"
            if key == "layout.text_max":
                cure = f"give --set tokenize.text.max_tokens={of_base[key]}"
            raise BadInput(f"{where} has {_said(key, of_base.get(key))}, and not {value}", cure=cure)


def _said(key: str, value: Any) -> str:
    return f"`{key}` {value}"
