"""One Asterisk for the whole session, and the skip that says why when there can be none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asterisk.lab import DIALPLAN, Asterisk, running
from tests.asterisk.root import asterisk_root
from tests.debian import Unavailable

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here; the limit is the test's own, for a first run downloads Asterisk before the first of them."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.asterisk)
            item.add_marker(pytest.mark.alone)
            item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(scope="session")
def root(pytestconfig: pytest.Config) -> Path:
    """The ready root; without one the tests are skipped, but in CI they fail."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n[asterisk] {text}", flush=True)

    try:
        return asterisk_root(say)
    except Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def asterisk(root: Path) -> Iterator[Asterisk]:
    with running(root) as instance:
        yield instance


@pytest.fixture(scope="session")
def unhurried(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    """Another, whose calls wait five seconds for a report to be taken, not half a second: a busy machine loses none."""
    folder = tmp_path_factory.mktemp("dialplan")
    for shipped in DIALPLAN.glob("*.conf"):
        text = shipped.read_text().replace("(result,${LOOKUP_NUMBER},0.5)", "(result,${LOOKUP_NUMBER},5)")
        (folder / shipped.name).write_text(text)
    assert "(result,${LOOKUP_NUMBER},5)" in (folder / "extensions_agi_lookup.conf").read_text()
    with running(root, folder) as instance:
        yield instance


@pytest.fixture(scope="module", autouse=True)
def unhindered(untraced: None) -> None:
    """Every test here sends calls by the hundred."""


@pytest.fixture(autouse=True)
def asterisk_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may end with a dead Asterisk, whatever it sent."""
    yield
    if "asterisk" in request.fixturenames:
        assert request.getfixturevalue("asterisk").is_alive
