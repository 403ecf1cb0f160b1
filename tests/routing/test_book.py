"""The book: which rate of each vendor wins, held against an oracle that looks at every rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing.book import Found, open_book
from agi_lookup.routing.book_file import compile_book
from agi_lookup.routing.column_file import DeckError
from agi_lookup.routing.rates import ALWAYS, FOR_EVER, Destination, Kind, Rate
from agi_lookup.routing.tables import billing_of
from tests.routing.decks import book, deck, tariff

NOW = 1000.0
LONDON = Destination("442079460000")
PORTED = Destination("447400123456", "23415", frozenset({"vodafone-uk"}))

Decks = Mapping[str, Sequence[Rate]]


def applies(rate: Rate, destination: Destination, now: float) -> bool:
    key = rate.key
    return (
        rate.start <= now < rate.end
        and {
            Kind.PREFIX: destination.digits.startswith(key),
            Kind.GROUP: key in destination.groups,
            Kind.MCCMNC: key == destination.mccmnc,
            Kind.OCN: key == destination.ocn,
            Kind.LRN: (destination.lrn or "").startswith(key),
        }[rate.kind]
    )


def expected(vendor: str, rate: Rate) -> Found:
    billing = billing_of(rate.tariff) if rate.tariff else None
    return Found(vendor, rate.tariff.rate if rate.tariff else 0, billing, rate.kind, rate.key)


def brute_force(decks: Decks, destination: Destination, now: float) -> set[Found]:
    """The order of specificity as `Book.find` states it. Of two of the same line the one that came first."""
    winners = set()
    for vendor, rates in decks.items():
        fitting = [rate for rate in rates if applies(rate, destination, now)]
        if fitting:
            won = min(fitting, key=lambda rate: (-rate.kind, -len(rate.key), rate.key, -rate.start, -rate.line))
            winners.add(expected(vendor, won))
    return winners


DIGITS = st.text("01", min_size=1, max_size=5)
LONG_DIGITS = st.builds(str.__add__, DIGITS, st.sampled_from(["", "0", "1" * 9, "0" * 10, "01" * 5]))
TEXTS = {
    Kind.GROUP: st.sampled_from(["a", "b", "ab", "é"]),
    Kind.MCCMNC: st.sampled_from(["23415", "234150", "00101"]),
    Kind.OCN: st.sampled_from(["7421", "74A1"]),
}
TIMES = st.sampled_from([0.0, 1.0, 2.0, 3.0])
PERIODS = st.tuples(TIMES | st.just(ALWAYS), TIMES | st.just(FOR_EVER)).filter(lambda period: period[0] < period[1])
TARIFFS = st.none() | st.builds(tariff, st.integers(0, 3), st.sampled_from(["USD", "EUR"]))


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    kind = draw(st.sampled_from(Kind))
    key = draw(TEXTS.get(kind, LONG_DIGITS))
    return Rate(kind, key, draw(TARIFFS), *draw(PERIODS), draw(st.integers(0, 3)))


DECKS = st.dictionaries(st.sampled_from(["acme", "bolt", "cord"]), st.lists(rates(), max_size=12))
DESTINATIONS = st.builds(
    Destination,
    LONG_DIGITS,
    st.none() | TEXTS[Kind.MCCMNC],
    st.frozensets(TEXTS[Kind.GROUP], max_size=3),
    st.none() | TEXTS[Kind.OCN],
    st.none() | LONG_DIGITS,
)


@settings(max_examples=200, deadline=None)
@given(DECKS, st.lists(DESTINATIONS, min_size=1, max_size=8), TIMES)
def test_the_rate_that_wins_is_the_one_that_brute_force_finds(
    tmp_path_factory: pytest.TempPathFactory, decks: Decks, destinations: list[Destination], now: float
) -> None:
    opened = book(tmp_path_factory.getbasetemp(), decks)
    for destination in destinations:
        found = opened.find(destination, now)
        assert len(found) == len({one.vendor for one in found})
        assert set(found) == brute_force(decks, destination, now)


@settings(max_examples=200, deadline=None)
@given(DECKS, DESTINATIONS)
def test_a_merge_in_chunks_is_the_merge_in_one(
    tmp_path_factory: pytest.TempPathFactory, decks: Decks, destination: Destination
) -> None:
    opened = book(tmp_path_factory.getbasetemp(), decks, chunk_rates=1)
    assert set(opened.find(destination, 1.0)) == brute_force(decks, destination, 1.0)


def won(
    decks: Decks, destination: Destination, folder: Path, now: float = NOW
) -> dict[str, tuple[Kind, str, int | None]]:
    """By vendor: the kind, the key, and the rate in cents."""
    found = book(folder, decks).find(destination, now)
    return {one.vendor: (one.kind, one.key, one.tariff and one.tariff.rate // 10**7) for one in found}


def test_who_serves_a_number_now_wins_over_who_issued_it(tmp_path: Path) -> None:
    deck_rates = [
        Rate(Kind.PREFIX, "447400123456", tariff(1)),
        Rate(Kind.GROUP, "vodafone-uk", tariff(2)),
        Rate(Kind.MCCMNC, "23415", tariff(3)),
    ]
    decks = {"all": deck_rates, "group": deck_rates[:2], "prefix": deck_rates[:1]}
    assert won(decks, PORTED, tmp_path) == {
        "all": (Kind.MCCMNC, "23415", 3),
        "group": (Kind.GROUP, "vodafone-uk", 2),
        "prefix": (Kind.PREFIX, "447400123456", 1),
    }


def test_a_location_routing_number_wins_over_all_by_its_own_longest_prefix(tmp_path: Path) -> None:
    decks = {
        "acme": [
            Rate(Kind.PREFIX, "12125550100", tariff(1)),
            Rate(Kind.OCN, "7421", tariff(2)),
            Rate(Kind.LRN, "1", tariff(3)),
            Rate(Kind.LRN, "1646", tariff(4)),
            Rate(Kind.LRN, "1212", tariff(5)),
        ]
    }
    to = Destination("12125550100", ocn="7421", lrn="16465550000")
    assert won(decks, to, tmp_path) == {"acme": (Kind.LRN, "1646", 4)}
    assert won(decks, to._replace(lrn="19175550000"), tmp_path) == {"acme": (Kind.LRN, "1", 3)}
    assert won(decks, to._replace(lrn=None), tmp_path) == {"acme": (Kind.OCN, "7421", 2)}


def test_a_destination_that_a_vendor_blocks_is_found_without_a_tariff(tmp_path: Path) -> None:
    decks = {"acme": [Rate(Kind.PREFIX, "44", tariff(1)), Rate(Kind.PREFIX, "4420", None)]}
    assert won(decks, LONDON, tmp_path) == {"acme": (Kind.PREFIX, "4420", None)}


def test_the_rate_in_force_when_the_call_starts_counts(tmp_path: Path) -> None:
    opened = book(
        tmp_path,
        {
            "acme": [
                Rate(Kind.PREFIX, "44", tariff(1)),
                Rate(Kind.PREFIX, "44", tariff(2), start=100),
                Rate(Kind.PREFIX, "44", tariff(3), start=200, end=300),
                Rate(Kind.PREFIX, "4420", tariff(4), start=250, end=260),
            ]
        },
    )
    timeline = {99.9: 1, 100: 2, 199.9: 2, 200: 3, 250: 4, 259.9: 4, 260: 3, 299.9: 3, 300: 2}
    for now, cents in timeline.items():
        assert [one.tariff for one in opened.find(LONDON, now)] == [tariff(cents)]


def test_a_vendor_with_no_rate_in_force_is_not_found(tmp_path: Path) -> None:
    decks = {
        "future": [Rate(Kind.PREFIX, "44", tariff(1), start=NOW + 1)],
        "other": [Rate(Kind.PREFIX, "45", tariff(1))],
    }
    assert won(decks, LONDON, tmp_path) == {}
    assert won({}, LONDON, tmp_path) == {}


@pytest.mark.parametrize("digits", ["", "٤٤٢", "²", "44a", "+44", "4_4", " 44", "-1", "44\n"])
def test_what_is_no_number_has_no_rate_and_does_no_harm(tmp_path: Path, digits: str) -> None:
    decks = {"acme": [Rate(Kind.PREFIX, "4", tariff(1)), Rate(Kind.LRN, "4", tariff(1))]}
    assert won(decks, Destination(digits, lrn=digits), tmp_path) == {}


def test_more_digits_than_a_number_can_have_match_by_their_head(tmp_path: Path) -> None:
    decks = {"acme": [Rate(Kind.PREFIX, "4" * 15, tariff(1))]}
    assert won(decks, Destination("4" * 1000), tmp_path) == {"acme": (Kind.PREFIX, "4" * 15, 1)}


def test_a_vendor_has_one_deck_in_a_book(tmp_path: Path) -> None:
    one = deck(tmp_path, "acme", [Rate(Kind.PREFIX, "44", tariff(1))])
    with pytest.raises(DeckError, match="vendor acme: give one deck"):
        compile_book(tmp_path / "book", [one, one])


def test_a_book_says_what_it_was_made_of(tmp_path: Path) -> None:
    opened = book(
        tmp_path,
        {
            "acme": [Rate(Kind.PREFIX, "44", tariff(1)), Rate(Kind.MCCMNC, "23415", tariff(1))],
            "bolt": [Rate(Kind.PREFIX, "44", tariff(1))],
        },
    )
    assert [(info.vendor, info.version, info.rows) for info in opened.info.decks] == [
        ("acme", "1", 2),
        ("bolt", "1", 1),
    ]
    assert (opened.info.rates, opened.info.keys) == (3, 2)


def test_a_book_that_is_open_stays_as_it_was_when_another_takes_its_place(tmp_path: Path) -> None:
    old = book(tmp_path, {"acme": [Rate(Kind.PREFIX, "44", tariff(1))]})
    new = book(tmp_path, {"acme": [Rate(Kind.PREFIX, "44", tariff(2))]})
    assert [one.tariff for one in old.find(LONDON, NOW)] == [tariff(1)]
    assert [one.tariff for one in new.find(LONDON, NOW)] == [tariff(2)]


def refusal(path: Path) -> str:
    """Why a book is not used; empty where it is."""
    try:
        open_book(path).verify()
    except DeckError as error:
        return str(error)
    return ""


def test_damage_is_found_before_a_book_is_used(tmp_path: Path) -> None:
    opened = book(tmp_path, {"acme": [Rate(Kind.PREFIX, "44", tariff(1)), Rate(Kind.GROUP, "a", tariff(1))]})
    opened.verify()
    expected = opened.find(LONDON, NOW)
    whole = (tmp_path / "book").read_bytes()
    path = tmp_path / "damaged"
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        said = refusal(path)
        assert said.startswith(f"{path}: ") or open_book(path).find(LONDON, NOW) == expected
        assert "\n" not in said
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DeckError):
            open_book(path)


def test_a_deck_is_no_book(tmp_path: Path) -> None:
    deck(tmp_path, "acme", [Rate(Kind.PREFIX, "44", tariff(1))])
    with pytest.raises(DeckError, match="it is a deck, not a book"):
        open_book(tmp_path / "acme.deck")


def test_no_flipped_bit_makes_a_search_endless(tmp_path: Path) -> None:
    """C10: a book is mapped before it is read whole."""
    rates = [Rate(Kind.PREFIX, key, tariff(1)) for key in ("4", "44", "442", "447", "44740")]
    future = [Rate(Kind.PREFIX, "4", tariff(1), start=NOW + 1)]  # so that the search goes on to the shortest prefix
    book(tmp_path, {"acme": rates, "bell": future})
    path = tmp_path / "book"
    whole = path.read_bytes()
    opened = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            damaged = open_book(path)
            opened += 1
            damaged.find(PORTED, NOW)
        except (DeckError, IndexError):
            continue
    assert opened, "nothing was searched"
