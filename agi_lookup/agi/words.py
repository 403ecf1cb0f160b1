"""The words that a dialplan may say, and what they stand for."""

from __future__ import annotations

from typing import Final

from agi_lookup.domain.model import Facet

NO_TOKEN: Final = "-"  # noqa: S105
"""What the dialplan sends where no token is configured."""

NEEDS: Final = {
    "identity": frozenset({Facet.IDENTITY}),
    "liveness": frozenset({Facet.LIVENESS}),
    "identity+liveness": frozenset({Facet.IDENTITY, Facet.LIVENESS}),
}
