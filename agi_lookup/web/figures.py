"""What the API answers about the server itself, as types; beside those of `shapes`, for the same purpose."""

from __future__ import annotations

from typing import Literal

import msgspec

from agi_lookup.domain.model import Facet
from agi_lookup.web.shapes import Cap, Shape


class CallCounts(Shape):
    total: int
    in_time: int
    by_status: dict[str, int]
    by_cache: dict[str, int]
    by_action: dict[str, int]


class Histogram(Shape):
    """`count[i]` of them took at most `le[i]` seconds."""

    le: list[float]
    count: list[int]
    total: int
    sum: float


class Alarm(Shape):
    code: str
    at: float
    detail: str


class Moment(Shape):
    """Counters since `started`, and what is so now."""

    now: float
    started: float
    ready: bool
    calls: CallCounts
    call_seconds: Histogram
    sessions: int
    lookups: int
    loop_lag_s: float
    would_block: int
    blocked: int
    refused: dict[str, int]
    sources: dict[str, dict[str, int]]
    bugs: int
    log_dropped: int


class Live(Moment, kw_only=True):
    version: str
    alarms: list[Alarm]
    history: list[Moment] | msgspec.UnsetType = msgspec.UNSET


class Day(Shape):
    day: str
    provider: str
    currency: str
    requests: int
    numbers: int
    charged: str
    unknown: int


class Spend(Shape):
    stopped: bool
    days: list[Day]
    caps: list[Cap]


class SourceHealth(Shape):
    state: Literal["ok", "paused", "shut"]
    why: str
    for_s: float | None
    last_error: str | None
    last_error_at: float | None
    waiting: int


class Connections(Shape):
    in_use: int
    limit: int


class Rate(Shape):
    per_minute: int
    next_in_s: float


class Latency(Shape):
    p50: float | None
    p95: float | None
    p99: float | None
    count: int


class Balance(Shape):
    amount: str
    currency: str
    low_balance: str | None
    at: float


class Provider(Shape):
    name: str
    kind: str
    currency: str | None
    facets: list[Facet]
    in_call: bool
    profiles: dict[str, int]
    health: SourceHealth
    connections: Connections
    rate: Rate | None
    requests: dict[str, int]
    latency_s: Latency
    spent_today: str | None
    caps: list[Cap]
    balance: Balance | None


class Providers(Shape):
    now: float
    providers: list[Provider]


class BlockRule(Shape):
    rule: str
    mode: Literal["shadow", "enforce", "returned"]
    would_block: int
    blocked: int
    probes: int
    scored: int
    false_blocks: float | None
    low: float
    high: float


class Rules(Shape):
    now: float
    rules: list[BlockRule]
    distrusted: list[str]
    false_block_budget: float


class Book(Shape):
    name: str
    rates: int
    vendors: int


class DeckVersion(Shape):
    version: str
    live: bool
    was_live: bool
    rows: int | None
    currencies: list[str] | None
    starts: list[str | None] | None
    error: str | None


class Vendor(Shape):
    vendor: str
    versions: list[DeckVersion]


class Decks(Shape):
    book: Book | None
    trunks: list[str]
    vendors: list[Vendor]
    gaps: list[str]
