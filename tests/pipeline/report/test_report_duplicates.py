"""The report's section on duplicates: dropped beside kept, worst first; evaluation pictures; clusters."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from playwright.sync_api import Browser

from tuwen.manifests.decision_table import VERDICTS
from tuwen.manifests.manifest import load_manifest
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.report.corpus_parts import COLUMNS
from tuwen.pipeline.report.duplicate_pairs import BINS, WORST_SHOWN, DuplicatePairs, bin_of

from ...conftest import encoded, write_recipe
from ...stages import build_corpus, write_report
from ..hostile import picture
from .browser import chromium, open_page
from .test_report import corpus_of_rows
from .test_report_numbers import cuts, in_parts

NEW = ("difference", "cosine", "picture")  # columns that corpora of 0.3.0 lack


@pytest.fixture(scope="module")
def browser() -> Any:
    with chromium() as found:
        yield found


def texts(browser: Browser, path: Path, selector: str, width: int = 1280) -> list[str]:
    with open_page(browser, path, width, 900) as (page, seen):
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        found: list[str] = [element.inner_text() for element in page.locator(selector).all()]
        assert all(page.evaluate("[...document.images].map(image => image.naturalWidth > 0)"))
    assert (seen.requests, seen.complaints) == ([], [])
    return found


def duplicate(number: int, **more: Any) -> dict[str, Any]:
    return {
        "key": f"{number:032x}", "kept": False, "stage": "near", "reason": "near_picture", "keeper": f"{0:032x}",
        "distance": 2, "caption": f"第{number}张", "image_sha256": f"{number:064x}", **more,
    }  # fmt: skip


# A corpus that is built, with an evaluation set.


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures, each with a smaller copy that is marked or compressed, and two in the evaluation set."""
    folder = tmp_path_factory.mktemp("duplicates-page")
    for name in ("pictures", "test-set"):
        (folder / name).mkdir()
    for number in range(12):
        whole = picture(300 + number, 320, 240)
        (folder / "pictures" / f"{number}.png").write_bytes(encoded(whole, "PNG"))
        (folder / "pictures" / f"{number}.txt").write_text(f"第{number}张图", encoding="utf-8")
        small = whole.resize((200, 150))
        (folder / "pictures" / f"{number}-small.jpg").write_bytes(encoded(small, "JPEG", quality=30 + 5 * number))
        (folder / "pictures" / f"{number}-small.txt").write_text(f"第{number}张小图", encoding="utf-8")
        if number < 2:
            (folder / "test-set" / f"q{number}.webp").write_bytes(encoded(whole.resize((160, 120)), "WEBP", quality=90))
            (folder / "test-set" / f"q{number}.txt").write_text("绝密的答案", encoding="utf-8")
    recipe = write_recipe(folder, evaluation="[{name: test, kind: folder, path: test-set}]")
    build_corpus(load_recipe(str(recipe)), folder / "corpus")
    write_report(folder)
    return folder


def test_every_duplicate_stands_beside_the_kept_pair_the_most_different_first(built: Path, browser: Browser) -> None:
    rows = read_verdicts_of(built)
    near = [row for row in rows if row["stage"] == "near"]
    assert len(near) == 10
    cards = texts(browser, built / "report.html", "[id^=duplicates-] .duplicate")
    assert len(cards) == len(near)
    near.sort(key=lambda row: (-row["difference"], -row["distance"], row["key"]))
    by_key = {row["key"]: row for row in rows}
    for card, row in zip(cards, near, strict=True):
        kept, dropped = by_key[row["keeper"]], row
        assert card.index(kept["caption"]) < card.index(dropped["caption"])
        assert "320 × 240 px" in card and "200 × 150 px" in card
        assert f"difference {row['difference']:.2f}" in card and f"hash {row['distance']}" in card
        assert "near-duplicate picture" in card


