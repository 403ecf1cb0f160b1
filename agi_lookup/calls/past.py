"""Past calls, made ready to be decided once more: by the log, or by Asterisk's call detail records. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from agi_lookup.calls.cdr import Cdr
from agi_lookup.calls.records import MASK, LoggedCall, LoggedResult, Told
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.emergency import is_emergency
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Identity, Liveness, Number, NumberClass, Sourced, Status, Verdict, mask
from agi_lookup.domain.number import normalise

EMERGENCY: Final = "emergency"
NO_NUMBER: Final = "no_number"
"""What was dialled is none, or the log was told to keep none."""


class Decided(NamedTuple):
    """What the call was told: `route` is the first; None: it had none."""

    verdict: Verdict
    route: Told | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """`place` names it: a line of the file, or the id in the log. `number` may be leading digits only (`is_cut`).

    `billsec`: how long it was talked, 0 for not at all, None for unknown. `as_logged` is None for a call that no log tells of.
    """

    place: int
    at: float  # Unix seconds
    channel: str
    number: Number
    profile: str = "default"
    caller: str = ""
    dialled: str = ""
    is_cut: bool = False
    identity: Sourced[Identity] | None = None
    liveness: Sourced[Liveness] | None = None
    results: tuple[LoggedResult, ...] = ()
    billsec: int | None = None
    as_logged: Decided | None = None

    def __repr__(self) -> str:
        return f"PastCall({self.place}, {mask(self.number.e164)})"


class Skipped(NamedTuple):
    """A call that nothing is decided about, and why in a stable word."""

    place: int
    why: str


Past: TypeAlias = PastCall | Skipped
Known: TypeAlias = Callable[[str, float], Sourced[Identity] | None]
"""The network of an E.164 number, as far as it is known without asking anybody; the time is the call's."""


def logged(call: LoggedCall) -> Past:
    record = call.record
    if record.status is Status.EMERGENCY:
        return Skipped(call.id, EMERGENCY)
    if not record.number and record.kind is NumberClass.E164:
        return Skipped(call.id, NO_NUMBER)
    return PastCall(
        place=call.id,
        at=record.at,
        channel=record.channel,
        number=Number(record.number.removesuffix(MASK), record.country, record.type, record.valid, kind=record.kind),
        profile=record.profile,
        caller=record.caller,
        is_cut=record.number.endswith(MASK),
        identity=record.identity,
        liveness=record.liveness,
        results=call.results,
        billsec=talked_s(call.results),
        as_logged=Decided(record.verdict, record.routes[0] if record.routes else None),
    )


def talked_s(results: Iterable[LoggedResult]) -> int | None:
    """None where nothing is known of it."""
    known = [result.billsec if result.dialstatus == "ANSWER" else 0 for result in results]
    return None if not known or None in known else max(filter(None, known), default=0)


def recorded(cdrs: Iterable[Cdr], plans: Mapping[str, DialPlan], known: Known) -> Iterator[Past]:
    """Calls of CDRs, by the dial plans of their profiles, which must be there."""
    for cdr in cdrs:
        plan = plans[cdr.profile]
        if is_emergency(cdr.dialled, plan):
            yield Skipped(cdr.line, EMERGENCY)
            continue
        try:
            number = normalise(cdr.dialled, plan)
        except NumberError:
            yield Skipped(cdr.line, NO_NUMBER)
            continue
        yield PastCall(
            place=cdr.line,
            at=cdr.at,
            channel=cdr.channel,
            number=number,
            profile=cdr.profile,
            caller=cdr.caller,
            dialled=cdr.dialled,
            identity=known(number.e164, cdr.at) if number.e164 else None,
            billsec=cdr.billsec,
        )
