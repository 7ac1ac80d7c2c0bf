"""Licences are counted pair by pair, from the corpus to the training run: the sums are the samples."""

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tuwen.manifests.documents import License
from tuwen.manifests.license_counts import counted_licenses, licenses_of_split
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.merge import merge
from tuwen.manifests.quarantine import quarantine
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TEXT_MODEL, TrainFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.train.training.loop import train

from .conftest import COLOURS, SHAPES, draw, png, write_recipe
from .stages import build_corpus, train_tokenizers, write_report, write_shards

Counts = dict[tuple[str, str], int]


def write_tar(folder: Path, name: str, at: int, licenses: tuple[str, ...]) -> Recipe:
    """A recipe over 36 drawn pictures whose licences alternate, in a source of one name."""
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for number, (colour, shape) in enumerate((c, s) for c in COLOURS for s in SHAPES for _ in range(2)):
            picture = png(draw(colour, shape, 30 + 34 * (number % 2), at))
            meta = json.dumps({"license": licenses[number % 5 % len(licenses)]}).encode()
            caption = f"{name}画的{colour}色{shape}，第{number}张".encode()
            for ending, data in (("png", picture), ("txt", caption), ("json", meta)):
                member = tarfile.TarInfo(f"{number:03d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    sources = f"[{{name: photos, kind: webdataset, path: '.', attribution: by {name}}}]"
    return load_recipe(str(write_recipe(folder, sources=sources, duplicates="{images: exact}")))


@dataclass(frozen=True)
class Built:
    recipe: Recipe
    corpus: Manifest
    shards: Manifest
    folder: Path  # of the run


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("licences")
    recipe = write_tar(folder / "a", "甲", 0, ("CC0-1.0", "CC-BY-4.0"))
    corpus = build_corpus(recipe, folder / "run" / "corpus")
    train_tokenizers(recipe, corpus, folder / "run" / "tokenizer", ("text",))
    text_model = folder / "run" / "tokenizer" / TEXT_MODEL
    return Built(recipe, corpus, write_shards(recipe, corpus, text_model, folder / "run" / "shards"), folder / "run")


def of_rows(shards: Manifest, *splits: str) -> Counts:
    counts: Counts = {}
    for split in splits:
        for meta in SplitReader(shards, split).all_meta():
            place = meta["source"], meta["license"]
            counts[place] = counts.get(place, 0) + 1
    return counts


def stated(entries: list[License]) -> Counts:
    return {(entry.source, entry.license): entry.samples for entry in entries if entry.samples}


def stated_of_split(entries: list[License], split: str) -> Counts:
    return stated(licenses_of_split(entries, split))


def test_two_licences_of_one_source_are_counted_apart_in_corpus_and_shards(built: Built) -> None:
    assert len(stated(built.shards.licenses)) == 2
    assert stated(built.shards.licenses) == stated(built.corpus.licenses) == of_rows(built.shards, *built.shards.splits)
    assert sum(stated(built.corpus.licenses).values()) == built.corpus.totals["kept"]
    for name, split in built.shards.splits.items():
        assert stated_of_split(built.shards.licenses, name) == of_rows(built.shards, name)
        assert sum(stated_of_split(built.shards.licenses, name).values()) == split.samples > 0


def test_a_quarantined_manifest_counts_the_licences_of_what_is_left(built: Built, tmp_path: Path) -> None:
    less = quarantine(built.shards, [built.shards.splits["train"].shards[0]], "gone", tmp_path / "less")
    assert stated(less.licenses) == of_rows(less, *less.splits) != stated(built.shards.licenses)
    assert stated_of_split(less.licenses, "train") == of_rows(less, "train")


def test_a_merged_manifest_has_the_licences_of_both_and_sums_to_its_samples(built: Built, tmp_path: Path) -> None:
    recipe = write_tar(tmp_path / "b", "乙", 17, ("CC0-1.0", "CC-BY-SA-4.0"))
    corpus = build_corpus(recipe, tmp_path / "corpus")
    other = write_shards(recipe, corpus, built.folder / "tokenizer" / TEXT_MODEL, tmp_path / "shards")
    merged = merge([built.shards, other], tmp_path / "merged")
    assert sum(entry.samples for entry in merged.licenses) == merged.totals["samples"]
    for name, split in merged.splits.items():
        assert sum(entry.samples for entry in licenses_of_split(merged.licenses, name)) == split.samples
    assert {entry.attribution for entry in merged.licenses} == {"by 甲", "by 乙"}
    less = quarantine(merged, [merged.shards[0].name], "gone", tmp_path / "less")
    assert stated(less.licenses) == of_rows(less, *less.splits)
    assert {entry.attribution for entry in less.licenses} == {"by 甲; by 乙"}


def test_a_training_run_states_the_licences_of_what_it_reads_and_the_report_of_what_was_kept(built: Built) -> None:
    train(built.recipe, built.shards, TrainFolder(built.folder / "train"))
    trained = load_manifest(built.folder / "train", "train")
    assert stated(trained.licenses) == of_rows(built.shards, "train")
    page = write_report(built.folder).read_text(encoding="utf-8")
    for split in built.shards.splits:
        for count in of_rows(built.shards, split).values():
            assert f'<td class="num" data-of="{split}">{count}</td>' in page


def test_shards_of_a_version_that_counted_by_source_keep_their_entries(built: Built) -> None:
    old = [License(license="CC0-1.0", attribution="", samples=5, source="a")]
    assert licenses_of_split(old, "train") == old
    assert counted_licenses(old, {}) == [old[0].model_copy(update={"samples": 0, "splits": {}})]
