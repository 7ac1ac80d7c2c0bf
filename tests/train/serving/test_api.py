"""The API as its users speak it: OpenAI's own client, events, limits, refusals, and clients that go away."""

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import uvicorn
from PIL import Image

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.train.run.run import Run, open_run
from tuwen.train.serving.api import new_app
from tuwen.train.serving.neighbours import Neighbours
from tuwen.train.serving.painters import OwnThread, Painters
from tuwen.train.serving.requests import Limits, refused_words
from tuwen.train.serving.server import ServeOptions, serve
from tuwen.train.serving.studio import Studio

from ..test_plans import trained

Built = tuple[Recipe, Path]
CIRCLE = "一个红色的圆"


class Server:
    """A real one, on loopback, in a thread of its own."""

    def __init__(
        self, run: Run, limits: Limits, painters: Painters | None = None, neighbours: Neighbours | None = None
    ) -> None:
        self.studio = Studio(run, painters or OwnThread(run), neighbours)
        config = uvicorn.Config(new_app(self.studio, limits), port=0, log_level="warning", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.studio.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def generate(self, **asked: Any) -> tuple[int, Any]:
        status, _, body = self.ask("POST", "/v1/images/generations", asked)
        return status, json.loads(body)


@pytest.fixture(scope="module")
def run(shapes: Built, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(trained(shapes, tmp_path_factory.mktemp("serve") / "shapes" / "train", steps=30))


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[Server]:
    served = Server(run, Limits(rate=100_000, at_once=100, refused_words=("血腥",)))
    yield served
    served.close()


def pixels(data: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


# --- as its users ask --------------------------------------------------------------------------------


def test_openais_client_works_unchanged(server: Server) -> None:
    assert [model.id for model in server.client.models.list()] == ["shapes"]
    answer = server.client.images.generate(
        model="shapes", prompt=CIRCLE, n=2, size="256x256", response_format="b64_json"
    )
    assert answer.data is not None
    pictures = [pixels(each.b64_json or "") for each in answer.data]
    assert [picture.shape for picture in pictures] == [(256, 256, 3)] * 2
    assert not np.array_equal(*pictures)


def test_pictures_can_be_had_by_their_address(server: Server) -> None:
    answer = server.client.images.generate(prompt=CIRCLE, response_format="url")
    assert answer.data is not None
    address = answer.data[0].url or ""
    status, headers, body = server.ask("GET", address.removeprefix(f"http://127.0.0.1:{server.port}"))
    assert (status, headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(body)).size == (64, 64)
    assert server.ask("GET", "/v1/pictures/none.png")[0] == 404


def test_a_seed_gives_the_same_pictures_whatever_else_is_painted(server: Server) -> None:
    _, alone = server.generate(prompt=CIRCLE, n=3, seed=7)
    with ThreadPoolExecutor(12) as others:
        asked = [others.submit(server.generate, prompt="蓝" * (1 + n % 5), n=1 + n % 4) for n in range(24)]
        again = [others.submit(server.generate, prompt=CIRCLE, n=3, seed=7) for _ in range(4)]
    assert all(each.result()[1]["data"] == alone["data"] for each in again)
    assert all(each.result()[0] == 200 for each in asked)
    assert server.generate(prompt=CIRCLE, n=3, seed=8)[1]["data"] != alone["data"]
    _, unseeded = server.generate(prompt=CIRCLE)
    assert server.generate(prompt=CIRCLE, seed=unseeded["seed"])[1]["data"] == unseeded["data"]


def test_the_best_of_four_is_the_likeliest_of_the_four_that_the_seed_gives(server: Server) -> None:
    _, best = server.generate(prompt=CIRCLE, quality="high", seed=3)
    _, four = server.generate(prompt=CIRCLE, n=4, seed=3)
    assert best["data"][0] in four["data"]


def test_a_stream_shows_the_rows_as_they_are_painted_and_ends_with_the_same_picture(server: Server) -> None:
    whole = server.generate(prompt=CIRCLE, n=2, seed=5)[1]["data"]
    status, headers, body = server.ask(
        "POST", "/v1/images/generations", {"prompt": CIRCLE, "n": 2, "seed": 5, "stream": True}
    )
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    events = [json.loads(part.split("data: ")[1]) for part in body.decode().strip().split("\n\n")]
    done = [event for event in events if event["type"] == "image_generation.completed"]
    assert [event["index"] for event in done] == [0, 1]
    assert [event["b64_json"] for event in done] == [each["b64_json"] for each in whole]
    assert all(event["type"] == "image_generation.partial_image" for event in events[: -len(done)])


def test_openais_client_reads_the_stream(server: Server) -> None:
    stream = server.client.images.generate(prompt=CIRCLE, stream=True, partial_images=2)
    kinds = [event.type for event in stream]
    assert kinds[-1] == "image_generation.completed"
    assert kinds[:-1] == ["image_generation.partial_image"] * (len(kinds) - 1)
    assert len(kinds) <= 3


def test_each_picture_comes_with_the_training_pictures_that_it_is_near_and_whose_they_are(
    shapes: Built, run: Run
) -> None:
    shards = load_manifest(shapes[1] / "shards")
    served = Server(run, Limits(), neighbours=Neighbours.of(shards))
    try:
        (painted,) = served.generate(prompt=CIRCLE, seed=1)[1]["data"]
        assert [each["license"] for each in painted["nearest"]] == ["CC0-1.0"] * 3
        shares = [each["equal_codes"] for each in painted["nearest"]]
        assert shares == sorted(shares, reverse=True)
        first = painted["nearest"][0]
        status, headers, body = served.ask("GET", f"/v1/training/{first['key']}")
        assert (status, headers["content-type"]) == (200, "image/png")
        assert Image.open(io.BytesIO(body)).size == (64, 64)
        assert served.ask("GET", "/v1/training/none")[0] == 404
        assert served.ask("GET", f"/v1/training/{'0' * 32}")[0] == 404
    finally:
        served.close()


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "。，！\u202e\x00 \u200b"}, "prompt"),
        ({"prompt": "蜂" * 1001}, "prompt"),
        ({"prompt": "很血腥的图"}, "prompt"),
        ({"prompt": CIRCLE, "n": 0}, "n"),
        ({"prompt": CIRCLE, "n": 1_000_000}, "n"),
        ({"prompt": CIRCLE, "n": 1.5}, "n"),
        ({"prompt": CIRCLE, "size": "100x100"}, "size"),
        ({"prompt": CIRCLE, "size": "64x128"}, "size"),
        ({"prompt": CIRCLE, "size": "../../etc"}, "size"),
        ({"prompt": CIRCLE, "size": "65536x65536"}, "size"),
        ({"prompt": CIRCLE, "seed": -1}, "seed"),
        ({"prompt": CIRCLE, "seed": 10**30}, "seed"),
        ({"prompt": CIRCLE, "temperature": "hot"}, "temperature"),
        ({"prompt": CIRCLE, "response_format": "jpeg"}, "response_format"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_what_cannot_be_painted_is_a_400_that_names_the_parameter(
    server: Server, asked: dict[str, Any], param: str
) -> None:
    status, answer = server.generate(**asked)
    assert status == 400
    assert answer["error"]["param"] == param
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/images/generations", b"{", 400),
        ("POST", "/v1/images/generations", b"[1]", 400),
        ("POST", "/v1/images/generations", b"\xff\xfe", 400),
        ("POST", "/v1/images/generations", b'{"prompt": "\\ud800 \xe8\x9c\x82"}', 400),
        ("POST", "/v1/images/generations", b'{"prompt": "' + b"a" * 1_000_000 + b'"}', 413),
        ("GET", "/v1/images/generations", None, 405),
        ("GET", "/../../etc/passwd", None, 404),
        ("GET", "/v1/pictures/..%2f..%2fetc%2fpasswd", None, 404),
    ],
)
def test_a_hostile_request_is_refused_in_the_shape_of_openais_errors(
    server: Server, method: str, path: str, body: bytes | None, status: int
) -> None:
    found, headers, answer = server.ask(method, path, body)
    assert found == status
    assert json.loads(answer)["error"]["message"]
    assert headers["x-content-type-options"] == "nosniff"


def test_another_model_is_not_found(server: Server) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'dall-e-3' here, only 'shapes'"):
        server.client.images.generate(prompt=CIRCLE, model="dall-e-3")


def test_a_prompt_of_markup_and_bidirectional_marks_is_only_text(server: Server) -> None:
    status, answer = server.generate(prompt="<script>alert(1)</script>\u202e圆\x00", seed=1)
    assert status == 200
    assert answer["data"] == server.generate(prompt="圆", seed=1)[1]["data"]


def test_the_page_loads_nothing_from_elsewhere(server: Server) -> None:
    status, headers, body = server.ask("GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "set-cookie" not in headers
    assert "http" not in body.decode().replace("http-equiv", "")
    assert server.ask("GET", "/page.js")[1]["content-type"].startswith("text/javascript")


# --- limits ------------------------------------------------------------------------------------------


def test_more_than_can_wait_is_refused_with_when_to_come_again_and_nothing_is_lost(run: Run) -> None:
    served = Server(run, Limits(rate=100_000, at_once=100, waiting=24))
    try:
        with ThreadPoolExecutor(40) as clients:
            answers = list(
                clients.map(
                    lambda n: served.ask("POST", "/v1/images/generations", {"prompt": CIRCLE, "n": 4}), range(40)
                )
            )
        statuses = [status for status, _, _ in answers]
        assert set(statuses) == {200, 429}
        assert all(int(headers["retry-after"]) >= 1 for status, headers, _ in answers if status == 429)
        assert all(len(json.loads(body)["data"]) == 4 for status, _, body in answers if status == 200)
        assert served.studio.waiting == 0
        assert served.studio.painted == 4 * statuses.count(200)
    finally:
        served.close()


def test_an_address_that_asks_too_often_or_too_much_at_once_must_wait(run: Run) -> None:
    served = Server(run, Limits(rate=5, at_once=100))
    try:
        statuses = [served.ask("POST", "/v1/images/generations", {"prompt": ""})[0] for _ in range(7)]
        assert statuses == [400] * 5 + [429] * 2
        assert served.ask("GET", "/healthz")[0] == 200
    finally:
        served.close()
    served = Server(run, Limits(rate=100_000, at_once=2))
    try:
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda n: served.generate(prompt=CIRCLE, n=8, quality="hd"), range(8)))
        assert {status for status, _ in answers} == {200, 429}
        assert served.generate(prompt=CIRCLE)[0] == 200
    finally:
        served.close()


