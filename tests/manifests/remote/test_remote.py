"""Shards at URLs: real servers on loopback, an S3 and an HTTP that fails on order."""

import itertools
import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.manifest_hashes import identity, seal
from tuwen.manifests.merge import merge
from tuwen.manifests.remote import download as remote
from tuwen.manifests.remote.download import join
from tuwen.manifests.remote.file_cache import cached
from tuwen.manifests.shards.shard_locations import locations_of
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest
from tuwen.train.reading.read_plan import ReadPlan
from tuwen.train.reading.stream import open_stream

from ..servers import Fault, FaultyHTTPServer, s3_server
from ..synthetic import make_row, make_shards
from .conftest import ROWS


def check_all_rows(manifest: Manifest, **options: Any) -> None:
    codes, text, lengths = SplitReader(manifest, "train", **options).rows(np.arange(ROWS))
    for row in range(ROWS):
        expected_codes, expected_text = make_row("s", "train", row)
        assert np.array_equal(codes[row], expected_codes)
        assert text[row, : lengths[row]].tolist() == expected_text


def test_a_split_is_read_over_http_and_each_shard_is_fetched_once(local: Manifest, server: FaultyHTTPServer) -> None:
    manifest = load_manifest(server.url_of("shards"))
    assert manifest.id == local.id
    for verify in ("block", "always", "first", "off"):
        check_all_rows(manifest, verify=verify)
    assert [server.count(f"shards/{shard.name}") for shard in manifest.shards] == [1, 1, 1]
    assert list(verify_manifest(manifest)) == []


def test_a_split_is_read_from_s3(local: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server({f"deep/shards/{path.name}": path.read_bytes() for path in local.folder.iterdir()}) as place:
        for name, value in place.env.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        manifest = load_manifest(f"{place.prefix}deep/shards/manifest.json")
        check_all_rows(manifest)
        with pytest.raises(CheckFailed, match="nowhere"):
            load_manifest(f"{place.prefix}nowhere")


def test_a_split_is_read_from_memory_and_a_trainer_streams_it(local: Manifest) -> None:
    memory = fsspec.filesystem("memory")
    for path in local.folder.iterdir():
        memory.pipe(f"/bucket/{path.name}", path.read_bytes())
    manifest = load_manifest("memory://bucket")
    check_all_rows(manifest)
    near = open_stream(local, ReadPlan(seed=1, batch=24))
    far = open_stream(manifest, ReadPlan(seed=1, batch=24, threads=3))
    for _ in range(10):
        assert np.array_equal(near.next()[0], far.next()[0])
    assert near.state() == far.state()


def test_a_url_and_a_folder_are_joined_with_names_and_addresses() -> None:
    assert join("s3://bucket/shards", "a.tar") == "s3://bucket/shards/a.tar"
    assert join("s3://bucket/shards", "../b/a.tar") == "s3://bucket/b/a.tar"
    assert join("https://host", "a.tar") == "https://host/a.tar"
    assert join("/runs/a", "../b/a.tar") == "/runs/b/a.tar"
    assert join("/runs/a", "s3://bucket/a.tar") == "s3://bucket/a.tar"
    assert join("runs/a", "/elsewhere/a.tar") == "/elsewhere/a.tar"


def test_a_merged_manifest_may_have_one_parent_here_and_one_there(server: FaultyHTTPServer, tmp_path: Path) -> None:
    far = load_manifest(server.url_of("shards"))
    near = make_shards(tmp_path / "near", {"train": 60}, name="near")
    merged = merge([far, near], tmp_path / "both")
    assert locations_of(merged, merged.shards[0])[0] == server.url_of(f"shards/{far.shards[0].name}")
    codes = SplitReader(merged, "train").rows(np.array([0, ROWS]))[0]
    assert np.array_equal(codes[0], make_row("s", "train", 0)[0])
    assert np.array_equal(codes[1], make_row("near", "train", 0)[0])


def test_a_second_place_is_used_when_the_first_fails_and_that_is_said(
    local: Manifest, server: FaultyHTTPServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / local.shards[0].name).write_bytes(b"too short")
    document = {**local.document, "urls": ["half", server.url_of("shards")]}
    check_all_rows(Manifest(tmp_path, document))
    assert "9 bytes instead of" in caplog.text
    assert "train-00001.tar: missing; read from http" in caplog.text


PASSING = ["cut", "short", "wrong", "503", Fault("503", retry_after=0), Fault("slow", 1.0), "stall"]


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_a_fault_that_passes_is_tried_again(server: FaultyHTTPServer, fault: Any) -> None:
    manifest = load_manifest(server.url_of("shards"))
    server.plan("shards/train-00001.tar", [fault, fault])
    check_all_rows(manifest)
    assert server.count("shards/train-00001.tar") == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("cut", "6 times"),
        ("short", "bytes instead of"),
        ("wrong", "other bytes than the manifest's (sha256 differs), 6 times"),
        ("503", "503"),
        ("404", "train-00001.tar"),
        (Fault("trickle", 60.0), "6 times"),
    ],
    ids=str,
)
def test_a_fault_that_stays_is_one_line_with_the_url_and_leaves_nothing_in_the_cache(
    server: FaultyHTTPServer, cache: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, said: str
) -> None:
    monkeypatch.setattr(remote, "MOST_SECONDS", 0.3)
    manifest = load_manifest(server.url_of("shards"))
    server.plan("shards/train-00001.tar", itertools.repeat(fault))
    with pytest.raises(CheckFailed) as stop:
        check_all_rows(manifest)
    assert server.url in stop.value.problem
    assert said in stop.value.problem
    assert "\n" not in str(stop.value)
    left = [
        path for path in (cache / "files").rglob("*") if path.is_file() and not path.suffix and path.name != ".lock"
    ]
    assert {path.name for path in left} <= {shard.sha256.removeprefix("sha256:") for shard in manifest.shards}
    assert manifest.shards[1].sha256.removeprefix("sha256:") not in {path.name for path in left}


