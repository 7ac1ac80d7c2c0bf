"""The report: exact numbers, fair samples, hostile captions as text, and a page that fits a phone and loads nothing."""

import base64
import io
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tuwen.manifests.decision_table import VERDICTS
from tuwen.manifests.errors import CheckFailed
from tuwen.manifests.manifest import Manifest, file_entry, new_manifest, save_manifest
from tuwen.manifests.run_folders import RunFolder
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.decide import funnel
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe
from tuwen.pipeline.reasons import title_of
from tuwen.pipeline.report.axis import Rule
from tuwen.pipeline.report.corpus_parts import corpus_parts
from tuwen.pipeline.report.plots import PLOTS, Plot, floats
from tuwen.pipeline.report.thumbnails import SmallPictures

from ...conftest import encoded, write_recipe
from ...stages import build_corpus, write_report
from ..hostile import picture, saved
from .browser import chromium, open_page

PHONE_NUMBER = "13812345678"
HOSTILE = [
    "<script>alert(1)</script>",
    '" onload="alert(2)" x="',
    "<img src=x onerror=alert(3)>",
    "</title></style><h1>大</h1>",
    "{{ 7 * 7 }}",
    "\u202e翻转\u2066的\u200b文字",
    "العربية",
    "长" * 3000,
    "W" * 300,
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    """Pictures that are kept, and some that are dropped for many reasons: the run's folder, the corpus, the page."""
    folder = tmp_path_factory.mktemp("report")
    pictures = folder / "pictures"
    pictures.mkdir()
    captions = {}
    for number in range(40):
        captions[f"{number}.png"] = f"第{number % 12}张图" if number < 36 else "千篇一律"
        (pictures / f"{number}.png").write_bytes(saved(picture(100 + number, 64 + 4 * number, 128), "PNG"))
    (pictures / "duplicate.jpg").write_bytes(encoded(picture(130, 64 + 4 * 30, 128), "JPEG", quality=90))
    (pictures / "cut.jpg").write_bytes(saved(picture(50), "JPEG")[:-400])
    more = {"duplicate.jpg": "双生", "cut.jpg": "断了", "gone.jpg": "没有图", "0.png": f"联系{PHONE_NUMBER}"}
    lines = [{"file": name, "caption": caption} for name, caption in [*captions.items(), *more.items()]]
    (pictures / "captions.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    source = "{name: odd, kind: folder, path: pictures, license: '<b>CC0</b>', attribution: 'a \"b\" <i>c</i>'}"
    sections = {
        "sources": f"[{source}]",
        "images": "{min_side: 100, max_ratio: 3}",
        "captions": "{max_count: 3}",
        "export": "{contact: removal@example.org}",
    }
    corpus = build_corpus(load_recipe(str(write_recipe(folder, **sections))), folder / "run" / "corpus")
    return folder / "run", corpus, write_report(folder / "run").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Any:
    with chromium() as found:
        yield found


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)], ids=["phone", "desk"])
def test_the_page_fits_its_screen_shows_every_picture_and_loads_nothing(
    run: tuple[Path, Manifest, str], browser: Browser, width: int, height: int
) -> None:
    with open_page(browser, run[0] / "report.html", width, height) as (page, seen):
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        sizes = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert len(sizes) > 30 and min(sizes) > 0
        small = page.evaluate(
            "[...document.querySelectorAll('body *')].filter(each => each.innerText && each.children.length == 0"
            " && parseFloat(getComputedStyle(each).fontSize) < 12).map(each => each.outerHTML)"
        )
        assert small == []
        for link in page.locator("nav a").all():
            link.click()
    assert (seen.requests, seen.complaints) == ([], [])


