"""Who is blocked: hardly anyone. The whole matrix of evidence, the few cells that may block, and rules that would do more."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from agi_lookup.domain.model import Identity, Liveness, LookupAnswer, LookupOutcome, Method, NumberType, Reason, Tri
from agi_lookup.lookup.chain import EVERYTHING, ChainResult
from agi_lookup.lookup.compose import from_hits, merge
from agi_lookup.lookup.freshness import Lifetimes
from agi_lookup.lookup.keep import Keeper
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.history import History
from agi_lookup.policy.options import DeadNumbers, Mode, PolicyOptions, RuleAction, RuleOptions
from agi_lookup.policy.rules import Rule, build, rule_on
from tests.fakes import ALIVE, DEAD, KNOWN, NUMBER, Clock, FakeCache
from tests.policy.situations import NOW, facts

ENFORCE = PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.ENFORCE))

GREEDY = (
    {"when": {"reachability": {"reachable": "no"}}},
    {"when": {"reachability": {"valid": "no"}}},
    {"when": {"reachability": {"reason": list(Reason)}}},
    {"when": {"reachability": {"method": list(Method)}}},
    {"unless": {"reachability": {"reachable": "yes"}}},
    {"unless": {"reachability": {"reason": "ok"}}},
    {"when": {"dead_score": 1}},
)
"""Each blocks on as little as can be written."""


def greedy() -> tuple[Rule, ...]:
    rules = [
        RuleOptions(name=f"greedy {index}", action=RuleAction.BLOCK, mode=Mode.ENFORCE, **written)  # type: ignore[arg-type]
        for index, written in enumerate(GREEDY)
    ]
    return build(PolicyOptions(rules=tuple(rules), dead_numbers=DeadNumbers(mode=Mode.ENFORCE)))


def blocks(rules: tuple[Rule, ...], known: Facts) -> bool:
    return rule_on(rules, known).verdict.blocks


def test_each_bold_rule_is_as_careful_alone() -> None:
    """B3."""
    careless = (
        facts(replace(DEAD, reason=Reason.ABSENT)),
        facts(DEAD, stale=True),
        facts(DEAD, method=Method.MNP),
        facts(ALIVE),
        facts(None),
        facts(DEAD, history=History(alive=True, refused_by=9, tries=9)),
        facts(None, history=History(refused_by=9, tries=9)),
        facts(Liveness(Tri.NO, Reason.UNKNOWN_SUBSCRIBER, Tri.UNKNOWN)),
    )
    for rule, known in itertools.product(greedy(), careless):
        assert not blocks((rule,), known), rule.name


def test_somebody_who_answered_lately_is_not_dead_whoever_says_so() -> None:
    assert blocks(build(ENFORCE), facts(DEAD, history=History(refused_by=2, tries=3)))
    assert not blocks(build(ENFORCE), facts(DEAD, history=History(alive=True, refused_by=2, tries=3)))


MOBILE = {
    (NumberType.MOBILE, NumberType.UNKNOWN, False),
    (NumberType.MOBILE, NumberType.UNKNOWN, True),
    (NumberType.MOBILE, NumberType.MOBILE, False),
    (NumberType.MOBILE, NumberType.MOBILE, True),
    (NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE, False),
    (NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE, True),
    (NumberType.MOBILE_OR_LANDLINE, NumberType.MOBILE, False),
}
"""Type by the numbering plan, type by a source, and whether that is stale."""


def test_only_mobile_numbers_can_be_dead() -> None:
    """A fixed line has no record in a home location register: "no such subscriber" proves nothing there."""
    for planned, stated, stale in itertools.product(NumberType, NumberType, (False, True)):
        identity = Identity(carrier="Example Mobile", type=stated)
        known = facts(DEAD, identity, number=replace(NUMBER, type=planned), stale_identity=stale)

        assert blocks(build(ENFORCE), known) is ((planned, stated, stale) in MOBILE), (planned, stated, stale)


def test_a_stale_network_blocks_nobody() -> None:
    """C4."""
    bold = RuleOptions.model_validate({"name": "x", "when": {"mccmnc": "23415"}, "action": "block", "mode": "enforce"})
    rules = build(PolicyOptions(rules=(bold,)))

    assert blocks(rules, facts(None, KNOWN))
    assert blocks(rules, facts(DEAD, KNOWN))
    assert not blocks(rules, facts(None, KNOWN, stale_identity=True))
    assert not blocks(rules, facts(DEAD, KNOWN, stale_identity=True))


def test_no_answer_blocks_nobody_whom_an_answer_would_have_saved() -> None:
    """C4: whether no source answers, one does not know, or one leaves it open."""
    everyone = {"name": "x", "when": {"country": "GB"}, "action": "block", "mode": "enforce"}
    number = replace(NUMBER, type=NumberType.MOBILE_OR_LANDLINE)
    for stated in (NumberType.MOBILE, NumberType.LANDLINE, NumberType.VOIP):
        rules = build(PolicyOptions(rules=(RuleOptions.model_validate({**everyone, "unless": {"type": stated}}),)))

        assert not blocks(rules, facts(None, Identity(type=stated), number=number))
        for missing in (None, Identity(), Identity(type=NumberType.MOBILE_OR_LANDLINE)):
            assert not blocks(rules, facts(None, missing, number=number)), stated
        assert blocks(rules, facts(None, Identity(type=NumberType.PREMIUM), number=number)), "a plain no"


def test_a_stale_type_blocks_nobody() -> None:
    """C4: neither what it says, nor what the plan says against it."""
    for planned, stated in itertools.product(NumberType, NumberType):
        number, identity = replace(NUMBER, type=planned), Identity(type=stated)
        for written in ({"when": {"type": stated}}, {"when": {"country": "GB"}, "unless": {"type": stated}}):
            if stated in (planned, NumberType.UNKNOWN):
                continue
            bold = {"name": "x", "action": "block", "mode": "enforce", **written}
            rules = build(PolicyOptions(rules=(RuleOptions.model_validate(bold),)))

            assert not blocks(rules, facts(None, identity, number=number, stale_identity=True)), (planned, stated)


def test_nothing_known_blocks_nothing() -> None:
    for rule in greedy():
        assert not blocks((rule,), Facts(NUMBER))


def cells() -> Iterator[tuple[Facts, bool]]:
    """Every reason, freshness, method, reachability, validity and type, and whether the cell may block."""
    numbers = [replace(NUMBER, type=kind) for kind in NumberType]
    for reachable, reason, valid in itertools.product(Tri, Reason, Tri):
        said = Liveness(reachable, reason, valid)
        for method, stale, number in itertools.product(Method, (False, True), numbers):
            may = (reachable, valid, method, stale, number.type) == (
                Tri.NO,
                Tri.NO,
                Method.HLR,
                False,
                NumberType.MOBILE,
            ) and reason in (Reason.UNKNOWN_SUBSCRIBER, Reason.INVALID_NUMBER)
            yield facts(said, method=method, stale=stale, number=number), may


def test_nothing_but_its_own_networks_fresh_and_undisputed_word_ends_a_call() -> None:
    """B3, B4: 20,520 cells."""
    rules = build(ENFORCE)

    wrong = [known for known, may in cells() if blocks(rules, known) is not may]

    assert not wrong, wrong[0]


def test_whatever_a_rule_says_it_sees_no_other_liveness() -> None:
    """B3: all the cells, with every rule that an operator could write too boldly."""
    rules = greedy()

    wrong = [known for known, may in cells() if blocks(rules, known) is not may]

    assert not wrong, wrong[0]


SAID = tuple(itertools.starmap(Liveness, itertools.product(Tri, Reason, Tri)))
"""All that a source can say of a subscriber."""


def proves(said: Liveness) -> bool:
    definitive = said.reason in (Reason.UNKNOWN_SUBSCRIBER, Reason.INVALID_NUMBER)
    return definitive and said.reachable is Tri.NO and said.valid is Tri.NO


def disagree(one: Liveness, other: Liveness) -> bool:
    return {Tri.YES, Tri.NO} in ({one.reachable, other.reachable}, {one.valid, other.valid})


def answer(source: str, said: Liveness, at: float = NOW) -> LookupAnswer:
    return LookupAnswer(NUMBER.e164, source, Method.HLR, at, KNOWN, said)


def keeper(cache: FakeCache, now: float = NOW) -> Keeper:
    return Keeper(
        cache=cache, complete=lambda identity: identity, lifetimes=Lifetimes(), clock=Clock(now), spread=lambda: 0.0
    )


def at_once(one: Liveness, other: Liveness) -> Iterator[LookupOutcome]:
    """What the call that asked both sources is told, and the next call from the cache."""
    cache = FakeCache()
    usable = keeper(cache).keep((answer("a", one), answer("b", other)), {})
    yield merge(LookupOutcome(), ChainResult(EVERYTHING, usable))
    yield from_hits(cache.peek(NUMBER.e164), NOW)


def in_turn(one: Liveness, other: Liveness) -> Iterator[LookupOutcome]:
    """What is told when the second is asked while the first one's word is cached: beside it, in place of it, and afterwards."""
    cache = FakeCache()
    keeper(cache).keep((answer("a", one),), {})
    hits = cache.peek(NUMBER.e164)
    told = ChainResult(EVERYTHING, keeper(cache).keep((answer("b", other),), hits))
    yield merge(from_hits(hits, NOW), told)
    yield merge(LookupOutcome(), told)
    yield from_hits(cache.peek(NUMBER.e164), NOW)


