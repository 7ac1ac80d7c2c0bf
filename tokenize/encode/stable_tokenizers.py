"""Before a job of encoding: a tokenizer that gives one picture several sets of codes is found and told.

    unstable = check_stability(recipe, rows, tokenizers, crops, folder, run)     # by array: what the manifest records

The recipe accepts such a tokenizer with `unstable: accept`.
"""

from dataclasses import replace

import pyarrow as pa

from ...manifests.errors import CheckFailed
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import ShardsFolder
from ...pipeline.executor.done_marker import forget_where
from ...pipeline.executor.stage import Stage, StageRun, run_stage
from ..plan_parts import plan_parts
from .crops_ahead import CropPlan
from .job_tokenizers import JobTokenizers, device_of
from .stability import Stability, StabilityConfig, measure_stability

STABILITY = Stage("stability", measure_stability, libraries=("torch", "pillow", "numpy"))

_ROWS = 64  # the first of them; some may have no picture any more
_MEASURES = {
    "twice": ("codes", "when the same pictures are encoded twice"),
    "alone": ("codes_alone", "when a picture is encoded alone"),
    "among_others": ("codes", "when pictures are encoded in another order"),
}


def check_stability(
    recipe: Recipe, rows: pa.Table, tokenizers: JobTokenizers, crops: CropPlan, folder: ShardsFolder, run: StageRun
) -> dict[str, dict[str, str]]:
    """The share of codes that differ, by array and measure, of the tokenizers that the recipe accepts as unstable.

    Raises CheckFailed for one that it does not accept.
    """
    parts = plan_parts(rows.slice(0, _ROWS), run.roots, folder.stability / "plan", "first", _ROWS)
    part = replace(parts[0].with_inputs(**tokenizers.input_files(folder)), modules=tokenizers.modules)
    config = StabilityConfig(crops=crops, device=device_of(recipe), threads=recipe.tokenize.job.threads)
    forget_where(folder.stability, lambda measured: not measured)  # when no picture could be read
    (result,) = run_stage(STABILITY, [part], config, folder.stability, run)
    found = {array: shares for array, measured in result.summary.items() if (shares := _shares(measured))}
    for array, shares in found.items():
        name = array.removeprefix("codes").removeprefix("_")
        asked, key = recipe.tokenize.image, "tokenize.image"
        if name:
            asked, key = recipe.tokenize.also[name], f"tokenize.also.{name}"
        if asked.unstable == "refuse":
            told = ", ".join(
                f"{float(share):.2%} of codes differ {_MEASURES[name][1]}" for name, share in shares.items()
            )
            raise CheckFailed(
                f"image tokenizer {tokenizers.images[array].name}: {told}",
                cure=f"use float32 and one thread, or set `{key}.unstable=accept`, which the manifest records",
            )
    return found


def _shares(measured: Stability) -> dict[str, str]:
    """The share of differing codes of each measure that is not 0, as a decimal."""
    return {
        name: repr(round(measured[name] / measured[total], 6))
        for name, (total, _) in _MEASURES.items()
        if measured[name]
    }
