"""Asterisk's configuration files, as far as is asked here: what includes what, which contexts there are, and the globals.

As main/config.c reads them: `;` begins a comment unless it is escaped, `;--` to `--;` is one over several lines, `#include` and
`#tryinclude` name a file or a pattern relative to the folder. `#exec` is not run.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MAX_FILES: Final = 1000
MAX_DEPTH: Final = 10
"""main/config.c MAX_INCLUDE_LEVEL."""
MAX_BYTES: Final = 32 * 1024 * 1024

_INCLUDE: Final = re.compile(r"#(?P<how>include|tryinclude|exec)\s*[\s\"<]\s*(?P<name>[^\">]+)", re.IGNORECASE)
_SECTION: Final = re.compile(r"\[(?P<name>[^\]]+)\]")
_COMMENT: Final = re.compile(r"(?<!\\);.*")


@dataclass
class Dialplan:
    """`contexts` says which files add to each context, `missing` what is included and not there."""

    files: dict[Path, list[str]] = field(default_factory=dict)  # their lines, without comments
    contexts: dict[str, list[Path]] = field(default_factory=dict)
    globals: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    has_exec: bool = False


def read_dialplan(folder: Path) -> Dialplan:
    """From `extensions.conf` on. Raises `OSError` when that cannot be read."""
    plan = Dialplan()
    _Reader(folder, plan).read(folder / "extensions.conf", 0)
    return plan


class _Reader:
    """The section that a file begins in is that of the line which includes it."""

    def __init__(self, folder: Path, plan: Dialplan) -> None:
        self._folder = folder
        self._plan = plan
        self._section = ""

    def read(self, path: Path, depth: int) -> None:
        if depth > MAX_DEPTH or len(self._plan.files) >= MAX_FILES or path.stat().st_size > MAX_BYTES:
            self._plan.missing.append(f"{path} (too many files, or too large)")
            return
        lines = [
            text for line in _uncommented(path.read_text(encoding="utf-8", errors="replace")) if (text := line.strip())
        ]
        self._plan.files[path] = lines
        for line in lines:
            self._take(line, path, depth)

    def _take(self, line: str, path: Path, depth: int) -> None:
        if section := _SECTION.match(line):
            self._section = section["name"]
            self._plan.contexts.setdefault(self._section, []).append(path)
        elif include := _INCLUDE.match(line):
            self._include(include["how"].lower(), include["name"].strip(), depth)
        elif self._section == "globals" and "=" in line:
            name, _, value = line.partition("=")
            self._plan.globals[name.strip()] = value.removeprefix(">").strip()

    def _include(self, how: str, name: str, depth: int) -> None:
        if how == "exec":
            self._plan.has_exec = True
            return
        found = [Path(path) for path in sorted(glob.glob(str(self._folder / name)))]
        for path in found:
            try:
                self.read(path, depth + 1)
            except OSError as error:
                self._plan.missing.append(f"{path} ({error.strerror})")
        if not found and how == "include":
            self._plan.missing.append(name)


def _uncommented(text: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines():
        shown = line
        if inside:
            _, end, shown = line.partition("--;")
            inside = not end
        elif re.match(r";--(?!-)", line.lstrip()):
            _, _, shown = line.lstrip()[3:].partition("--;")
            inside = "--;" not in line
        if not inside:
            yield _COMMENT.sub("", shown)
