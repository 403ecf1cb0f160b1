"""Asterisk's call detail records: with and without a header, and no line believed that cannot be."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agi_lookup.calls.cdr import Cdr, Form, Problem, read
from agi_lookup.domain.errors import ConfigError

UTC = ZoneInfo("UTC")
MASTER = (
    '"sales","100","07400123456","out","""Alice"" <100>","PJSIP/alice-00000001","PJSIP/acme-00000002","Dial",'
    '"PJSIP/447400123456@acme,60","2027-01-15 08:00:00","2027-01-15 08:00:05","2027-01-15 08:01:06",66,61,"ANSWERED",'
    '"DOCUMENTATION"'
)
"""As Asterisk 22 writes it; uniqueid and userfield follow where cdr.conf says so."""
BEGAN = 1_800_000_000.0


def found(text: str, zone: str = "UTC", **form: Any) -> list[Cdr | Problem]:
    settings = {"columns": {}, "zone": ZoneInfo(zone), **form}
    return list(read(text.splitlines(keepends=True), Form(**settings)))


def one(text: str, **form: Any) -> Cdr:
    (cdr,) = found(text, **form)
    assert isinstance(cdr, Cdr), cdr
    return cdr


def problem(text: str, **form: Any) -> str:
    (found_one,) = found(text, **form)
    assert isinstance(found_one, Problem)
    return found_one.what


def test_master_csv_is_read_in_its_own_order() -> None:
    cdr = Cdr(1, BEGAN, "07400123456", "default", "sales", "", 61)

    assert one(MASTER) == cdr
    assert one(f'{MASTER},"1800000000.7","note"') == cdr._replace(channel="1800000000.7")


def test_without_an_account_the_endpoint_is_the_caller() -> None:
    assert one(MASTER.replace('"sales"', '""')).caller == "PJSIP/alice"


def test_a_header_says_where_columns_are() -> None:
    assert one("billsec,CallDate,dst\n9,2027-01-15T08:00:00+00:00,44740\n") == Cdr(
        2, BEGAN, "44740", "default", "", "", 9
    )


def test_columns_can_be_named_or_counted() -> None:
    cdr = Cdr(1, BEGAN, "44740", "default", "", "", None)

    assert one("44740;1800000000", columns={"number": "1", "at": "2"}, delimiter=";") == cdr
    assert one("Called,start\n44740,1800000000", columns={"number": "called"}) == cdr._replace(line=2)
    assert one(MASTER, columns={"number": "src"}).dialled == "100"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("44740,1800000000", {}),
        ("44740,1800000000", {"number": "1"}),
        ("dst,start\n1,2", {"billsec": "nowhere"}),
        (MASTER, {"number": "nowhere"}),
    ],
)
def test_columns_that_cannot_be_told_are_not_guessed(text: str, columns: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^1: neither a line that names columns"):
        found(text, columns=columns)


@pytest.mark.parametrize(
    ("time", "zone", "at"),
    [
        ("2027-01-15 08:00:00", "UTC", BEGAN),
        ("2027-01-15 09:00:00", "Europe/Paris", BEGAN),
        ("2027-01-15 08:00:00.500", "UTC", BEGAN + 0.5),
        ("2027-01-15T09:00:00+01:00", "America/New_York", BEGAN),
        ("1800000000.25", "Europe/Paris", BEGAN + 0.25),
    ],
)
def test_a_time_without_a_zone_is_in_the_one_that_was_named(time: str, zone: str, at: float) -> None:
    assert one(f"dst,start\n1,{time}\n", zone=zone).at == at


@pytest.mark.parametrize(
    "time", ["", "soon", "15/01/2027", "1e9", "-1", "99999999999999", "0001-01-01 00:00:00", "NaN"]
)
def test_a_time_that_is_none_spoils_its_line(time: str) -> None:
    assert problem(f"dst,start\n1,{time}\n", zone="Asia/Tokyo").startswith("when the call began is no time")


@pytest.mark.parametrize(
    ("billsec", "disposition", "talked_s"),
    [
        ("61", "ANSWERED", 61),
        ("61", "", 61),
        ("", "ANSWERED", None),
        ("", "", None),
        ("0", "BUSY", 0),
        ("9", "FAILED", 0),
    ],
)
def test_who_was_not_answered_did_not_talk(billsec: str, disposition: str, talked_s: int | None) -> None:
    assert one(f"dst,start,billsec,disposition\n1,1800000000,{billsec},{disposition}\n").billsec == talked_s


@pytest.mark.parametrize("billsec", ["-1", "1.5", "x", "99999999", "٣"])
def test_a_length_that_is_none_spoils_its_line(billsec: str) -> None:
    assert problem(f"dst,start,billsec\n1,1800000000,{billsec}\n") == "billsec is no number of seconds"


def test_bad_lines_do_not_end_the_reading_and_are_not_repeated() -> None:
    text = f'dst,start\n07400123456\n\n1,1800000000\n"07400123456"x,1\n2,1800000000\n{"9" * 200_000},1\n3,1800000000\n'

    assert [(one.line, type(one).__name__) for one in found(text)] == [
        (2, "Problem"),
        (4, "Cdr"),
        (5, "Problem"),
        (6, "Cdr"),
        (7, "Problem"),
        (8, "Cdr"),
    ]
    assert next(one.what for one in found(text) if isinstance(one, Problem)) == "1 columns, at least 2 are needed"
    assert not any("07400" in one.what for one in found(text) if isinstance(one, Problem))


def test_a_profile_column_must_name_profiles_that_are_there() -> None:
    text = "dst,start,profile\n1,1800000000,sales\n"

    assert one(text, profiles=frozenset({"default", "sales"})).profile == "sales"
    assert problem(text) == "its profile is not under profiles"


def test_an_endless_number_is_cut_and_still_none() -> None:
    assert len(one(f"dst,start\n{'1' * 5000},1800000000\n").dialled) == 65
