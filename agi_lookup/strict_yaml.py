"""YAML without YAML 1.1's surprises: every scalar stays the text that was written.

`NO` stays Norway, `0123` keeps its zero and `112` its digits; the config's types turn text into numbers and booleans where
they want those. Duplicate keys, aliases, tags, several documents and oversized files are errors with file and line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from agi_lookup.domain.errors import ConfigError

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 20

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """`data` as plain dicts, lists, strings and None; `lines` says on which line each path begins (1-based)."""

    data: Any
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """The line of a path, or of the nearest parent that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load(path: Path) -> Document:
    """Raises `ConfigError`: one line with file, line and what to do."""
    return loads(_read(path), str(path))


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a readable file") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; rates and number lists belong in their own files")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def loads(text: str, name: str) -> Document:
    try:
        _refuse_aliases(text, name)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_error(error, name)) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply; the config needs {MAX_DEPTH} levels at most") from None
    lines: dict[KeyPath, int] = {}
    data = None if node is None else _build(node, (), lines, name)
    return Document(data, lines)


def _refuse_aliases(text: str, name: str) -> None:
    """Before composing: an alias bomb grows only when it is expanded."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(f"{name}:{line}: anchors and aliases (& and *) are not used here; write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(f"{name}:{line}: nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag not in (None, "!"):
            raise ConfigError(f"{name}:{line}: the tag {event.tag} is not used here; write a plain value")


def _syntax_error(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "is not YAML"
    where = f"{name}:{mark.line + 1}" if mark else name
    return f"{where}: {problem}; check indentation, quotes and colons"


def _build(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, name)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), lines, name) for index, item in enumerate(node.value)]
    is_null = isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("", "~", "null")
    return None if is_null else node.value


def _mapping(node: yaml.MappingNode, path: KeyPath, lines: dict[KeyPath, int], name: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{name}:{line}: a key must be plain text")
        key = key_node.value
        if key in data:
            raise ConfigError(f"{name}:{line}: {key!r} stands twice; keep one of them")
        lines[(*path, key)] = line
        data[key] = _build(value_node, (*path, key), lines, name)
    return data
