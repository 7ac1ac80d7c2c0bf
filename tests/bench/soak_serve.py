"""Many requests, good, bad and broken off, against one server: nothing but 200 and 4xx, and memory that stays flat.

    python tests/bench/soak_serve.py RUN --requests 10000

RUN is best a tiny one. Of ten requests seven ask for a picture, one is no JSON, one breaks off while it is painted, and
one sends half of its body and leaves. Exits with 1 on an answer of another kind, or when the memory at the end is more
than a tenth above that after the first fifth.
"""

import argparse
import json
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection

import psutil

CLIENTS = 16
HEAD = "POST /v1/images/generations HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run, a painter, or `emoji`")
    parser.add_argument("--requests", type=int, default=10_000)
    asked = parser.parse_args()
    options = ["--port", "0", "--rate", "10000000", "--at-once", "1000"]
    server = subprocess.Popen(
        [sys.executable, "-m", "tuwen", "serve", asked.run, *options], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    port, process = int(server.stderr.readline().rsplit(":", 1)[1]), psutil.Process(server.pid)
    answers: Counter[str] = Counter()
    memory: list[float] = []
    for fifth in range(5):
        numbers = range(fifth * asked.requests // 5, (fifth + 1) * asked.requests // 5)
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers.update(clients.map(partial(ask, port), numbers))
        memory.append(process.memory_info().rss / 1e6)
        print(f"{(fifth + 1) * asked.requests // 5:,} requests: {memory[-1]:.0f} MB, {dict(answers)}", flush=True)
    server.terminate()
    code = server.wait()
    wrong = {answer for answer in answers if answer not in ("200", "400", "429", "left")}
    print(f"the server ended with {code}")
    if wrong or code or memory[-1] > 1.1 * memory[0]:
        sys.exit(1)


def ask(port: int, number: int) -> str:
    """The status, or `left` where the client went away."""
    body = json.dumps({"prompt": "红色的圆" + "很" * (number % 7), "seed": number}).encode()
    if number % 10 < 8:
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        data = body if number % 10 else b"{"
        connection.request("POST", "/v1/images/generations", data, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return str(answer.status)
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(HEAD.format(len(body)).encode() + (body if number % 2 else body[: len(body) // 2]))
    return "left"


if __name__ == "__main__":
    main()
