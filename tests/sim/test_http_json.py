"""The simulated vendors of the presets, asked by the real provider over the real driver, and as any client would."""

from __future__ import annotations

import asyncio
import hmac
from decimal import Decimal
from typing import Any, get_args

import aiohttp
import pytest

from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import Liveness, LookupAnswer, Reason
from agi_lookup.providers.base import NumberResult
from agi_lookup.providers.http_json import presets
from agi_lookup.sim import recordings
from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.http_json import FACES, NAME, Limits, Preset
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.vendors import Simulator, limits_of
from tests.providers.test_contract import check
from tests.sim import accounts
from tests.sim.accounts import simulated, told

EUROPEAN = "+4474001234"
AMERICAN = "+1202555"
LIVE = ("vonage_number_insight", "infobip", "hlr_lookups_com")
"""Those that can tell whether a phone answers."""


async def ask(simulator: Simulator, preset: str, number: str, **options: Any) -> NumberResult:
    base = f"{simulator.url}/{NAME}/{preset}"
    account = {} if FACES[preset].has_account else {"account": ""}
    given = {"preset": preset, "base_url": base, **account, **options}
    return (await accounts.ask(simulator, NAME, number, **given))[number]


def number_for(preset: str, scenario: Scenario) -> str:
    return f"{AMERICAN}01{scenario:02}" if preset in {"telnyx", "bulkvs_lrn"} else f"{EUROPEAN}{scenario:02}"


def test_each_preset_has_its_simulated_vendor() -> None:
    assert set(presets()) == set(FACES) == set(get_args(Preset))


