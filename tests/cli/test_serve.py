"""What `agi-lookup serve` says when it has started."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from agi_lookup.cli.serve import _say_where
from tests.processes import cli, make_site


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("127.0.0.1:4573", ""),
        ("0.0.0.0:4573", ""),
        ("127.0.0.1:4574", " --agi 127.0.0.1:4574"),
        ("0.0.0.0:4574", " --agi 127.0.0.1:4574"),
        ("192.0.2.1:4573", " --agi 192.0.2.1:4573"),
    ],
)
def test_one_line_to_try_is_as_short_as_it_can_be(
    address: str, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/agi-lookup", "--config", "config/quickstart.yaml", "serve"])
    _say_where(address)

    said = f"Listening on agi://{address}/lookup. Try: .venv/bin/agi-lookup call 447400123456{where}\n"
    assert capsys.readouterr().out == said


def test_the_line_to_try_works(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with site.serve() as server:
        (line,) = [line for line in server.log.read_text().splitlines() if line.startswith("Listening on")]
        said, _, command = line.partition(" Try: ")
        done = cli(*shlex.split(command)[1:], environ={"AGI_LOOKUP_CONFIG": ""})

    assert said == f"Listening on agi://{site.agi}/lookup."
    assert "LOOKUP_NUMBER=+447400123456" in done.stdout
    assert done.returncode == 0
