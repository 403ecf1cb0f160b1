"""A paid source that several instances ask: one asks it about a number, the others wait for what it says.

Each source's claims are its own, so that a chain goes on to the next source as it does alone, and hedges race.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.line import NOBODY
from agi_lookup.lookup.link import Link
from agi_lookup.lookup.singleflight import Until


class Claim(Protocol):
    """The right to ask a source about a number. Exactly one of these ends it; none of them waits or raises."""

    def answered(self, answer: LookupAnswer) -> None: ...
    def failed(self, error: ProviderError) -> None: ...
    def dropped(self) -> None: ...


class Claims(Protocol):
    async def take(self, provider: str, number: str, until: Until, lives_s: float) -> Claim | LookupAnswer | None:
        """The claim; what another instance was told, once it is; or None where others cannot be heard of: ask alone.

        Raises `ProviderError` for what another instance was refused, or when nobody waits any more.
        """


class ClaimedLink(Link):
    """`Link`, after a claim. A claim that nobody ends, as its instance died, ends by itself after what a flight may take."""

    def __init__(self, *args: Any, claims: Claims, lives_s: float, **kwargs: Any) -> None:
        """`lives_s`: what a request and its webhook may take."""
        super().__init__(*args, **kwargs)
        self._claims = claims
        self._lives_s = lives_s

    async def ask(self, number: Number, now: float, until: Until, payer: Payer = NOBODY) -> LookupAnswer:
        """See `Link.ask`. What another instance paid for has no cost."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        claim = await self._claims.take(self.name, number.e164, until, self._lives_s)
        if isinstance(claim, LookupAnswer):
            return claim
        if claim is None:
            return await super().ask(number, now, until, payer)
        try:
            answer = await super().ask(number, now + (loop.time() - began), until, payer)
        except ProviderError as error:
            claim.failed(error)
            raise
        except BaseException:
            claim.dropped()
            raise
        claim.answered(answer)
        return answer
