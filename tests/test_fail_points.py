"""O9: whatever a call passes on its way is made to fail, one after the other; the call goes on, the next one is served as ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from agi_lookup import wiring
from agi_lookup.call import CallKit
from agi_lookup.lag import LagMeter
from agi_lookup.log import configure
from agi_lookup.server import Limits, Server
from agi_lookup.sim.asterisk import Played, play
from tests.calls import call_of, fresh_numbers
from tests.served import Served, read_config
from tests.served import serving as serving_http

LIMITS: Final = Limits(100, 100, 10.0, 10.0)


class Broken:
    """In place of anything: to call it fails, and so do the methods that are named."""

    def __init__(self, real: object, error: Exception, *fails: str) -> None:
        self._real, self._error, self._fails = real, error, fails

    def __getattr__(self, name: str) -> Any:
        if name in self._fails:
            return self._fail
        return getattr(self._real, name)

    def __call__(self, *_args: object, **_options: object) -> Any:
        raise self._error

    _fail = __call__


@dataclass
class World:
    """A server without vendors: its core, and the FastAGI side."""

    served: Served
    server: Server
    port: int

    @property
    def core(self) -> wiring.Core:
        return self.served.core

    async def call(self, number: str) -> Played:
        async with asyncio.timeout(10):
            return await play(call_of(number), "127.0.0.1", self.port)

    def bugs(self) -> float:
        families = self.core.metrics.registry.collect()
        return sum(s.value for f in families if f.name == "agi_lookup_bugs" for s in f.samples)


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path) -> Iterator[None]:
    """The log as the server writes it: structlog's own way takes so long for an exception that calls are late."""
    before = structlog.get_config()
    with (tmp_path / "log").open("wb") as log:
        sink = configure("debug", fd=log.fileno())
        yield
        sink.close()
    structlog.configure(**before)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[World]:
    config = read_config(
        folder, providers={}, profiles={"default": {"dial_plan": {"country": "GB"}, "deadline_ms": 10_000}}
    )
    async with serving_http(config) as served:
        generation = served.generation
        server = Server(generation.kit, generation.access, LIMITS, served.core.metrics, LagMeter())
        port = await server.start("127.0.0.1", 0)
        try:
            yield World(served, server, port)
        finally:
            await server.stop(0.0)


def kit_with(**parts: Callable[[Any, Exception], Any]) -> Callable[[CallKit, Exception], CallKit]:
    """The same kit with parts of it broken."""

    def broken(kit: CallKit, error: Exception) -> CallKit:
        return replace(kit, **{name: make(getattr(kit, name), error) for name, make in parts.items()})

    return broken


def resolver_with(**parts: str) -> Callable[[CallKit, Exception], CallKit]:
    """A part of the profile's resolver is broken in one method, or (empty) altogether."""

    def broken(kit: CallKit, error: Exception) -> CallKit:
        profile = kit.profiles["default"]
        resolver: Any = profile.resolver
        changed = {n: Broken(getattr(resolver, n), error, *filter(None, [method])) for n, method in parts.items()}
        return replace(kit, profiles={"default": replace(profile, resolver=replace(resolver, **changed))})

    return broken


POINTS: Final = {
    "governor": kit_with(governor=lambda real, error: Broken(real, error, "judge")),
    "recall": kit_with(recall=Broken),
    "clock": kit_with(clock=Broken),
    "router": kit_with(router=lambda real, error: Broken(real, error, "rank")),
    "profiles": kit_with(profiles=lambda real, error: Broken(real, error, "__getitem__", "get")),
    "cache peek": resolver_with(cache="peek"),
    "cache may tell": resolver_with(cache="may_tell"),
    "chain offers": resolver_with(chain="offers"),
    "chain ask": resolver_with(chain="ask"),
    "flights": resolver_with(flights="join"),
    "plan": resolver_with(plan=""),
    "keeper": resolver_with(keeper="keep"),
    "resolver clock": resolver_with(clock=""),
    "overloaded": resolver_with(overloaded=""),
    "hear": resolver_with(hear=""),
}


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), MemoryError(), RecursionError("deep")], ids=lambda e: type(e).__name__
)
async def test_a_bug_anywhere_on_the_way_lets_its_call_go_on_and_harms_no_other(
    tmp_path: Path, error: Exception
) -> None:
    """O9, O6."""
    numbers = fresh_numbers()
    async with serving(tmp_path) as world:
        good = world.server.kit
        for point, break_it in POINTS.items():
            before = world.bugs()
            world.server.kit = break_it(good, error)
            hit = asyncio.create_task(world.call(next(numbers)))
            await asyncio.sleep(0.02)
            world.server.kit = good
            other = await world.call(next(numbers))
            told = (await hit).variables

            assert told.get("LOOKUP_ACTION", "allow") == "allow", point
            assert told.get("LOOKUP_STATUS") in (None, "DEGRADED", "PARTIAL"), point
            assert other.variables["LOOKUP_STATUS"] == "PARTIAL", point
            assert world.bugs() > before or told.get("LOOKUP_STATUS") == "PARTIAL", f"{point}: not counted"
        assert world.server.sessions == 0


@pytest.mark.parametrize("part", ["_note", "_number_id", "_metrics"])
async def test_a_bug_in_what_only_watches_takes_no_answer_away(tmp_path: Path, part: str) -> None:
    """O9: behind the answer, where it is counted, logged and noted."""
    numbers = fresh_numbers()
    async with serving(tmp_path) as world:
        real, before = getattr(world.server, part), world.bugs()
        setattr(world.server, part, Broken(real, RuntimeError("a bug"), "call"))
        hit = await world.call(next(numbers))
        setattr(world.server, part, real)
        after = await world.call(next(numbers))

        assert world.bugs() == before + 1

    assert hit.variables["LOOKUP_STATUS"] == "PARTIAL"
    assert after.variables["LOOKUP_STATUS"] == "PARTIAL"
