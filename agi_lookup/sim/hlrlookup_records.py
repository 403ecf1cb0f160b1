"""The simulated vendor's knowledge of numbers: what each scenario looks like in HLR Lookup's words, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from agi_lookup.sim.countries import Country, country_of
from agi_lookup.sim.scenarios import Scenario

Record: TypeAlias = dict[str, Any]

ISO3: Final = {"DE": "DEU", "ES": "ESP", "FR": "FRA", "GB": "GBR", "IT": "ITA", "NL": "NLD", "RO": "ROU", "US": "USA"}
PRICES: Final = {"hlr": Decimal(1), "mnp": Decimal("0.5"), "validate": Decimal("0.5")}
"""Of one number, in credits. What a validation costs, no page says."""
EXTRA: Final = Decimal(1)
"""For a ported date that is known, and for the status of a US mobile."""

STATUSES: Final[Mapping[Scenario, str]] = {
    Scenario.ABSENT: "ABSENT_SUBSCRIBER",
    Scenario.UNKNOWN_SUBSCRIBER: "DEAD",
    Scenario.NO_TELESERVICE: "NO_TELESERVICE_PROVISIONED",
    Scenario.NO_COVERAGE: "NO_COVERAGE",
    Scenario.INCONCLUSIVE: "INCONCLUSIVE",
    Scenario.PARTNER_FAILURE: "NONE",
    Scenario.NETWORK_ONLY: "NOT_AVAILABLE_NETWORK_ONLY",
    Scenario.LANDLINE: "NOT_APPLICABLE",
    Scenario.VOIP: "NOT_AVAILABLE_NETWORK_ONLY",
    Scenario.TOLL_FREE: "NOT_APPLICABLE",
    Scenario.CALL_BARRED: "NONE",  # the vendor has no word for it: a network, no liveness, no charge
    Scenario.INVALID: "NOT_APPLICABLE",
    Scenario.RATE_LIMITED: "NONE",
}
FREE: Final = frozenset({"NO_COVERAGE", "NOT_APPLICABLE", "NONE"})
ERRORS: Final = {Scenario.PARTNER_FAILURE: "INTERNAL_ERROR", Scenario.RATE_LIMITED: "TOO_MANY_REQUESTS"}
TYPES: Final = {
    Scenario.LANDLINE: "LANDLINE",
    Scenario.VOIP: "VOIP",
    Scenario.TOLL_FREE: "TOLL_FREE",
    Scenario.NO_COVERAGE: "UNKNOWN",
    Scenario.INVALID: "BAD_FORMAT",
}
NOWHERE: Final = frozenset({Scenario.NO_COVERAGE, Scenario.TOLL_FREE, Scenario.INVALID, *ERRORS})
"""No network is known."""
NOT_FOUND: Final = frozenset({Scenario.UNKNOWN_SUBSCRIBER, Scenario.INCONCLUSIVE, Scenario.LANDLINE})
"""Only the issuing network is known."""


def digits_of(asked: Mapping[str, Any]) -> str:
    """The vendor takes `+44(7790) 60 60 23`, too."""
    return "".join(c for c in str(asked.get("telephone_number", "")) if c.isascii() and c.isdigit())


def result(asked: Mapping[str, Any], method: str, at: str) -> Record:
    """What `method` tells of the number in `asked`, with what that costs. `at` is the time of it."""
    number = digits_of(asked)
    scenario, home = Scenario.of(number), country_of(number)
    tells_status = method == "hlr" or scenario is Scenario.NO_COVERAGE
    status = _status(asked, scenario, home) if tells_status else "NONE"
    found = {
        "error": ERRORS.get(scenario, "NONE"),
        "uuid": f"00000000-0000-4000-8000-{number[-12:]:>012}",
        "request_parameters": _parameters(asked),
        "credits_spent": 0,
        "detected_telephone_number": "" if scenario is Scenario.INVALID else number,
        "formatted_telephone_number": "",
        "live_status": status,
        **_networks(number, scenario, home, method, reached=status == "LIVE"),
        "timestamp": at,
        "telephone_number_type": TYPES.get(scenario, "MOBILE"),
        "sms_email": "",
        "mms_email": "",
    }
    if asked.get("get_ported_date") == "YES" and found["is_ported"] == "YES":
        found["ported_date"] = "2024-03-18T00:00:00Z"
    return found | {"credits_spent": plain(_price(found, scenario, home, method))}


def from_cache(kept: Record, asked: Mapping[str, Any], part: Decimal) -> Record:
    """What was found before, at the time when it was, for `part` of its price."""
    credits_spent = plain(part * Decimal(str(kept["credits_spent"])))
    return {**kept, "request_parameters": _parameters(asked), "credits_spent": credits_spent}


def no_credit(found: Record) -> Record:
    """The same without anything that was to be paid."""
    nothing = dict.fromkeys(("original_network_details", "current_network_details"))
    nowhere = {"original_network": "NOT_AVAILABLE", "current_network": "NOT_AVAILABLE", "is_ported": "UNKNOWN"}
    return {**found, **nothing, **nowhere, "error": "INSUFFICIENT_CREDIT", "live_status": "NONE", "credits_spent": 0}


def distorted(found: Record, scenario: Scenario) -> Record:
    """The same record as no page promises it."""
    match scenario:
        case Scenario.NULLS:
            return {key: found[key] if key == "request_parameters" else None for key in found}
        case Scenario.TYPES_FLIPPED:
            return {key: _retyped(value) for key, value in found.items()}
        case Scenario.UNKNOWN_KEYS:
            return {"x_new": {"list": [1, None]}, **dict(reversed(found.items())), "score": 0.93}
        case Scenario.OTHER_NUMBER:
            other = f"{found['detected_telephone_number'][:-2]}00"
            parameters = {**found["request_parameters"], "telephone_number": other}
            return {**found, "request_parameters": parameters, "detected_telephone_number": other}
    return found


def plain(credits_spent: Decimal) -> int | float:
    """As JSON has it: 1 and 0.5."""
    return int(credits_spent) if credits_spent == credits_spent.to_integral_value() else float(credits_spent)


def _parameters(asked: Mapping[str, Any]) -> Record:
    """What the vendor understood, with its own defaults."""
    return {
        "telephone_number": asked.get("telephone_number"),
        "save_to_cache": asked.get("save_to_cache", "YES"),
        "input_format": "",
        "output_format": "",
        "cache_days_global": asked.get("cache_days_global", 0),
        "cache_days_private": asked.get("cache_days_private", 0),
        **{key: asked.get(key, "NO") for key in ("get_ported_date", "get_landline_status", "usa_status")},
    }


def _status(asked: Mapping[str, Any], scenario: Scenario, home: Country) -> str:
    if scenario is Scenario.LANDLINE and asked.get("get_landline_status") == "YES":
        return "LIVE"
    status = STATUSES.get(scenario, "LIVE")
    if home.iso != "US" or status in FREE or (asked.get("usa_status") == "YES" and scenario not in TYPES):
        return status
    return "NOT_AVAILABLE_NETWORK_ONLY"


def _networks(number: str, scenario: Scenario, home: Country, method: str, *, reached: bool) -> Record:
    current, other = home.networks if number[-3:-2] in "02468" else reversed(home.networks)
    ported = scenario is Scenario.PORTED
    has_original = scenario not in NOWHERE
    has_current = has_original and method != "validate" and (reached or scenario not in NOT_FOUND)
    original = {**_details(home, other if ported else current), "area": home.name}
    return {
        "original_network": "AVAILABLE" if has_original else "NOT_AVAILABLE",
        "original_network_details": original if has_original else None,
        "current_network": "AVAILABLE" if has_current else "NOT_AVAILABLE",
        "current_network_details": _details(home, current) if has_current else None,
        "is_ported": ("YES" if ported else "NO") if has_current else "UNKNOWN",
    }


def _details(home: Country, network: tuple[str, str]) -> Record:
    return {
        "name": network[1],
        "mccmnc": f"{home.mcc}{network[0]}",
        "country_name": home.name,
        "country_iso3": ISO3.get(home.iso, ""),
        "country_prefix": home.calling_code,
    }


def _price(found: Record, scenario: Scenario, home: Country, method: str) -> Decimal:
    if scenario in NOWHERE or (method == "hlr" and found["live_status"] in FREE):
        return Decimal(0)
    us_status = home.iso == "US" and found["request_parameters"]["usa_status"] == "YES" and scenario not in TYPES
    return PRICES[method] + EXTRA * (("ported_date" in found) + (us_status and method == "hlr"))


def _retyped(value: object) -> object:
    """Numbers as text and text as numbers, inside of objects, too."""
    if isinstance(value, dict):
        return {key: _retyped(inner) for key, inner in value.items()}
    if isinstance(value, int | float):
        return str(value)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
