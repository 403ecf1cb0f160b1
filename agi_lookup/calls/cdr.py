"""Asterisk's call detail records as CSV: `Master.csv` of cdr_csv, in its fixed order, or any file whose first line names columns.

Source: cdr_csv.c (build_csv_record): the order of `MASTER`, with uniqueid and userfield where cdr.conf says so. Times are the
machine's local ones, without a zone.
No sentence repeats what the file holds: it is full of people's numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from agi_lookup.agi.request import endpoint
from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.number import MAX_DIALLED

MASTER: Final = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata",
    "start", "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield",
)  # fmt: skip
MASTER_AT_LEAST: Final = 16
NAMES: Final = {
    "number": ("dst", "number"),
    "at": ("start", "calldate"),
    "billsec": ("billsec",),
    "disposition": ("disposition",),
    "accountcode": ("accountcode",),
    "channel": ("channel",),
    "uniqueid": ("uniqueid",),
    "profile": ("profile",),
}
"""Columns of ours, and what they are called in headers."""
NEEDED: Final = ("number", "at")
ANSWERED: Final = "ANSWERED"
MAX_CALL_S: Final = 30 * 86_400
_PLACE: Final = re.compile(r"[1-9][0-9]{0,2}")
_EPOCH: Final = re.compile(r"[0-9]{9,11}(\.[0-9]{1,9})?")


class Cdr(NamedTuple):
    """One record. `at` is when the call began, Unix seconds; `caller` as in `agi.request`; `channel` is the UNIQUEID."""

    line: int
    at: float
    dialled: str
    profile: str
    caller: str
    channel: str
    billsec: int | None


class Problem(NamedTuple):
    """A line that cannot be used; lines count from 1."""

    line: int
    what: str


class Form(NamedTuple):
    """How a file is to be read. `columns` gives the file's name, or the place from 1, of a column of ours."""

    columns: Mapping[str, str]
    zone: tzinfo
    profile: str = "default"
    profiles: frozenset[str] = frozenset({"default"})
    delimiter: str = ","


def read(lines: Iterable[str], form: Form) -> Iterator[Cdr | Problem]:
    """Raises `ConfigError` where the columns cannot be told."""
    reader = csv.reader(lines, delimiter=form.delimiter, strict=True)
    layout: _Layout | None = None
    while True:
        try:
            row = next(reader)
            if not row:
                continue
            if layout is None:
                layout = _Layout(row, form)
                if layout.has_header:
                    continue
            yield layout.cdr(reader.line_num, row)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(reader.line_num, f"no CSV ({error})")
        except ValueError as error:
            yield Problem(reader.line_num, str(error))


class _Layout:
    """Where the columns are."""

    def __init__(self, first: Sequence[str], form: Form) -> None:
        self._form = form
        by_place = any(_is_place(theirs) for theirs in form.columns.values())
        self._at = {} if by_place else _find([name.strip().casefold() for name in first], form.columns)
        self.has_header = self._at.keys() >= {*NEEDED, *form.columns}
        if not self.has_header:
            self._at = _find(MASTER[: len(first)] if len(first) >= MASTER_AT_LEAST else (), form.columns)
        if not self._at.keys() >= {*NEEDED, *form.columns}:
            raise ConfigError(
                "1: neither a line that names columns (dst, start) nor Asterisk's Master.csv, which has 16 or more;"
                " say where they are, as in --column number=3 --column at=10"
            )
        self._width = max(self._at[column] for column in (*NEEDED, *form.columns)) + 1

    def cdr(self, line: int, row: Sequence[str]) -> Cdr:
        """Raises `ValueError`."""
        if len(row) < self._width:
            raise ValueError(f"{len(row)} columns, at least {self._width} are needed")
        dialled = self._text(row, "number")
        profile = self._text(row, "profile") or self._form.profile
        if profile not in self._form.profiles:
            raise ValueError("its profile is not under profiles")
        return Cdr(
            line=line,
            at=_moment(self._text(row, "at"), self._form.zone),
            dialled=dialled[: MAX_DIALLED + 1],
            profile=profile,
            caller=self._text(row, "accountcode") or endpoint(self._text(row, "channel")),
            channel=self._text(row, "uniqueid"),
            billsec=_length(self._text(row, "billsec"), self._text(row, "disposition")),
        )

    def _text(self, row: Sequence[str], column: str) -> str:
        place = self._at.get(column)
        return row[place].strip() if place is not None and place < len(row) else ""


def _find(names: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Columns of ours by their places from 0, as far as they are there."""
    found: dict[str, int] = {}
    for ours, usual in NAMES.items():
        told = columns.get(ours, "").strip().casefold()
        for theirs in (told,) if told else usual:
            if theirs in names:
                found.setdefault(ours, names.index(theirs))
            elif _is_place(theirs):
                found[ours] = int(theirs) - 1
    return found


def _is_place(text: str) -> bool:
    return _PLACE.fullmatch(text.strip()) is not None


def _moment(text: str, zone: tzinfo) -> float:
    """Unix seconds. Raises `ValueError`."""
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
        at = moment.replace(tzinfo=moment.tzinfo or zone).timestamp()
    except (ValueError, OverflowError):
        at = -1.0
    if at < 0:
        raise ValueError("when the call began is no time such as 2026-01-31 12:00:00, nor Unix seconds")
    return at


def _length(billsec: str, disposition: str) -> int | None:
    """None: not known. Raises `ValueError`."""
    if disposition and disposition.upper() != ANSWERED:
        return 0
    if not billsec:
        return None
    if not (billsec.isascii() and billsec.isdigit() and len(billsec) < 8 and int(billsec) < MAX_CALL_S):
        raise ValueError("billsec is no number of seconds")
    return int(billsec)