def test_both_pictures_of_a_card_are_seen(built: Path) -> None:
    page = (
        (built / "report.html").read_text(encoding="utf-8").partition('id="duplicates-1"')[2].partition("<details")[0]
    )
    first, second = re.findall(r"data:image/webp;base64,([^\"]+)", page)[:2]
    kept, dropped = (Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in (first, second))
    assert kept.size == dropped.size == (144, 108)
    assert np.abs(np.asarray(kept).astype(int) - np.asarray(dropped).astype(int)).mean() < 12


def test_duplicates_of_evaluation_pictures_are_listed_beside_them_without_their_captions(
    built: Path, browser: Browser
) -> None:
    rows = [row for row in read_verdicts_of(built) if row["stage"] == "evaluation"]
    listed = texts(browser, built / "report.html", "#contaminated .listed tr:not(:first-child)")
    assert len(listed) == len(rows) == 4
    assert sum("q0.webp" in words for words in listed) == sum("q1.webp" in words for words in listed) == 2
    (words,) = texts(browser, built / "report.html", "#contaminated p")
    assert "corpus/contaminated.parquet" in words and "4 of test" in words
    page = (built / "report.html").read_text(encoding="utf-8")
    assert "绝密的答案" not in page
    section = page.partition('id="contaminated"')[2].partition("</details>")[0]
    assert section.count("<img") == 8  # both pictures of each


def read_verdicts_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_verdicts(load_manifest(folder / "corpus")).to_pylist()
    return rows


# Tables written by hand.


def test_a_keeper_that_is_not_available_is_named_and_no_picture_is_broken(tmp_path: Path, browser: Browser) -> None:
    rows = [{"key": f"{0:032x}"}, duplicate(1, keeper="ab" * 16), duplicate(2, stage="earlier", keeper="cd" * 16)]
    corpus_of_rows(tmp_path / "corpus", rows)
    path = write_report(tmp_path)
    assert texts(browser, path, ".absent", 390) == ["not available\nabababababab"]
    (row,) = texts(browser, path, "#earlier .listed tr:not(:first-child)", 390)
    assert "cd" * 6 in row


def test_a_corpus_without_the_new_columns_shows_its_duplicates_by_hash(tmp_path: Path, browser: Browser) -> None:
    rows = [{"key": f"{0:032x}"}, *(duplicate(number, distance=number) for number in (1, 3, 2))]
    corpus_of_rows(tmp_path / "corpus", rows, without=NEW)
    cards = texts(browser, write_report(tmp_path), "[id^=duplicates-] .duplicate")
    assert [re.findall(r"hash (\d)", card) for card in cards] == [["3"], ["2"], ["1"]]
    assert not any("difference" in card for card in cards)


def test_duplicates_that_vectors_alone_found_have_a_list_of_their_own(tmp_path: Path, browser: Browser) -> None:
    measured = [duplicate(number, difference=0.1 * number, cosine=0.9) for number in range(1, 4)]
    by_vectors = [duplicate(10 + number, distance=30, cosine=0.75 + 0.01 * number) for number in range(3)]
    corpus_of_rows(tmp_path / "corpus", [{"key": f"{0:032x}"}, *by_vectors, *measured])
    path = write_report(tmp_path)
    assert [card.split("\n")[0][:4] for card in texts(browser, path, "#duplicates-1 .duplicate")] == ["kept"] * 3
    assert [re.findall(r"cosine (\S+)", card) for card in texts(browser, path, "#duplicates-2 .duplicate")] == [
        ["0.750"], ["0.760"], ["0.770"],
    ]  # fmt: skip


def test_copies_are_counted_and_what_the_choice_of_captions_dropped_is_no_duplicate(
    tmp_path: Path, browser: Browser
) -> None:
    rows = [{"key": f"{0:032x}"}, duplicate(90, stage="choice", reason="more_captions")]
    rows += [duplicate(number, stage="exact", reason="same_bytes") for number in range(1, 8)]
    rows += [duplicate(20, reason="near_caption", distance=31)]
    corpus_of_rows(tmp_path / "corpus", rows)
    path = write_report(tmp_path)
    summaries = " ".join(texts(browser, path, "#duplicates summary")).split("\n")
    assert "the same bytes" in summaries[0] and "near-duplicate caption" in " ".join(summaries)
    assert len(texts(browser, path, "#duplicates .duplicate")) == 3 + 1
    assert "better captions" not in " ".join(texts(browser, path, "#duplicates"))


