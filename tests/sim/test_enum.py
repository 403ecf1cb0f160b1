"""The simulated ENUM vendor, asked by the real provider over the real driver, and by c-ares, which knows nothing of us."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiodns
import aiohttp
import pycares
import pytest
import yaml

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.providers import loading
from agi_lookup.providers.base import NumberResult
from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.enum import Limits, number_of
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.vendors import Simulator, print_config, serve
from tests.processes import make_site
from tests.providers.replay import NOW, split
from tests.providers.test_dns_message import QUERY
from tests.sim.accounts import simulated
from tests.test_daemon import bought, simulator

PREFIX = "+4474001231"


async def ask(simulator: Simulator, ending: int, timeout_s: float = 15.0, **changes: Any) -> NumberResult:
    """As the printed config says, with changes."""
    number = f"{PREFIX}{ending:02}"
    block = yaml.safe_load(print_config(simulator.url))["providers"]["enum"]
    kind = loading.find(block["kind"])
    options = kind.Options.model_validate({**block, **changes})
    make = loading.driver_maker(block["kind"])
    assert make is not None
    driver = make(options)
    try:
        lookup = kind.Provider("enum", options, split).lookup([Number(number)], NOW)
        return (await driver.run(lookup, timeout_s=timeout_s))[number]
    except ProviderError as error:
        return error
    finally:
        await driver.close()


def told(result: NumberResult) -> str:
    """Network, ported and type; or the error's word."""
    if isinstance(result, ProviderError):
        return result.code
    assert isinstance(result, LookupAnswer)
    assert result.identity is not None
    said = result.identity
    return f"{said.mcc or ''}{said.mnc or ''} {said.ported} {said.type}".strip()


EXPECTED = {
    Scenario.REACHABLE: "23410 no mobile",
    Scenario.PORTED: "23410 yes mobile",
    Scenario.NO_COVERAGE: "not_covered",
    Scenario.INCONCLUSIVE: "provider_failure",
    Scenario.PARTNER_FAILURE: "lost_reply",
    Scenario.LANDLINE: "no landline",
    Scenario.INVALID: "not_covered",
    Scenario.RATE_LIMITED: "auth",
    Scenario.CUT_OFF: "bad_answer",
    Scenario.HTTP_500: "lost_reply",
    Scenario.HTTP_429: "auth",
    Scenario.NULLS: "unknown unknown",
    Scenario.TYPES_FLIPPED: "bad_answer",
    Scenario.UNKNOWN_KEYS: "23410 no mobile",
    Scenario.OTHER_NUMBER: "bad_answer",
    Scenario.DUPLICATE: "23410 no mobile",
}


async def test_every_scenario_ends_as_its_number_says() -> None:
    async with simulated() as simulator:
        for scenario, expected in EXPECTED.items():
            assert told(await ask(simulator, scenario)) == expected, scenario.name


@pytest.mark.parametrize("shape", ["datafon", "mitto", "tmt", "rfc4694"])
async def test_each_vendors_words_mean_the_same(shape: Any) -> None:
    network, kind = ("", "unknown") if shape == "rfc4694" else ("23410", "unknown" if shape == "mitto" else "mobile")
    async with simulated(enum=Limits(shape=shape)) as simulator:
        for ending, ported in ((0, "no"), (1, "yes")):
            assert told(await ask(simulator, ending)) == f"{network} {ported} {kind}".strip()


async def test_mittos_price_is_in_the_answer() -> None:
    async with simulated(enum=Limits(shape="mitto")) as simulator:
        result = await ask(simulator, 0)
    assert isinstance(result, LookupAnswer)
    assert (result.cost, result.currency) == (Decimal("0.0006"), "EUR")


async def test_each_question_is_billed_unless_it_is_refused() -> None:
    async with simulated() as simulator:
        for scenario in (Scenario.REACHABLE, Scenario.NO_COVERAGE, Scenario.RATE_LIMITED):
            await ask(simulator, scenario)
        account = simulator.bill.accounts["enum"]
        assert (account.requests, account.free, account.charged) == (3, 1, Decimal("0.0012"))
        assert [entry.result for entry in simulator.bill.journal] == ["rcode 0", "rcode 3", "rcode 5"]


async def test_a_lost_answer_is_billed_and_only_a_retry_is_billed_again() -> None:
    """P5"""
    async with simulated() as simulator:
        account = simulator.bill.accounts["enum"]
        assert told(await ask(simulator, Scenario.NEVER_ANSWERS, timeout_s=1.5)) == "timeout"
        assert account.requests == 1
        assert (
            told(await ask(simulator, Scenario.NEVER_ANSWERS, timeout_s=3.0, retries=1, currency="none")) == "timeout"
        )
        assert account.requests == 3


