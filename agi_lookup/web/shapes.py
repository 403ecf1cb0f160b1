"""What the API answers, as types: the document at `/api/v1/openapi.json` is made of them, and tests hold every answer against them.

Amounts are text with a decimal point; times are Unix seconds; None is not known. See `docs/api.md` for what the figures mean.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agi_lookup.domain.model import Action, CacheState, Facet, Method, NumberType, Reason, Status, Tri


class Shape(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pass


class Error(Shape):
    """`error` is a stable word."""

    error: str
    detail: str | msgspec.UnsetType = msgspec.UNSET


class Health(Shape):
    status: str


class Ready(Shape):
    ready: bool


class Identity(Shape):
    carrier: str | None
    mcc: str | None
    mnc: str | None
    mccmnc: str | None
    orig_carrier: str | None
    orig_mccmnc: str | None
    ported: Tri
    lrn: str | None
    ocn: str | None


class Liveness(Shape):
    reachable: Tri
    reason: Reason
    roaming: Tri


class Route(Shape):
    trunk: str
    dial: str
    rate: str
    currency: str
    why: str


class Lookup(Shape):
    """One lookup and what it leads to."""

    number: str | None
    status: Status
    country: str | None
    type: NumberType
    valid: Tri
    identity: Identity
    liveness: Liveness
    action: Action
    rule: str | None
    routes: list[Route]
    source: str | None
    cache: CacheState
    age_s: int | None
    cost: str | None
    currency: str | None
    costs: dict[str, str]
    error: str | None
    ms: float
    variables: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Step(Shape):
    step: str
    result: str
    ms: float


class Attempt(Shape):
    provider: str
    result: str
    ms: float
    cost: str | None
    currency: str | None


class RuleMatch(Shape):
    rule: str
    action: str
    matches: Tri


class Candidate(Shape):
    vendor: str
    trunk: str
    fate: str
    kind: str
    key: str
    cost: str | None


class Cached(Shape):
    """What the cache held of one facet, before the lookup."""

    facet: Facet
    state: CacheState
    age_s: int | None
    provider: str | None
    outcome: str | None
    memory: bool


class Cap(Shape):
    of: Literal["provider", "profile"]
    name: str
    currency: str
    seconds: int
    cap: str
    spent: str
    left: str


class Gate(Shape):
    """What holds one source back, before the lookup; `for_s` null: not over by itself."""

    provider: str
    in_call: bool
    state: Literal["ok", "paused", "shut"]
    why: str
    for_s: float | None
    network_for_s: float
    next_in_s: float
    in_use: int
    limit: int
    waiting: int
    refused: str | None
    caps: list[Cap]


class Explained(Lookup, kw_only=True):
    """A lookup with all that led to it."""

    steps: list[Step]
    attempts: list[Attempt]
    rules: list[RuleMatch]
    candidates: list[Candidate]
    cached: list[Cached]
    gates: list[Gate]


class Call(Shape):
    """A call of late."""

    id: str
    at: float
    number: str | None
    number_id: str | None
    profile: str
    channel: str
    country: str | None
    type: NumberType
    status: Status
    action: Action
    rule: str | None
    source: str | None
    cache: CacheState
    error: str | None
    ms: float
    carrier: str | None
    mccmnc: str | None
    routes: int
    trunk: str | None


class Calls(Shape):
    now: float
    calls: list[Call]


class ExplainedCall(Lookup, kw_only=True):
    """A call of late with what is known of how it was decided."""

    id: str
    at: float
    number_id: str | None
    profile: str
    channel: str
    attempts: list[Attempt]


class CacheEntry(Shape):
    """One facet of a number."""

    number: str
    facet: Facet
    outcome: str
    provider: str
    method: Method
    observed_at: float
    fresh_until: float
    stale_until: float
    body: dict[str, Any]


class CacheEntries(Shape):
    entries: list[CacheEntry]


Forgotten = dict[str, int]
"""How much was erased, by where."""


class Kept(Shape):
    """All that is kept of a number: `docs/privacy.md` says where each part lies, and how long."""

    number: str
    number_id: str
    cache: list[CacheEntry]
    learned: dict[str, Any]
    recent: list[Call]
    calls: list[dict[str, Any]]
    lookups: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    put_aside: list[str]


class Account(Shape):
    provider: str
    balance: str | None
    currency: str | None
    low_balance: str | None
    state: str


class Accounts(Shape):
    accounts: list[Account]
