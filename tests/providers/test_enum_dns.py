"""What NAPTR records say of a number, in the words of several vendors and of hostile ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup.domain.errors import ProviderError, ProviderNotCovered, ProviderProtocolError
from agi_lookup.domain.model import Identity, LookupAnswer, Number, NumberType, Tri
from agi_lookup.providers import loading
from agi_lookup.providers.base import NumberResult
from agi_lookup.providers.dns_message import Naptr, NaptrReply
from agi_lookup.providers.enum_dns import NaptrQuery, Provider
from agi_lookup.providers.enum_naptr import MAX_URI, apply, read
from agi_lookup.providers.enum_options import Options, address
from tests.providers.garbage import NO_STRICT_JSON
from tests.providers.replay import NOW, split

NUMBER = "+447700900101"


def provider(**options: Any) -> Provider:
    return Provider("enum", Options.model_validate({"kind": "enum_dns", "zone": "e164.arpa", **options}), split)


def rule(regexp: str, service: str = "E2U+pstn:tel", flags: str = "u", order: int = 10, preference: int = 50) -> Naptr:
    return Naptr(order, preference, flags, service, regexp)


def ask(reply: NaptrReply | ProviderError, number: str = NUMBER, **options: Any) -> NumberResult:
    """What `lookup` returns; it may ask once and no more."""
    flow = provider(**options).lookup([Number(number)], NOW)
    next(flow)
    go_on = partial(flow.throw, reply) if isinstance(reply, ProviderError) else partial(flow.send, reply)
    with pytest.raises(StopIteration) as done:
        go_on()
    result: NumberResult = done.value.value[number]
    return result


def told(*regexps: str | Naptr, number: str = NUMBER, rcode: int = 0, **options: Any) -> NumberResult:
    records = tuple(r if isinstance(r, Naptr) else rule(r) for r in regexps)
    return ask(NaptrReply(rcode, records, 300), number, **options)


def identity(*regexps: str | Naptr, number: str = NUMBER, **options: Any) -> Identity:
    result = told(*regexps, number=number, **options)
    assert isinstance(result, LookupAnswer), result
    assert result.liveness is None
    assert result.identity is not None
    return result.identity


def word(result: NumberResult) -> str:
    return result.code if isinstance(result, ProviderError) else "answer"


def test_the_number_is_asked_for_backwards_under_the_zone() -> None:
    flow = provider(zone="live.vendor.example").lookup([Number(NUMBER)], NOW)
    assert next(flow) == NaptrQuery("1.0.1.0.0.9.0.0.7.7.4.4.live.vendor.example")


# Vendors


def test_datafon() -> None:
    """https://help.datafon.co.uk: parameters without a scheme, `null` for unknown."""
    stated = r"!^(.*)$!country=null\;operator=null\;mcc=234\;mnc=001\;ported=false\;err=0!"
    assert identity(rule(stated, flags="U")) == Identity(
        mcc="234", mnc="001", orig_mcc="234", orig_mnc="001", ported=Tri.NO
    )


def test_mitto() -> None:
    """https://docs.mitto.ch/number-lookup-enum: the network in the host, and a price."""
    stated = f"!^.*$!sip:{NUMBER}@ims.mnc15.mcc234.3gppnetwork.org;cost=0.002200000;ported=1;omnc=10;user=phone!"
    result = told(rule(stated, service="E2U+SIP"))
    assert isinstance(result, LookupAnswer)
    assert (result.cost, result.currency) == (Decimal("0.0022"), "EUR")
    assert result.identity == Identity(mcc="234", mnc="15", ported=Tri.YES)  # no original MCC is stated, so no original


def test_sinch() -> None:
    """https://developers.sinch.com/docs/number-lookup-enum-interface: escapes of escapes."""
    said = identity(r"!^(.*)$!tel:\\1\\;mcc=310\\;mnc=012!", number="+12025550112")
    assert (said.mcc, said.mnc, said.ported) == ("310", "012", Tri.UNKNOWN)


def test_tmt() -> None:
    """https://www.tmtanalysis.com/developer/tmt_live_v1.html: `np` may be n/a, which is no "no" whatever `npdi` suggests."""
    stated = f"!^.*$!tel:{NUMBER};npdi;np={{}};cic=1234;cc=GB;cn=Example Mobile;nt=mobile;ocn=;mcc=234;mnc=15!"
    said = identity(stated.format("yes"))
    assert said == Identity("Example Mobile", "234", "15", ported=Tri.YES, type=NumberType.MOBILE, country="GB")
    assert identity(stated.format("na")).ported is Tri.UNKNOWN
    assert identity(stated.format("no")).orig_carrier == "Example Mobile"


