"""What a check says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

State: TypeAlias = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was found, and the `fix` where one is needed. Neither holds a secret."""

    name: str
    status: State
    what: str
    fix: str = ""


Findings: TypeAlias = Iterable[Finding]

SHORTENED: Final = 300


def ok(name: str, what: str) -> Finding:
    return Finding(name, "ok", what)


def warn(name: str, what: str, fix: str) -> Finding:
    return Finding(name, "warn", what, fix)


def fail(name: str, what: str, fix: str) -> Finding:
    return Finding(name, "fail", what, fix)


def skipped(name: str, what: str) -> Finding:
    return Finding(name, "skipped", what)


def printable(text: str) -> str:
    """Of what others said, one line that a terminal shows as it is."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= SHORTENED else f"{shown[:SHORTENED]}..."
