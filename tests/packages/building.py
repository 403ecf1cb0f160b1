"""What packages are built with: as `make wheel` and `make deb` do it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
BASE_PYTHON: Final = str(getattr(sys, "_base_executable", sys.executable))
"""Ours without its environment, which has no pip."""


def python_of_debian() -> str | None:
    """A Python 3.11 with pip; None where there is none."""
    return BASE_PYTHON if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")


@cache
def lock_wheels(python: str) -> Path:
    """The folder with the wheels that the lock names, for this Python."""
    done = subprocess.run(
        [REPOSITORY / "packaging/wheels.sh"],
        env={**os.environ, "PYTHON": python},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return REPOSITORY / done.stdout.strip()


def build_deb(to: Path, python: str) -> Path:
    """Release 1, in a folder."""
    subprocess.run(
        [REPOSITORY / "packaging/build-deb.sh", "1", to],
        env={**os.environ, "PYTHON": python, "BIN": str(Path(sys.executable).parent)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (package,) = to.glob("*.deb")
    return package
