"""The page in a real browser: by keyboard, on a phone, and with a link that gives the same pictures again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.train.run.run import open_run
from tuwen.train.serving.neighbours import Neighbours
from tuwen.train.serving.requests import Limits

from ...pipeline.report.browser import chromium, open_page
from ..test_plans import trained
from .served import CIRCLE, Server

MARKUP = "<img src=x onerror=alert(1)>圆"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    run = open_run(trained(shapes, tmp_path_factory.mktemp("page") / "shapes" / "train", steps=30))
    limits = Limits(rate=100_000, refused_words=("血腥",))
    served = Server(run, limits, neighbours=Neighbours.of(load_manifest(shapes[1] / "shards")))
    yield f"http://127.0.0.1:{served.port}/"
    served.close()


def paint(page: Page, prompt: str, seed: str = "") -> list[str]:
    """Type it, press Enter, wait, and return the pictures."""
    page.fill("#prompt", prompt)
    page.fill("#seed", seed)
    page.press("#prompt", "Enter")
    page.locator("#paint:not([disabled])").wait_for()
    page.locator("figcaption a").nth(3).wait_for()
    return pictures(page)


def pictures(page: Page) -> list[str]:
    return [str(image.get_attribute("src")) for image in page.locator("#pictures > figure > img").all()]


@pytest.mark.parametrize("width", [1280, 390])
def test_pictures_are_painted_by_keyboard_and_the_link_gives_them_again(
    browser: Browser, address: str, width: int
) -> None:
    with open_page(browser, address, width, 844) as (page, seen):
        painted = paint(page, CIRCLE)
        assert len(set(painted)) == 4
        assert all(each.startswith("data:image/png;base64,") for each in painted)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        link = page.url
        assert "seed=" in link
        page.locator("summary").first.press("Enter")
        assert page.locator("details[open] li").count() == 3
        assert "CC0-1.0" in page.locator("details[open] li").first.inner_text()
        page.goto("about:blank")
        page.goto(link)
        page.locator("figcaption a").nth(3).wait_for()
        assert pictures(page) == painted
        assert page.locator("#history button").all_inner_texts() == [CIRCLE]
        assert (seen.requests, seen.complaints) == ([], [])


def test_a_prompt_is_text_wherever_it_is_shown_and_a_refusal_is_said(browser: Browser, address: str) -> None:
    with open_page(browser, address, 800, 800) as (page, seen):
        paint(page, MARKUP, "7")
        assert page.locator("#history button").all_inner_texts() == [MARKUP]
        page.locator("#history button").first.click()
        page.locator("figcaption a").nth(3).wait_for()
        assert seen.complaints == []
        page.fill("#prompt", "血腥的圆")
        page.press("#prompt", "Enter")
        page.locator("#said.wrong", has_text="a word that is refused here").wait_for()
