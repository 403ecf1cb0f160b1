"""Ported numbers on this machine: a table that `agi-lookup ports import` fills from the operator's own files.

Source: a national portability database or a carrier's feed, as CSV (`ported_csv`). Nobody is asked and nothing is paid.
Quirk: a number that is not in the table is no answer, and is not remembered: the table may be filled any minute. Only where
the table is said to be complete for a country (`complete_for`) does absence mean "not ported".
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias

from pydantic import Field

from agi_lookup.domain.errors import ProviderNotCovered, ProviderUnavailable
from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Number, NumberType, Tri
from agi_lookup.providers.base import NumberResult, PlmnSplit, SourceOptions
from agi_lookup.providers.numbering_plan import issuing_carrier

if TYPE_CHECKING:
    from agi_lookup.providers.ported_table import TableDriver

TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
"""Of times in the table, always UTC. As text they sort by time, and a date (`%Y-%m-%d`) sorts as its first moment."""

Country: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


FRESH_S: Final = 60.0
"""A read costs next to nothing, and the next import may say otherwise."""


class Options(SourceOptions):
    table: Path = Field(
        default=Path("/var/lib/agi-lookup/ported.sqlite"), description="what `agi-lookup ports import` fills"
    )
    timeout_s: float = Field(default=1.0, gt=0, le=60, description="of one read")
    max_concurrency: int = Field(default=1000, ge=1, le=10_000, description="lookups that may wait for a read at once")
    complete_for: frozenset[Country] = Field(
        default=frozenset(),
        description="countries (ISO 3166) of which every ported mobile number is in the table: others are not ported",
    )


class NotInTable(ProviderNotCovered):
    """Not remembered: a read costs nothing, and an import may bring the number any minute."""

    remember_s = 0.0


class TableUnusable(ProviderUnavailable):
    """There is no table, nothing in it yet, or it cannot be read."""

    alarm = True


@dataclass(frozen=True, slots=True, repr=False)
class TableQuery:
    """Numbers in E.164 with `+`."""

    numbers: tuple[str, ...]

    def __repr__(self) -> str:
        return f"TableQuery({len(self.numbers)} numbers)"


@dataclass(frozen=True, slots=True)
class Row:
    """What the table says of a number. `ported_at` is an ISO 8601 date, or a UTC time; `imported_at` Unix seconds."""

    carrier: str | None
    mcc: str | None
    mnc: str | None
    ported: Tri
    ported_at: str | None
    type: NumberType
    lrn: str | None
    ocn: str | None
    imported_at: float
    in_block: bool  # said of a block of numbers, not of this number


@dataclass(frozen=True, slots=True, repr=False)
class TableReply:
    """The most specific row of each number; `imported_at` is the last import's time, Unix seconds; 0: there was none."""

    rows: Mapping[str, Row]
    imported_at: float

    def __repr__(self) -> str:
        return f"TableReply({len(self.rows)} rows)"


TableLookup: TypeAlias = Generator[TableQuery, TableReply, Mapping[str, NumberResult]]


class Provider:
    """One table."""

    kind: ClassVar[str] = "ported_numbers"
    provides: ClassVar[frozenset[Facet]] = frozenset({Facet.IDENTITY})
    currency: ClassVar[str] = ""

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self._complete_for = options.complete_for

    def lookup(self, numbers: Sequence[Number], now: float) -> TableLookup:
        reply = yield TableQuery(tuple(number.e164 for number in numbers))
        if not reply.imported_at:  # a first import that failed leaves a table behind, and its emptiness proves nothing
            raise TableUnusable("nothing was ever imported: run agi-lookup ports import")
        return {number.e164: self._result(number, reply, now) for number in numbers}

    def _result(self, number: Number, reply: TableReply, now: float) -> NumberResult:
        row = reply.rows.get(number.e164)
        if row is not None and not _is_to_come(row, now):
            return self._answer(number, identity(row), row.imported_at)
        issuer = issuing_carrier(number) if number.country in self._complete_for else None
        if row is None and issuer is not None:
            return self._answer(number, Identity(issuer, orig_carrier=issuer, ported=Tri.NO), reply.imported_at)
        return NotInTable("not in the table")

    def _answer(self, number: Number, said: Identity, observed_at: float) -> LookupAnswer:
        return LookupAnswer(
            number.e164, self.name, Method.MNP, observed_at, identity=said, cost=Decimal(0), fresh_s=FRESH_S
        )


def identity(row: Row) -> Identity:
    """A number that was not ported is still with the network that issued it."""
    network = (row.carrier, row.mcc, row.mnc)
    issued_by = network if row.ported is Tri.NO else (None, None, None)
    return Identity(
        *network, *issued_by,
        ported=row.ported, ported_date=row.ported_at, type=row.type, lrn=row.lrn, ocn=row.ocn,
    )  # fmt: skip


def _is_to_come(row: Row, now: float) -> bool:
    """Feeds announce ports ahead of time. Who serves the number until then, the row does not say."""
    return row.ported_at is not None and row.ported_at > datetime.fromtimestamp(now, UTC).strftime(TIME_FORMAT)


def open_driver(options: Options) -> TableDriver:
    """Imported late: a config without a table needs no SQLite."""
    from agi_lookup.providers.ported_table import TableDriver  # noqa: PLC0415

    return TableDriver(options.table)
