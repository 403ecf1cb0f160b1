"""CSV files of ported numbers: each line becomes a row of the table, or one clear sentence of what is wrong with it.

A line names a number, a block (`from` and `to`, or all that starts with a `prefix`), and what is known of it. No sentence repeats
what the file holds: it is full of subscribers' numbers.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import NumberType, Tri
from agi_lookup.providers.base import PlmnSplit
from agi_lookup.providers.ported_numbers import TIME_FORMAT
from agi_lookup.providers.replies import text, tri

PLACES: Final = ("number", "from", "to", "prefix")
FACTS: Final = ("carrier", "mcc", "mnc", "mccmnc", "ported", "ported_at", "type", "lrn", "ocn", "removed")
COLUMNS: Final = (*PLACES, *FACTS)
E164_DIGITS: Final = 15
FACTS_REMEMBERED: Final = 65_536
"""Of the last lines: carriers and dates repeat, so that most lines are not read anew."""

_MCC: Final = re.compile(r"[0-9]{3}")
_MNC: Final = re.compile(r"[0-9]{2,3}")
_ROUTING_NUMBER: Final = re.compile(r"\+?[0-9A-Fa-f]{1,24}")
_CODE: Final = re.compile(r"[0-9A-Za-z]{1,16}")
_WITH_TIME: Final = 10
"""A date alone has no more characters."""


class MalformedError(ValueError):
    """Of one line; its text is for the operator."""


class Facts(NamedTuple):
    """What a line says, as the table holds it. `removed`: what the table said before ends."""

    ported: int | None
    ported_at: str | None
    carrier: str | None
    mcc: str | None
    mnc: str | None
    type: str | None
    lrn: str | None
    ocn: str | None
    removed: int


class Place(NamedTuple):
    """A number (`high` is None), or a block: what is at least `digits` long and, filled up to 15 digits, from `low` to `high`."""

    low: int
    high: int | None = None
    digits: int | None = None


class Line(NamedTuple):
    place: Place
    facts: Facts


class Problem(NamedTuple):
    """A line that cannot be used; lines count from 1, the header's."""

    line: int
    what: str


