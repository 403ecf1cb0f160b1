"""Files of ported numbers as they come: read by their header, and every bad line named without repeating it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.errors import ConfigError
from agi_lookup.providers.ported_csv import Facts, Line, Place, Problem, read
from tests.providers.replay import split

NOTHING = Facts(None, None, None, None, None, None, None, None, 0)
PORTED = NOTHING._replace(ported=1)


def lines(content: str | bytes, **given_: Any) -> list[Line | Problem]:
    options: dict[str, Any] = {"split": split, "columns": {}, "fixed": {}, "delimiter": ",", **given_}
    raw = content.encode() if isinstance(content, str) else content
    return list(read(io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", errors="surrogateescape", newline=""), **options))


def facts(values: Mapping[str, str]) -> Facts | str:
    """Of a line with these columns beside its number; a string is what was wrong."""
    (line,) = lines(f"number,{','.join(values)}\n447700900123,{','.join(values.values())}\n")
    return line.facts if isinstance(line, Line) else line.what


def place(**columns: str) -> Place | str:
    (line,) = lines(f"{','.join(columns)},ported\n{','.join(columns.values())},yes\n")
    return line.place if isinstance(line, Line) else line.what


# Where


@pytest.mark.parametrize("written", ["447700900123", "+447700900123", " +447700900123 "])
def test_a_number_may_have_its_plus(written: str) -> None:
    assert place(number=written) == Place(447700900123)


def test_a_block_is_all_that_starts_with_its_prefix_or_within_its_range() -> None:
    assert place(prefix="+44770090") == Place(447700900000000, 447700909999999, 8)
    assert place(**{"from": "447700900100", "to": "447700900199"}) == Place(447700900100000, 447700900199999, 12)


def test_a_range_of_one_number_is_that_number() -> None:
    assert place(**{"from": "447700900100", "to": "447700900100"}) == Place(447700900100)


@pytest.mark.parametrize(
    "columns",
    [
        {"number": "07700900123"},
        {"number": "123456"},
        {"number": "4477009001234567"},
        {"number": "44 7700 900123"},
        {"number": "４４７７００９００１２３"},
        {"number": "447700900123x"},
        {"number": "++447700900123"},
        {"number": ""},
        {"prefix": "0"},
        {"from": "447700900100", "to": "44770090020"},
        {"from": "447700900200", "to": "447700900100"},
        {"from": "447700900200", "to": ""},
        {"number": "447700900123", "prefix": "44"},
    ],
)
def test_what_is_no_place_is_said_without_repeating_it(columns: dict[str, str]) -> None:
    """S13: a message may end up in a ticket."""
    said = place(**columns)
    assert isinstance(said, str)
    assert not any(value and value.strip() in said for value in columns.values())


# What


def test_every_column_is_read() -> None:
    said = facts(
        {
            "carrier": "Exemple Télécom",
            "mcc": "208",
            "mnc": "01",
            "ported": "Yes",
            "ported_at": "2024-05-01",
            "type": "Mobile",
            "lrn": "+49D146",
            "ocn": "6529",
            "removed": "no",
        }
    )
    assert said == Facts(1, "2024-05-01", "Exemple Télécom", "208", "01", "mobile", "+49D146", "6529", 0)


def test_empty_is_unknown() -> None:
    assert facts(
        {"carrier": "Example", "mcc": "", "mnc": "", "ported": "", "ported_at": "", "type": "", "removed": ""}
    ) == (NOTHING._replace(carrier="Example"))


def test_a_network_in_one_column_is_split_by_the_table() -> None:
    assert facts({"mccmnc": "20801"}) == NOTHING._replace(mcc="208", mnc="01")
    assert facts({"mccmnc": "310260"}) == NOTHING._replace(mcc="310", mnc="260")
    assert "mccmnc" in str(facts({"mccmnc": "31026"})), "a zero was lost"
    assert "mccmnc" in str(facts({"mccmnc": "20801", "mcc": "234"}))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-05-01", "2024-05-01"),
        ("20240501", "2024-05-01"),
        ("2024-05-01T02:30:00Z", "2024-05-01T02:30:00Z"),
        ("2024-05-01 02:30:00", "2024-05-01T02:30:00Z"),
        ("2024-05-01T02:30:00+02:00", "2024-05-01T00:30:00Z"),
        ("20240501023000", "2024-05-01T02:30:00Z"),
    ],
)
def test_a_date_is_read_in_any_form_of_iso_8601(written: str, meant: str) -> None:
    assert facts({"ported": "yes", "ported_at": written}) == PORTED._replace(ported_at=meant)


@pytest.mark.parametrize(
    "values",
    [
        {"ported": "perhaps"},
        {"ported": "yes", "ported_at": "01/05/2024"},
        {"ported": "yes", "ported_at": "0000-00-00"},
        {"ported": "yes", "ported_at": "2024-05-01T25:00:00"},
        {"mcc": "208", "mnc": "1"},
        {"mcc": "208", "mnc": ""},
        {"mcc": "", "mnc": "01"},
        {"carrier": "Example", "type": "tablet"},
        {"carrier": "Example", "lrn": "not a number"},
        {"carrier": "Example", "ocn": "a;b"},
        {"carrier": "Ex\x00ample"},
        {"carrier": "Ex\x1b[2Jample"},
        {"carrier": ""},
        {"type": "mobile"},
        {"removed": "no"},
    ],
)
def test_a_value_of_another_form_is_a_problem_of_its_line(values: dict[str, str]) -> None:
    assert isinstance(facts(values), str)


def test_a_line_that_ends_what_was_said_needs_to_say_no_more() -> None:
    assert facts({"removed": "yes"}) == NOTHING._replace(removed=1)


def test_a_value_may_be_set_for_all_lines() -> None:
    (line,) = lines("number,mnc\n33639980001,01\n", fixed={"mcc": "208", "ported": "yes"})
    assert isinstance(line, Line)
    assert line.facts == PORTED._replace(mcc="208", mnc="01")


def test_what_is_set_wins_over_the_file() -> None:
    (line,) = lines("number,ported\n33639980001,garbage\n", fixed={"ported": "yes"})
    assert isinstance(line, Line)
    assert line.facts == PORTED


# The file


def test_columns_may_have_other_names_and_others_are_passed_by() -> None:
    (line,) = lines(
        "ID;MSISDN;Op\n7;33639980001;Exemple\n", columns={"number": "MSISDN", "carrier": "Op"}, delimiter=";"
    )
    assert isinstance(line, Line)
    assert (line.place.low, line.facts.carrier) == (33639980001, "Exemple")


@pytest.mark.parametrize(
    ("content", "options", "named"),
    [
        ("", {}, "number"),
        ("carrier\nx\n", {}, "number"),
        ("from,carrier\n1,x\n", {}, "from and to"),
        ("number,number\n1,2\n", {}, "twice"),
        ("number\n1\n", {"columns": {"carrier": "Op"}}, "Op"),
        ("number\n1\n", {"columns": {"nummer": "number"}}, "nummer"),
        ("number\n1\n", {"fixed": {"nummer": "1"}}, "nummer"),
        ('"number\n', {}, "CSV"),
    ],
)
def test_a_header_of_no_use_is_one_clear_sentence(content: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        lines(content, **options)
    assert "\n" not in str(caught.value)


def test_a_bad_line_is_named_by_its_number_and_the_next_is_read() -> None:
    found = lines("number,ported\n447700900001,yes\nbad,yes\n447700900002\n447700900003,yes\n")
    assert [line.line for line in found if isinstance(line, Problem)] == [3, 4]
    assert [line.place.low for line in found if isinstance(line, Line)] == [447700900001, 447700900003]


def test_a_byte_of_another_encoding_spoils_its_line_only() -> None:
    found = lines(b"number,carrier\n447700900001,T\xe9l\xe9com\n447700900002,T\xc3\xa9l\xc3\xa9com\n")
    assert isinstance(found[0], Problem)
    assert "encoding" in found[0].what
    assert isinstance(found[1], Line)


def test_a_byte_order_mark_belongs_to_no_column() -> None:
    assert isinstance(lines(b"\xef\xbb\xbfnumber,ported\n447700900001,yes\n")[0], Line)


def test_a_quote_that_is_never_closed_ends_with_a_problem() -> None:
    found = lines('number,carrier\n447700900001,"Example\n' + "447700900002,x\n" * 20_000)
    assert isinstance(found[0], Problem)
    assert len(found) < 20_000


@given(
    st.text(max_size=300),
    st.sampled_from(["", "number,ported\n", "from,to,prefix,ported\n", "number,carrier,mcc,mnc\n"]),
)
def test_no_file_raises_anything_but_a_config_error(content: str, head: str) -> None:
    """C10"""
    try:
        found = lines((head + content).encode("utf-8", "surrogatepass"))
    except ConfigError:
        return
    for line in found:
        assert isinstance(line, Problem) or line.place.low < 10**15
