"""How a vendor writes decks: which column means what, and in which zone, format and currency the cells stand.

What the operator says counts. What is left open is guessed by the names that headers commonly have, and every guess is shown;
two columns that may mean the same are asked about.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing.rates import Kind

KEYS: Final = {
    "prefix": Kind.PREFIX,
    "group": Kind.GROUP,
    "mccmnc": Kind.MCCMNC,
    "ocn": Kind.OCN,
    "lrn": Kind.LRN,
}
TERMS: Final = ("rate", "connect", "increments", "first", "next", "currency", "from", "to", "blocked")
COLUMNS: Final = ("country_code", *KEYS, *TERMS)
ABSENT: Final = "-"
"""In place of a name: the file has no such column, whatever its header looks like."""
HEADER_WITHIN: Final = 50
"""Lines: what stands above the header is a title."""

_IN_BRACKETS: Final = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_COMMON: Final = {
    "prefix": "prefix prefixes code codes dialcode dialcodes dialingcode dialprefix destinationcode",
    "mccmnc": "mccmnc plmn",
    "group": "carriergroup",
    "ocn": "ocn",
    "lrn": "lrn lrnprefix npanxx",
    "rate": "rate price ratemin ratepermin rateperminute pricemin pricepermin priceperminute",
    "connect": "connect connectfee connectionfee connectcharge connectioncharge setup setupfee callsetup",
    "increments": "increment increments billingincrement billingincrements interval",
    "first": "first firstincrement initialincrement firstinterval initialinterval interval1",
    "next": "next nextincrement subsequentincrement nextinterval intervaln additionalincrement",
    "currency": "currency curr ccy",
    "from": "from effective effectivefrom effectivedate validfrom startdate start",
    "to": "to effectiveto validto validuntil until enddate end expires expiry expirydate expirationdate",
    "blocked": "blocked block",
}
"""`country_code` is never guessed: some decks say beside whole prefixes which country it is."""
_OURS: Final = {name: ours for ours, names in _COMMON.items() for name in names.split()}


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError("no encoding of text; utf-8, latin-1, cp1252 and utf-16 are common") from None
    return name


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found; a path; a folder
        raise ValueError("no such zone; write an IANA name such as Europe/Paris") from None
    return name


def _date_format(form: str) -> str:
    day = datetime(2026, 1, 31)  # noqa: DTZ001 - any day whose parts differ
    try:
        there_and_back = datetime.strptime(day.strftime(form), form) if "%y" in form.lower() else None  # noqa: DTZ007
    except ValueError:
        there_and_back = None
    if there_and_back != day:
        raise ValueError("it must hold day, month and year, e.g. %d/%m/%Y (see strftime)")
    return form


class Format(BaseModel):
    """`columns` gives the file's name of a column of ours, `fixed` a value that all lines share. None is found out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, str] = {}
    fixed: dict[str, str] = {}
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    decimal: Literal[".", ","] = "."
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    date_format: Annotated[str, AfterValidator(_date_format)] | None = None
    last_day: Literal["included", "excluded"] = Field(
        default="included", description="whether a call on the day in `to` still has the rate"
    )
    sheet: str | None = None

    @model_validator(mode="after")
    def _is_one_layout(self) -> Format:
        if unknown := (self.columns.keys() | self.fixed.keys()) - set(COLUMNS):
            raise ValueError(f"no such column: {', '.join(sorted(unknown))}; there are {', '.join(COLUMNS)}")
        if twice := self.columns.keys() & self.fixed.keys():
            raise ValueError(f"{min(twice)}: it has either a column or one value for all lines")
        if keys := self.fixed.keys() & KEYS.keys():
            raise ValueError(f"{min(keys)}: each line has its own; name its column")
        return self


SETTINGS: Final = tuple(name for name in Format.model_fields if name not in ("columns", "fixed"))


def as_format(data: Any, where: str) -> Format:
    """Checks what a file or the command line says. Raises `ConfigError`."""
    try:
        return Format.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{where}{place}{': ' if place else ''}{first['msg'].removeprefix('Value error, ')}"
        ) from None


