"""A full cache: how soon does the server answer with a million numbers on disk, and how much memory do 100,000 of them take?"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from agi_lookup.bench import calls
from agi_lookup.bench.hits import PROVIDER
from agi_lookup.bench.load import Closed, Planned, run
from agi_lookup.bench.subject import serving, write_config
from agi_lookup.cache.base import CacheEntry
from agi_lookup.cache.sqlite import Mode, SqliteTier
from agi_lookup.cache.sqlite.file import CACHE_FILE
from agi_lookup.domain.errors import OutsideError
from agi_lookup.domain.model import Identity, Liveness, LookupAnswer, Method, NumberType, Reason, Tri
from agi_lookup.lookup.freshness import Lifetime, Lifetimes, LivenessLifetimes, entries
from agi_lookup.sim.npl_records import record

BATCH: Final = 5_000
BLOCK_NUMBERS: Final = 300_000
FIRST_BLOCK: Final = 10
PATIENCE_S: Final = 120.0
READ_AT_ONCE: Final = 4
UNREACHABLE: Final = "http://127.0.0.1:9"
"""Nobody is to be asked: port 9 is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    on_disk: int
    in_memory: int


def full_cache(folder: Path, effort: Effort) -> dict[str, Any]:
    """The report's `full_cache`."""
    config = write_config(folder, PROVIDER.format(url=UNREACHABLE))
    path = folder / "state" / CACHE_FILE
    path.parent.mkdir()
    asyncio.run(_fill(path, effort))
    with serving(config) as ours:
        first = run(_calls(1), ours.port, Closed(1), PATIENCE_S)
        first_answer_s = time.perf_counter() - ours.started_at
        after_start_mib = ours.process.rss_kib() / 1024
        load = run(_calls(effort.in_memory), ours.port, Closed(READ_AT_ONCE), PATIENCE_S)
        if not first.right:
            raise OutsideError("the server does not answer what is on its disk")
        return {
            "numbers_on_disk": effort.on_disk,
            "file_mib": path.stat().st_size / 2**20,
            "first_answer_s": first_answer_s,
            "rss_after_start_mib": after_start_mib,
            "numbers_in_memory": effort.in_memory,
            "missed": effort.in_memory - load.right,  # the disk was too slow, and the vendor would have been asked
            "rss_mib": ours.process.rss_kib() / 1024,
            "disk_hit_p50_ms": load.percentile_ms(50),
            "disk_hit_p99_ms": load.percentile_ms(99),
        }


def _number(index: int) -> str:
    return calls.number(index % BLOCK_NUMBERS, FIRST_BLOCK + index // BLOCK_NUMBERS)


def _calls(count: int) -> Iterator[Planned]:
    return (calls.lookup(_number(index), cache="fresh") for index in range(count))


async def _fill(path: Path, effort: Effort) -> None:
    """Through the cache's own import. Liveness only for those that will be called: elsewhere it has long run out."""
    tier = await SqliteTier.open(path, mode=Mode.SERVER, clock=time.time, on_alarm=_ignore, count=_ignore)
    try:
        now = time.time()
        found = itertools.chain.from_iterable(
            _entries(_number(index), now, alive=index < effort.in_memory) for index in range(effort.on_disk)
        )
        while batch := list(itertools.islice(found, BATCH)):
            if await tier.import_batch(batch) != len(batch):
                raise OutsideError("the cache did not keep what it was given")
    finally:
        await tier.close()


def _ignore(*_words: str) -> None:
    """What is kept is counted, so nothing goes wrong unseen."""


LIFETIMES: Final = Lifetimes(
    liveness=LivenessLifetimes(positive=Lifetime(fresh_s=86400), negative=Lifetime(fresh_s=86400))
)


def _entries(dialled: str, now: float, *, alive: bool) -> Iterator[CacheEntry]:
    """What the server would have kept of the simulated vendor's record."""
    said = record(dialled, Decimal(1), Decimal(1))
    ported = said["ported"] == "true"
    reachable = said["reachable"] == "true"
    identity = Identity(
        carrier=said["operatorname"],
        mcc=said["mcc"],
        mnc=said["mnc"],
        orig_carrier=said["originaloperatorname"] if ported else said["operatorname"],
        orig_mcc=said["mcc"],
        orig_mnc=said["originalmnc"] if ported else said["mnc"],
        ported=Tri.YES if ported else Tri.NO,
        type=NumberType.MOBILE,
        country=said["countryiso"],
    )
    liveness = Liveness(Tri.YES, Reason.OK, Tri.YES) if reachable else Liveness(Tri.NO, Reason.ABSENT, Tri.YES)
    answer = LookupAnswer(f"+{dialled}", "npl", Method.HLR, now, identity, liveness if alive else None)
    return entries(answer, LIFETIMES, now, 0.0)
