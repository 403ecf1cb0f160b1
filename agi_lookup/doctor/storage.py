"""Where state is kept: the folder, its disk, and the databases in it. Everything is read, nothing is made."""

from __future__ import annotations

import os
import pwd
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agi_lookup.cache.sqlite.file import CACHE_FILE, ENTRIES, Corrupt, NotOurs, Shape, is_corruption, size
from agi_lookup.calls import shape as calls_shape
from agi_lookup.calls.file import CALLS_FILE
from agi_lookup.config import Config
from agi_lookup.doctor.findings import Finding, fail, ok, skipped, warn
from agi_lookup.domain.errors import CacheError
from agi_lookup.lookup import ledger_file

SPARE_BYTES: Final = 1024**3
FULL_BYTES: Final = 64 * 1024**2
CHECK_S: Final = 5.0
"""Of a database. A long read would keep a running writer from shortening its log."""
STEPS: Final = 10_000
"""SQLite's instructions between two looks at the clock."""
REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs"})
"""SQLite's write-ahead log needs memory shared between processes: https://sqlite.org/wal.html."""
FLEETING: Final = frozenset({"tmpfs", "ramfs", "overlay", "squashfs"})
DATABASES: Final = {
    CACHE_FILE: ENTRIES,
    ledger_file.LEDGER_FILE: ledger_file.SHAPE,
    CALLS_FILE: calls_shape.SHAPE,
}
SERVICE: Final = "agi-lookup"
"""The user of the shipped unit."""


def check_folder(config: Config) -> Iterator[Finding]:
    folder = config.state_dir
    try:
        found = folder.stat()
    except FileNotFoundError:
        yield _to_be_made(folder)
        return
    except OSError as error:
        yield fail("state_dir", f"{folder}: {error.strerror}", "run this as the server's user, or as root")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield fail("state_dir", f"{folder} is no folder", "remove it, or name another state_dir")
        return
    owner = _user(found.st_uid)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fail(
            "state_dir", f"{folder} of {owner} cannot be written by {_user(os.geteuid())}", f"chown {SERVICE} {folder}"
        )
    elif found.st_mode & 0o077:
        what = f"{folder} of {owner} is open to others (mode {stat.S_IMODE(found.st_mode):04o}): numbers are kept there"
        yield warn("state_dir", what, f"chmod 700 {folder}")
    else:
        yield ok("state_dir", f"{folder} of {owner}")
    foreign = sorted({_user(p.stat().st_uid) for p in folder.glob("*.sqlite*")} - {owner})
    if foreign:
        yield fail(
            "state_dir", f"{folder} is {owner}'s, files in it are of {', '.join(foreign)}", f"chown -R {owner} {folder}"
        )


def _to_be_made(folder: Path) -> Finding:
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if os.access(above, os.W_OK | os.X_OK):
        return ok("state_dir", f"{folder} will be made by the server")
    fix = f"install -d -m 700 -o {SERVICE} {folder}"
    return fail("state_dir", f"{folder} is not there, and {_user(os.geteuid())} cannot make it", fix)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def check_disk(config: Config) -> Iterator[Finding]:
    folder = next(p for p in (config.state_dir.absolute(), *config.state_dir.absolute().parents) if p.exists())
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    what = f"{free // 1024**2} MiB free for {config.state_dir}"
    if free < FULL_BYTES or not disk.f_favail:
        what += "" if disk.f_favail else ", and room for no further file"
        yield fail("disk", f"{what}: a full disk stops paid lookups", "make room, or move state_dir")
    elif free < SPARE_BYTES:
        yield warn("disk", what, "make room: cache, ledger and decks grow")
    else:
        yield ok("disk", what)
    kind = filesystem(folder.resolve(), Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))
    if kind in REMOTE or kind.startswith("fuse."):
        yield fail("disk", f"{folder} is on {kind}: SQLite needs a local disk", "move state_dir to a local disk")
    elif kind in FLEETING:
        yield warn("disk", f"{folder} is on {kind}: what is paid for may be gone after a restart", "mount a disk there")


def filesystem(path: Path, mountinfo: str) -> str:
    """The kind of the file system that holds a path; empty where that is not told. See proc_pid_mountinfo(5)."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= best:  # of two on one point, the later covers the earlier
            best, kind = len(point.parts), after.split(" ")[0]
    return kind


def check_databases(config: Config, *, quick_s: float = CHECK_S) -> Iterator[Finding]:
    there = {name: shape for name, shape in DATABASES.items() if (config.state_dir / name).exists()}
    if not there:
        yield ok("databases", "none yet")
    for name, shape in there.items():
        yield _database(config.state_dir / name, shape, quick_s)


def _database(path: Path, shape: Shape, quick_s: float) -> Finding:
    mib = f"{size(path) / 1024**2:.1f} MiB"
    has_log = path.with_name(f"{path.name}-wal").exists()
    try:
        complaint = _complaint(path, shape, quick_s, immutable=not has_log)
        if not has_log and path.with_name(f"{path.name}-wal").exists():
            return skipped(path.name, f"{mib}; it came into use just now")
    except NotOurs as error:
        return fail(path.name, f"{error}", "install the version that made it, or move the file away")
    except (CacheError, sqlite3.Error, OSError) as error:
        if is_corruption(error):
            complaint = str(error)
        else:
            return skipped(path.name, f"{mib}; it cannot be read now: {error}")
    if complaint is None:
        return ok(path.name, f"{mib}, too large to read whole in {quick_s:.0f} s; nothing was wrong so far")
    if complaint:
        fix = "the server puts it aside and starts anew" if shape is ENTRIES else "stop the server and restore a copy"
        return fail(path.name, f"{mib}, damaged: {complaint}", fix)
    return ok(path.name, f"{mib}, schema {shape.version}")


def _complaint(path: Path, shape: Shape, quick_s: float, *, immutable: bool) -> str | None:
    """Empty when all is well, None when there was no time to see it all. Raises `sqlite3.Error`, `OSError`, `Corrupt`, `NotOurs`.

    `immutable`: nobody has it open, so no lock is taken and no log is made beside it.
    """
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=0, isolation_level=None)
    over = time.monotonic() + quick_s
    try:
        connection.execute("PRAGMA query_only = ON")
        _judge(connection, shape)
        connection.set_progress_handler(lambda: time.monotonic() > over, STEPS)
        said = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.close()
    if said is None:
        raise Corrupt("the check says nothing")
    return "" if said[0] == "ok" else str(said[0]).replace("\n", " ")


def _judge(connection: sqlite3.Connection, shape: Shape) -> None:
    """Raises `NotOurs` for what we must not touch."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application not in (shape.application_id, 0):  # 0: made and never filled
        raise NotOurs("the file belongs to another program")
    if version > shape.version:
        raise NotOurs(f"the file has schema {version}, this program knows {shape.version}: a newer version made it")
