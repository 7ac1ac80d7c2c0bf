"""The fetcher against a server that misbehaves in every way: each has its word; nothing hangs or is asked twice."""

import asyncio
import csv
import ipaddress
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from tuwen.manifests.canonical import sha256_of_file
from tuwen.manifests.recipe import UrlsSource, load_recipe
from tuwen.pipeline import fetch as fetching
from tuwen.pipeline import fetch_proxy
from tuwen.pipeline.answer_headers import forbids, retry_after
from tuwen.pipeline.corpus import build_corpus, read_verdicts
from tuwen.pipeline.fetch import gather_urls
from tuwen.pipeline.fetch_ledger import read_ledger
from tuwen.pipeline.fetch_problems import FETCH_PROBLEMS, Refused, problem_title
from tuwen.pipeline.fetch_slice import fetch_slice
from tuwen.pipeline.part import Part
from tuwen.pipeline.polite_http import Answer, Manners, PoliteClient
from tuwen.pipeline.public_addresses import is_public, may_connect, networks
from tuwen.pipeline.source import Found, OpenSource
from tuwen.pipeline.sources import list_parts, read_part
from tuwen.pipeline.url_lists import cut_list, list_files
from tuwen.pipeline.web_address import next_address, web_address
from yarl import URL

from .conftest import draw, encoded, write_recipe
from .rude_server import RudeServer

PICTURE = encoded(draw("红", "圆", 60), "JPEG")
LOOPBACK = ["127.0.0.0/29"]  # 127.0.0.1 to 127.0.0.7; not 127.0.0.8, not ::1
INNER = "http://127.0.0.8"  # an address that answers, and that nobody may ask


def fetch(urls: list[str], resolver: Any = None, **more: Any) -> list[Answer]:
    """Fetch all at once; what was had must be the picture, whole."""
    manners: dict[str, Any] = {
        "user_agent": "tuwen/0 (+https://example.com)", "in_flight": 64, "per_host_in_flight": 64,
        "per_host_per_second": 10_000.0, "tasks": 1, "deadline_seconds": 1.0, "max_bytes": 1_000_000, "attempts": 1,
        "robots": "obey", "robots_tag": "obey", "allow_addresses": LOOPBACK, **more,
    }  # fmt: skip

    async def one(client: PoliteClient, url: str) -> Answer:
        with tempfile.SpooledTemporaryFile() as file:
            answer = await client.fetch(url, file)
            file.seek(0)
            assert answer.problem or file.read() == PICTURE
            return answer

    async def every() -> list[Answer]:
        async with PoliteClient(Manners(**manners), resolver) as client:
            return list(await asyncio.gather(*(one(client, url) for url in urls)))

    return asyncio.run(every())


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer(PICTURE) as running:
        yield running


# ---------------------------------------------------------------- what the web does

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
    """All of it at once, so that the slow ones are waited for only once; beside a server that must not be asked."""
    with RudeServer(PICTURE) as server:
        asked = {path: server.url(path.replace("PORT", str(server.port))) for path in RUDE}
        began = time.monotonic()
        answers = dict(zip(asked, fetch(list(asked.values())), strict=True))
        assert time.monotonic() - began < 5
        assert {seen.headers["user-agent"] for seen in server.seen} == {"tuwen/0 (+https://example.com)"}
        assert not any(
            "cookie" in seen.headers or seen.headers["accept-encoding"] != "identity" for seen in server.seen
        )
        yield answers


@pytest.mark.parametrize("path", RUDE)
def test_each_misbehaviour_has_its_word(rude_answers: dict[str, Answer], path: str) -> None:
    answer = rude_answers[path]
    assert answer.problem + " may pass" * answer.retriable in RUDE[path].split(" or ")
    assert answer.attempts == 1
    assert answer.ending == "jpg" if not answer.problem else problem_title(answer.problem) != answer.problem


