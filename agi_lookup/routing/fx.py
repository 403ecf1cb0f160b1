"""Exchange rates by day, from a CSV file of the operator's: `date,currency,per_unit`.

`per_unit` is what one unit of the currency is worth in the base currency from that day on, as in `2026-01-31,USD,0.8412` for EUR.
Pure but for `load`.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Final, Self

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing.currencies import CURRENCIES

NO_FX: Final = "no_fx"
FX_STALE: Final = "fx_stale"
COLUMNS: Final = ("date", "currency", "per_unit")
_AMOUNT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class FxTable:
    """What currencies are worth in `base`, by day. Worth that is older than `max_age_days` is not believed."""

    def __init__(
        self, base: str, max_age_days: int, worth: Mapping[str, Mapping[date, Fraction]] | None = None
    ) -> None:
        self._base = base
        self._max_age_days = max_age_days
        self._worth = {
            currency: (sorted(by_day), [by_day[day] for day in sorted(by_day)])
            for currency, by_day in (worth or {}).items()
        }

    @classmethod
    def load(cls, path: Path, base: str, max_age_days: int) -> Self:
        """Raises `ConfigError` with file and line."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: it is not UTF-8: save it as CSV in UTF-8") from None
        try:
            return cls(base, max_age_days, read(text.splitlines(), base))
        except ValueError as error:
            raise ConfigError(f"{path}:{error}") from None

    def rate(self, frm: str, to: str, day: date) -> Fraction | str:
        """How many of `to` one of `frm` is worth, by the latest figures not after the day; else `NO_FX` or `FX_STALE`."""
        if frm == to:
            return Fraction(1)
        ours, theirs = self._in_base(frm, day), self._in_base(to, day)
        if isinstance(ours, str):
            return ours
        return theirs if isinstance(theirs, str) else ours / theirs

    def _in_base(self, currency: str, day: date) -> Fraction | str:
        if currency == self._base:
            return Fraction(1)
        days, worth = self._worth.get(currency, ([], []))
        place = bisect_right(days, day) - 1
        if place < 0:
            return NO_FX
        return worth[place] if (day - days[place]).days <= self._max_age_days else FX_STALE


def read(lines: Iterable[str], base: str) -> dict[str, dict[date, Fraction]]:
    """By currency and day. Raises `ValueError` whose text begins with the line's number."""
    rows = csv.reader(lines, strict=True)
    try:
        return _worth(rows, base)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{max(1, rows.line_num)}: {error}") from None


def _worth(rows: Iterator[list[str]], base: str) -> dict[str, dict[date, Fraction]]:
    header = [name.strip().lower() for name in next(rows, [])]
    if sorted(header) != sorted(COLUMNS):
        raise ValueError(f"the first line must name the columns {','.join(COLUMNS)}")
    worth: dict[str, dict[date, Fraction]] = {}
    for row in filter(None, rows):
        day, currency, per_unit = _row(header, row, base)
        by_day = worth.setdefault(currency, {})
        if day in by_day:
            raise ValueError(f"{currency} of {day} is there already: leave one of them out")
        by_day[day] = per_unit
    if not worth:
        raise ValueError("it holds no rates")
    return worth


def _row(header: list[str], row: list[str], base: str) -> tuple[date, str, Fraction]:
    if len(row) != len(header):
        raise ValueError(f"{len(row)} columns, and the first line names {len(header)}")
    said = dict(zip(header, map(str.strip, row), strict=True))
    currency = said["currency"]
    if currency not in CURRENCIES:
        raise ValueError(f"{currency[:8]!r} is no currency of ISO 4217: write three capitals, as in USD")
    if currency == base:
        raise ValueError(f"{base} is what the others are told in: leave its lines out")
    if not _AMOUNT.fullmatch(said["per_unit"]) or not (per_unit := Fraction(said["per_unit"])):
        raise ValueError("per_unit must be more than 0, with at most 12 decimals behind a point, as in 0.8412")
    return _day(said["date"]), currency, per_unit


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError:
        raise ValueError("date must be one of ISO 8601, as in 2026-01-31") from None
