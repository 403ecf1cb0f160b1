"""The store of decks: what is live changes whole or not at all, whatever dies or competes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agi_lookup.cache.sqlite.lock import WriterLock
from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.routing import deck_file
from agi_lookup.routing.book import open_book
from agi_lookup.routing.columns import Format
from agi_lookup.routing.rates import Destination, Kind, Rate
from agi_lookup.routing.store import KEPT, KEPT_BEFORE, LIVE_FILE, NothingBefore, Store, version_id
from tests.routing.decks import tariff

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "decks")


def add(store: Store, vendor: str, cents: int, now: float = NOW, keys: Sequence[str] = ("44",)) -> str:
    """A deck at one price."""
    id_ = version_id(now, f"{cents:08x}")
    with store.staging(now) as folder:
        rates = (Rate(Kind.PREFIX, key, tariff(cents), line=2) for key in keys)
        deck_file.write(folder / "deck", vendor, id_, rates, source=f"{cents:08x}")
        store.add(folder / "deck", vendor, id_)
    return id_


def price(store: Store, vendor: str = "acme") -> int | None:
    """In cents, of the live book."""
    book = store.live_book()
    assert book is not None
    matches = {m.vendor: m.tariff for m in open_book(book).find(Destination("447400123456"), NOW)}
    found = matches.get(vendor)
    return found.rate // 10**7 if found else None


def test_an_import_changes_nothing_that_is_live(store: Store) -> None:
    assert store.live_book() is None
    first = add(store, "acme", 1)
    store.activate("acme", None, NOW)
    add(store, "acme", 2, NOW + 1)

    assert (price(store), store.live()) == (1, {"acme": [first]})
    assert len(store.ids("acme")) == 2


def test_the_newest_goes_live_unless_another_is_named(store: Store) -> None:
    ids = [add(store, "acme", cents, NOW + cents) for cents in (1, 2, 3)]

    assert store.activate("acme", None, NOW).version == ids[2]
    assert price(store) == 3
    done = store.activate("acme", ids[0], NOW)
    assert (done.before, price(store)) == (ids[2], 1)


def test_each_vendor_keeps_its_live_deck_when_another_changes(store: Store) -> None:
    add(store, "acme", 1)
    add(store, "zeta", 5)
    store.activate("acme", None, NOW)
    done = store.activate("zeta", None, NOW)

    assert (price(store, "acme"), price(store, "zeta")) == (1, 5)
    assert [deck.vendor for deck in done.book.decks] == ["acme", "zeta"]


def test_a_rollback_goes_back_step_by_step(store: Store) -> None:
    ids = [add(store, "acme", cents, NOW + cents) for cents in (1, 2, 3)]
    for id_ in ids:
        store.activate("acme", id_, NOW)

    assert [store.rollback("acme", NOW).version, price(store)] == [ids[1], 2]
    assert [store.rollback("acme", NOW).version, price(store)] == [ids[0], 1]
    with pytest.raises(NothingBefore):
        store.rollback("acme", NOW)
    assert price(store) == 1


def test_a_vendor_that_was_never_live_has_nothing_to_go_back_to(store: Store) -> None:
    add(store, "acme", 1)
    for vendor in ("acme", "nobody"):
        with pytest.raises(NothingBefore, match=vendor):
            store.rollback(vendor, NOW)


def test_old_versions_leave_but_never_what_is_live_or_may_be_gone_back_to(store: Store) -> None:
    early = [add(store, "acme", cents, NOW + cents) for cents in (1, 2)]
    for id_ in early:
        store.activate("acme", id_, NOW)
    later = [add(store, "acme", cents, NOW + cents) for cents in range(3, KEPT + 6)]

    assert store.ids("acme") == [*later[::-1][:KEPT], *early[::-1]]
    store.rollback("acme", NOW)
    assert price(store) == 1


def test_no_more_is_remembered_than_can_be_gone_back_to(store: Store) -> None:
    for cents in range(1, KEPT_BEFORE + 4):
        add(store, "acme", cents, NOW + cents)
        store.activate("acme", None, NOW)

    assert len(store.live()["acme"]) == KEPT_BEFORE + 1


def test_the_book_before_stays_for_who_is_about_to_open_it_and_older_ones_leave(store: Store, tmp_path: Path) -> None:
    books = []
    for cents in (1, 2, 3):
        add(store, "acme", cents, NOW + cents)
        store.activate("acme", None, NOW)
        books.append(store.live_book())

    assert sorted((tmp_path / "decks").glob("*.book")) == sorted(path for path in books[1:] if path)


def test_two_activations_in_one_second_are_two_books(store: Store) -> None:
    """A server that has the first one mapped must not see it change."""
    add(store, "acme", 1)
    store.activate("acme", None, NOW)
    first = store.live_book()
    store.activate("acme", None, NOW)

    assert store.live_book() != first


def test_what_was_mapped_stays_readable_while_others_are_made_live(store: Store) -> None:
    add(store, "acme", 1)
    store.activate("acme", None, NOW)
    path = store.live_book()
    assert path is not None
    book = open_book(path)
    for cents in (2, 3, 4):
        add(store, "acme", cents, NOW + cents)
        store.activate("acme", None, NOW)

    (found,) = book.find(Destination("447400123456"), NOW)
    assert found.tariff == tariff(1)


def test_a_damaged_deck_of_another_vendor_leaves_the_live_book(store: Store, tmp_path: Path) -> None:
    add(store, "acme", 1)
    bad = add(store, "zeta", 1)
    store.activate("acme", None, NOW)
    path = tmp_path / "decks" / "zeta" / f"{bad}.deck"
    path.write_bytes(path.read_bytes()[:-3])
    before = store.live_book()

    with pytest.raises(ConfigError, match="damaged"):
        store.activate("zeta", None, NOW)

    assert (store.live_book(), price(store)) == (before, 1)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"book": "../x.book", "vendors": {}}', b'{"book": "a.book", "vendors": {"../x": ["1"]}}'],
)
def test_a_damaged_index_is_said_and_never_followed(store: Store, tmp_path: Path, content: bytes) -> None:
    add(store, "acme", 1)
    (tmp_path / "decks" / LIVE_FILE).write_bytes(content)

    with pytest.raises(OutsideError, match=r"live\.json: damaged"):
        store.live_book()


@pytest.mark.parametrize("vendor", ["", "..", "a/b", "/etc", "a" * 33, "acme\n", "ä", ".staging-x", "a b"])
def test_a_vendors_name_is_no_path(store: Store, vendor: str) -> None:
    with pytest.raises(ConfigError, match="a name has 1 to 32"):
        store.newest(vendor)
    with pytest.raises(ConfigError, match="a name has 1 to 32"):
        store.save_format(vendor, Format())


@pytest.mark.parametrize("version", ["..", "../acme/x", "20270115T080000.000Z-00000002", "x", ""])
def test_a_version_is_one_that_is_there(store: Store, version: str) -> None:
    add(store, "acme", 1)
    with pytest.raises(ConfigError, match=r"no version|no deck"):
        store.activate("acme", version or "nothing", NOW)
    assert store.live_book() is None


def test_a_second_command_is_kept_out_and_told_so(store: Store, tmp_path: Path) -> None:
    id_ = add(store, "acme", 1)
    lock = WriterLock(tmp_path / "decks" / LIVE_FILE, for_life=False)
    lock.acquire()
    try:
        for change in (
            lambda: store.activate("acme", id_, NOW),
            lambda: store.rollback("acme", NOW),
            lambda: add(store, "acme", 2),
        ):
            with pytest.raises(OutsideError, match=f"pid {os.getpid()}"):
                change()
    finally:
        lock.release()
    assert store.activate("acme", None, NOW).version == id_


def test_how_a_vendor_writes_decks_is_remembered(store: Store, tmp_path: Path) -> None:
    form = Format(columns={"rate": "Prix: €"}, fixed={"currency": "EUR"}, delimiter="\t", date_format="%d.%m.%Y")

    assert store.read_format("acme") == {}
    store.save_format("acme", form)

    assert Format(**store.read_format("acme")) == form
    (tmp_path / "decks" / "acme" / "format.yaml").write_text("zone: Mars\n")
    with pytest.raises(ConfigError, match=r"format\.yaml: zone"):
        store.read_format("acme")


def test_nobody_else_reads_what_vendors_charge(store: Store, tmp_path: Path) -> None:
    add(store, "acme", 1)
    store.save_format("acme", Format())
    store.activate("acme", None, NOW)

    for path in (tmp_path / "decks", *(tmp_path / "decks").rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_what_a_crash_has_left_is_swept_up(store: Store, tmp_path: Path) -> None:
    left = tmp_path / "decks" / ".staging-dead"
    left.mkdir(parents=True)
    os.utime(left, (NOW - 2 * 86_400, NOW - 2 * 86_400))
    (tmp_path / "decks" / "20270101T000000Z-deadbeef.book.new").write_bytes(b"half")
    add(store, "acme", 1)
    store.activate("acme", None, NOW)

    assert not left.exists()
    assert not list((tmp_path / "decks").glob("*.new"))


def test_a_kill_at_any_step_leaves_a_book_that_is_whole(store: Store, tmp_path: Path) -> None:
    """The one from before up to the last rename, the new one after it; and what was left stops nobody."""
    old, new = (add(store, "acme", cents, NOW + cents) for cents in (1, 2))
    store.activate("acme", old, NOW)

    done = subprocess.run(
        [sys.executable, "-m", "tests.routing.killed", str(tmp_path / "decks"), "acme", new],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip

    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(steps) > 10
    assert [step["killed"] for step in steps] == [True] * (len(steps) - 1) + [False]
    prices = [step["live"] for step in steps]
    assert prices == sorted(prices)
    assert set(prices) == {1, 2}
    assert prices[:6] == [1] * 6
    store.rollback("acme", NOW)
    assert price(store) == 1


def test_the_index_is_what_it_says_in_json(store: Store, tmp_path: Path) -> None:
    id_ = add(store, "acme", 1)
    store.activate("acme", None, NOW)
    book = store.live_book()
    assert book is not None

    assert json.loads((tmp_path / "decks" / LIVE_FILE).read_text()) == {"book": book.name, "vendors": {"acme": [id_]}}


def test_an_index_of_a_newer_version_is_refused_and_stays_as_it_is(store: Store, tmp_path: Path) -> None:
    """C11: after a downgrade, what this version does not know would be lost by the next activation."""
    add(store, "acme", 1)
    store.activate("acme", None, NOW)
    index = tmp_path / "decks" / LIVE_FILE
    index.write_text(json.dumps({**json.loads(index.read_text()), "format": 2, "regions": ["eu"]}))
    before = index.read_bytes()

    for change in (store.live_book, lambda: store.activate("acme", None, NOW), lambda: store.rollback("acme", NOW)):
        with pytest.raises(OutsideError, match="a newer version"):
            change()
    assert index.read_bytes() == before
