"""What a config may say about routes; what it may not is said in a line that names the fix."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup import variables
from agi_lookup.domain.model import Number
from agi_lookup.routing import options
from agi_lookup.routing.options import LrnUse, NumberForm, RoutingOptions, TrunkOptions
from agi_lookup.routing.rates import Destination
from agi_lookup.routing.trunks import Trunk
from agi_lookup.strict_yaml import loads

CONFIG = """
currency: USD
max_routes: 3
strategy: quality
tie_band_percent: 2.5
durations: [{seconds: 30, weight: 2}, {seconds: 240, weight: 1}]
fx_file: /etc/agi-lookup/fx.csv
sticky: {by: caller, for_s: 300}
quality: {half_life_s: 7200, asr: {warn: 0.4, crit: 0.1}, suspend: {ner_below: 0.2}}
groups:
  vodafone-uk: {mccmnc: [23415, 23491], carriers: [Vodafone UK]}
trunks:
  ACME:
    vendor: acme
    dial: PJSIP/{prefix}{number}@acme
    tech_prefix: 0099
    number: plus
    max_calls: 30
    max_calls_per_s: 5
    weight: 3
    priority: 1
    countries: [GB, NO]
    except_carriers: [vodafone-uk, 23410]
    windows: [{hours: 08:00-18:00, days: [mon, fri], zone: Europe/London}]
  NANP: {vendor: us, dial: "Local/{number}+{lrn}@us", lrn: npdi, min_samples: 20}
profiles:
  retail: {strategy: split, sale_rate: 0.05, min_profit: 0.01, max_cost: 0.2}
