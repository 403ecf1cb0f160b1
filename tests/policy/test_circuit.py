"""A provider that goes mad, as timelines of its answers."""

from __future__ import annotations

import random
from math import inf

import msgspec
import pytest

from agi_lookup.domain.model import Liveness
from agi_lookup.policy.circuit import MOST, RECENT, SURE, USUAL, Circuit, Share
from agi_lookup.policy.options import GovernanceOptions
from agi_lookup.policy.wilson import wilson
from tests.fakes import ABSENT, ALIVE, DEAD, UNSAID
from tests.policy.situations import NOW

OPTIONS = GovernanceOptions(jump=0.2, dead_ceiling=0.5, distrust_s=3600)


def mixed(dead: float, absent: float, size: int, seed: int = 1) -> list[Liveness]:
    chance = random.Random(seed)
    return chance.choices([DEAD, ABSENT, ALIVE], [dead, absent, 1 - dead - absent], k=size)


def heard(circuit: Circuit, said: list[Liveness], now: float = NOW, options: GovernanceOptions = OPTIONS) -> list[str]:
    """What jumped, each time it did."""
    return [jumped for one in said if (jumped := circuit.hear(one, now, options))]


def used_to(dead: float, absent: float, size: int = 2000) -> Circuit:
    circuit = Circuit()
    assert not heard(circuit, mixed(dead, absent, size))
    return circuit


@pytest.mark.parametrize(("dead", "absent"), [(0, 0), (0.02, 0.1), (0.1, 0.3), (0.3, 0.3), (0, 0.9)])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_usual_is_no_jump(dead: float, absent: float, seed: int) -> None:
    circuit = Circuit()

    assert heard(circuit, mixed(dead, absent, 5000, seed)) == []
    assert not circuit.is_open(NOW, OPTIONS)


def test_all_dead_is_noticed_within_a_dozen_answers() -> None:
    """B5."""
    circuit = used_to(0.03, 0.15)

    assert heard(circuit, [DEAD] * 12)
    assert circuit.is_open(NOW, OPTIONS)


