"""The whole suite runs on uvloop, the loop of the product."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping

import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # a busy machine is no reason to fail

structlog.configure(processors=[structlog.processors.JSONRenderer(default=repr)])
"""Its own choice, traces drawn by rich, takes longer than a call's deadline."""


@pytest.fixture(scope="session", autouse=True)
def as_urgent_as_before() -> Iterator[None]:
    """Commands that give way to calls are run in this process too, where no test after them is to be slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "setpriority", lambda *_: None)
        yield


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def never_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may answer long after the deadline, where the server would say nothing more."""
    monkeypatch.setattr("agi_lookup.guarantee.GIVE_UP_S", 60.0)


@pytest.fixture(scope="module")
def untraced() -> Iterator[None]:
    """Coverage stays out of the processes that a module's tests start: traced, a server takes a fraction of the calls."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            patch.delenv(name, raising=False)
        yield
