"""What a source of facts looks like: a pure generator that yields requests and returns answers.

A provider sees no socket, no clock and no other provider. The driver (`providers.http`) sends each yielded `HttpRequest` and
sends the `HttpReply` back in, whatever its status (or throws a `ProviderError` in, when there is no complete reply). So a provider
is tested by replaying recorded replies, and one contract hosts one-shot, batch, token-login and polling vendors. A provider holds
nothing across a `yield`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, Protocol, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, model_validator

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import Facet, LookupAnswer, Number
from agi_lookup.providers.base_url import check_base_url


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """One request to the vendor. Credentials go into `form`, `json` or `headers`, never into the URL where that can be helped."""

    method: Literal["GET", "POST"]
    url: str
    query: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] | None = None
    json: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    charged: bool = True  # False: a free call (balance), safe to repeat

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.url})"


@dataclass(frozen=True, slots=True, repr=False)
class HttpReply:
    """A complete reply. `headers` has lower-case names; `body` is at most the driver's cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"HttpReply({self.status}, {len(self.body)} bytes)"


Step: TypeAlias = HttpRequest
Reply: TypeAlias = HttpReply
NumberResult: TypeAlias = LookupAnswer | ProviderError
"""A failed number in a good batch is a value, so that it cannot take the others with it."""
PlmnSplit: TypeAlias = Callable[[str], tuple[str, str] | None]
"""`"20801"` -> `("208", "01")` by the MCC/MNC table; None where the table cannot tell."""

MIN_BODY_BYTES: Final = 64 * 1024
BODY_BYTES_PER_NUMBER: Final = 2 * 1024
"""A full Number Portability Lookup record is 0.7 KiB, an HLR Lookup one 1.3 KiB."""
Lookup: TypeAlias = Generator[Step, Reply, Mapping[str, NumberResult]]


class ProviderOptions(BaseModel):
    """What every provider block of the config may say; a kind adds its own keys by inheritance."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: str
    base_url: str
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="whole request, from DNS to last byte")
    max_concurrency: int = Field(default=4, ge=1, le=10_000, description="requests under way at once")
    max_batch: int = Field(default=1, ge=1, le=1000, description="numbers in one request")
    allow_private: bool = Field(default=False, description="let base_url be plain http or a loopback/private address")
    ca_file: FilePath | None = Field(default=None, description="PEM file to trust instead of the system's certificates")

    @model_validator(mode="after")
    def _base_url_is_safe(self) -> Self:
        check_base_url(self.base_url, allow_private=self.allow_private)
        return self

    @property
    def max_body_bytes(self) -> int:
        """Of one reply; a longer one is refused. Follows the largest batch that may be asked for."""
        return max(MIN_BODY_BYTES, self.max_batch * BODY_BYTES_PER_NUMBER)


class Provider(Protocol):
    """One configured vendor account, made by `Provider(name, options, split)` of the kind's module.

    `name` is the config block's name, `kind` the file's.

    `provides` says which facets an answer can ever carry. `lookup` gets 1 to `max_batch` numbers and returns one result for each,
    keyed by E.164 with `+`; it raises `ProviderError` when the whole request failed. `now` is Unix seconds.
    """

    kind: ClassVar[str]
    name: str
    provides: frozenset[Facet]

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup: ...


__all__ = [
    "HttpReply", "HttpRequest", "Lookup", "NumberResult", "PlmnSplit", "Provider", "ProviderOptions", "Reply", "SecretStr", "Step",
]  # fmt: skip
