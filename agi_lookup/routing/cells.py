"""What stands in a cell of a deck, read exactly or not at all: where two readings are possible, the operator has to say which.

Every reader takes the text of a cell and raises `MalformedError`, whose text says how to put it right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from agi_lookup.routing.currencies import CURRENCIES
from agi_lookup.routing.rates import ALWAYS, FOR_EVER, NANO

MAX_UNITS: Final = 10**7
"""Of a currency, a minute. The dearest satellite minute costs some 10 EUR, which is 500,000 of the smallest units in use."""
MAX_INCREMENT_S: Final = 3600
E164_DIGITS: Final = 15
DECIMALS: Final = 9
DATES_REMEMBERED: Final = 4096
EXACTLY_UP_TO: Final = 64
"""Characters of an amount or a date; nobody writes longer ones."""

_AMOUNT: Final = {mark: re.compile(rf"([0-9]*)(?:{re.escape(mark)}([0-9]*))?") for mark in ".,"}
_INCREMENTS: Final = re.compile(r"([0-9]{1,4})\s*[/+:-]\s*([0-9]{1,4})")
_BETWEEN_PREFIXES: Final = re.compile(r"[;,|\r\n]")
_MCCMNC: Final = re.compile(r"([0-9]{3})[ /-]?([0-9]{2,3})")
_GROUP: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OCN: Final = re.compile(r"[0-9A-Z]{4}")
_LRN: Final = re.compile(r"1?([2-9][0-9]{2,9})")
_WORDS: Final = {"yes": True, "y": True, "true": True, "1": True, "no": False, "n": False, "false": False, "0": False}
_DATES: Final = ("%Y/%m/%d", "%d-%b-%Y", "%d %b %Y", "%d-%B-%Y", "%d %B %Y")
"""Beside ISO 8601: what can be read in one way only."""
_LAST_YEAR: Final = 9999
"""Means for ever, in decks and databases alike."""


class MalformedError(ValueError):
    """Of one cell. `column` is ours."""

    def __init__(self, column: str, what: str) -> None:
        super().__init__(what)
        self.column = column


def amount(text: str, column: str, mark: str = ".") -> int:
    """Nano-units. `mark` is what stands before the decimals."""
    found = _AMOUNT[mark].fullmatch(text) if len(text) <= EXACTLY_UP_TO else None
    if found is None or text in ("", mark):
        raise MalformedError(column, _no_amount(text, mark))
    units, decimals = found[1], (found[2] or "").rstrip("0")
    if len(decimals) > DECIMALS:
        raise MalformedError(column, f"more than {DECIMALS} decimals; round it")
    nano = int(units or 0) * NANO + int(decimals.ljust(DECIMALS, "0"))
    if nano >= MAX_UNITS * NANO:
        raise MalformedError(column, f"{MAX_UNITS} a minute or more; is it the right column?")
    return nano


def _no_amount(text: str, mark: str) -> str:
    if not text:
        return "empty; give an amount, or say that the destination is blocked"
    if text.startswith(("-", "(")):
        return "below zero; amounts are 0 or more"
    if mark == "." and "," in text:
        return "a comma; thousands are written without one, and decimal commas need --decimal ,"
    if mark == "," and "." in text:
        return "a point, where decimals stand behind a comma; leave --decimal away"
    return "not an amount; write digits alone, such as 0.0125"


def increments(text: str) -> tuple[int, int]:
    """Seconds of the first and of each further increment."""
    found = _INCREMENTS.fullmatch(text)
    if found is None:
        raise MalformedError(
            "increments", "write first/next in seconds, as text: 60/60 (spreadsheets like to make dates of it)"
        )
    return seconds(found[1], "increments"), seconds(found[2], "increments")


def seconds(text: str, column: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_INCREMENT_S):
        raise MalformedError(column, f"write whole seconds from 1 to {MAX_INCREMENT_S}")
    return int(text)


def currency(text: str) -> str:
    if text not in CURRENCIES:
        raise MalformedError("currency", "unknown; write an ISO 4217 code, in capitals, such as USD")
    return text


def yes_no(text: str, column: str) -> bool:
    """Empty is no."""
    try:
        return bool(text) and _WORDS[text.lower()]
    except KeyError:
        raise MalformedError(column, "write yes or no") from None


def prefixes(text: str, country_code: str = "") -> list[str]:
    """One prefix or several: "44", "+44", "0044", "4477;4478", "4477-4479". With a country code, what follows it, zeros kept."""
    items = [item for part in _BETWEEN_PREFIXES.split(text) if (item := part.strip())]
    if country_code:
        code = _digits(country_code, "country_code")
        return [_checked(code + rest) for item in items or [""] for rest in _range(item, _national)]
    if not items:
        raise MalformedError("prefix", "empty; write the leading digits, such as 447")
    return [found for item in items for found in _range(item, _international)]


def _range(item: str, read: Callable[[str], str]) -> Iterator[str]:
    first, dash, last = item.partition("-")
    if not dash:
        yield read(item)
        return
    low, high = read(first.strip()), read(last.strip())
    if len(low) != len(high) or low > high:
        raise MalformedError("prefix", "both ends of a range have as many digits, the lower one first: 4477-4479")
    yield from cover(low, high)


def cover(low: str, high: str) -> Iterator[str]:
    """The fewest prefixes that begin all numbers from one to another of as many digits: 4470-4489 is 447 and 448."""
    digits, at, last = len(low), int(low), int(high)
    while at <= last:
        size = 1
        while size * 10 < 10**digits and at % (size * 10) == 0 and at + size * 10 - 1 <= last:
            size *= 10
        yield str(at)[: -(len(str(size)) - 1) or None].zfill(digits - len(str(size)) + 1)
        at += size


def _international(text: str) -> str:
    return _checked(_digits(text, "prefix"))


def _national(text: str) -> str:
    if text and not (text.isascii() and text.isdigit()):
        raise MalformedError("prefix", "write digits alone, what follows the country code")
    return text


def _digits(text: str, column: str) -> str:
    digits = text.removeprefix("+").removeprefix("00")
    if not (digits.isascii() and digits.isdigit()):
        if re.fullmatch(r"[0-9.,]+E\+?[0-9]+", text):
            raise MalformedError(column, "a spreadsheet made a number of it; give the column the type text")
        raise MalformedError(column, "not digits; lists are written 4477;4478 and ranges 4477-4479")
    if digits.startswith("0"):
        raise MalformedError(column, "begins with 0; write it with its country code")
    return digits


def _checked(digits: str) -> str:
    if len(digits) > E164_DIGITS:
        raise MalformedError("prefix", f"longer than {E164_DIGITS} digits, the longest number of E.164")
    return digits


def mccmnc(text: str) -> str:
    found = _MCCMNC.fullmatch(text)
    if found is None:
        raise MalformedError(
            "mccmnc", "write the three digits of the MCC and the two or three of the MNC, zeros kept: 23415"
        )
    return found[1] + found[2]


def group(text: str) -> str:
    if not _GROUP.fullmatch(text):
        raise MalformedError("group", "write a group of the config, such as vodafone-uk")
    return text


def ocn(text: str) -> str:
    code = text.upper()
    if not _OCN.fullmatch(code):
        raise MalformedError("ocn", "write four letters or digits, zeros kept: 7421")
    return code


def lrn(text: str) -> str:
    """With the 1, which decks leave out (NPA-NXX): no area code begins with one."""
    found = _LRN.fullmatch(text.removeprefix("+"))
    if found is None:
        raise MalformedError("lrn", "write the leading digits of the routing number, three at least: 1212555")
    return "1" + found[1]


class Moments:
    """Dates of one vendor as Unix seconds: in his zone, in his format (else ISO 8601 or 31-Jan-2026).

    A local time that comes twice is the first one, one that is skipped is the moment of the change. `last_day`: a day, or a second
    59, in `to` still counts.
    """

    def __init__(self, zone: str, date_format: str | None, *, last_day: bool) -> None:
        self._zone = ZoneInfo(zone)
        self._format = date_format
        self._last_day = last_day
        self.start = lru_cache(DATES_REMEMBERED)(self._start)
        self.end = lru_cache(DATES_REMEMBERED)(self._end)

    def _start(self, text: str) -> float:
        return self._unix(self._read(text, "from")[0], "from") if text else ALWAYS

    def _end(self, text: str) -> float:
        if not text:
            return FOR_EVER
        moment, is_day = self._read(text, "to")
        if moment.year == _LAST_YEAR:
            return FOR_EVER
        if self._last_day and is_day:
            moment += timedelta(days=1)
        elif self._last_day and moment.second == 59:  # vendors write 23:59:59
            moment += timedelta(seconds=1)
        return self._unix(moment, "to")

    def _unix(self, moment: datetime, column: str) -> float:
        try:
            return moment.replace(tzinfo=moment.tzinfo or self._zone).astimezone(UTC).timestamp()
        except OverflowError:
            raise MalformedError(column, "outside of the years 2 to 9998") from None

    def _read(self, text: str, column: str) -> tuple[datetime, bool]:
        """The time, local or with its zone; is it a whole day?"""
        if len(text) > EXACTLY_UP_TO:
            raise MalformedError(column, "not a date")
        if self._format:
            moment = _parsed(text, self._format)
            if moment is None:
                raise MalformedError(column, f"not of the form {self._format}")
            return moment, not re.search("%[HIMSTXcp]", self._format)
        try:
            return datetime.fromisoformat(text), len(text) <= len("2026-01-31")
        except ValueError:
            pass
        for form in _DATES:
            if moment := _parsed(text, form):
                return moment, True
        raise MalformedError(
            column, "write 2026-01-31, 2026-01-31 02:00 or 31-Jan-2026; other forms need --date-format, e.g. %d/%m/%Y"
        )


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is the vendor's
    except ValueError:
        return None
