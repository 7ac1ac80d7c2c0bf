"""No page is asked for a pair that its row already condemns; the pair has the verdict that it would have had."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuwen.manifests.canonical import sha256_of_file
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.fetch import urls_source
from tuwen.pipeline.load_recipe import load_recipe

from ...conftest import write_pictures, write_recipe
from ...stages import build_corpus
from .fetching import LOOPBACK, PICTURE
from .rude_server import RudeServer

Row = dict[str, Any]

CAPTIONS = [
    ("good", "一只橘色的猫坐在窗台上"), ("english", "a cat sits on the windowsill and looks at the rain"), ("none", ""),
    ("short", "猫"), ("listed", "赌博网站的红色招牌在街边"), ("boilerplate", "点击查看大图"), ("file", "IMG_2031.jpg"),
    ("private", "13800138000"), ("long", "红色的花" * 100), ("fine", "雪山下的蓝色湖水"),
]  # fmt: skip
RULES = {
    "captions": "{boilerplate: drop, languages: [zh], min_length: 3, max_length: 60, word_list: words.txt}",
    "images": "{min_side: 20}",
}


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer(PICTURE) as running:
        yield running


def write_list(folder: Path, server: RudeServer, rows: list[Row] | None = None) -> None:
    rows = rows or [{"caption": caption, "path": f"/ok/{name}"} for name, caption in CAPTIONS]
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["url", *dict.fromkeys(key for row in rows for key in row if key != "path")])
        writer.writeheader()
        writer.writerows({"url": server.url(row.pop("path")), **row} for row in [dict(row) for row in rows])
    (folder / "words.txt").write_text("赌博\n", "utf-8")


def recipe_of(folder: Path, source: Row | None = None, **sections: str) -> Recipe:
    fetch = {"contact": "a@b.cn", "attempts": 1, "allow_addresses": LOOPBACK, "per_host_per_second": 10_000.0}
    section = {"name": "web", "kind": "urls", "path": "list.csv", "fetch": fetch, **(source or {})}
    more = {"sources": json.dumps([section], ensure_ascii=False), "duplicates": "{images: none}", **sections}
    return load_recipe(str(write_recipe(folder, **more)))


def verdicts(recipe: Recipe, out: Path) -> list[Row]:
    return read_verdicts(build_corpus(recipe, out)).to_pylist()


def asked(server: RudeServer) -> list[str]:
    return sorted(seen.path.rpartition("/")[2] for seen in server.seen if seen.path != "/robots.txt")


def test_a_pair_that_falls_by_its_caption_is_not_fetched_and_has_the_reason_of_its_own(
    tmp_path: Path, server: RudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_list(tmp_path, server)
    recipe = recipe_of(tmp_path, **RULES)
    judged = verdicts(recipe, tmp_path / "judged")
    assert asked(server) == ["fine", "good"]
    monkeypatch.setattr(urls_source, "_pair_rules", lambda recipe: None)
    fetched = verdicts(recipe, tmp_path / "fetched")
    assert len(asked(server)) == 2 + len(CAPTIONS)
    columns = ("key", "stage", "reason", "kept", "caption", "caption_raw", "url", "license")
    assert [[row[name] for name in columns] for row in judged] == [[row[name] for name in columns] for row in fetched]
    assert {row["reason"] for row in judged} == {
        "", "foreign_language", "no_caption", "caption_too_short", "word_list", "boilerplate", "file_name",
        "personal_data", "caption_too_long",
    }  # fmt: skip
    assert {row["stage"] for row in judged} == {"", "caption"}


def test_a_row_is_fetched_when_one_of_its_captions_may_be_kept(tmp_path: Path, server: RudeServer) -> None:
    rows = [
        {"alt_text": "IMG_2031.jpg", "recaption": "一只橘色的猫\n\n坐在窗台上", "path": "/ok/one"},
        {"alt_text": "IMG_2031.jpg", "recaption": "猫", "path": "/ok/none"},
    ]
    write_list(tmp_path, server, rows)
    pairs = verdicts(recipe_of(tmp_path, {"captions": ["alt_text", "recaption"]}, **RULES), tmp_path / "corpus")
    assert asked(server) == ["one"]
    assert [row["reason"] for row in pairs] == ["file_name", "", "file_name", "caption_too_short"]
    assert [row["image_sha256"] is not None for row in pairs] == [True, True, False, False]


def test_rows_that_are_not_wanted_are_not_fetched(tmp_path: Path, server: RudeServer) -> None:
    rows = [
        {"language": "zh", "NSFW": "UNLIKELY", "similarity": "0.31", "width": "640", "path": "/ok/wanted"},
        {"language": "en", "NSFW": "UNLIKELY", "similarity": "0.31", "width": "640", "path": "/ok/english"},
        {"language": "zh", "NSFW": "NSFW", "similarity": "0.31", "width": "640", "path": "/ok/nsfw"},
        {"language": "zh", "NSFW": "UNLIKELY", "similarity": "0.29", "width": "640", "path": "/ok/unlike"},
        {"language": "zh", "NSFW": "UNLIKELY", "similarity": "", "width": "640", "path": "/ok/unknown"},
        {"language": "zh", "NSFW": "UNLIKELY", "similarity": "0.3", "width": "199", "path": "/ok/small"},
        {"language": "zh", "NSFW": "unlikely", "similarity": "3e-1", "width": "2e2", "path": "/ok/just"},
    ]
    write_list(tmp_path, server, [{"caption": f"第{n}张图：雪山", **row} for n, row in enumerate(rows)])
    where = {"language": "zh", "NSFW": "UNLIKELY", "Similarity": ">= 0.3", "width": ">= 200"}
    pairs = verdicts(recipe_of(tmp_path, {"where": where}), tmp_path / "corpus")
    assert asked(server) == ["just", "wanted"]
    assert [(row["stage"], row["reason"]) for row in pairs] == [("", ""), *[("fetch", "not_wanted")] * 5, ("", "")]
    assert all(row["caption_raw"] for row in pairs)


def test_what_the_list_says_of_a_size_is_judged_where_the_recipe_names_its_columns(
    tmp_path: Path, server: RudeServer
) -> None:
    sizes = [("large", "640", "480"), ("small", "640", "19"), ("long", "2000", "100"), ("unknown", "", "?")]
    rows = [{"caption": f"雪山{n}", "w": w, "h": h, "path": f"/ok/{n}"} for n, w, h in sizes]
    write_list(tmp_path, server, rows)
    sides = {"width_column": "w", "height_column": "h"}
    pairs = verdicts(recipe_of(tmp_path, sides, images="{min_side: 20, max_ratio: 3}"), tmp_path / "corpus")
    assert asked(server) == ["large", "unknown"]
    assert [(row["stage"], row["reason"]) for row in pairs] == [
        ("", ""), ("picture", "too_small"), ("picture", "too_long"), ("", ""),
    ]  # fmt: skip
    verdicts(recipe_of(tmp_path, images="{min_side: 20, max_ratio: 3}"), tmp_path / "unnamed")
    assert len(asked(server)) == 2 + 4


def test_other_rules_fetch_what_is_wanted_now_and_download_nothing_twice(tmp_path: Path, server: RudeServer) -> None:
    write_list(tmp_path, server)
    strict, loose = RULES, {**RULES, "captions": "{word_list: words.txt, max_length: 60, min_length: 1}"}
    loosely = ["boilerplate", "english", "file", "fine", "good", "short"]
    out = tmp_path / "corpus"

    def tars() -> list[str]:
        return [sha256_of_file(path) for path in sorted((out / "pictures" / "web").glob("*.tar"))]

    first, first_tars = verdicts(recipe_of(tmp_path, **strict), out), tars()
    assert asked(server) == ["fine", "good"]
    more, more_tars = verdicts(recipe_of(tmp_path, **loose), out), tars()
    assert asked(server) == loosely
    assert {row["reason"] for row in more if row["image_sha256"]} == {""} and len(more) == len(first)
    assert verdicts(recipe_of(tmp_path, **strict), out) == first and tars() == first_tars
    assert verdicts(recipe_of(tmp_path, **loose), out) == more and tars() == more_tars
    assert asked(server) == loosely
    assert [row["key"] for row in first] == [row["key"] for row in more]


def test_another_where_downloads_nothing_twice(tmp_path: Path, server: RudeServer) -> None:
    rows = [{"caption": f"第{n}张图：雪山", "size": str(n), "path": f"/ok/{n}"} for n in range(4)]
    write_list(tmp_path, server, rows)
    out = tmp_path / "corpus"
    for where, wanted in (("> 1", 2), ("> 2", 1), ("> 1", 2), (">= 0", 4)):
        pairs = verdicts(recipe_of(tmp_path, {"where": {"size": where}}), out)
        assert sum(row["reason"] != "not_wanted" for row in pairs) == wanted
    assert asked(server) == ["0", "1", "2", "3"]


def test_an_evaluation_source_is_fetched_whole(tmp_path: Path, server: RudeServer) -> None:
    write_list(tmp_path, server)
    write_pictures(tmp_path / "pictures")
    (tmp_path / "pictures" / "x.jpg").write_bytes(PICTURE)
    (tmp_path / "pictures" / "x.txt").write_text("一张图，在测试里", "utf-8")
    fetch = {"contact": "a@b.cn", "attempts": 1, "allow_addresses": LOOPBACK}
    evaluation = json.dumps([{"name": "test", "kind": "urls", "path": "list.csv", "fetch": fetch}])
    recipe = load_recipe(str(write_recipe(tmp_path, evaluation=evaluation, **RULES)))
    pairs = verdicts(recipe, tmp_path / "corpus")
    assert len(asked(server)) == len(CAPTIONS)
    assert {row["stage"] for row in pairs if row["origin"] == "x.jpg"} == {"evaluation"}


def test_a_row_that_cannot_be_read_or_is_unlike_its_list_has_its_own_verdict(
    tmp_path: Path, server: RudeServer
) -> None:
    lines = [
        f"{server.url('/ok/a')},雪山下的湖",
        f'{server.url("/ok/b")},"没有结束',
        "没有地址,雪山",
        f"{server.url('/ok/c')},湖水",
    ]
    (tmp_path / "list.csv").write_text("url,caption\n" + "\n".join(lines), "utf-8")
    pairs = verdicts(recipe_of(tmp_path), tmp_path / "corpus")
    assert [(row["stage"], row["reason"]) for row in pairs] == [
        ("", ""), ("read", "broken_row"), ("fetch", "bad_address"), ("", ""),
    ]  # fmt: skip
    assert asked(server) == ["a", "c"]
