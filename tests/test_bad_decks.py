"""A hundred kinds of bad decks: each says line and cause, and none changes what is live."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agi_lookup.cli import main
from tests.processes import Site, make_site
from tests.test_rates_command import price, write

DECKS = Path(__file__).parent / "corpora" / "decks"
GOOD = (DECKS / "good.csv").read_text()
CHANGED_LINE = 3


def with_cell(column: str, value: str) -> str:
    lines = list(csv.reader(io.StringIO(GOOD)))
    lines[CHANGED_LINE - 1][lines[0].index(column)] = value.replace("\\0", "\0").replace("\\n", "\n")
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def bad_cells() -> Iterator[tuple[str, str, str]]:
    with (DECKS / "bad_cells.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            line = CHANGED_LINE + row["value"].count("\\n")
            yield with_cell(row["column"], row["value"]), f":{line}: ", row["cause"]


BAD_FILES: list[tuple[str | bytes, str, str]] = [
    ("", ": ", "empty"),
    ("\n\n\n", ": ", "empty"),
    (GOOD.splitlines()[0], ":1: ", "no rate follows"),
    (GOOD.partition("\n")[2], "line 1: ", "which column"),
    (GOOD.replace("Code", "Kode"), "line 1: ", "which column"),
    (GOOD.replace("Rate", "Currency", 1), "line 1: ", "stands twice"),
    (GOOD.replace("Destination", "Price"), "line 1: ", "rate may be"),
    (GOOD.replace("Destination", "Code"), "line 1: ", "stands twice"),
    (GOOD.replace("Increments", "Initial Increment"), "line 1: ", "both first and next"),
    (GOOD.replace("Currency", "Money"), ": ", "currency"),
    (GOOD.replace("447,UK - Mobile,", "447,", 1), ":3: ", "8 cells, where the header has 9"),
    (GOOD.replace("447,UK - Mobile,", "447,UK, Mobile,", 1), ":3: ", "10 cells"),
    (GOOD.replace("447,UK - Mobile", '447,"UK - Mobile'), ":5: ", "no CSV"),
    (GOOD.replace("447,UK - Mobile", '447,"UK" - Mobile'), ":3: ", "no CSV"),
    (GOOD[: GOOD.index("0.0110") + 3], ":4: ", "3 cells"),
    (GOOD + "Total: 4 destinations\n", ":6: ", "1 cells"),
    (GOOD + GOOD, ":6: ", "--date-format"),
    (GOOD.encode("utf-16-le"), ": ", "utf-16-le"),
    (GOOD.encode("utf-16")[:-1], "after line", "not utf-16"),
    (b"\0" * 4096, ": ", "UTF-16"),
    (b"\xd0\xcf\x11\xe0" + bytes(512), ": ", "save it as XLSX"),
    (b"PK\x03\x04" + bytes(512), ": ", "damaged"),
    (b"\x1f\x8b\x08" + bytes(512), ": ", "unpack"),
    (b"%PDF-1.7\n", ": ", "PDF"),
    (b"<html><body>Login</body></html>", "line 1: ", "which column"),
]  # fmt: skip
MUTATIONS: list[tuple[str | bytes, str, str]] = [*bad_cells(), *BAD_FILES]


def everything(site: Site) -> dict[str, bytes]:
    folder = Path(site.data["state_dir"]) / "decks"
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = make_site(tmp_path_factory.mktemp("live"))
    site.write()
    site.cli("rates", "import", write(site), "--vendor", "acme")
    site.cli("rates", "activate", "acme")
    return site


def test_there_are_a_hundred_kinds_of_bad_decks() -> None:
    assert len(MUTATIONS) >= 100
    assert len({content for content, _, _ in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize(
    ("content", "place", "cause"), MUTATIONS, ids=[f"{n}-{cause}" for n, (_, _, cause) in enumerate(MUTATIONS)]
)
def test_a_bad_deck_says_line_and_cause_and_changes_nothing(
    live: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | bytes,
    place: str,
    cause: str,
) -> None:
    before = everything(live)
    file = write(live, content, "bad.csv")
    monkeypatch.setattr(
        sys, "argv", ["agi-lookup", "--config", str(live.config), "rates", "import", file, "--vendor", "acme"]
    )

    with pytest.raises(SystemExit) as ended:
        main.main()

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert cause in said
    assert place in next(line for line in said.splitlines() if cause in line)
    assert said.startswith(file)
    assert everything(live) == before
    assert price(live) == 12_500_000