def test_the_funnel_and_the_sources_show_the_numbers_of_the_manifest(
    run: tuple[Path, Manifest, str], browser: Browser
) -> None:
    steps, totals = run[1].document["lineage"]["steps"], run[1].document["totals"]
    with open_page(browser, run[0] / "report.html", 1280, 900) as (page, _):
        shown = page.evaluate(
            "[...document.querySelectorAll('.step')].map(each => [each.querySelector('.stage').innerText,"
            " each.querySelector('.n')?.innerText])"
        )
        source = page.evaluate("[...document.querySelectorAll('.sources tr:nth-child(2) .num')].map(e => e.innerText)")
        groups = page.evaluate(
            "[...document.querySelectorAll('#dropped summary')].map(e => [e.querySelector('b').innerText,"
            " +e.querySelector('.num-dropped').innerText])"
        )
    outs = {words.split()[-1]: count for words, count in shown}
    for step in steps:
        assert outs[step["name"]] == (f"{step['out']:,}" if step["dropped"] else None)
    assert source[:2] == [str(totals["pairs"]), str(totals["kept"])]
    dropped: Counter[str] = Counter()
    for step in steps:
        dropped.update(step["dropped"])
    assert dict(groups) == {title_of(reason): count for reason, count in dropped.items()}
    assert {"too_small", "truncated", "missing_picture", "caption_seen_too_often", "near_picture"} <= set(dropped)


def test_details_open_and_close_without_a_script(run: tuple[Path, Manifest, str], browser: Browser) -> None:
    with open_page(browser, run[0] / "report.html", 390, 844) as (page, _):
        group = page.locator("details").first
        before = group.evaluate("each => each.open")
        group.locator("summary").click()
        assert group.evaluate("each => each.open") != before


def test_what_was_measured_stands_beside_the_rule_that_it_broke(run: tuple[Path, Manifest, str]) -> None:
    page = run[2]
    assert "rule: shorter side ≥ 100 px" in page
    assert "72 × 128 px" in page
    assert "4 pairs with this caption" in page and "rule: ≤ 3 pairs with the same caption" in page
    assert "removal@example.org" in page
    assert "&lt;b&gt;CC0&lt;/b&gt;" in page and "<b>CC0" not in page


def test_personal_data_that_were_masked_are_nowhere_on_the_page(run: tuple[Path, Manifest, str]) -> None:
    rows = read_verdicts(run[1]).to_pylist()
    assert any(PHONE_NUMBER in (row["caption_raw"] or "") for row in rows)
    assert PHONE_NUMBER not in run[2]


def test_the_same_corpus_gives_the_same_page(run: tuple[Path, Manifest, str]) -> None:
    assert write_report(run[0]).read_text(encoding="utf-8") == run[2]


# A corpus without pictures: what fetching leaves, and what a corpus of another machine lacks.


def corpus_of_rows(folder: Path, rows: list[dict[str, Any]], without: tuple[str, ...] = ()) -> Manifest:
    """A corpus of one part, with rows that say only what matters, of a time when some columns were not known."""
    nothing = {"source": "s", "stage": "", "reason": "", "kept": True, "bytes": 0, "offset": 0, "origin": "o"}
    rows = [{**nothing, "key": f"{number:032x}", **row} for number, row in enumerate(rows)]
    table = pa.Table.from_pylist(rows, schema=VERDICTS).drop_columns(list(without))
    (folder / "verdicts").mkdir(parents=True)
    pq.write_table(table, folder / "verdicts" / "p.parquet")
    recipe = recorded_recipe({"name": "r", "sources": [{"name": "s", "kind": "folder", "path": "nowhere"}]})
    document = new_manifest(
        "corpus",
        schema={name: str(table.schema.field(name).type) for name in table.column_names},
        files=[file_entry(folder, "verdicts/p.parquet", rows=len(rows))],
        lineage={"recipe": recipe.document(), "parents": [], "steps": funnel(table)},
        licenses=[{"source": "s", "license": "CC0-1.0", "attribution": "", "samples": len(rows)}],
        totals={"pairs": len(rows), "kept": sum(row["kept"] for row in rows)},
    )
    return save_manifest(folder, document)