EXPECTED = {
    Scenario.REACHABLE: {
        "twilio_lookup_v2": "unknown inconclusive unknown mobile", "telnyx": "unknown inconclusive no mobile",
        "vonage_number_insight": "yes ok no mobile", "infobip": "yes ok no unknown", "hlr_lookups_com": "yes ok no unknown",
        "bulkvs_lrn": "unknown inconclusive unknown mobile",
    },
    Scenario.PORTED: {
        "telnyx": "unknown inconclusive yes mobile", "vonage_number_insight": "yes ok yes mobile",
        "infobip": "yes ok yes unknown", "hlr_lookups_com": "yes ok yes unknown",
    },
    Scenario.ABSENT: {
        "vonage_number_insight": "no absent no mobile", "infobip": "no absent no unknown",
        "hlr_lookups_com": "no absent no unknown",
    },
    Scenario.UNKNOWN_SUBSCRIBER: {
        "twilio_lookup_v2": "unknown inconclusive unknown unknown", "telnyx": "not_covered",
        "vonage_number_insight": "no invalid_number unknown unknown", "infobip": "no unknown_subscriber unknown unknown",
        "hlr_lookups_com": "no invalid_number unknown unknown", "bulkvs_lrn": "unknown inconclusive unknown unknown",
    },
    Scenario.NO_TELESERVICE: {
        "vonage_number_insight": "unknown inconclusive no mobile", "infobip": "no no_teleservice no unknown",
        "hlr_lookups_com": "unknown inconclusive no unknown",
    },
    Scenario.NO_COVERAGE: {
        "twilio_lookup_v2": "not_covered", "telnyx": "not_covered", "vonage_number_insight": "rejected", "infobip": "not_covered",
        "hlr_lookups_com": "rejected", "bulkvs_lrn": "unknown inconclusive unknown unknown",
    },
    Scenario.INCONCLUSIVE: {
        "twilio_lookup_v2": "unknown inconclusive unknown unknown", "telnyx": "unknown inconclusive unknown unknown",
        "vonage_number_insight": "unknown inconclusive unknown unknown", "infobip": "unknown inconclusive unknown unknown",
        "hlr_lookups_com": "unknown inconclusive unknown unknown", "bulkvs_lrn": "unknown inconclusive unknown unknown",
    },
    Scenario.PARTNER_FAILURE: {
        "twilio_lookup_v2": "provider_failure", "telnyx": "lost_reply", "vonage_number_insight": "provider_failure",
        "infobip": "provider_failure", "hlr_lookups_com": "provider_failure", "bulkvs_lrn": "unknown inconclusive unknown unknown",
    },
    Scenario.NETWORK_ONLY: {
        "vonage_number_insight": "unknown inconclusive no mobile", "infobip": "unknown inconclusive no unknown",
        "hlr_lookups_com": "unknown network_only no unknown",
    },
    Scenario.LANDLINE: {
        "twilio_lookup_v2": "unknown inconclusive unknown landline", "telnyx": "unknown inconclusive no landline",
        "vonage_number_insight": "unknown inconclusive no landline", "infobip": "not_covered",
        "hlr_lookups_com": "unknown network_only no unknown", "bulkvs_lrn": "unknown inconclusive unknown unknown",
    },
    Scenario.VOIP: {
        "twilio_lookup_v2": "unknown inconclusive unknown voip", "telnyx": "unknown inconclusive no voip",
        "vonage_number_insight": "unknown inconclusive no voip", "infobip": "not_covered",
        "hlr_lookups_com": "unknown network_only no unknown", "bulkvs_lrn": "unknown inconclusive unknown unknown",
    },
    Scenario.TOLL_FREE: {
        "twilio_lookup_v2": "unknown inconclusive unknown toll_free", "telnyx": "unknown inconclusive no toll_free",
        "vonage_number_insight": "unknown inconclusive no toll_free", "infobip": "not_covered",
        "hlr_lookups_com": "unknown network_only no unknown",
    },
    Scenario.CALL_BARRED: {
        "vonage_number_insight": "unknown inconclusive no mobile", "infobip": "no call_barred no unknown",
        "hlr_lookups_com": "unknown inconclusive no unknown",
    },
    Scenario.INVALID: {
        "twilio_lookup_v2": "unknown inconclusive unknown unknown", "telnyx": "not_covered", "vonage_number_insight": "rejected",
        "infobip": "rejected", "hlr_lookups_com": "no invalid_number unknown unknown",
        "bulkvs_lrn": "unknown inconclusive unknown unknown",
    },
    Scenario.RATE_LIMITED: dict.fromkeys(FACES, "rate_limited"),
    Scenario.NEVER_ANSWERS: dict.fromkeys(FACES, "timeout"),
    Scenario.CUT_OFF: dict.fromkeys(FACES, "lost_reply"),
    Scenario.HTTP_500: dict.fromkeys(FACES, "lost_reply"),
    Scenario.HTTP_429: dict.fromkeys(FACES, "rate_limited"),
    Scenario.NULLS: {**dict.fromkeys(FACES, "unknown inconclusive unknown unknown"), "vonage_number_insight": "lost_reply"},
    Scenario.OTHER_NUMBER: dict.fromkeys(FACES, "bad_answer"),
    Scenario.ROAMING: {}, Scenario.SLOW: {}, Scenario.TYPES_FLIPPED: {}, Scenario.UNKNOWN_KEYS: {}, Scenario.DUPLICATE: {},
}  # fmt: skip
"""Where a preset is not named, it says what it says of a reachable number."""


@pytest.mark.parametrize("scenario", Scenario, ids=lambda scenario: scenario.name.lower())
async def test_the_last_two_digits_say_what_happens(scenario: Scenario) -> None:
    async with simulated(faults=Faults(slow_s=0.05)) as simulator:
        timeout_s = 2.0 if scenario is Scenario.NEVER_ANSWERS else 15.0
        asked = (ask(simulator, preset, number_for(preset, scenario), timeout_s=timeout_s) for preset in FACES)
        said = dict(zip(FACES, map(told, await asyncio.gather(*asked)), strict=True))
        assert said == {**EXPECTED[Scenario.REACHABLE], **EXPECTED[scenario]}
        assert simulator.bill.accounts[NAME].requests == len(FACES)


