"""What the cache and the sources together tell a call: never late, never twice paid, never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cachetools import TTLCache

from agi_lookup.domain.errors import (
    ProviderError,
    ProviderNotCovered,
    ProviderProtocolError,
    ProviderTimeout,
    ProviderUnavailable,
)
from agi_lookup.domain.model import (
    CacheState,
    Facet,
    Identity,
    Liveness,
    LookupAnswer,
    LookupOutcome,
    LookupQuery,
    Method,
    Number,
    NumberClass,
    NumberType,
    Reason,
    Status,
    Tri,
)
from agi_lookup.lookup.chain import Chain, ChainResult, Step, new_refusals
from agi_lookup.lookup.freshness import Lifetimes
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.keep import Keeper
from agi_lookup.lookup.line import Line
from agi_lookup.lookup.link import Link
from agi_lookup.lookup.resolver import REFRESH_PAUSE_S, Paying, Resolver
from agi_lookup.lookup.singleflight import SingleFlight
from tests.fakes import (
    ABSENT,
    ALIVE,
    DEAD,
    KNOWN,
    NUMBER,
    PARTLY,
    UNSAID,
    Clock,
    FakeCache,
    FakeMetrics,
    FakeSource,
    answer,
)

BOTH = frozenset(Facet)
DOWN = ProviderUnavailable()


def step(source: FakeSource, concurrency: int = 1000, **conditions: Any) -> Step:
    line = Line(Gates(max_concurrency=concurrency), max_batch=1)
    return Step(link=Link(source, source, line, timeout_s=10), facets=source.provides, **conditions)


class World:
    """A resolver over fakes, with a clock that the test moves."""

    def __init__(
        self,
        *sources: FakeSource,
        limit: int = 100,
        concurrency: int = 1000,
        steps: Sequence[Step] = (),
        free: Collection[str] = (),
    ) -> None:
        self.clock = Clock()
        self.overloaded = False
        self.cache = FakeCache()
        self.metrics = FakeMetrics()
        self.flights: SingleFlight[ChainResult] = SingleFlight(limit)
        for source in sources:
            source.clock = self.clock
        steps = steps or [step(source, concurrency=concurrency) for source in sources]
        keeper = Keeper(
            cache=self.cache,
            complete=lambda identity: identity,
            lifetimes=Lifetimes(),
            clock=self.clock,
            spread=lambda: 0.0,
        )
        self.resolver = Resolver(
            cache=self.cache,
            chain=Chain(steps, new_refusals(self.clock), self.metrics, self.clock),
            free=Chain([s for s in steps if s.link.name in free], new_refusals(self.clock), self.metrics, self.clock),
            flights=self.flights,
            plan=plan,
            keeper=keeper,
            paying=Paying(),
            metrics=self.metrics,
            clock=self.clock,
            refreshed=TTLCache(100, REFRESH_PAUSE_S, timer=self.clock),
            overloaded=lambda: self.overloaded,
        )

    async def ask(
        self, number: Number = NUMBER, facets: frozenset[Facet] = BOTH, *, within_s: float = 5.0, fresh: bool = False
    ) -> LookupOutcome:
        deadline = asyncio.get_running_loop().time() + within_s
        return await self.resolver.resolve(LookupQuery(number, facets, fresh=fresh), deadline=deadline)

    async def settle(self) -> None:
        """Let what flies land."""
        await self.flights.drain(5.0)


def plan(number: Number, now: float) -> LookupAnswer:
    return LookupAnswer(number.e164, "plan", Method.PLAN, now, Identity(orig_carrier="Issuer"))


def source(
    *script: LookupAnswer | ProviderError | Exception, name: str = "fake", gate: asyncio.Event | None = None
) -> FakeSource:
    return FakeSource(script, name=name, gate=gate)


async def test_a_miss_is_asked_and_the_second_call_is_a_hit() -> None:
    """F25."""
    npl = source(answer())
    world = World(npl)

    first, second = await world.ask(), await world.ask()

    assert (first.status, first.cache) == (Status.OK, CacheState.MISS)
    assert (second.status, second.cache) == (Status.OK, CacheState.FRESH)
    assert npl.requests == 1


Timeline = tuple[Sequence[LookupAnswer | ProviderError], Sequence[tuple[float, str | None, CacheState]]]
TIMELINES: dict[str, Timeline] = {
    "fresh for a day": (
        [answer(liveness=None)],
        [(0, "fake", CacheState.MISS), (86_399, "fake", CacheState.FRESH)],
    ),
    "stale answers at once, and the refresh is there next time": (
        [answer(liveness=None)],
        [(0, "fake", CacheState.MISS), (86_401, "fake", CacheState.STALE), (86_402, "fake", CacheState.FRESH)],
    ),
    "stale stands in while the source is down": (
        [answer(liveness=None), DOWN],
        [(0, "fake", CacheState.MISS), (90_000, "fake", CacheState.STALE), (600_000, "fake", CacheState.STALE)],
    ),
    "too old is not even stale": (
        [answer(liveness=None), DOWN],
        [(0, "fake", CacheState.MISS), (9 * 86_400, "plan", CacheState.MISS)],
    ),
    "errors are not cached": (
        [DOWN, answer(liveness=None)],
        [(0, "plan", CacheState.MISS), (1, "fake", CacheState.MISS)],
    ),
    "what a source could not say is remembered for minutes only": (
        [answer(PARTLY, None), answer(liveness=None)],
        [(0, "fake", CacheState.MISS), (299, "fake", CacheState.FRESH), (301, "fake", CacheState.MISS)],
    ),
    "an inconclusive refresh does not replace what may stand in": (
        [answer(liveness=None), answer(PARTLY, None)],
        [(0, "fake", CacheState.MISS), (86_401, "fake", CacheState.STALE), (86_402, "fake", CacheState.STALE)],
    ),
}


@pytest.mark.parametrize(("script", "steps"), TIMELINES.values(), ids=TIMELINES)
async def test_identity_over_time(
    script: Sequence[LookupAnswer | ProviderError], steps: Sequence[tuple[float, str | None, CacheState]]
) -> None:
    """C4, C5."""
    world = World(source(*script))
    start = world.clock.now
    for at, provider, state in steps:
        world.clock.now = start + at
        outcome = await world.ask(facets=frozenset({Facet.IDENTITY}))
        await world.settle()
        assert outcome.identity is not None
        assert (outcome.identity.provider, outcome.identity.cache) == (provider, state), f"at {at} s"


async def test_stale_liveness_never_stands_in() -> None:
    world = World(source(answer(liveness=DEAD), DOWN))
    await world.ask()
    world.clock.now += 301

    outcome = await world.ask()

    assert outcome.liveness is None
    assert outcome.identity is not None
    assert outcome.identity.value == KNOWN
    assert (outcome.status, outcome.error) == (Status.PARTIAL, "unavailable")


async def test_absent_is_asked_again_after_minutes_while_identity_is_kept() -> None:
    npl = source(answer(liveness=ABSENT), answer(liveness=ALIVE))
    world = World(npl)
    await world.ask()
    world.clock.now += 301

    outcome = await world.ask()

    assert outcome.liveness is not None
    assert outcome.liveness.value == ALIVE
    assert npl.requests == 2


async def test_a_thousand_callers_of_one_cold_number_pay_once() -> None:
    """C1."""
    gate = asyncio.Event()
    npl = source(answer(), gate=gate)
    world = World(npl, limit=1)
    calls = [asyncio.create_task(world.ask()) for _ in range(1000)]
    await asyncio.sleep(0)

    gate.set()
    outcomes = await asyncio.gather(*calls)

    assert npl.requests == 1
    assert all(o.status is Status.OK for o in outcomes)


async def test_the_first_caller_may_hang_up_without_harm_to_the_others() -> None:
    """C1, F13."""
    gate = asyncio.Event()
    npl = source(answer(), gate=gate)
    world = World(npl)
    first, second = asyncio.create_task(world.ask()), asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)

    gate.set()

    assert (await second).status is Status.OK
    assert (npl.requests, npl.cancelled) == (1, 0)


async def test_a_late_answer_is_kept_and_not_bought_again() -> None:
    """P20."""
    gate = asyncio.Event()
    npl = source(answer(), gate=gate)
    world = World(npl)

    late = await world.ask(within_s=0.2)
    gate.set()
    await world.settle()
    next_call = await world.ask()

    assert (late.status, late.error) == (Status.TIMEOUT, "timeout")
    assert late.identity is not None, "the numbering plan is the floor"
    assert late.identity.provider == "plan"
    assert (next_call.status, next_call.cache) == (Status.OK, CacheState.FRESH)
    assert npl.requests == 1


async def test_each_waiter_has_its_own_deadline() -> None:
    gate = asyncio.Event()
    world = World(source(answer(), gate=gate))
    patient = asyncio.create_task(world.ask(within_s=5))

    assert (await world.ask(within_s=0.01)).status is Status.TIMEOUT
    gate.set()
    assert (await patient).status is Status.OK


async def test_a_second_caller_who_wants_more_joins_the_flight_that_brings_it() -> None:
    """One vendor request tells identity and liveness: never pay twice."""
    gate = asyncio.Event()
    npl = source(answer(), gate=gate)
    world = World(npl)
    narrow = asyncio.create_task(world.ask(facets=frozenset({Facet.IDENTITY})))
    await asyncio.sleep(0.01)
    wide = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)

    gate.set()

    assert (await narrow).status is Status.OK
    assert (await wide).status is Status.OK
    assert npl.requests == 1


async def test_too_many_lookups_under_way_are_refused_at_once() -> None:
    gate = asyncio.Event()
    world = World(source(answer(), gate=gate), limit=1)
    first = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)

    shed = await world.ask(replace(NUMBER, e164="+447400123457"))

    assert (shed.status, shed.error) == (Status.DEGRADED, "overload")
    gate.set()
    assert (await first).status is Status.OK


async def test_a_failed_source_passes_the_question_on() -> None:
    world = World(source(DOWN, name="first"), source(answer(), name="second"))

    outcome = await world.ask()

    assert outcome.identity is not None
    assert outcome.identity.provider == "second"
    assert outcome.error == "unavailable"
    assert [(a.provider, a.result) for a in outcome.attempts] == [("first", "unavailable"), ("second", "answer")]


async def test_the_chain_stops_when_all_is_known() -> None:
    second = source(answer(), name="second")
    world = World(source(answer(), name="first"), second)

    await world.ask()

    assert second.requests == 0


async def test_a_source_that_knows_the_network_only_leaves_liveness_to_the_next() -> None:
    world = World(source(answer(liveness=None), name="mnp"), source(answer(PARTLY, ALIVE), name="hlr"))

    outcome = await world.ask()

    assert outcome.identity is not None
    assert outcome.liveness is not None
    assert (outcome.identity.provider, outcome.liveness.provider) == ("mnp", "hlr")
    assert outcome.identity.value == KNOWN


async def test_unknown_liveness_stays_unknown() -> None:
    outcome = await World(source(answer(liveness=UNSAID))).ask()

    assert outcome.liveness is not None
    assert outcome.liveness.value.reachable is Tri.UNKNOWN
    assert outcome.status is Status.PARTIAL


@pytest.mark.parametrize("failure", [ProviderNotCovered(), ProviderTimeout(), ProviderProtocolError()])
async def test_what_may_have_been_charged_or_is_not_covered_is_not_asked_again_at_once(failure: ProviderError) -> None:
    """P5."""
    npl = source(failure, answer())
    world = World(npl)
    await world.ask()
    world.clock.now += 29

    outcome = await world.ask()

    assert npl.requests == 1
    assert outcome.attempts[0].result == f"skipped: {failure.code}"


async def test_an_answer_for_another_number_is_refused() -> None:
    """P8."""
    outcome = await World(source(answer(number="+447400123457"))).ask()

    assert outcome.identity is not None
    assert (outcome.identity.provider, outcome.error) == ("plan", "bad_answer")


async def test_a_bug_in_a_source_is_counted_and_reaches_the_guarantee() -> None:
    world = World(source(RuntimeError("bug")))

    with pytest.raises(RuntimeError):
        await world.ask()
    assert world.metrics.bugs == ["flight"]


async def test_a_refused_key_raises_an_alarm() -> None:
    from agi_lookup.domain.errors import ProviderAuthError

    world = World(source(ProviderAuthError()))
    await world.ask()

    assert world.metrics.alarms == [("provider_auth", "fake")]


NOT_PAID = {
    "short code": Number("", kind=NumberClass.SHORT),
    "extension": Number("", kind=NumberClass.EXTENSION),
    "toll free": replace(NUMBER, type=NumberType.TOLL_FREE),
    "premium": replace(NUMBER, type=NumberType.PREMIUM),
    "shared cost": replace(NUMBER, type=NumberType.SHARED_COST),
    "satellite": Number("+870776123456", kind=NumberClass.SATELLITE),
    "impossible length": replace(NUMBER, possible=False),
    "outside the plan's ranges": replace(NUMBER, valid=Tri.NO),
}


@pytest.mark.parametrize("number", NOT_PAID.values(), ids=NOT_PAID)
async def test_numbers_of_no_interest_are_not_paid_for(number: Number) -> None:
    """B2, B6."""
    npl = source(answer())

    outcome = await World(npl).ask(number)

    assert npl.requests == 0
    assert outcome.status is Status.PARTIAL


@pytest.mark.parametrize("name", ["toll free", "premium", "shared cost", "outside the plan's ranges"])
async def test_numbers_that_are_not_paid_for_are_looked_up_where_that_is_free(name: str) -> None:
    """B6: a new range is in the operator's own table before the numbering plan knows it."""
    npl, table = source(answer()), source(answer(liveness=None), name="table")
    world = World(npl, table, free=["table"])

    first, second = await world.ask(NOT_PAID[name]), await world.ask(NOT_PAID[name], frozenset({Facet.IDENTITY}))

    assert first.identity is not None
    assert (first.identity.provider, first.identity.value) == ("table", KNOWN)
    assert second.cache is CacheState.FRESH
    assert (npl.requests, table.requests) == (0, 1)


