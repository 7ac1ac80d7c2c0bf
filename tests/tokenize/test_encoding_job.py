"""The job of encoding: lost pictures, kills, crops, several tokenizers, the quality gate, unstable tokenizers."""

import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.recipe.tokenizing import Crops, ImageTokenizer, Job, Quality, Tokenize
from tuwen.manifests.run_folders import TEXT_MODEL, ShardsFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest
from tuwen.pipeline.executor.stage import StageRun
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.check_shards import check_shards
from tuwen.tokenize.encode.quality_gate import QualityGate
from tuwen.tokenize.encode.write_shards import write_shards
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.tokenize.reconstruction import measure_reconstruction

from ..conftest import draw, files_of, png, tar_of, write_pictures, write_recipe
from ..stages import build_corpus, train_tokenizers
from .toy_tokenizers import MODULE


def toy(name: str, **more: Any) -> ImageTokenizer:
    return ImageTokenizer(kind="python", python=f"{MODULE}:{name}", size=64, **more)


class SmallJob:
    """A corpus that may be spoiled, and the recipe that encodes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_pictures(folder / "pictures")
        self.recipe = load_recipe(str(write_recipe(folder)))
        self.corpus = build_corpus(self.recipe, folder / "corpus")
        train_tokenizers(self.recipe, self.corpus, folder / "tokenizer", ("text",))

    def write(self, out: str, workers: int = 2, retry_lost: bool = False, **tokenize: Any) -> Manifest:
        settings = {"image": toy("MeanColours"), "block_rows": 16, "shard_blocks": 2, **tokenize}
        section = Tokenize(text=self.recipe.tokenize.text, **settings)
        recipe = self.recipe.model_copy(update={"tokenize": section})
        recipe._base = self.folder
        shards = ShardsFolder(self.folder / out)
        return write_shards(
            recipe, self.corpus, self.folder / "tokenizer" / TEXT_MODEL, shards, StageRun(workers), retry_lost
        )


@pytest.fixture
def job(tmp_path: Path) -> SmallJob:
    return SmallJob(tmp_path)


@pytest.fixture(scope="module")
def shared_job(tmp_path_factory: pytest.TempPathFactory) -> SmallJob:
    """For tests that spoil nothing."""
    return SmallJob(tmp_path_factory.mktemp("job"))


def rows_of(shards: Manifest, codes: str = "codes") -> dict[str, tuple[str, bytes]]:
    """Key → caption and codes, of both splits."""
    found = {}
    for split in shards.splits:
        reader = SplitReader(shards, split, codes=codes)
        values = reader.rows(np.arange(len(reader)))[0]
        found |= {meta["key"]: (meta["caption"], values[at].tobytes()) for at, meta in enumerate(reader.all_meta())}
    return found


def test_lost_pictures_are_counted_and_listed_and_no_other_row_changes(job: SmallJob) -> None:
    whole = job.write("whole")
    pictures = sorted((job.folder / "pictures").glob("*.png"))
    kept = {path: path.read_bytes() for path in pictures[::9]}
    for number, path in enumerate(kept):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(kept[path][:-1] + b"x")
    shards = job.write("shards")
    lost = pq.read_table(job.folder / "shards" / "lost.parquet").to_pylist()
    assert Counter(row["reason"] for row in lost) == {"gone": 4, "changed": 4}
    assert {row["origin"] for row in lost} == {path.name for path in kept}
    assert rows_of(shards) == {key: row for key, row in rows_of(whole).items() if key not in {r["key"] for r in lost}}
    step = shards.lineage.steps[-1]
    assert (step.pairs_in - step.out, step.dropped) == (8, {"gone": 4, "changed": 4})
    assert shards.totals["samples"] == sum(entry.samples for entry in shards.licenses) == step.out
    assert not [*verify_manifest(shards)]
    for path, data in kept.items():
        path.write_bytes(data)
    assert files_of(job.write("shards")) == files_of(shards)  # what is done is not read again …
    again = job.write("shards", retry_lost=True)  # … unless that is asked for
    assert files_of(again) == files_of(whole)
    assert not (job.folder / "shards" / "lost.parquet").exists()


def test_rows_of_an_archive_that_was_cut_are_lost_and_the_others_are_not(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number, (colour, shape) in enumerate((c, s) for c in "红蓝绿黄" for s in ("圆", "方块", "三角")):
        members |= {f"{number}.png": png(draw(colour, shape, 60)), f"{number}.txt": f"{colour}色的{shape}".encode()}
    tar = tmp_path / "pictures" / "0.tar"
    data = tar_of(tar, members)
    source = "[{name: shapes, kind: webdataset, path: pictures, license: CC0-1.0}]"
    recipe = load_recipe(
        str(write_recipe(tmp_path, sources=source, split="{validation: 0}")), ["tokenize.text.vocab=64"]
    )
    corpus = build_corpus(recipe, tmp_path / "corpus")
    train_tokenizers(recipe, corpus, tmp_path / "tokenizer", ("text",))
    tar.write_bytes(data[: len(data) // 2])
    section = recipe.tokenize.model_copy(update={"image": toy("MeanColours"), "quality": Quality(max_failed=0.9)})
    recipe = recipe.model_copy(update={"tokenize": section})
    shards = write_shards(
        recipe, corpus, tmp_path / "tokenizer" / TEXT_MODEL, ShardsFolder(tmp_path / "shards"), StageRun(1)
    )
    lost = pq.read_table(tmp_path / "shards" / "lost.parquet")
    assert 0 < shards.totals["samples"] < 12
    assert shards.totals["samples"] + len(lost) == 12


def test_a_job_that_loses_more_than_the_recipe_accepts_is_stopped_and_goes_on_when_the_pictures_are_back(
    job: SmallJob,
) -> None:
    whole = job.write("whole")
    hidden = job.folder / "pictures"
    hidden.rename(job.folder / "elsewhere")
    with pytest.raises(CheckFailed, match=r"the pictures of \d+ pairs of 72 can no longer be read"):
        job.write("shards")
    assert not (job.folder / "shards" / "manifest.json").exists()
    (job.folder / "elsewhere").rename(hidden)
    assert files_of(job.write("shards", retry_lost=True)) == files_of(whole)


def test_a_killed_worker_goes_on_from_the_last_finished_stretch_with_the_same_bytes(job: SmallJob) -> None:
    """One shard of five stretches of 16 rows, one call of `encode` each; the worker is killed at the eighth call,
    after five calls that try the tokenizer's stability, two stretches, and none of them is encoded again."""
    ledger = job.folder / "ledger"

    def counting(name: str) -> ImageTokenizer:
        ledger.write_bytes(b"")
        tensors = {"ledger": torch.tensor(list(str(ledger).encode()), dtype=torch.uint8)}
        save_file(tensors, job.folder / "ledger.safetensors")
        return toy(name, path=str(job.folder / "ledger.safetensors"))

    settings = {"shard_blocks": 8, "workers": 1, "quality": Quality(rows=0)}
    whole = job.write("whole", image=counting("Counting"), **settings)
    calls = ledger.stat().st_size
    image = counting("Counting")
    ledger.with_suffix(".deadly").write_text("8")
    shards = job.write("shards", image=image, **settings)
    assert not ledger.with_suffix(".deadly").exists()
    assert files_of(shards) == files_of(whole)
    assert ledger.stat().st_size == calls + 1  # only the call that was killed


