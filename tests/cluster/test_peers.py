"""What calls taught one instance, the others know: counted once, however often it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from agi_lookup.cluster.peers import GONE_S, MAX_INSTANCES, UNHEARD_S, Name, Peers
from agi_lookup.policy.options import GovernanceOptions, Mode
from agi_lookup.policy.peers import Seen
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.quality import ALL
from tests.cache.conftest import Heard
from tests.cache.servers import Server
from tests.cluster.boxes import PREFIX, Wire
from tests.fakes import ALIVE, DEAD, Clock
from tests.policy.situations import ANSWERED, NO_SUCH_NUMBER, NOW
from tests.policy.test_governance import BLOCKED, DAY, SHADOWED, Watch
from tests.routing.routes import result

KEY = "23415"
GOVERNANCE = GovernanceOptions(min_scored=20, false_block_budget=0.01)
BAD: dict[str, Any] = {"dialstatus": "CONGESTION", "sip_code": 503}


@dataclass
class Instance:
    """`watch` has its governor, `memory` what its calls taught of trunks."""

    name: str
    wire: Wire
    clock: Clock
    heard: Heard
    mode: Mode = Mode.ENFORCE
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(GOVERNANCE, mode=self.mode)
        self.watch.governor.configure(GOVERNANCE, self.watch.rules)
        self.memory = Memory(RoutingOptions())
        self.peers = Peers(
            self.wire.ask,
            PREFIX,
            Name(self.name),
            self.memory,
            self.watch.governor,
            clock=self.clock,
            on_alarm=self.heard.alarm,
            count=self.heard.count,
        )

    def calls(self, count: int, **said: Any) -> None:
        for _ in range(count):
            self.memory.quality.observe(result("T1", **said), KEY, self.clock())

    def samples(self, key: str = KEY) -> float:
        return self.memory.quality.figures("T1", key, self.clock()).samples


@asynccontextmanager
async def instances(server: Server, heard: Heard, *names: str) -> AsyncIterator[list[Instance]]:
    clock, some = Clock(NOW), []
    for name in names:
        some.append(Instance(name, Wire(server), clock, heard))
        await some[-1].wire.open()
    try:
        yield some
    finally:
        for one in some:
            await one.wire.close()


async def exchange(some: list[Instance], times: int = 2) -> None:
    for _ in range(times):
        for one in some:
            await one.peers.exchange()


async def test_each_call_of_each_instance_counts_once(valkey: Server, heard: Heard) -> None:
    async with instances(valkey, heard, "a", "b", "c") as some:
        for calls, one in enumerate(some, 10):
            one.calls(calls, **BAD)
        await exchange(some, 5)

        assert [one.samples() for one in some] == pytest.approx([33.0] * 3)
        assert [one.samples(ALL) for one in some] == pytest.approx([33.0] * 3)
        assert [len(one.memory.quality) for one in some] == [2, 2, 2], "each keeps its own apart"
        assert some[0].memory.quality.snapshot()[0][3][0] == 10, "and keeps nothing of the others' on disk"


async def test_a_trunk_that_others_found_bad_is_bad_and_fades_as_it_does_there(valkey: Server, heard: Heard) -> None:
    async with instances(valkey, heard, "a", "b") as (one, other):
        other.calls(1, dialstatus="ANSWER", pdd_ms=900, billsec=60)
        before = other.memory.quality.score("T1", KEY, NOW)
        one.calls(200, **BAD)
        await exchange([one, other])
        assert other.memory.quality.score("T1", KEY, NOW) < before, "at once"
        one.clock.now = other.watch.now = NOW + RoutingOptions().quality.half_life_s
        assert other.samples() == pytest.approx(one.samples(), rel=0.01) == pytest.approx(100.5, rel=0.01)


async def test_an_instance_that_is_gone_counts_for_nothing_after_a_while(valkey: Server, heard: Heard) -> None:
    async with instances(valkey, heard, "a", "b") as (one, other):
        one.calls(50, **BAD)
        await exchange([one, other])
        assert other.samples() == 50
        valkey.admin("DEL", f"{PREFIX}:member:1:a")
        await other.peers.exchange()
        assert (other.samples(), other.peers.others) == (0, 0)


async def test_names_that_nobody_has_any_more_go_and_hide_no_others(valkey: Server, heard: Heard) -> None:
    """C17: containers have a new name each time that they start."""
    registry = f"{PREFIX}:members:1"
    gone = [word for n in range(2 * MAX_INSTANCES) for word in (f"gone{n}", "1700000000")]
    valkey.admin("HSET", registry, *gone)
    async with instances(valkey, heard, "a", "b") as some:
        await exchange(some)
        assert valkey.admin("HLEN", registry) == 2 * MAX_INSTANCES + 2
        some[0].clock.now += UNHEARD_S + 1
        await exchange(some, 3)
        assert set(valkey.admin("HKEYS", registry)) == {b"a", b"b"}
        assert [one.peers.others for one in some] == [1, 1]


async def test_an_instance_whose_clock_is_wrong_is_heard_and_hears(valkey: Server, heard: Heard) -> None:
    """C16."""
    async with instances(valkey, heard, "a", "b") as (one, ahead):
        ahead.peers._clock = Clock(NOW + 10 * DAY)
        for _ in range(10):
            await exchange([one, ahead], 1)
            one.clock.now += UNHEARD_S / 4
            ahead.peers._clock.now += UNHEARD_S / 4
        assert (one.peers.others, ahead.peers.others) == (1, 1)


async def test_without_the_server_what_was_heard_holds_for_a_while_and_then_ones_own_alone(
    valkey: Server, heard: Heard
) -> None:
    """C13."""
    async with instances(valkey, heard, "a", "b") as (one, other):
        one.calls(50, **BAD)
        await exchange([one, other])
        other.wire.cut = True
        await other.peers.exchange()
        assert other.samples() == 50
        other.clock.now += GONE_S + 1
        await other.peers.exchange()
        assert (other.samples(), other.peers.others) == (0, 0)


async def test_a_rule_that_is_back_in_shadow_in_one_instance_is_so_in_all(valkey: Server, heard: Heard) -> None:
    """B3, B5. What an operator ends here stays ended, until it goes back again."""
    async with instances(valkey, heard, "a", "b") as (one, other):
        one.watch.probes(*[ANSWERED] * 20)
        assert one.watch.call() == SHADOWED
        assert other.watch.call() == BLOCKED
        await exchange([one, other])
        assert other.watch.call() == SHADOWED
        assert [code for code, _ in other.watch.alarms] == ["false_blocks"]
        assert other.watch.standing.mode == "returned"

        assert other.watch.governor.enforce_again("dead_number")
        await exchange([one, other], 3)
        assert other.watch.call() == BLOCKED
        for instance in (one, other):
            instance.clock.now = instance.watch.now = NOW + DAY
        one.watch.probes(*[ANSWERED] * 20)
        await exchange([one, other])
        assert other.watch.call() == SHADOWED


async def test_scored_calls_of_all_instances_are_weighed_together(valkey: Server, heard: Heard) -> None:
    """B3: each alone has too few to tell."""
    async with instances(valkey, heard, "a", "b") as (one, other):
        one.watch.probes(*[ANSWERED] * 15)
        other.watch.probes(*[NO_SUCH_NUMBER] * 4)
        await exchange([one, other])
        assert other.watch.standing.scored == 19
        assert other.watch.call() == BLOCKED
        other.watch.probes(ANSWERED)
        assert other.watch.call() == SHADOWED
        await exchange([one, other])
        assert one.watch.call() == SHADOWED


async def test_a_provider_gone_mad_blocks_in_no_instance(valkey: Server, heard: Heard) -> None:
    """B5. An operator's word ends it here."""
    async with instances(valkey, heard, "a", "b") as (one, other):
        one.watch.hear(DEAD, 12)
        await exchange([one, other])
        assert other.watch.call() == SHADOWED
        assert other.watch.governor.distrusted(NOW) == ["fake GB"]
        assert other.watch.governor.trust_again("fake", NOW)
        await exchange([one, other])
        assert other.watch.call() == BLOCKED
        one.watch.governor.trust_again("fake", NOW)
        one.watch.hear(ALIVE)
        await exchange([one, other])
        assert one.watch.call() == BLOCKED


