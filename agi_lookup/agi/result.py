"""How a call went, as the dialplan reports it: checked, normalised as its lookup was, handed on. Nothing here waits.

`NUMBER,UNIQUEID,TOKEN,trunk=NAME,dialstatus=WORD[,cause=N][,tech=SIP-CODE][,pdd_ms=N][,billsec=N][,profile=NAME]` of the script
`result`. An empty value says that it is not known; so does cause 0 (causes.h AST_CAUSE_NOTDEFINED).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from agi_lookup.agi.request import AgiRefused, Reader, authenticate, read_options, read_profile
from agi_lookup.agi.wire import Environment
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.emergency import is_emergency
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import CallResult
from agi_lookup.domain.number import normalise
from agi_lookup.variables import SAFE

DIALSTATUSES: Final = frozenset(
    {
        *("ANSWER", "BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL"),
        *("DONTCALL", "TORTURE", "INVALIDARGS"),
    }
)
"""Asterisk's app_dial.c."""
CAUSES: Final = range(128)
SIP_CODES: Final = range(100, 700)
PDD_MS: Final = range(3_600_000)
BILLSEC: Final = range(30 * 86_400)


class Results(Protocol):
    """Who learns from results. Told between two routes of a call, so it does no I/O and waits for nothing."""

    def report(self, result: CallResult, channel: str) -> None:
        """`channel` is the UNIQUEID that the call's lookup came with."""


class Counted:
    """Only counts, by DIALSTATUS."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def report(self, result: CallResult, channel: str) -> None:
        self.counts[result.dialstatus] += 1


class ResultStatus(StrEnum):
    """What `LOOKUP_RESULT_STATUS` says."""

    OK = "OK"
    BADNUMBER = "BADNUMBER"  # no E.164 number: nothing to be learnt
    EMERGENCY = "EMERGENCY"  # never recorded
    DEGRADED = "DEGRADED"  # our fault


@dataclass(frozen=True, slots=True)
class Report:
    """One report; `details` are all of a `CallResult` but its number."""

    dialled: str
    channel: str
    profile: str
    details: Mapping[str, Any]


def parse_result(environment: Environment, *, token: str, profiles: Collection[str]) -> Report:
    """Raises `AgiRefused`."""
    uniqueid = environment.values["agi_uniqueid"]
    dialled, channel, options = authenticate(environment.args, uniqueid=uniqueid, token=token)
    details = read_options(options, _OPTIONS, profiles)
    profile = details.pop("profile")
    if not details.keys() >= {"trunk", "dialstatus"}:
        raise AgiRefused("missing_option")
    return Report(dialled, channel, profile, details)


def record(report: Report, plan: DialPlan, results: Results) -> ResultStatus:
    """Tell `results`, unless it is none of its business. `plan` is that of the report's profile. Raises what `results` raises."""
    if is_emergency(report.dialled, plan):
        return ResultStatus.EMERGENCY
    try:
        number = normalise(report.dialled, plan)
    except NumberError:
        return ResultStatus.BADNUMBER
    if not number.e164:
        return ResultStatus.BADNUMBER
    results.report(CallResult(number.e164, **report.details), report.channel)
    return ResultStatus.OK


def _trunk(value: str) -> tuple[str, object]:
    if not value or not SAFE.fullmatch(value):
        raise AgiRefused("bad_trunk")
    return "trunk", value


def _dialstatus(value: str) -> tuple[str, object]:
    if value not in DIALSTATUSES:
        raise AgiRefused("bad_dialstatus")
    return "dialstatus", value


def _number(field: str, allowed: range, refusal: str) -> Reader:
    def read(value: str) -> tuple[str, object]:
        if not value:
            return field, None
        if not (value.isascii() and value.isdigit() and len(value) < 8 and int(value) in allowed):
            raise AgiRefused(refusal)
        return field, int(value)

    return read


def _cause(value: str) -> tuple[str, object]:
    field, cause = _number("cause", CAUSES, "bad_cause")(value)
    return field, cause or None


_OPTIONS: Final[Mapping[str, Reader]] = {
    "profile": read_profile,
    "trunk": _trunk,
    "dialstatus": _dialstatus,
    "cause": _cause,
    "tech": _number("sip_code", SIP_CODES, "bad_tech"),
    "pdd_ms": _number("pdd_ms", PDD_MS, "bad_pdd_ms"),
    "billsec": _number("billsec", BILLSEC, "bad_billsec"),
}
