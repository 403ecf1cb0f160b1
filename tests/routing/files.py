"""Vendors' files for tests: read in memory, and XLSX as spreadsheet programs write it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from agi_lookup.routing.columns import Format
from agi_lookup.routing.deck_import import open_table
from agi_lookup.routing.deck_rows import Problem, RowReader, Table
from agi_lookup.routing.rates import Rate

USD = {"currency": "USD"}


class Found(NamedTuple):
    rates: list[Rate]
    problems: list[Problem]
    table: Table

    @property
    def keys(self) -> list[str]:
        return [rate.key for rate in self.rates]


def read(content: str | bytes, **form: Any) -> Found:
    """A file in USD, unless `fixed` says otherwise."""
    raw = content.encode() if isinstance(content, str) else content
    settings = Format(**{"fixed": USD, **form})
    problems: list[Problem] = []
    table = open_table(io.BytesIO(raw), settings, problems.append)
    rates = list(RowReader(table.layout, settings, problems.append).rates(table.rows))
    return Found(rates, problems, table)


class Number(str):
    """A numeric cell, as its XML has it."""

    __slots__ = ()


class Date(str):
    """A numeric cell that is shown as a date."""

    __slots__ = ()


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STYLES = """<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd;@"/>
<numFmt numFmtId="165" formatCode="&quot;dm&quot;0.00[Red]"/></numFmts>
<cellStyleXfs count="1"><xf numFmtId="14"/></cellStyleXfs>
<cellXfs count="3"><xf numFmtId="0"><alignment/></xf><xf numFmtId="164"/><xf numFmtId="165"/></cellXfs>"""
"""Style 1 is a date, 0 and 2 are none."""


def xlsx(
    rows: Sequence[Sequence[str]],
    *,
    inline: bool = False,
    replace: Mapping[str, str | bytes] | None = None,
    **options: Any,
) -> bytes:
    """The same rows on each sheet. Texts are shared, or inline; `replace` puts other content into a part, or leaves it away."""
    shared: dict[str, int] = {}
    data = "".join(_row(number, row, None if inline else shared) for number, row in enumerate(rows, 1))
    sheets: dict[str, str] = options.get("sheets", {"Rates": "visible"})
    numbered = list(enumerate(sheets.items(), 1))
    head, main = '<?xml version="1.0" encoding="UTF-8"?>', f'xmlns="{MAIN}" xmlns:r="{OFFICE}"'
    named = "".join(f'<sheet name={quoteattr(name)} state="{state}" r:id="rId{n}"/>' for n, (name, state) in numbered)
    targets = "".join(f'<Relationship Id="rId{n}" Target="worksheets/sheet{n}.xml"/>' for n, _ in numbered)
    texts = "".join(f"<si><t>{escape(text)}</t></si>" for text in shared)
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": "<Types/>",
        "xl/workbook.xml": f"{head}<workbook {main}>{options.get('properties', '')}<sheets>{named}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"{head}<Relationships>{targets}</Relationships>",
        "xl/styles.xml": f"{head}<styleSheet {main}>{STYLES}</styleSheet>",
        "xl/sharedStrings.xml": f"{head}<sst {main}>{texts}</sst>",
        **{
            f"xl/worksheets/sheet{n}.xml": f"{head}<worksheet {main}><sheetData>{data}</sheetData></worksheet>"
            for n, _ in numbered
        },
        **(replace or {}),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            if content:
                archive.writestr(name, content)
    return out.getvalue()


def _row(number: int, row: Sequence[str], shared: dict[str, int] | None) -> str:
    cells = "".join(_cell(f"{chr(65 + at)}{number}", text, shared) for at, text in enumerate(row) if text)
    return f'<row r="{number}">{cells}</row>'


def _cell(place: str, text: str, shared: dict[str, int] | None) -> str:
    if isinstance(text, Number | Date):
        return f'<c r="{place}" s="{int(isinstance(text, Date))}"><v>{text}</v></c>'
    if shared is None:
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'
    return f'<c r="{place}" t="s"><v>{shared.setdefault(text, len(shared))}</v></c>'
