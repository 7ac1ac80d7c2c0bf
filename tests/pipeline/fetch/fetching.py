"""What the tests of fetching share: the picture, names with false lookups, and a client for a list of addresses.

    answers = fetch([server.url("/ok"), server.url("/cut")], attempts=2)

The client is the real one, with its own event loop; only names can be made up.
"""

import asyncio
import socket
import tempfile
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from tuwen.pipeline.fetch.polite_http import Answer, PoliteClient, Politeness

from ...conftest import draw, encoded

PICTURE = encoded(draw("红", "圆", 60), "JPEG")
LOOPBACK = ["127.0.0.0/29"]  # 127.0.0.1 to 127.0.0.7; not 127.0.0.8, not ::1


def fetch(urls: list[str], resolver: Any = None, **more: Any) -> list[Answer]:
    """Fetch all at once; whatever comes must be the picture, whole."""
    politeness: dict[str, Any] = {
        "user_agent": "tuwen/0 (+https://example.com)", "in_flight": 64, "per_host_in_flight": 64,
        "per_host_per_second": 10_000.0, "tasks": 1, "deadline_seconds": 1.0, "max_bytes": 1_000_000, "attempts": 1,
        "robots": "obey", "robots_tag": "obey", "allow_addresses": LOOPBACK, **more,
    }  # fmt: skip

    async def one(client: PoliteClient, url: str) -> Answer:
        with tempfile.SpooledTemporaryFile() as file:
            answer = await client.fetch(url, file)
            file.seek(0)
            assert answer.problem or file.read() == PICTURE
            return answer

    async def every() -> list[Answer]:
        async with PoliteClient(Politeness(**politeness), resolver) as client:
            return list(await asyncio.gather(*(one(client, url) for url in urls)))

    return asyncio.run(every())


class Names(AbstractResolver):
    """Names with the answers of one lookup after another."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = answers
        self.lookups = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.lookups += 1
        waiting = self.answers.get(host.partition(".")[0])
        if not waiting:
            raise OSError(socket.EAI_NONAME, "not known")
        addresses = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=socket.AF_INET, proto=0, flags=0)
            for ip in addresses
        ]

    async def close(self) -> None:
        pass
