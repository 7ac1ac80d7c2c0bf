"""The image tokenizer of imported codes: its files where the user has them, else its name alone.

    identity = put_tokenizer(asked, ImageTokenizerFolder(folder.image_tokenizer))

Codes alone can be read, verified and trained on. Pictures come back of them where the tokenizer's two files are there.
"""

import shutil
from pathlib import Path

import yaml
from pydantic import ValidationError

from ...manifests.atomic import whole_file
from ...manifests.canonical import sha256_of
from ...manifests.errors import BadInput
from ...manifests.recipe.tokenizing import ImageTokenizer
from ...manifests.run_folders import TOKENIZER_FILES, ImageTokenizerFolder
from ...manifests.validation_words import plain_errors
from ..image_codes import ImageTokenizerIdentity
from ..open_image_codes import SHIPPED, open_image_codes
from .asked import Asked


def put_tokenizer(asked: Asked, folder: ImageTokenizerFolder) -> ImageTokenizerIdentity:
    """Put the tokenizer's files into `folder` if there are any.

    `--tokenizer` is a folder of a tokenizer of Tuwen, the name of a shipped one, a mapping as `tokenize.image` of a
    recipe has it, or any other name. Raises BadInput when the tokenizer gives other codes than the files hold.
    """
    said = asked.tokenizer or "unknown"
    source = next((path for path in (SHIPPED / said, Path(said)) if ImageTokenizerFolder(path).weights.is_file()), None)
    if said.startswith("{"):
        from ..pretrained.convert import convert

        convert(_section(said), Path.cwd(), folder)
    elif source is not None:
        for name in TOKENIZER_FILES:
            with whole_file(folder.path / name) as temporary:
                shutil.copyfile(source / name, temporary)
    elif Path(said).exists():
        raise BadInput(
            f"--tokenizer {said}: holds no {' and '.join(TOKENIZER_FILES)}",
            cure="write --tokenizer '{kind: llamagen, path: …, size: 256}' as in a recipe, or a name alone",
        )
    else:
        return _named(asked, said)
    identity = open_image_codes(folder.path).identity
    _check_facts(asked, identity, said)
    return identity


def _check_facts(asked: Asked, identity: ImageTokenizerIdentity, said: str) -> None:
    codebook, shape = asked.codebook or identity.codebook, asked.shape if asked.grid else identity.shape
    if (codebook, shape) != (identity.codebook, identity.shape):
        theirs, ours = ("×".join(map(str, each)) for each in (identity.shape, shape))
        raise BadInput(
            f"--tokenizer {said}: gives {theirs} codes of {identity.codebook:,}, not {ours} of {codebook:,}",
            cure="correct --grid, --codebook or --tokenizer",
        )


def _section(said: str) -> ImageTokenizer:
    try:
        document = yaml.safe_load(said)
        section = ImageTokenizer.model_validate(document)
    except yaml.YAMLError:
        raise BadInput(f"--tokenizer {said}: no mapping", cure="write '{kind: …, path: …, size: …}'") from None
    except ValidationError as error:
        problem = plain_errors(error, document)[0].problem
        raise BadInput(f"--tokenizer: {problem}", cure="write it as `tokenize.image` of a recipe") from None
    if section.kind == "compact":
        raise BadInput("--tokenizer: kind compact needs no mapping", cure="say --tokenizer compact-64, or its folder")
    return section


def _named(asked: Asked, name: str) -> ImageTokenizerIdentity:
    """A tokenizer of which nothing is here but its name: its hashes are those of what is said of it."""
    facts = {"codebook": asked.num_ids, "shape": list(asked.shape)}
    assert asked.grid is not None  # else `shape` has refused it
    return ImageTokenizerIdentity(
        name=name,
        sha256=sha256_of({"name": name}),
        config_sha256=sha256_of(facts),
        codebook=asked.num_ids,
        grid=asked.grid.shape,
        side_px=0,
        compute_dtype="unknown",
        kind="imported",
        codebooks=asked.codebooks or 1,
        scales=asked.grid.scales,
        device="unknown",
        resize="unknown",
    )
