"""A YAML file, in which no key stands twice: YAML itself takes the last one, and the rules of the first are lost.

document = read_yaml(path)      # BadInput: "my-corpus.yaml: line 7: the key `images` stands twice; …"
"""

from pathlib import Path
from typing import Any

import yaml

from ..errors import BadInput


class _KeyTwice(Exception):
    def __init__(self, key: str, line: int, first_line: int) -> None:
        self.key, self.line, self.first_line = key, line, first_line


class _Loader(yaml.SafeLoader):
    """The safe loader, which raises _KeyTwice for two equal keys of one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise _KeyTwice(key.value, line, lines[key.value])
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Raises BadInput for a file that is not UTF-8 or not YAML, and for a key that stands twice."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not UTF-8", cure="save the file as UTF-8") from None
    except _KeyTwice as twice:
        raise BadInput(
            f"{path}: line {twice.line}: the key `{twice.key}` stands there twice, first in line {twice.first_line}",
            cure="keep one of the two",
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(
            f"{path}: not YAML ({' '.join(str(error).split())})", cure="mend the file at that line"
        ) from None