def test_the_words_are_a_closed_set() -> None:
    said = {word.removesuffix(" may pass") for words in RUDE.values() for word in words.split(" or ")} - {""}
    assert {"http_*" if word.startswith("http_") else word for word in said} <= set(FETCH_PROBLEMS)


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
    assert server.count("/robots.txt") == 3  # and what was found is kept


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
    said = ["120", "Thu, 01 Jan 2026 00:02:00 GMT", "Wed, 31 Dec 2025 00:00:00 GMT", "soon", "-5", None, ""]
    assert [retry_after(value, now) for value in said] == [120, 120, 0, None, None, None, None]


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254",
     "172.16.0.1", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::",
     "::1", "::7f00:1",
     "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
     "fc00::1", "fd00:ec2::254", "fe80::1%1", "fec0::1", "ff02::1"],
)  # fmt: skip
def test_what_is_not_public_is_never_connected_to(address: str) -> None:
    assert not may_connect(address, ())
    assert may_connect(address.partition("%")[0], networks([address.partition("%")[0]]))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public_may_be(address: str) -> None:
    assert may_connect(address, ())


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_like_itself(inner: ipaddress.IPv4Address) -> None:
    for outer in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(outer)) + int(inner))) == is_public(inner)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) + (int(inner) << 80))
    assert is_public(inner) or not is_public(six_to_four)


class Names(AbstractResolver):
    """Names with the answers of one lookup after another."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = answers
        self.lookups = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.lookups += 1
        waiting = self.answers.get(host.partition(".")[0])
        if not waiting:
            raise OSError(socket.EAI_NONAME, "not known")
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=socket.AF_INET, proto=0, flags=0) for ip in found
        ]

    async def close(self) -> None:
        pass


def test_a_name_that_is_public_at_first_and_private_then_leads_nowhere(server: RudeServer) -> None:
    """What is judged is the address of the connection itself: there is no lookup before it that could be told a lie."""
    names = Names(rebind=[["127.0.0.1"], ["127.0.0.8"]])
    url = f"http://rebind.test:{server.port}/ok"
    assert [answer.problem for answer in fetch([url], names)] == [""]
    assert names.lookups == 1
    assert [answer.problem for answer in fetch([url], names)] == ["private_address"]


def test_of_a_mixed_answer_only_the_public_address_is_asked(server: RudeServer) -> None:
    names = Names(mixed=[["127.0.0.8", "127.0.0.3", "10.0.0.1"]], inner=[["127.0.0.8", "10.0.0.1"]])
    urls = [f"http://{name}.test:{server.port}/ok" for name in ("mixed", "inner")]
    assert [answer.problem for answer in fetch(urls, names)] == ["", "private_address"]
    assert {seen.host for seen in server.seen} == {3}


def test_a_name_that_nobody_knows_is_looked_up_once_and_final() -> None:
    names = Names()
    answers = fetch(
        [f"http://gone.test/{n}" for n in range(30)], names, attempts=3, robots="ignore", per_host_in_flight=1
    )
    assert {(answer.problem, answer.retriable) for answer in answers} == {("dns_failed", False)}
    assert names.lookups == 1


def test_a_proxy_is_honoured_and_private_targets_are_still_refused(
    server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy itself lies at a private address: the operator chose it."""
    monkeypatch.setenv("http_proxy", server.url("", host=5))
    monkeypatch.setenv("no_proxy", "127.0.0.2")
    fetch_proxy.proxies.cache_clear()
    try:
        names = Names(public=[["8.8.8.8"]], inner=[["10.0.0.1"]])
        targets = ["public.test", "unknown.test", "inner.test", "10.0.0.1", "[::ffff:10.0.0.1]"]
        urls = [f"http://{target}/ok/x{number}" for number, target in enumerate(targets)]
        answers = fetch([*urls, server.url("/ok/direct", host=2)], names, allow_addresses=["127.0.0.2"])
    finally:
        monkeypatch.undo()
        fetch_proxy.proxies.cache_clear()
    assert [answer.problem for answer in answers] == ["", "", *["private_address"] * 3, ""]
    asked = {(seen.host, seen.path) for seen in server.seen if seen.path != "/robots.txt"}
    assert asked == {(5, "/ok/x0"), (5, "/ok/x1"), (2, "/ok/direct")}


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with RudeServer(PICTURE, tls=self_signed(tmp_path)) as server:
        (answer,) = fetch([server.url("/ok")])
        assert (answer.problem, answer.retriable) == ("tls_failed", False)
        (plain,) = fetch([server.url("/ok").replace("https", "http")])
        assert plain.problem in ("connection_failed", "bad_answer")
        assert not server.seen


def self_signed(folder: Path) -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    ).sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def test_addresses_are_made_askable_and_no_prettier() -> None:
    assert str(web_address(" http://例子.测试/中文 图.jpg?名=值&x=%2F%e4#z ")) == (
        "http://xn--fsqu00a.xn--0zwm56d/%E4%B8%AD%E6%96%87%20%E5%9B%BE.jpg?%E5%90%8D=%E5%80%BC&x=%2F%e4"
    )
    assert str(web_address("HTTPS://user:secret@EXAMPLE.com:8443")) == "https://example.com:8443/"
    assert str(next_address(URL("http://a.b/c/d?e"), "../\udcd6\udcd0.jpg")) == "http://a.b/%D6%D0.jpg"


