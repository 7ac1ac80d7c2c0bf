"""What `tuwen corpus` says at the end, and that all is written when nothing is kept."""

import json
from pathlib import Path

import pytest

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.reasons import key_of, rule_of

from ..conftest import write_pictures, write_recipe
from ..test_flow import Done, tuwen


def corpus(folder: Path, *options: str, sections: dict[str, str] | None = None) -> Done:
    write_recipe(folder, **(sections or {}))
    return tuwen("corpus", "shapes.yaml", *options, cwd=folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures")
    return tmp_path


def test_the_result_names_the_largest_reasons_with_their_rules_and_the_report(pictures: Path) -> None:
    (pictures / "pictures" / "notes.docx").write_bytes(b"x")
    done = corpus(pictures, "--set", "captions.max_length=10", "--set", "images.min_side=97")
    assert done.returncode == 2
    done = corpus(pictures, "--set", "captions.max_length=10")
    assert done.returncode == 0, done.stderr
    line, report, identity = done.stdout.splitlines()
    assert line == "runs/shapes/corpus: 24 of 72 pairs kept; dropped most often: 48 caption_too_long (≤ 10 characters)"
    assert report == "report: runs/shapes/report.html" and (pictures / "runs/shapes/report.html").is_file()
    assert identity.startswith("sha256:")
    assert "shapes: passed over 1: 1 *.docx (notes.docx)" in done.stderr.splitlines()


def test_a_corpus_that_is_built_again_says_that_it_is_as_before(pictures: Path) -> None:
    first, second = corpus(pictures, "--json"), corpus(pictures, "--json")
    assert [json.loads(done.stdout)["is_unchanged"] for done in (first, second)] == [False, True]
    assert "72 of 72 pairs kept, as before" in corpus(pictures).stdout


def test_the_result_as_json_has_the_same_as_fields(pictures: Path) -> None:
    (pictures / "pictures" / "notes.docx").write_bytes(b"x")
    result = json.loads(corpus(pictures, "--json", "--set", "captions.max_length=10").stdout)
    assert (result["kept"], result["pairs"], result["totals"]["kept"]) == (24, 72, 24)
    assert result["reasons"] == [
        {"reason": "caption_too_long", "pairs": 48, "rule": "≤ 10 characters", "key": "captions.max_length"}
    ]
    assert result["passed_over"] == {"shapes": {"*.docx": {"count": 1, "examples": ["notes.docx"]}}}
    assert result["report"] == "runs/shapes/report.html"


def nothing_left(folder: Path, *options: str, sections: dict[str, str] | None = None) -> str:
    """The last line; the table, the manifest and the report are there all the same."""
    done = corpus(folder, *options, sections=sections)
    assert done.returncode == 2
    assert "0 of " in done.stdout
    manifest = load_manifest(folder / "runs/shapes/corpus")
    assert manifest.totals["kept"] == 0 < read_verdicts(manifest).num_rows
    assert "no pair was kept" in (folder / "runs/shapes/report.html").read_text(encoding="utf-8").lower()
    return done.stderr.strip().splitlines()[-1]


def test_when_a_rule_dropped_all_the_last_line_has_its_number_and_its_key(pictures: Path) -> None:
    said = nothing_left(pictures, "--set", "images.min_side=500")
    assert said.startswith("tuwen: runs/shapes/corpus: no pair is left of 72 pairs: 72 fell for `too_small`")
    assert "(shorter side ≥ 500 px)" in said
    assert said.endswith("give `images.min_side` another value, in the recipe or by --set images.min_side=…")


def test_when_no_picture_has_a_caption_the_last_line_says_where_captions_were_looked_for(pictures: Path) -> None:
    (pictures / "pictures" / "captions.tsv").rename(pictures / "pictures" / "labels.dat")
    said = nothing_left(pictures)
    assert "72 fell for `no_caption`, first 紫-三角-0.png of shapes" in said
    assert "captions.tsv" in said and ".txt" in said


def test_when_the_pictures_lie_in_a_private_network_the_last_line_names_allow_addresses(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("url,caption\nhttp://127.0.0.1:9/a.png,图一\nhttp://127.0.0.1:9/b.png,图二\n")
    web = "[{name: web, kind: urls, path: list.csv, preset: wukong, fetch: {contact: a@example.com}}]"
    said = nothing_left(tmp_path, sections={"sources": web})
    assert "2 fell for `private_address`, first http://127.0.0.1:9/a.png of web" in said
    assert said.endswith("give web `fetch: {allow_addresses: [10.1.0.0/16]}`")


def test_every_reason_with_a_rule_names_the_key_that_sets_it(shapes: tuple[Recipe, Path]) -> None:
    """The key is taken from the words of the reason, and is one that the recipe knows."""
    recipe = shapes[0]
    for name in (
        "too_small",
        "too_long",
        "blurred",
        "foreign_language",
        "unlike_caption",
        "boilerplate",
        "too_many_han",
    ):
        section, _, key = key_of(name).partition(".")
        assert hasattr(getattr(recipe, section), key), name
    assert key_of("single_colour") == "images.single_colour" and rule_of("single_colour", recipe)
    assert key_of("no_caption") == key_of("http_404") == ""


def test_a_corpus_that_finds_everything_done_says_so_and_decides_nothing_again(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decides(*arguments: object) -> None:
        raise AssertionError("decided again")

    assert corpus(pictures).returncode == 0
    before = (pictures / "runs/shapes/corpus/manifest.json").read_bytes()
    monkeypatch.setattr("tuwen.pipeline.corpus.decide", decides)
    monkeypatch.setattr("tuwen.pipeline.executor.stage.start_cluster", decides)
    again = corpus(pictures)
    assert (again.returncode, again.stderr) == (0, "runs/shapes/corpus: nothing has changed since it was built\n")
    assert (pictures / "runs/shapes/corpus/manifest.json").read_bytes() == before


@pytest.mark.parametrize("change", ["a rule", "a caption", "a file that is no picture", "a table", "a tidied folder"])
def test_whatever_changes_a_corpus_is_decided_again_as_if_it_were_built_anew(pictures: Path, change: str) -> None:
    assert corpus(pictures).returncode == 0
    folder = pictures / "runs/shapes/corpus"
    options = ["--set", "captions.max_length=10"] if change == "a rule" else []
    if change == "a caption":
        captions = pictures / "pictures" / "captions.tsv"
        captions.write_text(captions.read_text(encoding="utf-8").replace("第1号", "头号"), encoding="utf-8")
    elif change == "a file that is no picture":
        (pictures / "pictures" / "notes.docx").write_bytes(b"x")
    elif change == "a table":
        table = next((folder / "verdicts").iterdir())
        table.write_bytes(table.read_bytes()[:-1] + b"x")
    elif change == "a tidied folder":
        next((folder / "verdicts").iterdir()).unlink()
    again = corpus(pictures, *options)
    assert again.returncode == 0 and "nothing has changed" not in again.stderr
    rebuilt = load_manifest(folder)
    folder.rename(pictures / "old")
    assert corpus(pictures, *options).returncode == 0
    anew = load_manifest(folder)
    assert anew.id == rebuilt.id and anew.lineage.sources == rebuilt.lineage.sources
    assert read_verdicts(anew).equals(read_verdicts(load_manifest(pictures / "old")))
