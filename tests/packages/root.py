"""A Debian 12 as fresh as debootstrap makes it: without Python. What the package depends on lies in apt's cache, not installed.

`python -m tests.packages.root` fetches it ahead of the tests.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.debian import CACHE, Unavailable, fetch, lock

SUITE: Final = "bookworm"
DEPENDENCIES: Final = ("adduser", "ca-certificates", "python3", "tzdata")


def debian_root(say: Callable[[str], None] = print) -> Path:
    """The ready root, only to be copied. Raises `Unavailable`."""
    root = CACHE / "debian12"
    with lock("debian12") as held:
        if not (root / "usr/bin/apt-get").exists():
            fetch(root, SUITE, (), held, say, finish=_download_dependencies)
            say(f"fetched {root}")
    return root


@contextmanager
def fresh(root: Path) -> Iterator[Path]:
    """A copy of its own, gone afterwards. Nothing is ever mounted in it."""
    with TemporaryDirectory(prefix="debian12-", dir=CACHE) as home:
        copy = Path(home) / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", root, copy], check=True)
        yield copy


def _download_dependencies(root: Path, run: Callable[..., None]) -> None:
    """Kept in apt's cache: the tests' own `apt install` needs no network then, and waits for no disk."""
    (root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
    run("chroot", root, "apt-get", "update", "-q")
    run("chroot", root, "apt-get", "install", "-q", "-y", "--no-install-recommends", "--download-only", *DEPENDENCIES)


if __name__ == "__main__":
    try:
        print(debian_root())
    except Unavailable as error:
        sys.exit(str(error))
