"""Who can read the secrets: the config, and the files that it names."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from agi_lookup.doctor.findings import Finding, fail, ok, warn
from agi_lookup.strict_yaml import Document


def check_files(path: Path, document: Document) -> Iterator[Finding]:
    """The config may be read by a group; a secret's file by its owner (and group, as packages do) alone."""
    found = list(_files(path, document))
    yield from found
    if not found:
        yield ok("secrets", "nobody else can read or change them")


def _files(path: Path, document: Document) -> Iterator[Finding]:
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield fail("secrets", f"anybody may change {path}", f"chmod o-w {path}")
    for name in sorted(set(_named(document.data))):
        if Path(name).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield warn("secrets", f"anybody on this machine may read {name}", f"chmod 600 {name}")


def _named(node: object) -> Iterator[str]:
    """The files of `file:/path`, wherever they stand."""
    if isinstance(node, dict):
        for value in node.values():
            yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)
    elif isinstance(node, str) and node.startswith("file:"):
        yield node.removeprefix("file:")
