"""Fingerprints say what was computed, no more: the syntax of the modules that are needed, and releases of libraries."""

import ast
from pathlib import Path

import pytest

from tuwen.manifests.environment import PACKAGE
from tuwen.pipeline.corpus import MEASURE
from tuwen.pipeline.decide import JUDGE
from tuwen.pipeline.executor.fingerprint import MadeBy, closure, differences, made_by, release, syntax_hash
from tuwen.pipeline.executor.stage import Stage
from tuwen.pipeline.export.formats import FORMATS
from tuwen.pipeline.fetch.gather import FETCH, LIST
from tuwen.pipeline.scores.scores import SCORES
from tuwen.pipeline.source_kinds import KINDS
from tuwen.pipeline.sources.emoji import DRAW
from tuwen.pipeline.sources.readers import READERS
from tuwen.tokenize.compact.train_on_corpus import CROP
from tuwen.tokenize.encode.write_shards import TOKENIZE
from tuwen.tokenize.export_codes.export_samples import EXPORT_SAMPLES

SOURCE = '''
"""A module."""

LIMIT = 3  # of something


def double(number: int) -> int:
    """Twice the number."""
    # It is that simple.
    return 2 * number


class Box:
    """Holds a thing."""

    size = 1
'''

PICTURES = [
    "broken_files", "broken_metadata", "decode", "jpeg_segments", "png_chunks", "riff_chunks", "tiff_tags",
    "upright_rgb",
]  # fmt: skip
TABLES = "pipeline/corpus_files/stage_tables.py"
REREAD = [
    "manifests/errors.py", "pipeline/executor/part.py", "pipeline/pictures/measured_pictures.py",
    *(f"pipeline/pictures/{name}.py" for name in PICTURES), "pipeline/sources/reader.py",
    "pipeline/sources/readers.py", "pipeline/sources/picture_format.py",
]  # fmt: skip


def needed(stage: Stage) -> set[str]:  # type: ignore[type-arg]
    return set(made_by(stage.function, ()).code)


def test_a_change_of_prose_or_layout_changes_no_fingerprint() -> None:
    other = (
        SOURCE.replace("A module.", "Another text.")
        .replace("Twice the number.", "The number, doubled.")
        .replace("# It is that simple.", "# Nothing else.\n")
        .replace("Holds a thing.", "Holds one.")
        .replace("  # of something", "")
        .replace("(number: int)", "(\n    number: int,\n)")
    )
    assert other != SOURCE
    assert syntax_hash(other) == syntax_hash(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("LIMIT = 3", "LIMIT = 4"), ("2 * number", "number * 2"), ("number: int", "number: float"), ("LIMIT", "MOST"),
     ("size = 1", "size = '1'"), ("return 2", "yield 2"), ("class Box:", "class Box(dict):")],
)  # fmt: skip
def test_a_change_of_code_changes_the_fingerprint(old: str, new: str) -> None:
    assert syntax_hash(SOURCE.replace(old, new)) != syntax_hash(SOURCE)


def test_a_string_that_is_no_docstring_is_code() -> None:
    assert syntax_hash('NAME = "a"') != syntax_hash('NAME = "b"')
    assert syntax_hash('def f():\n    return "a"') != syntax_hash('def f():\n    return "b"')


def test_every_module_of_tuwen_keeps_its_fingerprint_without_its_comments_and_docstrings() -> None:
    for path in sorted(PACKAGE.glob("pipeline/**/*.py")):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        for node in ast.walk(tree):
            documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if documented and ast.get_docstring(node) is not None:
                node.body[0].value.value = "Another text."
        assert syntax_hash(ast.unparse(tree)) == syntax_hash(source), path


def test_a_patch_release_of_a_library_changes_nothing_and_another_release_is_named() -> None:
    assert release("13.0.1") == release("13.0.2") == "13.0"
    old, new = MadeBy({"a.py": "1"}, {"pillow": "12.1"}), MadeBy({"a.py": "1", "b.py": "2"}, {"pillow": "13.0"})
    assert differences(old, new) == ["b.py", "pillow 12.1 → 13.0"]
    assert differences(old, old) == []


def test_imports_for_type_checking_alone_do_not_count(tmp_path: Path) -> None:
    assert "manifests/documents.py" not in closure(("pipeline/executor/part.py",))


