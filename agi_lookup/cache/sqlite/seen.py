"""Which numbers the disk may hold: a Bloom filter, so that a number never seen before costs no read.

Its no is certain, its yes mostly right (Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM 1970). It is
learned from the file after the start, and from what is put from then on; until then, and where the file was replaced, it says yes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

BITS_A_NUMBER: Final = 12
PROBES: Final = 3
"""With so many bits and probes, one no in a hundred is missed."""
MAX_BITS: Final = 1 << 29
"""64 MiB: 45 million numbers. Whoever keeps more on disk pays for their reads, not with the memory of all calls."""
_SCATTER: Final = 0x9E37_79B9_7F4A_7C15
"""2**64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4): neighbours fall far apart."""
_MASK: Final = 0xFFFF_FFFF


class Seen:
    """For about `numbers` of them; with more, it says yes more often. Numbers are the digits of E.164 as an integer."""

    def __init__(self, numbers: int) -> None:
        self._size = min(1 << (numbers * BITS_A_NUMBER).bit_length(), MAX_BITS)
        self._bits = bytearray(self._size // 8)
        self._knows = False  # has it learned all that is on disk?
        self._mended = False  # what was learned is of another file

    def may_hold(self, number: int) -> bool:
        return not self._knows or all(self._bits[at >> 3] & 1 << (at & 7) for at in self._places(number))

    def add(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            for at in self._places(number):
                self._bits[at >> 3] |= 1 << (at & 7)

    def knows_all(self) -> None:
        """All that is on disk was added."""
        self._knows = not self._mended

    def doubt(self) -> None:
        """The file was replaced: nothing is certain any more."""
        self._mended = True
        self._knows = False

    def _places(self, number: int) -> tuple[int, ...]:
        scattered = number * _SCATTER
        first, step, mask = scattered >> 32 & _MASK, scattered & _MASK | 1, self._size - 1
        return first & mask, first + step & mask, first + 2 * step & mask
