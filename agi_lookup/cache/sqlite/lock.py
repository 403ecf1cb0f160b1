"""Who may write: an advisory lock on a file beside the database, which the kernel takes back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agi_lookup.domain.errors import CacheError


class OtherWriter(CacheError):
    """Another process writes here. `for_life`: it is a server, so waiting is of no use."""

    alarm = "sqlite_other_writer"

    def __init__(self, pid: str, for_life: bool) -> None:
        super().__init__(f"another process (pid {pid}) writes here")
        self.for_life = for_life


class WriterLock:
    """`flock` on `NAME.lock`, which says whose it is. The file stays: removing it would let two processes lock two files."""

    def __init__(self, database: Path, *, for_life: bool) -> None:
        self._path = database.with_name(f"{database.name}.lock")
        self._for_life = for_life
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def acquire(self) -> None:
        """Take it now or not at all; makes the directory. Raises `OtherWriter` or `OSError`."""
        if self.held:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._lock(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, role = os.pread(fd, 40, 0).decode("ascii", "replace").strip().partition(" ")
            raise OtherWriter(pid or "unknown", role == "server") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {'server' if self._for_life else 'tool'}\n".encode(), 0)


def server_pid(database: Path) -> str | None:
    """The process that holds the database for life, if there is one. Looks only; a tool's short lock is not waited for."""
    try:
        fd = os.open(database.with_name(f"{database.name}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, role = os.pread(fd, 40, 0).decode("ascii", "replace").strip().partition(" ")
        return pid if role == "server" else None
    finally:
        os.close(fd)
    return None
