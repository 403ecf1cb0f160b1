"""The last calls, in memory: for people who look at what happens now. Nothing is worked out before somebody looks.

A number is held to be masked when it is shown, and to be found when it is to be forgotten. What was dialled, who called, and what
the routes hold on to (a whole book of rates) are not kept.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Callable
from itertools import count, islice
from typing import Any, Final

import msgspec

from agi_lookup.call import CallRequest
from agi_lookup.domain.model import Decision, LookupOutcome, Number, Route, Status, Verdict, mask
from agi_lookup.report import Report, attempts_json, lookup_json
from agi_lookup.variables import render, safe

TAIL_DIGITS: Final = 7
"""Digits that give a number away, however it is written: with or without country code, behind a tech prefix."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """A call that was decided at `at` (Unix seconds), `seconds` after its connection was made. Made in 150 ns, a tuple in 500."""

    serial: int
    at: float
    seconds: float
    profile: str
    channel: str
    status: Status
    number: Number | None
    outcome: LookupOutcome
    verdict: Verdict
    error: str
    routes: tuple[Route, ...]

    @property
    def report(self) -> Report:
        decision = Decision(self.status, self.number, self.outcome, self.verdict, self.error, self.routes)
        return Report("", decision, (), self.at, self.seconds * 1000)


class RecentCalls:
    """`size` of them; 0: none is kept. Ids begin with a word of their own for each start of the server."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._calls: deque[Call] = deque(maxlen=size)
        self._serials = count(1)
        self._start = secrets.token_hex(2)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, request: CallRequest, decision: Decision, at: float, seconds: float) -> None:
        """Some 300 ns."""
        d = decision
        self._calls.append(
            Call(
                next(self._serials), at, seconds, request.profile, request.channel,
                d.status, d.number, d.outcome, d.verdict, d.error, d.routes,
            )
        )  # fmt: skip

    def newest(self, most: int) -> list[Call]:
        """The newest first."""
        return list(islice(reversed(self._calls), most))

    def find(self, id_: str, number_id: Callable[[str], str]) -> dict[str, Any] | None:
        """All that is known of one; None when it has left."""
        for call in self._calls:
            if self._id(call) == id_:
                return self._whole(call, number_id)
        return None

    def of(self, number: str, number_id: Callable[[str], str]) -> list[dict[str, Any]]:
        """Those to an E.164 number, the oldest first, each as a `line`."""
        return [self.line(call, number_id) for call in self._calls if call.number and call.number.e164 == number]

    def forget(self, number: str) -> int:
        """Erase the calls to an E.164 number; returns how many there were."""
        kept = [call for call in self._calls if call.number is None or call.number.e164 != number]
        gone = len(self._calls) - len(kept)
        if gone:
            self._calls = deque(kept, self.size)
        return gone

    def _id(self, call: Call) -> str:
        return f"{self._start}-{call.serial}"

    def _head(self, call: Call, number_id: Callable[[str], str]) -> dict[str, Any]:
        return {
            "id": self._id(call),
            "at": round(call.at, 3),
            "number_id": (number_id(call.number.e164) if call.number else None) or None,
            "profile": call.profile,
            "channel": safe(call.channel),
        }

    def line(self, call: Call, number_id: Callable[[str], str]) -> dict[str, Any]:
        """As `docs/api.md` says: 30 µs. `number_id` is `keyed.NumberIds`."""
        report = call.report
        words = dict(render(report.decision, prefix="", now=call.at, ms=int(report.ms)))
        return {
            **self._head(call, number_id),
            "number": _masked(call.number),
            "country": words["COUNTRY"] or None,
            "type": words["TYPE"],
            "status": words["STATUS"],
            "action": words["ACTION"],
            "rule": words["RULE"] or None,
            "source": words["SOURCE"] or None,
            "cache": words["CACHE"],
            "error": words["ERROR"] or None,
            "ms": round(report.ms, 2),
            "carrier": words["CARRIER"] or None,
            "mccmnc": words["MCCMNC"] or None,
            "routes": len(call.routes),
            "trunk": call.routes[0].trunk if call.routes else None,
        }

    def _whole(self, call: Call, number_id: Callable[[str], str]) -> dict[str, Any]:
        report = call.report
        number = call.number.e164 if call.number else ""
        shown: dict[str, Any] = hide({**lookup_json(report), "attempts": attempts_json(report)}, number)
        return {**self._head(call, number_id), **shown, "number": _masked(call.number)}


def _masked(number: Number | None) -> str | None:
    return mask(number.e164) if number and number.e164 else None


def hide(shown: Any, number: str) -> Any:
    """The same with the number masked in every text, as what is to be dialled holds it in one form or another."""
    tail = number[-TAIL_DIGITS:].removeprefix("+")
    if not tail:
        return shown
    if isinstance(shown, dict):
        return {key: hide(value, number) for key, value in shown.items()}
    if isinstance(shown, list):
        return [hide(value, number) for value in shown]
    if not isinstance(shown, str) or tail not in shown:
        return shown
    return re.sub(rf"\d*{tail}\d*", lambda found: mask(found[0]), shown)
