"""Commands in the tests' own process: a new one takes longer to start than all that they do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from agi_lookup.cli import main
from tests.processes import Site


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


Command = Callable[..., Done]


def runner(name: str, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`agi-lookup NAME ...` with the site's config."""

    def run(*args: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["agi-lookup", "--config", str(site.config), name, *args])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run
