"""What waits to be written: bounded, newest word per facet, and no forgotten number comes back."""

from __future__ import annotations

from agi_lookup.cache.queue import WriteQueue
from agi_lookup.domain.model import Facet
from tests.cache.entries import NOW, NUMBER, identity, liveness, numbers


def test_a_later_word_takes_the_place_of_an_earlier_one() -> None:
    queue = WriteQueue(10)
    newer = identity(observed_at=NOW + 1)

    queue.put(identity())
    queue.put(newer)

    assert queue.oldest(10) == [((NUMBER, Facet.IDENTITY), newer)]


def test_the_oldest_goes_when_it_is_full() -> None:
    """C9."""
    queue = WriteQueue(2)

    dropped = [queue.put(identity(number)) for number in numbers(5)]

    assert dropped == [0, 0, 1, 1, 1]
    assert [number for (number, _), _ in queue.oldest(10)] == numbers(5)[3:]


def test_an_erasure_is_never_dropped() -> None:
    queue = WriteQueue(2)
    queue.erase(NUMBER, Facet.IDENTITY)
    queue.erase(NUMBER, Facet.LIVENESS)

    for number in numbers(5):
        queue.put(identity(number))

    assert queue.of(NUMBER) == {Facet.IDENTITY: None, Facet.LIVENESS: None}


def test_what_is_written_leaves_and_what_changed_meanwhile_stays() -> None:
    queue = WriteQueue(10)
    queue.put(identity())
    queue.put(liveness())
    batch = queue.oldest(10)
    newer = identity(observed_at=NOW + 1)
    queue.put(newer)

    queue.written(batch)

    assert queue.oldest(10) == [((NUMBER, Facet.IDENTITY), newer)]


def test_a_number_forgotten_while_it_is_written_is_erased_afterwards() -> None:
    queue = WriteQueue(10)
    queue.put(identity())
    batch = queue.oldest(10)
    queue.erase(NUMBER, Facet.IDENTITY)

    queue.written(batch)

    assert queue.oldest(10) == [((NUMBER, Facet.IDENTITY), None)]
