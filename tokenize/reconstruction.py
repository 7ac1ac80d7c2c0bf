"""What the codes keep of a picture: PSNR on held-out pictures, use of the codebook, and a sheet to look at.

    measure_reconstruction(recipe, corpus, shards)     # writes reconstruction.json and reconstruction.png beside them

PSNR is of uint8 RGB at the tokenizer's side. It is of the validation split, which no training has
seen, or of the train split where there is no other; `split` says which.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
from .crops import PLAN_COLUMNS, cropped
from .image_codes import Codes, ImageCodes, Pictures
from .open_image_codes import open_image_codes
from .quality import psnr

_MOST_PICTURES = 1000  # judged; a validation split may hold millions
_SHEET_COLUMNS = 16


def measure_reconstruction(recipe: Recipe, corpus: Manifest, shards: Manifest) -> dict[str, Any]:
    folder = ShardsFolder(shards.folder)
    image_codes = open_image_codes(folder.image_tokenizer.resolve())
    split = "validation" if shards.document["splits"]["validation"]["samples"] else "train"
    reader = SplitReader(shards, split)
    rows = np.linspace(0, len(reader) - 1, min(len(reader), _MOST_PICTURES)).astype(np.int64)
    original = _originals(recipe, corpus, [reader.meta(row)["key"] for row in rows.tolist()], image_codes)
    codes = reader.rows(rows)[0].reshape(-1, *image_codes.identity.grid)
    restored = decode_in_batches(image_codes, codes)
    measured = {
        "split": split,
        "pictures": len(rows),
        **psnr(original, restored),
        **codebook_use(shards, image_codes.identity.codebook),
    }
    _save_sheet(folder.reconstruction_sheet, original, restored)
    with whole_file(folder.reconstruction) as temporary:
        temporary.write_bytes(canonical_json(exact(measured)) + b"\n")
    return measured


def codebook_use(shards: Manifest, codebook: int) -> dict[str, Any]:
    """Which share of the codebook the whole corpus uses, and the perplexity of its codes."""
    counts = np.zeros(codebook, np.int64)
    for split in shards.document["splits"]:
        reader = SplitReader(shards, split)
        for start in range(0, len(reader), 4096):
            codes = reader.rows(np.arange(start, min(start + 4096, len(reader))))[0]
            counts += np.bincount(codes.reshape(-1), minlength=codebook)
    share = counts[counts > 0] / counts.sum()
    return {
        "codebook_used": round(float((counts > 0).mean()), 4),
        "perplexity": round(float(np.exp(-(share * np.log(share)).sum())), 1),
    }


def decode_in_batches(image_codes: ImageCodes, codes: Codes, batch: int = 64) -> Pictures:
    return np.concatenate([image_codes.decode(codes[start : start + batch]) for start in range(0, len(codes), batch)])


def _originals(recipe: Recipe, corpus: Manifest, keys: list[str], image_codes: ImageCodes) -> Pictures:
    kept = read_kept_pairs(corpus, PLAN_COLUMNS)
    place = {key: number for number, key in enumerate(kept["key"].to_pylist())}
    rows = kept.take([place[key] for key in keys]).to_pylist()
    roots = picture_roots(recipe, CorpusFolder(corpus.folder))
    pictures = []
    with progress("reconstruct", len(rows), "picture") as advance:
        for picture, _ in cropped(rows, roots, image_codes.identity.side_px):
            pictures.append(picture)
            advance()
    return np.stack(pictures)


def _save_sheet(path: Path, original: NDArray[np.uint8], restored: NDArray[np.uint8]) -> None:
    """Three double rows of originals above what came back of them."""
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
