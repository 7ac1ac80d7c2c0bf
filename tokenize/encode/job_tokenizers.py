"""The tokenizers of a job: found, put beside the shards, and known by what identifies them.

tokenizers = put_tokenizers(recipe, text_model=Path("…/text.model"), folder=ShardsFolder(…))
tokenizers.images["codes"].side_px          # 64; further ones are "codes_NAME"
tokenizers.schema, tokenizers.input_files(folder)
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...manifests.atomic import whole_file
from ...manifests.recipe.recipe import Recipe
from ...manifests.recipe.tokenizing import ImageTokenizer
from ...manifests.run_folders import BY_OTHER_HANDS, TOKENIZER_FILES, ImageTokenizerFolder, ShardsFolder
from ...pipeline.executor.part import InputFile
from ..caption_ids import CaptionIds, open_caption_ids
from ..image_codes import ImageTokenizerIdentity
from ..open_image_codes import find_image_tokenizer, open_image_codes
from ..pretrained.convert import convert
from ..pretrained.pretrained_codes import pretrained_modules
from ..shard_header import SampleSchema, ShardHeader, sample_schema, shard_header
from .crops_ahead import Target


@dataclass(frozen=True)
class JobTokenizers:
    images: Mapping[str, ImageTokenizerIdentity]  # by array of codes
    text: CaptionIds
    text_width: int | None  # of padded captions; None: they are ragged

    @property
    def also(self) -> dict[str, ImageTokenizerIdentity]:
        return {array: identity for array, identity in self.images.items() if array != "codes"}

    @property
    def schema(self) -> SampleSchema:
        return sample_schema(self.images["codes"], self.text.vocab, self.text_width, self.also)

    @property
    def header(self) -> ShardHeader:
        also = {array: identity.document() for array, identity in self.also.items()}
        return shard_header(self.schema, self.images["codes"].document(), self.text.sha256, also)

    @property
    def targets(self) -> dict[str, Target]:
        return {array: Target(side_px=each.side_px, resize=each.resize) for array, each in self.images.items()}

    @property
    def modules(self) -> tuple[str, ...]:
        """The files of tuwen that encoding depends on besides those of every tokenizer."""
        return tuple(sorted({module for each in self.images.values() for module in pretrained_modules(each.kind)}))

    def input_files(self, folder: ShardsFolder) -> dict[str, InputFile]:
        """The copies in `folder`: other nodes see the run's folder, and none of this machine's packages."""
        files = {"text_model": InputFile(str(folder.text_model.resolve()), self.text.sha256)}
        for array, identity in self.images.items():
            tokenizer = ImageTokenizerFolder(folder.image_tokenizer_of(array).resolve())
            files[f"{array}.weights"] = InputFile(str(tokenizer.weights), identity.sha256)
            files[f"{array}.config"] = InputFile(str(tokenizer.config), identity.config_sha256)
        return files

    def file_names(self, folder: ShardsFolder) -> list[str]:
        """The files of all tokenizers, relative to `folder`."""
        tokenizers = [folder.image_tokenizer_of(array).relative_to(folder.path) for array in self.images]
        names = [(path / name).as_posix() for path in tokenizers for name in TOKENIZER_FILES]
        return sorted([*names, folder.text_model.name])


def put_tokenizers(recipe: Recipe, text_model: Path, folder: ShardsFolder) -> JobTokenizers:
    """Copy or convert the tokenizers that the recipe names: without them nobody can read the codes."""
    asked = {"codes": recipe.tokenize.image}
    asked |= {f"codes_{name}": tokenizer for name, tokenizer in sorted(recipe.tokenize.also.items())}
    device = device_of(recipe)
    images = {}
    for array, tokenizer in asked.items():
        beside = folder.image_tokenizer_of(array)
        _put_image_tokenizer(tokenizer, recipe.base, ImageTokenizerFolder(beside))
        images[array] = replace(open_image_codes(beside).identity, device=device)
    with whole_file(folder.text_model) as temporary:
        shutil.copyfile(text_model, temporary)
    text = recipe.tokenize.text
    captions = open_caption_ids(folder.text_model.read_bytes())
    return JobTokenizers(images, captions, text.max_tokens if text.storage == "padded" else None)


def device_of(recipe: Recipe) -> str:
    """The kind of device that encoders run on."""
    return "cuda" if recipe.tokenize.job.gpus else "cpu"


def _put_image_tokenizer(asked: ImageTokenizer, base: Path, folder: ImageTokenizerFolder) -> None:
    if asked.kind != "compact":
        convert(asked, base, folder)
        return
    source = find_image_tokenizer(asked.tokenizer, base)
    for name in (*TOKENIZER_FILES, *BY_OTHER_HANDS):
        if name in TOKENIZER_FILES or (source / name).is_file():
            with whole_file(folder.path / name) as temporary:
                shutil.copyfile(source / name, temporary)
