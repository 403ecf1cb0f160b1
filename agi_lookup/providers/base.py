"""What a source of facts looks like: a pure generator that yields requests and returns answers.

A provider sees no socket, no clock and no other provider. The driver (`providers.http`) sends each yielded `HttpRequest` and
sends the `HttpReply` back in, whatever its status (or throws a `ProviderError` in, when there is no complete reply). So a provider
is tested by replaying recorded replies, and one contract hosts one-shot, batch, token-login and polling vendors. A provider holds
nothing across a `yield`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar, Final, Literal, Protocol, Self, TypeAlias, runtime_checkable
from urllib.parse import quote, urlsplit

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
    body: bytes | None = None  # instead of both, where the very bytes are signed; their type stands in `headers`
    headers: Mapping[str, str] = field(default_factory=dict)
    charged: bool = True  # False: a free call (balance), safe to repeat
    timeout_s: float | None = (
        None  # of this exchange alone: then `ProviderTimeout` is thrown in, and the lookup may go on
    )

    def __repr__(self) -> str:
        """Without the path: some vendors take the number there."""
        parts = urlsplit(self.url)
        return f"HttpRequest({self.method} {parts.scheme}://{parts.netloc})"


@dataclass(frozen=True, slots=True, repr=False)
class HttpReply:
    """A complete reply. `headers` has lower-case names; `body` is at most the driver's cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"HttpReply({self.status}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Pending:
    """The vendor has accepted the number and will say what it knows by webhook (`Notified.notice`), within `wait_s` or never.

    What it costs was fixed when it was accepted, whatever comes.
    """

    wait_s: float
    cost: Decimal | None = None
    currency: str | None = None


class Charged:
    """Of a `ProviderError` about a number that was charged for all the same. `cost` is the vendor's word, where it states one."""

    cost: Decimal | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Notice:
    """What came to a webhook, raw: a signature is over these bytes. `headers` has lower-case names."""

    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Notice({len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left on the account."""

    amount: Decimal
    currency: str


Step: TypeAlias = HttpRequest
Reply: TypeAlias = HttpReply
NumberResult: TypeAlias = LookupAnswer | ProviderError | Pending
"""A failed number in a good batch is a value, so that it cannot take the others with it."""
PlmnSplit: TypeAlias = Callable[[str], tuple[str, str] | None]
"""`"20801"` -> `("208", "01")` by the MCC/MNC table; None where the table cannot tell."""

Network: TypeAlias = IPv4Network | IPv6Network
ANYWHERE: Final[tuple[Network, ...]] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))

PLAN: Final = "plan"
"""What the numbering plan is called as a source; no provider may be."""
MIN_BODY_BYTES: Final = 64 * 1024
BODY_BYTES_PER_NUMBER: Final = 2 * 1024
"""A full Number Portability Lookup record is 0.7 KiB, an HLR Lookup one 1.3 KiB."""
Lookup: TypeAlias = Generator[Step, Reply, Mapping[str, NumberResult]]
BalanceLookup: TypeAlias = Generator[Step, Reply, Balance]


class SourceOptions(BaseModel):
    """What every provider block of the config may say, whatever its source speaks; a kind adds its own keys by inheritance."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: str
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="whole request, from DNS to last byte")
    max_concurrency: int = Field(default=4, ge=1, le=10_000, description="requests under way at once")
    max_batch: int = Field(default=1, ge=1, le=1000, description="numbers in one request")
    max_per_minute: int | None = Field(default=None, ge=1, le=1_000_000, description="requests in any minute")
    price: Decimal | None = Field(
        default=None, ge=0, description="of one number, for budgets; default: the most that it has charged so far"
    )
    low_balance: Decimal | None = Field(default=None, ge=0, description="raise an alarm when the account holds less")
    in_call: bool = Field(
        default=True, description="false: calls do not wait for it, it only fills the cache behind them"
    )


class ProviderOptions(SourceOptions):
    """Of a vendor that speaks HTTP."""

    base_url: str = Field(description="where its API is; the simulator or a proxy may stand in")
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


class WebhookOptions(ProviderOptions):
    """Of a vendor that reports by webhook, to `{public_url}/hooks/{name}/{webhook_secret}`."""

    public_url: str | None = Field(
        default=None, description="where the vendor reaches this server's webhooks, e.g. https://pbx.example.com"
    )
    webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, description="the unguessable part of that address, e.g. of `openssl rand -hex 16`"
    )
    webhook_allow: tuple[Network, ...] = Field(
        default=ANYWHERE, description="networks that webhooks come from; behind a reverse proxy, the proxy's"
    )
    wait_s: float = Field(default=30.0, gt=0, le=3600, description="how long a webhook is waited for")

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> Self:
        if (self.public_url is None) != (self.webhook_secret is None):
            raise ValueError("public_url and webhook_secret belong together: set both or none")
        if self.public_url is not None:
            check_base_url(self.public_url, allow_private=self.allow_private)
        return self

    def webhook_url(self, name: str) -> str | None:
        """Where the vendor is told to send notices of the provider `name`; holds a secret."""
        if self.public_url is None or self.webhook_secret is None:
            return None
        return f"{self.public_url.rstrip('/')}/hooks/{name}/{quote(self.webhook_secret.get_secret_value(), safe='')}"


class Provider(Protocol):
    """One configured vendor account, made by `Provider(name, options, split)` of the kind's module.

    `name` is the config block's name, `kind` the file's.

    `provides` says which facets an answer can ever carry. An answer carries all of them, empty where nothing was told: what is left
    out is not cached, and the next call would buy the same again. `lookup` gets 1 to `max_batch` numbers and returns one result for
    each, keyed by E.164 with `+`; it raises `ProviderError` when the whole request failed. `now` is Unix seconds.

    Budgets are kept in `currency`: "EUR", "USD" or "credits"; empty where nothing is ever paid.
    """

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...
    @property
    def provides(self) -> frozenset[Facet]: ...
    @property
    def currency(self) -> str: ...

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup: ...


@runtime_checkable
class Accountable(Protocol):
    """A provider whose vendor tells what is left on the account, for nothing."""

    def balance(self, now: float) -> BalanceLookup: ...


@runtime_checkable
class Notified(Protocol):
    """A provider whose vendor reports by webhook: `always`, or only of several numbers in one request.

    `notice` gives what a genuine notice says of each number. Raises `NoticeRefused` for any other.
    """

    always: bool

    def notice(self, notice: Notice, now: float) -> Mapping[str, LookupAnswer | ProviderError]: ...


__all__ = [
    "Accountable", "Balance", "BalanceLookup", "Charged", "HttpReply", "HttpRequest", "Lookup", "Network", "Notice", "Notified",
    "NumberResult", "Pending", "PlmnSplit", "Provider", "ProviderOptions", "Reply", "SecretStr", "SourceOptions", "Step",
    "WebhookOptions",
]  # fmt: skip
