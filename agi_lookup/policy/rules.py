"""May this call go on? Rules are asked in order, the first that has a word decides; nobody's word means allow.

Blocking a live customer is worse than dialling a dead number, so a block needs evidence of a special kind: what the subscriber's
own network said (`Method.HLR`), fresh, about this very number, in so many words. Absent, stale, partial or contradicted evidence
never blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from agi_lookup.domain.model import (
    ALLOW,
    Action,
    Liveness,
    LookupOutcome,
    Method,
    Number,
    NumberType,
    Reason,
    Sourced,
    Tri,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at."""

    number: Number
    outcome: LookupOutcome


Rule: TypeAlias = Callable[[Facts], Verdict | None]


class Mode(StrEnum):
    """A new block rule starts in `shadow`: what it would have blocked is counted, and the call goes on."""

    OFF = "off"
    SHADOW = "shadow"
    ENFORCE = "enforce"


class DeadNumbers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Mode.SHADOW
    reasons: frozenset[Reason] = frozenset({Reason.UNKNOWN_SUBSCRIBER, Reason.INVALID_NUMBER})
    cause: int = Field(default=1, ge=1, le=127, description="Q.850; 1 is unallocated number")


class PolicyOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[Annotated[str, Field(pattern=r"^\+[0-9]{1,15}$")], ...] = Field(
        default=(), description="E.164 numbers or prefixes that are never blocked"
    )
    dead_numbers: DeadNumbers = DeadNumbers()


def evaluate(rules: tuple[Rule, ...], facts: Facts) -> Verdict:
    for rule in rules:
        verdict = rule(facts)
        if verdict is not None:
            return verdict
    return ALLOW


def build(options: PolicyOptions) -> tuple[Rule, ...]:
    """The rules of a config, allow-list first: it wins over whatever follows."""
    return (allow_list(options.allow), dead_number(options.dead_numbers))


def allow_list(prefixes: tuple[str, ...]) -> Rule:
    def rule(facts: Facts) -> Verdict | None:
        listed = bool(facts.number.e164) and facts.number.e164.startswith(prefixes)
        return Verdict(rule="allow_list") if listed else None

    return rule


ASKABLE: Final = frozenset({NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE})
"""Only these have a record in a home location register; of a fixed line a "no such subscriber" proves nothing."""


def dead_number(options: DeadNumbers) -> Rule:
    def rule(facts: Facts) -> Verdict | None:
        if options.mode is Mode.OFF or facts.number.type not in ASKABLE:
            return None
        if not is_dead(facts.outcome.liveness, options.reasons):
            return None
        if options.mode is Mode.SHADOW:
            return Verdict(rule="dead_number", shadow=True)
        return Verdict(Action.BLOCK, options.cause, "dead_number")

    return rule


def is_dead(liveness: Sourced[Liveness] | None, reasons: frozenset[Reason]) -> bool:
    """Did the subscriber's own network say, just now and without contradiction, that there is no such subscriber?

    `valid` must be a plain no: GSM error 5 (unidentified subscriber) is passing, though its reason reads alike.
    """
    if liveness is None or liveness.stale or liveness.method is not Method.HLR:
        return False
    said = liveness.value
    return said.reachable is Tri.NO and said.valid is Tri.NO and said.reason in reasons
