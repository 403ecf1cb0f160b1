"""What a source of facts looks like: a pure generator that yields requests and returns answers.

A provider sees no socket, no clock and no other provider. The driver (`providers.http`) sends each yielded `HttpRequest` and sends
the `HttpReply` back in (or throws a `ProviderError` in, when there is none). So a provider is tested by replaying recorded replies, and
one contract hosts one-shot, batch, token-login and polling vendors. A provider holds nothing across a `yield`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import Facet, LookupAnswer, Number


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
Lookup: TypeAlias = Generator[Step, Reply, Mapping[str, NumberResult]]


class ProviderOptions(BaseModel):
    """What every provider block of the config may say; a kind adds its own keys by inheritance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    base_url: str
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="whole request, from DNS to last byte")
    max_concurrency: int = Field(default=4, ge=1, le=1000, description="requests under way at once")
    max_batch: int = Field(default=1, ge=1, le=1000, description="numbers in one request")
    allow_private: bool = Field(default=False, description="let base_url be plain http or a loopback/private address")


class Provider(Protocol):
    """One configured vendor account. `name` is the config block's name, `kind` the file's.

    `provides` says which facets an answer can ever carry. `lookup` gets 1 to `max_batch` numbers and returns one result for each,
    keyed by E.164 with `+`; it raises `ProviderError` when the whole request failed. `now` is Unix seconds.
    """

    kind: ClassVar[str]
    name: str
    provides: frozenset[Facet]

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup: ...


__all__ = [
    "HttpReply", "HttpRequest", "Lookup", "NumberResult", "Provider", "ProviderOptions", "Reply", "SecretStr", "Step",
]  # fmt: skip
