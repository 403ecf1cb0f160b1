"""Which source is asked about which number, in which order, and when two are asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agi_lookup.domain.errors import ProviderNotCovered, ProviderUnavailable
from agi_lookup.domain.model import Facet, Identity, Liveness, LookupAnswer, Number, NumberType, Tri
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.chain import Chain, ChainResult, Step, Wish, new_refusals
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.hedge import HedgeOptions, Hedger
from agi_lookup.lookup.line import Line
from agi_lookup.lookup.link import Link
from agi_lookup.providers.base import Lookup, NumberResult
from tests.fakes import ALIVE, KNOWN, NUMBER, UNSAID, Clock, FakeMetrics, FakeSource, answer

BOTH = frozenset(Facet)
IDENTITY, LIVENESS = frozenset({Facet.IDENTITY}), frozenset({Facet.LIVENESS})
FRENCH = Number("+33639980100", "FR", NumberType.MOBILE, Tri.YES)
LANDLINE = Number("+441632960000", "GB", NumberType.LANDLINE, Tri.YES)


class Asked:
    """A chain of fakes; `order` is who was asked, `payers` on whose account."""

    def __init__(self, *steps: Step, hedge: HedgeOptions | None = None) -> None:
        self.metrics = FakeMetrics()
        self.late: list[LookupAnswer] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.refusals = new_refusals(Clock())
        self.chain = Chain(
            steps,
            self.refusals,
            self.metrics,
            Clock(),
            hedger=Hedger(hedge) if hedge else None,
            adopt=self.tasks.append,
            keep_late=self.late.append,
        )

    async def ask(self, number: Number = NUMBER, facets: frozenset[Facet] = BOTH, **wish: Any) -> ChainResult:
        deadline = asyncio.get_running_loop().time() + 5.0
        return await self.chain.ask(Wish(number, facets, lambda: deadline, **wish))


class Purse:
    """Lets everybody pay, and remembers who did."""

    def __init__(self) -> None:
        self.payers: list[Payer] = []

    def reserve(self, provider: str, number: str, payer: Payer, now: float) -> str:
        self.payers.append(payer)
        return provider

    async def intend(self, reservations: Any) -> None:
        pass

    def settle(self, reservation: str, result: NumberResult) -> None:
        pass

    def release(self, reservation: str) -> None:
        pass


def step(source: FakeSource, purse: Purse | None = None, **conditions: Any) -> Step:
    line = Line(Gates(max_concurrency=100), max_batch=1)
    link = Link(source, source, line, timeout_s=10, purse=purse)
    return Step(link=link, facets=conditions.pop("facets", source.provides), **conditions)


def source(name: str, *script: Any, gate: asyncio.Event | None = None) -> FakeSource:
    return FakeSource(script or (answer(),), name=name, gate=gate)


def asked(*sources: FakeSource) -> list[int]:
    return [s.requests for s in sources]


class Echo(FakeSource):
    """Answers for whichever number it is asked about."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        self.requests += 1
        return {number: answer(number=number) for number in (NUMBER.e164, FRENCH.e164, LANDLINE.e164)}


@pytest.mark.parametrize(
    ("conditions", "number", "is_asked"),
    [
        ({"countries": frozenset({"GB"})}, NUMBER, True),
        ({"countries": frozenset({"GB"})}, FRENCH, False),
        ({"except_countries": frozenset({"FR"})}, NUMBER, True),
        ({"except_countries": frozenset({"FR"})}, FRENCH, False),
        ({"types": frozenset({NumberType.MOBILE})}, NUMBER, True),
        ({"types": frozenset({NumberType.MOBILE})}, LANDLINE, False),
        ({"countries": frozenset({"FR"})}, Number("+8835100012345"), False),
    ],
)
async def test_a_source_is_asked_only_about_the_numbers_at_its_place(
    conditions: dict[str, Any], number: Number, is_asked: bool
) -> None:
    echo = Echo((), name="npl")
    world = Asked(step(echo, **conditions))

    result = await world.ask(number)

    assert echo.requests == is_asked
    assert world.chain.offers(number) == ((BOTH, BOTH) if is_asked else (frozenset(), frozenset()))
    assert bool(result.answers) is is_asked


