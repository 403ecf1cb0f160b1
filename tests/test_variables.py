"""What the dialplan gets: all of it, always, and only safe characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.model import (
    Action,
    CacheState,
    Decision,
    Identity,
    Liveness,
    LookupOutcome,
    Method,
    NumberType,
    Reason,
    Sourced,
    Status,
    Tri,
    Verdict,
)
from agi_lookup.variables import SAFE, VARIABLES, render, safe
from tests.fakes import DEAD, KNOWN, NUMBER


def shown(decision: Decision, now: float = 0.0) -> dict[str, str]:
    return dict(render(decision, prefix="", now=now, ms=7))


def outcome(
    identity: Identity | None = None, liveness: Liveness | None = None, *, stale: bool = False, observed_at: float = 0.0
) -> LookupOutcome:
    state = CacheState.STALE if stale else CacheState.FRESH
    return LookupOutcome(
        Status.OK,
        Sourced(identity, "npl", Method.HLR, observed_at, state, stale) if identity else None,
        Sourced(liveness, "hlr", Method.HLR, observed_at, state) if liveness else None,
    )


@pytest.mark.parametrize("status", Status)
def test_every_variable_is_there_on_every_status_and_allows(status: Status) -> None:
    got = shown(Decision(status))

    assert list(got) == [v.name for v in VARIABLES]
    assert list(got)[-1] == "STATUS"
    assert (got["STATUS"], got["ACTION"], got["LCR_COUNT"]) == (status, "allow", "0")
    assert {got[name] for name in ("VALID", "PORTED", "REACHABLE", "ROAMING", "TYPE")} == {"unknown"}
    assert (got["NUMBER"], got["AGE"], got["CACHE"]) == ("", "", "miss")


def test_identity_and_liveness_are_shown() -> None:
    identity = Identity(
        "EE", "234", "01", "Three", "234", "20", Tri.YES, type=NumberType.MOBILE, country="GB", lrn="15551234567"
    )
    got = shown(Decision(Status.OK, NUMBER, outcome(identity, DEAD), Verdict(Action.BLOCK, 1, "dead_number")), now=90.5)

    assert (got["CARRIER"], got["MCC"], got["MNC"], got["MCCMNC"]) == ("EE", "234", "01", "23401")
    assert (got["ORIG_CARRIER"], got["ORIG_MCCMNC"], got["LRN"]) == ("Three", "23420", "15551234567")
    assert (got["REACHABLE"], got["REASON"], got["VALID"]) == ("no", "unknown_subscriber", "no")
    assert (got["ACTION"], got["CAUSE"], got["RULE"]) == ("block", "1", "dead_number")
    assert (got["SOURCE"], got["CACHE"], got["AGE"], got["MS"]) == ("npl", "fresh", "90", "7")


def test_a_shadow_rule_says_so() -> None:
    assert (
        shown(Decision(Status.OK, NUMBER, verdict=Verdict(rule="dead_number", shadow=True)))["RULE"]
        == "shadow:dead_number"
    )


def test_a_stale_identity_is_marked() -> None:
    assert shown(Decision(Status.OK, NUMBER, outcome(KNOWN, stale=True)))["CACHE"] == "stale"


def test_half_a_network_code_is_no_network_code() -> None:
    assert shown(Decision(Status.OK, NUMBER, outcome(Identity(mcc="234"))))["MCCMNC"] == ""


def test_the_plans_validity_stands_until_the_network_speaks() -> None:
    assert shown(Decision(Status.OK, NUMBER, outcome(KNOWN)))["VALID"] == "yes"
    assert shown(Decision(Status.OK, NUMBER, outcome(KNOWN, Liveness())))["VALID"] == "yes"
    assert shown(Decision(Status.OK, NUMBER, outcome(KNOWN, DEAD)))["VALID"] == "no"


def test_an_observation_from_the_future_has_no_negative_age() -> None:
    """C16."""
    assert shown(Decision(Status.OK, NUMBER, outcome(KNOWN, observed_at=100.0)), now=10.0)["AGE"] == "0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Vodafone UK", "Vodafone UK"),
        ("Télé & \"Cie\"", "Tele Cie"),
        ("O₂ (Germany)", "O2 Germany"),
        ("Türk Telekom", "Turk Telekom"),
        ("МТС", ""),
        ("a,b&c|d;e$f{g}", "a b c d e f g"),
        ("  two  \n words\t", "two words"),
        ("x" * 500, "x" * 128),
        ("\u202eevil", "evil"),
    ],
)  # fmt: skip
def test_texts_are_transliterated(text: str, expected: str) -> None:
    assert safe(text) == expected


@given(st.text())
def test_any_text_becomes_safe_and_stays_so(text: str) -> None:
    """F18."""
    once = safe(text)

    assert SAFE.fullmatch(once)
    assert safe(once) == once
    assert "\n" not in once


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_passes_the_whitelist(reason: Reason) -> None:
    assert safe(reason) == reason
