"""Money, end to end: real servers and simulated vendors, with faults, hang-ups and `kill -9`; the ledger against the vendors' bill.

Ordinary runs kill some 25 and 15 times, `SOAK=1` a hundred times each.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from agi_lookup.lookup.caps import DAY_S
from agi_lookup.sim.scenarios import Scenario
from tests.calls import Books, Vendors, books, dial, on_disk, reachable, site_of, vendors
from tests.forked import Forked, forks
from tests.processes import Site

pytestmark = pytest.mark.usefixtures("untraced")

SOAK: Final = "SOAK" in os.environ
NAMES: Final = ("npl", "hlrlookup", "numberyo")
CAP: Final = 60
BURST: Final = 12
BURST_S: Final = 10
TIMEOUT_S: Final = 0.5
CONCURRENCY: Final = 4
CAPS: Final[dict[str, Any]] = {
    "providers": {
        "npl": {"per_day": {"credits": str(CAP)}},
        "hlrlookup": {"burst": {"credits": str(BURST), "seconds": BURST_S}},
    }
}
WELL: Final[dict[str, Any]] = {"error_rate": 0, "drop_rate": 0, "malformed": False, "hang": False, "latency_ms": 5}
FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {},
    {"latency_ms": 80},
    {"error_rate": 0.4},
    {"drop_rate": 0.4},
    {"malformed": True},
    {"hang": True},
)


def paid_site(folder: Path, sim: Vendors, **changes: Any) -> Site:
    """Three vendors, two of them capped. A call waits for all of them, one after the other."""
    blocks = sim.blocks(*NAMES, timeout_s=TIMEOUT_S, **changes)
    return site_of(folder, blocks, budget=CAPS)


class Till:
    """What stands on the vendors' bill, and when that was seen."""

    def __init__(self, sim: Vendors) -> None:
        self._sim = sim
        self.seen: list[tuple[float, float, int]] = []  # not before, not after, numbers

    def look(self, name: str = "hlrlookup") -> None:
        before = time.monotonic()
        numbers = self._sim.bill()[name]["numbers"]
        self.seen.append((before, time.monotonic(), numbers))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                await asyncio.to_thread(self.look)
                await asyncio.sleep(0.1)

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()

    def most_within(self, seconds: float) -> int:
        """Numbers that were certainly bought in a window of so many seconds."""
        return max(
            later - earlier
            for n, (begun, _, earlier) in enumerate(self.seen)
            for _, over, later in self.seen[n:]
            if over - begun <= seconds
        )


class Callers:
    """Who dials until the server is gone: new numbers, numbers of just now, and numbers of before the last crash."""

    def __init__(self, site: Site, sim: Vendors, draw: random.Random) -> None:
        self.known: set[str] = set()  # answered
        self._site = site
        self._sim = sim
        self._draw = draw
        self._new = iter(range(300_000))
        self._recent: list[str] = []
        self._looked_at = 0
        self._kept: dict[str, int] = {}  # that was on disk at a crash, and how often it had been asked about by then

    async def one_after_the_other(self) -> None:
        """Who leaves dials again at once, so never is more than one request under way."""
        while True:
            number = self._number()
            if self._draw.random() < 0.3:
                await dial(self._site, number, leave_after_s=self._draw.uniform(0, 0.03))
            if not await self._stay(number):
                return

    async def crowd(self, size: int) -> None:
        await asyncio.gather(*(self._one_of_many() for _ in range(size)))

    async def _one_of_many(self) -> None:
        while True:
            number = self._number()
            if self._draw.random() < 0.3:
                variables = await dial(self._site, number, leave_after_s=self._draw.uniform(0, 0.05))
                if variables is None:
                    return
            elif not await self._stay(number):
                return

    async def _stay(self, number: str) -> bool:
        """False when the server is gone."""
        variables = await dial(self._site, number)
        if variables:
            assert variables["LOOKUP_STATUS"] in {"OK", "PARTIAL"}
            if variables["LOOKUP_STATUS"] == "OK":
                self.known.add(number)
            if number in self._kept:
                assert variables["LOOKUP_CACHE"] == "fresh"
        return bool(variables)

    def _number(self) -> str:
        luck = self._draw.random()
        if luck < 0.1 and self._kept:
            return self._draw.choice(tuple(self._kept))
        if luck < 0.3 and self._recent:
            return self._draw.choice(self._recent)
        self._recent = [*self._recent[-10:], reachable(next(self._new))]
        return self._recent[-1]

    def crashed(self) -> None:
        """What was on disk may never be asked for again; what was not may be lost. How soon it is there, tests/cache says."""
        asked = self._sim.asked()
        for number in self.known & on_disk(self._site) if self.known else ():
            self._kept.setdefault(number, asked[number])
        self.known.clear()
        self._check_life()

    def _check_life(self) -> None:
        """While a server lived, nobody was asked twice for a number: not by another caller, and not after a lost reply."""
        journal = self._sim.journal()
        life, self._looked_at = journal[self._looked_at :], len(journal)
        assert max(Counter((e["vendor"], n) for e in life for n in e["numbers"]).values(), default=0) <= 1

    def check(self) -> int:
        """Was what we kept never asked for again? Returns how much that was."""
        asked = self._sim.asked()
        assert self._kept == {number: asked[number] for number in self._kept}
        return len(self._kept)