def test_a_body_that_comes_too_slowly_is_not_waited_for(run: Run) -> None:
    served = Server(run, Limits(body_seconds=0.3))
    try:
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
            raw.sendall(b"POST /v1/images/generations HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
            assert raw.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert served.ask("GET", "/healthz")[0] == 200
    finally:
        served.close()


def test_a_request_that_takes_too_long_is_given_up_and_frees_its_place(run: Run) -> None:
    served = Server(run, Limits(seconds=0.01))
    try:
        status, answer = served.generate(prompt=CIRCLE, n=10, quality="hd")
        assert (status, answer["error"]["type"]) == (504, "server_error")
        assert served.studio.waiting == 0
    finally:
        served.close()


def ask_and_leave(server: Server, stream: bool = False) -> None:
    """Ask for 80 samples, go away when they are begun, and wait until the server knows."""
    body = json.dumps({"prompt": CIRCLE, "n": 10, "quality": "hd", "stream": stream}).encode()
    deadline = time.monotonic() + 20
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"POST /v1/images/generations HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n")
        raw.sendall(f"content-length: {len(body)}\r\n\r\n".encode() + body)
        while not server.studio.waiting and time.monotonic() < deadline:
            time.sleep(0.005)
        assert server.studio.waiting
    while server.studio.waiting and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not server.studio.waiting


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_its_place(server: Server, stream: bool) -> None:
    painted = server.studio.painted
    ask_and_leave(server, stream)
    assert server.studio.painted < painted + 80


