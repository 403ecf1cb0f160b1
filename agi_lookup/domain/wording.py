"""Counts in words."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """`1 rate`, `2 rates`; `many` where it is not `one` with an s."""
    return f"{count} {one}" if count == 1 else f"{count} {many or f'{one}s'}"