def test_some_more_dead_is_noticed_in_time() -> None:
    """B5."""
    circuit = used_to(0.03, 0.15)

    (jumped,) = heard(circuit, [DEAD, ALIVE] * (RECENT // 2))

    assert jumped.endswith("of 60 answers dead, usual is 3%")


def test_all_unreachable_is_noticed() -> None:
    """B5."""
    circuit = used_to(0.03, 0.15)

    assert "answers unreachable" in heard(circuit, [ABSENT] * 30)[0]


def test_absent_that_turns_into_dead_is_noticed_though_as_many_are_unreachable() -> None:
    circuit = used_to(0.0, 0.4)

    assert "answers dead" in heard(circuit, mixed(0.4, 0.0, 2 * RECENT))[0]


def test_without_a_baseline_only_a_ceiling_of_dead_counts() -> None:
    assert heard(Circuit(), [DEAD] * 12)
    assert not heard(Circuit(), [DEAD] * 11)
    assert not heard(Circuit(), [ABSENT] * (RECENT + USUAL - 1))
    assert not heard(Circuit(), [ABSENT] * 5000), "what was always so is usual"


def test_what_is_not_known_says_nothing() -> None:
    circuit = used_to(0.03, 0.15)
    before = msgspec.to_builtins(circuit)

    assert not heard(circuit, [UNSAID] * 100)
    assert msgspec.to_builtins(circuit) == before


def test_it_closes_after_its_time_when_answers_are_as_usual_again() -> None:
    circuit = used_to(0.03, 0.15)
    heard(circuit, [DEAD] * 12)
    heard(circuit, mixed(0.03, 0.15, RECENT), NOW + 60)

    assert circuit.is_open(NOW + 3599, OPTIONS)
    assert not circuit.is_open(NOW + 3600, OPTIONS)
    assert not heard(circuit, mixed(0.03, 0.15, RECENT), NOW + 3600)
    assert circuit.opened_at is None


def test_it_opens_again_at_the_first_answer_while_they_are_not() -> None:
    circuit = used_to(0.03, 0.15)
    heard(circuit, [DEAD] * 50)

    assert heard(circuit, [DEAD], NOW + 3600)
    assert circuit.is_open(NOW + 7199, OPTIONS)


def test_while_it_is_open_nothing_becomes_usual_and_nothing_is_told_twice() -> None:
    circuit = used_to(0.03, 0.15)

    assert len(heard(circuit, [DEAD] * 5000)) == 1
    assert heard(circuit, [DEAD], NOW + 3600), "still unusual"


def test_only_an_operator_closes_it_where_that_is_configured() -> None:
    options = GovernanceOptions(distrust_s=inf)
    circuit = used_to(0.03, 0.15)
    heard(circuit, [DEAD] * 12, options=options)
    heard(circuit, mixed(0.03, 0.15, 500), NOW + 1e6, options)

    assert circuit.is_open(NOW + 1e9, options)
    circuit.trust()
    assert not circuit.is_open(NOW, options)
    assert not heard(circuit, [DEAD] * 3, NOW, options), "what it said before is forgotten"
    assert heard(circuit, [DEAD] * 9, NOW, options)


def test_a_slow_change_becomes_usual() -> None:
    circuit = used_to(0.0, 0.1)
    for tenth in range(1, 6):
        assert not heard(circuit, mixed(tenth / 10, 0.1, 2 * MOST, seed=tenth))


def test_the_baseline_is_bounded() -> None:
    circuit = used_to(0.1, 0.1, 20_000)

    assert MOST / 2 <= circuit.before <= MOST
    assert 0.08 < circuit.dead.before / circuit.before < 0.12
    assert circuit.dead.last.bit_length() <= RECENT


def test_each_answer_is_one_and_a_new_circuit_has_heard_none() -> None:
    assert msgspec.to_builtins(Circuit()) == {
        "dead": {"last": 0, "before": 0.0},
        "unreachable": {"last": 0, "before": 0.0},
        "last": 0,
        "before": 0.0,
        "opened_at": None,
    }
    circuit = Circuit()
    heard(circuit, [DEAD, ALIVE, ABSENT])
    assert (circuit.last, circuit.dead.last, circuit.unreachable.last) == (3, 0b100, 0b101)
    heard(circuit, [ALIVE] * RECENT)
    assert (circuit.last, circuit.before, circuit.dead.before, circuit.unreachable.before) == (RECENT, 3, 1, 2)


def test_trust_leaves_nothing_of_what_it_said_last() -> None:
    circuit = used_to(0.1, 0.1)
    circuit.trust()

    assert (circuit.last, circuit.dead.last, circuit.unreachable.last, circuit.opened_at) == (0, 0, 0, None)


def test_the_baseline_is_halved_when_it_is_full() -> None:
    circuit = Circuit(dead=Share(before=100), unreachable=Share(before=200), last=RECENT, before=MOST - 1)

    assert not heard(circuit, [ALIVE])

    assert (circuit.before, circuit.dead.before, circuit.unreachable.before) == (MOST / 2, 50, 100)


def test_an_answer_of_the_other_kind_opens_nothing() -> None:
    dead_before = 0b111_1111_1111
    circuit = Circuit(dead=Share(last=dead_before << 1), unreachable=Share(last=dead_before << 1), last=12)
    heard(circuit, [DEAD])
    assert not circuit.is_open(NOW, OPTIONS), "eleven of the last twelve are not enough"

    for said in (DEAD, ALIVE):
        all_dead = (1 << RECENT) - 1
        circuit = Circuit(dead=Share(last=all_dead), unreachable=Share(last=all_dead), last=RECENT)
        assert bool(heard(circuit, [said])) is (said is DEAD)


def test_a_hundred_answers_make_what_is_usual() -> None:
    usual = Circuit(dead=Share(before=0.9 * USUAL), unreachable=Share(before=0.9 * USUAL), before=USUAL)
    unknown = Circuit(dead=Share(before=0.9 * USUAL), unreachable=Share(before=0.9 * USUAL), before=USUAL - 1)

    assert (bool(heard(usual, [DEAD] * 12)), bool(heard(unknown, [DEAD] * 12))) == (False, True)


def test_what_is_usual_is_taken_at_its_highest_and_a_jump_is_beyond_it() -> None:
    half = Share(last=(1 << 49) - 1, before=50)
    circuit = Circuit(dead=half, unreachable=Share(last=half.last, before=50), last=RECENT, before=USUAL)
    assert not heard(circuit, [DEAD]), "fifty of sixty"

    surely = wilson(12, 12, SURE)[0]
    for ceiling, jumps in ((surely, False), (surely - 1e-9, True)):
        options = OPTIONS.model_copy(update={"dead_ceiling": ceiling})
        assert bool(heard(Circuit(), [DEAD] * 12, options=options)) is jumps
