"""Which files are read, and which are refused before anything was spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from agi_lookup.bulk.numbers import scan
from agi_lookup.domain.errors import ConfigError


def written(folder: Path, data: bytes | str) -> Path:
    path = folder / "in.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def texts(path: Path, column: str | None = None, delimiter: str = ",") -> list[str]:
    return [row.text for row in scan(path, column, delimiter).rows()]


@pytest.mark.parametrize(
    "header", ["name,number", "name,Number", "name, number ", "\ufeffname,number", "number again,number"]
)
def test_the_column_is_found_by_its_name(tmp_path: Path, header: str) -> None:
    assert texts(written(tmp_path, f"{header}\nx,1\n")) == ["1"]


def test_the_only_column_needs_no_name(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "phone\n1\n2")) == ["1", "2"]


def test_a_column_is_named(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "a;tel\n1;2\n"), "tel", ";") == ["2"]


def test_blank_lines_are_no_rows_and_short_rows_are_filled(tmp_path: Path) -> None:
    numbers = scan(written(tmp_path, "number,name,city\r\n\r\n1,x\r\n\r\n2\r\n"), None, ",")

    assert [(row.index, row.cells) for row in numbers.rows()] == [(0, ["1", "x", ""]), (1, ["2", "", ""])]
    assert numbers.count == 2


def test_bytes_of_another_encoding_go_through(tmp_path: Path) -> None:
    numbers = scan(written(tmp_path, b"number,name\n1,Zo\xeb\n"), None, ",")

    (row,) = numbers.rows()
    assert row.cells[1].encode("utf-8", "surrogateescape") == b"Zo\xeb"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "empty"),
        ("447700900123\n447700900124\n", "put `number` above it"),
        ("+44 7700 900123,x\n", "put `number` above it"),
        ("a,b\n1,2\n", "there are a, b"),
        ("number,Number,NUMBER\n1,2,3\n", ""),
        ("number,x\n1,2,3\n", ":2: 3 cells, the header has 2"),
        ("number\n" + "x" * 200_000, ":2: "),
    ],
)
def test_a_file_that_cannot_be_meant_is_one_line(tmp_path: Path, data: str, says: str) -> None:
    path = written(tmp_path, data)
    if not says:  # the exact name is there once
        assert texts(path) == ["1"]
        return

    with pytest.raises(ConfigError) as refused:
        scan(path, None, ",")

    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, "number\n1\n")
    numbers = scan(path, None, ",")
    assert not numbers.changed()

    path.write_text("number\n2\n")

    assert numbers.changed()
