"""The examples in docstrings hold: those that stand alone run, the others call what exists with arguments that fit.

A line such as `repetition("连衣裙连衣裙")      # 1.0` is compared with what stands behind it, where that is a value.
"""

import ast
import builtins
import importlib
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, is_typeddict

import pytest

from tuwen.manifests.environment import PACKAGE
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import RunFolder
from tuwen.train.training.loop import train

ROOMS = ("manifests", "pipeline", "tokenize", "train")


def modules() -> Iterator[str]:
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            yield path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__")


def examples_of(docstring: str) -> Iterator[str]:
    """The paragraphs behind the first one that are Python and do something."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring))[1:]:
        code = textwrap.dedent(paragraph)
        try:
            tree = ast.parse(code)
        except SyntaxError:
            continue
        if any(isinstance(node, ast.Call | ast.Assign | ast.Subscript) for node in ast.walk(tree)):
            yield code


def all_examples() -> list[Any]:
    listed = []
    for name in modules():
        docstring = ast.get_docstring(ast.parse(source_of(name).read_text(encoding="utf-8")))
        for number, code in enumerate(examples_of(docstring or "")):
            listed.append(pytest.param(name, code, id=f"{name}-{number}"))
    return listed


def stands_alone(code: str, module: Any) -> bool:
    """Whether it needs nothing but its module: no file of the user's, no server, no training of an hour."""
    return free_names(code) <= set(vars(module)) and not re.search(r"await |raise |://|\bapp\.", code)


def source_of(name: str) -> Path:
    path = PACKAGE / f"{name}.py"
    return path if path.is_file() else PACKAGE / name / "__init__.py"


def free_names(code: str) -> set[str]:
    """Names that an example uses before it assigns or imports them."""
    free, bound = set[str](), set(vars(builtins))
    for statement in ast.parse(code).body:
        nodes = list(ast.walk(statement))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        loop = stored if isinstance(statement, ast.For | ast.With) else set()  # bound before its body runs
        free |= {node.id for node in names if isinstance(node.ctx, ast.Load)} - bound - loop
        bound |= stored
    return free


def expected_value(code: str, statement: ast.stmt) -> Any:
    """What the comment behind a statement says that it gives; Ellipsis where it says nothing of the kind."""
    line = code.splitlines()[(statement.end_lineno or 1) - 1][statement.end_col_offset :]
    comment = line.partition("#")[2].strip()
    for text in (comment, comment.partition(": ")[0], comment.partition("; ")[0]):
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            continue
    return ...


def run(code: str, namespace: dict[str, Any]) -> None:
    for statement in ast.parse(code).body:
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), "<example>", "exec"), namespace)
            continue
        value = eval(compile(ast.Expression(statement.value), "<example>", "eval"), namespace)
        expected = expected_value(code, statement)
        if expected is not ...:
            assert value == pytest.approx(expected, abs=0.05) if isinstance(expected, float) else value == expected


def check_calls(code: str, module: Any) -> None:
    """Whatever the example calls by a name of its module must take these arguments."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        function = getattr(module, node.func.id, None)
        is_ours = getattr(function, "__module__", "").startswith("tuwen.") and not is_typeddict(function)
        if function is None or not is_ours or any(isinstance(value, ast.Starred) for value in node.args):
            continue
        keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
        inspect.signature(function).bind(*([None] * len(node.args)), **keywords)


@pytest.fixture(scope="module")
def trained(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole small run, which examples call runs/emoji."""
    folder = tmp_path_factory.mktemp("examples") / "run"
    shutil.copytree(shapes[1], folder)
    train(shapes[0], load_manifest(folder / "shards"), RunFolder(folder).train)
    return folder


@pytest.mark.parametrize(("name", "code"), all_examples())
def test_an_example_holds(name: str, code: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"tuwen.{name.replace('/', '.')}")
    check_calls(code, module)
    if stands_alone(code, module):
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "emoji").symlink_to(trained)
        monkeypatch.chdir(tmp_path)
        run(code, dict(vars(module)))


def test_examples_are_found_and_many_of_them_run() -> None:
    listed = [(name, code) for name, code in (example.values for example in all_examples())]
    running = [
        name for name, code in listed if stands_alone(code, importlib.import_module(f"tuwen.{name.replace('/', '.')}"))
    ]
    assert len(listed) > 120
    assert len(running) > 25
