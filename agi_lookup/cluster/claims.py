"""Who may ask a paid source about a number: a key in the shared server, and in it, once it is known, what was said.

A claim is `SET NX PX` with a token of its own. Who does not get it reads the key with small steps until it holds the answer, is
gone (and then takes it), or nobody waits any more. The answer stays for `KEPT_S`: who looked into the cache just before it came
there finds it here. Trouble with the server, a reply that takes more than its share of the deadline too: all go on alone, at once.
A claim is renewed for as long as its instance asks, and lapses when that has died.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count as counting
from typing import Final

from agi_lookup.cache.base import Count
from agi_lookup.cache.codec import MAX_BODY_BYTES
from agi_lookup.cache.valkey.link import Command, Reply
from agi_lookup.cluster import told
from agi_lookup.domain.errors import CacheError, CacheNotAsked, ProviderBusy, ProviderError
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.lookup.singleflight import Until

FIRST_STEP_S: Final = 0.005
LAST_STEP_S: Final = 0.05
GRACE_S: Final = 0.1
"""Who knows that another instance asks bears with a server that does not answer: a hiccup is not worth a second payment."""
KEPT_S: Final = 2.0
MAX_ERROR_S: Final = 60.0
"""A key holds a number: it is soon gone, so that whoever is forgotten is forgotten here, too."""
MAX_WAIT_S: Final = 10.0
"""For a turn at the vendor, before the request: no call has a later deadline, and who has time renews."""
RENEW_S: Final = 1.0
LEAST_LIFE_S: Final = 4.0
"""Time for two tries to renew in its second half."""
AT_ONCE: Final = 50
"""Claims renewed in one exchange."""
END_AGAIN_S: Final = 0.25
CLOSE_S: Final = 0.5
TOKEN: Final = b"T"

END: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

Ask = Callable[[tuple[Command, ...]], Awaitable[list[Reply]]]
"""One exchange. Raises `CacheError`, at once when the server is in trouble."""


class Claim:
    """See `claimed.Claim`. `until` (loop seconds) it is known to be ours; each renewal gives it `life_s` again."""

    def __init__(self, claims: Claims, key: str, token: bytes, life_s: float, until: float) -> None:
        self.key = key
        self.token = token
        self.life_s = life_s
        self.until = until
        self._claims = claims

    def answered(self, answer: LookupAnswer) -> None:
        self._claims.end(self, told.answer_to_bytes(answer), KEPT_S)

    def failed(self, error: ProviderError) -> None:
        self._claims.end(self, told.error_to_bytes(error), min(error.remember_s, MAX_ERROR_S))

    def dropped(self) -> None:
        self._claims.end(self, b"", 0.0)


class Claims:
    """See `claimed.Claims`. To be closed, so that what was said last is told."""

    def __init__(self, ask: Ask, prefix: str, count: Count) -> None:
        self._ask = ask
        self._prefix = f"{prefix}:claim:{told.FORMAT}"
        self._count = count
        self._process = TOKEN + secrets.token_hex(8).encode()
        self._serial = counting()
        self._held: set[Claim] = set()
        self._ending: set[asyncio.Task[None]] = set()

    async def take(self, provider: str, number: str, until: Until, lives_s: float) -> Claim | LookupAnswer | None:
        loop = asyncio.get_running_loop()
        key = f"{self._prefix}:{number[1:]}:{provider}"
        token = b"%s.%d" % (self._process, next(self._serial))
        step_s = FIRST_STEP_S
        alone_at: float | None = None  # set by the first failure
        sent_at: float | None = None  # when the server was told to set the key, where it did not say whether it has
        waits = False
        while True:
            now = loop.time()
            wait_s = min(max(until() - now, 0.0), MAX_WAIT_S)
            life_s = max(wait_s + lives_s, LEAST_LIFE_S)
            try:
                _, said = await self._ask(
                    (("SET", key, token, "NX", "PX", int(life_s * 1000)), ("GETRANGE", key, 0, MAX_BODY_BYTES - 1))
                )
            except CacheError as error:
                if not isinstance(error, CacheNotAsked):
                    sent_at = now
                alone_at = alone_at or loop.time() + GRACE_S
                if not waits or loop.time() >= min(alone_at, until()):
                    self._count("cluster_alone")
                    return None if sent_at is None else self._hold(key, token, life_s, sent_at)
                await asyncio.sleep(LAST_STEP_S)
                continue
            if said == token:
                return self._hold(key, token, life_s, now)
            if not isinstance(said, bytes):  # a key of another type
                return None
            heard = told.from_bytes(said, provider, number)
            if heard is not None:
                self._count("cluster_shared")
                if isinstance(heard, LookupAnswer):
                    return heard
                raise heard
            if said and said[:1] != TOKEN:
                return None
            if loop.time() + step_s >= until():
                raise ProviderBusy("another instance asks")
            alone_at, sent_at, waits = None, None, True
            await asyncio.sleep(step_s)
            step_s = min(step_s * 1.5, LAST_STEP_S)

    async def renew(self) -> None:
        """Those of which half the time is over. Never raises for the server's sake: what cannot be renewed lapses."""
        clock = asyncio.get_running_loop().time
        due = [claim for claim in self._held if claim.until - clock() < claim.life_s / 2]
        for start in range(0, len(due), AT_ONCE):
            some, now = due[start : start + AT_ONCE], clock()
            with suppress(CacheError):
                renewed = await self._ask(
                    tuple(("EVAL", RENEW, 1, claim.key, claim.token, int(claim.life_s * 1000)) for claim in some)
                )
                for claim, done in zip(some, renewed, strict=True):
                    claim.until = now + claim.life_s if done == 1 else now
        self._held.difference_update([claim for claim in due if claim.until <= clock()])

    def end(self, claim: Claim, said: bytes, kept_s: float) -> None:
        """Tell the others, behind the call: `said`, or that there is nothing. Not when it has lapsed."""
        self._held.discard(claim)
        ending = asyncio.get_running_loop().create_task(self._end(claim, said, max(1, int(kept_s * 1000))))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        if self._ending:
            _, late = await asyncio.wait(set(self._ending), timeout=CLOSE_S)
            for ending in late:
                ending.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _hold(self, key: str, token: bytes, life_s: float, at: float) -> Claim:
        """One that the server may never have heard of is held, too: others wait for its end, if it has."""
        claim = Claim(self, key, token, life_s, at + life_s)
        self._held.add(claim)
        return claim

    async def _end(self, claim: Claim, said: bytes, kept_ms: int) -> None:
        """Until it is done, or the claim has ended by itself: others wait for it."""
        loop = asyncio.get_running_loop()
        while loop.time() < claim.until:
            with suppress(CacheError):
                await self._ask((("EVAL", END, 1, claim.key, claim.token, said, kept_ms),))
                return
            await asyncio.sleep(END_AGAIN_S)
        self._count("cluster_claim_lapsed")
