"""Loopback servers for tests which read files by fsspec URLs: an honest S3 and an HTTP server which fails on order."""

import functools
import hashlib
import logging
import re
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, unquote, urlsplit

HOST = "127.0.0.1"
Kind = Literal["cut", "slow", "wrong", "503", "404", "stall", "short", "trickle"]


# ---------------------------------------------------------------- S3


@dataclass(frozen=True)
class S3Place:
    """A bucket on a loopback S3 server, and what a client needs to reach it."""

    endpoint_url: str
    bucket: str
    key: str = "testing"
    secret: str = "testing"

    @property
    def prefix(self) -> str:
        """``s3://bucket/``: put a file's name behind it."""
        return f"s3://{self.bucket}/"

    @property
    def options(self) -> dict[str, Any]:
        """The storage options for ``fsspec.open(url, **options)``."""
        return {"endpoint_url": self.endpoint_url, "key": self.key, "secret": self.secret}

    @property
    def env(self) -> dict[str, str]:
        """Environment with which a process needs no storage options. The last entry keeps botocore on loopback."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def s3_server(bucket_files: Mapping[str, bytes], bucket: str | None = None) -> Iterator[S3Place]:
    """Run moto's S3 on a free loopback port with ``bucket_files`` uploaded into one bucket.

    All of moto's servers in a process share one state, hence the bucket's name is a new one unless it is given.
    """
    import boto3  # type: ignore[import-untyped]
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for each request
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        place = S3Place(f"http://{host}:{port}", bucket or f"test-{uuid.uuid4().hex[:8]}")
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=place.endpoint_url,
            aws_access_key_id=place.key,
            aws_secret_access_key=place.secret,
        )
        client.create_bucket(Bucket=place.bucket)
        for name, data in bucket_files.items():
            client.put_object(Bucket=place.bucket, Key=name, Body=data)
        client.close()
        yield place
    finally:
        server.stop()


# ---------------------------------------------------------------- HTTP with faults


@dataclass(frozen=True)
class Fault:
    """One answer that goes wrong.

    cut: announces the whole length, sends half, closes. stall: sends half, then hangs until the server stops.
    slow: waits ``seconds`` before the status line. trickle: spreads the body over ``seconds`` in small pieces.
    wrong: right length, the middle byte flipped. short: answers as if the file ended at half its size.
    503, 404: the status with S3's XML body; 503 sends ``Retry-After`` if ``retry_after`` is given.
    """

    kind: Kind
    seconds: float = 0.0
    retry_after: int | None = None


@dataclass(frozen=True)
class Seen:
    """One request, as it came in, and the fault which it met."""

    method: str
    name: str
    range: str | None
    fault: Fault | None


class FaultyHTTPServer:
    """Serve ``files`` over HTTP/1.1 with HEAD and Range; fail as planned, one fault for each request.

    A file named ``bucket/key`` is read as ``s3://bucket/key`` too, with ``endpoint_url=server.url``: HEAD and GET of a
    path are all that s3fs needs for reading. ``headers`` adds headers to a file's answers (x-amz-checksum-crc32, say).
    """

    def __init__(self, files: Mapping[str, bytes], headers: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.files = dict(files)
        self.headers = headers or {}
        self.seen: list[Seen] = []
        self._plans: dict[tuple[str, str], Iterator[Fault | None]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._server = _Server((HOST, 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, without a slash behind."""
        return f"http://{HOST}:{self._server.server_port}"

    def url_of(self, name: str) -> str:
        """The URL of a file."""
        return f"{self.url}/{quote(name)}"

    def plan(self, name: str, faults: Iterable[Fault | Kind | None], method: str = "GET") -> None:
        """Set the faults of the next requests for ``name``, None for a sound one (``itertools.repeat``: for ever)."""
        plan = (Fault(fault) if isinstance(fault, str) else fault for fault in faults)
        with self._lock:
            self._plans[method, name] = plan

    def count(self, name: str, method: str = "GET") -> int:
        """How many requests came for a file."""
        return sum(seen.name == name and seen.method == method for seen in self.seen)

    def next_fault(self, name: str, method: str) -> Fault | None:
        """Take the next fault off the plan."""
        with self._lock:
            return next(self._plans.get((method, name), iter(())), None)

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep, but wake up when the server stops: True then."""
        return self._stop.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: FaultyHTTPServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: a client which hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        owner = self.server.owner
        name = unquote(urlsplit(self.path).path).lstrip("/")
        fault = owner.next_fault(name, self.command)
        owner.seen.append(Seen(self.command, name, self.headers.get("Range"), fault))
        kind = fault.kind if fault else None
        if fault and kind == "slow" and owner.wait(fault.seconds):
            self.close_connection = True
            return
        if name not in owner.files or kind == "404":
            self._error(404, "NoSuchKey")
        elif fault and kind == "503":
            self._error(503, "SlowDown", {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)})
        else:
            self._file(name, fault)

    def _file(self, name: str, fault: Fault | None) -> None:
        owner = self.server.owner
        data = owner.files[name]
        headers = {
            "ETag": _etag(data),
            "Last-Modified": formatdate(0, usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            **owner.headers.get(name, {}),
        }
        if fault and fault.kind == "short":
            data = data[: len(data) // 2]
        status, size = 200, len(data)
        if self.command == "GET" and (span := _span(self.headers.get("Range"), size)):
            first, end = span
            if first >= size:
                self._error(416, "InvalidRange", {"Content-Range": f"bytes */{size}"})
                return
            status, data = 206, data[first:end]
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        self._head(status, len(data), headers)
        if self.command == "GET":
            self._body(data, fault)

    def _body(self, data: bytes, fault: Fault | None) -> None:
        half = len(data) // 2
        match fault.kind if fault else None:
            case "cut" | "stall" as kind:
                self.wfile.write(data[:half])
                if kind == "stall":
                    self.server.owner.wait()
                self.close_connection = True
            case "wrong" if data:
                self.wfile.write(data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :])
            case "trickle" if fault and data:
                step = max(1, len(data) // 50)
                for first in range(0, len(data), step):
                    self.wfile.write(data[first : first + step])
                    if self.server.owner.wait(fault.seconds / 50):
                        self.close_connection = True
                        return
            case _:
                self.wfile.write(data)

    def _head(self, status: int, size: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(size), **headers}.items():
            self.send_header(key, value)
        self.end_headers()

    def _error(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()
        self._head(status, len(body), {"Content-Type": "application/xml", **(headers or {})})
        if self.command == "GET":
            self.wfile.write(body)


@functools.lru_cache(maxsize=64)
def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _span(header: str | None, size: int) -> tuple[int, int] | None:
    """``Range: bytes=first-last`` as (first, end); None where the whole file is wanted."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not match or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