async def test_two_with_one_name_take_names_of_their_own_and_say_so(valkey: Server, heard: Heard) -> None:
    async with instances(valkey, heard, "twin", "twin") as (one, other):
        await exchange([one, other], 3)
        assert set(heard.codes) == {"cluster_name_taken"}
        assert len({one.peers._name(), other.peers._name()}) == 2
        one.calls(5, **BAD)
        await exchange([one, other])
        assert (one.peers.others, other.peers.others) == (1, 1)
        assert other.samples() == 5


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"\xc1",
        b"\x00" * 300_000,
        msgspec.msgpack.encode(["t", [["T1", KEY, NOW, [1] * 8]], [{}, {}]]),
        msgspec.msgpack.encode(["t", [["T1", KEY, NOW, [-1] * 9]], [{}, {}]]),
        msgspec.msgpack.encode(["t", [["T1", KEY, NOW, [10**15] * 9]], [{}, {}]]),
        msgspec.msgpack.encode(["t", [["T1", KEY, NOW, [1] * 9]] * 300, [{}, {}]]),
        msgspec.msgpack.encode(["t", [], [{"dead_number#1": [0, 0, 0, float("nan"), 0, None]}, {}]]),
    ],
)
async def test_what_is_no_report_is_counted_and_believed_by_nobody(valkey: Server, heard: Heard, body: bytes) -> None:
    """C15."""
    async with instances(valkey, heard, "a") as (one,):
        valkey.admin("HSET", f"{PREFIX}:members:1", "stranger", "1")
        valkey.admin("SET", f"{PREFIX}:member:1:stranger", body)
        await exchange([one])
        assert one.peers.others == 0
        assert heard.counts["cluster_bad_report"] == 2


async def test_what_was_seen_in_the_future_fades_from_now_on(valkey: Server, heard: Heard) -> None:
    """C16."""
    async with instances(valkey, heard, "a") as (one,):
        report = ["t", [["T1", KEY, NOW + 1e9, [1000] * 9]], msgspec.to_builtins(Seen())]
        valkey.admin("HSET", f"{PREFIX}:members:1", "b", "1")
        valkey.admin("SET", f"{PREFIX}:member:1:b", msgspec.msgpack.encode(report))
        await one.peers.exchange()
        assert one.samples() == 10
        one.clock.now += RoutingOptions().quality.half_life_s
        assert one.samples() == pytest.approx(5)


async def test_reports_hold_no_numbers(valkey: Server, heard: Heard) -> None:
    """S16."""
    async with instances(valkey, heard, "a") as (one,):
        one.calls(5, **BAD)
        one.watch.probes(*[ANSWERED] * 5)
        await one.peers.exchange()
        assert b"44740" not in valkey.admin("GET", f"{PREFIX}:member:1:a")