@pytest.mark.parametrize("name", ["short code", "extension", "satellite", "impossible length"])
async def test_what_can_be_nobodys_number_is_not_asked_about_even_where_that_is_free(name: str) -> None:
    table = source(answer(), name="table")

    await World(table, free=["table"]).ask(NOT_PAID[name])

    assert table.requests == 0


async def test_who_pays_for_a_number_does_not_take_a_free_lookup_for_all_that_can_be_known() -> None:
    """Two profiles, one number, one moment."""
    gate = asyncio.Event()
    npl, table = source(answer()), source(ProviderNotCovered(), name="table", gate=gate)
    world = World(table, npl, free=["table"])
    number = NOT_PAID["premium"]
    payer = replace(world.resolver, paying=Paying(frozenset(NumberType)))
    deadline = asyncio.get_running_loop().time() + 5.0

    frugal = asyncio.create_task(world.ask(number))
    await asyncio.sleep(0)
    paying = asyncio.create_task(payer.resolve(LookupQuery(number, BOTH), deadline=deadline))
    await asyncio.sleep(0)
    gate.set()

    assert (await paying).status is Status.OK
    assert (await frugal).status is Status.PARTIAL


async def test_fresh_passes_by_the_cache_and_falls_back_on_it() -> None:
    npl = source(answer(), DOWN)
    world = World(npl)
    await world.ask()

    outcome = await world.ask(fresh=True)

    assert npl.requests == 2
    assert outcome.identity is not None
    assert outcome.identity.cache is CacheState.FRESH


