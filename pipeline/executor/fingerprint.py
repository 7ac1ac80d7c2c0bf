"""What a stage's result depends on besides its input: the syntax of its code, and the versions of its libraries.

    made_by = made_by(measure, libraries=("pillow", "numpy"))
    made_by.code        # {"pipeline/pictures/decode.py": "9c41…", …}: every module that the function needs
    made_by.libraries   # {"pillow": "13.0", "numpy": "2.4"}

The code of a module is its syntax tree without docstrings and comments, so a change of prose or of layout changes
nothing. A module is needed if an import statement leads to it, at whatever depth; imports under `TYPE_CHECKING` do not
count. Of a library the first two numbers of its version count: a patch release decodes nothing again.
"""

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ...manifests.canonical import sha256_of
from ...manifests.environment import PACKAGE


@dataclass(frozen=True)
class MadeBy:
    """The code and the libraries that make a result."""

    code: dict[str, str]  # path of a module below the package → hash of its syntax
    libraries: dict[str, str]  # distribution → release, "13.0"

    @property
    def sha256(self) -> str:
        return sha256_of({"code": self.code, "libraries": self.libraries})


def made_by(function: Callable[..., Any], libraries: tuple[str, ...], modules: tuple[str, ...] = ()) -> MadeBy:
    """`modules` are paths below the package that are imported by name at run time, such as a source's reader."""
    starts = (_name(Path(inspect.getfile(function))), *modules)
    code = {path: syntax_hash((PACKAGE / path).read_text(encoding="utf-8")) for path in closure(starts)}
    return MadeBy(code, {name: release(metadata.version(name)) for name in libraries})


def differences(old: MadeBy, new: MadeBy) -> list[str]:
    """What changed from `old` to `new`, a few words each: "pipeline/pictures/decode.py", "pillow 12.1 → 13.0"."""
    modules = [path for path in sorted({*old.code, *new.code}) if old.code.get(path) != new.code.get(path)]
    libraries = [
        f"{name} {old.libraries.get(name, 'none')} → {new.libraries.get(name, 'none')}"
        for name in sorted({*old.libraries, *new.libraries})
        if old.libraries.get(name) != new.libraries.get(name)
    ]
    return [*modules, *libraries]


@cache
def closure(starts: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that `starts` lead to by relative imports, themselves included, as sorted paths."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += _imported(PACKAGE / path)
    return tuple(sorted(seen))


def release(version: str) -> str:
    """`13.0.1` → `13.0`."""
    return ".".join(version.split(".")[:2])


def syntax_hash(source: str) -> str:
    """16 hex digits, equal for sources that differ in docstrings, comments and layout alone."""
    tree = ast.parse(source)
    digest = hashlib.blake2b(digest_size=8)
    for token in _tokens(tree):
        digest.update(token.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _tokens(node: ast.AST) -> Iterator[str]:
    """The tree in prefix order. Not `ast.dump`, whose text differs from one Python version to the next."""
    yield type(node).__name__
    for name, value in ast.iter_fields(node):
        values = value if isinstance(value, list) else [value]
        if name == "body" and values and _is_text(values[0]):
            values = values[1:]
        for child in values:
            if isinstance(child, ast.AST):
                yield name
                yield from _tokens(child)
            elif child is not None and name not in ("kind", "type_comment"):
                yield f"{name}={child!r}"


def _is_text(node: Any) -> bool:
    """Whether a statement is a bare string: a docstring, where it stands first."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported(module: Path) -> Iterator[str]:
    for node in _run_statements(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            target = module.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            candidates = [target.with_suffix(".py"), *(target / f"{name.name}.py" for name in node.names)]
            yield from (_name(path) for path in candidates if path.is_file())


def _name(module: Path) -> str:
    """Its path below the package; of a user's own module the whole path."""
    return module.relative_to(PACKAGE).as_posix() if module.is_relative_to(PACKAGE) else str(module)


def _run_statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node`, without what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield child
            yield from _run_statements(child)
