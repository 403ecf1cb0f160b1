"""Real calls through the server to a paid provider: from the cache, into a hang, into a crash, all at once for one number."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import statistics
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.asterisk.lab import NOTHING, Asterisk
from tests.asterisk.sipp import load
from tests.calls import on_disk
from tests.processes import Site, make_site
from tests.test_daemon import bought, fetch, simulator

SOAK: Final = pytest.mark.skipif("SOAK" not in os.environ, reason="long: make soak")

MOBILE: Final = NOTHING | {
    "LOOKUP_STATUS": "OK",
    "LOOKUP_COUNTRY": "GB",
    "LOOKUP_TYPE": "mobile",
    "LOOKUP_SOURCE": "npl",
    "LOOKUP_VALID": "yes",
    "LOOKUP_REACHABLE": "yes",
    "LOOKUP_REASON": "ok",
    "LOOKUP_PORTED": "no",
    "LOOKUP_CARRIER": "Example Mobile",
    "LOOKUP_MCC": "234",
    "LOOKUP_MNC": "15",
    "LOOKUP_MCCMNC": "23415",
    "LOOKUP_ORIG_CARRIER": "Example Mobile",
    "LOOKUP_ORIG_MCCMNC": "23415",
}
ORACLE: Final = {
    "00": MOBILE,
    "01": MOBILE | {"LOOKUP_PORTED": "yes", "LOOKUP_ORIG_CARRIER": "Sample Telecom", "LOOKUP_ORIG_MCCMNC": "23410"},
    "02": MOBILE | {"LOOKUP_REACHABLE": "no", "LOOKUP_REASON": "absent"},
}
"""By the last two digits of a British number whose third from last is even: what the simulated vendor knows of it."""
LEARNED: Final = [f"+44740012{n}4{ending}" for n in range(10) for ending in ORACLE]


PATIENT: Final = """
[patient]
exten => s,1,Set(AGI_LOOKUP_WATCHDOG_S=20)
 same => n,Gosub(agi-lookup,s,1(${ARG1}))
 same => n,Return()
"""
"""`agi-lookup` with a watchdog that lets a busy machine have its time."""


def distinct(count: int, ending: str = "00") -> list[str]:
    return [f"+44740{n:04d}0{ending}" for n in range(count)]


def expected(number: str) -> dict[str, str]:
    return ORACLE[number[-2:]] | {"LOOKUP_NUMBER": number}


def url(site: Site) -> str:
    return f"agi://{site.agi}"


def switch_fault(base: str, **faults: Any) -> None:
    """Make every request to the simulator fail in this way from now on."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=10)
    connection.request("POST", "/_sim/faults", json.dumps(faults))
    assert connection.getresponse().status == 200
    connection.close()


def requests(base: str) -> int:
    """All of them, paid or not, but for the free ones about the balance."""
    journal = fetch(base.removesuffix("/npl") + "/_sim/journal")
    return sum(bool(entry["numbers"]) for entry in journal)


def times_bought(base: str) -> Counter[str]:
    journal = fetch(base.removesuffix("/npl") + "/_sim/journal")
    return Counter(f"+{number}" for entry in journal for number in entry["numbers"])


def fast_site(folder: Path, npl: str, **profile: Any) -> Site:
    """One that may ask the provider a hundred times at once."""
    site = make_site(folder, provider=npl, **profile)
    site.data["providers"]["npl"]["max_concurrency"] = 100
    site.write()
    return site


# --------------------------------------------------------------------------------------------------- known numbers


