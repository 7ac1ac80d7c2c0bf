"""An image tokenizer from its two files: the table of what kinds there are, which workers read too.

    image_codes = read_image_codes(weights, config)         # an `ImageCodes`

There is one kind today. A second one is told apart here, by its config.
"""

from pathlib import Path

from .compact_codes import open_compact_vq
from .image_codes import ImageCodes


def read_image_codes(weights: Path, config: Path) -> ImageCodes:
    """Return the tokenizer that two files hold. Raises BadInput when they hold none."""
    return open_compact_vq(weights, config)
