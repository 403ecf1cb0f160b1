"""XLSX decks: what a spreadsheet shows is what is read, and nothing in a hostile file reaches beyond it."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing import deck_xlsx, xlsx_parts
from agi_lookup.routing.rates import Kind, Rate, Tariff
from tests.routing.files import MAIN, Date, Number, read, xlsx

HEAD = ("Code", "Rate", "Effective")
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"
GOOD_SHEET = (
    f'<worksheet xmlns="{MAIN}"><sheetData><row><c t="str"><v>Code</v></c><c t="str"><v>Rate</v></c></row>'
    "<row><c><v>44</v></c><c><v>1</v></c></row></sheetData></worksheet>"
)
GOOD = xlsx([HEAD, ("44", Number("0.01"), "")])


def sheet(rows: str) -> bytes:
    """A worksheet out of its XML, below a header."""
    head = '<row r="1"><c t="inlineStr"><is><t>Code</t></is></c><c t="inlineStr"><is><t>Rate</t></is></c></row>'
    return xlsx([], replace={SHEET: f'<worksheet xmlns="{MAIN}"><sheetData>{head}{rows}</sheetData></worksheet>'})


@pytest.mark.parametrize("inline", [True, False])
def test_texts_keep_their_zeros_and_numbers_their_value(inline: bool) -> None:
    rows = [("Acme",), (), HEAD, ("0044", Number("0.01"), "2026-02-01"), (Number("4477"), "0.02", Date("46054"))]

    found = read(xlsx(rows, inline=inline))

    assert found.problems == []
    assert found.rates == [
        Rate(Kind.PREFIX, "44", Tariff("USD", 10**7), 1769904000.0, line=4),
        Rate(Kind.PREFIX, "4477", Tariff("USD", 2 * 10**7), 1769904000.0, line=5),
    ]


@pytest.mark.parametrize(
    ("stored", "nano"),
    [
        ("1.2500000000000001E-2", 12_500_000),
        ("0.30000000000000004", 300_000_000),
        ("5.0000000000000001E-3", 5_000_000),
        ("1E-3", 1_000_000),
        ("2", 2 * 10**9),
    ],
)
def test_binary_fractions_end_where_the_spreadsheet_ends_them(stored: str, nano: int) -> None:
    (rate,) = read(xlsx([HEAD, ("44", Number(stored), "")])).rates

    assert rate.tariff == Tariff("USD", nano)


@pytest.mark.parametrize("stored", ["3.3333333333333333E-2", "-0.01", "1E+400", "NaN", "Infinity", "1E+999999999"])
def test_numbers_that_are_no_amount_are_refused(stored: str) -> None:
    found = read(xlsx([HEAD, ("44", Number(stored), "")]))

    assert (found.rates, [p.line for p in found.problems]) == ([], [2])


def test_a_number_that_became_a_power_of_ten_is_the_number() -> None:
    assert read(xlsx([HEAD, (Number("4.4770012E+9"), Number("0.01"), "")])).keys == ["4477001200"]


def test_increments_that_became_a_date_are_refused() -> None:
    found = read(
        xlsx([("Code", "Rate", "Increments"), ("44", Number("0.01"), Date("46023")), ("45", Number("0.01"), "1/1")])
    )

    assert found.keys == ["45"]
    assert "spreadsheets like to make dates" in found.problems[0].what


def test_dates_and_decimals_follow_what_the_vendor_writes_as_text() -> None:
    rows = [HEAD, ("44", Number("0.01"), Date("46054")), ("45", "0,02", "01/02/2026")]

    found = read(xlsx(rows), decimal=",", date_format="%d/%m/%Y")

    assert found.problems == []
    assert {rate.start for rate in found.rates} == {1769904000.0}


def test_times_of_day_are_kept_and_the_years_may_begin_in_1904() -> None:
    noon = read(xlsx([HEAD, ("44", Number("1"), Date("46054.5"))])).rates[0].start
    since_1904 = xlsx([HEAD, ("44", Number("1"), Date("44592"))], properties='<workbookPr date1904="1"/>')

    assert noon == 1769904000.0 + 43200
    assert read(since_1904).rates[0].start == 1769904000.0


def test_a_date_before_march_1900_is_none() -> None:
    assert "Effective" in read(xlsx([HEAD, ("44", Number("1"), Date("60"))])).problems[0].what


def test_rich_text_is_its_letters_without_their_pronunciation() -> None:
    rich = "<si><r><rPr/><t>4</t></r><r><t>4</t></r><rPh><t>99</t></rPh></si>"
    texts = f'<sst xmlns="{MAIN}"><si><t>Code</t></si><si><t>Rate</t></si>{rich}</sst>'

    assert read(xlsx([("Code", "Rate"), ("x", Number("1"))], replace={STRINGS: texts})).keys == ["44"]


def test_cells_that_are_not_there_are_empty_and_those_beside_the_table_are_none() -> None:
    found = read(xlsx([HEAD, ("44", Number("1")), ("45", Number("1"), "", "a note"), (), ("", "", "")]))

    assert (found.keys, found.problems) == (["44", "45"], [])


def test_places_may_be_left_away_and_names_have_a_prefix() -> None:
    unplaced = '<row><c t="str"><f>A1</f><v>44</v></c><c><v>1</v></c></row>'
    found = read(sheet(f'{unplaced}<row r="9"><c r="B9"><v>1</v></c><c r="A9"><v>45</v></c></row>'))
    prefixed = GOOD_SHEET.replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x=")

    assert [(rate.key, rate.line) for rate in found.rates] == [("44", 2), ("45", 9)]
    assert read(xlsx([], replace={SHEET: prefixed})).keys == ["44"]


def test_formulas_that_failed_are_named() -> None:
    found = read(sheet('<row r="2"><c><v>44</v></c><c t="e"><v>#DIV/0!</v></c></row>'))

    assert "#DIV/0!" in found.problems[0].what


def test_yes_and_no_may_be_ticked() -> None:
    head = '<row><c t="str"><v>Code</v></c><c t="str"><v>Blocked</v></c></row>'
    rows = '<row><c><v>44</v></c><c t="b"><v>1</v></c></row>'
    content = xlsx([], replace={SHEET: f'<worksheet xmlns="{MAIN}"><sheetData>{head}{rows}</sheetData></worksheet>'})

    assert read(content).rates[0].tariff is None


def test_of_several_sheets_one_is_named_and_hidden_ones_are_not_in_the_way() -> None:
    rows = [HEAD, ("44", Number("1"), "")]
    two = xlsx(rows, sheets={"Rates": "visible", "Old": "visible"})

    with pytest.raises(ConfigError, match="--sheet; there are 'Rates', 'Old'"):
        read(two)
    with pytest.raises(ConfigError, match="which sheet"):
        read(two, sheet="New")
    assert read(two, sheet="Old").keys == ["44"]
    assert read(xlsx(rows, sheets={"Rates": "visible", "Old": "hidden"})).keys == ["44"]


DOCTYPE = '<!DOCTYPE x [<!ENTITY a "44"><!ENTITY b SYSTEM "file:///etc/passwd">]><worksheet><c>&a;&b;</c></worksheet>'


@pytest.mark.parametrize("part", [SHEET, STRINGS, "xl/workbook.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels"])
def test_a_doctype_is_refused_wherever_it_stands(part: str) -> None:
    with pytest.raises(ConfigError, match="DOCTYPE"):
        read(xlsx([HEAD, ("44", Number("1"), "")], replace={part: DOCTYPE}))


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 and nothing more",
        GOOD[: len(GOOD) // 2],
        GOOD.replace(b"xl/workbook", b"xl/werkbuch"),
        GOOD.replace(b"worksheets/sheet1", b"worksheets/sheet2"),
        xlsx([HEAD], replace={SHEET: ""}),
        xlsx([HEAD], replace={SHEET: "<worksheet><sheetData><row>"}),
        xlsx([HEAD], replace={SHEET: b"\xff\xfe\x00"}),
        sheet('<row r="2"><c r="2A"><v>44</v></c></row>'),
        sheet('<row r="x"><c><v>44</v></c></row>'),
        sheet(f'<row r="2"><c t="s"><v>{"9" * 5000}</v></c></row>'),
        sheet('<row r="2"><c t="s"><v>-1</v></c></row>'),
        sheet('<row r="2"><c t="s"><v>2</v></c></row>'),
        xlsx(
            [HEAD],
            replace={"xl/_rels/workbook.xml.rels": '<R><Relationship Id="rId1" Target="../../../../etc/passwd"/></R>'},
        ),
    ],
)
def test_damage_is_one_clear_line(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"damaged|no workbook") as refused:
        read(content)
    assert "\n" not in str(refused.value)


def test_an_encrypted_part_is_said_to_be_so() -> None:
    local, central = b"PK\x03\x04\x14\x00", b"PK\x01\x02\x14\x03\x14\x00"
    content = GOOD.replace(local + b"\0", local + b"\1").replace(central + b"\0", central + b"\1")

    with pytest.raises(ConfigError, match="encrypted"):
        read(content)


@pytest.mark.parametrize("limit", ["MAX_SMALL_BYTES", "MAX_STRINGS_BYTES", "MAX_SHEET_BYTES"])
def test_what_unpacks_to_too_much_is_not_unpacked(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(deck_xlsx, limit, 10)
    with pytest.raises(ConfigError, match="unpacks to"):
        read(GOOD)


def test_a_size_that_is_lied_about_does_not_let_more_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip bomb says in its directory that it is small."""
    monkeypatch.setattr(deck_xlsx, "MAX_SHEET_BYTES", 10_000)
    bomb = bytearray(xlsx([], replace={SHEET: GOOD_SHEET.replace("</sheetData>", " " * 1_000_000 + "</sheetData>")}))
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        size = archive.getinfo(SHEET).file_size
    at = bomb.rfind(struct.pack("<I", size))
    bomb[at : at + 4] = struct.pack("<I", 9_000)

    with pytest.raises(ConfigError, match="damaged"):
        read(bytes(bomb))


