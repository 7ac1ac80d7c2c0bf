"""What finer codes add to held-out pictures, beside their enlargement.

    found, sheet = judge_refined(run, shards, corpus, most_pictures=200)
    found["refined"]["psnr_db"], found["bicubic"]["psnr_db"]        # each with its interval

All begin from the real codes of held-out pictures. `bicubic` enlarges what the coarse codes decode to; `refined` has
the likeliest finer codes; `own_codes` decodes the picture's own, which no refining can pass by much. They are compared
with the picture itself, in the size of the finer codes.
"""

from typing import TypedDict

import numpy as np
from PIL import Image

from ...manifests.manifest import Manifest
from ...pipeline.open_source import roots_of
from ...tokenize.crops.original_crops import original_crops
from ...tokenize.image_codes import Pictures
from ...tokenize.quality import decode_in_batches, psnr, ssim
from ..painting.generate_pictures import check_refines, refined_pictures
from ..painting.sampling import SamplingConfig
from ..reading.two_grids import open_reader
from ..run.run import Run
from ..training.validation import SPLIT
from .interval import MeanWithInterval, mean_of

SHOWN = 8  # pictures of the sheet


class Likeness(TypedDict):
    """To the picture itself."""

    psnr_db: MeanWithInterval
    ssim: MeanWithInterval


class Refined(TypedDict):
    pictures: int
    side_px: int
    bicubic: Likeness
    refined: Likeness
    own_codes: Likeness
    gain: Likeness  # of refined over bicubic, picture by picture


def judge_refined(run: Run, shards: Manifest, corpus: Manifest, most_pictures: int) -> tuple[Refined, Pictures]:
    """Return the figures, and the sheet: bicubic, refined, own codes and the pictures themselves, a row each."""
    layout, coarse_codes, finer_codes = check_refines(run), run.image_codes, run.finer_image_codes
    reader = open_reader(shards, SPLIT, finer=layout.array)
    rows = np.linspace(0, len(reader) - 1, min(len(reader), most_pictures)).astype(np.int64)
    codes, text, lengths = reader.rows(rows)
    coarse, finer = np.split(codes.astype(np.int64), [layout.coarse.num_codes], axis=1)
    side_px = finer_codes.identity.side_px
    fill = corpus.document["lineage"]["recipe"]["tokenize"]["crops"]["fill"]
    real = original_crops(corpus, roots_of(corpus), reader.metas(rows), finer_codes.identity, fill)
    texts = [ids[:length].tolist() for ids, length in zip(text, lengths, strict=True)]
    likeliest = SamplingConfig(temperature=0, precision=run.document.precision)
    shown = {
        "bicubic": enlarged(decode_in_batches(coarse_codes, coarse.reshape(-1, *layout.coarse_grid)), side_px),
        "refined": refined_pictures(run, texts, coarse, 0, likeliest),
        "own_codes": decode_in_batches(finer_codes, finer.reshape(-1, *layout.finer_grid)),
    }
    psnrs, ssims = ({name: measured(real, each) for name, each in shown.items()} for measured in (_psnrs, _ssims))
    likeness = {name: Likeness(psnr_db=mean_of(psnrs[name]), ssim=mean_of(ssims[name])) for name in shown}
    found = Refined(
        pictures=len(rows),
        side_px=side_px,
        bicubic=likeness["bicubic"],
        refined=likeness["refined"],
        own_codes=likeness["own_codes"],
        gain=Likeness(
            psnr_db=mean_of(psnrs["refined"] - psnrs["bicubic"]), ssim=mean_of(ssims["refined"] - ssims["bicubic"])
        ),
    )
    return found, np.concatenate([each[:: max(1, len(rows) // SHOWN)][:SHOWN] for each in (*shown.values(), real)])


def enlarged(pictures: Pictures, side_px: int) -> Pictures:
    """Bicubic, to (n, side_px, side_px, 3)."""
    size = side_px, side_px
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BICUBIC)) for each in pictures])


def _psnrs(real: Pictures, shown: Pictures) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([psnr(a[None], b[None])["psnr_mean_db"] for a, b in zip(real, shown, strict=True)])


def _ssims(real: Pictures, shown: Pictures) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([ssim(a[None], b[None]) for a, b in zip(real, shown, strict=True)])