def read(
    lines: Iterable[str], *, split: PlmnSplit, columns: Mapping[str, str], fixed: Mapping[str, str], delimiter: str
) -> Iterator[Line | Problem]:
    """The lines after the header. `columns` gives the file's name of a column of ours, `fixed` a value that all lines share.

    Raises `ConfigError` when the header is of no use.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        layout = Layout(next(reader, []), split, columns, fixed)
    except csv.Error as error:
        raise ConfigError(f"line 1: no CSV ({error})") from None
    while True:
        try:
            yield layout.line(next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(reader.line_num, f"no CSV ({error}); quote fields with delimiters")
        except UnicodeError:
            raise ConfigError(f"after line {reader.line_num}: not the file's encoding") from None
        except MalformedError as error:
            yield Problem(reader.line_num, str(error))


class Layout:
    """Where each column of ours stands in the file."""

    def __init__(
        self, header: Sequence[str], split: PlmnSplit, columns: Mapping[str, str], fixed: Mapping[str, str]
    ) -> None:
        self._width = len(header)
        self._split = split
        self._fixed = dict(fixed)
        names = {columns.get(ours, ours): ours for ours in COLUMNS if ours not in fixed}
        at = {names[name]: index for index, theirs in enumerate(header) if (name := theirs.strip()) in names}
        _check(header, at, columns, fixed)
        self._places = tuple((column, at[column]) for column in PLACES if column in at)
        self._facts_at = tuple((column, at[column]) for column in FACTS if column in at)
        self._only_number = at["number"] if [column for column, _ in self._places] == ["number"] else None
        self._facts_of = lru_cache(FACTS_REMEMBERED)(self._read_facts)

    def line(self, fields: Sequence[str]) -> Line:
        """Raises `MalformedError`."""
        if len(fields) != self._width:
            raise MalformedError("another number of fields than the first line names")
        return Line(self._place(fields), self._facts_of(tuple([fields[index] for _, index in self._facts_at])))

    def _place(self, fields: Sequence[str]) -> Place:
        if self._only_number is not None:
            return Place(int(_number(fields[self._only_number], "number")))
        given = {column: fields[index] for column, index in self._places if fields[index].strip()}
        if given.keys() == {"number"}:
            return Place(int(_number(given["number"], "number")))
        if given.keys() == {"prefix"}:
            prefix = _digits(given["prefix"], "prefix", 1)
            return _block(prefix, prefix)
        if given.keys() == {"from", "to"}:
            return _range(_number(given["from"], "from"), _number(given["to"], "to"))
        raise MalformedError("give one of number, from with to, and prefix")

    def _read_facts(self, fields: tuple[str, ...]) -> Facts:
        stated: dict[str, str] = {
            column: value.strip() for (column, _), value in zip(self._facts_at, fields, strict=True)
        }
        return facts({**self._fixed, **stated}, self._split)


def facts(said: Mapping[str, str], split: PlmnSplit) -> Facts:
    """Empty is unknown. Raises `MalformedError`.

    Bytes that are not in the file's encoding come as lone surrogates (PEP 383).
    """
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in "".join(said.values())):
        raise MalformedError("a control character, or not the file's encoding")
    mcc, mnc = _network(said, split)
    found = Facts(
        ported=_yes_no(said, "ported"),
        ported_at=_moment(said.get("ported_at", "")),
        carrier=text(said.get("carrier", "")),
        mcc=mcc,
        mnc=mnc,
        type=_type(said.get("type", "")),
        lrn=_shaped(said, "lrn", _ROUTING_NUMBER, "a routing number"),
        ocn=_shaped(said, "ocn", _CODE, "letters and digits"),
        removed=_yes_no(said, "removed") or 0,
    )
    if not (found.removed or found.ported is not None or found.carrier or found.mcc or found.lrn or found.ocn):
        raise MalformedError("says nothing of its number")
    return found


def _check(header: Sequence[str], at: Mapping[str, int], columns: Mapping[str, str], fixed: Mapping[str, str]) -> None:
    known = f"; the columns are {', '.join(COLUMNS)}"
    if unknown := (columns.keys() | fixed.keys()) - set(COLUMNS):
        raise ConfigError(f"no such column: {', '.join(sorted(unknown))}{known}")
    if missing := [theirs for ours, theirs in columns.items() if ours not in at]:
        raise ConfigError(f"line 1: no column {', '.join(missing)}, or it is given twice")
    if not at.keys() & {"number", "prefix"} and not at.keys() >= {"from", "to"}:
        raise ConfigError(
            f"line 1: no column number, prefix, or from and to{known} (other names: --column number=NAME)"
        )
    if len({theirs.strip() for theirs in header}) != len(header):
        raise ConfigError("line 1: a column is there twice")


def _number(value: str, column: str) -> str:
    return _digits(value, column, 7)


def _digits(value: str, column: str, shortest: int) -> str:
    digits = value.strip().removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and shortest <= len(digits) <= E164_DIGITS and digits[0] != "0"):
        raise MalformedError(f"{column} must be an international number: digits, with or without +")
    return digits


def _range(first: str, last: str) -> Place:
    if len(first) != len(last) or first > last:
        raise MalformedError("from and to must be of one length, the lower first")
    return Place(int(first)) if first == last else _block(first, last)


def _block(first: str, last: str) -> Place:
    return Place(int(first.ljust(E164_DIGITS, "0")), int(last.ljust(E164_DIGITS, "9")), len(first))


def _network(said: Mapping[str, str], split: PlmnSplit) -> tuple[str | None, str | None]:
    mcc, mnc, both = said.get("mcc", ""), said.get("mnc", ""), said.get("mccmnc", "")
    if both:
        network = split(both)
        if network is None or (mcc and mcc != network[0]) or (mnc and mnc != network[1]):
            raise MalformedError("mccmnc is no network of the MCC/MNC table, or is not that of mcc and mnc")
        return network
    if not (mcc or mnc):
        return None, None
    if not (_MCC.fullmatch(mcc) and _MNC.fullmatch(mnc)):
        raise MalformedError("mcc must be three digits and mnc two or three, with their zeros")
    return mcc, mnc


def _yes_no(said: Mapping[str, str], column: str) -> int | None:
    value = said.get(column, "")
    found = tri(value)
    if value and found is Tri.UNKNOWN:
        raise MalformedError(f"{column} must be yes, no or empty")
    return None if found is Tri.UNKNOWN else int(found is Tri.YES)


def _type(value: str) -> str | None:
    try:
        return NumberType(value.lower()).value if value else None
    except ValueError:
        raise MalformedError(f"type must be one of {', '.join(NumberType)}") from None


def _shaped(said: Mapping[str, str], column: str, form: re.Pattern[str], wanted: str) -> str | None:
    value = said.get(column, "")
    if value and not form.fullmatch(value):
        raise MalformedError(f"{column} must be {wanted}")
    return value or None


def _moment(value: str) -> str | None:
    """ISO 8601 in any of its forms, `YYYYMMDD` and `YYYYMMDDhhmmss`; a time without a zone is UTC."""
    if not value:
        return None
    if len(value) == 14 and value.isdigit():
        value = f"{value[:8]}T{value[8:]}"
    try:
        if len(value) <= _WITH_TIME:
            return date.fromisoformat(value).isoformat()
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).strftime(TIME_FORMAT)
    except (ValueError, OverflowError):
        raise MalformedError(
            "ported_at must be an ISO 8601 date or time, e.g. 2026-01-31 or 2026-01-31T02:00:00Z"
        ) from None