async def test_a_memory_hit_reads_no_other_tier() -> None:
    world = World(source(answer()))
    await world.ask()
    reads = world.cache.reads

    await world.ask()

    assert world.cache.reads == reads


async def test_nobody_is_paid_for_a_call_that_has_gone_on() -> None:
    """P15: the only connection is in use past the deadline of the second call, which is then not asked for at all."""
    gate = asyncio.Event()
    npl = source(answer(), gate=gate)
    world = World(npl, concurrency=1)
    first = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)

    second = await world.ask(replace(NUMBER, e164="+447400123457"), within_s=0.05)
    await asyncio.sleep(0.05)
    gate.set()
    await first
    await world.settle()

    assert second.status is Status.TIMEOUT
    assert npl.requests == 1


async def test_no_second_source_is_asked_for_a_call_that_has_gone_on() -> None:
    gate = asyncio.Event()
    second = source(answer(), name="second")
    world = World(source(DOWN, name="first", gate=gate), second)

    late = await world.ask(within_s=0.02)
    gate.set()
    await world.settle()

    assert late.status is Status.TIMEOUT
    assert second.requests == 0


async def test_sources_that_contradict_each_other_leave_liveness_unknown_now_and_from_the_cache() -> None:
    """P19, B3."""
    world = World(source(answer(PARTLY, ALIVE), name="a"), source(answer(KNOWN, DEAD), name="b"))
    for outcome in (await world.ask(), await world.ask()):
        assert outcome.liveness is not None
        assert outcome.liveness.value == UNSAID


