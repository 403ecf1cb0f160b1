"""Network codes: text with zeros, never guessed, one's own files win."""

from __future__ import annotations

from pathlib import Path

import pytest

from agi_lookup import mccmnc
from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import Identity
from agi_lookup.mccmnc import ImportCounts, MccMncTable, Network, import_csv, load

HEADER = "mcc,mnc,country,brand,operator,status\n"


@pytest.fixture(scope="module")
def shipped() -> MccMncTable:
    return load()


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_table_knows_networks_of_the_world(shipped: MccMncTable) -> None:
    assert len(shipped) > 1500
    assert shipped.name("208", "01") == "Orange"
    assert shipped.name("310", "410") == "AT&T"
    assert shipped.name("901", "05") == "Thuraya RMSS Network"
    assert shipped.country("208") == shipped.country("208", "01") == "FR"
    assert shipped.country("234", "15") == "GB"


def test_a_code_of_several_countries_has_none(shipped: MccMncTable) -> None:
    assert shipped.country("310", "260") is None  # the US, Puerto Rico and the Virgin Islands
    assert shipped.country("340") is None
    assert shipped.country("901") is None
    assert shipped.country("000") is None


def test_zeros_count(shipped: MccMncTable) -> None:
    assert shipped.name("208", "1") is None
    assert shipped.name("208", "001") is None
    assert shipped.name("310", "26") is None


def test_every_shipped_network_is_split_as_it_was_joined(shipped: MccMncTable) -> None:
    with (Path(mccmnc.__file__).parent / "data" / mccmnc.SHIPPED).open(encoding="utf-8") as file:
        codes = [line.split(",")[:2] for line in file][1:]
    assert [shipped.split(mcc + mnc) for mcc, mnc in codes] == [(mcc, mnc) for mcc, mnc in codes]


@pytest.mark.parametrize(
    ("joined", "parts"),
    [
        ("310260", ("310", "260")),
        ("20801", ("208", "01")),
        ("20898", ("208", "98")),  # unknown network; all French MNCs have two digits
        ("302999", ("302", "999")),  # unknown network; all Canadian MNCs have three digits
        ("208001", None),  # somebody padded a zero
        ("30222", None),  # somebody lost a zero
        ("310999", None),  # unknown network of an MCC with both lengths
        ("31099", None),
        ("99999", None),
        ("208", None),
        ("2080", None),
        ("2080123", None),
        ("", None),
        ("20801\n", None),
        ("٢٠٨٠١", None),
    ],
)
def test_a_joined_code_is_split_by_table_or_not_at_all(
    shipped: MccMncTable, joined: str, parts: tuple[str, str] | None
) -> None:
    assert shipped.split(joined) == parts


def test_the_providers_own_name_wins() -> None:
    table = MccMncTable({"20801": Network("Orange", "FR"), "20810": Network("SFR", "FR")})
    stated = Identity(carrier="Orange Wholesale", mcc="208", mnc="01", orig_mcc="208", orig_mnc="10")
    assert table.complete(stated) == Identity(
        carrier="Orange Wholesale", mcc="208", mnc="01", orig_mcc="208", orig_mnc="10", orig_carrier="SFR"
    )
    assert table.complete(Identity(mcc="208", mnc="01")).carrier == "Orange"
    assert table.complete(Identity(mcc="208", mnc="99")).carrier is None
    assert table.complete(Identity(mcc="208")).carrier is None


def test_ones_own_files_win_and_the_last_by_name_wins(tmp_path: Path) -> None:
    write(tmp_path, "10-mine.csv", HEADER + "208,01,FR,Mine,,\n999,99,,Private,,\n")
    for number in range(90, 20, -1):  # whatever the order on disk
        write(tmp_path, f"{number}.csv", f"mnc,mcc,operator\n01,208,{number}\n")
    write(tmp_path, "notes.txt", "not read")
    table = load(tmp_path)
    assert (table.name("208", "01"), table.name("999", "99")) == ("90", "Private")
    assert table.name("208", "10") == "SFR"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (HEADER + "208,1,FR,Mine,,\n", r"mine\.csv:2: mnc must be two or three digits"),
        (HEADER + "208,01,FR,Mine,,\n57,01,FR,Mine,,\n", r"mine\.csv:3: mcc must be three digits"),
        (HEADER + "208,01,France,Mine,,\n", r":2: country must be"),
        (HEADER + "208,01,FR,,,\n", r":2: needs a brand or an operator"),
        (HEADER + "208,01,FR,Mine\n", r":2: another number of fields"),
        (HEADER + "208,01,FR,Mine,,,,\n", r":2: another number of fields"),
        (HEADER + "208,01,FR,Mine,,\n208,01,FR,Other,,\n", r":3: 208-01 is there twice"),
        (HEADER + '208,01,FR,"a\nb",,\n', r":3: brand must be one line"),
        (HEADER + '208,01,FR,"Mine,,\n', r"no CSV"),
        (HEADER + "208,01,FR," + "x" * 129 + ",,\n", r":2: brand must be"),
        (HEADER + "٢٠٨,01,FR,Mine,,\n", r":2: mcc must be"),
        ("mcc,brand\n208,Mine\n", r":1: no column mnc"),
        ("mcc,mnc,brand,colour\n", r":1: unknown column colour"),
        ("", r":1: no column mcc, mnc"),
    ],
    ids=str,
)
def test_a_bad_line_is_named_with_file_and_line(tmp_path: Path, text: str, error: str) -> None:
    write(tmp_path, "mine.csv", text)
    with pytest.raises(ConfigError, match=error):
        load(tmp_path)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        load(tmp_path / "missing")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.csv: cannot be read"):
        load(tmp_path)
    (tmp_path / "folder.csv").rmdir()
    write(tmp_path, "huge.csv", "#" * (mccmnc.MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match=r"huge\.csv: larger than"):
        load(tmp_path)
    (tmp_path / "huge.csv").unlink()
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"208,01,FR,T\xe9l\xe9,,\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path)


def test_an_import_replaces_the_file_at_once_and_counts_what_changed(tmp_path: Path) -> None:
    source = write(tmp_path, "new.txt", HEADER + "208,01,FR,Orange,,\n208,10,FR,SFR,,\n")
    target = tmp_path / "mine.csv"
    assert import_csv(source, target) == ImportCounts(rows=2, added=2, changed=0, removed=0)
    write(tmp_path, "new.txt", HEADER + "208,01,FR,Orange France,,\n208,15,FR,Free,,\n")
    assert import_csv(source, target) == ImportCounts(rows=2, added=1, changed=1, removed=1)
    assert load(tmp_path).name("208", "15") == "Free"


def test_a_bad_import_changes_nothing(tmp_path: Path) -> None:
    target = write(tmp_path, "mine.csv", HEADER + "208,01,FR,Orange,,\n")
    source = write(tmp_path, "new.txt", HEADER + "208,10,FR,SFR,,\n208,1,FR,Bad,,\n")
    before = target.read_bytes()
    with pytest.raises(ConfigError, match=r"new\.txt:3"):
        import_csv(source, target)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.csv", "new.txt"]


def test_an_import_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    source = write(tmp_path, "new.txt", HEADER + "208,10,FR,SFR,,\n")
    with pytest.raises(ConfigError, match="cannot be written"):
        import_csv(source, tmp_path / "missing" / "mine.csv")
