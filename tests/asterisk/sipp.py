"""SIPp from the fetched root: many calls at a given rate, every number out of a list."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.asterisk.lab import Asterisk, Call

SCENARIO: Final = Path(__file__).parent / "etc/invite.xml"


@dataclass(frozen=True, slots=True)
class Load:
    """What SIPp counted. A call is good when it ended as the scenario wants; call n (from 1) has the LAB_ID `{id}-{n}`."""

    id: str
    created: int
    good: int
    failed: int
    retransmissions: int


def sipp(
    asterisk: Asterisk,
    numbers: Sequence[str],
    *,
    url: str,
    calls: int,
    rate: float,
    timeout_s: float,
    context: str = "agi-lookup",
    scenario: Path = SCENARIO,
) -> Load:
    """Call `numbers` in turn, `calls` times in all, `rate` a second, each through `context` with the AGI server `url`.

    Blocks until all calls have ended, at most `timeout_s`.
    """
    load_id = asterisk.new_id()
    home = asterisk.home / load_id
    home.mkdir()
    (home / "scenario.xml").write_text(scenario.read_text().replace("@load_id@", load_id))
    rows = "".join(f"{number};{context};{url}\n" for number in numbers)
    (home / "calls.csv").write_text(f"SEQUENTIAL\n{rows}")
    inside = asterisk.inside(home)
    run = asterisk.run(
        *("sipp", f"127.0.0.1:{asterisk.sip_port}", "-i", "127.0.0.1", "-p", "0", "-nostdin"),
        *("-sf", f"{inside}/scenario.xml", "-inf", f"{inside}/calls.csv"),
        *("-m", str(calls), "-r", str(rate), "-timeout", f"{timeout_s:.0f}s", "-timeout_error"),
        *("-trace_stat", "-stf", f"{inside}/stat.csv", "-fd", "1"),
        timeout_s=timeout_s + 10,
    )
    assert run.returncode in {0, 1}, f"sipp ended with {run.returncode}: {run.stderr[-2000:]}"
    with (home / "stat.csv").open(newline="") as lines:
        last: Mapping[str, str] = list(csv.DictReader(lines, delimiter=";"))[-1]
    return Load(
        id=load_id,
        created=int(last["TotalCallCreated"]),
        good=int(last["SuccessfulCall(C)"]),
        failed=int(last["FailedCall(C)"]),
        retransmissions=int(last["Retransmissions(C)"]),
    )


async def load(
    asterisk: Asterisk, numbers: Sequence[str], *, url: str, rate: int, seconds: float, context: str = "agi-lookup"
) -> list[Call]:
    """Call `numbers` in turn, `rate` a second for `seconds`; what became of each call, in order. No call may fail."""
    count = round(rate * seconds)
    ran = await asyncio.to_thread(
        sipp, asterisk, numbers, url=url, calls=count, rate=rate, timeout_s=seconds + 30, context=context
    )
    assert (ran.good, ran.failed) == (count, 0)
    return [await asterisk.result(f"{ran.id}-{n}") for n in range(1, count + 1)]
