"""A headless Chromium for tests: Debian's, driven by Playwright, which brings none of its own here.

with chromium() as browser, open_page(browser, path, width=390, height=844) as (page, seen):
    page.evaluate("…"), seen.requests, seen.complaints
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Seen:
    """What a page did besides being shown."""

    requests: list[str] = field(default_factory=list)  # other than for the page itself and data: URIs
    complaints: list[str] = field(default_factory=list)  # console errors and warnings, exceptions, dialogs


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test where there is no Chromium; on CI its absence is a failure."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        problem = "no Chromium found: apt-get install chromium"
        pytest.fail(problem) if os.environ.get("CI") == "true" else pytest.skip(problem)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, place: Path | str, width: int, height: int) -> Iterator[tuple[Page, Seen]]:
    """`place` is a file, or an address, all of whose pages are its own."""
    seen = Seen()
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    own = place if isinstance(place, str) else place.resolve().as_uri()
    page.on("request", lambda request: _remember(seen.requests, request.url, own))
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (seen.complaints.append(dialog.message), dialog.dismiss()))
    page.goto(own)
    yield page, seen
    context.close()


def _remember(requests: list[str], url: str, own: str) -> None:
    is_own = url.startswith(own) if own.startswith("http:") else url.partition("#")[0] == own
    if not is_own and not url.startswith("data:"):
        requests.append(url)
