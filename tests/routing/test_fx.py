"""Exchange rates: the day's, never a later one, never an old one; and a file that says where it is wrong."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing.fx import FX_STALE, NO_FX, FxTable

TABLE = """date,currency,per_unit
2026-01-05,USD,0.8
2026-01-12,USD,0.85
2026-01-05,GBP,1.2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fx.csv"


def table(file: Path, text: str = TABLE, max_age_days: int = 7) -> FxTable:
    file.write_text(text, encoding="utf-8")
    return FxTable.load(file, "EUR", max_age_days)


def day(number: int) -> date:
    return date(2026, 1, number)


def test_the_latest_figure_not_after_the_day_counts(file: Path) -> None:
    fx = table(file)
    assert fx.rate("USD", "EUR", day(5)) == Fraction("0.8")
    assert fx.rate("USD", "EUR", day(11)) == Fraction("0.8")
    assert fx.rate("USD", "EUR", day(12)) == Fraction("0.85")


def test_inverse_and_cross_rates_are_exact(file: Path) -> None:
    fx = table(file)
    assert fx.rate("EUR", "USD", day(5)) == Fraction(10, 8)
    assert fx.rate("GBP", "USD", day(5)) == Fraction(12, 8)
    assert fx.rate("USD", "GBP", day(5)) == Fraction(8, 12)


def test_a_currency_is_itself_on_any_day(file: Path) -> None:
    fx = table(file)
    assert fx.rate("XOF", "XOF", date.min) == fx.rate("EUR", "EUR", date.max) == 1


def test_what_is_not_known_yet_or_at_all_has_no_rate(file: Path) -> None:
    fx = table(file)
    assert fx.rate("USD", "EUR", day(4)) == NO_FX
    assert fx.rate("CHF", "EUR", day(12)) == NO_FX
    assert fx.rate("USD", "CHF", day(12)) == NO_FX


def test_a_figure_is_believed_so_many_days(file: Path) -> None:
    fx = table(file)
    assert fx.rate("USD", "EUR", day(19)) == Fraction("0.85")
    assert fx.rate("USD", "EUR", day(20)) == FX_STALE
    assert fx.rate("EUR", "USD", day(20)) == FX_STALE
    assert fx.rate("USD", "GBP", day(13)) == FX_STALE  # the pound's is of the 5th


def test_columns_may_stand_in_any_order_and_lines_too(file: Path) -> None:
    fx = table(file, "\ufeffCurrency, Per_Unit ,DATE\nUSD,0.85,2026-01-12\n\nUSD,0.8,2026-01-05\n")
    assert fx.rate("USD", "EUR", day(6)) == Fraction("0.8")


BAD = {
    "": "1: the first line must name the columns date,currency,per_unit",
    "day,currency,per_unit\n": "1: the first line must name",
    "date,currency,per_unit\n": "1: it holds no rates",
    TABLE + "2026-01-05,USD,0.9\n": "5: USD of 2026-01-05 is there already",
    TABLE + "2026-01-13,USD\n": "5: 2 columns",
    TABLE + "2026-02-30,USD,0.9\n": "5: date must be one of ISO 8601",
    TABLE + "20260113,USD,0.9\n": "5: date must be",
    TABLE + "13.01.2026,USD,0.9\n": "5: date must be",
    TABLE + "2026-01-13,usd,0.9\n": "5: 'usd' is no currency",
    TABLE + "2026-01-13,EUR,1\n": "5: EUR is what the others are told in",
    TABLE + '2026-01-13,USD,"0.9\n': "5: unexpected end of data",
    **{
        TABLE + f'2026-01-13,USD,"{amount}"\n': "5: per_unit must be"
        for amount in (
            "",
            "0",
            "0.000",
            "-0.9",
            "+0.9",
            "0,9",
            "9e-1",
            "NaN",
            "inf",
            "٠.٩",
            "1_0",
            "1" * 20,
            ".9",
            "1/2",
        )
    },
}


@pytest.mark.parametrize(("text", "said"), BAD.items())
def test_a_bad_file_is_named_with_its_line(file: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table(file, text)
    assert str(caught.value).startswith(f"{file}:{said}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_or_not_there_is_said_so(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        FxTable.load(file, "EUR", 7)
    file.write_bytes(TABLE.encode("utf-16"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        FxTable.load(file, "EUR", 7)
