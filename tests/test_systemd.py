"""What the service manager is told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from agi_lookup.systemd import Notifier


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