async def test_a_slow_answer_is_one_question() -> None:
    """P15"""
    async with simulated(faults=Faults(slow_s=0.4)) as simulator:
        started = time.monotonic()
        assert told(await ask(simulator, Scenario.SLOW)) == "23410 no mobile"
        assert time.monotonic() - started >= 0.4
        assert simulator.bill.accounts["enum"].requests == 1


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (Faults(error_rate=1), "lost_reply"),
        (Faults(drop_rate=1), "timeout"),
        (Faults(hang=True), "timeout"),
        (Faults(malformed=True), "bad_answer"),
    ],
)
async def test_faults_for_all_vendors_are_faults_here_too(faults: Faults, expected: str) -> None:
    async with simulated(faults=faults) as simulator:
        assert told(await ask(simulator, 0, timeout_s=1.5 if expected == "timeout" else 15.0)) == expected


def resolver(simulator: Simulator) -> aiodns.DNSResolver:
    flags = pycares.ARES_FLAG_NOALIASES | pycares.ARES_FLAG_IGNTC
    return aiodns.DNSResolver([simulator.url.removeprefix("http://")], timeout=10.0, tries=1, lookups="b", flags=flags)


def name(number: str) -> str:
    return ".".join(reversed(number[1:])) + ".e164.arpa"


async def test_c_ares_reads_the_same_records() -> None:
    async with simulated() as simulator, resolver(simulator) as c_ares:
        result = await c_ares.query_dns(name(f"{PREFIX}01"), "NAPTR")
    (record,) = result.answer
    said = record.data
    assert isinstance(said, pycares.NAPTRRecordData)
    assert record.ttl == 3600
    assert (said.order, said.preference, said.flags, said.service) == (10, 50, "u", "E2U+pstn:tel")
    assert f"tel:{PREFIX}01;npdi;" in said.regexp


@pytest.mark.parametrize(
    ("ending", "error"),
    [(5, aiodns.error.ARES_ENOTFOUND), (7, aiodns.error.ARES_ESERVFAIL), (15, aiodns.error.ARES_EREFUSED)],
)
async def test_c_ares_reads_the_same_errors(ending: int, error: int) -> None:
    async with simulated() as simulator, resolver(simulator) as c_ares:
        with pytest.raises(aiodns.error.DNSError) as caught:
            await c_ares.query_dns(name(f"{PREFIX}{ending:02}"), "NAPTR")
    assert caught.value.args[0] == error


def test_what_is_no_bare_question_of_the_zone_is_none() -> None:
    assert number_of(QUERY) == "447700900001"
    with_opt = QUERY[:11] + b"\x01" + QUERY[12:] + b"\0\0\x29\x10\0\0\0\0\0\0\0"
    for data in (
        b"",
        QUERY[:12],
        QUERY[:-2],
        QUERY + b"x",
        with_opt,
        QUERY.replace(b"e164", b"e165"),
        QUERY[:-4] + b"\0\x10\0\1",
    ):
        assert number_of(data) is None


async def test_no_bytes_silence_it() -> None:
    async with simulated() as simulator:
        host, port = simulator.url.removeprefix("http://").split(":")
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(host, int(port))
        )
        for data in (b"", b"\xff" * 5, b"\xc0" * 40, b"\0" * 60, bytes(range(256))):
            transport.sendto(data)
        transport.close()
        assert told(await ask(simulator, 0)) == "23410 no mobile"


async def test_over_http_it_says_what_it_speaks() -> None:
    async with (
        simulated() as simulator,
        aiohttp.ClientSession() as session,
        session.get(f"{simulator.url}/enum") as reply,
    ):
        assert reply.status == 400
        assert "UDP" in await reply.text()


async def test_a_port_that_is_taken_in_one_protocol_is_taken() -> None:
    async with simulated() as simulator:
        port = int(simulator.url.rsplit(":", 1)[1])
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", port))
    try:
        with pytest.raises(OSError, match="in use"):
            async with serve(Simulator(), port=port):
                pass
    finally:
        transport.close()
    async with simulated() as other:
        assert told(await ask(other, 0)) == "23410 no mobile"


def test_a_config_that_names_it_looks_up_over_dns(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with simulator(tmp_path) as npl:
        address = npl.removeprefix("http://").removesuffix("/npl")
        site.data["providers"] = {
            "enum": {"kind": "enum_dns", "zone": "e164.arpa", "servers": [address], "timeout_s": 30}
        }
        site.write()
        shown = site.json("lookup", "447400123101", "--need", "identity")
        assert (shown["source"], shown["identity"]["mccmnc"], shown["identity"]["ported"]) == ("enum", "23410", "yes")
        assert site.json("lookup", "447400123101", "--need", "identity")["cache"] == "fresh"
        assert bought(npl) == 1
