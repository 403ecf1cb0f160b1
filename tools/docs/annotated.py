"""What `config/agi-lookup.yaml` says beside its keys: comments, and provider blocks as examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ANNOTATED: Final = ROOT / "config" / "agi-lookup.yaml"
_LINE: Final = re.compile(r"( *)(#?)(- )?([A-Za-z0-9_/]+):(?:\s+(.*))?")
_COMMENT: Final = re.compile(r"(?:^|\s)#\s+(.*)$")
_PROVIDER: Final = re.compile(r"  #?([a-z0-9_]+):(\s.*)?")


def comments() -> dict[str, str]:
    """By key, with `[]` for items of a list; what is only said of restarts is left out."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in ANNOTATED.read_text(encoding="utf-8").splitlines():
        if (match := _LINE.fullmatch(line)) is None:
            continue
        blanks, _, item, key, rest = match.groups()
        depth = len(blanks) + (1 if item else 0)
        path = [(at, name) for at, name in path if at < depth]
        path.append((depth, f"[].{key}" if item else key))
        if comment := _COMMENT.search(rest or ""):
            said = comment[1].replace("[restart]", "").strip()
            found[".".join(name for _, name in path).replace(".[]", "[]")] = said
    return found


def provider_block(kind: str) -> str:
    """The block of a kind, uncommented, with its trailing comments; empty when the file has none."""
    for block in _blocks():
        if any(re.fullmatch(rf" *#?kind: {kind}\b.*", line) for line in block):
            return "providers:\n" + "\n".join(
                line.replace("#", "", 1) if re.match(r" *#\S", line) else line for line in block
            )
    return ""


def _blocks() -> Iterator[list[str]]:
    text = ANNOTATED.read_text(encoding="utf-8")
    section = text.partition("\nproviders:")[2].split("\n\n", 1)[0].splitlines()[1:]
    block: list[str] = []
    for line in section:
        if _PROVIDER.fullmatch(line) and block:
            yield block
            block = []
        if not re.match(r" *# ", line):
            block.append(line)
    yield block