def told(saved: Mapping[str, Any], said: Mapping[str, Any]) -> Format:
    """What was saved for a vendor, but for what is said now. Raises `ConfigError`."""
    columns, fixed = said["columns"], said["fixed"]
    kept_columns = {ours: theirs for ours, theirs in saved.get("columns", {}).items() if ours not in fixed}
    kept_fixed = {ours: value for ours, value in saved.get("fixed", {}).items() if ours not in columns}
    return as_format({**saved, **said, "columns": kept_columns | columns, "fixed": kept_fixed | fixed}, "")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns of ours stand in a file. `guessed` are those that nobody named."""

    line: int
    header: tuple[str, ...]
    at: Mapping[str, int]
    guessed: frozenset[str] = frozenset()

    @property
    def width(self) -> int:
        return len(self.header)

    def name(self, column: str) -> str:
        """The file's name of a column of ours."""
        return self.header[self.at[column]] if column in self.at else column


def find_header(rows: Iterable[tuple[int, Sequence[str]]], form: Format) -> Layout:
    """The first row that names a key and a rate. `rows` are the first ones of the file, with their lines. Raises `ConfigError`."""
    first: tuple[int, Sequence[str]] | None = None
    for line, row in rows:
        header = tuple(name.strip() for name in row)
        if _is_enough(_places(header, form).keys(), form.fixed):
            return _layout(line, header, form)
        first = first or ((line, header) if any(header) else None)
    if first is None:
        raise ConfigError("it is empty; a deck has a header and at least one line")
    raise ConfigError(_no_header(*first, form))


def _places(header: tuple[str, ...], form: Format) -> dict[str, list[int]]:
    """Where each column of ours may stand; empty where one that was named is not there."""
    named = {ours: theirs for ours, theirs in form.columns.items() if theirs != ABSENT}
    if not set(named.values()) <= set(header):
        return {}
    settled = form.columns.keys() | form.fixed.keys() | (KEYS.keys() if KEYS.keys() & named.keys() else set())
    places = {ours: [at for at, name in enumerate(header) if name == theirs] for ours, theirs in named.items()}
    for at, name in enumerate(header):
        ours = _OURS.get(re.sub("[^a-z0-9]", "", _IN_BRACKETS.sub("", name.lower())))
        if ours and ours not in settled and name not in named.values():
            places.setdefault(ours, []).append(at)
    return places


def _is_enough(named: Collection[str], fixed: Collection[str]) -> bool:
    key = any(column in named for column in (*KEYS, "country_code"))
    return key and any(column in named or column in fixed for column in ("rate", "blocked"))


def _layout(line: int, header: tuple[str, ...], form: Format) -> Layout:
    places = _places(header, form)
    for ours, found in places.items():
        if len(names := {header[at] for at in found}) < len(found):
            raise ConfigError(f"line {line}: {min(names)[:40]!a} stands twice in the header; rename one of them")
        if len(found) > 1:
            which = " and ".join(f"{header[at][:40]!a}" for at in found)
            raise ConfigError(f"line {line}: {ours} may be {which}; say which one with --map {ours}=NAME")
    there = places.keys() | form.fixed.keys()
    if ("first" in there) != ("next" in there) or {"first", "increments"} <= there:
        raise ConfigError(
            f"line {line}: increments stand in one column (increments), or in both first and next; --map or --set them"
        )
    guessed = frozenset(places.keys() - form.columns.keys())
    return Layout(line, header, {ours: found[0] for ours, found in places.items()}, guessed)


def _no_header(line: int, header: Sequence[str], form: Format) -> str:
    says = ascii(", ".join(name[:40] for name in header[:20]))
    named = {theirs for theirs in form.columns.values() if theirs != ABSENT}
    if missing := sorted(named - set(header)):
        return f"line {line}: no column {', '.join(missing)!a} there or in the {HEADER_WITHIN} lines from it; it says {says}"
    return f"line {line}: which column is the key and which the rate? --map prefix=NAME --map rate=NAME; it says {says}"
