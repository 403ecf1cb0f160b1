"""The memory tier: bounded, compact, and never a long stop of the loop."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from agi_lookup.cache import memory
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.domain.model import Facet, Identity
from tests.cache.entries import NOW, NUMBER, identity, liveness, numbers
from tests.fakes import KNOWN


async def held(tier: MemoryTier) -> int:
    return int((await tier.stats())["numbers"])


async def test_the_least_recently_used_number_goes_first() -> None:
    """C17."""
    tier = MemoryTier(3)
    first, second, third, fourth = numbers(4)
    tier.put([identity(first), identity(second), identity(third)])
    tier.peek(first)

    tier.put([identity(fourth)])

    assert [bool(tier.peek(n)) for n in (first, second, third, fourth)] == [True, False, True, True]


async def test_a_number_counts_once_for_both_facets() -> None:
    tier = MemoryTier(1)

    tier.put([identity(), liveness()])

    assert len(tier.peek(NUMBER)) == 2


async def test_a_flood_of_numbers_stays_within_the_bound() -> None:
    """C17."""
    tier = MemoryTier(100)

    for number in numbers(10_000):
        tier.put([identity(number), liveness(number)])

    assert await held(tier) == 100


async def test_expire_takes_what_is_past_use_and_leaves_the_rest() -> None:
    tier = MemoryTier(100)
    tier.put([liveness(), identity("+447400000001"), liveness("+447400000001")])

    for _ in range(3):
        tier.expire(NOW + 3600)

    assert not tier.peek(NUMBER)
    assert len(tier.peek("+447400000001")) == 2, "while one facet is of use, the number stays whole"


async def test_mass_expiry_is_spread_over_calls() -> None:
    """C3, C16: 5,000 numbers end at one instant; no call looks at more than a slice."""
    tier = MemoryTier(10_000)
    tier.put([liveness(number) for number in numbers(5_000)])

    gone = [tier.expire(NOW + 10**9) for _ in range(10)]

    assert max(gone) <= memory.SLICE
    assert sum(gone) == 5_000


async def test_expire_does_not_disturb_the_order_of_use() -> None:
    tier = MemoryTier(3)
    first, second, third, fourth = numbers(4)
    tier.put([identity(first), identity(second), identity(third)])
    tier.peek(first)
    for _ in range(2):
        tier.expire(NOW)

    tier.put([identity(fourth)])

    assert [bool(tier.peek(n)) for n in (first, second, third)] == [True, False, True]


async def test_numbers_that_went_meanwhile_do_not_trouble_expire() -> None:
    tier = MemoryTier(100)
    tier.put([liveness(number) for number in numbers(10)])
    tier.expire(NOW)
    await tier.forget(numbers(1)[0])

    assert tier.expire(NOW + 3600) == 9


def test_what_numbers_have_in_common_is_kept_once() -> None:
    """Equal texts from two replies are two strings; in the cache they are one."""
    tier = MemoryTier(100)
    one, two = numbers(2)
    for number, date in ((one, "2020-01-01"), (two, "2021-01-01")):
        tier.put([identity(number, body=replace(KNOWN, carrier="".join(["Exam", "ple"]), ported_date=date))])

    first, second = (tier.peek(n)[Facet.IDENTITY].body for n in (one, two))

    assert isinstance(first, Identity)
    assert isinstance(second, Identity)
    assert first != second
    assert first.carrier is second.carrier


def test_new_text_from_a_source_does_not_grow_what_is_shared_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_SHARED", 50)
    tier = MemoryTier(10)

    for i, number in enumerate(numbers(500)):
        tier.put([identity(number, body=replace(KNOWN, carrier=f"Carrier {i}"))])

    assert len(tier._facts) <= 50
    assert len(tier._texts) <= 50 * 5


FILL = """
import random
from dataclasses import replace
from agi_lookup.cache.memory import MemoryTier
from tests.cache.entries import NOW, identity, liveness
from tests.fakes import ALIVE, ABSENT, KNOWN
def rss():
    with open("/proc/self/statm") as f: return int(f.read().split()[1]) * 4096
draw = random.Random(1)
tier, before = MemoryTier(20_000), rss()
for i in range(20_000):
    number, now = f"+4474{draw.randrange(10**8):08d}", NOW + draw.random() * 1e5
    carrier = draw.randrange(200)
    body = replace(KNOWN, carrier=f"Carrier {carrier}", mcc=str(200 + carrier), mnc=f"{carrier:02}", orig_mcc="234", orig_mnc="15")
    tier.put([identity(number, observed_at=now, body=body), liveness(number, observed_at=now, body=draw.choice([ALIVE, ABSENT]))])
print((rss() - before) // 20_000)
"""


def test_a_number_with_both_facets_takes_about_400_bytes() -> None:
    """So that 100,000 numbers fit beside a server in 150 MiB. Measured in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FILL], check=True, capture_output=True, text=True)

    assert int(done.stdout) < 550
