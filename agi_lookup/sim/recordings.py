"""Recorded conversations with vendors: what the tests replay and the simulator serves (format: providers/README.md)."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final, Literal
from urllib.parse import urlencode

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
    pending: bool = False
    method: str | None = None
    identity: dict[str, str | None] = {}
    liveness: dict[str, str] = {}
    cost: str | msgspec.UnsetType | None = msgspec.UNSET
    currency: str | msgspec.UnsetType | None = msgspec.UNSET
    balance_after: str | msgspec.UnsetType | None = msgspec.UNSET


class Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the account holds, or the stable word of the error."""

    amount: str = ""
    currency: str = ""
    error: str | None = None


class Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the vendor posts to a webhook: one of `json`, `form` and `text`.

    `signed` headers are made with a secret of the provider's: `{"x-signature": "hmac-sha256-hex:signature_key"}` is HMAC-SHA256
    over the body under the option `signature_key`; also `hmac-sha256-base64`.
    """

    headers: dict[str, str] = {}
    signed: dict[str, str] = {}
    json: Any = msgspec.UNSET
    form: dict[str, str] | None = None
    text: str | None = None

    @property
    def body(self) -> bytes:
        if self.json is not msgspec.UNSET:
            return msgspec.json.encode(self.json)
        return (urlencode(self.form) if self.form is not None else self.text or "").encode()


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One lookup of one `number` with what to `expect`, or of several `numbers`, each with its own expectation.

    Or a question for the account's `balance` (with its `exchange`); or a `notice` that a webhook gets, of `number` or `numbers`.
    A lookup whose vendor answers by webhook expects `{"pending": true}`.
    """

    about: str
    source: str
    exchange: list[Exchange] = []
    balance: Held | None = None
    notice: Posted | None = None
    number: str = ""
    expect: Expected = Expected()
    numbers: dict[str, Expected] = {}
    options: dict[str, Any] = {}

    @property
    def expected(self) -> dict[str, Expected]:
        return self.numbers or {self.number: self.expect}

    @property
    def is_lookup(self) -> bool:
        return self.balance is None and self.notice is None


def kinds() -> list[str]:
    """The provider kinds that have recordings."""
    return sorted(folder.name for folder in RECORDED.iterdir() if folder.is_dir())


def load(kind: str) -> dict[str, Recording]:
    """A kind's recordings by file name. Raises `msgspec.ValidationError` for one that is malformed."""
    found = sorted(
        (file for file in (RECORDED / kind).iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    return {file.name.removesuffix(".json"): msgspec.json.decode(file.read_bytes(), type=Recording) for file in found}
