"""The stages as the tests call them: with plain paths and a number of workers."""

from pathlib import Path

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import CorpusFolder, RunFolder, ShardsFolder, TokenizerFolder
from tuwen.pipeline import corpus as corpus_module
from tuwen.pipeline.executor.stage import StageRun
from tuwen.pipeline.export import export as export_module
from tuwen.pipeline.report import report as report_module
from tuwen.tokenize import train_tokenizers as train_tokenizers_module
from tuwen.tokenize.encode import write_shards as write_shards_module
from tuwen.tokenize.export_codes import export_parquet as export_parquet_module
from tuwen.tokenize.export_codes import export_samples as export_samples_module
from tuwen.tokenize.train_tokenizers import Kind


def build_corpus(recipe: Recipe, out: Path, workers: int | None = None, keep_measures: bool = False) -> Manifest:
    run = StageRun(workers, keep_measures=keep_measures)
    return corpus_module.build_corpus(recipe, CorpusFolder(out), run)


def export(corpus: Manifest, recipe: Recipe, out: Path, workers: int | None = None) -> Manifest:
    return export_module.export(corpus, recipe, out, StageRun(workers))


def train_tokenizers(
    recipe: Recipe, corpus: Manifest, out: Path, kinds: tuple[Kind, ...] = ("image", "text"), workers: int | None = None
) -> Manifest:
    return train_tokenizers_module.train_tokenizers(recipe, corpus, TokenizerFolder(out), StageRun(workers), kinds)


def write_shards(recipe: Recipe, corpus: Manifest, text_model: Path, out: Path, workers: int | None = None) -> Manifest:
    return write_shards_module.write_shards(recipe, corpus, text_model, ShardsFolder(out), StageRun(workers))


def export_samples(manifest: Manifest, out: Path, workers: int | None = None) -> Manifest:
    return export_samples_module.export_samples(manifest, out, StageRun(workers))


def export_parquet(manifest: Manifest, out: Path, workers: int | None = None) -> Manifest:
    return export_parquet_module.export_parquet(manifest, out, StageRun(workers))


def write_report(run: Path, corpus_folder: Path | None = None) -> Path:
    return report_module.write_report(RunFolder(run), CorpusFolder(corpus_folder) if corpus_folder else None)
