"""What may be held against a number. Blocking a live customer is worse than dialling a dead number, so hardly anything.

Only one thing a source says is evidence of a dead number: the subscriber's own network (`Method.HLR`) said of a mobile number,
fresh, in so many words and contradicted by nobody, that there is no such subscriber. Whatever rules an operator writes, they see
nothing else of liveness when they block (`admissible`). Absent, stale, partial or contradicted evidence never blocks.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Final

from agi_lookup.domain.model import Liveness, LookupOutcome, Method, NumberType, Reason, Sourced, Tri
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.history import NOTHING_HEARD

DEFINITIVE: Final = frozenset({Reason.UNKNOWN_SUBSCRIBER, Reason.INVALID_NUMBER})
"""All other reasons are those of a phone that is off, abroad or barred for short messages, or of nobody knowing."""
VENDORS: Final = 2
"""That must have said "no such number", each for itself: one may be wrong about its routes, or lie."""
TRIES: Final = 3
KINDS: Final = 3


def is_dead(liveness: Sourced[Liveness] | None, reasons: Set[Reason] = DEFINITIVE) -> bool:
    """Did the subscriber's own network say, just now, that there is no such subscriber?

    `valid` must be a plain no: GSM error 5 (unidentified subscriber) is passing, though its reason reads alike.
    """
    if liveness is None or liveness.stale or liveness.method is not Method.HLR:
        return False
    said = liveness.value
    return said.reachable is Tri.NO and said.valid is Tri.NO and said.reason in reasons


def is_mobile(facts: Facts) -> bool:
    """Is there a home location register to ask? Of a fixed line "no such subscriber" proves nothing.

    Where the numbering plan cannot tell (North America), a source must have said that it is mobile; nobody may have denied it.
    """
    identity = facts.outcome.identity
    stated = NumberType.UNKNOWN if identity is None else identity.value.type
    if facts.number.type is NumberType.MOBILE:
        return stated in (NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE, NumberType.UNKNOWN)
    if facts.number.type is not NumberType.MOBILE_OR_LANDLINE:
        return False
    return identity is not None and not identity.stale and stated is NumberType.MOBILE


def is_alive(facts: Facts) -> bool:
    """Was a call answered lately? That beats any provider's word that nobody is there, until it is too long ago."""
    history = facts.history
    return history is not None and (history.alive or history.was_alive())


def is_conclusive(facts: Facts) -> bool:
    """May the liveness be held against the number?"""
    return is_dead(facts.outcome.liveness) and is_mobile(facts) and not is_alive(facts)


def score(facts: Facts) -> int:
    """How many kinds of evidence say that the number is dead, 0 to 3; 0 where a call was answered lately.

    They are: its network's conclusive word; "no such number" from two vendors at least; three tries without a sign of life.
    """
    history = facts.history or NOTHING_HEARD
    kinds = is_conclusive(facts) + (history.refused_by >= VENDORS) + (history.tries >= TRIES)
    return 0 if kinds and is_alive(facts) else kinds


def admissible(facts: Facts) -> Facts:
    """The facts as a rule that blocks may see them: nothing stale, and nothing of liveness unless it is conclusive.

    What is stale proves no type, but it is reason to doubt another one that the numbering plan has.
    """
    identity, number = facts.outcome.identity, facts.number
    if identity is not None and identity.stale:
        if identity.value.type not in (number.type, NumberType.UNKNOWN):
            number = replace(number, type=NumberType.UNKNOWN)
        identity = None
    if is_conclusive(facts):  # so it is mobile
        return replace(facts, outcome=LookupOutcome(identity=identity, liveness=facts.outcome.liveness))
    return Facts(number, LookupOutcome(identity=identity), facts.caller, facts.now, facts.cost)