"""


def test_all_that_can_be_said_is_read_and_no_zero_is_lost() -> None:
    read = RoutingOptions.model_validate(loads(CONFIG, "config").data)

    assert read.trunks["ACME"].tech_prefix == "0099"
    assert read.groups["vodafone-uk"].mccmnc == frozenset({"23415", "23491"})
    assert read.trunks["NANP"].lrn is LrnUse.NPDI
    assert read.trunks["ACME"].countries == frozenset({"GB", "NO"})


def test_a_config_without_routing_is_fine() -> None:
    assert RoutingOptions().max_routes == 5


TRUNK = {"vendor": "acme", "dial": "PJSIP/{number}@acme"}
BAD_TRUNKS = {
    "no number": ({"dial": "PJSIP/@acme"}, "{number} exactly once"),
    "two numbers": ({"dial": "PJSIP/{number}{number}@acme"}, "{number} exactly once"),
    "another field": ({"dial": "PJSIP/{number}@{host}"}, "no other braces"),
    "an attribute": ({"dial": "PJSIP/{number.__class__}@acme"}, "no other braces"),
    "a format": ({"dial": "PJSIP/{number:>99999999}@acme"}, "no other braces"),
    "a conversion": ({"dial": "PJSIP/{number!r}@acme"}, "no other braces"),
    "an open brace": ({"dial": "PJSIP/{number}@acme{"}, "no other braces"),
    "a doubled brace": ({"dial": "PJSIP/{number}@{{acme"}, "letters, digits"),
    "two channels": ({"dial": "PJSIP/{number}@a&PJSIP/{number}@b"}, "exactly once"),
    "ampersand": ({"dial": "PJSIP/{number}@a&SIP/b"}, "letters, digits"),
    "comma": ({"dial": "PJSIP/{number}@a,60"}, "letters, digits"),
    "dollar": ({"dial": "PJSIP/{number}@${HOST}"}, "no other braces"),
    "newline": ({"dial": "PJSIP/{number}@a\nSET"}, "letters, digits"),
    "not ASCII": ({"dial": "PJSIP/{number}@acmé"}, "letters, digits"),
    "too long": ({"dial": "PJSIP/{number}@" + 100 * "a"}, "128"),
    "prefix nowhere": ({"tech_prefix": "99"}, "put {prefix}"),
    "prefix that Asterisk reads": ({"dial": "PJSIP/{prefix}{number}@a", "tech_prefix": "9#"}, "pattern"),
    "LRN nowhere": ({"lrn": "rn"}, "{lrn}"),
    "LRN not asked for": ({"dial": "Local/{number}+{lrn}@a"}, "{lrn}"),
    "national of everywhere": ({"number": "national"}, "one country"),
    "national of two": ({"number": "national", "countries": ["GB", "FR"]}, "one country"),
    "no country": ({"countries": ["UK"]}, "ISO 3166"),
    "calls that are none": ({"max_calls": "0"}, "greater than or equal to 1"),
    "zone": ({"windows": [{"zone": "Europe/Londn"}]}, "IANA"),
    "zone that leads out": ({"windows": [{"zone": "../../etc/passwd"}]}, "IANA"),
    "hours": ({"windows": [{"hours": "8-18"}]}, "08:00-18:00"),
    "no hours": ({"windows": [{"hours": "08:00-08:00"}]}, "00:00-24:00"),
    "misspelt": ({"max_call": "1"}, "Extra inputs"),
}


@pytest.mark.parametrize(("told", "fix"), BAD_TRUNKS.values(), ids=BAD_TRUNKS)
def test_a_bad_trunk_is_refused_with_the_fix(told: dict[str, Any], fix: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TrunkOptions.model_validate({**TRUNK, **told})

    assert fix in "".join(error["msg"] for error in refused.value.errors())


BAD_OPTIONS = {
    "a name that no variable holds": ({"trunks": {"A,B": TRUNK}}, "pattern"),
    "an unknown carrier": ({"trunks": {"A": {**TRUNK, "carriers": ["o2"]}}}, "'o2' is neither an MCCMNC nor"),
    "a group of nobody": ({"groups": {"o2": {}}}, "names no network"),
    "more routes than variables": ({"max_routes": 11}, "less than or equal to 10"),
    "ASR upside down": ({"quality": {"asr": {"warn": 0.1, "crit": 0.4}}}, "warn must be above"),
    "PDD upside down": ({"quality": {"pdd_ms": {"warn": 9000, "crit": 5000}}}, "warn must be below"),
    "no step": ({"quality": {"ner": {"warn": 0.5, "crit": 0.5}}}, "must differ"),
    "profit on nothing": ({"profiles": {"p": {"min_profit": "0.01"}}}, "needs sale_rate"),
    "no durations": ({"durations": []}, "at least 1"),
    "currency": ({"currency": "euro"}, "ISO 4217"),
}


@pytest.mark.parametrize(("told", "fix"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_are_refused_with_the_fix(told: dict[str, Any], fix: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RoutingOptions.model_validate(told)

    assert fix in "".join(error["msg"] for error in refused.value.errors())


def test_the_alphabet_is_that_of_channel_variables() -> None:
    assert options.VALUE == variables.SAFE


@settings(deadline=None)
@given(
    dial=st.lists(
        st.sampled_from(["PJSIP/", "{prefix}", "{number}", "{lrn}", "@acme", "é", "&", "{", "}", "a" * 50, " "])
    ).map("".join),
    prefix=st.text("0123456789AZ#*,", max_size=20),
    lrn=st.sampled_from(LrnUse),
    form=st.sampled_from(NumberForm),
    dialled=st.text(max_size=40) | st.text("+0123456789", max_size=40),
)
def test_whatever_trunk_is_accepted_tells_dial_only_what_a_variable_holds(
    dial: str, prefix: str, lrn: LrnUse, form: NumberForm, dialled: str
) -> None:
    told = {
        "vendor": "a",
        "dial": dial,
        "tech_prefix": prefix,
        "lrn": lrn,
        "number": form,
        "countries": frozenset({"US"}),
    }
    try:
        trunk = Trunk("T", TrunkOptions.model_validate(told), 0)
    except ValidationError:
        return
    said = trunk.dial(
        Number("+12015550123", "US"), dialled, Destination("12015550123", lrn="12015550000"), looked_up=True
    )
    assert variables.SAFE.fullmatch(said)
    assert "{" not in said


def test_no_trunk_has_the_name_that_the_dialplan_reports_its_own_by() -> None:
    with pytest.raises(ValidationError, match="choose another"):
        RoutingOptions.model_validate({"trunks": {"default": {"vendor": "acme", "dial": "PJSIP/{number}@acme"}}})
