"""The Debian root that holds Asterisk 22 and SIPp: fetched once by debootstrap, then only read.

Debian 12 has no asterisk package, sid has; a root of its own leaves the host untouched. Nothing is mounted in it at run time.
`python -m tests.asterisk.root` fetches it ahead of the tests, so that their time limits do not count the download.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.debian import CACHE, Unavailable, fetch, lock

PACKAGES: Final = ("asterisk", "asterisk-core-sounds-en-gsm", "procps", "sip-tester")
"""About 560 MB unpacked."""
SUITE: Final = "sid"

# A name that has to be asked of a DNS server costs every call seconds: PJSIP and Asterisk look these up.
HOSTS: Final = "127.0.0.1 localhost A.ROOT-SERVERS.NET {hostname}\n::1 localhost\n"


def asterisk_root(say: Callable[[str], None] = print) -> Path:
    """The ready root, fetched first when it is not there. `$ASTERISK_ROOT` names another one, of an older Asterisk say.

    Raises:
        Unavailable: not root, no debootstrap to be had, the download failed, or it does not run here.
    """
    root = CACHE / "asterisk"
    with lock("asterisk") as held:
        if chosen := os.environ.get("ASTERISK_ROOT"):
            root = Path(chosen).resolve()
        elif not _is_ready(root):
            fetch(root, SUITE, PACKAGES, held, say)
            shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
            say(f"fetched {_version(root)}")
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
