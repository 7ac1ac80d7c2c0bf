"""One address and a server that misbehaves in every way: each has its problem; nothing hangs or is requested twice."""

import re
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from tuwen.pipeline.fetch.answer_headers import forbids, retry_after
from tuwen.pipeline.fetch.polite_http import Answer
from tuwen.pipeline.reasons import fetch_reasons, title_of

from .fetching import PICTURE, fetch
from .rude_server import RudeServer


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer(PICTURE) as running:
        yield running


RUDE = {
    "/ok": "",
    "/wrong_type": "",
    "/gzip": "",
    "/tag/otherbot:%20noai,%20noindex": "",
    "/to/HTTP://127.0.0.2:PORT/ok": "",
    "/status/404": "http_404",
    "/status/403": "http_403",
    "/status/204": "http_204",
    "/status/500": "http_500 may pass",
    "/status/429": "http_429 may pass",
    "/endless": "too_many_bytes",
    "/huge_length": "too_many_bytes",
    "/bomb": "too_many_bytes",
    "/trickle": "timed_out may pass",
    "/slow_headers": "timed_out may pass",
    "/endless_headers": "bad_answer",
    "/garbage": "bad_answer",
    "/short_length": "bad_answer",
    "/cut": "cut_body may pass",
    "/cut_chunk": "cut_body may pass",
    "/reset": "connection_failed may pass",
    "/html": "not_a_picture",
    "/empty": "empty_body",
    "/brotli": "bad_encoding",
    "/tag/noai": "robots_tag",
    "/tag/otherbot:%20noindex,%20tuwen:%20noimageai": "robots_tag",
    "/loop": "too_many_redirects",
    "/to/file:///etc/passwd": "bad_redirect",
    "/to/mailto:someone@example.com": "bad_redirect",
    "/to/http://10.0.0.1/x.jpg": "private_address",
    "/to/http://169.254.169.254/latest/meta-data": "private_address",
    "/to/http://[::1]:PORT/ok": "private_address",
    "/to/http://[::ffff:127.0.0.8]:PORT/ok": "private_address",
    "/to/http://127.0.0.8:PORT/ok": "private_address",
    "/to/http://0x7f000008:PORT/ok": "private_address",
    "/to/http://0177.0.0.8:PORT/ok": "private_address or bad_address",
    "/to/http://2130706440:PORT/ok": "private_address or bad_address",
    "/to/http://0/ok": "private_address or bad_address",
    "/to/http://localhost:PORT/ok": "",  # 127.0.0.1, which is allowed here
}


@pytest.fixture(scope="module")
def rude_answers() -> Iterator[dict[str, Answer]]:
    """All of it at once, so that the slow ones are waited for only once; beside a server that must get no request."""
    with RudeServer(PICTURE) as server:
        urls = {path: server.url(path.replace("PORT", str(server.port))) for path in RUDE}
        answers = dict(zip(urls, fetch(list(urls.values())), strict=True))
        assert {seen.headers["user-agent"] for seen in server.seen} == {"tuwen/0 (+https://example.com)"}
        assert not any(
            "cookie" in seen.headers or seen.headers["accept-encoding"] != "identity" for seen in server.seen
        )
        yield answers


@pytest.mark.parametrize("path", RUDE)
def test_each_misbehaviour_has_its_word(rude_answers: dict[str, Answer], path: str) -> None:
    answer = rude_answers[path]
    assert answer.problem + " may pass" * answer.retriable in RUDE[path].split(" or ")
    assert answer.attempts == 1 and answer.seconds < 2.5  # the deadline is 1
    assert answer.ending == "jpg" if not answer.problem else title_of(answer.problem) != answer.problem


def test_a_bomb_is_not_unpacked_into_memory(server: RudeServer) -> None:
    fetch([server.url("/ok")])
    tracemalloc.start()
    try:
        assert fetch([server.url("/bomb")])[0].problem == "too_many_bytes"
        assert tracemalloc.get_traced_memory()[1] < 8_000_000  # of 50 MB
    finally:
        tracemalloc.stop()


def test_the_words_are_a_closed_set() -> None:
    problems = {word.removesuffix(" may pass") for words in RUDE.values() for word in words.split(" or ")} - {""}
    assert {re.sub(r"http_\d+", "http_STATUS", word) for word in problems} <= set(fetch_reasons())


def test_an_answer_that_comes_right_is_taken_at_the_second_try(server: RudeServer) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True).replace(" ", "%20")
    paths = ["/then_ok/500", "/then_ok/429/1", f"/then_ok/503/{soon}", "/then_ok/408", "/status/404", "/status/403"]
    urls = [server.url(path, host) for host, path in enumerate(paths, 1)]
    began = time.monotonic()
    answers = fetch(urls, attempts=3)
    assert [answer.problem for answer in answers] == ["", "", "", "", "http_404", "http_403"]
    assert [answer.attempts for answer in answers] == [2, 2, 2, 2, 1, 1]
    times = {seen.path: seen.time for seen in server.seen}  # of the latest request
    assert times["/then_ok/429/1"] - began >= 1 and times[f"/then_ok/503/{soon}"] - began >= 1


