"""A real server on loopback, in a thread of its own, and clients that leave it."""

import json
import socket
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import openai
import uvicorn

from tuwen.manifests.recipe.recipe import Recipe
from tuwen.train.run.run import Run
from tuwen.train.serving.api import new_app
from tuwen.train.serving.neighbours import Neighbours
from tuwen.train.serving.painters import OwnThread, Painters
from tuwen.train.serving.requests import Limits
from tuwen.train.serving.studio import Studio

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
