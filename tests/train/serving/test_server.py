"""`tuwen serve`: the port, the words that are refused, and SIGTERM."""

import json
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tuwen.manifests.errors import BadInput
from tuwen.train.run.run import Run
from tuwen.train.serving.requests import Limits, refused_words
from tuwen.train.serving.server import ServeOptions, serve

from .served import CIRCLE, Server


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
