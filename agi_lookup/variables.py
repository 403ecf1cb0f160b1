"""The one table of channel variables: what a decision tells the dialplan.

Every row is sent on every outcome, `STATUS` last: it is the commit that the dialplan waits for. To add a variable, add a row;
the README's table is checked against this one. Texts from outside are transliterated to `[A-Za-z0-9 _.:+/@-]{0,128}`,
so that a value can be used in `Dial()` and can never end, split or extend the AGI line that carries it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from agi_lookup.domain.model import Decision, Identity, Liveness, Method, NumberType, Reason, Route, Tri, Verdict

MAX_VALUE_CHARS: Final = 128
SAFE: Final = re.compile(r"[A-Za-z0-9 _.:+/@-]{0,128}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9 _.:+/@-]+")

Pairs: TypeAlias = list[tuple[str, str]]


@lru_cache(maxsize=4096)
def safe(text: str) -> str:
    """Transliterate to the whitelist: `Télé & "Cie"` -> `Tele Cie`. Carrier names repeat, hence the cache."""
    if SAFE.fullmatch(text):
        return text.strip()
    folded = unicodedata.normalize("NFKD", text[: 4 * MAX_VALUE_CHARS])
    ascii_only = "".join(c for c in folded if not unicodedata.combining(c))
    return " ".join(_UNSAFE.sub(" ", ascii_only).split())[:MAX_VALUE_CHARS].strip()


@dataclass(frozen=True, slots=True)
class View:
    """A decision as the table reads it; absent parts are empty ones, so that a row needs no conditions."""

    decision: Decision
    identity: Identity
    liveness: Liveness
    now: float  # Unix seconds
    ms: int


_NO_IDENTITY: Final = Identity()
_NOT_ASKED: Final = Liveness()


def rule_word(verdict: Verdict) -> str:
    return f"shadow:{verdict.rule}" if verdict.shadow else verdict.rule


def _number(view: View) -> str:
    return view.decision.number.e164 if view.decision.number else ""


def _country(view: View) -> str:
    return view.identity.country or (view.decision.number and view.decision.number.country) or ""


def _type(view: View) -> str:
    if view.identity.type is not NumberType.UNKNOWN:
        return view.identity.type
    return view.decision.number.type if view.decision.number else NumberType.UNKNOWN


def _valid(view: View) -> str:
    """The subscriber's network where it spoke, else the numbering plan."""
    if view.liveness.valid is not Tri.UNKNOWN:
        return view.liveness.valid
    return view.decision.number.valid if view.decision.number else Tri.UNKNOWN


def _reason(view: View) -> str:
    return view.liveness.reason if view.decision.outcome.liveness else Reason.INCONCLUSIVE


def _source(view: View) -> str:
    """Who told of the network; where only the numbering plan did, who told whether the number is reached."""
    identity, liveness = view.decision.outcome.identity, view.decision.outcome.liveness
    if liveness is not None and (identity is None or identity.method is Method.PLAN):
        return liveness.provider
    return identity.provider if identity else ""


def _age(view: View) -> str:
    identity = view.decision.outcome.identity
    return str(identity.age_s(view.now)) if identity else ""


def _mccmnc(mcc: str | None, mnc: str | None) -> str:
    return f"{mcc}{mnc}" if mcc and mnc else ""


@dataclass(frozen=True, slots=True)
class Variable:
    name: str  # without the prefix
    values: str  # for the README
    read: Callable[[View], str]
    prefixed: bool = True  # takes the configurable prefix `LOOKUP_`


@dataclass(frozen=True, slots=True)
class RouteVariable:
    """`LCR_n_NAME` of the n-th route."""

    name: str
    values: str  # for the README
    read: Callable[[Route], str]


