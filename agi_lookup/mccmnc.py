"""Mobile network codes: which operator and country an MCC and MNC stand for. Shipped as data, overridden by files of one's own.

MCC and MNC are text with their zeros: "01" is neither "1" nor "001", and 2- and 3-digit MNCs live side by side in some MCCs.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import Identity

SHIPPED: Final = "mccmnc.csv"
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
REQUIRED: Final = frozenset({"mcc", "mnc"})
COLUMNS: Final = ("mcc", "mnc", "country", "brand", "operator", "status")
_FORMS: Final = {
    "mcc": (re.compile("[0-9]{3}"), "three digits"),
    "mnc": (re.compile("[0-9]{2,3}"), "two or three digits, with their zeros"),
    "country": (re.compile("[A-Z]{2}|"), "two capital letters of ISO 3166-1, or empty"),
    "brand": (re.compile(r"[^\x00-\x1f\x7f]{0,128}"), "one line of at most 128 characters"),
    "operator": (re.compile(r"[^\x00-\x1f\x7f]{0,128}"), "one line of at most 128 characters"),
    "status": (re.compile(r"[^\x00-\x1f\x7f]{0,64}"), "one line of at most 64 characters"),
}


class Network(NamedTuple):
    """A mobile network. `name` is its brand, or the operator's where it has none; `country` ISO 3166-1 alpha-2 or empty."""

    name: str
    country: str


class MccMncTable:
    """Answers by MCC and MNC. Unknown codes are None: never the nearest match."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self._networks = networks
        countries: dict[str, set[str]] = defaultdict(set)
        self._mnc_lengths: dict[str, set[int]] = defaultdict(set)
        for plmn, network in networks.items():
            countries[plmn[:3]].add(network.country)
            self._mnc_lengths[plmn[:3]].add(len(plmn) - 3)
        self._countries = {mcc: known.pop() for mcc, known in countries.items() if len(known) == 1}

    def __len__(self) -> int:
        return len(self._networks)

    @property
    def countries(self) -> dict[str, str]:
        """By MCC and MNC; empty where the MCC is of several countries."""
        return {plmn: network.country for plmn, network in self._networks.items()}

    def name(self, mcc: str, mnc: str) -> str | None:
        network = self._networks.get(mcc + mnc)
        return network.name if network else None

    def country(self, mcc: str, mnc: str = "") -> str | None:
        """The network's country, else the MCC's; None for codes of several countries (901, 340) and unknown ones."""
        network = self._networks.get(mcc + mnc)
        return (network.country if network else self._countries.get(mcc)) or None

    def split(self, plmn: str) -> tuple[str, str] | None:
        """`"310260"` -> `("310", "260")`. None unless the network is known, or that all MNCs of its MCC have this length.

        A source that lost a zero (`31026`) would otherwise name another network.
        """
        if not re.fullmatch("[0-9]{5,6}", plmn):
            return None
        mcc, mnc = plmn[:3], plmn[3:]
        known = plmn in self._networks or self._mnc_lengths.get(mcc) == {len(mnc)}
        return (mcc, mnc) if known else None

    def complete(self, identity: Identity) -> Identity:
        """The identity with names from the table where its source stated none: the source's own word always wins."""
        if identity.carrier and identity.orig_carrier:
            return identity
        return replace(
            identity,
            carrier=identity.carrier or self._name_of(identity.mcc, identity.mnc),
            orig_carrier=identity.orig_carrier or self._name_of(identity.orig_mcc, identity.orig_mnc),
        )

    def _name_of(self, mcc: str | None, mnc: str | None) -> str | None:
        return self.name(mcc, mnc) if mcc and mnc else None


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What an import changed against the file that was there before."""

    rows: int
    added: int
    changed: int
    removed: int


def load(overrides: Path | None = None) -> MccMncTable:
    """The shipped table, then each `*.csv` of a folder in order of name: the last word wins.

    Raises `ConfigError` with file and line.
    """
    with resources.as_file(resources.files("agi_lookup") / "data" / SHIPPED) as shipped:
        rows = dict(_networks(shipped))
    if overrides is not None:
        for path in _csv_files(overrides):
            rows.update(_networks(path))
    return MccMncTable(rows)


def import_csv(source: Path, destination: Path) -> ImportCounts:
    """Validate `source` and put it in place of `destination` at once, or not at all. Raises `ConfigError` with file and line."""
    new = _by_plmn(source)
    old = _by_plmn(destination) if destination.exists() else {}
    _replace(destination, new.values())
    return ImportCounts(
        rows=len(new),
        added=len(new.keys() - old.keys()),
        changed=sum(new[plmn] != old[plmn] for plmn in new.keys() & old.keys()),
        removed=len(old.keys() - new.keys()),
    )


def _by_plmn(path: Path) -> dict[str, dict[str, str]]:
    return {row["mcc"] + row["mnc"]: row for row in _read(path)}


def _replace(destination: Path, rows: Iterable[Mapping[str, str]]) -> None:
    new = destination.with_name(destination.name + ".new")
    try:
        with new.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        new.replace(destination)
    except OSError as error:
        raise ConfigError(f"{destination}: cannot be written ({error.strerror})") from None


def _csv_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder; make it, or leave mccmnc_dir out")
    return sorted(folder.glob("*.csv"))


def _networks(path: Path) -> Iterator[tuple[str, Network]]:
    for row in _read(path):
        yield row["mcc"] + row["mnc"], Network(row["brand"] or row["operator"], row["country"])


def _read(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header line, every column filled (empty where the file has none), each network once."""
    lines = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    seen: set[str] = set()
    try:
        _check_header(lines.fieldnames or (), path)
        for raw in lines:
            row = _checked(raw, f"{path}:{lines.line_num}")
            if (plmn := row["mcc"] + row["mnc"]) in seen:
                raise ConfigError(f"{path}:{lines.line_num}: {row['mcc']}-{row['mnc']} is there twice; keep one")
            seen.add(plmn)
            yield row
    except csv.Error as error:
        raise ConfigError(f"{path}:{lines.line_num}: no CSV ({error}); quote fields with commas") from None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes; is it the right file?")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def _check_header(header: Iterable[str], path: Path) -> None:
    columns = set(header)
    if missing := REQUIRED - columns:
        raise ConfigError(f"{path}:1: no column {', '.join(sorted(missing))}; the first line names {','.join(COLUMNS)}")
    if unknown := columns - set(COLUMNS):
        raise ConfigError(f"{path}:1: unknown column {', '.join(sorted(unknown))}; known: {','.join(COLUMNS)}")


def _checked(raw: Mapping[str | None, str | list[str] | None], where: str) -> dict[str, str]:
    if None in raw or None in raw.values():
        raise ConfigError(f"{where}: another number of fields than the first line names")
    row = {column: str(raw.get(column, "")).strip() for column in COLUMNS}
    for column, (form, wanted) in _FORMS.items():
        if not form.fullmatch(row[column]):
            raise ConfigError(f"{where}: {column} must be {wanted}")
    if not (row["brand"] or row["operator"]):
        raise ConfigError(f"{where}: needs a brand or an operator")
    return row
