"""The report's sources: what was passed over, what was read as what; keys to copy; stages of another corpus."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tuwen.manifests.manifest import Manifest, new_manifest, save_manifest
from tuwen.manifests.run_folders import RunFolder
from tuwen.pipeline.load_recipe import load_recipe

from ...conftest import draw, png, tar_of, write_recipe
from ...stages import build_corpus, write_report
from .browser import chromium, open_page

WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A source with captions in GB18030 and files that are no pairs, and an evaluation source with one of these."""
    folder = tmp_path_factory.mktemp("sources")
    files = {
        "pictures/a.png": png(draw("红", "圆", 60)), "pictures/b.png": png(draw("蓝", "方块", 60)),
        "pictures/captions.tsv": "a.png\t红色的圆形图案\nb.png\t蓝色的方块图案\n".encode("gb18030"),
        **{f"pictures/笔记-{number}-{'长' * 40}.docx": b"x" for number in range(5)},
        "pictures/.DS_Store": b"x", "bench/c.png": png(draw("绿", "三角", 60)), "bench/d.xlsx": b"x",
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    recipe = write_recipe(folder, evaluation="[{name: bench, kind: folder, path: bench}]")
    corpus = build_corpus(load_recipe(str(recipe)), folder / "run" / "corpus")
    return folder / "run", corpus


def text_of(browser: Browser, path: Path, selector: str, width: int) -> str:
    with open_page(browser, path, width, 900) as (page, _):
        return str(page.locator(selector).inner_text())


@pytest.mark.parametrize("width", WIDTHS)
def test_each_source_shows_what_was_passed_over_and_how_its_text_was_read(
    run: tuple[Path, Manifest], browser: Browser, width: int
) -> None:
    shown = text_of(browser, write_report(run[0]), "#sources", width)
    facts = (run[1].lineage.sources or {})["shapes"]
    assert "text in gb18030" in shown
    assert facts.reads and all(words in shown for words in facts.reads)
    assert "5 *.docx (笔记-0-" in shown and "1 hidden (.DS_Store)" in shown
    assert "Evaluation sources\nbench" in shown and "1 *.xlsx (d.xlsx)" in shown
    with open_page(browser, run[0] / "report.html", width, 900) as (page, seen):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert not seen.complaints


@pytest.mark.parametrize("width", WIDTHS)
def test_one_touch_selects_the_first_twelve_digits_of_a_key(
    run: tuple[Path, Manifest], browser: Browser, width: int
) -> None:
    with open_page(browser, write_report(run[0]), width, 900) as (page, _):
        digits = page.locator("#kept .digits")
        assert digits.count() == 2
        first = digits.first
        first.click()
        assert page.evaluate("getSelection().toString()").strip() == first.inner_text()
        assert len(first.inner_text()) == 12


def stage(folder: Path, kind: str, parent: str, **fields: object) -> Manifest:
    """A manifest of a later stage, made of `parent`."""
    tokenizer = {"name": "none", "sha256": "sha256:" + "0" * 64, "config_sha256": "sha256:" + "1" * 64}
    lineage = {"parents": [parent], "image_tokenizer": {**tokenizer, "codebook": 4, "grid": [1, 1]}}
    document = new_manifest(kind, lineage=lineage, files=[], licenses=[], **fields)  # type: ignore[arg-type]
    return save_manifest(folder, document)


def test_the_page_says_when_shards_or_a_training_run_are_of_another_corpus(run: tuple[Path, Manifest]) -> None:
    folder, corpus = RunFolder(run[0]), run[1]
    other = "sha256:" + "ab" * 32
    facts = {"shards": [], "splits": {}, "totals": {"samples": 0, "bytes": 0}}

    def warnings() -> list[str]:
        page = write_report(folder.path).read_text(encoding="utf-8")
        return [line for line in page.splitlines() if 'class="warning"' in line]

    assert warnings() == []
    stage(folder.shards.path, "shards", corpus.id, **facts)
    assert warnings() == []
    shards = stage(folder.shards.path, "shards", other, **facts)
    assert "made of sha256:abababababab, and this corpus is " + corpus.id[:19] in warnings()[0]
    folder.train.path.mkdir()
    folder.train.losses.write_text('{"step": 0, "codes": 1.0, "text": 1.0, "samples": 4}\n')
    folder.train.document.write_text(
        '{"layout": {"num_codes": 1}, "settings": {"model": {"depth": 1, "width": 8}, "batch": 4}, '
        '"precision": "float32", "threads": 1}'
    )
    stage(folder.train.path, "train", shards.id, totals={})
    assert "has read these shards, so it is of another corpus, too" in warnings()[1]
    stage(folder.train.path, "train", other, totals={})
    assert "has read other shards: sha256:abababababab, and those shown here are " + shards.id[:19] in warnings()[1]
    folder.shards.manifest.unlink()
    assert "and there are none here" in warnings()[0]
    folder.train.manifest.unlink()


def test_an_archive_in_which_nothing_can_be_read_is_counted_beside_the_others(tmp_path: Path) -> None:
    """Its part has no row."""
    tar_of(tmp_path / "tars" / "0.tar", {"a.png": png(draw("红", "圆", 60)), "a.txt": "红色的圆形图案".encode()})
    tar_of(tmp_path / "tars" / "1.tar", {"notes.docx": b"x"})
    recipe = write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")
    corpus = build_corpus(load_recipe(str(recipe)), tmp_path / "run" / "corpus")
    assert (corpus.totals["pairs"], corpus.totals["kept"]) == (1, 1)
    facts = (corpus.lineage.sources or {})["tars"]
    assert [(kind, each.count) for kind, each in facts.passed_over.items()] == [("*.docx", 1)]
    assert "notes.docx" in write_report(tmp_path / "run").read_text("utf-8")