VARIABLES: Final = (
    Variable("ACTION", "`allow` or `block`", lambda v: v.decision.verdict.action),
    Variable(
        "CAUSE", "Q.850 cause to hang up with when blocked, else empty", lambda v: str(v.decision.verdict.cause or "")
    ),
    Variable(
        "RULE",
        "the rule that decided, else empty; `shadow:` before it when it only would have blocked",
        lambda v: rule_word(v.decision.verdict),
    ),
    Variable("NUMBER", "E.164 with `+`, empty when there is none", _number),
    Variable("COUNTRY", "ISO 3166-1 alpha-2", _country),
    Variable("TYPE", " ".join(f"`{t}`" for t in NumberType), _type),
    Variable("VALID", "`yes` `no` `unknown`", _valid),
    Variable("PORTED", "`yes` `no` `unknown`", lambda v: v.identity.ported),
    Variable("REACHABLE", "`yes` `no` `unknown`", lambda v: v.liveness.reachable),
    Variable("ROAMING", "`yes` `no` `unknown`", lambda v: v.liveness.roaming),
    Variable("REASON", "why it is or is not reachable: " + " ".join(f"`{r}`" for r in Reason), _reason),
    Variable("CARRIER", "the current network's name", lambda v: v.identity.carrier or ""),
    Variable("MCC", "the current network's country code, 3 digits", lambda v: v.identity.mcc or ""),
    Variable("MNC", "the current network's code, 2 or 3 digits, zeros kept", lambda v: v.identity.mnc or ""),
    Variable("MCCMNC", "both joined", lambda v: _mccmnc(v.identity.mcc, v.identity.mnc)),
    Variable("ORIG_CARRIER", "the network that issued the number", lambda v: v.identity.orig_carrier or ""),
    Variable("ORIG_MCCMNC", "its MCC and MNC", lambda v: _mccmnc(v.identity.orig_mcc, v.identity.orig_mnc)),
    Variable("LRN", "NANP location routing number", lambda v: v.identity.lrn or ""),
    Variable("OCN", "NANP operating company number", lambda v: v.identity.ocn or ""),
    Variable("SOURCE", "provider name; `plan` where nobody but the offline numbering plan told anything", _source),
    Variable("CACHE", "`miss` `fresh` `stale`", lambda v: v.decision.outcome.cache),
    Variable("AGE", "seconds since the identity was observed", _age),
    Variable(
        "ERROR", "stable word of the last error, else empty", lambda v: v.decision.error or v.decision.outcome.error
    ),
    Variable("MS", "milliseconds spent", lambda v: str(v.ms)),
    Variable(
        "LCR_COUNT", "number of routes: `LCR_1_TRUNK` and so on", lambda v: str(len(v.decision.routes)), prefixed=False
    ),
    Variable(
        "STATUS",
        "`OK` all wanted facts known, `PARTIAL` some unknown, `TIMEOUT`, `DEGRADED` (our fault or overload), `EMERGENCY`, "
        "`BADNUMBER`. Always set last: the commit",
        lambda v: v.decision.status,
    ),
)


ROUTE_VARIABLES: Final = (
    RouteVariable("TRUNK", "route n: the trunk's name", lambda route: route.trunk),
    RouteVariable("DIAL", "what to put into `Dial()`", lambda route: route.dial),
    RouteVariable("RATE", "expected cost a minute, connect fee and increments included", lambda route: str(route.rate)),
    RouteVariable("CURRENCY", "of the rate", lambda route: route.currency),
    RouteVariable("WHY", "which rate it was, and why it stands where it does", lambda route: route.why),
)
"""Of each route, before the status. Slots that are not used are not sent."""


def full_name(variable: Variable, prefix: str) -> str:
    return prefix + variable.name if variable.prefixed else variable.name


@lru_cache(maxsize=16)
def _columns(prefix: str) -> tuple[tuple[str, Callable[[View], str]], ...]:
    return tuple((full_name(variable, prefix), variable.read) for variable in VARIABLES)


def render(decision: Decision, *, prefix: str, now: float, ms: int) -> Pairs:
    """All variables of the table with safe values, `STATUS` last."""
    outcome = decision.outcome
    view = View(
        decision,
        outcome.identity.value if outcome.identity else _NO_IDENTITY,
        outcome.liveness.value if outcome.liveness else _NOT_ASKED,
        now,
        ms,
    )
    pairs = [(name, safe(read(view))) for name, read in _columns(prefix)]
    if decision.routes:
        pairs[-1:-1] = _of_routes(decision.routes)
    return pairs


def _of_routes(routes: Sequence[Route]) -> Pairs:
    return [
        (f"LCR_{n}_{variable.name}", safe(variable.read(route)))
        for n, route in enumerate(routes, 1)
        for variable in ROUTE_VARIABLES
    ]
