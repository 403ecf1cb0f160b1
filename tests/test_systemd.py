"""What the service manager is told, and what its unit allows the server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agi_lookup.systemd import Notifier
from tests.processes import make_site


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    path = f"@agi-lookup-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path[1:] if abstract else path)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "5000000"})

        assert notifier.send("READY=1")
        assert manager.recv(100) == b"READY=1"
        assert notifier.watchdog_s == 5.0
        notifier.close()


def test_without_a_manager_nothing_is_sent() -> None:
    notifier = Notifier({})

    assert not notifier.send("READY=1")
    assert notifier.watchdog_s == 0.0


def test_another_process_s_watchdog_is_not_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}).watchdog_s == 0.0


def test_a_manager_that_went_away_stops_nothing(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})

    assert not notifier.send("WATCHDOG=1")
    notifier.close()


# ------------------------------------------------------------------------------------------------------ the unit

UNIT = Path(__file__).parents[1] / "config/agi-lookup.service"
EXPOSURE = 12
"""Tenths, of `systemd-analyze security`; what is left is the network, Unix sockets and the host's root."""

DENY_WRITABLE_CODE = """import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, Linux 6.3
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def analyze(*args: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60, check=False)


def test_the_unit_is_what_systemd_understands() -> None:
    """Unknown settings would be ignored, and what they were to forbid allowed."""
    done = analyze("verify", "--man=no", UNIT)
    complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line]  # not installed here
    assert complaints == []


def test_the_unit_gives_the_server_no_more_than_it_needs() -> None:
    """S24: the score is recorded here; let it only fall."""
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", UNIT)
    assert done.returncode == 0, done.stdout


def test_the_server_runs_where_memory_is_never_both_writable_and_code(tmp_path: Path) -> None:
    """S24: the unit forbids it, and a library that needs it would keep the service from starting."""
    if subprocess.run([sys.executable, "-c", DENY_WRITABLE_CODE, "/bin/true"], check=False).returncode == 77:
        pytest.skip("this kernel cannot forbid it")
    site = make_site(tmp_path)
    with site.serve(wrap=[sys.executable, "-c", DENY_WRITABLE_CODE]):
        assert site.call("447400123456")["LOOKUP_STATUS"] == "PARTIAL"