async def test_a_source_is_not_asked_for_facts_that_are_not_its_job_or_known_already() -> None:
    ports, hlr, spare = source("ports", answer(KNOWN, None)), source("hlr"), source("spare")
    world = Asked(step(ports, facets=IDENTITY), step(hlr, facets=LIVENESS), step(spare))

    result = await world.ask()

    assert asked(ports, hlr, spare) == [1, 1, 0]
    assert [attempt.provider for attempt in result.attempts] == ["ports", "hlr"]
    await world.ask(facets=IDENTITY)
    assert asked(ports, hlr, spare) == [2, 1, 0]


@pytest.mark.parametrize(
    ("first", "falls_through"),
    [
        (answer(KNOWN, UNSAID), True),  # inconclusive
        (answer(Identity(carrier="Example"), ALIVE), True),  # nothing of porting
        (ProviderNotCovered(), True),
        (answer(KNOWN, Liveness(Tri.NO)), False),  # a confirmed answer, if an unpleasant one
    ],
)
async def test_only_what_is_not_known_falls_through(first: Any, falls_through: bool) -> None:
    """The fail-over matrix: on inconclusive and no coverage, never on a confirmed answer."""
    one, two = source("one", first), source("two")
    await Asked(step(one), step(two)).ask()
    assert asked(one, two) == [1, falls_through]


async def test_a_number_that_is_not_covered_is_not_tried_there_again_and_others_are() -> None:
    one, two = source("one", ProviderNotCovered()), Echo((), name="two")
    world = Asked(step(one), step(two))
    for _ in range(3):
        result = await world.ask()
    assert asked(one, two) == [1, 3]
    assert result.attempts[0].result == "skipped: not_covered"
    await world.ask(FRENCH)
    assert one.requests == 2


async def test_a_source_behind_calls_is_asked_only_there() -> None:
    sync, hooked = source("sync"), source("hooked")
    world = Asked(step(sync, facets=IDENTITY), step(hooked, in_call=False))

    assert world.chain.offers(NUMBER) == (IDENTITY, BOTH)
    await world.ask()
    assert asked(sync, hooked) == [1, 0]
    await world.ask(behind=True)
    assert asked(sync, hooked) == [1, 1]


async def test_the_one_source_that_a_person_names_is_asked_whatever_its_place_says() -> None:
    one, two = source("one"), source("two")
    world = Asked(step(one), step(two, countries=frozenset({"FR"}), in_call=False))
    await world.ask(only="two")
    assert asked(one, two) == [0, 1]


async def test_a_source_that_stands_at_two_places_is_paid_once_for_a_number() -> None:
    one, two = source("one", answer(KNOWN, UNSAID)), source("two", ProviderUnavailable())
    line = step(one)
    result = await Asked(line, step(two), replace(line, countries=frozenset({"GB"}))).ask()
    assert asked(one, two) == [1, 1]
    assert [attempt.provider for attempt in result.attempts] == ["one", "two"]


async def test_what_is_remembered_of_a_refusal_holds_nothing_of_the_reply() -> None:
    """P6: an error raised while another is handled keeps its frames, and they the body; for hours, times 50,000."""

    class Refusing(FakeSource):
        async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
            body = "x" * 64_000
            try:
                int(body)
            except ValueError as error:
                raise ProviderNotCovered from error
            raise AssertionError

    world = Asked(step(Refusing((), name="npl")))
    await world.ask()
    remembered = world.refusals["npl", NUMBER.e164]
    assert (remembered.__traceback__, remembered.__context__, remembered.__cause__) == (None, None, None)


# Hedging


