"""Recorded conversations with vendors: what the tests replay and the simulator serves (format: providers/README.md)."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final, Literal

import msgspec

RECORDED: Final = files("agi_lookup.sim") / "recorded"


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the provider must send. Credentials stand as `<key>`, `key` being the option that holds them."""

    method: Literal["GET", "POST"]
    url: str
    query: dict[str, str] = {}
    form: dict[str, str] | None = None
    json: Any = None
    headers: dict[str, str] = {}


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the vendor answers: one of `json`, `text` or `chunks` (text in the pieces in which it came)."""

    status: int
    headers: dict[str, str] = {}
    json: Any = msgspec.UNSET
    text: str | None = None
    chunks: list[str] = []

    @property
    def pieces(self) -> list[bytes]:
        if self.json is not msgspec.UNSET:
            return [msgspec.json.encode(self.json)]
        return [piece.encode() for piece in (self.chunks if self.text is None else [self.text])]


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request: Request
    response: Response


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either the stable word of an error, or those facts of the answer that the recording is about."""

    error: str | None = None
    method: str | None = None
    identity: dict[str, str | None] = {}
    liveness: dict[str, str] = {}
    cost: str | msgspec.UnsetType | None = msgspec.UNSET
    currency: str | msgspec.UnsetType | None = msgspec.UNSET
    balance_after: str | msgspec.UnsetType | None = msgspec.UNSET


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One lookup of one `number` with what to `expect`, or of several `numbers`, each with its own expectation."""

    about: str
    source: str
    exchange: list[Exchange]
    number: str = ""
    expect: Expected = Expected()
    numbers: dict[str, Expected] = {}
    options: dict[str, Any] = {}

    @property
    def expected(self) -> dict[str, Expected]:
        return self.numbers or {self.number: self.expect}


def kinds() -> list[str]:
    """The provider kinds that have recordings."""
    return sorted(folder.name for folder in RECORDED.iterdir() if folder.is_dir())


def load(kind: str) -> dict[str, Recording]:
    """A kind's recordings by file name. Raises `msgspec.ValidationError` for one that is malformed."""
    found = sorted(
        (file for file in (RECORDED / kind).iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    return {file.name.removesuffix(".json"): msgspec.json.decode(file.read_bytes(), type=Recording) for file in found}
