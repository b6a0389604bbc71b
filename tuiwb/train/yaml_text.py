"""YAML with its line numbers and comments: parse it, and change a value in the text."""

import io
from collections.abc import Sequence
from typing import Any

from tuiwb.errors import BadInput
from tuiwb.train.problems import Problem
from tuiwb.yaml_words import complaint_of, in_words, unmarked

MOST_VALUES = 100_000
MOST_BRACKETS = 500
MOST_TEXT = 1 << 20


class Document:
    """A parsed config: `plain` values, and where each key stands in the text."""

    def __init__(self, tree: Any, plain: dict[str, Any]) -> None:
        self.plain = plain
        self._tree = tree
        self.aliases: dict[tuple[str, ...], tuple[str, ...]] = {}

    def position(self, path: Sequence[str]) -> tuple[int, int]:
        """Line and column (from 1) of a key, or of the nearest section above it."""
        node, found = self._tree, (1, 1)
        path = self.aliases.get(tuple(path), path)
        for name in path:
            places = getattr(getattr(node, "lc", None), "data", None) or {}
            key: Any = name
            if key not in places and name.isdigit():
                key = int(name)
            if key not in places:
                break
            found = (places[key][0] + 1, places[key][1] + 1)
            try:
                node = node[key]
            except (KeyError, IndexError, TypeError):
                break
        return found


def parse(text: str) -> Document | Problem:
    """Read a YAML text; a Problem where it is not YAML or not a mapping."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if text.count("[") + text.count("{") > MOST_BRACKETS or len(text) > MOST_TEXT:
        # The parser takes quadratic time on nesting; the editor checks at every pause in typing.
        return Problem(line=1, column=1, key="", message=_too_large(text))
    try:
        tree = _yaml().load(text)
        plain = _plain(tree, [MOST_VALUES])
    except MarkedYAMLError as error:
        complaint = complaint_of(error)
        line, what = in_words(complaint, text)
        column = complaint.column if line == complaint.line else 1
        return Problem(line=line, column=column, key="", message=f"not YAML: {what}")
    except (YAMLError, ValueError, RecursionError) as error:
        what = unmarked(error)
        return Problem(line=_bad_line(text), column=1, key="", message=f"not YAML: {what}")
    if plain is None:
        return Document(tree, {})
    if not isinstance(plain, dict):
        message = "a config is made of sections (model:, data:, lora:, training:)"
        return Problem(line=1, column=1, key="", message=message)
    return Document(tree, plain)


def set_value(text: str, path: str, value: Any) -> str:
    """The text with one key changed (`training.learning_rate`), comments and order kept.

    `None` writes null; a missing section is added. BadInput when the text is not YAML.
    """
    parsed = parse(text)
    if isinstance(parsed, Problem):
        raise BadInput(f"line {parsed.line}: {parsed.message}")
    yaml = _yaml()
    tree = yaml.load(text)
    if tree is None:
        from ruamel.yaml.comments import CommentedMap

        tree = CommentedMap()
    node = tree
    *above, last = path.split(".")
    for name in above:
        if not isinstance(node.get(name), dict):
            node[name] = type(tree)()
        node = node[name]
    node[last] = _same_style(node.get(last), value)
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _same_style(old: Any, value: Any) -> Any:
    from ruamel.yaml.comments import CommentedSeq
    from ruamel.yaml.scalarstring import ScalarString

    if isinstance(value, list):
        made = CommentedSeq(value)
        made.fa.set_flow_style()
        return made
    if isinstance(old, ScalarString) and isinstance(value, str):
        return type(old)(value)
    return value


def _plain(node: Any, left: list[int], depth: int = 0) -> Any:
    """Builtin values only: ruamel's own types carry comments and anchors."""
    left[0] -= 1
    if depth > 50 or left[0] < 0:
        raise ValueError("nested too deep, or aliases that multiply")
    if isinstance(node, dict):
        return {str(k): _plain(v, left, depth + 1) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(v, left, depth + 1) for v in node]
    if isinstance(node, bool) or type(node).__name__ == "ScalarBoolean":
        return bool(node)
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)
    if isinstance(node, str):
        return str(node)
    if node is None:
        return None
    return str(node)


def _too_large(text: str) -> str:
    first = text.lstrip()[:1]
    if first in ("{", "["):
        return "rows of data, not a config: a config is a short YAML text"
    if len(text) > MOST_TEXT:
        return f"too large for a config: {len(text) / MOST_TEXT:.1f} MiB of text, at most 1"
    return f"too large for a config: more than {MOST_BRACKETS} brackets"


def _bad_line(text: str) -> int:
    for number, line in enumerate(text.split("\n"), 1):
        if any(ord(c) < 32 and c not in "\t\r" for c in line):
            return number
    return 1
