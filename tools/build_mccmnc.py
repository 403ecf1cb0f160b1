"""Builds agi_lookup/data/mccmnc.csv from the npm package mcc-mnc-list, a copy of Wikipedia's "Mobile country code" pages.

    python tools/build_mccmnc.py

Kept: networks in operation, with a well-formed MCC and MNC, without test networks. A network listed under several countries is
one row: its country is empty unless all agree, its names are those of the country that has most rows of that MCC (310-410 is
AT&T, not the Virgin Islands' Liberty).
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = "mcc-mnc-list@1.1.11"
SHA256: Final = "2bebd40ae0d4912968c4facafd963482ca8268dfcc7c8687bcfc0738e3468420"
TARGET: Final = Path(__file__).parent.parent / "agi_lookup" / "data" / "mccmnc.csv"
COLUMNS: Final = ("mcc", "mnc", "country", "brand", "operator", "status")


def main() -> None:
    rows = sorted(merged(filter(is_usable, download())), key=lambda row: (row["mcc"], row["mnc"]))
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{TARGET}: {len(rows)} networks of {len({row['mcc'] for row in rows})} MCCs")


def download() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != SHA256:
            raise SystemExit(f"{PACKAGE}: SHA-256 is {digest}, expected {SHA256}")
        with tarfile.open(archive) as tar:
            file = tar.extractfile("package/mcc-mnc-list.json")
            assert file is not None
            rows: list[dict[str, Any]] = json.load(file)
    return rows


def is_usable(row: dict[str, Any]) -> bool:
    return (
        row["status"] == "Operational"
        and row["type"] != "Test"
        and re.fullmatch("[0-9]{3}", row["mcc"] or "") is not None
        and re.fullmatch("[0-9]{2,3}", row["mnc"] or "") is not None
        and bool(row["brand"] or row["operator"])
    )


def merged(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, str]]:
    plmns: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    main_country: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        plmns[row["mcc"], row["mnc"]].append(row)
        main_country[row["mcc"]][country(row)] += 1
    for (mcc, mnc), same in plmns.items():
        best = max(same, key=lambda row: main_country[mcc][country(row)])
        countries = {country(row) for row in same}
        yield {
            "mcc": mcc,
            "mnc": mnc,
            "country": countries.pop() if len(countries) == 1 else "",
            "brand": text(best["brand"]),
            "operator": text(best["operator"]),
            "status": best["status"],
        }


def country(row: dict[str, Any]) -> str:
    """ISO 3166-1 alpha-2; empty for several countries (`AU/CC/CX`) and for none. Abkhazia's `GE-AB` is `GE`."""
    code = (row["countryCode"] or "").partition("-")[0]
    return code if re.fullmatch("[A-Z]{2}", code) else ""


def text(value: str | None) -> str:
    """One line, without footnote marks."""
    return " ".join(re.sub(r"\[[^\]]*\]", "", value or "").split())


if __name__ == "__main__":
    main()