async def test_nobody_is_paid_for_the_network_of_a_number_that_is_nobodys() -> None:
    """A confirmed answer falls through to no other source."""
    first, second = source(answer(Identity(), DEAD), name="a"), source(answer(KNOWN, ALIVE), name="b")
    outcome = await World(first, second).ask()

    assert outcome.liveness is not None
    assert outcome.liveness.value == DEAD
    assert (first.requests, second.requests) == (1, 0)


async def test_a_refresh_that_brings_nothing_is_not_bought_by_every_call() -> None:
    npl = source(answer(liveness=None), answer(PARTLY, None))
    world = World(npl)
    identity = frozenset({Facet.IDENTITY})
    await world.ask(facets=identity)
    world.clock.now += 86_401
    for _ in range(20):
        outcome = await world.ask(facets=identity)
        await world.settle()
        assert outcome.cache is CacheState.STALE

    assert npl.requests == 2


async def test_what_a_source_could_not_say_is_kept_though_another_source_is_down() -> None:
    npl = source(answer(liveness=UNSAID), name="npl")
    world = World(npl, source(DOWN, name="down"))
    for _ in range(20):
        await world.ask()

    assert npl.requests == 1


async def test_a_caller_who_wants_more_does_not_buy_again_what_the_flight_could_not_say() -> None:
    gate = asyncio.Event()
    npl = source(answer(liveness=UNSAID), gate=gate)
    world = World(npl)
    narrow = asyncio.create_task(world.ask(facets=frozenset({Facet.IDENTITY})))
    await asyncio.sleep(0.01)
    wide = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(narrow, wide)

    assert npl.requests == 1