def test_engy_says_refused_and_means_the_number() -> None:
    """https://docs.engy.solutions/reference/enum-query-and-response-examples"""
    assert word(told(f"!^.*$!sip:{NUMBER}@ims.example;err=1!", rcode=5)) == "provider_failure"
    assert word(told(rcode=5)) == "auth"


def test_horisen_brackets_its_uri() -> None:
    """https://developers.horisen.com/en/mnp-customer-enum-api-v2"""
    said = identity(rule(f"!^.*$!<TEL:{NUMBER};mcc=234;mnc=15>!", service="E2U+PSTN:TEL"))
    assert (said.mcc, said.mnc) == ("234", "15")


# RFC 4694 and RFC 6116


@pytest.mark.parametrize(
    ("parameters", "ported", "lrn"),
    [
        ("npdi;rn=+12025550100", Tri.YES, "2025550100"),
        ("rn=202-555-0100;rn-context=+1;npdi", Tri.YES, "2025550100"),
        ("npdi;rn=d2701;rn-context=+7", Tri.YES, "d2701"),
        ("npdi", Tri.NO, None),
        ("npdi;rn=", Tri.UNKNOWN, None),
        ("npdi;rn=not a number", Tri.UNKNOWN, None),
        ("", Tri.UNKNOWN, None),
        ("cic=+1-0288", Tri.UNKNOWN, None),
    ],
)
def test_a_dip_without_a_routing_number_is_not_ported(parameters: str, ported: Tri, lrn: str | None) -> None:
    said = identity(f"!^.*$!tel:+12025550112;{parameters}!", number="+12025550112")
    assert (said.ported, said.lrn) == (ported, lrn)


def test_the_parameters_may_stand_within_a_sip_user() -> None:
    said = identity(rule(r"!(^.*$)!sip:\1;npdi;rn=+44799@ims.example;user=phone!", service="E2U+pstn:sip"))
    assert (said.ported, said.lrn) == (Tri.YES, "44799")


@pytest.mark.parametrize(
    ("template", "host", "npdi"),
    [("auto", "15", Tri.NO), ("pstn", None, Tri.NO), ("sip3gpp", "15", Tri.UNKNOWN), ("parameters", None, Tri.UNKNOWN)],
)
def test_a_template_says_what_may_be_inferred(template: str, host: str | None, npdi: Tri) -> None:
    said = identity(f"!^.*$!sip:{NUMBER};npdi@ims.mnc015.mcc234.3gppnetwork.org!", template=template)
    assert (said.mnc, said.ported) == (host, npdi)


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("ims.mnc015.mcc234.3gppnetwork.org", ("234", "15")),  # 3GPP TS 23.003 fills up to three digits
        ("ims.mnc15.mcc234.3gppnetwork.org.", ("234", "15")),
        ("mnc260.mcc310.3gppnetwork.org", ("310", "260")),
        ("ims.mnc012.mcc310.3gppnetwork.org", ("310", "012")),
        ("ims.mnc15.mcc234.3gppnetwork.org.evil.example", (None, None)),
        ("mnc15mcc234.3gppnetwork.org", (None, None)),
        ("gw.example", (None, None)),
    ],
)
def test_a_host_of_3gpp_names_the_network(host: str, network: tuple[str | None, str | None]) -> None:
    said = identity(f"!^.*$!sip:{NUMBER}@{host};ported=0!")
    assert (said.mcc, said.mnc) == network


def test_the_lowest_order_decides_and_then_the_preference() -> None:
    """RFC 6116, section 3.4"""

    def network(mnc: str, order: int, preference: int, **other: str) -> Naptr:
        return rule(f"!^.*$!tel:{NUMBER};mcc=234;mnc={mnc}!", order=order, preference=preference, **other)

    assert identity(network("01", 20, 1), network("02", 10, 9), network("03", 10, 5)).mnc == "03"
    assert (
        identity(network("01", 5, 1, flags=""), network("02", 5, 1, service="x-other"), network("03", 10, 1)).mnc
        == "03"
    )


