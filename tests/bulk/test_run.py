"""A run and what it meets: busy and broken providers, caps, Ctrl-C. Seconds pass at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any

import pytest

from agi_lookup.bulk.answers import Shown
from agi_lookup.bulk.journal import Line
from agi_lookup.bulk.rows import Known, Totals, Wanted
from agi_lookup.bulk.run import GRACE_S, Pace, Run
from agi_lookup.domain.errors import OutsideError
from tests.bulk.answers import failed, shown
from tests.lookup.virtual_time import run as in_virtual_time

Look = Callable[[str], Awaitable[Shown]]


class Kept:
    """Lines in memory."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, line: Line) -> None:
        self.lines.append(line)

    async def sync(self) -> None: ...

    @property
    def done(self) -> list[int]:
        return [line.row for line in self.lines if line.done]

    @property
    def open(self) -> list[int]:
        return [line.row for line in self.lines if not line.done]


class Site:
    """A run over `rows` numbers, each its own index."""

    def __init__(self, rows: int, look: Look, **pace: Any) -> None:
        self.kept = Kept()
        self.totals = Totals(rows)
        self.asked: list[str] = []
        self.most = 0
        self._under_way = 0
        self._look = look
        self._left: list[Wanted | Known | None] = [Wanted(n, str(n), 0.0) for n in range(rows)]
        self._pace = Pace(**{"concurrency": 4, "retry_s": 60.0, **pace})

    def put(self, row: Wanted | Known | None) -> None:
        self._left.append(row)

    def make(self) -> Run:
        return Run(iter(self._left), self._watched, self.kept, self._pace, self.totals)

    def run(self) -> str:
        """Why it stopped."""

        async def main() -> str:
            run = self.make()
            await run.run()
            return run.stopped

        return in_virtual_time(main())

    async def _watched(self, text: str) -> Shown:
        self.asked.append(text)
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            return await self._look(text)
        finally:
            self._under_way -= 1


def answering(*said: Shown, then: Shown | None = None, takes_s: float = 0.1) -> Look:
    """Says these in turn, then `then` for ever."""
    turns = iter(said)

    async def look(_text: str) -> Shown:
        await asyncio.sleep(takes_s)
        return next(turns, then or shown())

    return look


def test_every_row_is_asked_once_and_so_many_at_a_time() -> None:
    site = Site(100, answering(), concurrency=7)

    assert site.run() == ""
    assert sorted(site.kept.done) == list(range(100))
    assert len(site.asked) == 100
    assert site.most == 7
    assert (site.totals.done, site.totals.asked, site.totals.spent) == (100, 100, {"credits": Decimal(100)})


def test_what_is_known_is_kept_and_nobody_is_asked() -> None:
    site = Site(0, answering())
    site.put(None)
    site.put(Known(5, shown("BADNUMBER", error="bad_character", cost=None)))

    site.run()

    assert (site.kept.done, site.asked, site.totals.bad) == ([5], [], 1)


@pytest.mark.parametrize("word", ["busy", "rate_limited", "shut", "unavailable", "overload", "no_server", "not_booked"])
def test_a_busy_provider_is_waited_for(word: str) -> None:
    site = Site(8, answering(*[failed(word)] * 20))

    assert site.run() == ""
    assert sorted(site.kept.done) == list(range(8))


def test_a_row_is_tried_as_long_as_others_are_answered() -> None:
    """A rate of one number in 10 s, and 20 numbers that want one."""
    free_at = 0.0

    async def look(_text: str) -> Shown:
        nonlocal free_at
        now = asyncio.get_running_loop().time()
        if now < free_at:
            return failed("rate_limited")
        free_at = now + 10
        return shown()

    site = Site(20, look, concurrency=20)

    assert site.run() == ""
    assert sorted(site.kept.done) == list(range(20))


def test_a_network_that_is_held_back_does_not_hold_up_the_others() -> None:
    async def look(text: str) -> Shown:
        await asyncio.sleep(0.1)
        return failed("rate_limited") if int(text) % 10 < 3 else shown()

    site = Site(100, look)

    assert site.run() == ""
    assert len(site.kept.done) == 70
    assert all(row % 10 < 3 for row in site.kept.open)


@pytest.mark.parametrize("word", ["shut", "timeout", "lost_reply", "bad_answer", "tls"])
def test_when_nobody_answers_any_more_it_ends(word: str) -> None:
    """P16: and what may be charged in vain is bounded."""
    site = Site(1000, answering(then=failed(word)))

    assert site.run() == word
    assert site.kept.done == []
    assert len(site.kept.open) <= 20 + 4


def test_some_failures_among_answers_do_not_end_it() -> None:
    async def look(text: str) -> Shown:
        await asyncio.sleep(0.1)
        return failed("timeout") if int(text) % 3 else shown()

    site = Site(200, look)

    assert site.run() == ""
    assert len(site.kept.open) + len(site.kept.done) == 200