@given(st.text() | st.text(alphabet="htps:/.@[]%#?0123456789xa\udcd6中").map("http://".__add__))
def test_whatever_is_called_an_address_is_one_or_refused(text: str) -> None:
    try:
        url = web_address(text)
    except Refused as refusal:
        assert refusal.problem == "bad_address"
    else:
        assert url.scheme in ("http", "https") and url.host and not url.user and str(url).isascii()


# ---------------------------------------------------------------- parts, runs and kills


def source(**fetch: Any) -> UrlsSource:
    said = {"contact": "https://example.com", "allow_addresses": LOOPBACK, "attempts": 1, "deadline_seconds": 2.0,
            "per_host_per_second": 10_000.0, **fetch}  # fmt: skip
    return UrlsSource.model_validate({"name": "web", "kind": "urls", "path": "list.csv", "fetch": said})


def write_list(folder: Path, urls: list[str]) -> Path:
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "caption"])
        writer.writerows([url, f"第{number}张\n图"] for number, url in enumerate(urls))
    return folder / "list.csv"


def found(folder: Path) -> dict[str, Found]:
    opened = OpenSource("web", "webdataset", folder, "unknown", "")
    return {one.origin.rpartition("/")[2]: one for part in list_parts(opened) for one in read_part(part)}


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (sha256_of_file(path), path.stat().st_mtime_ns) for path in folder.glob("*.tar")}


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SLICE_ROWS", 5)


def test_a_second_run_asks_for_what_may_pass_alone_and_touches_nothing_else(
    tmp_path: Path, server: RudeServer, small_slices: None
) -> None:
    paths = [f"/ok/x{number}" for number in range(9)] + ["/status/404", "/html"]
    urls = [server.url(path, host=1 + number % 3) for number, path in enumerate(paths)]
    path = write_list(tmp_path, [*urls, "no address"])
    server.down |= {"/ok/x1", "/ok/x3"}
    out = tmp_path / "out"
    gather_urls(source(), path, out, workers=2)
    first, asked = state(out), [seen.path for seen in server.seen if seen.path != "/robots.txt"]
    assert sorted(asked) == sorted(paths)

    gather_urls(source(), path, out, workers=1)
    assert state(out) == first  # failed again: the same files
    assert server.count("/ok/x1") == 2 and server.count("/ok/x3") == 2

    server.down.discard("/ok/x3")
    gather_urls(source(), path, out, workers=2)
    changed = {name for name, said in state(out).items() if first[name] != said}
    assert len(first) == 3 and len(changed) == 1 and next(iter(changed)).endswith("-00000.tar")
    assert server.count("/ok/x1") == 3 and server.count("/ok/x3") == 3
    assert all(server.count(path) == 1 for path in paths[4:10])

    rows = found(out)
    assert [one.problem for one in rows.values()] == [
        None, "http_503", *[None] * 7, "http_404", "not_a_picture", "bad_address",
    ]  # fmt: skip
    assert rows["000000003.jpg"].data == PICTURE and rows["000000003.jpg"].captions == ["第3张\n图"]
    assert rows["000000003.jpg"].url == server.url("/ok/x3", host=1)
    ledger = read_ledger(next(out.glob("*-00000.parquet")))
    assert [(row.attempts, row.problem, row.retriable) for row in ledger[:4]] == [
        (1, "", False), (3, "http_503", True), (1, "", False), (3, "", False),
    ]  # fmt: skip


def test_any_number_of_workers_leaves_the_same_tars(tmp_path: Path, server: RudeServer, small_slices: None) -> None:
    path = write_list(tmp_path, [server.url(f"/ok/0.0{number % 4}/{number}") for number in range(17)])
    states = []
    for workers in (1, 3):
        gather_urls(source(), path, tmp_path / str(workers), workers)
        states.append({name: sha256 for name, (sha256, _) in state(tmp_path / str(workers)).items()})
    assert states[0] == states[1] and len(states[0]) == 4


