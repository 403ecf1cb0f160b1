"""Webhooks that do not come from a vendor that is paid for them. Pure: `now` is monotonic seconds, always of the same clock."""

from __future__ import annotations

from typing import Final

IN_A_ROW: Final = 5
FIRST_PAUSE_S: Final = 10.0
MAX_PAUSE_S: Final = 600.0
"""Between probes that are paid for, and most likely in vain."""


class Silence:
    """Shut once some waits in a row were in vain: then one request a pause goes to see, until a notice comes.

    That the vendor takes numbers looks like success to a breaker. The pause grows with every probe, 10 s to ten minutes.
    """

    def __init__(self) -> None:
        self.shut = False
        self._in_vain = 0  # waits in a row
        self._pause_s = FIRST_PAUSE_S
        self._probe_at = 0.0
        self._probing = False

    def holds(self, now: float) -> bool:
        return self.shut and now < self._probe_at

    def shut_s(self, now: float) -> float:
        """Until a probe may go."""
        return max(0.0, self._probe_at - now) if self.shut else 0.0

    def enter(self, now: float) -> None:
        """Somebody goes: where it is shut, as the probe."""
        if self.shut:
            self._probing = True
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
            self._probe_at = now + self._pause_s

    def waited_in_vain(self, now: float) -> bool:
        """Is it the one too many, or that of a probe? Others that were under way are no news."""
        self._in_vain += 1
        if self._in_vain < IN_A_ROW:
            return False
        news = self._probing or not self.shut
        if not self.shut:
            self._probe_at = now + self._pause_s
        self.shut, self._probing = True, False
        return news

    def answered(self) -> None:
        """At once, which some vendors do for some numbers: it is asked again, and the next wait in vain shuts it again."""
        self.shut = self._probing = False

    def heard(self) -> None:
        """A notice came, late or in time."""
        self.answered()
        self._in_vain = 0
        self._pause_s = FIRST_PAUSE_S