def test_metrics_count_what_was_asked_and_painted(server: Server) -> None:
    painted = server.studio.painted
    server.generate(prompt=CIRCLE, n=2)
    text = server.ask("GET", "/metrics")[2].decode()
    assert f"tuwen_painted_samples {painted + 2:.1f}" in text
    assert 'tuwen_requests_total{status="200"}' in text
    assert "tuwen_waiting_samples 0.0" in text
    assert CIRCLE not in text
    assert server.ask("GET", "/readyz")[0] == 200


# --- the command -------------------------------------------------------------------------------------


def test_a_port_in_use_is_one_line_with_the_cure(run: Run, server: Server) -> None:
    with pytest.raises(BadInput, match=rf"127.0.0.1:{server.port}: Address already in use; give another --port, or 0"):
        serve(run, ServeOptions(port=server.port), Limits())


def test_sigterm_finishes_what_is_begun(run: Run) -> None:
    command = [sys.executable, "-m", "tuwen", "serve", str(run.folder.path), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().rsplit(":", 1)[1])
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok"
        body = json.dumps({"prompt": CIRCLE, "n": 8, "quality": "hd"})
        connection.request("POST", "/v1/images/generations", body, {"content-type": "application/json"})
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert len(json.loads(connection.getresponse().read())["data"]) == 8
        connection.close()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()


def test_words_that_are_refused_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("血腥\n\n  槍 \n", encoding="utf-8")
    assert refused_words(tmp_path / "words.txt") == ("血腥", "枪")
    with pytest.raises(BadInput, match="name a text file in UTF-8"):
        refused_words(tmp_path / "none.txt")
