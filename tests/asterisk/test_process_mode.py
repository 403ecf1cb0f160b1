"""`AGI(agi-lookup-agi,...)` on a real Asterisk: the same variables as from the server, and no process that outlives its call."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.asterisk.hostile import NUMBER
from tests.asterisk.lab import Asterisk, Call
from tests.asterisk.test_lookups import LEARNED, expected, times_bought, url
from tests.processes import Site, make_site
from tests.test_daemon import simulator
from tests.test_script import SCRIPT

pytestmark = pytest.mark.usefixtures("untraced")
"""Traced, a Python takes longer to start than a call waits for it."""

RELAY: Final = """#!/bin/bash
# Asterisk's root has no Python of ours: tell the test who we are. It runs the script on our pipes, and learns of our signals.
exec 4<>/dev/tcp/127.0.0.1/@port@ || exit 9
trap 'echo hangup >&4' HUP
(echo $$ >&4) # in a process of its own: our pipes stay what they are
read -r -u 4 started || exit 9
exec <&- >&-
until read -r -u 4 status; do [ $? -gt 128 ] || exit 9; done
exit "$status"
"""
DIALPLAN: Final = """
[process-mode]
exten => s,1,Set(LOOKUP_STATUS=NONE)
 same => n,Set(AGISIGHUP=${LAB_SIGHUP})
 same => n,Set(AGIEXITONHANGUP=${LAB_EXIT})
 same => n,AGI(agi-lookup-agi,${ARG1},${UNIQUEID},-)
 same => n,Return()
exten => h,1,Goto(lab,h,1)
[process-report]
exten => s,1,AGI(agi-lookup-agi,result,${ARG1},${UNIQUEID},-,trunk=acme,dialstatus=ANSWER,cause=16,tech=200,pdd_ms=,billsec=7)
 same => n,Set(CALLERID(name)=${LOOKUP_RESULT_STATUS})
 same => n,Return()
exten => h,1,Goto(lab,h,1)
"""


@dataclass
class Scripts:
    """The scripts that Asterisk started, in order."""

    site: Site
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One relay: the script gets the very pipes between it and Asterisk, so each sees the end of the other."""
        with closing(writer):
            script = self._start(int(await reader.readline()))
            writer.write(b"started\n")
            hangups = asyncio.create_task(self._forward(reader, script))
            while script.poll() is None:
                await asyncio.sleep(0.01)
            hangups.cancel()
            writer.write(b"%d\n" % script.returncode)

    def _start(self, relay: int) -> subprocess.Popen[bytes]:
        with open(f"/proc/{relay}/fd/0", "rb") as stdin, open(f"/proc/{relay}/fd/1", "wb") as stdout:
            environ = {**os.environ, "AGI_LOOKUP_CONFIG": str(self.site.config)}
            script = subprocess.Popen(SCRIPT, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, env=environ)
        self.running.append(script)
        return script

    async def _forward(self, reader: asyncio.StreamReader, script: subprocess.Popen[bytes]) -> None:
        while await reader.readline() == b"hangup\n":
            script.send_signal(signal.SIGHUP)


@asynccontextmanager
async def scripts(asterisk: Asterisk, site: Site) -> AsyncIterator[Scripts]:
    """Install `agi-lookup-agi` in Asterisk's root."""
    started = Scripts(site)
    server = await asyncio.start_server(started.serve, "127.0.0.1", 0)
    relay = asterisk.home / "lib/agi-lookup-agi"
    relay.write_text(RELAY.replace("@port@", str(server.sockets[0].getsockname()[1])))
    relay.chmod(0o755)
    asterisk.load_dialplan(DIALPLAN)
    try:
        yield started
    finally:
        server.close()
        for script in started.running:
            script.kill()
            script.wait()


async def call(asterisk: Asterisk, number: str, *, sighup: str = "", leave: str = "") -> Call:
    return await asterisk.call(number, context="process-mode", LAB_SIGHUP=sighup, LAB_EXIT=leave)


async def test_process_mode_sets_the_variables_of_the_server(asterisk: Asterisk, tmp_path: Path) -> None:
    """One after the other, then beside a server on the same cache; each number is paid for once."""
    numbers = LEARNED[:3]
    with simulator(tmp_path) as npl:
        site = make_site(tmp_path, provider=npl, deadline_ms=5000)
        async with scripts(asterisk, site) as started:
            alone = [await call(asterisk, number) for number in numbers]  # one process pays at a time
            with site.serve():
                served = [await asterisk.call(number, AGI_LOOKUP_URL=url(site)) for number in numbers]
                beside = await call(asterisk, numbers[0])
        assert times_bought(npl) == dict.fromkeys(numbers, 1)
    assert [call.facts for call in alone] == [call.facts for call in served] == [expected(number) for number in numbers]
    assert beside.facts == served[0].facts
    assert {call.route["AGISTATUS"] for call in (*alone, beside)} == {"SUCCESS"}
    assert [script.returncode for script in started.running] == [0] * 4


async def test_reports_go_to_the_server_that_runs_and_without_one_say_so(asterisk: Asterisk, tmp_path: Path) -> None:
    site = make_site(tmp_path)
    async with scripts(asterisk, site):
        with site.serve():
            served = await asterisk.call(NUMBER, context="process-report")
            emergency = await asterisk.call("112", context="process-report")
        alone = await asterisk.call(NUMBER, context="process-report")
    assert [call.route["name"] for call in (served, emergency, alone)] == ["OK", "EMERGENCY", "DEGRADED"]


async def test_process_that_fails_commits_nothing_and_the_call_goes_on(asterisk: Asterisk, tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.config.write_text("nonsense: 1")
    async with scripts(asterisk, site) as started:
        lost = await call(asterisk, NUMBER)
    assert [script.returncode for script in started.running] == [1]
    assert lost.route["LOOKUP_STATUS"] == "NONE"


async def test_hangup_leaves_no_process_behind_and_wastes_no_money(asterisk: Asterisk, tmp_path: Path) -> None:
    """F13: by default a signal, with the shipped settings the end of the pipes only. What was asked for is waited for and kept."""
    one, other = LEARNED[:2]
    with simulator(tmp_path, "--latency-ms", "4500") as npl:
        site = make_site(tmp_path, provider=npl)
        async with scripts(asterisk, site) as started, asyncio.timeout(50):
            calls, ended = [], []
            for number, how in ((one, {}), (other, {"sighup": "no", "leave": "yes"})):
                calling = asyncio.ensure_future(call(asterisk, number, **how))
                while not times_bought(npl)[number]:
                    await asyncio.sleep(0.02)
                asterisk.cli("channel request hangup all")
                calls.append(await calling)
                ended.append(await asyncio.to_thread(started.running[-1].wait, 30))  # one process pays at a time
        with site.serve():
            again = [await asterisk.call(number, AGI_LOOKUP_URL=url(site)) for number in (one, other)]
        assert times_bought(npl) == {one: 1, other: 1}
    assert [call.went_on for call in calls] == [False, False]
    assert ended == [1, 1], "not killed by the signal, and not content"
    assert [call.route["LOOKUP_CACHE"] for call in again] == ["fresh", "fresh"]
