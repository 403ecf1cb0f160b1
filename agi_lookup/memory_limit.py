"""How near the process is to the memory that it may have: so that it can let go of what it could do without, before it must die.

Limits are those of the control group (`MemoryMax=` of systemd, a container's) and of the process (`ulimit -v`, `ulimit -d`).
Of the group's limit only our own memory counts: the kernel takes pages of files back by itself.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final

NEAR: Final = 0.9
"""The share of a limit above which there is too little left."""
PAGE: Final = resource.getpagesize()
GROUPS: Final = Path("/sys/fs/cgroup")


class MemoryLimit:
    """Looked at every second or so: some 30 µs, without waiting for any disk."""

    def __init__(self, group_limit: Callable[[], int | None] | None = None) -> None:
        """`group_limit` gives the control group's in bytes; None: there is none."""
        self._group_limit = group_limit or limit_of_group

    def is_near(self) -> bool:
        return any(used > NEAR * limit for used, limit in self._uses())

    def _uses(self) -> list[tuple[int, int]]:
        """What is used of each limit, bytes. Nothing where the system does not tell."""
        try:
            size, resident, shared, _, _, data, _ = map(int, Path("/proc/self/statm").read_text().split())
        except (OSError, ValueError):
            return []
        limits = (
            (size, resource.getrlimit(resource.RLIMIT_AS)[0]),
            (data, resource.getrlimit(resource.RLIMIT_DATA)[0]),
            (resident - shared, self._group_limit()),
        )
        return [
            (pages * PAGE, limit) for pages, limit in limits if limit is not None and limit != resource.RLIM_INFINITY
        ]


def limit_of_group() -> int | None:
    """`memory.max` of our control group (https://docs.kernel.org/admin-guide/cgroup-v2.html), which may change at any time."""
    try:
        (own,) = (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        said = (GROUPS / own.lstrip("/") / "memory.max").read_text().strip()
    except (OSError, ValueError):
        return None
    return int(said) if said.isdecimal() else None