def test_hostile_captions_and_names_are_text(tmp_path: Path, browser: Browser) -> None:
    dropped = {"kept": False, "stage": "read", "reason": "truncated"}
    rows = [{"caption": text} for text in HOSTILE]
    rows += [{**dropped, "caption": text, "origin": text, "format": text[:20]} for text in HOSTILE]
    corpus_of_rows(tmp_path / "corpus", rows)
    path = write_report(tmp_path)
    with open_page(browser, path, 390, 844) as (page, seen):
        captions = page.evaluate("[...document.querySelectorAll('#kept bdi')].map(each => each.textContent)")
        listed = page.evaluate("[...document.querySelectorAll('#dropped .clip')].map(each => each.textContent)")
        tags = page.evaluate("[...new Set([...document.querySelectorAll('*')].map(each => each.localName))]")
        names = page.evaluate("[...document.querySelectorAll('*')].flatMap(each => each.getAttributeNames())")
        tallest = page.evaluate("Math.max(...[...document.querySelectorAll('#kept figure')].map(e => e.offsetHeight))")
        fits = page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert set(HOSTILE[:5]) <= set(captions) & set(listed)
    assert not {"script", "iframe", "object", "form", "img"} & set(tags)
    assert not [name for name in names if name.startswith("on")]
    assert (seen.requests, seen.complaints) == ([], [])
    assert fits and tallest < 160  # three lines of any caption
    assert "翻转的文字" in captions  # without what turns the direction of writing
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", path.read_text(encoding="utf-8"))


def test_what_could_not_be_fetched_is_listed_by_address_without_its_secrets(tmp_path: Path) -> None:
    url = "https://user:password@example.org/a/cat.jpg?token=secret#part"
    corpus_of_rows(
        tmp_path / "corpus",
        [{"kept": False, "stage": "fetch", "reason": "http_404", "url": url, "caption": "一只猫"}, {}],
    )
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "https://example.org/a/cat.jpg" in page and "一只猫" in page
    assert title_of("http_404") in page
    assert not [secret for secret in ("password", "token", "secret", "#part") if secret in page]


def test_the_caption_of_a_pair_that_was_dropped_for_personal_data_is_withheld(tmp_path: Path) -> None:
    row = {"kept": False, "stage": "caption", "reason": "personal_data", "caption": f"联系{PHONE_NUMBER}"}
    corpus_of_rows(tmp_path / "corpus", [row, {"caption": "好"}])
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert title_of("personal_data") in page and "withheld" in page
    assert PHONE_NUMBER not in page


def test_fetching_is_shown_hour_by_hour_from_the_ledger(tmp_path: Path) -> None:
    corpus_of_rows(tmp_path / "corpus", [{}])
    folder = tmp_path / "corpus" / "pictures" / "s"
    folder.mkdir(parents=True)
    times = [datetime(2025, 3, 1, hour, minute, tzinfo=UTC) for hour, minute in ((7, 0), (7, 59), (9, 30))]
    table = pa.table({"time": pa.array(times, pa.timestamp("ms", "UTC")), "sha256": ["a", None, "b"]})
    pq.write_table(table, folder / "list-00000.parquet")
    pq.write_table(pa.table({"x": [1]}), folder / "another.parquet")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "2 of 3 fetched" in page
    assert "03-01 07:00: 1 fetched, 1 failed" in page and "03-01 09:00: 1 fetched, 0 failed" in page


def test_a_corpus_that_lost_its_measures_and_its_pictures_has_a_report_all_the_same(tmp_path: Path) -> None:
    seen = {"width": 64, "height": 32, "image_sha256": "a" * 64, "caption": "好"}
    corpus_of_rows(tmp_path / "corpus", [seen, {"kept": False, "stage": "read", "reason": "empty_file"}])
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "median 32 px" in page and "sharpness" not in page and "<img" not in page


def test_a_corpus_in_which_nothing_is_kept_has_a_report(tmp_path: Path) -> None:
    corpus_of_rows(tmp_path / "corpus", [{"kept": False, "stage": "caption", "reason": "no_caption"}])
    assert "1 − 1 = <b>0</b>" in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_decision_table_that_was_altered_is_refused(tmp_path: Path) -> None:
    corpus_of_rows(tmp_path / "corpus", [{}])
    path = tmp_path / "corpus" / "verdicts" / "p.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckFailed, match="altered"):
        write_report(tmp_path)