def test_texts_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_parts, "MAX_STRINGS", 3)
    with pytest.raises(ConfigError, match="different texts"):
        read(GOOD)


def test_a_row_as_wide_as_the_sheet_stays_small() -> None:
    far = '<row r="2"><c r="A2"><v>44</v></c><c r="B2"><v>1</v></c><c r="XFD2" t="str"><v>x</v></c></row>'
    part = xlsx_parts.Sheet([], xlsx_parts.Writing(frozenset(), since_1904=False, decimal=".", date_format=None))
    for _ in xlsx_parts.stream(io.BytesIO(far.encode()), part):
        pass

    assert [len(row) for _, row in part.rows] == [xlsx_parts.MAX_COLUMNS]
    assert read(sheet(far)).keys == ["44"]
    with pytest.raises(ConfigError, match="damaged"):
        read(sheet('<row r="2"><c r="ZZZZZZ2"><v>1</v></c></row>'))


@settings(max_examples=200)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_no_change_of_bytes_breaks_it(at: int, change: bytes) -> None:
    with suppress(ConfigError):
        read(GOOD[:at] + change + GOOD[at + len(change) :])


@given(st.text(st.sampled_from(list('<>/"=& rcvtsi0129AB')), max_size=80))
def test_no_xml_breaks_it(rows: str) -> None:
    with suppress(ConfigError):
        read(sheet(rows))


def test_an_old_excel_file_or_a_packed_one_says_what_to_do() -> None:
    for magic, said in ((b"\xd0\xcf\x11\xe0", "save it as XLSX"), (b"\x1f\x8b", "unpack"), (b"%PDF-1.7", "PDF")):
        with pytest.raises(ConfigError, match=said):
            read(magic + bytes(100))
