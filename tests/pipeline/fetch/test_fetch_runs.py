"""Lists, parts, runs and kills: a picture is fetched once, and each run retries what may pass."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tuwen.manifests.canonical import sha256_of_file
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.part import InputFile, Part
from tuwen.pipeline.executor.stage import StageRun
from tuwen.pipeline.fetch import gather as fetching
from tuwen.pipeline.fetch.cut_list import cut_list
from tuwen.pipeline.fetch.fetch_slice import FetchConfig, SlicePart, fetch_slice
from tuwen.pipeline.fetch.find_lists import find_lists
from tuwen.pipeline.fetch.gather import gather_urls
from tuwen.pipeline.fetch.ledger import read_ledger
from tuwen.pipeline.fetch.urls_section import UrlsSource
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.source_kinds import KINDS, list_source
from tuwen.pipeline.sources.reader import read_part
from tuwen.pipeline.sources.source import SourceItem

from ...conftest import write_recipe
from ...stages import build_corpus
from .fetching import LOOPBACK, PICTURE, Names
from .rude_server import RudeServer

INNER = "http://127.0.0.8"  # nobody may ask it


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer(PICTURE) as running:
        yield running


ANOTHER = {"part": "", "config": "", "code": "", "libraries": ""}


def source(**fetch: Any) -> UrlsSource:
    settings = {"contact": "https://example.com", "allow_addresses": LOOPBACK, "attempts": 1, "deadline_seconds": 2.0,
            "per_host_per_second": 10_000.0, **fetch}  # fmt: skip
    return UrlsSource.model_validate({"name": "web", "kind": "urls", "path": "list.csv", "fetch": settings})


def write_list(folder: Path, urls: list[str]) -> Path:
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "caption"])
        writer.writerows([url, f"第{number}张\n图"] for number, url in enumerate(urls))
    return folder / "list.csv"


def items_of(folder: Path) -> dict[str, SourceItem]:
    section = source()
    listing = list_source(section, KINDS["urls"].locate(section, Path(), folder))
    return {item.origin.rpartition("/")[2]: item for part in listing.parts for item in read_part(part)}


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
    server.down |= {"/ok/x1": 503, "/ok/x3": 503}
    out = tmp_path / "out"
    gather_urls(source(), path, out, StageRun(2))
    first, requests = state(out), [seen.path for seen in server.seen if seen.path != "/robots.txt"]
    assert sorted(requests) == sorted(paths)

    server.down["/ok/x3"] = 500
    gather_urls(source(), path, out, StageRun(1))
    assert state(out) == first  # failed again, be it in another way: the same files
    assert server.count("/ok/x1") == 2 and server.count("/ok/x3") == 2

    del server.down["/ok/x3"]
    gather_urls(source(), path, out, StageRun(2))
    changed = {name for name, file in state(out).items() if first[name] != file}
    assert len(first) == 3 and len(changed) == 1 and next(iter(changed)).endswith("-00000.tar")
    assert server.count("/ok/x1") == 3 and server.count("/ok/x3") == 3
    assert all(server.count(path) == 1 for path in paths[4:10])

    rows = items_of(out)
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
        gather_urls(source(), path, tmp_path / str(workers), StageRun(workers))
        states.append({name: sha256 for name, (sha256, _) in state(tmp_path / str(workers)).items()})
    assert states[0] == states[1] and len(states[0]) == 4


def test_a_host_has_no_more_requests_in_flight_than_was_promised_for_the_whole_run(
    tmp_path: Path, server: RudeServer, small_slices: None
) -> None:
    path = write_list(tmp_path, [server.url(f"/ok/0.1/{number}", host=2) for number in range(20)])
    gather_urls(source(per_host_in_flight=4), path, tmp_path / "out", StageRun(2))
    assert not any(one.problem for one in items_of(tmp_path / "out").values())
    assert 2 <= server.most_at_once[2] <= 4  # two of each task; five without a limit


def test_a_host_is_asked_no_faster_than_was_promised_for_the_whole_run(
    tmp_path: Path, server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SLICE_ROWS", 12)
    path = write_list(tmp_path, [server.url(f"/ok/x{number}", host=2) for number in range(48)])
    gather_urls(source(per_host_in_flight=8, per_host_per_second=40.0), path, tmp_path / "out", StageRun(4))
    assert not any(one.problem for one in items_of(tmp_path / "out").values())
    times = [seen.time for seen in server.seen]
    for number, sooner in enumerate(times):  # 40 a second, and one more of each of the four tasks
        assert sum(sooner <= later < sooner + 0.5 for later in times[number:]) <= 24


def test_another_rule_asks_again_only_where_it_matters(tmp_path: Path, server: RudeServer) -> None:
    server.robots[2] = "User-agent: *\nDisallow: /"
    urls = [server.url("/ok/a"), server.url("/ok/b", host=2), server.url("/status/404"), server.url("/tag/noai")]
    path, out = write_list(tmp_path, [*urls, INNER]), tmp_path / "out"

    def problems() -> list[str | None]:
        return [one.problem for one in items_of(out).values()]

    gather_urls(source(), path, out, StageRun(1))
    assert problems() == [None, "robots_disallowed", "http_404", "robots_tag", "private_address"]
    gather_urls(source(robots="ignore", deadline_seconds=3.0), path, out, StageRun(1))
    assert problems() == [None, None, "http_404", "robots_tag", "private_address"]
    assert server.count("/ok/a") == server.count("/status/404") == server.count("/tag/noai") == 1
    gather_urls(source(robots="obey"), path, out, StageRun(1))
    assert problems() == [None, "robots_disallowed", "http_404", "robots_tag", "private_address"]
    gather_urls(source(max_bytes=100), path, out, StageRun(1))
    assert problems()[0] == "too_many_bytes"


def test_a_new_version_and_a_longer_list_download_nothing_again(
    tmp_path: Path, server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [server.url(f"/ok/x{number}") for number in range(6)]
    out = tmp_path / "out"
    gather_urls(source(), write_list(tmp_path, urls[:4]), out, StageRun(1))
    before = state(out)
    for marker in (out / ".done").glob("*.json"):  # as if it had been made by other code
        marker.write_text(json.dumps({**json.loads(marker.read_text()), "hashes": {**ANOTHER}}))
    gather_urls(source(), tmp_path / "list.csv", out, StageRun(1))
    assert state(out) == before and all(server.count(f"/ok/x{number}") == 1 for number in range(4))
    gather_urls(source(), write_list(tmp_path, urls), out, StageRun(1))
    assert len(items_of(out)) == 6 and all(server.count(f"/ok/x{number}") == 1 for number in range(6))


def slice_part(folder: Path, urls: list[str]) -> tuple[Part[SlicePart], FetchConfig]:
    """The one slice of a list, as `gather_urls` would hand it to a task, and the settings."""
    path = write_list(folder, urls)
    (part,) = find_lists(source(), path).parts
    (folder / "lists").mkdir()
    cut_list(part, {"rows": 5000, "folder": str(path)}, folder / "lists")
    (slice_,) = (folder / "lists").iterdir()
    fetch = source(per_host_in_flight=2).fetch
    config = FetchConfig(
        rules=fetching._rules(source().fetch),
        pace=fetching._pace(fetch, 1),
        previous=str(folder),
        spool=str(folder / "spool"),
    )
    return Part(slice_.stem, SlicePart(run=1), {"slice": InputFile(str(slice_), sha256_of_file(slice_))}), config


_IN_A_PROCESS = """
import json, sys
from pathlib import Path
from tuwen.pipeline.fetch.fetch_slice import FetchConfig, SlicePart, fetch_slice
from tuwen.pipeline.executor.part import InputFile, Part
name, spec, slice_, config, folder = json.loads(sys.argv[1])
fetch_slice(Part(name, spec, {"slice": InputFile(**slice_)}), config, Path(folder))
"""


def test_a_kill_in_the_middle_costs_only_what_was_on_its_way(tmp_path: Path, server: RudeServer) -> None:
    part, config = slice_part(tmp_path, [server.url(f"/ok/0.04/{number}") for number in range(60)])
    whole, killed, again = (tmp_path / name for name in ("whole", "killed", "again"))
    for folder in (whole, killed, again):
        folder.mkdir()
    arguments = json.dumps([part.name, part.spec, asdict(part.inputs["slice"]), config, str(killed)])
    process = subprocess.Popen([sys.executable, "-c", _IN_A_PROCESS, arguments])
    while len(server.seen) < 30:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    seen = len(server.seen)
    assert not list(killed.glob("*.tar"))
    counts = fetch_slice(part, config, again)
    assert counts["pictures"] == 60
    assert len(server.seen) - seen <= 60 - 30 + 4  # two were on their way, robots.txt, and it
    assert not list((tmp_path / "spool").iterdir())
    fetch_slice(part, config, whole)
    names = {path.name for path in whole.iterdir()}
    assert names == {path.name for path in again.iterdir()} == {f"{part.name}.tar", f"{part.name}.parquet"}
    assert sha256_of_file(whole / f"{part.name}.tar") == sha256_of_file(again / f"{part.name}.tar")


@pytest.mark.parametrize("damage", ["old tar under a new ledger", "a flipped bit", "no ledger", "half a ledger"])
def test_what_a_kill_or_a_disk_left_behind_heals(tmp_path: Path, server: RudeServer, damage: str) -> None:
    paths = [f"/ok/x{number}" for number in range(5)]
    part, config = slice_part(tmp_path, [server.url(path) for path in paths])
    server.down["/ok/x2"] = 503
    fetch_slice(part, config, tmp_path)
    tar, ledger = tmp_path / f"{part.name}.tar", tmp_path / f"{part.name}.parquet"
    old = tar.read_bytes()
    server.down.clear()
    (tmp_path / "sound").mkdir()
    fetch_slice(part, config, tmp_path / "sound")
    sound = (tmp_path / "sound" / tar.name).read_bytes()
    (tmp_path / "sound" / ledger.name).replace(ledger)
    tar.write_bytes(old if damage.startswith("old") else sound[:600] + bytes([sound[600] ^ 1]) + sound[601:])
    if damage == "no ledger":
        ledger.unlink()
    elif damage == "half a ledger":
        ledger.write_bytes(ledger.read_bytes()[:-9])
    before = len(server.seen)
    (tmp_path / "healed").mkdir()
    fetch_slice(part, config, tmp_path / "healed")
    assert (tmp_path / "healed" / tar.name).read_bytes() == sound
    requests = [seen.path for seen in server.seen[before:]]
    assert sorted(requests) == {"old tar under a new ledger": ["/ok/x2"], "a flipped bit": ["/ok/x0"]}.get(
        damage, paths
    )


def test_a_part_in_which_nobody_answers_doubts_the_network_and_not_the_names(
    tmp_path: Path, server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp, "ThreadedResolver", Names)
    for name, urls, may_pass in (
        ("alone", ["http://gone.test/1", "http://gone.test/2"], 2),
        ("beside", ["http://gone.test/1", server.url("/status/404")], 0),
    ):
        (tmp_path / name / "out").mkdir(parents=True)
        counts = fetch_slice(*slice_part(tmp_path / name, urls), tmp_path / name / "out")
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
        pace = fetching._pace(fetch_, tasks)
        assert 1 <= pace["per_host_in_flight"] * tasks <= 4
        assert pace["per_host_per_second"] * tasks == pytest.approx(10)


def test_a_pair_keeps_its_key_when_its_picture_is_had_at_last(tmp_path: Path, server: RudeServer) -> None:
    write_list(tmp_path, [server.url("/ok/x1"), server.url("/ok/x2")])
    server.down["/ok/x2"] = 503
    document = source().model_dump(mode="json", exclude_none=True)
    recipe = load_recipe(str(write_recipe(tmp_path, sources=json.dumps([document]), images="{min_side: 1}")))
    before = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    server.down.clear()
    after = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert [row["reason"] for row in before] == ["", "http_503"]
    assert after[1]["image_sha256"] and before[1]["stage"] == "fetch"
    assert [row["key"] for row in before] == [row["key"] for row in after]