def test_each_stage_depends_on_these_modules_and_no_others() -> None:
    assert needed(MEASURE) == {
        "manifests/errors.py", "manifests/pair.py", "pipeline/executor/part.py", TABLES,
        *(f"pipeline/pictures/{name}.py" for name in (*PICTURES, "measure", "measure_isolated", "measure_picture",
                                                      "signatures")),
        *(f"pipeline/sources/{name}.py" for name in ("passed_over", "picture_format", "reader", "readers", "source")),
    }  # fmt: skip
    assert needed(JUDGE) == {
        "manifests/errors.py", "pipeline/executor/part.py", "pipeline/judge.py", "pipeline/pictures/picture_rules.py",
        TABLES, "pipeline/duplicates/key_bytes.py",
        *(f"pipeline/captions/{name}.py" for name in (
            "boilerplate", "boilerplate_patterns", "clean_caption", "file_name", "language", "personal_data",
            "repetition", "text", "words")),
    }  # fmt: skip
    assert needed(SCORES["nsfw"].stage) == {*REREAD, TABLES, "pipeline/scores/nsfw.py"}
    assert needed(SCORES["similarity"].stage) == {
        *REREAD,
        TABLES,
        "pipeline/scores/chinese_clip.py",
        "pipeline/scores/clip_similarity.py",
        "manifests/canonical.py",
    }
    assert needed(SCORES["embedding"].stage) == {
        *REREAD,
        TABLES,
        "pipeline/scores/embedding.py",
        "manifests/canonical.py",
    }
    exporting = {*REREAD, "pipeline/export/exported_picture.py"}
    written = {"manifests/canonical.py", "manifests/shards/tar_member.py"}
    assert {name: needed(each.stage) - exporting for name, each in FORMATS.items()} == {
        "webdataset": {"pipeline/export/webdataset.py", *written},
        "chinese-clip": {"pipeline/export/chinese_clip.py", "manifests/atomic.py"},
        "huggingface": {"pipeline/export/huggingface.py"},
        "imagefolder": {"pipeline/export/imagefolder.py"},
    }
    assert needed(DRAW) == {
        "manifests/errors.py", "manifests/shards/tar_member.py", "pipeline/executor/part.py",
        "pipeline/sources/draw_emoji.py",
    }  # fmt: skip


def test_no_stage_depends_on_how_it_is_run_or_on_what_is_said_of_it() -> None:
    driver = {
        *(f"pipeline/executor/{name}.py" for name in ("stage", "progress", "ray_cluster", "footprint")),
        "pipeline/corpus.py", "pipeline/decide.py", "pipeline/explain.py", "pipeline/reasons.py",
        "manifests/recipe/presets.py", "manifests/recipe/recipe.py", "manifests/decision_table.py",
        "tokenize/encode/write_shards.py",
    }  # fmt: skip
    scores = [score.stage for score in SCORES.values()]
    exports = [each.stage for each in FORMATS.values()]
    for stage in (MEASURE, JUDGE, *exports, LIST, FETCH, DRAW, CROP, TOKENIZE, EXPORT_SAMPLES, *scores):
        assert not needed(stage) & driver, stage.name
    assert all((PACKAGE / path).is_file() for path in driver)


def test_reading_a_table_depends_on_these_modules_and_not_on_how_its_columns_were_found() -> None:
    shared = set(closure(("pipeline/pictures/measure.py",)))
    assert set(closure(("pipeline/pictures/measure.py", "pipeline/sources/tables/parquet.py"))) - shared == {
        "pipeline/tables/container_format.py",
        *(f"pipeline/sources/tables/{name}.py" for name in ("base64_text", "parquet", "picture_cell", "picture_column",
                                                            "table_file")),
        *(f"pipeline/tables/{name}.py" for name in ("arrow_rows", "cell_text", "check_batch", "column_roles",
                                                    "text_encoding")),
    }  # fmt: skip


def test_a_source_depends_on_the_code_that_reads_it_and_on_no_other_reader() -> None:
    modules = {f"pipeline/sources/{module.replace('.', '/')}.py" for module in READERS.values()}
    for module in modules:
        assert set(closure(("pipeline/pictures/measure.py", module))) & modules == {module}
    assert set(KINDS) == {"folder", "webdataset", "parquet", "chinese-clip", "urls", "emoji"}
