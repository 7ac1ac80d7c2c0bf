"""What the codes keep of a picture: PSNR and SSIM on held-out pictures, use of the codebook, and a sheet to look at.

    measure_reconstruction(recipe, corpus, shards)     # writes reconstruction.json and reconstruction.png beside them

The pictures are those of the validation split, which no training has seen, or of the train split if there is no other;
`split` says which. PSNR is of uint8 RGB at the tokenizer's side. Codes of further tokenizers have files of their own,
`reconstruction_NAME.json` and `.png`.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ..manifests.atomic import whole_file
from ..manifests.canonical import canonical_json, exact
from ..manifests.manifest import Manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import CorpusFolder, ShardsFolder
from ..manifests.shards.split_reader import SplitReader
from ..pipeline.open_source import picture_roots
from .crops.original_crops import original_crops
from .image_codes import ImageCodes, ImageTokenizerIdentity, Pictures
from .open_image_codes import open_image_codes
from .quality import CodebookUse, Psnr, codebook_use, count_codes, decode_in_batches, psnr, ssim

_MAX_PICTURES = 1000  # measured; a validation split may hold millions
_COUNTED_ROWS = 4096  # whose codes are in memory at a time
_SHEET_COLUMNS = 16


class Reconstruction(Psnr, CodebookUse):
    """reconstruction.json, where floats are decimal strings."""

    split: str
    pictures: int  # that PSNR and SSIM are of
    ssim: float


def measure_reconstruction(recipe: Recipe, corpus: Manifest, shards: Manifest) -> dict[str, Reconstruction]:
    """Decode the stored codes, compare them with the pictures of the corpus, and write both files of each array.

    Returns what was measured, by array. Those of tokenizers without a decoder are passed over.
    """
    folder = ShardsFolder(shards.folder)
    arrays = ("codes", *shards.sample_schema.also)
    tokenizers = {array: open_image_codes(folder.image_tokenizer_of(array)) for array in arrays}
    return {
        array: _measure(recipe, corpus, shards, array, tokenizer)
        for array, tokenizer in tokenizers.items()
        if tokenizer.identity.decodes
    }


def _measure(recipe: Recipe, corpus: Manifest, shards: Manifest, array: str, image_codes: ImageCodes) -> Reconstruction:
    folder = ShardsFolder(shards.folder)
    split = "validation" if shards.splits["validation"].samples else "train"
    reader = SplitReader(shards, split, codes=array)
    rows = np.linspace(0, len(reader) - 1, min(len(reader), _MAX_PICTURES)).astype(np.int64)
    roots, fill = picture_roots(recipe, CorpusFolder(corpus.folder)), recipe.tokenize.crops.fill
    original = original_crops(corpus, roots, reader.metas(rows), image_codes.identity, fill)
    codes = reader.rows(rows)[0].reshape(-1, *image_codes.identity.shape)
    restored = decode_in_batches(image_codes, codes)
    measured: Reconstruction = {
        "split": split,
        "pictures": len(rows),
        **psnr(original, restored),
        "ssim": round(ssim(original, restored), 4),
        **codebook_use_of(shards, array, image_codes.identity),
    }
    _save_sheet(folder.reconstruction_sheet_of(array), original, restored)
    with whole_file(folder.reconstruction_of(array)) as temporary:
        temporary.write_bytes(canonical_json(exact(measured)) + b"\n")
    return measured


def codebook_use_of(shards: Manifest, array: str, identity: ImageTokenizerIdentity) -> CodebookUse:
    """Count the codes of all splits."""
    counts = np.zeros((identity.codebooks, identity.codebook), np.int64)
    for split in shards.splits:
        reader = SplitReader(shards, split, codes=array)
        for start in range(0, len(reader), _COUNTED_ROWS):
            codes = reader.rows(np.arange(start, min(start + _COUNTED_ROWS, len(reader))))[0]
            counts += count_codes(codes, identity)
    return codebook_use(counts)


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