def test_a_rule_that_does_not_apply_is_passed_by() -> None:
    mine, other = f"!^.*$!tel:{NUMBER};mcc=234;mnc=15!", r"!^\+33.*$!tel:+33639980001;mcc=208;mnc=01!"
    assert identity(rule(other, preference=1), rule(mine, preference=2)).mnc == "15"
    assert word(told(other)) == "bad_answer"


# The block's own words


def test_fields_name_the_vendors_parameters() -> None:
    said = identity(
        f"!^.*$!tel:{NUMBER};cic=Example;Plmn=23415;moved=y!",
        fields={"carrier": "cic", "mccmnc": "PLMN", "ported": "moved"},
    )
    assert (said.carrier, said.mcc, said.mnc, said.ported) == ("Example", "234", "15", Tri.YES)
    assert (
        identity(f"!^.*$!tel:{NUMBER};ported=yes!", fields={"ported": ""}, template="parameters").ported is Tri.UNKNOWN
    )


@pytest.mark.parametrize(
    ("code", "errors", "expected"),
    [
        ("0", {}, "answer"),
        ("", {}, "answer"),
        ("3", {}, "provider_failure"),
        ("x" * 300, {}, "provider_failure"),
        ("3", {"3": "not_covered"}, "not_covered"),
        ("9", {"9": "out_of_credit"}, "out_of_credit"),
        ("4", {"4": "ok"}, "answer"),
    ],
)
def test_an_error_in_the_record_is_an_error_of_its_number(code: str, errors: dict[str, str], expected: str) -> None:
    result = told(f"!^.*$!tel:{NUMBER};mcc=234;mnc=15;err={code}!", errors=errors)
    assert word(result) == expected
    assert "xxx" not in str(result)


@pytest.mark.parametrize(
    ("rcode", "rcodes", "expected"),
    [
        (1, {}, "rejected"),
        (2, {}, "lost_reply"),
        (3, {}, "not_covered"),
        (4, {}, "rejected"),
        (5, {}, "auth"),
        (5, {"refused": "rejected"}, "rejected"),
        (9, {}, "auth"),
        (10, {}, "not_covered"),
        (10, {"notzone": "provider_failure"}, "provider_failure"),
        (7, {}, "bad_answer"),
        (15, {}, "bad_answer"),
    ],
)
def test_a_code_of_the_dns_means_what_the_vendor_means(rcode: int, rcodes: dict[str, str], expected: str) -> None:
    """https://docs.tyntec.com: REFUSED is a malformed number there, NOTZONE one that does not exist."""
    assert word(ask(NaptrReply(rcode), rcodes=rcodes)) == expected


def test_absence_is_no_answer_for_as_long_as_the_zone_says() -> None:
    for reply, remember_s in (
        (NaptrReply(3, negative_ttl_s=60), 60.0),
        (NaptrReply(3, negative_ttl_s=0), 0.0),
        (NaptrReply(3, negative_ttl_s=10**6), ProviderNotCovered.remember_s),
        (NaptrReply(3), ProviderNotCovered.remember_s),
        (NaptrReply(0, negative_ttl_s=60), 60.0),  # the name is there, and has no such record
    ):
        absent = ask(reply, currency="none")
        assert isinstance(absent, ProviderNotCovered)
        assert absent.remember_s == remember_s
        assert not absent.unhealthy
        assert not absent.maybe_charged
    assert ProviderNotCovered.remember_s > 60.0, "one answer's time is not everybody's"


@pytest.mark.parametrize("rcode", [0, 3])
def test_where_questions_are_billed_absence_is_charged_and_not_bought_by_every_call(rcode: int) -> None:
    """B6: a zone that bills each question and says that nothing may be kept."""
    forever = ProviderNotCovered.remember_s
    for ttl_s, remember_s in ((0, 60.0), (59, 60.0), (90, 90.0), (10**6, forever), (None, forever)):
        absent = ask(NaptrReply(rcode, negative_ttl_s=ttl_s), currency="credits")
        assert isinstance(absent, ProviderNotCovered)
        assert (absent.code, absent.maybe_charged, absent.unhealthy) == ("not_covered", True, False)
        assert absent.remember_s == remember_s


@pytest.mark.parametrize(("currency", "ttl_s", "fresh_s"), [("EUR", 0, 60), ("EUR", 90, 90), ("none", 0, 0)])
def test_an_answer_that_was_paid_for_is_kept_for_a_minute_at_least(currency: str, ttl_s: int, fresh_s: float) -> None:
    found = NaptrReply(0, (rule(f"!^.*$!tel:{NUMBER};mcc=234;mnc=15!"),), ttl_s)
    for reply, options in ((found, {}), (NaptrReply(3, negative_ttl_s=ttl_s), {"nxdomain": "not_ported"})):
        said = ask(reply, currency=currency, **options)
        assert isinstance(said, LookupAnswer)
        assert said.fresh_s == fresh_s