async def test_a_patient_caller_prolongs_the_flight_that_an_impatient_one_started() -> None:
    gate = asyncio.Event()
    first, second = source(DOWN, name="first", gate=gate), source(answer(), name="second")
    world = World(first, second)
    impatient = asyncio.create_task(world.ask(within_s=0.02))
    await asyncio.sleep(0.01)
    patient = asyncio.create_task(world.ask(within_s=5))
    assert (await impatient).status is Status.TIMEOUT
    gate.set()

    assert (await patient).status is Status.OK
    assert second.requests == 1


async def test_fresh_never_blocks_on_what_was_cached() -> None:
    world = World(source(answer(liveness=DEAD), answer(liveness=UNSAID)))
    await world.ask()

    outcome = await world.ask(fresh=True)

    assert outcome.liveness is not None
    assert outcome.liveness.value.reachable is Tri.UNKNOWN


async def test_under_overload_memory_still_answers_and_nothing_else_is_tried() -> None:
    npl = source(answer())
    world = World(npl)
    await world.ask()
    world.overloaded = True
    reads = world.cache.reads

    hit, miss = await world.ask(), await world.ask(replace(NUMBER, e164="+447400123457"))

    assert (hit.status, hit.cache) == (Status.OK, CacheState.FRESH)
    assert (miss.status, miss.error) == (Status.DEGRADED, "overload")
    assert (npl.requests, world.cache.reads) == (1, reads)


async def test_liveness_that_no_source_can_ever_tell_is_not_bought_every_minute() -> None:
    npl = source(answer(liveness=Liveness(reason=Reason.NETWORK_ONLY)))
    world = World(npl)
    for _ in range(60):
        await world.ask()
        world.clock.now += 60

    assert npl.requests == 1


async def test_old_news_of_liveness_is_no_news_for_the_call_that_asked_either() -> None:
    """B3: a source that answers from a cache of its own, and says so."""
    npl = source(answer(liveness=DEAD))
    npl.lag_s = 3600.0
    outcome = await World(npl).ask()

    assert outcome.liveness is not None
    assert outcome.liveness.value == UNSAID


async def test_the_plan_stands_in_for_an_empty_identity_from_the_cache_too() -> None:
    world = World(source(answer(Identity(), ALIVE)))

    first, second = await world.ask(), await world.ask()

    for outcome in (first, second):
        assert outcome.identity is not None
        assert (outcome.identity.provider, outcome.identity.value.orig_carrier) == ("plan", "Issuer")
    assert second.cache is CacheState.FRESH


