"""How much speaks for a number being dead."""

from __future__ import annotations

import itertools
from dataclasses import replace

from agi_lookup.domain.model import Identity, NumberType
from agi_lookup.policy.evidence import admissible, score
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.history import History
from tests.fakes import ABSENT, ALIVE, DEAD, KNOWN, NUMBER
from tests.policy.situations import facts


def test_each_kind_of_evidence_counts_once() -> None:
    for dead, refused_by, tries in itertools.product((False, True), range(4), range(5)):
        known = facts(DEAD if dead else ABSENT, history=History(refused_by=refused_by, tries=tries))

        assert score(known) == dead + (refused_by >= 2) + (tries >= 3), (dead, refused_by, tries)


def test_without_a_history_there_is_the_networks_word_only() -> None:
    assert [score(facts(said)) for said in (DEAD, ABSENT, ALIVE, None)] == [1, 0, 0, 0]


def test_nobody_is_dead_who_answered_lately() -> None:
    assert score(facts(DEAD, history=History(alive=True, refused_by=9, tries=9))) == 0


def test_one_vendors_causes_never_count() -> None:
    """Poisoning: however often it says so."""
    assert score(facts(None, history=History(refused_by=1, tries=0))) == 0


def test_what_blocks_sees_no_liveness_and_no_history_unless_all_of_it_is_conclusive() -> None:
    history = History(refused_by=2)
    sees = admissible(facts(ABSENT, KNOWN, history=history, cost="0.10 EUR"))

    assert (sees.outcome.liveness, sees.history) == (None, None)
    assert sees.outcome.identity is not None
    assert (sees.caller, sees.cost) != ("", None)


def test_what_blocks_sees_conclusive_facts_as_they_are() -> None:
    known = facts(DEAD, KNOWN, history=History(refused_by=2))
    stale = facts(DEAD, KNOWN, stale_identity=True, history=History(refused_by=2))

    assert admissible(known) == known
    assert admissible(stale) == facts(DEAD, None, history=History(refused_by=2))
    assert admissible(facts(DEAD)) == facts(DEAD)


def test_a_stale_network_is_hidden_with_the_rest() -> None:
    assert admissible(facts(ABSENT, KNOWN, stale_identity=True)).outcome.identity is None
    assert admissible(Facts(NUMBER)) == Facts(NUMBER)


def test_a_stale_type_is_reason_to_doubt_the_plans_and_no_more() -> None:
    """C4."""
    for planned, stated in itertools.product(NumberType, NumberType):
        number, identity = replace(NUMBER, type=planned), Identity(type=stated)
        agrees = stated in (planned, NumberType.UNKNOWN)
        sees = admissible(facts(ABSENT, identity, number=number, stale_identity=True))

        assert sees.number == (number if agrees else replace(number, type=NumberType.UNKNOWN)), (planned, stated)
        assert admissible(facts(ABSENT, identity, number=number)).number == number


def test_a_number_that_is_dead_is_mobile() -> None:
    """What is stale tells less than the plan here, and the network has spoken."""
    either = Identity(type=NumberType.MOBILE_OR_LANDLINE)

    assert admissible(facts(DEAD, either, stale_identity=True)) == facts(DEAD)
