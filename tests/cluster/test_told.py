"""Two servers: what calls taught the one, the other goes by."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from agi_lookup.sim.asterisk import Behaviour, play
from agi_lookup.sim.asterisk_wire import Call
from tests.cache.servers import Server
from tests.calls import CONNECT_S, site_of, vendors
from tests.cluster.sites import instance
from tests.processes import Site
from tests.test_daemon import fetch

pytestmark = pytest.mark.usefixtures("untraced")

PATIENCE_S: Final = 60.0
"""They tell each other every 5 s."""
SERIAL: Final = itertools.count()
NUMBER: Final = "447400123401"
DEAD: Final = "447400123403"
TRUNKS: Final = {
    name: {"vendor": "acme", "dial": f"PJSIP/{{number}}@{name}", "priority": priority}
    for priority, name in enumerate(("first", "second"))
}


async def say(site: Site, script: str, *arguments: str) -> dict[str, str]:
    """One AGI of a channel, whose name is the second of the arguments."""
    call = Call(arguments, script=script, uniqueid=arguments[1])
    return (await play(call, "127.0.0.1", site.agi_port, Behaviour(connect_s=CONNECT_S))).variables


async def look_up(site: Site, number: str, channel: str = "") -> dict[str, str]:
    return await say(site, "lookup", number, channel or f"1763742000.{next(SERIAL)}", "-")


async def call(site: Site, number: str, **result: str) -> dict[str, str]:
    """Looked up, and its result reported. What the lookup said."""
    channel = f"1763742000.{next(SERIAL)}"
    said = await look_up(site, number, channel)
    reported = await say(site, "result", number, channel, "-", *(f"{name}={value}" for name, value in result.items()))
    assert reported["LOOKUP_RESULT_STATUS"] == "OK"
    return said


async def until_said(ask: Callable[[], Awaitable[dict[str, str]]], **wanted: str) -> dict[str, str]:
    async with asyncio.timeout(PATIENCE_S):
        while not (said := await ask()).items() >= wanted.items():
            await asyncio.sleep(0.1)
    return said


def routing(folder: Path, valkey: Server) -> Site:
    folder.mkdir()
    site = site_of(folder, {})
    quality = {"min_samples": 3, "suspend": {"ner_below": 0}}
    site.data["routing"] = {"currency": "EUR", "strategy": "quality", "trunks": TRUNKS, "quality": quality}
    site.data["cache"] = {"shared": {"url": valkey.url}}
    site.data["cluster"] = {"enabled": True, "name": folder.name}
    site.write()
    return site


async def test_a_trunk_that_fails_calls_of_one_server_goes_last_in_the_other(tmp_path: Path, valkey: Server) -> None:
    one, other = (routing(tmp_path / name, valkey) for name in ("one", "other"))
    deck = tmp_path / "acme.csv"
    deck.write_text("prefix,rate\n447,0.01\n")
    for command in (("import", str(deck), "--vendor", "acme", "--currency", "EUR"), ("activate", "acme")):
        done = await asyncio.to_thread(one.cli, "rates", *command)
        assert done.returncode == 0, done.stderr
    shutil.copytree(one.data["state_dir"], other.data["state_dir"])

    with one.serve(), other.serve():
        assert (await look_up(other, NUMBER))["LCR_1_TRUNK"] == "first"
        for _ in range(10):
            await call(one, NUMBER, trunk="first", dialstatus="CONGESTION", tech="503")
        assert (await look_up(one, NUMBER))["LCR_1_TRUNK"] == "second"
        said = await until_said(lambda: look_up(other, NUMBER), LCR_1_TRUNK="second")
    assert said["LCR_2_TRUNK"] == "first"


async def test_a_rule_that_is_back_in_shadow_in_one_server_is_so_in_the_other(tmp_path: Path, valkey: Server) -> None:
    """B3, B5: the other one has let nobody through, and knows of no call that was answered."""
    with vendors(tmp_path) as sim:
        one, other = (
            governed(instance(tmp_path / name, sim, valkey, deadline_ms=9000), share)
            for name, share in (("one", 1), ("other", 0))
        )
        with one.serve(), other.serve():
            await until_said(lambda: look_up(other, DEAD), LOOKUP_ACTION="block")
            assert mode(other) == "enforce"
            said = await call(one, DEAD, trunk="first", dialstatus="ANSWER", billsec="60")
            assert (said["LOOKUP_ACTION"], said["LOOKUP_RULE"]) == ("allow", "shadow:dead_number")
            assert mode(one) == "returned"
            await until_said(lambda: look_up(other, DEAD), LOOKUP_ACTION="allow", LOOKUP_RULE="shadow:dead_number")
            assert mode(other) == "returned"


def governed(site: Site, probe_share: float) -> Site:
    """One call that was answered takes the rule out of force."""
    governance = {"probe_share": probe_share, "min_scored": 1}
    site.data["policy"] = {"dead_numbers": {"mode": "enforce"}, "governance": governance}
    site.write()
    return site


def mode(site: Site) -> str:
    rules = fetch(f"http://127.0.0.1:{site.http_port}/api/v1/rules")["rules"]
    [dead] = [rule["mode"] for rule in rules if rule["rule"] == "dead_number"]
    return str(dead)
