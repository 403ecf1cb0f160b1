"""Which rows are asked about at all, and how the output is laid out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agi_lookup.bulk import output
from agi_lookup.bulk.answers import FIELDS, cells
from agi_lookup.bulk.journal import Heading, Journal, Line
from agi_lookup.bulk.numbers import Numbers, scan
from agi_lookup.bulk.rows import Known, Rows, Wanted
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.errors import OutsideError
from tests.bulk.answers import shown

GB = DialPlan(country="GB")


def scanned(folder: Path, *lines: str) -> Numbers:
    path = folder / "in.csv"
    path.write_text("\n".join(lines) + "\n")
    return scan(path, None, ",")


def journal_of(folder: Path, numbers: Numbers, rows: Rows | None = None) -> Journal:
    heading = Heading(input=numbers.digest, rows=numbers.count, options={})
    return Journal.open(folder / "out.part", heading, rows.done_earlier if rows else lambda _row, _number: None)


def line(row: int, number: str, *, done: bool = True) -> Line:
    return Line(row=row, done=done, at=1.0, cells=cells(shown(number=number)))


def test_a_number_is_asked_about_once_however_it_is_written(tmp_path: Path) -> None:
    numbers = scanned(tmp_path, "number", "07700 900123", "+447700900123", "00447700900123", "07700900124")
    rows, journal = Rows(numbers, GB), journal_of(tmp_path, numbers)

    wanted = [row for row in rows.left(journal) if row]

    assert [row.index for row in wanted] == [0, 3]
    assert rows.totals.duplicates == 2
    journal.write(line(0, "+447700900123"))
    assert journal.read(2) == journal.read(0)
    journal.close()


@pytest.mark.parametrize("text", ["999", "112", "+44999", "0112"])
def test_emergency_numbers_are_not_even_asked_about(tmp_path: Path, text: str) -> None:
    numbers = scanned(tmp_path, "number", text)
    journal = journal_of(tmp_path, numbers)

    (row,) = [row for row in Rows(numbers, GB).left(journal) if row]

    assert isinstance(row, Known)
    assert row.shown["status"] == "EMERGENCY"
    journal.close()


def test_a_bad_number_says_why(tmp_path: Path) -> None:
    numbers = scanned(tmp_path, "number,x", "letters,1", ",2")
    journal = journal_of(tmp_path, numbers)

    found = [row for row in Rows(numbers, GB).left(journal) if isinstance(row, Known)]

    assert [(row.shown["status"], row.shown["error"]) for row in found] == [
        ("BADNUMBER", "bad_character"),
        ("BADNUMBER", "empty"),
    ]
    journal.close()


def test_after_a_restart_done_rows_are_passed_over_and_their_numbers_known(tmp_path: Path) -> None:
    numbers = scanned(tmp_path, "number", "07700900123", "07700900124", "+447700900123", "07700900125")
    journal = journal_of(tmp_path, numbers)
    journal.write(line(0, "+447700900123"))
    journal.write(line(1, "+447700900124", done=False))
    journal.close()
    rows = Rows(numbers, GB)
    journal = journal_of(tmp_path, numbers, rows)

    wanted = [row.index for row in rows.left(journal) if isinstance(row, Wanted)]

    assert wanted == [1, 3]
    assert (rows.totals.earlier, rows.totals.duplicates) == (1, 1)
    journal.close()


def test_the_output_has_the_inputs_columns_and_order(tmp_path: Path) -> None:
    numbers = scanned(tmp_path, "id,number,status", '"a, b",07700900124,mine', "c,07700900123,yours", "d,x")
    journal = journal_of(tmp_path, numbers)
    journal.write(line(1, "+447700900123"))
    journal.write(line(0, "+447700900124"))

    output.write(tmp_path / "out.csv", numbers, journal)

    with (tmp_path / "out.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == ["id", "input_number", "input_status", *FIELDS]
    assert [row["id"] for row in written] == ["a, b", "c", "d"]
    assert [row["number"] for row in written][:2] == ["+447700900124", "+447700900123"]
    assert [row["input_status"] for row in written] == ["mine", "yours", ""]
    assert (written[0]["status"], written[0]["input_number"]) == ("OK", "07700900124")
    journal.close()


def test_an_output_can_be_an_input(tmp_path: Path) -> None:
    numbers = scanned(tmp_path, "number", "07700900123")
    journal = journal_of(tmp_path, numbers)
    journal.write(line(0, "+447700900123"))
    output.write(tmp_path / "out.csv", numbers, journal)

    again = scan(tmp_path / "out.csv", None, ",")
    assert [row.text for row in again.rows()] == ["+447700900123"]
    output.write(tmp_path / "more.csv", again, journal)

    header = (tmp_path / "more.csv").read_text().splitlines()[0].split(",")
    assert len(set(header)) == len(header) == 1 + 2 * len(FIELDS)
    journal.close()


def test_an_input_that_changed_under_the_run_makes_no_output(tmp_path: Path) -> None:
    numbers = scanned(tmp_path, "number", "07700900123")
    journal = journal_of(tmp_path, numbers)
    scanned(tmp_path, "number", "07700900199")

    with pytest.raises(OutsideError, match="changed"):
        output.write(tmp_path / "out.csv", numbers, journal)

    assert not (tmp_path / "out.csv").exists()
    journal.close()