async def test_a_bug_in_a_hedged_source_is_counted_and_the_other_one_answers() -> None:
    buggy, good = source("buggy", RuntimeError("bug")), source("good")
    world = Asked(step(buggy), step(good), hedge=HedgeOptions(after_ms=1))
    result = await world.ask()
    assert [a.provider for a in result.answers] == ["good"]
    assert world.metrics.bugs == ["hedge"]


async def test_a_slow_source_is_hedged_and_the_first_good_answer_wins() -> None:
    gate, purse = asyncio.Event(), Purse()
    slow, quick = source("slow", gate=gate), source("quick")
    world = Asked(step(slow, purse), step(quick, purse), hedge=HedgeOptions(after_ms=1))

    result = await world.ask(payer=Payer("default", "PJSIP/alice"))

    assert [a.provider for a in result.answers] == ["quick"]
    assert asked(slow, quick) == [1, 1]
    assert [payer.profile for payer in purse.payers] == ["default", "default/hedge"], "a budget of its own"
    gate.set()
    await asyncio.gather(*world.tasks)
    assert [late.provider for late in world.late] == ["slow"], "what is paid for is kept"
    assert ("slow", "answer") in world.metrics.asked


async def test_a_quick_source_is_not_hedged() -> None:
    quick, spare = source("quick"), source("spare")
    world = Asked(step(quick), step(spare), hedge=HedgeOptions(after_ms=5000))
    await world.ask()
    assert asked(quick, spare) == [1, 0]


async def test_without_a_history_or_an_allowance_nobody_is_hedged() -> None:
    hedger = Hedger(HedgeOptions(max_share=0.5))
    assert hedger.after_s("npl") is None, "nothing is known of it yet"
    for milliseconds in range(1, 101):
        hedger.took("npl", milliseconds / 1000)
    assert hedger.after_s("npl") == pytest.approx(0.096)
    for _ in range(10):
        assert hedger.after_s("npl") is not None
        hedger.hedged()
    assert hedger.after_s("npl") is None, "at most ten in a row, then as lookups earn them"
    hedger.took("npl", 0.1)
    hedger.took("npl", 0.1)
    assert hedger.after_s("npl") is not None


async def test_a_hedge_that_says_less_does_not_end_the_wait_for_the_first() -> None:
    gate = asyncio.Event()
    slow, vague = source("slow", gate=gate), source("vague", answer(KNOWN, UNSAID))
    world = Asked(step(slow), step(vague), hedge=HedgeOptions(after_ms=1))
    asking = asyncio.create_task(world.ask())
    while not vague.requests:
        await asyncio.sleep(0)
    gate.set()
    result = await asking
    assert {a.provider for a in result.answers} == {"slow", "vague"}
    assert asked(slow, vague) == [1, 1], "neither is asked twice"
    assert world.late == []


async def test_when_the_first_fails_after_its_hedge_the_hedge_counts() -> None:
    gate = asyncio.Event()
    broken, spare = source("broken", ProviderUnavailable(), gate=gate), source("spare", answer(KNOWN, UNSAID))
    last = source("last")
    world = Asked(step(broken), step(spare), step(last), hedge=HedgeOptions(after_ms=1))
    asking = asyncio.create_task(world.ask())
    while not spare.requests:
        await asyncio.sleep(0)
    gate.set()
    result = await asking
    assert asked(broken, spare, last) == [1, 1, 1]
    assert {a.result for a in result.attempts} == {"unavailable", "answer"}


async def test_a_source_that_told_less_than_wanted_before_is_not_the_hedge() -> None:
    gate = asyncio.Event()
    hlr, mnp = source("hlr", gate=gate), source("mnp", answer(KNOWN, None))
    world = Asked(step(hlr), step(mnp, facets=IDENTITY), hedge=HedgeOptions(after_ms=1))
    asking = asyncio.create_task(world.ask())
    await asyncio.sleep(0.02)
    assert mnp.requests == 0
    gate.set()
    await asking