@pytest.mark.parametrize("workers", [1, 4])
def test_processes_that_decode_beside_the_encoder_change_no_byte(shared_job: SmallJob, workers: int) -> None:
    expected = shared_job.write("plain", block_rows=4)
    beside = shared_job.write(f"beside-{workers}", workers=workers, block_rows=4, job=Job(decoders=2))
    assert files_of(beside) == files_of(expected)


def test_each_crop_of_a_picture_is_a_row_with_its_own_key_and_box(shared_job: SmallJob) -> None:
    crops = Crops(kind="random", count=3, min_share=0.3)
    shards = shared_job.write("random", crops=crops, block_rows=10)
    assert files_of(shards) == files_of(shared_job.write("random-again", workers=1, crops=crops, block_rows=10))
    metas = [meta for split in shards.splits for meta in SplitReader(shards, split).all_meta()]
    assert shards.totals["samples"] == len(metas) == 3 * 72
    assert len({meta["key"] for meta in metas}) == len(metas)
    boxes: dict[str, set[tuple[int, ...]]] = {}
    for meta in metas:
        boxes.setdefault(meta["key"].partition("-")[0], set()).add(tuple(meta["crop"]))
    assert len(boxes) == 72
    assert sum(len(found) for found in boxes.values()) > 200
    assert sum(entry.samples for entry in shards.licenses) == len(metas)
    assert check_shards(shared_job.corpus, shards, rows=40).faults == []