@pytest.mark.parametrize("asked", [at_once, in_turn])
def test_sources_that_disagree_block_nobody(asked: Callable[[Liveness, Liveness], Iterator[LookupOutcome]]) -> None:
    """B3, P19: 29,241 pairs of what two sources can say, in both orders, with rules that are too bold."""
    rules = greedy()

    wrong = [
        (one, other)
        for one, other in itertools.product(SAID, SAID)
        if disagree(one, other) and any(blocks(rules, Facts(NUMBER, told)) for told in asked(one, other))
    ]

    assert not wrong, (len(wrong), wrong[0])


def test_sources_that_do_not_disagree_block_by_the_first_that_knows() -> None:
    """B4: else the test above might be passed by blocking nobody."""
    rules = build(ENFORCE)
    for one, other in itertools.product((DEAD, *SAID[::7]), repeat=2):
        if not disagree(one, other):
            may = proves(one if one.known else other)

            assert [blocks(rules, Facts(NUMBER, told)) for told in at_once(one, other)] == [may, may], (one, other)


@pytest.mark.parametrize(("source", "after_s", "blocked"), [("b", 899, False), ("b", 900, True), ("a", 60, True)])
def test_a_word_is_outweighed_by_its_source_and_by_its_age(source: str, after_s: float, blocked: bool) -> None:
    """B4: a number may have gone out of service since one source called it alive."""
    cache, now = FakeCache(), NOW + after_s
    keeper(cache).keep((answer("a", ALIVE),), {})
    keeper(cache, now).keep_late(answer(source, DEAD, now))

    assert blocks(build(ENFORCE), Facts(NUMBER, from_hits(cache.peek(NUMBER.e164), now))) is blocked
