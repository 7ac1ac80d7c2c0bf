"""kill -9 at random moments of a training on 1, 2, 4 or 8 ranks: at the end the bits are those of an undisturbed run.

    python tests/bench/soak_ranks.py --kills 10 --seed 0

Real processes on loopback over shards of random rows, for AdamW and Muon, float32 and bfloat16. A run on eight ranks,
which share AdamW's state, comes first. Later ones share it or do not, by chance. One rank, drawn by
chance, is killed at a moment drawn by chance, before, in or after a checkpoint; each of the others must end with exit
code 1 and a line; then the run goes on on another number of ranks.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.manifests.synthetic import make_shards
from tests.train.rank_processes import exit_codes, kill, said_by, start_ranks, train_on, wait_until_met
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import ShardsFolder, TrainFolder
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.train.run.kept_checkpoints import kept_steps

RECIPE = """
name: soak
sources: [{name: none, kind: folder, path: .}]
tokenize: {text: {max_tokens: 16}}
train: {preset: tiny, steps: STEPS, micro_batches: 8, checkpoint_every: 7, validate_every: 11, averaging: 0.9,
        threads: 1, optimizer: OPTIMIZER, precision: PRECISION}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_shards(folder / "shards", {"train": 500, "validation": 60})
        ShardsFolder(folder / "shards").text_model.write_bytes(b"")
        for optimizer, precision in itertools.product(("adamw", "muon"), ("float32", "bfloat16")):
            recipe = _recipe(folder, options.steps, optimizer, precision)
            print(f"{optimizer}, {precision}: ", end="", flush=True)
            _chain(recipe, folder, f"{optimizer}-{precision}", options.kills, chance)


def _chain(recipe: Recipe, folder: Path, name: str, kills: int, chance: random.Random) -> None:
    whole, eight, killed = (folder / f"{name}-{kind}" for kind in ("whole", "eight", "killed"))
    shards = folder / "shards"
    began = time.monotonic()
    train_on(1, recipe, shards, whole)
    seconds, killed_at, ranks_at = time.monotonic() - began, [], []
    train_on(8, _sharing(recipe), shards, eight)
    _assert_equal(whole, eight)
    print("eight ranks have the bits of one; ", end="", flush=True)
    while len(killed_at) < kills:
        count = chance.choice((1, 2, 4, 8))
        ranks = start_ranks(count, chance.choice((recipe, _sharing(recipe))), shards, killed)
        wait_until_met(count, killed)
        time.sleep(chance.uniform(0, 2 * seconds / kills))
        victim = chance.randrange(count)
        with suppress(ProcessLookupError):  # it has ended
            kill(ranks[victim])
        codes = exit_codes(ranks)
        if codes == [0] * count:
            break  # it was done before
        said = [said_by(killed, rank) for rank in range(count)]
        assert all(codes[rank] == 1 and said[rank] for rank in range(count) if rank != victim), (victim, codes, said)
        killed_at.append(max(kept_steps(TrainFolder(killed)), default=0))
        ranks_at.append(count)
    train_on(chance.choice((1, 2, 4, 8)), chance.choice((recipe, _sharing(recipe))), shards, killed)
    _assert_equal(whole, killed)
    print(f"{len(killed_at)} kills on {ranks_at} ranks after steps {killed_at}: the same bits", flush=True)


def _assert_equal(a: Path, b: Path) -> None:
    names = ["checkpoint.safetensors", "losses.jsonl", "validation.jsonl", "run.json"]
    assert load_manifest(a).id == load_manifest(b).id
    assert all((a / each).read_bytes() == (b / each).read_bytes() for each in names)


def _sharing(recipe: Recipe) -> Recipe:
    """With the optimizer's state shared out, where it can be."""
    sharded = "none" if recipe.train.optimizer == "muon" else "optimizer"
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"sharded": sharded})})


def _recipe(folder: Path, steps: int, optimizer: str, precision: str) -> Recipe:
    path = folder / f"{optimizer}-{precision}.yaml"
    text = RECIPE.replace("STEPS", str(steps)).replace("OPTIMIZER", optimizer).replace("PRECISION", precision)
    path.write_text(text, encoding="utf-8")
    return load_recipe(str(path))


if __name__ == "__main__":
    main()