def test_further_tokenizers_have_arrays_of_their_own_from_the_same_boxes(shared_job: SmallJob) -> None:
    also = {"fine": toy("MeanColours").model_copy(update={"size": 128, "resize": "lanczos"})}
    shards = shared_job.write("both", also=also, crops=Crops(kind="random"))
    alone = shared_job.write("fine", image=also["fine"], crops=Crops(kind="random"))
    assert rows_of(shards, "codes_fine") == rows_of(alone)
    assert rows_of(shards) == rows_of(shared_job.write("coarse", crops=Crops(kind="random")))
    assert shards.sample_schema.also["codes_fine"].shape == [16, 16]
    assert shards.lineage.also is not None
    assert shards.lineage.also["codes_fine"].grid == [16, 16]
    assert (shards.folder / "image_tokenizer_fine" / "weights.safetensors").is_file()
    with tarfile.open(shards.folder / shards.shards[0].name) as tar:
        names = tar.getnames()
    assert names[:3] == ["b000000.codes.npy", "b000000.codes_fine.npy", "b000000.meta.jsonl"]
    assert check_shards(shared_job.corpus, shards, rows=40).faults == []


def test_the_manifest_says_what_the_codes_of_each_shard_keep(shared_job: SmallJob) -> None:
    shards = shared_job.write("quality")
    for shard in shards.shards:
        quality = shard.quality["codes"]
        assert 10 < float(quality["psnr_mean_db"]) < 40
        assert 0.3 < float(quality["ssim"]) <= 1
        reader = SplitReader(shards, shard.name.partition("-")[0])
        first = int(reader.first_rows[[each.name for each in reader.shards].index(shard.name)])
        codes = reader.rows(np.arange(first, first + shard.samples))[0]
        assert float(quality["codebook_used"]) == round(len(np.unique(codes)) / 256, 4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("NotANumber", "all codes of `codes` are the same"), ("Grey", "pictures come back as one colour")],
)
def test_a_tokenizer_that_gives_nothing_back_stops_the_job_with_the_reason(
    shared_job: SmallJob, name: str, reason: str
) -> None:
    with pytest.raises(CheckFailed, match=reason):
        shared_job.write(name, image=toy(name))
    assert not (shared_job.folder / name / "manifest.json").exists()


def test_a_tokenizer_without_a_decoder_makes_shards_of_which_nothing_is_measured(shared_job: SmallJob) -> None:
    also = {"grey": toy("MeanGrey")}
    shards = shared_job.write("encoder-alone", also=also)
    measured = measure_reconstruction(shared_job.recipe, shared_job.corpus, shards)
    assert measured.keys() == {"codes"}
    assert not ShardsFolder(shards.folder).reconstruction_of("codes_grey").exists()
    assert len(rows_of(shards, "codes_grey")) == shards.totals["samples"]
    with pytest.raises(BadInput, match="has no decoder"):
        open_image_codes(ShardsFolder(shards.folder).image_tokenizer_of("codes_grey")).decode(np.zeros((1, 8, 8)))


def test_a_sudden_fall_stops_the_job_and_a_slow_one_does_not() -> None:
    def quality(gain: float) -> dict[str, dict[str, str]]:
        return {"codes": {"pictures": "16", "flat": "0", "dead_codebooks": "0", "gain_db": str(gain)}}

    gate = QualityGate(max_fall_db=6.0)
    for gain in (5.0, 4.0, 6.0, 3.0, 0.0):
        gate.check("train-00000", quality(gain))
    with pytest.raises(CheckFailed, match=r"train-00001: its pictures come back 8\.6 dB worse"):
        gate.check("train-00001", quality(-5.0))


def test_a_tokenizer_whose_codes_depend_on_neighbours_is_refused_before_the_job_and_recorded_when_accepted(
    shared_job: SmallJob,
) -> None:
    with pytest.raises(
        CheckFailed, match=r"\d+\.\d+% of codes differ when a picture is encoded alone.*unstable=accept"
    ):
        shared_job.write("unstable", image=toy("OfItsBatch"))
    accepted = shared_job.write("accepted", image=toy("OfItsBatch", unstable="accept"))
    assert accepted.lineage.image_tokenizer is not None
    recorded = accepted.document["lineage"]["image_tokenizer"]["unstable"]
    assert 0 < float(recorded["alone"]) <= 1
    assert "unstable" not in shared_job.write("stable").document["lineage"]["image_tokenizer"]