def test_a_host_that_asks_for_more_patience_than_there_is_is_left_alone(
    server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [server.url("/then_ok/503/3600"), *(server.url(f"/ok/x{number}") for number in range(5))]
    first, *others = fetch(urls, attempts=2, per_host_in_flight=1)
    assert (first.problem, first.retriable) == ("http_503", True)
    assert {(answer.problem, answer.retriable) for answer in others} == {("host_asks_to_wait", True)}
    assert len(server.seen) == 2  # robots.txt, and the one
    assert fetch([server.url("/ok", host=2)])[0].problem == ""


def test_a_host_that_fails_again_and_again_is_given_up(server: RudeServer) -> None:
    answers = fetch([server.url(f"/reset/{number}") for number in range(40)], per_host_in_flight=2)
    problems = [answer.problem for answer in answers]
    assert set(problems) == {"connection_failed", "host_down"} and all(answer.retriable for answer in answers)
    assert 10 <= problems.count("connection_failed") <= 12


# ---------------------------------------------------------------- robots.txt


@pytest.mark.parametrize(
    ("robots", "problem"),
    [
        ("User-agent: *\nDisallow: /", "robots_disallowed"),
        ("User-agent: tuwen\nDisallow: /ok", "robots_disallowed"),
        ("User-agent: otherbot\nDisallow: /", ""),
        ("User-agent: *\nDisallow: /\nAllow: /ok", ""),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Tuwen\nDisallow: /private", ""),
        ("\ufeff<html>not robots</html>", ""),
        ("User-agent: *\nDisallow: /\n" + "#" * 600_000, "robots_disallowed"),
        ("#" * 900_000 + "\nUser-agent: *\nDisallow: /", ""),  # more than 500 KiB are not read
        (404, ""),
        (403, ""),
        (204, ""),
        (500, "robots_unreachable"),
        (429, "robots_unreachable"),
    ],
)
def test_robots_txt_is_obeyed_by_rfc_9309(server: RudeServer, robots: str | int, problem: str) -> None:
    server.robots[2] = robots
    (answer,) = fetch([server.url("/ok", host=2)], deadline_seconds=5)
    assert (answer.problem, answer.retriable) == (problem, problem == "robots_unreachable")
    assert server.count("/ok") == (not problem)


def test_robots_txt_holds_for_the_host_that_a_redirect_leads_to_and_is_asked_once(server: RudeServer) -> None:
    server.robots[2] = "User-agent: *\nDisallow: /ok"
    urls = [server.url(f"/to/{server.url(path, host=2)}") for path in ("/ok", "/gzip", "/wrong_type")]
    assert [answer.problem for answer in fetch(urls * 2)] == ["robots_disallowed", "", ""] * 2
    assert server.count("/robots.txt") == 2 and server.count("/ok") == 0


def test_a_robots_txt_that_was_not_there_for_a_moment_is_asked_again_and_failures_are_not_kept(
    server: RudeServer,
) -> None:
    server.robots[3] = 503
    url = server.url("/ok", host=3)
    (answer,) = fetch([url], attempts=2)
    assert answer.problem == "robots_unreachable" and server.count("/robots.txt") == 2
    server.robots[3] = ""
    assert [answer.problem for answer in (*fetch([url]), *fetch([url]))] == ["", ""]
    assert server.count("/robots.txt") == 3  # and the rules are kept


def test_crawl_delay_is_kept(server: RudeServer) -> None:
    server.robots[4] = "User-agent: *\nCrawl-delay: 0.3"
    assert all(not answer.problem for answer in fetch([server.url(f"/ok/x{n}", host=4) for n in range(3)]))
    times = [seen.time for seen in server.seen if seen.path != "/robots.txt"]
    assert min(later - sooner for sooner, later in pairwise(times)) > 0.27


def test_switching_robots_off_takes_an_explicit_word(server: RudeServer) -> None:
    server.robots[1] = "User-agent: *\nDisallow: /"
    urls = [server.url("/ok"), server.url("/tag/noai")]
    assert [answer.problem for answer in fetch(urls)] == ["robots_disallowed", "robots_disallowed"]
    assert [answer.problem for answer in fetch(urls, robots="ignore")] == ["", "robots_tag"]
    assert [answer.problem for answer in fetch(urls, robots="ignore", robots_tag="ignore")] == ["", ""]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (["noai"], "noai"), (["all", "nofollow, NoImageAI"], "noimageai"), (["none"], "none"), ([], None),
        (["googlebot: noindex, none"], None), (["unavailable_after: 25 Jun 2030, noindex"], "noindex"),
        (["max-image-preview: large"], None), (["otherbot: noai, tuwen: noai"], "noai"),
    ],
)  # fmt: skip
def test_x_robots_tag(values: list[str], word: str | None) -> None:
    assert forbids(values) == word


def test_retry_after_in_seconds_or_as_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    values = ["120", "Thu, 01 Jan 2026 00:02:00 GMT", "Wed, 31 Dec 2025 00:00:00 GMT", "soon", "-5", None, ""]
    assert [retry_after(value, now) for value in values] == [120, 120, 0, None, None, None, None]
