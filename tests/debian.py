"""Debian roots for tests: fetched once by debootstrap into `.cache`, so that the host stays as it is."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[1] / ".cache"
FETCH_TIMEOUT_S: Final = 900
"""A minute or two on an ordinary line."""


class Unavailable(Exception):
    """No such root can be had on this machine; the text says why."""


@contextmanager
def lock(name: str) -> Iterator[int]:
    """Wait for our turn; the descriptor is for processes that may outlive us, who hold the lock as long as they have it.

    Raises `Unavailable` who is not root.
    """
    if os.geteuid() != 0:
        raise Unavailable("this needs root: it runs in a chroot")
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


def fetch(
    root: Path,
    suite: str,
    packages: Sequence[str],
    held: int,
    say: Callable[[str], None],
    finish: Callable[[Path, Callable[..., None]], None] = lambda _root, _run: None,
) -> None:
    """Make `root`, for the holder of the lock. It gets its name only when it is whole, and `finish` has run commands in it.

    Raises `Unavailable`.
    """
    log = root.with_name(f"{root.name}.log")
    log.unlink(missing_ok=True)

    def run(*command: str | Path) -> None:
        _run(command, held, log)

    _install_debootstrap(run, say)
    building = root.with_name(f"{root.name}.building")
    remove(building)
    say(f"fetching {root} with debootstrap ({suite}; once, a minute or two)")
    command = [
        "debootstrap",
        "--variant=minbase",
        suite,
        str(building),
        *filter(None, [os.environ.get("DEBIAN_MIRROR")]),
    ]
    if packages:
        command.insert(1, f"--include={','.join(packages)}")
    try:
        run(*command)
        finish(building, run)
    finally:
        _unmount_below(building)
    remove(root)
    building.rename(root)


def remove(root: Path) -> None:
    _unmount_below(root)
    if root.exists():
        shutil.rmtree(root)


def _install_debootstrap(run: Callable[..., None], say: Callable[[str], None]) -> None:
    if shutil.which("debootstrap"):
        return
    if not shutil.which("apt-get"):
        raise Unavailable("this needs debootstrap, and there is no apt-get to install it with")
    say("installing debootstrap with apt-get")
    run("apt-get", "update", "-q")
    run("apt-get", "install", "-y", "-q", "--no-install-recommends", "debootstrap", "debian-archive-keyring")


def _run(command: Sequence[str | Path], held: int, log: Path) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    with log.open("ab") as output:
        try:
            subprocess.run(
                ["setpriv", "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(held,),
                timeout=FETCH_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:])
            raise Unavailable(f"could not fetch it: {error}: {tail} (all of it: {log})") from error


def _unmount_below(root: Path) -> None:
    """Undo what an interrupted debootstrap left: deleting through a mounted /proc or /dev would reach the host."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(root)), reverse=True):
        subprocess.run(["umount", mount], check=True)