async def test_roaming_is_told_by_those_who_know() -> None:
    async with simulated() as simulator:
        for preset in LIVE:
            for scenario, roaming in ((Scenario.ROAMING, "yes"), (Scenario.REACHABLE, "no")):
                answer = await ask(simulator, preset, number_for(preset, scenario))
                assert isinstance(answer, LookupAnswer)
                assert answer.liveness is not None
                assert answer.liveness.roaming == roaming, preset


async def test_a_route_without_hlr_is_an_mnp_answer() -> None:
    async with simulated() as simulator:
        answer = await ask(simulator, "hlr_lookups_com", f"{EUROPEAN}{Scenario.NETWORK_ONLY:02}")
        assert isinstance(answer, LookupAnswer)
        assert (answer.method, answer.liveness) == ("mnp", Liveness(reason=Reason.NETWORK_ONLY))


async def test_what_was_recorded_is_served_on_request() -> None:
    """Every recording, over real HTTP."""
    async with simulated(http_json=Limits(recorded=True)) as simulator:
        for recording in recordings.load(NAME).values():
            preset = recording.options["preset"]
            check(await ask(simulator, preset, recording.number), recording.expect)


@pytest.mark.parametrize("preset", FACES)
async def test_a_wrong_secret_is_refused_and_free(preset: str) -> None:
    """P11: a refused login costs one request; the signature of another secret is as good as none."""
    async with simulated() as simulator:
        number = number_for(preset, Scenario.REACHABLE)
        assert told(await ask(simulator, preset, number, secret="wrong")) == "auth"
        if FACES[preset].has_account:
            assert told(await ask(simulator, preset, number, account="wrong")) == "auth"
        assert simulator.bill.accounts[NAME].charged == 0


@pytest.mark.parametrize("preset", FACES)
async def test_an_empty_account_looks_nothing_up(preset: str) -> None:
    """P12"""
    async with simulated(http_json=Limits(credit=Decimal(1))) as simulator:
        number = number_for(preset, Scenario.REACHABLE)
        assert told(await ask(simulator, preset, number)) == EXPECTED[Scenario.REACHABLE][preset]
        assert told(await ask(simulator, preset, number)) == "out_of_credit"
        assert simulator.bill.accounts[NAME].charged == 1


async def test_a_signature_is_over_the_very_bytes() -> None:
    body, timestamp = b'{"msisdn":"+447400123400"}', "1790000000"
    signature = hmac.new(b"sim-secret", f"/hlr-lookup{timestamp}POST".encode() + body, "sha256").hexdigest()
    headers = {"X-Digest-Key": "sim-account", "X-Digest-Timestamp": timestamp, "X-Digest-Signature": signature}
    async with simulated() as simulator, aiohttp.ClientSession() as session:
        for sent, status in ((body, 200), (body.replace(b":", b": "), 401)):
            async with session.post(
                f"{simulator.url}/{NAME}/hlr_lookups_com/hlr-lookup", data=sent, headers=headers
            ) as reply:
                assert reply.status == status


async def test_what_is_no_request_of_a_vendor_is_refused() -> None:
    async with simulated() as simulator, aiohttp.ClientSession() as session:
        for path, status in (("", 404), ("/nobody/x", 404), ("/telnyx/number_lookup/+447400123400", 401)):
            async with session.get(f"{simulator.url}/{NAME}{path}") as reply:
                assert reply.status == status
        async with session.get(
            f"{simulator.url}/{NAME}/telnyx/other", headers={"Authorization": "Bearer sim-secret"}
        ) as reply:
            assert reply.status == 400


def test_the_printed_config_may_be_of_any_preset() -> None:
    assert limits_of(["http_json.preset=telnyx"]) == {NAME: Limits(preset="telnyx")}
    with pytest.raises(ConfigError, match="preset"):
        limits_of(["http_json.preset=nobody"])