async def cached(asterisk: Asterisk, folder: Path, *, seconds: int, context: str) -> None:
    """Learn the numbers, then call them 300 times a second."""
    asterisk.load_dialplan(PATIENT)
    with simulator(folder) as npl:
        site = make_site(folder, provider=npl, deadline_ms=5000)
        with site.serve():
            learned = await asyncio.gather(
                *(asterisk.call(number, context="patient", AGI_LOOKUP_URL=url(site)) for number in LEARNED)
            )
            assert [call.facts for call in learned] == [expected(number) for number in LEARNED]
            asked = requests(npl)
            calls = await load(asterisk, LEARNED, url=url(site), rate=300, seconds=seconds, context=context)
        assert [call.facts for call in calls] == [expected(LEARNED[n % len(LEARNED)]) for n in range(300 * seconds)]
        assert {call.route["LOOKUP_CACHE"] for call in calls} == {"fresh"}
        assert requests(npl) == asked
        assert times_bought(npl) == dict.fromkeys(LEARNED, 1)


async def test_cached_numbers_are_answered_right_at_three_hundred_calls_a_second(
    asterisk: Asterisk, tmp_path: Path
) -> None:
    """G1, F25: and the provider is not asked again."""
    await cached(asterisk, tmp_path, seconds=3, context="patient")


@pytest.mark.soak
@SOAK
@pytest.mark.timeout(300, func_only=True)
async def test_cached_numbers_are_answered_right_and_in_time_for_a_minute(asterisk: Asterisk, tmp_path: Path) -> None:
    """G1: with the watchdog as shipped, on a machine that does nothing else."""
    await cached(asterisk, tmp_path, seconds=60, context="as-shipped")


NETWORK: Final = [f"LOOKUP_{name}" for name in ("CARRIER", "MCC", "MNC", "MCCMNC", "ORIG_MCCMNC")]
DEAD: Final = (
    MOBILE
    | dict.fromkeys(NETWORK, "")
    | {"LOOKUP_STATUS": "PARTIAL", "LOOKUP_ORIG_CARRIER": "Three", "LOOKUP_PORTED": "unknown"}
    | {"LOOKUP_VALID": "no", "LOOKUP_REACHABLE": "no", "LOOKUP_REASON": "unknown_subscriber"}
    | {"LOOKUP_RULE": "shadow:dead_number", "LOOKUP_NUMBER": "+447400123403"}
)
"""No network states it, so the numbering plan says whose range it is in."""


async def test_dead_number_is_told_from_the_cache_as_it_was_at_first(asterisk: Asterisk, tmp_path: Path) -> None:
    with simulator(tmp_path) as npl:
        site = make_site(tmp_path, provider=npl)
        with site.serve():
            calls = [await asterisk.call("+447400123403", AGI_LOOKUP_URL=url(site)) for _ in range(2)]
    assert [call.facts for call in calls] == [DEAD, DEAD]


# ---------------------------------------------------------------------------------------------- a provider that hangs

DEADLINE_MS: Final = 500
GRACE_MS: Final = 100
CONNECTIONS: Final = 4
"""What a provider block without `max_concurrency` allows; the other calls wait for a free one until their own deadline."""
NO_CONNECTION: Final = ("PARTIAL", "allow", "busy", "plan")
"""What a call may be told instead, when its lookup gives up the wait for a connection in the very moment of its deadline."""
TIMEOUT_S: Final = 10
"""What it allows a request, which is longer than any call here lasts."""


async def hung(
    asterisk: Asterisk, folder: Path, ending: str, faults: dict[str, Any], *, rate: int, seconds: int
) -> list[float]:
    """How many milliseconds each call was held, by Asterisk's clock, when none gets an answer."""
    numbers = distinct(rate * seconds, ending)
    with simulator(folder) as npl:
        switch_fault(npl, **faults)
        site = make_site(folder, provider=npl, deadline_ms=DEADLINE_MS)
        with site.serve():
            calls = await load(asterisk, numbers, url=url(site), rate=rate, seconds=seconds)
            asked = requests(npl)
    told = {tuple(call.route[f"LOOKUP_{name}"] for name in ("STATUS", "ACTION", "ERROR", "SOURCE")) for call in calls}
    assert ("TIMEOUT", "allow", "timeout", "plan") in told
    assert told <= {("TIMEOUT", "allow", "timeout", "plan"), NO_CONNECTION}
    assert asked <= CONNECTIONS * (1 + seconds / TIMEOUT_S), "nobody is asked for a call that has gone on"
    return [call.took_s * 1000 for call in calls]


