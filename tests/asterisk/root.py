"""The Debian root that holds Asterisk 22 and SIPp: fetched once by debootstrap, then only read.

Debian 12 has no asterisk package, sid has; a root of its own leaves the host untouched. Nothing is mounted in it at run time.
`python -m tests.asterisk.root` fetches it ahead of the tests, so that their time limits do not count the download.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / ".cache"
PACKAGES: Final = ("asterisk", "asterisk-core-sounds-en-gsm", "procps", "sip-tester")
SUITE: Final = "sid"
FETCH_TIMEOUT_S: Final = 900
"""A minute or two on an ordinary line (about 560 MB unpacked)."""

# A name that has to be asked of a DNS server costs every call seconds: PJSIP and Asterisk look these up.
HOSTS: Final = "127.0.0.1 localhost A.ROOT-SERVERS.NET {hostname}\n::1 localhost\n"


class Unavailable(Exception):
    """No Asterisk can be had on this machine; the text says why."""


def asterisk_root(say: Callable[[str], None] = print) -> Path:
    """The ready root, fetched first when it is not there. `$ASTERISK_ROOT` names another one, of an older Asterisk say.

    Raises:
        Unavailable: not root, no debootstrap to be had, the download failed, or it does not run here.
    """
    if os.geteuid() != 0:
        raise Unavailable("the real-Asterisk tests need root: they run Asterisk in a chroot")
    CACHE.mkdir(exist_ok=True)
    root = CACHE / "asterisk"
    with _lock(CACHE / "asterisk.lock") as lock:
        if chosen := os.environ.get("ASTERISK_ROOT"):
            root = Path(chosen).resolve()
        elif not _is_ready(root):
            _fetch(root, lock, say)
        _without_dns(root)
    _version(root)
    return root


def modules_dir(root: Path) -> str:
    """Where this root's Asterisk keeps its modules, as seen from inside."""
    found = next(root.glob("usr/lib/**/asterisk/modules"))
    return f"/{found.relative_to(root)}"


def _is_ready(root: Path) -> bool:
    """A root gets this name only when it is whole; the files are looked at in case someone cleared them."""
    return (root / "usr/sbin/asterisk").exists() and (root / "usr/bin/sipp").exists()


@contextmanager
def _lock(path: Path) -> Iterator[int]:
    """Wait for our turn; the descriptor is for processes that may outlive us, who hold the lock as long as they have it."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


def _fetch(root: Path, lock: int, say: Callable[[str], None]) -> None:
    _install_debootstrap(lock, say)
    building = root.with_name(f"{root.name}.building")
    _remove(building)
    say(f"fetching Asterisk into {root} with debootstrap ({SUITE}; once, a minute or two)")
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(building)]
    if mirror := os.environ.get("DEBIAN_MIRROR"):
        command.append(mirror)
    try:
        _run(command, lock, log=root.with_name(f"{root.name}.log"))
    finally:
        _unmount_below(building)
    shutil.rmtree(building / "var/cache/apt/archives", ignore_errors=True)
    _remove(root)
    building.rename(root)
    say(f"fetched {_version(root)}")


def _install_debootstrap(lock: int, say: Callable[[str], None]) -> None:
    if shutil.which("debootstrap"):
        return
    if not shutil.which("apt-get"):
        raise Unavailable("the real-Asterisk tests need debootstrap, and there is no apt-get to install it with")
    say("installing debootstrap with apt-get")
    log = CACHE / "asterisk.log"
    _run(["apt-get", "update", "-q"], lock, log)
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    _run([*install, "debootstrap", "debian-archive-keyring"], lock, log)


def _run(command: list[str], lock: int, log: Path) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    with log.open("wb") as output:
        try:
            subprocess.run(
                ["setpriv", "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(lock,),
                timeout=FETCH_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:])
            raise Unavailable(f"could not fetch Asterisk: {error}: {tail} (all of it: {log})") from error


def _remove(root: Path) -> None:
    _unmount_below(root)
    if root.exists():
        shutil.rmtree(root)


def _unmount_below(root: Path) -> None:
    """Undo what an interrupted debootstrap left: deleting through a mounted /proc or /dev would reach the host."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(root)), reverse=True):
        subprocess.run(["umount", mount], check=True)


def _without_dns(root: Path) -> None:
    hosts = HOSTS.format(hostname=socket.gethostname())
    _write_if_changed(root / "etc/hosts", hosts)
    switch = root / "etc/nsswitch.conf"
    lines = ["hosts: files" if line.startswith("hosts:") else line for line in switch.read_text().splitlines()]
    _write_if_changed(switch, "\n".join(lines) + "\n")


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _version(root: Path) -> str:
    """Also the proof that it runs here: a container may be root and yet not be allowed to chroot."""
    try:
        run = subprocess.run(["chroot", root, "asterisk", "-V"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"cannot run Asterisk in {root}: {error}") from error
    return run.stdout.strip()


if __name__ == "__main__":
    try:
        print(asterisk_root())
    except Unavailable as error:
        sys.exit(str(error))