def test_an_unknown_outcome_is_not_asked_again_and_says_for_how_long() -> None:
    site = Site(1, answering(failed("timeout")))
    site.run()

    (line,) = site.kept.lines
    assert (line.done, site.asked) == (False, ["0"])
    assert line.again_at - line.at == 30


def test_another_run_asks_it_no_sooner() -> None:
    site = Site(0, answering())
    site.put(Wanted(0, "0", time.time() + 25))
    asked_at = 0.0

    async def main() -> None:
        nonlocal asked_at
        began = asyncio.get_running_loop().time()
        await site.make().run()
        asked_at = asyncio.get_running_loop().time() - began

    in_virtual_time(main())

    assert 24 < asked_at < 27
    assert site.kept.done == [0]


@pytest.mark.parametrize("word", ["over_budget", "auth", "out_of_credit"])
def test_what_would_be_the_same_for_every_number_ends_it_at_once(word: str) -> None:
    """P11, P12."""
    site = Site(1000, answering(*[shown()] * 10, then=failed(word)))

    assert site.run() == word
    assert len(site.kept.done) == 10
    assert len(site.asked) <= 14, "those under way, and no more"


def test_a_cap_that_is_not_a_days_is_waited_for() -> None:
    """Five numbers in any 30 s."""
    paid_at: list[float] = []

    async def look(_text: str) -> Shown:
        now = asyncio.get_running_loop().time()
        if len([at for at in paid_at if at > now - 30]) >= 5:
            return failed("over_budget")
        paid_at.append(now)
        await asyncio.sleep(0.1)
        return shown()

    site = Site(20, look, burst_s=30.0, retry_s=0.0)

    assert site.run() == ""
    assert len(site.kept.done) == 20


def test_interrupted_it_waits_for_what_was_asked_and_takes_nothing_new() -> None:
    site = Site(100, answering(takes_s=5))

    async def main() -> str:
        run = site.make()
        asyncio.get_running_loop().call_later(7, run.interrupt)
        await run.run()
        return run.stopped

    assert in_virtual_time(main()) == "interrupted"
    assert sorted(site.kept.done) == list(range(8))
    assert len(site.asked) == 8


def test_interrupted_it_does_not_wait_for_ever() -> None:
    site = Site(100, answering(takes_s=10_000))
    assert _ended_after(site, (1.0,)) == pytest.approx(1 + GRACE_S)


def test_interrupted_twice_it_does_not_wait_at_all() -> None:
    site = Site(100, answering(takes_s=10_000))
    assert _ended_after(site, (1.0, 2.0)) == pytest.approx(2)


def test_interrupted_while_it_waits_for_a_busy_provider_it_ends_at_once() -> None:
    site = Site(100, answering(then=failed("busy")))
    assert _ended_after(site, (2.0,)) < 2.5


def _ended_after(site: Site, interrupts: tuple[float, ...]) -> float:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began, run = loop.time(), site.make()
        for at in interrupts:
            loop.call_later(at, run.interrupt)
        await run.run()
        return loop.time() - began

    return in_virtual_time(main())


def test_trouble_with_the_journal_ends_it_and_is_told() -> None:
    class Full(Kept):
        def write(self, line: Line) -> None:
            raise OutsideError("out.csv.part: No space left on device")

    site = Site(100, answering())
    site.kept = Full()

    with pytest.raises(OutsideError, match="No space"):
        site.run()
    assert len(site.asked) <= 4


def test_trouble_with_the_disk_ends_it_and_is_told() -> None:
    class Broken(Kept):
        async def sync(self) -> None:
            raise OutsideError("out.csv.part: Input/output error")

    site = Site(10_000, answering())
    site.kept = Broken()

    with pytest.raises(OutsideError, match="Input/output"):
        site.run()
    assert len(site.asked) < 100


def test_what_an_unfinished_row_had_cost_is_in_the_sum() -> None:
    """Two tries: the first told half for one credit, the second the rest for another."""
    site = Site(1, answering(shown("PARTIAL", error="busy"), shown()))
    site.run()

    (line,) = site.kept.lines
    assert "2" in line.cells
    assert site.totals.spent == {"credits": Decimal(2)}


def test_a_long_file_of_known_rows_does_not_block_the_loop() -> None:
    """Others get a turn between rows that are passed over."""
    turns = 0

    def left() -> Iterator[Wanted | Known | None]:
        for _ in range(1000):
            yield None

    async def main() -> None:
        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        site = Site(0, answering(), concurrency=1)
        await Run(left(), site._watched, site.kept, Pace(1, 0.0), site.totals).run()
        beside.cancel()

    main_: Coroutine[Any, Any, None] = main()
    in_virtual_time(main_)
    assert turns >= 1000