@pytest.mark.parametrize(
    ("stated", "cost"),
    [
        ("0.01", "0.01"),
        ("0", "0"),
        ("-0.01", None),
        ("-999999999999", None),
        ("1e9", None),
        ("9" * 13, None),
        ("NaN", None),
    ],
)
def test_a_price_that_cannot_be_is_none(stated: str, cost: str | None) -> None:
    """P8: a vendor that pays us."""
    result = told(f"!^.*$!tel:{NUMBER};mcc=234;mnc=15;cost={stated}!")
    assert isinstance(result, LookupAnswer)
    assert result.cost == (None if cost is None else Decimal(cost))


def test_a_billed_question_is_never_repeated_as_only_one_is_booked() -> None:
    with pytest.raises(ValidationError, match="currency: none"):
        provider(retries=1)
    provider(retries=3, currency="none")
    provider(retries=0, currency="USD")


def test_absence_means_not_ported_only_where_the_operator_says_so() -> None:
    said = ask(NaptrReply(3, negative_ttl_s=60), nxdomain="not_ported")
    assert isinstance(said, LookupAnswer)
    assert said.identity == Identity(ported=Tri.NO)
    assert word(ask(NaptrReply(0), nxdomain="not_ported")) == "not_covered"
    assert word(ask(NaptrReply(2), nxdomain="not_ported")) == "lost_reply"


def test_an_error_of_the_driver_is_the_numbers_error() -> None:
    assert word(ask(ProviderProtocolError("cut off"))) == "bad_answer"


# Hostile records


@pytest.mark.parametrize(
    "regexp",
    [
        "!^.*$!tel:+447700900102;mcc=234;mnc=15!",
        "!^.*$!tel:07700900101;mcc=234;mnc=15!",
        "!^.*$!sip:447700900102@ims.mnc15.mcc234.3gppnetwork.org!",
        "!^.*$!tel=447700900102;mcc=234;mnc=15!",
        "!^.*$!mcc=234;mnc=15;msisdn=+447700900102!",
        r"!^\+44(.*)$!tel:+33\1;mcc=234;mnc=15!",
        f"!^.*$!tel:{NUMBER};mcc=234;mnc=15;mnc=10!",
        f"!^.*$!tel:{NUMBER}" + ";a=b" * 100 + "!",
    ],
)
def test_a_record_of_another_number_or_of_two_minds_is_a_bad_answer(regexp: str) -> None:
    """P8"""
    result = told(regexp)
    assert word(result) == "bad_answer"
    assert "4477009001" not in f"{result!r}"


@pytest.mark.parametrize("subject", [NUMBER, NUMBER[1:], "+44-7700-900-101", "+44.7700(900)101"])
def test_the_number_is_known_in_every_dress(subject: str) -> None:
    assert identity(f"!^.*$!tel:{subject};mcc=234;mnc=15!").mnc == "15"


def test_a_user_who_is_no_number_is_nobodys_number() -> None:
    assert identity(rule("!^.*$!sip:1000@pbx.example;transport=tcp!", service="E2U+sip")) == Identity()
    assert identity(rule("!^.*$!sip:info@pbx.example!", service="E2U+sip")) == Identity()


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$", "^(.*)*$", "^(([0-9])+)+$", "^.*.*.*$", r"^\+*([^\*]*)", "^[0-9+]*$", "^(.*)(.*)$", "((^.*$))", "^.*$|x",
        "", "()", "^$", "(.*", ".*)", ")(", "^\\+44{1,255}$", "\\", "^.{12,}$", "(?=.*)", "(?P<x>.*)",
    ],
)  # fmt: skip
def test_a_pattern_that_is_not_plain_does_not_apply(pattern: str) -> None:
    """A vendor's regular expression is never run."""
    assert apply(f"!{pattern}!tel:{NUMBER};mcc=234;mnc=15!", NUMBER) is None


@pytest.mark.parametrize(
    "regexp", ["", "!", "!!", "!!!", "!a!b", "!a!b!c!", "1^.*$1x1", "\\^.*$\\x\\", "i^.*$ixi", "!^.*$!x!g"]
)
def test_what_is_no_rule_does_not_apply(regexp: str) -> None:
    assert apply(regexp, NUMBER) is None