def test_above_a_contact_sheet_one_pair_of_every_bin_is_shown_as_well(tmp_path: Path, browser: Browser) -> None:
    count = 3 * WORST_SHOWN
    rows = [{"key": f"{0:032x}"}, *(duplicate(number, difference=number / count) for number in range(1, count + 1))]
    corpus_of_rows(tmp_path / "corpus", rows)
    path = write_report(tmp_path)
    assert len(texts(browser, path, "#duplicates-1 .duplicate")) == WORST_SHOWN
    bins = texts(browser, path, "#range .bin")
    assert len(bins) == BINS
    assert f"{count} here and above" in bins[0]
    assert sum(int(words) for each in bins for words in re.findall(r"(\d+) pairs?;", each)) == count
    drawn = re.findall(r"<title>0\.\d\d – [01]\.\d\d: (\d+) pairs", path.read_text(encoding="utf-8"))
    assert sum(map(int, drawn)) == count


def test_large_clusters_are_warned_of_on_the_page(tmp_path: Path, browser: Browser) -> None:
    rows = [{"cluster": f"{0:032x}", "pixels_hash": f"{number:032x}", "phash64": number % 4} for number in range(1001)]
    corpus_of_rows(tmp_path / "corpus", [*rows, {"cluster": f"{5000:032x}"}])
    path = write_report(tmp_path)
    (warning,) = texts(browser, path, "#duplicates .warning")
    assert "1,001" in warning and "duplicates.radius" in warning
    assert any(
        words.split()[:3] == ["1,001", "1,001", "2"] for words in texts(browser, path, "#clusters .listed tr", 390)
    )
    corpus_of_rows(tmp_path / "small" / "corpus", rows[:1000])
    assert texts(browser, write_report(tmp_path / "small"), "#duplicates .warning") == []


def test_a_corpus_without_duplicates_has_no_such_section(tmp_path: Path) -> None:
    corpus_of_rows(tmp_path / "corpus", [{}, {}])
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert 'id="duplicates"' not in page and 'href="#duplicates"' not in page


differences = st.one_of(st.none(), st.sampled_from([0.0, 0.05, 0.5, 0.949, 0.95, 1.0, 1.5]))


@given(st.lists(st.tuples(differences, st.integers(0, 12), st.integers(0, 3)), max_size=90), cuts)
@settings(max_examples=60, deadline=None)
def test_the_worst_are_the_same_however_the_corpus_is_cut(rows: list[tuple[Any, int, int]], at: list[int]) -> None:
    pairs = [
        duplicate(number * 7919 % 1009, difference=difference, distance=distance, image_sha256=f"{look:064x}")
        for number, (difference, distance, look) in enumerate(rows)
    ]
    table = pa.Table.from_pylist(pairs, schema=VERDICTS).select(COLUMNS)
    duplicates = DuplicatePairs()
    for part in in_parts(table, at):
        duplicates.add(part)
    measured = sorted(
        (row for row in table.to_pylist() if row["difference"] is not None),
        key=lambda row: (-row["difference"], -row["distance"], row["key"]),
    )
    once = {row["image_sha256"]: row["key"] for row in reversed(measured)}
    assert [row["key"] for row in duplicates.of("difference")] == [
        row["key"] for row in measured if once[row["image_sha256"]] == row["key"]
    ]
    assert duplicates.differences.sum() == len(measured) == duplicates.ordered_by["difference"]
    assert duplicates.differences[BINS] == sum(row["difference"] > 1 for row in measured)
    assert duplicates.distances.sum() == len(rows) == duplicates.counts["near"].total()
    smallest: dict[int, str] = {}
    for row in measured:
        index = int(bin_of(np.float64(row["difference"])))
        smallest[index] = min(smallest.get(index, row["key"]), row["key"])
    assert {int(bin_of(np.float64(row["difference"]))): row["key"] for row in duplicates.of("bins")} == smallest
