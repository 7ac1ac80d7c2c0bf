"""What the codes keep of a picture: PSNR on held-out pictures, use of the codebook, and a sheet to look at.

    measure_reconstruction(recipe, corpus, shards)     # writes reconstruction.json and reconstruction.png beside them

The pictures are those of the validation split, which no training has seen, or of the train split if there is no other;
`split` says which. PSNR is of uint8 RGB at the tokenizer's side.
"""

from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image

from ..manifests.atomic import whole_file
from ..manifests.canonical import canonical_json, exact
from ..manifests.manifest import Manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import CorpusFolder, ShardsFolder
from ..manifests.shards.split_reader import SplitReader
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.executor.progress import progress
from ..pipeline.open_source import picture_roots
from .crops.cropped import cropped
from .image_codes import ImageCodes, Pictures
from .open_image_codes import open_image_codes
from .plan_parts import PLAN_COLUMNS
from .quality import Psnr, decode_in_batches, psnr

_MAX_PICTURES = 1000  # measured; a validation split may hold millions
_COUNTED_ROWS = 4096  # whose codes are in memory at a time
_SHEET_COLUMNS = 16


class CodebookUse(TypedDict):
    """How the codes of a whole corpus use the codebook."""

    codebook_used: float  # share of the codes that occur, 0 … 1
    perplexity: float  # exp of the entropy of the codes; at most the size of the codebook


class Reconstruction(Psnr, CodebookUse):
    """reconstruction.json, where floats are decimal strings."""

    split: str
    pictures: int  # that the PSNR is of


def measure_reconstruction(recipe: Recipe, corpus: Manifest, shards: Manifest) -> Reconstruction:
    """Decode the stored codes, compare them with the pictures of the corpus, and write both files."""
    folder = ShardsFolder(shards.folder)
    image_codes = open_image_codes(folder.image_tokenizer)
    split = "validation" if shards.splits["validation"].samples else "train"
    reader = SplitReader(shards, split)
    rows = np.linspace(0, len(reader) - 1, min(len(reader), _MAX_PICTURES)).astype(np.int64)
    original = _originals(recipe, corpus, [meta["key"] for meta in reader.metas(rows)], image_codes)
    codes = reader.rows(rows)[0].reshape(-1, *image_codes.identity.grid)
    restored = decode_in_batches(image_codes, codes)
    measured: Reconstruction = {
        "split": split,
        "pictures": len(rows),
        **psnr(original, restored),
        **codebook_use(shards, image_codes.identity.codebook),
    }
    _save_sheet(folder.reconstruction_sheet, original, restored)
    with whole_file(folder.reconstruction) as temporary:
        temporary.write_bytes(canonical_json(exact(measured)) + b"\n")
    return measured


def codebook_use(shards: Manifest, codebook: int) -> CodebookUse:
    """Count the codes of all splits. `codebook` is the number of codes that there are."""
    counts = np.zeros(codebook, np.int64)
    for split in shards.splits:
        reader = SplitReader(shards, split)
        for start in range(0, len(reader), _COUNTED_ROWS):
            codes = reader.rows(np.arange(start, min(start + _COUNTED_ROWS, len(reader))))[0]
            counts += np.bincount(codes.reshape(-1), minlength=codebook)
    share = counts[counts > 0] / counts.sum()
    return CodebookUse(
        codebook_used=round(float((counts > 0).mean()), 4),
        perplexity=round(float(np.exp(-(share * np.log(share)).sum())), 1),
    )


def _originals(recipe: Recipe, corpus: Manifest, keys: list[str], image_codes: ImageCodes) -> Pictures:
    kept = read_kept_pairs(corpus, PLAN_COLUMNS)
    row_of_key = {key: row for row, key in enumerate(kept["key"].to_pylist())}
    rows = kept.take([row_of_key[key] for key in keys])
    roots = picture_roots(recipe, CorpusFolder(corpus.folder))
    pictures = []
    with progress("reconstruct", len(rows), "picture") as advance:
        for picture, _ in cropped(rows, roots, image_codes.identity.side_px, image_codes.identity.resize):
            pictures.append(picture)
            advance()
    return np.stack(pictures)


def _save_sheet(path: Path, original: Pictures, restored: Pictures) -> None:
    """Write three double rows: originals, and below them what came back."""
    chosen = np.linspace(0, len(original) - 1, min(len(original), 3 * _SHEET_COLUMNS)).astype(int)
    rows = []
    for start in range(0, len(chosen), _SHEET_COLUMNS):
        for pictures in (original, restored):
            row = np.full((pictures.shape[1], _SHEET_COLUMNS * pictures.shape[2], 3), 255, np.uint8)
            line = np.concatenate(list(pictures[chosen[start : start + _SHEET_COLUMNS]]), axis=1)
            row[:, : line.shape[1]] = line
            rows.append(row)
    with whole_file(path) as temporary:
        Image.fromarray(np.concatenate(rows)).save(temporary, format="PNG", optimize=True)
