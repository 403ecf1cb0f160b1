"""How a simulated answer travels: in pieces, late, dripping, broken off or never, as the fault switches say."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Annotated, Final, NoReturn

import msgspec
from aiohttp import web

Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=600_000)]

DRIP_BYTES: Final = 16


class Faults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What goes wrong for every request of every vendor. Rates are drawn from `seed`, so that a run can be repeated.

    A dropped, malformed or unanswered request has been charged: it is the reply that is lost. An HTTP 500 has not.
    """

    latency_ms: Milliseconds = 0
    slow_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 3
    """How long the numbers of the slow scenario take."""
    error_rate: Rate = 0
    drop_rate: Rate = 0
    drip_ms: Milliseconds = 0
    """A body comes 16 bytes at a time, with this pause between."""
    malformed: bool = False
    hang: bool = False
    seed: int = 0


class Ending(Enum):
    COMPLETE = auto()
    CUT_OFF = auto()
    NEVER_STARTS = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    data: bytes
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    pieces: tuple[Piece, ...]
    content_type: str = "text/plain"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ending: Ending = Ending.COMPLETE

    @classmethod
    def of(cls, text: str, status: int = 200, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls((Piece(text.encode()),), status=status, headers=named)


class Delivery:
    """Delivers answers under the faults of the moment."""

    def __init__(self, faults: Faults) -> None:
        self.use(faults)

    def use(self, faults: Faults) -> None:
        self.faults = faults
        self._dice = random.Random(faults.seed)  # noqa: S311

    def breaks(self) -> bool:
        """Does this request meet an HTTP 500, before anything is done for it?"""
        return self._dice.random() < self.faults.error_rate

    def loses(self) -> bool:
        """Is this reply lost on its way?"""
        return self._dice.random() < self.faults.drop_rate

    async def deliver(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        faults = self.faults
        if faults.latency_ms:
            await asyncio.sleep(faults.latency_ms / 1000)
        if self.loses():
            await _hang_up(request)
        if faults.hang or answer.ending is Ending.NEVER_STARTS:
            await _never()
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_type = answer.content_type
        await response.prepare(request)
        if faults.malformed:
            await response.write(b'{"oops": [')
        for piece in answer.pieces:
            await self._write(response, piece)
        if answer.ending is Ending.CUT_OFF:
            await _hang_up(request)
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, piece: Piece) -> None:
        if piece.delay_s:
            await asyncio.sleep(piece.delay_s)
        if not self.faults.drip_ms:
            await response.write(piece.data)
            return
        for start in range(0, len(piece.data), DRIP_BYTES):
            await response.write(piece.data[start : start + DRIP_BYTES])
            await asyncio.sleep(self.faults.drip_ms / 1000)


async def _hang_up(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    await _never()


async def _never() -> NoReturn:
    """Until the client leaves: aiohttp cancels the handler then."""
    await asyncio.Event().wait()
    raise AssertionError