@pytest.mark.parametrize(
    ("ending", "faults"),
    [("21", {}), ("00", {"hang": True}), ("00", {"drip_ms": 400})],
    ids=["numbers-that-hang", "vendor-that-hangs", "vendor-that-drips"],
)
async def test_hanging_provider_holds_no_call_beyond_its_deadline(
    asterisk: Asterisk, tmp_path: Path, ending: str, faults: dict[str, Any]
) -> None:
    """P3, P15: a few calls may be late where the machine is busy with other things."""
    held_ms = await hung(asterisk, tmp_path, ending, faults, rate=100, seconds=1)
    assert statistics.quantiles(held_ms, n=20)[-1] <= DEADLINE_MS + GRACE_MS
    assert max(held_ms) < 1500, "only the dialplan's watchdog freed it"


@pytest.mark.soak
@SOAK
@pytest.mark.timeout(300, func_only=True)
async def test_hanging_provider_holds_no_call_for_half_a_minute(asterisk: Asterisk, tmp_path: Path) -> None:
    """P3, P15: without exception, on a machine that does nothing else."""
    held_ms = await hung(asterisk, tmp_path, "21", {}, rate=100, seconds=30)
    assert max(held_ms) <= DEADLINE_MS + GRACE_MS


# ------------------------------------------------------------------------------------------------ lookups in flight


async def test_kill_with_lookups_in_flight_commits_nothing_wrong_and_buys_nothing_kept_again(
    asterisk: Asterisk, tmp_path: Path
) -> None:
    """O1, C6: what was on disk is known after the crash. A busy machine has its time: how soon it is there, tests/cache says."""
    numbers = distinct(200)
    asterisk.load_dialplan(PATIENT)
    with simulator(tmp_path, "--latency-ms", "300", "--limit", "npl.max_connections=0") as npl:
        site = fast_site(tmp_path, npl, deadline_ms=5000)
        site.data["server"]["shed_lag_s"] = 5.0
        site.write()
        calls_of = partial(load, asterisk, numbers, url=url(site), context="patient")
        with site.serve() as process:
            calling = asyncio.create_task(calls_of(rate=50, seconds=4))
            while len(kept := on_disk(site)) < 20:
                await asyncio.sleep(0.05)
            killed_at = time.time()
            process.end(signal.SIGKILL)
            calls = await calling
        with site.serve():
            again = await calls_of(rate=200, seconds=1)
        times = times_bought(npl)

    right = {call.route["LOOKUP_NUMBER"]: call for call in calls if call.facts != NOTHING}
    assert [call.facts for call in right.values()] == [expected(number) for number in right]
    in_flight = [c for c in calls if c.facts == NOTHING and c.took_s > 0.02 and c.began_at < killed_at]
    assert right
    assert in_flight, "it was killed while nobody waited"
    assert [call.facts for call in again] == [expected(number) for number in numbers]
    assert {times[f"+{number}"] for number in kept} == {1}
    assert max(times.values()) <= 2


async def test_five_hundred_calls_for_one_cold_number_make_one_request(asterisk: Asterisk, tmp_path: Path) -> None:
    """C1."""
    asterisk.load_dialplan(PATIENT)
    number = "+447400123401"
    with simulator(tmp_path, "--latency-ms", "4000") as npl:
        site = make_site(tmp_path, provider=npl)
        with site.serve():
            calls = await load(asterisk, [number], url=url(site), rate=500, seconds=1, context="patient")
        assert [call.facts for call in calls] == [expected(number)] * 500
        assert [call.route["LOOKUP_CACHE"] for call in calls].count("miss") > 250, "most came while it was asked for"
        assert (bought(npl), requests(npl)) == (1, 1)
