"""The cache of keys and values: seconds of sampling with it beside one full pass for each code.

    OMP_NUM_THREADS=1 python tests/bench/bench_sampling.py --codes 256 1024 --rows 2

One thread, float32, first weights of a tiny model: the time does not depend on what was learned. Both ways choose the
likeliest codes, and the bench fails when they choose others. Without a cache, the time of `--passes` lengths, spread
evenly over the picture, stands for all of them.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tuwen.manifests.recipe.training import PresetName
from tuwen.tokenize.sequence import SequenceLayout, compact_layout
from tuwen.train.painting.sampling import SamplingConfig, noise_stream, sample_batch
from tuwen.train.run.preset import PRESETS, model_config
from tuwen.train.transformer.model import Transformer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--passes", type=int, default=16)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.preset}, {options.rows} pictures, one thread, float32, load {os.getloadavg()[0]:.1f}")
    print("| codes | with cache s | without s | without / with |\n|---|---|---|---|")
    for num_codes in options.codes:
        cached, full = seconds(num_codes, options.rows, options.passes, options.preset)
        print(f"| {num_codes:,} | {cached:.2f} | {full:.1f} | {full / cached:.1f} |", flush=True)


@torch.no_grad()
def seconds(num_codes: int, rows: int, passes: int, preset_name: PresetName) -> tuple[float, float]:
    """Of one picture's codes, `rows` at a time: with the cache, and without it."""
    layout = compact_layout(1024, num_codes, 900, 16)
    model = Transformer(model_config(preset_name, layout)).eval()
    prompt, places = (torch.from_numpy(each).expand(rows, -1) for each in layout.prompt([1, 2, 3]))
    greedy = SamplingConfig(num_codes=num_codes, temperature=0, precision="float32")
    began = time.perf_counter()
    codes, _ = sample_batch(model, (prompt, places), None, [noise_stream(0, [], row) for row in range(rows)], greedy)
    cached = time.perf_counter() - began
    return cached, seconds_of_full_passes(model, prompt, codes, layout, passes)


def seconds_of_full_passes(
    model: Transformer, prompt: torch.Tensor, codes: torch.Tensor, layout: SequenceLayout, passes: int
) -> float:
    """The time of a full pass for each code, estimated from those before some of them; exits when one differs."""
    rows, num_codes = codes.shape
    ids = torch.cat((prompt, codes), dim=1)
    positions = torch.cat(
        (torch.arange(prompt.shape[1] - 2), layout.first_code_position - 2 + torch.arange(num_codes + 2))
    )
    times: list[float] = []
    for number in torch.linspace(0, num_codes - 1, passes).long().tolist():
        length, began = prompt.shape[1] + number, time.perf_counter()
        logits = model(ids[:, :length], positions[:length].expand(rows, -1))[:, -1, : layout.codebook]
        times.append(time.perf_counter() - began)
        chosen = logits.gather(1, codes[:, number : number + 1])[:, 0]
        if not bool((chosen > logits.amax(dim=1) - 1e-4).all()):
            sys.exit(f"code {number} of {num_codes} is another without the cache")
    return num_codes * statistics.mean(times)


if __name__ == "__main__":
    main()