def test_the_limits_of_a_host_hold_for_the_whole_run(tmp_path: Path, server: RudeServer, small_slices: None) -> None:
    path = write_list(tmp_path, [server.url(f"/ok/0.15/{number}", host=2) for number in range(20)])
    gather_urls(source(per_host_in_flight=3, per_host_per_second=20.0), path, tmp_path / "out", workers=4)
    assert not any(one.problem for one in found(tmp_path / "out").values())
    assert server.most_at_once[2] <= 3
    times = [seen.time for seen in server.seen]
    assert len(times) > 20  # with robots.txt
    for number, sooner in enumerate(times):  # of 20 a second, no half second sees more than 10, and one from each task
        assert sum(sooner <= later < sooner + 0.5 for later in times[number:]) <= 13


def test_another_rule_asks_again_only_where_it_matters(tmp_path: Path, server: RudeServer) -> None:
    server.robots[2] = "User-agent: *\nDisallow: /"
    urls = [server.url("/ok/a"), server.url("/ok/b", host=2), server.url("/status/404"), server.url("/tag/noai")]
    path, out = write_list(tmp_path, [*urls, INNER]), tmp_path / "out"

    def problems() -> list[str | None]:
        return [one.problem for one in found(out).values()]

    gather_urls(source(), path, out, 1)
    assert problems() == [None, "robots_disallowed", "http_404", "robots_tag", "private_address"]
    gather_urls(source(robots="ignore", deadline_seconds=3.0), path, out, 1)
    assert problems() == [None, None, "http_404", "robots_tag", "private_address"]
    assert server.count("/ok/a") == server.count("/status/404") == server.count("/tag/noai") == 1
    gather_urls(source(robots="obey"), path, out, 1)
    assert problems() == [None, "robots_disallowed", "http_404", "robots_tag", "private_address"]
    gather_urls(source(max_bytes=100), path, out, 1)
    assert problems()[0] == "too_many_bytes"


