"""What the end of a call says of the trunk; the table of domain.md, "Q.850 for feedback"."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.model import CallResult
from agi_lookup.routing.signs import Sign, goes_on, sign_of
from tests.routing.routes import result

ENDS: dict[str, tuple[str, dict[str, Any], Sign]] = {
    "answered": ("ANSWER", {"cause": 16, "sip_code": 200}, Sign.ANSWERED),
    "busy": ("BUSY", {"cause": 17, "sip_code": 486}, Sign.DELIVERED),
    "busy everywhere": ("BUSY", {"cause": 17, "sip_code": 600}, Sign.DELIVERED),
    "declined": ("CONGESTION", {"cause": 21, "sip_code": 603}, Sign.DELIVERED),
    "switched off": ("CHANUNAVAIL", {"cause": 19, "sip_code": 480}, Sign.DELIVERED),
    "rang and nobody came": ("NOANSWER", {"cause": 19, "pdd_ms": 2000}, Sign.DELIVERED),
    "rang, and the caller left": ("CANCEL", {"pdd_ms": 2000}, Sign.DELIVERED),
    "rang, then 503": ("CONGESTION", {"cause": 34, "sip_code": 503, "pdd_ms": 900}, Sign.DELIVERED),
    "the caller left before it rang": ("CANCEL", {"cause": 16}, Sign.NOTHING),
    "404, which is no dead number": ("CONGESTION", {"cause": 1, "sip_code": 404}, Sign.UNCLEAR),
    "cause 1 without a code": ("CONGESTION", {"cause": 1}, Sign.UNCLEAR),
    "incomplete": ("CONGESTION", {"cause": 28, "sip_code": 484}, Sign.UNCLEAR),
    "408, which looks like no answer": ("NOANSWER", {"cause": 18, "sip_code": 408}, Sign.FAILED),
    "18 without a ring": ("NOANSWER", {"cause": 18}, Sign.FAILED),
    "silence": ("NOANSWER", {}, Sign.FAILED),
    "silence after 100": ("NOANSWER", {"sip_code": 100}, Sign.FAILED),
    "early media, then nothing": ("NOANSWER", {"sip_code": 183}, Sign.FAILED),
    "our key refused, which looks like declined": ("CONGESTION", {"cause": 21, "sip_code": 401}, Sign.FAILED),
    "forbidden": ("CONGESTION", {"cause": 21, "sip_code": 403}, Sign.FAILED),
    "21 without a code": ("CONGESTION", {"cause": 21}, Sign.UNCLEAR),
    "19 without a code or a ring": ("CONGESTION", {"cause": 19}, Sign.UNCLEAR),
    "a loop, which also is 19": ("CONGESTION", {"cause": 19, "sip_code": 483}, Sign.FAILED),
    "503": ("CONGESTION", {"cause": 34, "sip_code": 503}, Sign.FAILED),
    "no circuit": ("CONGESTION", {"cause": 34}, Sign.FAILED),
    "out of order": ("CHANUNAVAIL", {"cause": 27}, Sign.FAILED),
    "no route": ("CONGESTION", {"cause": 3}, Sign.FAILED),
    "unreachable": ("CHANUNAVAIL", {}, Sign.FAILED),
    "redirected": ("CONGESTION", {"cause": 127, "sip_code": 302}, Sign.FAILED),
    "cancelled elsewhere": ("NOANSWER", {"sip_code": 487}, Sign.NOTHING),
    "our own mistake": ("INVALIDARGS", {}, Sign.NOTHING),
    "a word that Asterisk does not have": ("MOON", {"sip_code": 503}, Sign.NOTHING),
}


@pytest.mark.parametrize(("dialstatus", "said", "sign"), ENDS.values(), ids=ENDS)
def test_the_end_of_a_call_says_of_its_trunk(dialstatus: str, said: dict[str, Any], sign: Sign) -> None:
    assert sign_of(result("T1", dialstatus, **said)) is sign


@settings(deadline=None)
@given(
    dialstatus=st.sampled_from(["ANSWER", "BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL", "?"]),
    cause=st.none() | st.integers(0, 127),
    code=st.none() | st.integers(100, 699),
)
def test_what_rang_was_delivered(dialstatus: str, cause: int | None, code: int | None) -> None:
    rang = CallResult("+447400123456", "T1", dialstatus, cause, code, pdd_ms=1500)

    assert sign_of(rang) in (Sign.ANSWERED, Sign.DELIVERED)


DIALPLAN = Path(__file__).parents[2] / "dialplan"
DIALSTATUSES = ("ANSWER", "BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL", "INVALIDARGS")
REPORTS = [
    CallResult("+447400123456", "T1", dialstatus, cause, code, pdd_ms)
    for codes, causes in [
        ((None, *range(100, 700)), (None, 1, 16, 17, 34)),
        ((None, 100, 180, 183, 200), (None, *range(1, 128))),
    ]
    for dialstatus, cause, code, pdd_ms in product(DIALSTATUSES, causes, codes, (None, 1500))
]


def outcome(said: CallResult) -> str:
    """As `agi-lookup-result` puts it together."""
    rang = "-RANG" if said.pdd_ms is not None or str(said.sip_code)[:2] == "18" else ""
    if said.sip_code is not None and said.sip_code >= 300:
        return f"{said.sip_code}{rang}"
    return f"Q{said.cause}{rang}" if said.cause else f"{said.dialstatus}{rang}"


def test_a_call_goes_on_exactly_where_the_shipped_dialplan_tries_the_next_trunk() -> None:
    """Otherwise calls are counted on trunks that they never went to, or on none. Who left is not in the dialplan any more."""
    text = (DIALPLAN / "extensions_agi_lookup.conf").read_text("utf-8")
    steps = re.findall(r'n(?:\(default\))?,GotoIf\(\$\{REGEX\("(\^.*\$)" \$\{GOSUB_RETVAL\}\)\}\?next\)', text)
    assert len(steps) == 2
    tried = re.compile("|".join(steps))

    def expected(said: CallResult) -> bool:
        return said.dialstatus not in ("ANSWER", "CANCEL") and tried.search(outcome(said)) is not None

    assert [said for said in REPORTS if goes_on(said) is not expected(said)] == []


def test_the_manual_names_the_default_that_is_shipped() -> None:
    text = (DIALPLAN / "README.md").read_text("utf-8")
    default = re.compile(text.partition("The default as one expression:")[2].split("```")[1].strip())
    failed = [said for said in REPORTS if said.dialstatus not in ("ANSWER", "CANCEL")]

    assert [said for said in failed if goes_on(said) is not bool(default.fullmatch(outcome(said)))] == []