def test_no_pattern_takes_long() -> None:
    long = ["!" + part * (250 // len(part)) + "!x!" for part in ("(", "\\+", "\\", ".*", "(.*", "+44", "^", "[", "\\1")]
    started = time.process_time()
    for regexp in long:
        apply(regexp, NUMBER)
        apply(f"!^(.*)$!{'!'.join(regexp)}!", NUMBER)
    assert time.process_time() - started < 1.0


def test_no_uri_grows_out_of_hand() -> None:
    assert apply("!^(.*)$!" + "\\1" * 200 + "!", NUMBER) is None
    assert len(apply("!^(.*)$!" + "\\1" * 80 + "!", NUMBER) or "") <= MAX_URI


@given(st.text(max_size=255))
def test_no_rule_and_no_uri_raises_anything_but_bad_answer(text: str) -> None:
    """P7"""
    apply(text, NUMBER)
    with suppress(ProviderProtocolError):
        read(text)


PIECES = st.sampled_from(
    [
        "tel:",
        "sip:",
        NUMBER,
        ";",
        "=",
        "@",
        "mcc",
        "mnc",
        "234",
        "15",
        "ported",
        "yes",
        "no",
        "npdi",
        "rn",
        "err",
        "null",
        "<",
        "\\",
    ]
)


@given(st.lists(PIECES, max_size=20), st.sampled_from(["auto", "pstn", "sip3gpp", "parameters"]))
def test_whatever_is_said_no_fact_is_made_up(pieces: Sequence[str], template: str) -> None:
    """P9: a state of porting needs a word for it, a network both its codes."""
    said = "".join(pieces)
    result = told(f"!^.*$!{said}!", template=template)
    if not isinstance(result, LookupAnswer):
        return
    assert result.identity is not None
    if result.identity.ported is not Tri.UNKNOWN:
        assert "ported=" in said or "npdi" in said or "rn" in said
    assert (result.identity.mcc is None) == (result.identity.mnc is None)


@pytest.mark.parametrize("body", NO_STRICT_JSON.values(), ids=NO_STRICT_JSON.keys())
def test_words_of_another_protocol_are_no_fact(body: bytes) -> None:
    """P7"""
    result = told(f"!^.*$!{body[:200].decode('utf-8', 'replace')}!")
    assert not isinstance(result, LookupAnswer) or result.identity == Identity()


# As a kind


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("2001:db8::1", ("2001:db8::1", 53)),
    ],
)
def test_a_server_is_an_address_with_its_port(written: str, meant: tuple[str, int]) -> None:
    assert address(written) == meant


@pytest.mark.parametrize(
    "wrong",
    [
        {"zone": ""},
        {"zone": "e164.arpa."},
        {"zone": "e164..arpa"},
        {"zone": "-x.example"},
        {"zone": "a" * 64 + ".example"},
        {"zone": "e164.arpa\n"},
        {"zone": "zoné.example"},
        {"servers": ["dns.example"]},
        {"servers": ["192.0.2.1:0"]},
        {"servers": ["192.0.2.1:65536"]},
        {"servers": ["192.0.2.1:53:53"]},
        {"servers": ["[192.0.2.1"]},
        {"servers": [""]},
        {"template": "fancy"},
        {"fields": {"colour": "x"}},
        {"errors": {"1": "sometimes"}},
        {"rcodes": {"nxdomain": "rejected"}},
        {"nxdomain": "invalid"},
        {"base_url": "https://x.example"},
    ],
)
def test_what_it_does_not_know_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        provider(**wrong)


def test_it_is_found_by_name_and_costs_what_the_block_says() -> None:
    kind = loading.find("enum_dns")
    assert loading.driver_maker("enum_dns") is not None
    for stated, currency in ((None, "EUR"), ("USD", "USD"), ("none", "")):
        block = {"kind": "enum_dns", "zone": "e164.arpa", **({"currency": stated} if stated else {})}
        assert kind.Provider("enum", kind.Options.model_validate(block), split).currency == currency


def test_no_query_and_no_record_shows_a_number() -> None:
    """S13"""
    shown = repr(NaptrQuery("1.0.1.0.0.9.0.0.7.7.4.4.e164.arpa")) + repr(NaptrReply(0, (rule(f"!^.*$!tel:{NUMBER}!"),)))
    assert "7.7.4.4" not in shown
    assert "447700" not in shown