def test_a_new_version_and_a_longer_list_download_nothing_again(
    tmp_path: Path, server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [server.url(f"/ok/x{number}") for number in range(6)]
    out = tmp_path / "out"
    gather_urls(source(), write_list(tmp_path, urls[:4]), out, 1)
    before = state(out)
    for marker in (out / ".done").iterdir():  # as if it had been made by other code
        marker.write_text(json.dumps({**json.loads(marker.read_text()), "fingerprint": "another"}))
    gather_urls(source(), tmp_path / "list.csv", out, 1)
    assert state(out) == before and all(server.count(f"/ok/x{number}") == 1 for number in range(4))
    gather_urls(source(), write_list(tmp_path, urls), out, 1)
    assert len(found(out)) == 6 and all(server.count(f"/ok/x{number}") == 1 for number in range(6))


def slice_part(folder: Path, urls: list[str]) -> Part:
    """The one slice of a list, as `gather_urls` would hand it to a task."""
    (part,) = list_files(source(), write_list(folder, urls))
    (folder / "lists").mkdir()
    cut_list(part, {"rows": 5000}, folder / "lists")
    (slice_,) = (folder / "lists").iterdir()
    manners = {**fetching._manners(source(per_host_in_flight=2).fetch, 1)}
    place = {"slice": str(slice_), "earlier": str(folder), "spool": str(folder / "spool"), "manners": manners}
    return Part(slice_.stem, {"slice": sha256_of_file(slice_), "run": 1}, place)


_IN_A_PROCESS = """
import json, sys
from pathlib import Path
from tuwen.pipeline.fetch_slice import fetch_slice
from tuwen.pipeline.part import Part
name, identity, place, config, folder = json.loads(sys.argv[1])
fetch_slice(Part(name, identity, place), config, Path(folder))
"""


def test_a_kill_in_the_middle_costs_only_what_was_on_its_way(tmp_path: Path, server: RudeServer) -> None:
    part = slice_part(tmp_path, [server.url(f"/ok/0.04/{number}") for number in range(60)])
    rules = fetching._rules(source().fetch)
    whole, killed, again = (tmp_path / name for name in ("whole", "killed", "again"))
    for folder in (whole, killed, again):
        folder.mkdir()
    said = json.dumps([part.name, part.identity, part.place, rules, str(killed)])
    process = subprocess.Popen([sys.executable, "-c", _IN_A_PROCESS, said])
    while len(server.seen) < 30:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    seen = len(server.seen)
    assert not list(killed.glob("*.tar"))
    counts = fetch_slice(part, rules, again)
    assert counts["pictures"] == 60
    assert len(server.seen) - seen <= 60 - 30 + 4  # two were on their way, robots.txt, and it
    assert not list((tmp_path / "spool").iterdir())
    fetch_slice(part, rules, whole)
    names = {path.name for path in whole.iterdir()}
    assert names == {path.name for path in again.iterdir()} == {f"{part.name}.tar", f"{part.name}.parquet"}
    assert sha256_of_file(whole / f"{part.name}.tar") == sha256_of_file(again / f"{part.name}.tar")


@pytest.mark.parametrize("damage", ["old tar under a new ledger", "a flipped bit", "no ledger", "half a ledger"])
def test_what_a_kill_or_a_disk_left_behind_heals(tmp_path: Path, server: RudeServer, damage: str) -> None:
    paths = [f"/ok/x{number}" for number in range(5)]
    part, rules = slice_part(tmp_path, [server.url(path) for path in paths]), fetching._rules(source().fetch)
    server.down.add("/ok/x2")
    fetch_slice(part, rules, tmp_path)
    tar, ledger = tmp_path / f"{part.name}.tar", tmp_path / f"{part.name}.parquet"
    old = tar.read_bytes()
    server.down.clear()
    (tmp_path / "sound").mkdir()
    fetch_slice(part, rules, tmp_path / "sound")
    sound = (tmp_path / "sound" / tar.name).read_bytes()
    (tmp_path / "sound" / ledger.name).replace(ledger)
    tar.write_bytes(old if damage.startswith("old") else sound[:600] + bytes([sound[600] ^ 1]) + sound[601:])
    if damage == "no ledger":
        ledger.unlink()
    elif damage == "half a ledger":
        ledger.write_bytes(ledger.read_bytes()[:-9])
    before = len(server.seen)
    (tmp_path / "healed").mkdir()
    fetch_slice(part, rules, tmp_path / "healed")
    assert (tmp_path / "healed" / tar.name).read_bytes() == sound
    asked = [seen.path for seen in server.seen[before:]]
    assert sorted(asked) == {"old tar under a new ledger": ["/ok/x2"], "a flipped bit": ["/ok/x0"]}.get(damage, paths)


def test_a_part_in_which_nobody_answers_doubts_the_network_and_not_the_names(
    tmp_path: Path, server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp, "ThreadedResolver", Names)
    rules = fetching._rules(source().fetch)
    for name, urls, may_pass in (
        ("alone", ["http://gone.test/1", "http://gone.test/2"], 2),
        ("beside", ["http://gone.test/1", server.url("/status/404")], 0),
    ):
        (tmp_path / name / "out").mkdir(parents=True)
        counts = fetch_slice(slice_part(tmp_path / name, urls), rules, tmp_path / name / "out")
        assert counts["problems"]["dns_failed"] and counts["may_pass"] == may_pass


def test_a_corpus_of_addresses_has_a_verdict_for_every_row(tmp_path: Path, server: RudeServer) -> None:
    write_list(tmp_path, [server.url("/ok"), server.url("/status/404"), server.url("/short_length"), "no address"])
    sources = (
        "[{name: web, kind: urls, path: list.csv, license: CC0-1.0, "
        "fetch: {contact: a@b.cn, attempts: 1, allow_addresses: [127.0.0.0/29]}}]"
    )
    recipe = load_recipe(str(write_recipe(tmp_path, sources=sources)))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert [(row["kept"], row["reason"], row["url"]) for row in sorted(rows, key=lambda row: row["origin"])] == [
        (True, "", server.url("/ok")),
        (False, "http_404", server.url("/status/404")),
        (False, "bad_answer", server.url("/short_length")),
        (False, "bad_address", "no address"),
    ]


def test_a_network_that_is_none_is_refused_with_the_cure(tmp_path: Path) -> None:
    sources = "[{name: web, kind: urls, path: x, fetch: {contact: a@b.cn, allow_addresses: [10.0.0.0/99]}}]"
    with pytest.raises(Exception, match="must be a network, such as"):
        load_recipe(str(write_recipe(tmp_path, sources=sources)))


def test_the_shares_of_a_host_never_add_up_to_more_than_was_promised() -> None:
    fetch_ = source(per_host_in_flight=4, per_host_per_second=10.0).fetch
    for tasks in range(1, 5):
        manners = fetching._manners(fetch_, tasks)
        assert 1 <= manners["per_host_in_flight"] * tasks <= 4
        assert manners["per_host_per_second"] * tasks == pytest.approx(10)
