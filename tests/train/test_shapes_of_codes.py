"""The trainer on rows of codes, on two codebooks, and on 256 codes a picture: what holds for a grid holds for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.tokenizing import ImageTokenizer, Tokenize
from tuwen.manifests.run_folders import TEXT_MODEL, RunFolder, TrainFolder
from tuwen.tokenize.reconstruction import measure_reconstruction
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.painting.nearest import nearest_score
from tuwen.train.painting.sampling import SamplingConfig, sample_codes
from tuwen.train.reading.read_plan import ReadPlan
from tuwen.train.reading.stream import Stream, open_stream
from tuwen.train.run.run import Run
from tuwen.train.training.loop import train
from tuwen.train.transformer.micro_batch import summed_nats, target_nats

from ..stages import write_report, write_shards
from ..tokenize.toy_tokenizers import MODULE
from .rank_processes import train_on

STEPS = 10


@dataclass(frozen=True)
class Shape:
    tokenizer: str
    size: int  # px
    codes: tuple[int, ...]
    codebook: int
    codebooks: int = 1


SHAPES = {
    "a row of 32 codes": Shape("MeanColourRow", 64, (32,), 256),
    "two codebooks": Shape("MeanColourPairs", 64, (8, 8, 2), 16, codebooks=2),
    "256 codes": Shape("MeanColours", 128, (16, 16), 256),
}


@dataclass(frozen=True)
class Set:
    shape: Shape
    recipe: Recipe
    shards: Manifest
    run: Run  # trained on them
    corpus: Manifest


@pytest.fixture(scope="module", params=SHAPES)
def trained(
    request: pytest.FixtureRequest, shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory
) -> Set:
    """A small corpus through `tuwen tokenize` and `tuwen train`."""
    (recipe, run), shape, folder = shapes, SHAPES[request.param], tmp_path_factory.mktemp("shape")
    image = ImageTokenizer(kind="python", python=f"{MODULE}:{shape.tokenizer}", size=shape.size)
    tokenize = Tokenize(image=image, text=recipe.tokenize.text, block_rows=16, shard_blocks=2)
    changed = {"steps": STEPS, "batch": 8, "micro_batches": 2, "lr": 0.005, "threads": 1}
    recipe = recipe.model_copy(update={"tokenize": tokenize, "train": recipe.train.model_copy(update=changed)})
    recipe._base = shapes[0].base
    corpus = load_manifest(run / "corpus")
    shards = write_shards(recipe, corpus, run / "tokenizer" / TEXT_MODEL, folder / "shards")
    return Set(shape, recipe, shards, train(recipe, shards, RunFolder(folder).train), corpus)


def test_the_layout_is_that_of_the_codes(trained: Set) -> None:
    shape, layout = trained.shape, trained.run.layout
    assert tuple(trained.shards.sample_schema.codes.shape) == shape.codes
    assert (layout.num_codes, layout.codebook, layout.codebooks) == (
        np.prod(shape.codes),
        shape.codebook,
        shape.codebooks,
    )


def test_the_loss_falls(trained: Set) -> None:
    losses = trained.run.losses
    assert len(losses) == STEPS
    assert losses[-1]["codes"] < losses[0]["codes"] - 0.5
    assert losses[-1]["text"] < losses[0]["text"]


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_bytes(trained: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Stream.next

    def dies(stream: Stream) -> Any:
        if stream.state()["samples"] >= 7 * 8:
            raise Killed
        return read(stream)

    monkeypatch.setattr(Stream, "next", dies)
    with pytest.raises(Killed):
        train(trained.recipe, trained.shards, TrainFolder(tmp_path))
    monkeypatch.undo()
    train(trained.recipe, trained.shards, TrainFolder(tmp_path), must_resume=True)
    assert load_manifest(tmp_path).id == load_manifest(trained.run.folder.path).id


def test_two_ranks_read_what_one_reads(trained: Set) -> None:
    streams = [
        open_stream(trained.shards, ReadPlan(seed=3, batch=8, rank=rank, world_size=ranks, threads=0))
        for ranks in (1, 2)
        for rank in range(ranks)
    ]
    for _ in range(12):  # past the end of the first epoch
        whole, *halves = (stream.next()[0] for stream in streams)
        assert np.array_equal(whole, np.concatenate(halves))
        assert whole.shape == (8, int(np.prod(trained.shape.codes)))


def test_two_ranks_train_to_the_bits_of_one(trained: Set, tmp_path: Path) -> None:
    train_on(2, trained.recipe, trained.shards.folder, tmp_path / "two")
    for name in ("checkpoint.safetensors", "losses.jsonl"):
        assert (tmp_path / "two" / name).read_bytes() == (trained.run.folder.path / name).read_bytes(), name


def test_pictures_are_sampled(trained: Set) -> None:
    pictures, scores = sample_pictures(trained.run, ["一个红色的圆"], count=2, seed=0)
    side = trained.shape.size
    assert pictures.shape == (1, 2, side, side, 3)
    assert np.isfinite(scores).all()


def test_the_report_shows_what_the_codes_keep(trained: Set) -> None:
    measured = measure_reconstruction(trained.recipe, trained.corpus, trained.shards)["codes"]
    assert 10 < measured["psnr_mean_db"] < 50
    page = write_report(trained.shards.folder.parent, trained.corpus.folder).read_text(encoding="utf-8")
    assert "×".join(map(str, trained.shape.codes)) in page
    assert f"{trained.shape.codebook:,}" in page


def test_sampled_pictures_are_compared_with_the_real_ones(trained: Set) -> None:
    score = nearest_score(trained.run, trained.corpus, 0.2, "train", captions=3, seed=0, temperature=0)
    assert (score["captions"], score["pictures"]) == (3, trained.corpus.totals["kept"])


def test_each_code_is_the_likeliest_of_its_own_codebook_after_the_codes_before_it(trained: Set) -> None:
    """Sampling step by step agrees with one pass over what was sampled, laid out as it is for training."""
    layout, model = trained.run.layout, trained.run.load_model()
    ids, positions = layout.prompt([1, 2])
    config = SamplingConfig(
        num_codes=layout.num_codes, codebook_size=layout.codebook, codebooks=layout.codebooks, temperature=0,
        precision="float32",
    )  # fmt: skip
    codes, scores = sample_codes(model, [ids], [positions], 1, 0, config)
    row, places = (torch.from_numpy(each) for each in layout.sequences(codes[0], np.array([[1, 2]]), np.array([2])))
    with torch.no_grad():
        logits = model(row, places)[0, len(ids) - 1 :]
    nats = []
    for number, code in enumerate(codes[0, 0].tolist()):
        first = number % layout.codebooks * layout.codebook
        of_book = logits[number, first : first + layout.codebook]
        assert of_book[code] > of_book.max() - 1e-4  # equal up to rounding
        nats.append(of_book.log_softmax(0)[code].item())
    assert scores[0, 0] == pytest.approx(np.mean(nats), abs=1e-3)


def test_the_loss_of_codes_counts_every_code_and_nothing_else(trained: Set) -> None:
    layout = trained.run.layout
    codes = np.full((1, layout.num_codes), layout.codebook - 1)
    ids, _ = layout.sequences(codes, np.array([[0, 1]]), np.array([2]))
    targets = torch.from_numpy(ids[:, 1:])
    logits = torch.zeros(1, targets.shape[1], layout.vocab)
    logits[0, targets[0] < layout.text_offset, 0] = 1.0  # the nats of a code differ from those of a text or a command
    of_code = float(torch.log(torch.tensor(layout.vocab - 1 + np.e)))
    of_text = float(np.log(layout.vocab))
    nats_of_text, nats_of_codes = summed_nats(target_nats(logits, targets), targets, layout)[0].tolist()
    assert nats_of_codes == pytest.approx(layout.num_codes * of_code, rel=1e-5)
    assert nats_of_text == pytest.approx(5 * of_text, rel=1e-5)
