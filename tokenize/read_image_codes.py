"""An image tokenizer from its two files, which workers read too.

    image_codes = read_image_codes(weights, config)              # an `ImageCodes`
    image_codes = read_image_codes(weights, config, "cuda")      # on a GPU

A config that names a `kind` is of a pretrained tokenizer; that room is imported only then, since it needs libraries
that the compact VQ does without. A part that needs it names its modules (`pretrained_modules`).
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from .compact.compact_codes import open_compact_vq
from .image_codes import ImageCodes


def read_image_codes(weights: Path, config: Path, device: str = "cpu") -> ImageCodes:
    """Return the tokenizer that two files hold, on cpu or cuda. Raises BadInput when they hold none."""
    if kind_of(config) is None:
        return open_compact_vq(weights, config, device)
    pretrained: Any = import_module(".pretrained.pretrained_codes", __package__)
    opened: ImageCodes = pretrained.open_pretrained(weights, config, device)
    return opened


def kind_of(config: Path) -> str | None:
    """Return the kind of a pretrained tokenizer; None for the compact VQ, and for a file that is none."""
    try:
        document = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return None
    return document.get("kind") if isinstance(document, dict) else None
