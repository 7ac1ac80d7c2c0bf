"""Limits: of addresses, of what waits and how long, and clients that go away."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tuwen.train.run.run import Run
from tuwen.train.serving.requests import Limits

from .served import CIRCLE, Server, ask_and_leave


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
