"""`make soak-lost`: 1,000 of 10,000 pictures are spoiled after the corpus was made; `tuwen tokenize` counts them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tuwen.manifests.recipe.tokenizing import ImageTokenizer
from tuwen.manifests.run_folders import TEXT_MODEL, ShardsFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.executor.stage import StageRun
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.encode.write_shards import write_shards

from ..conftest import encoded, write_recipe
from ..stages import build_corpus, train_tokenizers


def test_of_ten_thousand_pictures_a_thousand_bad_ones_are_counted_and_no_good_one_is_lost(tmp_path: Path) -> None:
    folder, generator, lines = tmp_path / "pictures", np.random.default_rng(0), []
    folder.mkdir()
    for number in range(10_000):
        pixels = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        (folder / f"{number:05d}.jpg").write_bytes(encoded(picture, "JPEG", quality=80))
        lines.append(f"{number:05d}.jpg\t第{number}张图")
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    more = {"duplicates": "{images: none}", "split": "{validation: 0.05}"}
    recipe = load_recipe(str(write_recipe(tmp_path, **more)), ["tokenize.block_rows=512", "tokenize.shard_blocks=4"])
    corpus = build_corpus(recipe, tmp_path / "corpus")
    train_tokenizers(recipe, corpus, tmp_path / "tokenizer", ("text",))
    bad = {int(number) for number in generator.choice(10_000, 1_000, replace=False)}
    spoil = [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-40]),
             lambda path: path.write_bytes(generator.bytes(path.stat().st_size))]  # fmt: skip
    for at, number in enumerate(sorted(bad)):
        spoil[at % 4](folder / f"{number:05d}.jpg")
    text_model, section = (
        tmp_path / "tokenizer" / TEXT_MODEL,
        {"image": ImageTokenizer(kind="python", python="tuwen.tests.tokenize.toy_tokenizers:MeanColours", size=64)},
    )
    recipe = recipe.model_copy(update={"tokenize": recipe.tokenize.model_copy(update=section)})
    shards = write_shards(recipe, corpus, text_model, ShardsFolder(tmp_path / "shards"), StageRun(2))
    lost = pq.read_table(tmp_path / "shards" / "lost.parquet").to_pylist()
    assert {int(Path(row["origin"]).stem) for row in lost} == bad
    assert Counter(row["reason"] for row in lost) == {"gone": 250, "changed": 750}
    captions = {meta["caption"] for split in shards.splits for meta in SplitReader(shards, split).all_meta()}
    assert captions == {f"第{n}张图" for n in range(10_000) if n not in bad}
