"""Nobody is led to an address that is not public, by whatever name, redirect, proxy or certificate."""

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from tuwen.pipeline.fetch import proxy as fetch_proxy
from tuwen.pipeline.fetch.problems import Refused
from tuwen.pipeline.fetch.public_addresses import is_public, may_connect, networks
from tuwen.pipeline.fetch.web_address import next_address, web_address

from .fetching import PICTURE, Names, fetch
from .rude_server import RudeServer


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer(PICTURE) as running:
        yield running


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
    requests = {(seen.host, seen.path) for seen in server.seen if seen.path != "/robots.txt"}
    assert requests == {(5, "/ok/x0"), (5, "/ok/x1"), (2, "/ok/direct")}


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
