"""What a server costs: pictures a second and latency by the number of clients, beside painting without one.

    python tests/bench/bench_serve.py emoji --seconds 20

Each client asks for one picture at a time, over a connection of its own, on loopback. "Without a server" is
`sample_codes` on full batches of 16, decoded together, in a process of its own with as many threads; it is measured
before and after each number of clients, and the share is that of the median. Then the server is asked for ten times
what it can do for some seconds: everything must be painted or refused with 429 in time. Memory is that of the server.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection

import numpy as np
import psutil

CAPTIONS = ("一只蜜蜂", "红心", "企鹅", "圣诞树", "女医生，中等肤色", "旗：法国", "西瓜", "满月")
ALONE = """
import sys, time
from pathlib import Path
import numpy as np, torch
from tuwen.train.painting.sampling import SamplingConfig, sample_codes
from tuwen.train.run.run import open_run
run = open_run(Path(sys.argv[1]))
torch.set_num_threads(run.document.threads)
model, layout, image_codes = run.load_model(), run.layout, run.image_codes
text = run.caption_ids.encode("一只蜜蜂")
ids, positions = layout.prompt(text)
config = SamplingConfig(num_codes=layout.num_codes, codebook_size=layout.codebook, codebooks=layout.codebooks,
                        precision=run.document.precision)
def paint(seed):
    codes = sample_codes(model, [ids], [positions], 16, seed, config)[0][0]
    image_codes.decode(codes.reshape(-1, *image_codes.identity.shape))
paint(0)
for line in sys.stdin:
    began, painted = time.perf_counter(), 0
    while time.perf_counter() - began < float(line):
        paint(painted)
        painted += 16
    print(painted / (time.perf_counter() - began), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run, a painter, or `emoji`")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=15.0, help="for each number of clients")
    asked = parser.parse_args()
    options = ["--port", "0", "--rate", "10000000", "--at-once", "10000", "--waiting", "128", "--seconds", "60"]
    serving = subprocess.Popen(
        [sys.executable, "-m", "tuwen", "serve", asked.run, *options], stderr=subprocess.PIPE, text=True
    )
    alone = subprocess.Popen(
        [sys.executable, "-c", ALONE, asked.run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stderr is not None
        port = int(serving.stderr.readline().rsplit(":", 1)[1])
        ask(port, 0)
        process = psutil.Process(serving.pid)
        print("| clients | pictures/s | without a server | share | p50 ms | p95 ms | p99 ms | memory |")
        print("|---|---|---|---|---|---|---|---|")
        for clients in asked.clients:
            before = rate_alone(alone, asked.seconds / 3)
            statuses, latencies, seconds = load(port, clients, asked.seconds)
            without = statistics.median((before, rate_alone(alone, asked.seconds / 3)))
            rate = statuses[200] / seconds
            p50, p95, p99 = (1000 * np.percentile(latencies, p) for p in (50, 95, 99))
            memory = process.memory_info().rss / 1e6
            print(
                f"| {clients} | {rate:.2f} | {without:.2f} | {rate / without:.0%} | {p50:.0f} | {p95:.0f} | {p99:.0f} "
                f"| {memory:.0f} MB |",
                flush=True,
            )
        statuses, latencies, _ = load(port, 10 * 16, asked.seconds)
        print(f"\n160 clients: {dict(statuses)}, the slowest answer after {max(latencies):.1f} s")
    finally:
        serving.terminate()
        alone.kill()
        print(f"the server ended with {serving.wait()}")


def rate_alone(alone: "subprocess.Popen[str]", seconds: float) -> float:
    """Pictures a second."""
    assert alone.stdin is not None
    assert alone.stdout is not None
    alone.stdin.write(f"{seconds}\n")
    alone.stdin.flush()
    return float(alone.stdout.readline())


def load(port: int, clients: int, seconds: float) -> tuple[Counter[int], list[float], float]:
    """Answers by status, and how long each of those with a picture took."""
    statuses, latencies, lock = Counter[int](), [], threading.Lock()
    began = time.perf_counter()

    def client(number: int) -> None:
        asked = 0
        while time.perf_counter() - began < seconds:
            sent = time.perf_counter()
            status = ask(port, 1000 * number + asked)
            with lock:
                statuses[status] += 1
                if status == 200:
                    latencies.append(time.perf_counter() - sent)
            asked += 1
            if status == 429:
                time.sleep(0.5)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses, latencies, time.perf_counter() - began


def ask(port: int, seed: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    body = json.dumps({"prompt": CAPTIONS[seed % len(CAPTIONS)], "seed": seed})
    connection.request("POST", "/v1/images/generations", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


if __name__ == "__main__":
    main()