async def test_a_source_behind_calls_fills_the_cache_and_no_call_waits_for_it() -> None:
    """`in_call: false`: the first call goes on with what is known, the next one has the rest."""
    ports, hooked = source(answer(KNOWN, None), name="ports"), source(name="hooked", gate=asyncio.Event())
    ports.provides = frozenset({Facet.IDENTITY})
    hooked.script = (answer(),)
    world = World(steps=[step(ports), step(hooked, in_call=False)])
    ports.clock = hooked.clock = world.clock

    first = await world.ask()
    assert (first.status, first.liveness) == (Status.PARTIAL, None)
    assert first.identity is not None
    assert hooked.gate is not None
    hooked.gate.set()
    await world.settle()
    second = await world.ask()

    assert second.status is Status.OK
    assert (ports.requests, hooked.requests) == (1, 1)
    for _ in range(3):
        await world.ask()
    assert hooked.requests == 1


async def test_where_only_sources_behind_calls_exist_a_call_does_not_wait_at_all() -> None:
    hooked = source(answer())
    world = World(steps=[step(hooked, in_call=False)])
    hooked.clock = world.clock

    assert (await world.ask()).status is Status.PARTIAL
    await world.settle()
    assert (await world.ask()).status is Status.OK


async def test_a_stale_identity_is_refreshed_in_the_flight_that_a_fresh_call_shares() -> None:
    """C1: never paid twice, whoever started it."""
    npl = source(answer(), gate=asyncio.Event())
    world = World(npl)
    assert npl.gate is not None
    npl.gate.set()
    await world.ask()
    world.clock.now += 2 * 86_400
    npl.gate.clear()
    await world.ask(facets=frozenset({Facet.IDENTITY}))
    fresh = asyncio.create_task(world.ask(facets=frozenset({Facet.IDENTITY}), fresh=True))
    await asyncio.sleep(0.01)
    npl.gate.set()

    assert (await fresh).status is Status.OK
    assert npl.requests == 2


async def test_an_identity_that_is_stale_at_once_is_not_bought_by_every_call() -> None:
    """B9: a source that says that its answer may not be kept (a DNS TTL of 0)."""
    enum = source(replace(answer(liveness=None), fresh_s=0.0))
    enum.provides = frozenset({Facet.IDENTITY})
    world = World(enum)

    for pause_s, requests in ((0, 1), (1, 1), (REFRESH_PAUSE_S - 2, 1), (2, 2), (1, 2)):
        world.clock.now += pause_s
        await world.ask(facets=frozenset({Facet.IDENTITY}))
        await world.settle()
        assert enum.requests == requests


async def test_what_was_bought_for_a_call_puts_off_no_source_behind_calls() -> None:
    ports, hooked = source(answer(KNOWN, None), name="ports"), source(answer(), name="hooked")
    ports.provides = frozenset({Facet.IDENTITY})
    world = World(steps=[step(ports), step(hooked, in_call=False)])
    ports.clock = hooked.clock = world.clock
    await world.ask(facets=frozenset({Facet.IDENTITY}))

    await world.ask()
    await world.settle()

    assert (ports.requests, hooked.requests) == (1, 1)


async def test_what_nobody_asks_for_is_never_refreshed() -> None:
    """B9: a cache full of stale numbers costs nothing until a call comes for one of them."""
    npl = source(answer())
    world = World(npl)
    await world.ask()
    stale = world.cache.entries[NUMBER.e164]
    for index in range(100):
        e164 = f"+4477009001{index:02d}"
        world.cache.entries[e164] = {f: msgspec.structs.replace(e, number=e164) for f, e in stale.items()}
    world.clock.now += 2 * 86_400

    for _ in range(3):
        await world.ask(facets=frozenset({Facet.IDENTITY}))
        await world.settle()

    assert npl.requests == 2


async def test_an_inconclusive_answer_does_not_replace_what_came_meanwhile() -> None:
    """Two flights for one number: a person asks one provider, a call asks all."""
    vague, good = source(answer(KNOWN, UNSAID), name="vague", gate=asyncio.Event()), source(answer(), name="good")
    world = World(vague, good)
    deadline = asyncio.get_running_loop().time() + 5.0
    slow = asyncio.create_task(world.resolver.resolve(LookupQuery(NUMBER, BOTH, provider="vague"), deadline=deadline))
    await asyncio.sleep(0.01)
    await world.resolver.resolve(LookupQuery(NUMBER, BOTH, provider="good"), deadline=deadline)
    assert vague.gate is not None
    vague.gate.set()
    await slow
    assert world.cache.peek(NUMBER.e164)[Facet.LIVENESS].body == ALIVE
