"""What a lookup brought, for a row: the cells of the output, and whether the row is done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderBusy,
    ProviderFailedNumber,
    ProviderNotBooked,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderOverBudget,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderShut,
    ProviderTimeout,
    ProviderUnavailable,
)
from agi_lookup.domain.model import CacheState, Method, Status

Shown: TypeAlias = Mapping[str, Any]
"""`report.lookup_json`, from here or from the server."""

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "number": ("number",),
    "status": ("status",),
    "country": ("country",),
    "type": ("type",),
    "valid": ("valid",),
    "carrier": ("identity", "carrier"),
    "mcc": ("identity", "mcc"),
    "mnc": ("identity", "mnc"),
    "mccmnc": ("identity", "mccmnc"),
    "ported": ("identity", "ported"),
    "reachable": ("liveness", "reachable"),
    "reason": ("liveness", "reason"),
    "source": ("source",),
    "cache": ("cache",),
    "age_s": ("age_s",),
    "cost": ("cost",),
    "currency": ("currency",),
    "error": ("error",),
}
"""Columns of the output, and where each stands in `lookup --json`."""
FREE_TEXT: Final = frozenset({"carrier"})
"""Words of a vendor's own choice."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""With these, spreadsheets run a cell (https://owasp.org/www-community/attacks/CSV_Injection)."""

NO_SERVER: Final = "no_server"
"""It is gone; what it was asked it may have asked a source, and paid."""
OVERLOAD: Final = "overload"
ABOUT_THE_NUMBER: Final = frozenset({"", ProviderNotCovered.code, ProviderRejected.code, ProviderFailedNumber.code})
"""Asking again would bring the same, and perhaps cost the same."""
NOT_SENT: Final = frozenset(
    {
        ProviderBusy.code,
        ProviderNotBooked.code,
        ProviderOverBudget.code,
        ProviderRateLimited.code,
        ProviderShut.code,
        ProviderUnavailable.code,
        OVERLOAD,
        NO_SERVER,
    }
)
"""Nobody was asked, or what was told is cached; and soon somebody may be."""
HOPELESS: Final = frozenset({ProviderAuthError.code, ProviderOutOfCredit.code, ProviderOverBudget.code})
"""It will be the same for every other number."""
UNKNOWN_S: Final[Mapping[str, float]] = {
    error.code: error.remember_s for error in (ProviderTimeout, ProviderOutcomeUnknown, ProviderProtocolError)
}
"""It may have been charged: not to be asked again so soon."""


class Verdict(StrEnum):
    DONE = "done"
    OPEN = "open"  # another run may bring more
    AGAIN = "again"  # so may this one, in a moment


def word(shown: Shown) -> str:
    """Of the last error, else empty."""
    return shown.get("error") or ""


def verdict(shown: Shown, *, fresh: bool) -> Verdict:
    """What a row still lacks by a source's fault or ours makes it open. What was told before is cached, and costs nothing again:
    but `fresh` lookups pass by the cache, so they are done with whatever a source has told.
    """
    if not _failed(shown) or (fresh and _told(shown)):
        return Verdict.DONE
    if fresh and word(shown) == NO_SERVER:
        return Verdict.OPEN
    return Verdict.AGAIN if word(shown) in NOT_SENT else Verdict.OPEN


def _failed(shown: Shown) -> bool:
    if shown["status"] in (Status.TIMEOUT.value, Status.DEGRADED.value):
        return True
    lacking = shown["status"] == Status.PARTIAL.value or shown.get("cache") == CacheState.STALE.value
    return lacking and word(shown) not in ABOUT_THE_NUMBER


def _told(shown: Shown) -> bool:
    """Did a source say something just now, that may have cost money?"""
    from_plan = shown.get("source") in (None, Method.PLAN.value)
    return bool(shown.get("costs")) or (shown.get("cache") == CacheState.MISS.value and not from_plan)


def add_cost(shown: Shown, sums: dict[str, Decimal]) -> None:
    """To the sum of each currency."""
    for currency, cost in shown.get("costs", {}).items():
        sums[currency] = sums.get(currency, Decimal(0)) + Decimal(cost)


def with_cost(shown: Shown, sums: Mapping[str, Decimal]) -> Shown:
    """What all tries for a row have cost; several currencies are never added up, but written beside each other."""
    if not sums:
        return shown
    return {**shown, "cost": " + ".join(map(str, sums.values())), "currency": " + ".join(sums)}


def cells(shown: Shown) -> list[str]:
    """In the order of `FIELDS`."""
    return [_cell(name, _found(shown, path)) for name, path in FIELDS.items()]


def _found(shown: Shown, path: tuple[str, ...]) -> object:
    for key in path[:-1]:
        shown = shown.get(key) or {}
    return shown.get(path[-1])


def _cell(name: str, value: object) -> str:
    text = "" if value is None else str(value)
    if name not in FREE_TEXT:
        return text
    text = text.encode("utf-8", "replace").decode()  # JSON can hold halves of characters
    return f"'{text}" if text.startswith(FORMULA) else text
