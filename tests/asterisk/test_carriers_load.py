"""Calls by the hundred over six SIP carriers, by the product as users run it: every route is checked against an oracle."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest

from tests.asterisk.carriers import Carrier, carrier
from tests.asterisk.lab import CONFIG, Asterisk
from tests.asterisk.sipp import sipp
from tests.processes import Site, make_site

BEHAVIOURS: Final = {
    "full": (503,),
    "unrouted": (404,),
    "best": (200,),
    "busy": (180, 486),
    "absent": (180, 480),
    "good": (180, 200),
}
ADVANCES: Final = {"full", "unrouted"}
DIALSTATUS: Final = {
    "full": "CONGESTION",
    "unrouted": "CHANUNAVAIL",
    "best": "ANSWER",
    "busy": "BUSY",
    "absent": "NOANSWER",
    "good": "ANSWER",
}
MAY_BE_LATE: Final = 0.01
MAY_BE_LOST: Final = 0.1
"""On a busy machine: a report that is not taken in time is let go, and so are its call's that follow."""
ROUTES: Final = list(permutations(BEHAVIOURS, 3))


@pytest.fixture(scope="module")
def asterisk(unhurried: Asterisk) -> Asterisk:
    return unhurried


def attempts_of(routes: tuple[str, ...]) -> list[str]:
    """The oracle: which of the routes are tried, in order."""
    taken = next((n for n, trunk in enumerate(routes, 1) if trunk not in ADVANCES), len(routes))
    return list(routes[:taken])


def number_of(call: int) -> tuple[str, tuple[str, ...]]:
    """The n-th call's number, which no other has, and its routes: each order of three carriers has a prefix of its own."""
    turn, order = divmod(call, len(ROUTES))
    return f"4474001{order:03}{turn:02}", ROUTES[order]


def set_rates(site: Site, carriers: Mapping[str, Carrier]) -> None:
    """Each order of three carriers is the order of their prices for its prefix; nobody else sells that."""
    trunks = {name: {"vendor": name, "dial": running.dial("{number}")} for name, running in carriers.items()}
    never_rest = {"min_samples": 1_000_000}  # the oracle knows nothing of trunks that are learnt to be bad
    site.data["routing"] = {"currency": "EUR", "trunks": trunks, "quality": never_rest}
    site.write()
    for name in carriers:
        rates = [
            f"4474001{order:03},0.0{routes.index(name) + 1}\n" for order, routes in enumerate(ROUTES) if name in routes
        ]
        deck = site.folder / f"{name}.csv"
        deck.write_text("prefix,rate\n" + "".join(rates))
        for command in (("import", "--vendor", name, "--currency", "EUR", str(deck)), ("activate", name)):
            done = site.cli("rates", *command)
            assert done.returncode == 0, done.stderr


SITE: Final = """
[load]
exten => s,1,Set(AGI_LOOKUP_DEFAULT_DIAL={spare})
 same => n,Set(AGI_LOOKUP_WATCHDOG_S=20)
 same => n,Gosub(agi-lookup-dial,s,1(${{ARG1}}))
"""


async def loaded(asterisk: Asterisk, site: Site, *, rate: int, seconds: int) -> None:
    """Every call tries the carriers of its number, the cheapest first, and stops where it should; the tries are reported.

    A call that the server is too late for goes by the spare carrier.
    """
    calls = [number_of(call) for call in range(rate * seconds)]
    with ExitStack() as stack:
        carriers = {
            name: stack.enter_context(carrier(asterisk, *codes, pause_ms=50, hold_ms=200))
            for name, codes in BEHAVIOURS.items()
        }
        spare = stack.enter_context(carrier(asterisk, 200, hold_ms=200))
        asterisk.load_dialplan(SITE.format(spare=spare.dial("{num}")))
        set_rates(site, carriers)
        with site.serve():
            ran = await asyncio.to_thread(
                sipp, asterisk, [f"+{number}" for number, _ in calls], url=f"agi://{site.agi}", calls=len(calls),
                rate=rate, timeout_s=seconds + 30, context="load", scenario=CONFIG / "call.xml",
            )  # fmt: skip
            reported = results_counted(site)
        tried: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for name, running in carriers.items():
            for number, at in running.asked_at.items():
                tried[number].append((at, name))
        times = sum(len(running.calls) for running in carriers.values())
        unanswered = {number.removeprefix("+") for number in spare.asked_at}
    assert (ran.good, ran.failed) == (len(calls), 0)
    assert len(unanswered) <= MAY_BE_LATE * len(calls)
    expected = {number: attempts_of(routes) for number, routes in calls if number not in unanswered}
    assert {number: [name for _, name in sorted(tries)] for number, tries in tried.items()} == expected
    assert times == sum(map(len, expected.values()))
    wanted = Counter(DIALSTATUS[name] for attempts in expected.values() for name in attempts)
    assert reported <= wanted
    assert (wanted - reported).total() <= MAY_BE_LOST * wanted.total()


def results_counted(site: Site) -> Counter[str]:
    with urlopen(f"http://127.0.0.1:{site.http_port}/metrics") as page:
        text = page.read().decode()
    found = re.findall(r'^agi_lookup_events_total{event="result_([a-z]+)"} (\S+)$', text, re.MULTILINE)
    return Counter({status.upper(): round(float(count)) for status, count in found})


async def test_calls_by_the_hundred_take_the_cheapest_routes_of_their_numbers(
    asterisk: Asterisk, tmp_path: Path
) -> None:
    await loaded(asterisk, make_site(tmp_path), rate=50, seconds=5)


@pytest.mark.soak
@pytest.mark.skipif("SOAK" not in os.environ, reason="a minute of 200 calls a second: make soak")
@pytest.mark.timeout(300, func_only=True)
async def test_two_hundred_calls_a_second_for_a_minute_over_six_carriers(asterisk: Asterisk, tmp_path: Path) -> None:
    await loaded(asterisk, make_site(tmp_path), rate=200, seconds=60)
