"""What each scenario looks like in the words of the vendors that `http_json` has presets for. See those for the vendors' pages.

A shape gets the number (digits without `+`) and its scenario and gives HTTP status and JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from agi_lookup.sim.countries import Country, country_of
from agi_lookup.sim.scenarios import Scenario

Reply: TypeAlias = tuple[int, Any]
Shape: TypeAlias = Callable[[str, Scenario], Reply]

DEAD: Final = frozenset({Scenario.UNKNOWN_SUBSCRIBER, Scenario.INVALID})
NO_NETWORK: Final = DEAD | {Scenario.NO_COVERAGE, Scenario.PARTNER_FAILURE, Scenario.INCONCLUSIVE}
"""Nothing is known of the network in these."""


class Subject(NamedTuple):
    """A number and its networks, each MNC and name; both are the same where it was not ported."""

    number: str
    home: Country
    current: tuple[str, str]
    original: tuple[str, str]

    @property
    def ported(self) -> bool:
        return self.current != self.original


def subject(number: str, scenario: Scenario) -> Subject:
    home = country_of(number)
    current, other = home.networks
    return Subject(number, home, current, other if scenario is Scenario.PORTED else current)


def twilio(number: str, scenario: Scenario) -> Reply:
    if scenario is Scenario.RATE_LIMITED:
        return 429, {"code": 20429, "message": "Too many requests", "status": 429}
    asked = subject(number, scenario)
    types = {Scenario.LANDLINE: "landline", Scenario.VOIP: "nonFixedVoip", Scenario.TOLL_FREE: "tollFree"}
    errors = {Scenario.NO_COVERAGE: 60600, Scenario.PARTNER_FAILURE: 60699}
    known = scenario not in NO_NETWORK
    line = {
        "mobile_country_code": asked.home.mcc if known and scenario not in types else None,
        "mobile_network_code": asked.current[0] if known and scenario not in types else None,
        "carrier_name": asked.current[1] if known and scenario is not Scenario.TOLL_FREE else None,
        "type": types.get(scenario, "mobile" if known else None),
        "error_code": errors.get(scenario),
    }
    return 200, distorted(scenario, "phone_number", {
        "calling_country_code": asked.home.calling_code,
        "country_code": asked.home.iso,
        "phone_number": f"+{number}",
        "valid": scenario not in DEAD,
        "validation_errors": ["INVALID_BUT_POSSIBLE"] if scenario in DEAD else None,
        "line_type_intelligence": None if scenario in DEAD else line,
    })  # fmt: skip


def telnyx(number: str, scenario: Scenario) -> Reply:
    failures = {
        Scenario.RATE_LIMITED: (429, "10011"),
        Scenario.NO_COVERAGE: (422, "10027"),
        Scenario.INVALID: (422, "10002"),
        Scenario.UNKNOWN_SUBSCRIBER: (404, "10005"),
        Scenario.PARTNER_FAILURE: (500, "10007"),
    }
    if scenario in failures:
        status, code = failures[scenario]
        return status, {"errors": [{"code": code, "title": "refused", "detail": "refused"}]}
    asked = subject(number, scenario)
    types = {Scenario.LANDLINE: "fixed line", Scenario.VOIP: "voip", Scenario.TOLL_FREE: "toll free"}
    carrier = {
        "name": asked.current[1],
        "type": types.get(scenario, "mobile"),
        "mobile_country_code": "" if scenario in types else asked.home.mcc,
        "mobile_network_code": "" if scenario in types else asked.current[0],
        "error_code": None,
    }
    return 200, {"data": distorted(scenario, "phone_number", {
        "country_code": asked.home.iso,
        "phone_number": f"+{number}",
        "carrier": None if scenario is Scenario.INCONCLUSIVE else carrier,
        "portability": _north_american(asked) if asked.home.iso == "US" else None,
        "record_type": "number_lookup",
        "valid_number": True,
    })}  # fmt: skip


def _north_american(asked: Subject) -> Mapping[str, str]:
    return {
        "lrn": f"{asked.number[1:7]}0000" if asked.ported else "",
        "ported_status": "Y" if asked.ported else "N",
        "ported_date": "2024-02-29" if asked.ported else "",
        "ocn": "6529",
        "spid": "6529",
        "line_type": "mobile",
    }


def vonage(number: str, scenario: Scenario) -> Reply:
    statuses = {Scenario.RATE_LIMITED: 1, Scenario.INVALID: 3, Scenario.PARTNER_FAILURE: 5, Scenario.NO_COVERAGE: 3}
    if scenario in statuses:
        return 200, {"status": statuses[scenario], "error_text": "refused"}
    asked = subject(number, scenario)
    reachable = {
        Scenario.ABSENT: "absent", Scenario.UNKNOWN_SUBSCRIBER: "bad_number", Scenario.CALL_BARRED: "undeliverable",
        Scenario.NO_TELESERVICE: "undeliverable", Scenario.INCONCLUSIVE: "unknown", Scenario.NETWORK_ONLY: "unknown",
        Scenario.LANDLINE: "unknown", Scenario.VOIP: "unknown", Scenario.TOLL_FREE: "unknown",
    }.get(scenario, "reachable")  # fmt: skip
    types = {Scenario.LANDLINE: "landline", Scenario.VOIP: "virtual", Scenario.TOLL_FREE: "toll-free"}
    kind, known = types.get(scenario, "mobile"), scenario not in NO_NETWORK
    return 200, distorted(scenario, "international_format_number", {
        "status": 44 if reachable == "unknown" else 0,
        "status_message": "Success",
        "lookup_outcome": 1 if reachable == "unknown" else 0,
        "international_format_number": number,
        "country_code": asked.home.iso,
        "request_price": "1.00",
        "current_carrier": _vonage_carrier(asked.home, asked.current, kind) if known else None,
        "original_carrier": _vonage_carrier(asked.home, asked.original, kind) if known else None,
        "valid_number": {"bad_number": "not_valid", "unknown": "unknown"}.get(reachable, "valid"),
        "reachable": reachable,
        "ported": ("ported" if asked.ported else "not_ported") if known else "unknown",
        "roaming": {"status": "roaming" if scenario is Scenario.ROAMING else "not_roaming"},
    })  # fmt: skip


def _vonage_carrier(home: Country, network: tuple[str, str], kind: str) -> Mapping[str, str]:
    code = f"{home.mcc}{network[0]}" if kind == "mobile" else f"{home.iso}-FIXED"
    return {"network_code": code, "name": network[1], "country": home.iso, "network_type": kind}


GSM_CODES: Final = {
    Scenario.ABSENT: (27, "EC_ABSENT_SUBSCRIBER"),
    Scenario.UNKNOWN_SUBSCRIBER: (1, "EC_UNKNOWN_SUBSCRIBER"),
    Scenario.NO_TELESERVICE: (11, "EC_TELESERVICE_NOT_PROVISIONED"),
    Scenario.NO_COVERAGE: (35, "EC_DATA_MISSING"),
    Scenario.INCONCLUSIVE: (32, "EC_SM_DELIVERY_FAILURE"),
    Scenario.PARTNER_FAILURE: (34, "EC_SYSTEM_FAILURE"),
    Scenario.CALL_BARRED: (13, "EC_CALL_BARRED"),
    Scenario.LANDLINE: (38, "EC_IMSI_BLACKLISTED"),
    Scenario.TOLL_FREE: (38, "EC_IMSI_BLACKLISTED"),
    Scenario.VOIP: (38, "EC_IMSI_BLACKLISTED"),
}
NO_ERROR: Final = (0, "NO_ERROR")


def infobip(number: str, scenario: Scenario) -> Reply:
    if scenario is Scenario.RATE_LIMITED:
        return 429, infobip_refusal("TOO_MANY_REQUESTS")
    if scenario is Scenario.INVALID:
        return 200, {"results": [{"to": number, "status": rejected("REJECTED_DESTINATION")}]}
    asked = subject(number, scenario)
    code, name = GSM_CODES.get(scenario, NO_ERROR)
    known = scenario not in NO_NETWORK and code != 38
    record = distorted(scenario, "to", {
        "to": number,
        "mccMnc": f"{asked.home.mcc}{asked.current[0]}" if known else None,
        "originalNetwork": {"networkName": asked.original[1], "countryPrefix": asked.home.calling_code} if known else None,
        **({"portedNetwork": {"networkName": asked.current[1]}} if asked.ported else {}),
        "ported": asked.ported if known else None,
        "roaming": scenario is Scenario.ROAMING,
        "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"} if code == 0 else
        {"groupId": 2, "groupName": "UNDELIVERABLE", "id": 9, "name": "UNDELIVERABLE_NOT_DELIVERED"},
        **({} if scenario is Scenario.NETWORK_ONLY else {"error": {"id": code, "name": name, "permanent": code in {1, 11}}}),
    })  # fmt: skip
    return 200, {"results": [record] * (2 if scenario is Scenario.DUPLICATE else 1)}


def infobip_refusal(word: str) -> Any:
    return {"requestError": {"serviceException": {"messageId": word, "text": "refused"}}}


def rejected(name: str) -> Mapping[str, Any]:
    return {"groupId": 5, "groupName": "REJECTED", "id": 12, "name": name}


def hlr_lookups(number: str, scenario: Scenario) -> Reply:
    if scenario is Scenario.RATE_LIMITED:
        return 429, {"success": False, "errors": [{"code": 1429, "message": "refused"}]}
    asked = subject(number, scenario)
    word = {
        Scenario.ABSENT: "ABSENT", Scenario.UNKNOWN_SUBSCRIBER: "INVALID_MSISDN", Scenario.INVALID: "INVALID_MSISDN",
        Scenario.NO_COVERAGE: "UNDETERMINED", Scenario.INCONCLUSIVE: "UNDETERMINED", Scenario.PARTNER_FAILURE: "UNDETERMINED",
        Scenario.NO_TELESERVICE: "UNDETERMINED", Scenario.CALL_BARRED: "UNDETERMINED", Scenario.LANDLINE: "INVALID_MSISDN",
        Scenario.TOLL_FREE: "INVALID_MSISDN", Scenario.VOIP: "INVALID_MSISDN",
    }.get(scenario, "CONNECTED")  # fmt: skip
    by_tables = {Scenario.NETWORK_ONLY, Scenario.LANDLINE, Scenario.VOIP, Scenario.TOLL_FREE}
    known = scenario not in NO_NETWORK
    statuses = {Scenario.PARTNER_FAILURE: "FAILED", Scenario.NO_COVERAGE: "REJECTED"}
    return 200, distorted(scenario, "msisdn", {
        "msisdn": f"+{number}",
        "connectivity_status": word,
        "mcc": asked.home.mcc if known else None,
        "mnc": asked.current[0] if known else None,
        "original_network_name": asked.original[1] if known else None,
        "original_country_code": asked.home.iso,
        "is_ported": asked.ported if known else None,
        "ported_network_name": asked.current[1] if asked.ported else None,
        "is_roaming": scenario is Scenario.ROAMING if word == "CONNECTED" else None,
        "cost": "1.0000",
        "processing_status": statuses.get(scenario, "COMPLETED"),
        "error_code": None,
        "data_source": "MNP_DB" if scenario in by_tables else "LIVE_HLR",
    })  # fmt: skip


def bulkvs(number: str, scenario: Scenario) -> Reply:
    if scenario is Scenario.RATE_LIMITED:
        return 429, {}
    asked = subject(number, scenario)
    known = scenario not in NO_NETWORK
    national = number.removeprefix("1")
    return 200, distorted(scenario, "tn", {
        "tn": national,
        "lrn": f"{national[:6]}9999" if known else "",
        "ocn": "6529" if known else "",
        "lec": asked.current[1] if known else "",
        "lectype": "CLEC" if scenario in {Scenario.LANDLINE, Scenario.VOIP} else "PCS" if known else "",
        "spid": "6529" if known else "",
        "activation": "1709164800" if asked.ported else "0",
        "LIDBName": "",
    })  # fmt: skip


def distorted(scenario: Scenario, echo: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The same record as no page promises it. `echo` is the key of the number."""
    match scenario:
        case Scenario.NULLS:
            return {key: value if key == echo else None for key, value in record.items()}
        case Scenario.TYPES_FLIPPED:
            return {key: _retyped(value) for key, value in record.items()}
        case Scenario.UNKNOWN_KEYS:
            return {"x-new": {"list": [1, None]}, **dict(reversed([*record.items()])), "score": 0.93}
        case Scenario.OTHER_NUMBER:
            return {**record, echo: f"{record[echo][:-2]}00"}
    return dict(record)


def _retyped(value: Any) -> Any:
    """Booleans and numbers as texts, texts of digits as numbers; a text with `+` loses it as a number."""
    if isinstance(value, dict):
        return {key: _retyped(item) for key, item in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    bare = value.removeprefix("+") if isinstance(value, str) else ""
    return int(bare) if bare.isascii() and bare.isdigit() else value