async def until_killed(server: Forked, calling: asyncio.Task[None], life_s: float) -> None:
    await asyncio.wait([calling], timeout=life_s)
    server.kill()
    await calling


def rows(site: Site) -> dict[str, dict[str, Decimal]]:
    """What `agi-lookup spend` says, by provider, over all days."""
    sums: dict[str, dict[str, Decimal]] = {}
    for line in site.json("spend")["days"]:
        row = sums.setdefault(line["provider"], {"charged": Decimal(0), "unknown": Decimal(0)})
        row["charged"] += Decimal(line["charged"])
        row["unknown"] += line["unknown"]
    return sums


def compare(site: Site, sim: Vendors, booked: Books) -> Decimal:
    """The `spend` command against the vendors' bill: returns what was booked and neither charged nor refused."""
    bill, spent = sim.bill(), rows(site)
    beyond = Decimal(0)
    for name in NAMES:
        charged = Decimal(bill[name]["charged"])
        broken = sum(count for (vendor, _), count in booked.refused.items() if vendor == name)
        assert 0 <= spent[name]["charged"] - charged <= spent[name]["unknown"]
        beyond += max(spent[name]["charged"] - charged - broken, Decimal(0))
    return beyond


def check_caps(site: Site, sim: Vendors, till: Till, began: float) -> None:
    """On the bill as in the ledger, and reached."""
    days = 1 + int(time.time() // DAY_S) - int(began // DAY_S)
    assert sim.charged("npl") <= CAP * days
    assert rows(site)["npl"]["charged"] == CAP or days > 1, "the cap was never reached: the test is too short"
    assert till.most_within(BURST_S - 1) <= BURST


@pytest.mark.timeout(1800 if SOAK else 600)
async def test_the_bill_is_the_ledger_but_for_one_unknown_outcome_a_crash(tmp_path: Path) -> None:
    """B7, C6, F13, P3, P5, P7, P14, G5: one request under way at a time, vendors that fail, callers who leave, `kill -9`."""
    kills, draw, began = 100 if SOAK else 25, random.Random(5), time.time()
    with vendors(tmp_path, "--latency-ms", "5") as sim, forks() as forked:
        site, till = paid_site(tmp_path, sim), Till(sim)
        callers = Callers(site, sim, draw)
        async with till.watching():
            for _ in range(kills):
                sim.change(**WELL | draw.choice(FAULTS))
                server = forked.serve(site)
                if draw.random() < 0.8:
                    server.wait_until_serving()
                calling = asyncio.create_task(callers.one_after_the_other())
                await until_killed(server, calling, draw.uniform(0, 1.4))
                callers.crashed()
        booked = books(site, sim)
        booked.check()
        beyond = compare(site, sim, booked)
        kept = callers.check()
        check_caps(site, sim, till, began)
    assert booked.open_requests <= kills
    assert beyond <= kills
    assert kept > 10, "hardly anything was known when the server was killed"


@pytest.mark.timeout(1800 if SOAK else 600)
async def test_with_many_under_way_the_ledger_never_holds_less_than_the_bill(tmp_path: Path) -> None:
    """B7, G5: at most one unknown outcome a crash and request under way."""
    kills, draw, began = 100 if SOAK else 15, random.Random(6), time.time()
    with vendors(tmp_path, "--limit", "npl.max_connections=0") as sim, forks() as forked:
        site, till = paid_site(tmp_path, sim, max_concurrency=CONCURRENCY), Till(sim)
        callers = Callers(site, sim, draw)
        async with till.watching():
            for _ in range(kills):
                sim.change(**WELL | draw.choice(FAULTS))
                server = forked.serve(site)
                server.wait_until_serving()
                calling = asyncio.create_task(callers.crowd(30))
                await until_killed(server, calling, draw.uniform(0, 1.4))
                callers.crashed()
                books(site, sim).check()
        booked = books(site, sim)
        compare(site, sim, booked)
        kept = callers.check()
        check_caps(site, sim, till, began)
    assert 0 < booked.open_requests <= kills * CONCURRENCY * len(NAMES)
    assert kept > 10, "hardly anything was known when the server was killed"


async def test_a_thousand_callers_for_one_number_pay_once_though_the_first_hang_up(tmp_path: Path) -> None:
    """C1, C2, F13, G7: whoever leaves, whenever; and again a thousand calls later."""
    draw = random.Random(7)
    with vendors(tmp_path, "--latency-ms", "300") as sim:
        site = site_of(tmp_path, sim.blocks(*NAMES))
        with site.serve():
            for number in [reachable(n) for n in range(20 if SOAK else 2)]:
                leaving = [asyncio.create_task(dial(site, number, leave_after_s=0.0)) for _ in range(100)]
                await asyncio.sleep(0.05)
                staying = [asyncio.create_task(dial(site, number)) for _ in range(800)]
                leaving += [
                    asyncio.create_task(dial(site, number, leave_after_s=draw.uniform(0, 0.4))) for _ in range(100)
                ]
                await asyncio.gather(*leaving)
                assert [said and said["LOOKUP_STATUS"] for said in await asyncio.gather(*staying)] == ["OK"] * 800
                later = await asyncio.gather(*(dial(site, number) for _ in range(100)))
                assert {said and said["LOOKUP_CACHE"] for said in later} == {"fresh"}
        assert set(sim.asked().values()) == {1}


async def test_who_dials_at_random_burns_his_own_allowance_only(tmp_path: Path) -> None:
    """B6: calls go on, without a lookup; others do not notice; a crash gives nothing back."""
    allowance, attempts = 40, 20_000 if SOAK else 600
    with vendors(tmp_path, "--limit", "npl.max_connections=0") as sim:
        site = site_of(tmp_path, sim.blocks("npl"), budget={"misses_per_hour": allowance})
        random_dialling = iter(range(100_000))

        async def burn(calls: int) -> Counter[tuple[str, str, str]]:
            said = await asyncio.gather(
                *(dial(site, reachable(next(random_dialling)), "mallory") for _ in range(calls))
            )
            return Counter(outcome(variables) for variables in said)

        with site.serve() as server:
            burnt: Counter[tuple[str, str, str]] = Counter()
            for block in range(attempts // 50):
                burnt += await burn(50)
                assert outcome(await dial(site, reachable(block % 30, block=1), "alice")) == GOOD
            server.end(signal.SIGKILL)
        with site.serve():
            after = await burn(50)
            honest = [outcome(await dial(site, reachable(n, block=2), "bob")) for n in range(allowance)]
        paid = int(sim.bill()["npl"]["numbers"])
    assert set(burnt) <= {GOOD, BURNT}
    assert burnt[GOOD] == allowance
    assert after == {BURNT: 50}
    assert honest == [GOOD] * allowance
    assert paid == 2 * allowance + min(30, attempts // 50)


@pytest.mark.parametrize("name", ["npl", "hlrlookup", "numberyo", "checkmobi", "http_json"])
def test_whatever_a_number_is_the_ledger_holds_what_the_vendor_bills(tmp_path: Path, name: str) -> None:
    """B6, B7, G5: also of numbers that no network has and vendors charge for. Else who dials those burns money that no cap sees."""
    numbers = [f"447400{n:04}{scenario.value:02}" for n, scenario in enumerate(Scenario) if scenario not in LATER]
    with vendors(tmp_path) as sim:
        site = site_of(tmp_path, sim.blocks(name, timeout_s=5, max_batch=1))
        (tmp_path / "in.csv").write_text("\n".join(["number", *numbers, ""]))
        site.cli("bulk", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"), "--retry-s", "0")
        booked = books(site, sim)
    assert booked.billed.total() >= len(numbers) / 2
    booked.check()


LATER: Final = (Scenario.SLOW, Scenario.RATE_LIMITED, Scenario.HTTP_429)
GOOD: Final = ("OK", "allow", "")
BURNT: Final = ("PARTIAL", "allow", "over_budget")


def outcome(variables: dict[str, str] | None) -> tuple[str, str, str]:
    said = variables or {}
    return said.get("LOOKUP_STATUS", ""), said.get("LOOKUP_ACTION", ""), said.get("LOOKUP_ERROR", "")
