"""Which releases of Asterisk are served: those that the dialplan and the grammar are tested with."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

SERVED: Final = range(16, 23)
_MAJOR: Final = re.compile(r"(?:certified[/-])?(?:GIT-)?([0-9]{1,3})(?![0-9])")


@lru_cache(maxsize=64)
def is_too_old(version: str) -> bool:
    """Of what `agi_version` says, as in `22.10.1` and `certified/18.9-cert5`. What is not understood is not too old."""
    found = _MAJOR.match(version)
    return found is not None and int(found[1]) < SERVED[0]
