"""Vendors described in config: what is made of their replies."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agi_lookup.domain.errors import ProviderError, ProviderProtocolError
from agi_lookup.domain.model import Facet, Identity, Liveness, Method, Reason, Tri
from tests.providers.described import CARRIER, HLR, NUMBER, ODD, answered, code, identity, liveness, provider, result
from tests.providers.garbage import NO_ANSWER, NO_STRICT_JSON
from tests.providers.replay import NOW, outcomes, reply

# What is read


def test_paths_lead_through_objects_lists_and_the_number_itself() -> None:
    body = {"data": {"results": [{"name": "Zero"}, {"name": "One"}]}, "0": {"name": "Key"}}
    for path, name in (
        ("data.results.1.name", "One"),
        ("data.results[0].name", "Zero"),
        ("0.name", "Key"),
        ("data.results.2.name", None),
        ("data.results.name", None),
        ("data.results.-1.name", None),
        ("data.results.٠.name", None),
    ):
        assert identity(body, answer={"carrier": path, "mccmnc": "data"}).carrier == name, path
    keyed = {"447700900123": {"carrier": "Ours"}, "447700900124": {"carrier": "Another's"}}
    assert identity(keyed, answer={"record": "{digits}", "carrier": "carrier"}).carrier == "Ours"
    assert code({"447700900124": {"carrier": "Another's"}}, answer={"record": "{digits}", "carrier": "carrier"}) == (
        "bad_answer"
    )


def test_of_a_list_the_record_of_our_number_is_read() -> None:
    """P8"""
    answer = {"record": "results", "number": "to", "carrier": "net"}
    ours, other = {"to": "447700900123", "net": "Ours"}, {"to": "447700900124", "net": "Another's"}
    assert identity({"results": [other, ours]}, answer=answer).carrier == "Ours"
    assert identity({"results": [ours, other, ours]}, answer=answer).carrier == "Ours"
    for records in ([], [other], [ours, {**ours, "net": "Other"}], [None], ["447700900123"], ours["to"], None):
        assert code({"results": records}, answer=answer) == "bad_answer", records


@pytest.mark.parametrize("echo", ["447700900123", "+447700900123", 447700900123, " 447700900123 "])
def test_the_echo_may_come_in_any_form_of_our_number(echo: object) -> None:
    assert identity({"n": echo, "carrier": "C"}, answer={**CARRIER, "number": "n"}).carrier == "C"


@pytest.mark.parametrize(
    "echo", ["447700900124", "7700900123", "07700900123", "", None, 44770090012, True, ["447700900123"]]
)
def test_an_answer_that_does_not_name_our_number_is_refused(echo: object) -> None:
    """P8"""
    assert code({"n": echo, "carrier": "C"}, answer={**CARRIER, "number": "n"}) == "bad_answer"
    assert code({"carrier": "C"}, answer={**CARRIER, "number": "n"}) == "bad_answer"


def test_a_national_echo_is_compared_with_the_national_form() -> None:
    answer = {**CARRIER, "number": "tn", "number_as": "national"}
    assert identity({"tn": 2025550123, "carrier": "C"}, number="+12025550123", answer=answer).carrier == "C"
    assert code({"tn": "12025550123", "carrier": "C"}, number="+12025550123", answer=answer) == "bad_answer"


def test_key_value_pairs_are_read() -> None:
    answer = {"format": "pairs", "method": "hlr", "mccmnc": "imsi", "reachable": "result", "number": "tel"}
    values = {"reachable": {"OK": "yes", "ABSENT_SUBSCRIBER_SM": "no"}}
    found = answered(b"result=OK; imsi=23415 ;x;tel=+447700900123\r\nlocation=46\n", answer=answer, values=values)
    assert found.identity is not None
    assert (found.identity.mcc, found.identity.mnc) == ("234", "15")
    assert liveness(b"result=absent_subscriber_sm;tel=447700900123", answer=answer, values=values).reachable == "no"
    for odd in (
        b"",
        b"OK",
        b"result=OK;result=OK;tel=447700900123",
        b"result=\xff;tel=447700900123",
        b"a=b;tel=447700900123",
    ):
        assert code(odd, answer=answer, values=values) == "bad_answer", odd


@pytest.mark.parametrize("garbage", [*NO_STRICT_JSON, *NO_ANSWER])
@pytest.mark.parametrize("kind", ["json", "pairs"])
def test_garbage_is_a_bad_answer_also_without_an_echo(kind: str, garbage: str) -> None:
    """P7, P10"""
    body = {**NO_STRICT_JSON, **NO_ANSWER}[garbage]
    assert code(body, answer={**CARRIER, "format": kind}) == "bad_answer"


def test_null_everywhere_is_an_answer_that_knows_nothing() -> None:
    found = answered({"carrier": None})
    assert found.identity == Identity()
    assert found.liveness is None


def test_codes_keep_their_zeros_or_are_not_believed() -> None:
    pair = {"mcc": "mcc", "mnc": "mnc"}
    assert identity({"mcc": "234", "mnc": "01"}, answer=pair).mnc == "01"
    assert identity({"mcc": 234, "mnc": "01"}, answer=pair).mnc == "01"
    for mcc, mnc in (("234", 1), ("234", 15), ("US", 866), ("234", "1"), ("", ""), (None, None), (True, "01")):
        found = identity({"mcc": mcc, "mnc": mnc}, answer=pair)
        assert (found.mcc, found.mnc) == (None, None)
    one = {"mccmnc": "plmn"}
    for plmn, parts in (("23401", ("234", "01")), (23401, ("234", "01")), ("310010", ("310", "010")), ("3101", (None, None)),
                        ("GB-FIXED", (None, None)), ("234015", (None, None))):  # fmt: skip
        found = identity({"plmn": plmn}, answer=one)
        assert (found.mcc, found.mnc) == parts, plmn


def test_what_was_not_ported_is_one_network() -> None:
    answer = {"carrier": "now", "orig_carrier": "then", "mccmnc": "plmn", "ported": "p"}
    same = identity({"now": None, "then": "C", "plmn": "23415", "p": False}, answer=answer)
    assert (same.carrier, same.orig_carrier, same.mnc, same.orig_mnc, same.ported) == ("C", "C", "15", "15", "no")
    moved = identity({"now": None, "then": "C", "plmn": "23415", "p": True}, answer=answer)
    assert (moved.carrier, moved.orig_carrier, moved.mnc, moved.orig_mnc) == (None, "C", "15", None)
    nobody = identity({"now": None, "then": "", "plmn": None, "p": False}, answer=answer)
    assert nobody.ported is Tri.UNKNOWN


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("2024-02-29", "2024-02-29"), ("20240229", "2024-02-29"), ("20240229101112", "2024-02-29T10:11:12"),
        ("2024-02-29 10:11:12", "2024-02-29T10:11:12"), ("2024-02-29T10:11:12Z", "2024-02-29T10:11:12+00:00"),
        ("0001-01-01", None), ("2024-02-30", None), ("1709164800", None), ("", None), (None, None), (1709164800, None),
    ],
)  # fmt: skip
def test_dates_are_iso_8601_or_unknown(said: object, read: str | None) -> None:
    assert identity({"d": said}, answer={"ported_date": "d"}).ported_date == read


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("2026-01-01 02:59:58.500+0300", -1.5), ("2025-12-31T23:59:58Z", -2.0), ("2025-12-31T23:59:58", 0), ("soon", 0),
        (None, 0), (1767225590, 0),
    ],
)  # fmt: skip
def test_the_vendors_own_time_counts_where_it_has_an_offset(said: object, seconds: float) -> None:
    found = answered({"carrier": "C", "t": said}, answer={**CARRIER, "observed_at": "t"})
    assert found.observed_at == NOW + seconds


def test_money_is_exact_and_never_negative() -> None:
    answer = {**CARRIER, "cost": "c", "balance": "b"}
    found = answered({"carrier": "C", "c": "0.0050", "b": "-3.2"}, answer=answer, currency="EUR")
    assert (found.cost, found.balance_after, found.currency) == (Decimal("0.0050"), Decimal("-3.2"), "EUR")
    for odd in ("-1", "free", None, True, [1], "1e9"):
        assert answered({"carrier": "C", "c": odd}, answer=answer).cost is None
    assert answered({"carrier": "C"}).currency is None


def test_a_code_for_the_log_is_a_word_or_a_small_number() -> None:
    answer = {**CARRIER, "code": "code"}
    for said, shown in (("OK_1", "OK_1"), (44, "44"), ("0044", "0044"), (NUMBER, ""), (447700900123, ""), ("a b", ""), (True, ""),
                        ("x" * 40, ""), (None, "")):  # fmt: skip
        assert answered({"carrier": "C", "code": said}, answer=answer).raw_code == shown


def test_names_are_one_clean_line() -> None:
    assert identity({"carrier": " Exa\r\nmple\x1b[31m\u202e "}).carrier == "Exa mple[31m"


# Liveness, and who may speak of it


@pytest.mark.parametrize("method", ["mnp", "lrn", "validate"])
def test_only_hlr_provides_liveness(method: str) -> None:
    other = provider(answer={**CARRIER, "method": method})
    assert other.provides == {Facet.IDENTITY}
    assert answered({"carrier": "C"}, answer={**CARRIER, "method": method}).method == method
    assert provider(answer=HLR).provides == {Facet.IDENTITY, Facet.LIVENESS}


def test_liveness_is_believed_from_its_source_only() -> None:
    answer = {**HLR, **CARRIER, "live_when": {"path": "source", "in": ["LIVE_HLR"]}}
    live = answered({"reachable": True, "carrier": "C", "source": "live_hlr"}, answer=answer)
    assert (live.method, live.liveness and live.liveness.reachable) == (Method.HLR, Tri.YES)
    for source in ("MNP_DB", "", None, True, ["LIVE_HLR"]):
        other = answered({"reachable": True, "carrier": "C", "source": source}, answer=answer)
        assert (other.method, other.liveness) == (Method.MNP, Liveness(reason=Reason.NETWORK_ONLY))
    silent = answered({"reachable": True, "carrier": None, "source": "MNP_DB"}, answer=answer)
    assert silent.liveness == Liveness()


REASONS = {
    "UP": "ok",
    "BUSY": "busy",
    "OFF": "absent",
    "DEAD": "unknown_subscriber",
    "WRONG": "invalid_number",
    "NET": "network_only",
}


@pytest.mark.parametrize(
    ("reachable", "word", "reason"),
    [
        ("yes", "UP", "ok"), ("yes", "BUSY", "busy"), ("yes", "OFF", "ok"), ("yes", "DEAD", "ok"), ("yes", None, "ok"),
        ("no", "OFF", "absent"), ("no", "DEAD", "unknown_subscriber"), ("no", "UP", "inconclusive"), ("no", "new", "inconclusive"),
        ("what", "DEAD", "inconclusive"), ("what", "WRONG", "inconclusive"), ("what", "OFF", "inconclusive"),
        ("what", "UP", "inconclusive"), ("what", "NET", "network_only"), (None, None, "inconclusive"),
    ],
)  # fmt: skip
def test_a_reason_that_contradicts_the_reachability_is_dropped(reachable: str, word: str, reason: str) -> None:
    """A reason can block a call."""
    found = liveness({"reachable": reachable, "why": word}, answer={**HLR, "reason": "why"}, values={"reason": REASONS})
    assert found.reason == reason


def test_gsm_codes_mean_what_they_mean_everywhere() -> None:
    answer = {**CARRIER, "method": "hlr", "gsm_error": "error.id"}
    told = {
        said: liveness({"carrier": "C", "error": {"id": said}}, answer=answer) for said in (0, "27", 1, 31, 999, None)
    }
    assert {said: (found.reachable, found.valid, found.reason) for said, found in told.items()} == {
        0: ("yes", "yes", "ok"),
        "27": ("no", "yes", "absent"),
        1: ("no", "no", "unknown_subscriber"),
        31: ("yes", "yes", "busy"),
        999: ("unknown", "unknown", "inconclusive"),
        None: ("unknown", "unknown", "inconclusive"),
    }
    assert code({"carrier": None, "error": {"id": 34}}, answer=answer) == "provider_failure"
    assert code({"carrier": None, "error": {"id": 35}}, answer=answer) == "not_covered"
    assert answered({"carrier": None, "error": {"id": 27}}, answer=answer).raw_code == "27"


@pytest.mark.parametrize("fact", ["reachable", "valid", "roaming"])
def test_without_a_map_only_plain_words_are_facts(fact: str) -> None:
    """P9"""
    plain = {"true": "yes", "y": "yes", "yes": "yes", "1": "yes", "false": "no", "n": "no", "no": "no", "0": "no"}
    for said in [True, False, 1, 0, "TRUE", " No ", *plain, *ODD]:
        found = liveness({"reachable": "no", fact: said}, answer={**HLR, fact: fact})
        expected = plain.get(str(said).strip().lower(), "unknown") if isinstance(said, str | int) else "unknown"
        assert getattr(found, fact) == expected, said


@pytest.mark.parametrize("fact", ["reachable", "valid", "roaming"])
def test_with_a_map_only_its_words_are_facts(fact: str) -> None:
    """P9: not even a plain yes."""
    words = {"Connected": "yes", "5": "no", "true": "no", "maybe": "unknown"}
    for said in ["CONNECTED", " connected ", 5, "5", True, "maybe", False, "yes", 1, *ODD]:
        found = liveness({"reachable": "x", fact: said}, answer={**HLR, fact: fact}, values={fact: words})
        key = str(said).strip().lower() if isinstance(said, str | int) else ""
        assert getattr(found, fact) == {"connected": "yes", "5": "no", "true": "no"}.get(key, "unknown"), said


# Errors


RULES = [
    {"when": {"status": [422, 423]}, "means": "out_of_credit"},
    {"when": {"path": "status", "in": [4, "bad_key"]}, "means": "auth"},
    {"when": {"path": "status", "in": 7, "not_in": 8}, "means": "not_covered"},
    {"when": {"text": "FAIL credit"}, "means": "out_of_credit"},
    {"when": {"text": "FAIL"}, "means": "unavailable"},
    {"when": {"status": 200, "path": "error"}, "means": "provider_failure"},
    {"when": {"path": "state", "not_in": ["OK", "PARTIAL"]}, "means": "rejected"},
]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({}, 422, "out_of_credit"), (b"<html>", 423, "out_of_credit"), ({"status": 4}, 422, "out_of_credit"),
        ({"status": 4}, 200, "auth"), ({"status": "4"}, 200, "auth"), ({"status": "BAD_KEY"}, 500, "auth"),
        ({"status": 7}, 200, "not_covered"), (b"fail Credit of 447700900123", 200, "out_of_credit"), (b" FAIL", 503, "unavailable"),
        (b"no FAIL", 200, "bad_answer"), (b"<html>", 200, "bad_answer"), (b"null", 200, "bad_answer"),
        (b"<html>", 503, "lost_reply"),
        ({"error": "x", "state": "OK"}, 200, "provider_failure"), ({"error": {"id": 1}, "state": "OK"}, 200, "provider_failure"),
        ({"error": [1]}, 200, "provider_failure"), ({"error": 0.5}, 200, "provider_failure"),
        ({"state": "NEW"}, 200, "rejected"), ({"carrier": "C"}, 200, "rejected"), ({"state": None}, 200, "rejected"),
        ({"state": "OK"}, 500, "lost_reply"), ({"state": "OK"}, 401, "auth"), ({"state": "partial"}, 404, "rejected"),
    ],
)  # fmt: skip
def test_the_first_rule_that_holds_decides_and_then_the_status(body: object, status: int, word: str) -> None:
    """P10 to P13"""
    assert code(body, status=status, errors=RULES) == word


@pytest.mark.parametrize("nothing", [None, "", 0, "0", False, "false", [], {}])
def test_an_error_that_says_nothing_is_none(nothing: object) -> None:
    assert identity({"error": nothing, "state": "ok", "carrier": "C"}, errors=RULES).carrier == "C"


def test_a_rule_passes_on_how_long_to_wait() -> None:
    """P13"""
    made = provider(errors=[{"when": {"path": "s", "in": ["busy"]}, "means": "rate_limited"}])
    found = outcomes(made, [NUMBER], [reply(b'{"s": "busy"}', 200, {"retry-after": "7"})])[NUMBER]
    assert isinstance(found, ProviderError)
    assert (found.code, found.retry_after_s) == ("rate_limited", 7.0)


def test_no_error_repeats_what_the_vendor_said() -> None:
    """S13"""
    for body in (b"FAIL credit of 447700900123", b'{"status": 4, "user": "447700900123"}', b'{"to": "447700900123"'):
        found = result(body, errors=RULES)
        assert "4477" not in f"{found!r} {found} {found.__dict__ if isinstance(found, ProviderError) else ''}"


def test_a_reply_that_is_no_json_is_read_by_its_status_first() -> None:
    """P10, P11"""
    found = result(b"<html>Unauthorized</html>", status=401, preset="telnyx", secret="s")
    assert isinstance(found, ProviderError)
    assert found.code == "auth"
    assert isinstance(result(b"<html>", status=200), ProviderProtocolError)
