"""Rows of the call log: how a call is written down, and read back with nothing believed that does not fit. Pure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from agi_lookup.calls.options import NumbersKept
from agi_lookup.calls.records import MASK, CallRecord, LoggedCall, LoggedResult, LookupRecord, Told
from agi_lookup.domain.model import Action, Identity, Liveness, NumberClass, NumberType, Sourced, Status, Tri, Verdict

Hash: TypeAlias = Callable[[str], bytes]
Row: TypeAlias = tuple[Any, ...]

_DEFAULTS: Final = {**msgspec.to_builtins(Identity()), **msgspec.to_builtins(Liveness())}


class _Call(NamedTuple):
    """Of the table `call`, in the order of its columns but for the hashes."""

    id: int
    at: float
    channel: str
    profile: str
    caller: str
    number: str
    country: str | None
    type: NumberType
    kind: NumberClass
    valid: Tri
    identity: str
    liveness: str
    status: Status
    action: Action
    cause: int | None
    rule: str
    shadow: int
    routes: str
    book: str


class _Lookup(NamedTuple):
    """Of the table `lookup`, in the order of its columns."""

    id: int
    at: float
    provider: str
    result: str
    ms: int
    in_time: int
    cost: Decimal | None
    currency: str | None
    country: str | None
    type: NumberType
    has_network: int
    network: str
    reachable: Tri
    valid: Tri
    number_hash: bytes


COLUMNS: Final = ", ".join(_Call._fields)
LOOKUP_COLUMNS: Final = ", ".join(_Lookup._fields)
RESULT_COLUMNS: Final = "at, trunk, dialstatus, cause, sip_code, pdd_ms, billsec"


def kept(number: str, how: NumbersKept) -> str:
    """`+447400123456` -> `+44740012****`, as the options say."""
    if how is NumbersKept.FULL or not number:
        return number
    return number[: -len(MASK)] + MASK if how is NumbersKept.MASKED else ""


def call_row(record: CallRecord, how: NumbersKept, hashed: Hash) -> Row:
    """`COLUMNS` without the id, then the hashes of number and caller."""
    verdict = record.verdict
    row = _Call(
        id=0,
        at=record.at,
        channel=_text(record.channel),
        profile=record.profile,
        caller=_text(record.caller) if how is NumbersKept.FULL else "",
        number=kept(record.number, how),
        country=record.country,
        type=record.type,
        kind=record.kind,
        valid=record.valid,
        identity=_packed(record.identity),
        liveness=_packed(record.liveness),
        status=record.status,
        action=verdict.action,
        cause=verdict.cause,
        rule=verdict.rule,
        shadow=verdict.shadow,
        routes=msgspec.json.encode(record.routes).decode() if record.routes else "",
        book=record.book,
    )
    return (
        *row[1:],
        hashed(record.number) if record.number else None,
        hashed(record.caller) if record.caller else None,
    )


def call_of(row: Row) -> CallRecord:
    """Of a row of `COLUMNS`. Raises `ValueError`."""
    found = msgspec.convert(row, _Call)
    return CallRecord(
        at=found.at,
        channel=found.channel,
        profile=found.profile,
        caller=found.caller,
        number=found.number,
        country=found.country,
        type=found.type,
        kind=found.kind,
        valid=found.valid,
        identity=msgspec.json.decode(found.identity, type=Sourced[Identity]) if found.identity else None,
        liveness=msgspec.json.decode(found.liveness, type=Sourced[Liveness]) if found.liveness else None,
        status=found.status,
        verdict=Verdict(found.action, found.cause, found.rule, bool(found.shadow)),
        routes=msgspec.json.decode(found.routes, type=tuple[Told, ...]) if found.routes else (),
        book=found.book,
    )


def logged(row: Row, results: list[Row]) -> LoggedCall:
    """Results as rows of `RESULT_COLUMNS`. Raises `ValueError`."""
    return LoggedCall(row[0], call_of(row), tuple(msgspec.convert(result, LoggedResult) for result in results))


def lookup_row(record: LookupRecord, hashed: Hash) -> Row:
    """`LOOKUP_COLUMNS` without the id. A price that is no number stays out."""
    r = record
    cost = None if r.cost is None or not r.cost.is_finite() else str(r.cost)
    return (
        r.at, r.provider, r.result, r.ms, r.in_time, cost, r.currency and _text(r.currency), r.country, r.type, r.has_network,
        _text(r.network), r.reachable, r.valid, hashed(r.number),
    )  # fmt: skip


def lookup_of(row: Row) -> LookupRecord:
    """Of a row of `LOOKUP_COLUMNS`. Raises `ValueError`."""
    found = msgspec.convert(row, _Lookup)
    return LookupRecord(
        at=found.at,
        number=found.number_hash.hex(),
        provider=found.provider,
        result=found.result,
        ms=found.ms,
        in_time=bool(found.in_time),
        cost=found.cost,
        currency=found.currency,
        country=found.country,
        type=found.type,
        has_network=bool(found.has_network),
        network=found.network,
        reachable=found.reachable,
        valid=found.valid,
    )


def _packed(sourced: Sourced[Identity] | Sourced[Liveness] | None) -> str:
    """As JSON, without what is not known: 150 bytes."""
    if sourced is None:
        return ""
    said = msgspec.to_builtins(sourced)
    said["value"] = {name: value for name, value in said["value"].items() if value != _DEFAULTS[name]}
    return msgspec.json.encode(said).decode()


def _text(said: str) -> str:
    """SQLite takes no bytes that are no UTF-8, and a caller may have sent some."""
    return said.encode("utf-8", "backslashreplace").decode()
