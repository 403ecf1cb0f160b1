"""A deck on disk: all of it comes back in order, or it is refused with one line."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from math import nan
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing import deck_file
from agi_lookup.routing.column_file import DeckError
from agi_lookup.routing.deck_file import open_deck
from agi_lookup.routing.rates import ALWAYS, FOR_EVER, NANO, Kind, Rate, Tariff
from tests.routing.decks import deck, tariff

RATES = [
    Rate(Kind.PREFIX, "44", tariff(1), line=2),
    Rate(Kind.PREFIX, "447", Tariff("EUR", 12_345_678, 5 * NANO, 30, 6), 10.5, 20.25, 3),
    Rate(Kind.PREFIX, "4470", None, line=4),
    Rate(Kind.GROUP, "vodafone-uk", tariff(2), line=5),
    Rate(Kind.MCCMNC, "23415", tariff(3), line=6),
    Rate(Kind.OCN, "742A", tariff(4), line=7),
    Rate(Kind.LRN, "1212555", tariff(5), line=8),
]

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
DIGITS = st.text("0123456789", min_size=1, max_size=15)
TARIFFS = st.builds(
    Tariff,
    st.sampled_from(["USD", "EUR", "XOF"]),
    st.integers(0, 10**18),
    st.integers(0, 10**18),
    st.integers(1, 86_400),
    st.integers(1, 86_400),
)
TIMES = st.floats(allow_nan=False)
PERIODS = st.tuples(TIMES, TIMES).filter(lambda period: period[0] < period[1])


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    kind = draw(st.sampled_from(Kind))
    key = draw(DIGITS if kind in {Kind.PREFIX, Kind.LRN} else TEXT)
    return Rate(kind, key, draw(st.none() | TARIFFS), *draw(PERIODS), draw(st.integers(0, 2**32 - 1)))


@settings(max_examples=100, deadline=None)
@given(st.lists(rates(), max_size=30))
def test_rates_come_back_sorted_by_key_the_winner_first(
    tmp_path_factory: pytest.TempPathFactory, given_rates: list[Rate]
) -> None:
    opened = deck(tmp_path_factory.getbasetemp(), "acme", given_rates)
    assert list(opened.rates()) == sorted(given_rates, key=lambda rate: (rate.kind, rate.key, -rate.start, -rate.line))
    assert len(opened) == len(given_rates)


def test_a_deck_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "1.deck"
    info = deck_file.write(path, "acme", "20260131T000000Z-ab12", RATES, source="sha256:ab12")
    assert info == open_deck(path).info
    assert (info.vendor, info.version, info.source) == ("acme", "20260131T000000Z-ab12", "sha256:ab12")
    assert (info.rows, info.currencies) == (7, ("EUR", "USD"))


def test_zeros_at_either_end_of_a_prefix_stay(tmp_path: Path) -> None:
    keys = ["0", "00", "001", "1", "10", "100", "999999999999999", "000000000000000"]
    opened = deck(tmp_path, "acme", [Rate(Kind.PREFIX, key, tariff(1)) for key in keys])
    assert [rate.key for rate in opened.rates()] == sorted(keys)


@pytest.mark.parametrize("key", ["", "44a", "+44", " 44", "4_4", "٤٤", "²", "4" * 16, "44\n"])
@pytest.mark.parametrize("kind", [Kind.PREFIX, Kind.LRN])
def test_what_is_no_prefix_is_refused_by_its_line(tmp_path: Path, kind: Kind, key: str) -> None:
    with pytest.raises(DeckError, match=r"line 17: .* is no prefix"):
        deck(tmp_path, "acme", [Rate(kind, key, tariff(1), line=17)])


@pytest.mark.parametrize("period", [(2.0, 2.0), (3.0, 2.0), (nan, 2.0), (2.0, nan), (FOR_EVER, ALWAYS)])
def test_a_rate_that_is_never_in_force_is_refused(tmp_path: Path, period: tuple[float, float]) -> None:
    with pytest.raises(DeckError, match=r"line 17: .* ends before it starts"):
        deck(tmp_path, "acme", [Rate(Kind.PREFIX, "44", tariff(1), *period, 17)])


@pytest.mark.parametrize(
    "wrong",
    [
        Tariff("", 1),
        Tariff("USD", -1),
        Tariff("USD", 1, -1),
        Tariff("USD", 2**63),
        Tariff("USD", 1, 1, 0, 1),
        Tariff("USD", 1, 1, 1, 0),
        Tariff("USD", 1, 1, 1, 86_401),
    ],
)
def test_a_tariff_out_of_range_is_refused(tmp_path: Path, wrong: Tariff) -> None:
    with pytest.raises(DeckError, match="mend"):
        deck(tmp_path, "acme", [Rate(Kind.PREFIX, "44", wrong)])


def test_an_import_that_breaks_off_leaves_the_deck_that_was_there(tmp_path: Path) -> None:
    def broken() -> Iterator[Rate]:
        yield RATES[0]
        raise RuntimeError

    deck(tmp_path, "acme", RATES)
    with pytest.raises(RuntimeError):
        deck(tmp_path, "acme", broken())
    assert list(open_deck(tmp_path / "acme.deck").rates()) == RATES
    assert [path.name for path in tmp_path.iterdir()] == ["acme.deck"]


def test_a_deck_that_cannot_be_put_in_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "acme.deck").mkdir()
    with pytest.raises(OSError, match="directory"):
        deck(tmp_path, "acme", RATES)
    assert [path.name for path in tmp_path.iterdir()] == ["acme.deck"]


def test_only_its_owner_may_read_a_deck(tmp_path: Path) -> None:
    deck(tmp_path, "acme", RATES)
    assert (tmp_path / "acme.deck").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    deck(tmp_path, "acme", RATES)
    return (tmp_path / "acme.deck").read_bytes()


def refusal(path: Path, content: bytes) -> str:
    """Why a deck with this content is not opened; empty where it is, and then it must hold what it held."""
    path.write_bytes(content)
    try:
        opened = open_deck(path)
    except DeckError as error:
        return str(error)
    assert list(opened.rates()) == RATES
    return ""


def test_a_deck_cut_anywhere_is_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "cut.deck"
    for size in range(len(whole)):
        said = refusal(path, whole[:size])
        assert said.startswith(f"{path}: ")
        assert "\n" not in said
    assert refusal(path, whole + b"\0")
    assert not refusal(path, whole)


def test_a_bit_changed_anywhere_is_found(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "changed.deck"
    accepted = 0
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        accepted += not refusal(path, bytes(changed))
    assert accepted < 7 * 11  # the gaps in front of columns, of which each is shorter than eight bytes


FOREIGN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "newer format": (lambda whole: whole[:8] + struct.pack("<I", 2) + whole[12:], "it has format 2, and this version"),
    "another program's": (lambda whole: b"SQLite format 3\0" + whole[16:], "it is no file of rates"),
    "empty": (lambda _: b"", "cannot be mapped"),
}


@pytest.mark.parametrize(("change", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_kind_is_called_so(
    tmp_path: Path, whole: bytes, change: Callable[[bytes], bytes], said: str
) -> None:
    assert said in refusal(tmp_path / "foreign.deck", change(whole))


def test_a_deck_that_is_not_there_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(DeckError, match="there is no such file"):
        open_deck(tmp_path / "none.deck")
