"""What is kept of a call: what it was told, on what grounds, and how it went. Pure; times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from agi_lookup.call import CallRequest
from agi_lookup.domain.model import (
    CallResult,
    Decision,
    Identity,
    Liveness,
    LookupAnswer,
    Number,
    NumberClass,
    NumberType,
    Sourced,
    Status,
    Tri,
    Verdict,
    mask,
)

MASK: Final = "****"
"""Stands for the last digits of a number."""
MAX_WORD_CHARS: Final = 256
_NO_IDENTITY: Final = Identity()
_NO_LIVENESS: Final = Liveness()


class Told(NamedTuple):
    """A route as the call was told it: `rate` is what a minute was expected to cost."""

    trunk: str
    rate: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """A call that was decided. As read from the log, `number` may end in `MASK` or be empty, and `caller` may be empty."""

    at: float
    channel: str
    profile: str
    caller: str = ""
    number: str = ""  # E.164 with `+`; empty for short codes, extensions and what is no number
    country: str | None = None
    type: NumberType = NumberType.UNKNOWN
    kind: NumberClass = NumberClass.E164
    valid: Tri = Tri.UNKNOWN
    identity: Sourced[Identity] | None = None
    liveness: Sourced[Liveness] | None = None
    status: Status
    verdict: Verdict
    routes: tuple[Told, ...] = ()
    book: str = ""  # which rates were live: the book's file name

    def __repr__(self) -> str:
        return f"CallRecord({mask(self.number)}, {self.status}, {self.verdict.action})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupRecord:
    """One source asked about one number, for a call or behind one: what came of it, and when, Unix seconds.

    As read from the log, `number` is the keyed hash, in hex.
    """

    at: float
    number: str
    provider: str
    result: str  # "answer", or the error's stable word
    ms: int
    in_time: bool  # did somebody still wait?
    cost: Decimal | None = None  # as the answer states it
    currency: str | None = None
    country: str | None = None
    type: NumberType = NumberType.UNKNOWN
    has_network: bool = False  # does it name the current network?
    network: str = ""  # its MCC and MNC, as far as stated
    reachable: Tri = Tri.UNKNOWN
    valid: Tri = Tri.UNKNOWN

    def __repr__(self) -> str:
        return f"LookupRecord({mask(self.number)}, {self.provider}, {self.result})"


class LoggedResult(NamedTuple):
    """How the call went over one trunk; as in `CallResult`."""

    at: float
    trunk: str
    dialstatus: str
    cause: int | None = None
    sip_code: int | None = None
    pdd_ms: int | None = None
    billsec: int | None = None

    def of(self, number: str) -> CallResult:
        return CallResult(number, *self[1:])


class LoggedCall(NamedTuple):
    """`id` orders calls as they were written."""

    id: int
    record: CallRecord
    results: tuple[LoggedResult, ...] = ()


def record_of(request: CallRequest, decision: Decision, now: float, book: str = "") -> CallRecord:
    """What is to be kept of a call that was decided at `now`. Of a call for help it holds no number."""
    number, outcome = decision.number, decision.outcome
    return CallRecord(
        at=now,
        channel=request.channel[:MAX_WORD_CHARS],
        profile=request.profile,
        caller=request.caller[:MAX_WORD_CHARS],
        number=number.e164 if number else "",
        country=number.country if number else None,
        type=number.type if number else NumberType.UNKNOWN,
        kind=number.kind if number else NumberClass.E164,
        valid=number.valid if number else Tri.UNKNOWN,
        identity=outcome.identity,
        liveness=outcome.liveness,
        status=decision.status,
        verdict=decision.verdict,
        routes=tuple(Told(route.trunk, route.rate, route.currency) for route in decision.routes),
        book=book,
    )


def lookup_of(
    number: Number, source: str, result: str, seconds: float, in_time: bool, answer: LookupAnswer | None, *, now: float
) -> LookupRecord:
    """What is to be kept of a source that was asked and was done with it at `now`."""
    identity = (answer and answer.identity) or _NO_IDENTITY
    liveness = (answer and answer.liveness) or _NO_LIVENESS
    return LookupRecord(
        at=now,
        number=number.e164,
        provider=source,
        result=result,
        ms=round(seconds * 1000),
        in_time=in_time,
        cost=answer.cost if answer else None,
        currency=answer.currency if answer else None,
        country=number.country,
        type=number.type,
        has_network=bool(identity.carrier or identity.mcc or identity.lrn or identity.ocn),
        network=f"{identity.mcc}{identity.mnc}" if identity.mcc and identity.mnc else "",
        reachable=liveness.reachable,
        valid=liveness.valid,
    )