def test_a_server_that_is_gone_an_unknown_protocol_and_no_manifest_are_one_line(server: FaultyHTTPServer) -> None:
    with pytest.raises(CheckFailed, match="6 times"):
        load_manifest("http://127.0.0.1:9/shards")
    with pytest.raises(BadInput, match="gopher"):
        load_manifest("gopher://host/shards")
    server.files["other/manifest.json"] = b"<html>"
    with pytest.raises(CheckFailed, match="not a manifest of tuwen"):
        load_manifest(server.url_of("other"))


def test_a_manifest_that_names_files_outside_its_folder_is_refused(server: FaultyHTTPServer, local: Manifest) -> None:
    document = {**local.document, "files": [{"name": "../../evil", "bytes": 1, "sha256": "sha256:" + "0" * 64}]}
    server.files["evil/manifest.json"] = json.dumps(document).encode()
    with pytest.raises(CheckFailed, match="leads out of its folder"):
        load_manifest(server.url_of("evil"))
    document = {**local.document, "shard_table": {"name": "../../evil", "bytes": 1, "sha256": "sha256:" + "0" * 64}}
    server.files["evil/manifest.json"] = json.dumps(document).encode()
    with pytest.raises(CheckFailed, match="leads out of its folder"):
        load_manifest(server.url_of("evil"))


def test_an_endless_answer_is_cut_off(local: Manifest, tmp_path: Path) -> None:
    with FaultyHTTPServer({"x": b"0" * (64 << 20)}) as endless:
        with pytest.raises(CheckFailed, match="more than 1000 bytes instead of 1000"):
            remote.download(endless.url_of("x"), tmp_path / "x", "sha256:0", 1000)
        assert (tmp_path / "x").stat().st_size <= 1000


def test_a_hash_or_a_name_of_a_manifest_never_leads_out_of_its_folder(tmp_path: Path, local: Manifest) -> None:
    with pytest.raises(CheckFailed, match="is no sha256"):
        cached("http://127.0.0.1:9/x", "sha256:/etc/passwd", 1)
    document = {**local.document, "files": [{"name": "../.bashrc", "bytes": 1, "sha256": "sha256:" + "0" * 64}]}
    document["id"] = identity(document)
    document["seal"] = seal(document)
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(CheckFailed, match="leads out of its folder"):
        load_manifest(tmp_path)
