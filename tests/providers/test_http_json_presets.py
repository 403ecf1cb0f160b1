"""The ready descriptions: that each is whole, and what it makes of each word of its vendor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from agi_lookup.domain.model import Identity, Liveness, LookupAnswer, Number
from agi_lookup.providers.http_json import Options, Provider, preset, presets
from agi_lookup.sim import recordings
from tests.providers.described import NUMBER, ODD
from tests.providers.replay import NOW, json_reply, make, outcomes, recorded_replies, split

RECORDED = recordings.load("http_json")


def of_preset(name: str, **block: Any) -> Options:
    account = {"account": "sim"} if preset(name)["auth"]["type"] in {"basic", "hmac"} else {}
    return Options.model_validate({"kind": "http_json", "preset": name, **account, "secret": "s3cr3t", **block})


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_a_block_like_any_other(name: str) -> None:
    made = of_preset(name)
    assert made.answer.number is not None  # P8: all of these vendors echo
    assert made.base_url.startswith("https://")
    with pytest.raises(ValidationError, match="missing"):
        of_preset(name, secret="")
    asked = next(Provider("p", made, split).lookup([Number("+12025550123")], NOW))
    assert "s3cr3t" not in asked.url
    assert ("s3cr3t" in str(asked.query)) == (name == "bulkvs_lrn")  # who leaves no choice


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_recorded_with_a_good_answer_a_refused_key_and_a_quirk(name: str) -> None:
    mine = [recording for recording in RECORDED.values() if recording.options["preset"] == name]
    assert "auth" in {recording.expect.error for recording in mine}
    assert any(recording.expect.identity for recording in mine)
    assert len(mine) >= 3


def test_the_blocks_own_keys_win_over_the_presets() -> None:
    mine = of_preset(
        "twilio_lookup_v2",
        base_url="https://lookups.de1.twilio.com/v2",
        request={"query": {"Fields": "line_type_intelligence,line_status"}},
        values={"type": {"satellite": "mobile"}},
        errors=[{"when": {"path": "line_type_intelligence.error_code", "in": [60600]}, "means": "rejected"}],
        timeout_s=3,
    )
    asked = next(Provider("p", mine, split).lookup([Number(NUMBER)], NOW))
    assert asked.url == "https://lookups.de1.twilio.com/v2/PhoneNumbers/+447700900123"
    assert asked.query == (("Fields", "line_type_intelligence,line_status"),)
    assert mine.values.type is not None
    assert (mine.values.type["satellite"], mine.values.type["tollfree"]) == ("mobile", "toll_free")
    assert [rule.means for rule in mine.errors[:2]] == ["rejected", "not_covered"]
    assert mine.timeout_s == 3
    assert of_preset("twilio_lookup_v2").base_url == "https://lookups.twilio.com/v2"


def test_another_way_to_authenticate_replaces_the_presets_whole() -> None:
    mine = of_preset("hlr_lookups_com", auth={"type": "basic"})
    asked = next(Provider("p", mine, split).lookup([Number(NUMBER)], NOW))
    assert asked.headers == {"Authorization": "Basic c2ltOnMzY3IzdA=="}
    assert (asked.json, asked.body) == ({"msisdn": NUMBER}, None)


# Each preset, each fact, each word that its vendor has


def mapped(yes: list[Any] | None = None, no: list[Any] | None = None) -> list[tuple[Any, str]]:
    return [*((word, "yes") for word in yes or []), *((word, "no") for word in no or [])]


BOOLEANS = mapped(yes=[True, "true", 1, "1", "yes"], no=[False, "false", 0, "0", "no"])
NO_BOOLEANS = [True, False, "true", "false", "yes", "no", 1, 0]
ASSUMED = ["assumed_ported", "assumed_not_ported", "unknown"]

TRI_STATES: Mapping[str, tuple[str, Mapping[str, tuple[str, list[tuple[Any, str]], list[Any]]]]] = {
    "telnyx": ("telnyx_ported", {
        "ported": ("data.portability.ported_status", mapped(["Y", "y"], ["N", "n"]), ["", "P", *NO_BOOLEANS]),
    }),
    "vonage_number_insight": ("vonage_number_insight_reachable", {
        "ported": ("ported", mapped(["ported"], ["not_ported"]), [*ASSUMED, *NO_BOOLEANS]),
        "reachable": ("reachable", mapped(["reachable"], ["absent", "bad_number"]),
                      ["unknown", "undeliverable", "blacklisted", *NO_BOOLEANS]),
        "valid": ("valid_number", mapped(["valid"], ["not_valid"]), ["unknown", "inferred", "inferred_not_valid", *NO_BOOLEANS]),
        "roaming": ("roaming.status", mapped(["roaming"], ["not_roaming"]), ["unknown", *NO_BOOLEANS]),
    }),
    "infobip": ("infobip_reachable", {
        "ported": ("results.0.ported", BOOLEANS, []),
        "roaming": ("results.0.roaming", BOOLEANS, []),
        "reachable": ("results.0.error.id", mapped([0, "0", 31], [1, 5, 6, 7, 8, 9, 11, 12, 13, 27, 29]),
                      [10, 20, 21, 32, 33, 34, 35, 36, 38, 51, 255, 256, True, False, "OK"]),
        "valid": ("results.0.error.id", mapped([0, 6, 7, 8, 10, 11, 12, 13, 20, 21, 27, 29, 31, 33], [1]),
                  [5, 9, 32, 34, 35, 36, 38, 51, 255, 256, True, False]),
    }),
    "hlr_lookups_com": ("hlr_lookups_com_connected", {
        "ported": ("is_ported", BOOLEANS, []),
        "roaming": ("is_roaming", BOOLEANS, []),
        "reachable": ("connectivity_status", mapped(["CONNECTED", "connected"], ["ABSENT", "INVALID_MSISDN"]),
                      ["UNDETERMINED", *NO_BOOLEANS]),
        "valid": ("connectivity_status", mapped(["CONNECTED", "ABSENT"], ["INVALID_MSISDN"]), ["UNDETERMINED", *NO_BOOLEANS]),
    }),
    "twilio_lookup_v2": ("twilio_lookup_v2_mobile", {}),
    "bulkvs_lrn": ("bulkvs_lrn_good", {}),
}  # fmt: skip
"""The recording to start from; by fact: where the vendor says it, what its words mean, and the words that mean nothing certain."""
CASES = [
    pytest.param(recording, fact, path, said, meaning, id=f"{name}-{fact}-{said!r}")
    for name, (recording, table) in TRI_STATES.items()
    for fact, (path, known, unknown) in table.items()
    for said, meaning in [*known, *((word, "unknown") for word in [*unknown, *ODD, ...])]
]


def with_value(body: Any, path: str, value: object) -> Any:
    """`...` drops the key."""
    changed = json.loads(json.dumps(body))
    holder = changed
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        holder = holder[step]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return changed


@pytest.mark.parametrize(("recording", "fact", "path", "said", "meaning"), CASES)
def test_each_word_of_each_preset_means_what_it_says_or_nothing(
    recording: str, fact: str, path: str, said: object, meaning: str
) -> None:
    """P9"""
    recorded = RECORDED[recording]
    body = with_value(recorded.exchange[0].response.json, path, said)
    made = make("http_json", **recorded.options)
    found = outcomes(made, [recorded.number], [json_reply(body)])[recorded.number]
    assert isinstance(found, LookupAnswer), found
    facts = {**_facts(found.identity or Identity()), **_facts(found.liveness or Liveness())}
    assert facts[fact] == meaning


def _facts(body: Identity | Liveness) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.__slots__}


def test_every_preset_has_its_table_and_every_tri_state_its_row() -> None:
    assert set(TRI_STATES) == set(presets())
    for name, (_, table) in TRI_STATES.items():
        answer = of_preset(name).answer
        gsm = {"reachable", "valid"} if answer.gsm_error else set()
        named = {fact for fact in ("reachable", "valid", "ported", "roaming") if getattr(answer, fact)} | gsm
        assert set(table) == named, name


@pytest.mark.parametrize("name", ["twilio_lookup_v2", "telnyx", "bulkvs_lrn"])
def test_who_cannot_know_says_nothing_of_liveness(name: str) -> None:
    for recording in RECORDED.values():
        if recording.options["preset"] == name and not recording.expect.error:
            made = make("http_json", **recording.options)
            found = outcomes(made, [recording.number], recorded_replies(recording))[recording.number]
            assert isinstance(found, LookupAnswer)
            assert found.liveness is None