def test_a_chart_is_added_by_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    area = Plot(
        "area",
        "积 · area",
        "px",
        "log",
        values=lambda part: floats(part["width"]) * floats(part["height"]),
        rules=lambda recipe: [Rule(recipe.images.resolved().max_pixels, "≤ max_pixels")],
    )
    monkeypatch.setattr("tuwen.pipeline.report.plots.PLOTS", (*PLOTS, area))
    corpus_of_rows(tmp_path / "corpus", [{"width": 64, "height": 32}])
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "积 · area" in page and "median 2,048 px" in page and "rule: ≤ max_pixels" in page


def test_the_page_shows_the_training_of_a_run_and_its_sampled_pictures(tmp_path: Path) -> None:
    corpus_of_rows(tmp_path / "corpus", [{}])
    folder = RunFolder(tmp_path).train
    folder.paintings.mkdir(parents=True)
    losses = [{"step": step, "codes": 6.5 - step, "text": 2.0, "samples": 16 * (step + 1)} for step in range(3)]
    folder.losses.write_text("".join(json.dumps(entry) + "\n" for entry in losses))
    model = {"depth": 1, "width": 64}
    run = {"layout": {"num_codes": 64}, "settings": {"model": model, "batch": 16}, "precision": "float32", "threads": 2}
    folder.document.write_text(json.dumps(run))
    folder.paintings_list.write_text(json.dumps([{"prompt": "一只猫", "file": "0.png", "is_caption": False}]))
    (folder.paintings / "0.png").write_bytes(saved(picture(1), "PNG"))
    score = {"split": "train", "captions": 10, "pictures": 20, "own_in_5": "0.4", "strict_in_5": "0.3", "chance": "0.1"}
    of_an_old_run = {**score, "own_median_rank": 7}
    tones = {"with_skin_tone": 4, "own_in_5_with_skin_tone": "0.25", "own_in_5_without_skin_tone": "0.5"}
    folder.nearest.write_text(json.dumps([of_an_old_run, {**of_an_old_run, "split": "validation", **tones}]))
    save_manifest(folder.path, new_manifest("train", files=[], lineage={"parents": []}, licenses=[], totals={}))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    for words in (
        "一只猫",
        "1 layer of width 64",
        "48 samples read, computed in float32 with 2 threads",
        "nats per code after 3 steps",
        "画 codes 4.50",
        'without 肤色</th><th class="num">with 肤色</th>',
        '<td class="num">50.0%</td><td class="num">25.0%</td>',
    ):
        assert words in page
    assert 'alt="sampled from: 一只猫"' in page and "data:image/png;base64," in page


# Pictures.


def shown(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def test_a_picture_that_changed_since_it_was_measured_is_not_decoded(
    run: tuple[Path, Manifest, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in next(corpus_parts(run[1])).to_pylist() if row["origin"] == "39.png")
    path = run[0].parent / "pictures" / "39.png"
    before = path.read_bytes()
    path.write_bytes(before[:-1] + b"?")
    monkeypatch.setattr("tuwen.pipeline.report.thumbnails.decode", lambda *_: pytest.fail("decoded"))
    small = SmallPictures(run[1])
    small.add([row])
    path.write_bytes(before)
    found, expected = (np.asarray(image.convert("RGB").resize((8, 4))).astype(int) for image in (
        shown(small.of(row)), picture(139, 64 + 4 * 39, 128)
    ))  # fmt: skip
    assert np.abs(found - expected).mean() < 12  # the thumbnail of what was measured


def test_an_unsafe_picture_is_veiled(run: tuple[Path, Manifest, str]) -> None:
    row = next(row for row in next(corpus_parts(run[1])).to_pylist() if row["kept"])
    for reason, least, most in (("", 100, 144), ("unsafe", 1, 8)):
        pictures = SmallPictures(run[1])
        pictures.add([{**row, "reason": reason}])
        assert least <= max(shown(pictures.of(row)).size) <= most
