"""`tuwen tokenizer`: train a recipe's own tokenizers on the train split of its corpus.

    manifest = train_tokenizers(recipe, corpus, TokenizerFolder(…), StageRun(), kinds=("image", "text"))

Writes `text.model` (SentencePiece) and `image/`, a folder that is a tokenizer on its own: weights, config, the recipe,
and `quality.json` with its PSNR on pictures that it has not seen.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.documents import Json
from ..manifests.errors import BadInput, TuwenError
from ..manifests.manifest import Manifest, drop_manifest, file_entry, load_manifest, new_manifest, save_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import CorpusFolder, ImageTokenizerFolder, TokenizerFolder
from ..manifests.verify import verify_manifest
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.corpus_files.split import split_rows
from ..pipeline.executor.progress import progress
from ..pipeline.executor.stage import StageRun
from ..pipeline.open_source import picture_roots
from .caption_ids import character_table, open_caption_ids
from .compact.train_on_corpus import train_on_corpus
from .plan_parts import PLAN_COLUMNS
from .train_sentencepiece import train_sentencepiece

Kind = Literal["image", "text"]


def train_tokenizers(
    recipe: Recipe,
    corpus: Manifest,
    folder: TokenizerFolder,
    run: StageRun,
    kinds: tuple[Kind, ...] = ("image", "text"),
) -> Manifest:
    """Return the manifest of the tokenizers. Raises BadInput when there is no caption, or no held-out picture."""
    with sole_writer(folder.path):
        splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
        if "image" in kinds and not len(splits["validation"]):
            raise BadInput(
                "no picture is held out, so the tokenizer could not be judged", cure="raise `split.validation`"
            )
        drop_manifest(folder.path)
        if "text" in kinds:
            _train_text(recipe, splits["train"], folder)
        image = ImageTokenizerFolder(folder.image)
        if "image" in kinds and not _is_trained(recipe, corpus, image):
            drop_manifest(image.path)
            run = replace(run, roots=picture_roots(recipe, CorpusFolder(corpus.folder)))
            train_on_corpus(recipe, corpus, splits, folder, run)
            _save(image.path, _listed(image), recipe, corpus)
        files = [path for path in (folder.text_model, *_listed(image), image.manifest) if path.is_file()]
        return _save(folder.path, files, recipe, corpus)


def _train_text(recipe: Recipe, rows: pa.Table, folder: TokenizerFolder) -> None:
    asked = recipe.tokenize.text
    if asked.path:
        model = given_model(recipe)
    elif asked.tokenizer == "characters":
        model = character_table(rows["caption"].to_pylist(), asked.vocab)
    else:
        with progress("SentencePiece", 1, "model") as advance:
            model = train_sentencepiece(rows["caption"].to_pylist(), asked.vocab)
            advance()
    with whole_file(folder.text_model) as temporary:
        temporary.write_bytes(model)


def given_model(recipe: Recipe) -> bytes:
    """The bytes of the text tokenizer that the recipe names by `path`. Raises BadInput when it is of another kind."""
    asked = recipe.tokenize.text
    path = recipe.base / (asked.path or "")
    if not path.is_file():
        raise BadInput(f"text tokenizer: {path} does not exist", cure="correct `tokenize.text.path`")
    data = path.read_bytes()
    try:
        kind = open_caption_ids(data).kind
    except BadInput as error:
        raise BadInput(f"{path}: {error.problem}", error.cure) from None
    if kind != asked.tokenizer:
        raise BadInput(f"{path}: is of kind {kind}, not {asked.tokenizer}", cure=f"write `tokenizer: {kind}`")
    return data


def _is_trained(recipe: Recipe, corpus: Manifest, image: ImageTokenizerFolder) -> bool:
    """Whether the tokenizer there is of this corpus, split and training: a quarter of an hour is not spent twice."""
    try:
        manifest = load_manifest(image.path)
    except TuwenError:  # there is none, or it was altered
        return False
    before, now = manifest.document["lineage"]["recipe"], recipe.document()
    is_same = before["split"] == now["split"] and _training(before) == _training(now)
    return is_same and manifest.lineage.parents == [corpus.id] and not list(verify_manifest(manifest))


def _training(recipe: Json) -> Json:
    """Return what decides the weights."""
    return {key: value for key, value in recipe["tokenize"]["image"]["training"].items() if key != "checkpoint_every"}


def _listed(image: ImageTokenizerFolder) -> list[Path]:
    """The files that the manifest of an image tokenizer lists."""
    return [image.weights, image.config, image.quality, image.recipe]


def _save(folder: Path, files: list[Path], recipe: Recipe, corpus: Manifest) -> Manifest:
    document = new_manifest(
        "tokenizer",
        files=[file_entry(folder, path.relative_to(folder).as_posix()) for path in files],
        lineage={"recipe": recipe.document(), "parents": [corpus.id]},
    )
    return save_manifest(folder, document)
