"""The API as its users speak it: OpenAI's own client, events, and refusals."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.train.run.run import Run
from tuwen.train.serving.neighbours import Neighbours
from tuwen.train.serving.requests import Limits

from .served import CIRCLE, Server

Built = tuple[Recipe, Path]


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
