"""A real browser before a real server. Whatever it complains of (an exception, a policy violated, a failed load) fails the test."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.console.site import TOKEN, busy_site, quiet_site
from tests.processes import Site

FLAGS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS: Final = 30_000
AXE: Final = "axe-core@4.14.1"
AXE_SHA512: Final = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
AXE_FOLDER: Final = Path(__file__).parents[2] / ".cache" / "axe"


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: the console is not tested, and CI=true")
    pytest.skip(what)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        _missing("no chromium (apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where something happened. Shared: what a test needs untouched, it makes itself."""
    with busy_site(tmp_path_factory.mktemp("busy")) as site:
        yield site


@pytest.fixture(scope="package")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where nothing happened yet, and a token is wanted."""
    site = quiet_site(tmp_path_factory.mktemp("quiet"))
    with site.serve():
        yield site


class Tab:
    """One page in a context of its own, and what the browser complained of."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self.base = f"http://127.0.0.1:{site.http_port}"
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, view: str = "now") -> Page:
        self.page.goto(f"{self.base}/#{view}")
        return self.page

    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not any(part in text for part in self.expected)]


OpenTab = Callable[..., Tab]


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """`open_tab(site, expected=("401",), viewport=...)`: `expected` are the complaints that belong to the test."""
    tabs: list[Tab] = []

    def new(site: Site, *, expected: tuple[str, ...] = (), **options: Any) -> Tab:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"} | options)
        context.set_default_timeout(PATIENCE_MS)
        tab = Tab(context.new_page(), site)
        tab.expected = expected
        tabs.append(tab)
        return tab

    yield new
    for tab in tabs:
        tab.page.context.close()
    assert [tab.unexpected() for tab in tabs] == [[] for _ in tabs]


@pytest.fixture
def page(open_tab: OpenTab, site: Site) -> Page:
    return open_tab(site).open()


def sign_in(page: Page) -> None:
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.get_by_role("button", name="Open the console").click()
    expect(page.get_by_role("navigation")).to_be_visible()


@pytest.fixture(scope="package")
def axe() -> str:
    """The script of axe-core, fetched once and checked against what is written here."""
    archive = AXE_FOLDER / f"{AXE.replace('@', '-')}.tgz"
    if not archive.exists():
        AXE_FOLDER.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        command = [npm or "npm", "pack", "--silent", "--pack-destination", str(AXE_FOLDER), AXE]
        if npm is None or subprocess.run(command, check=False, capture_output=True, timeout=100).returncode:
            _missing(f"{AXE} cannot be fetched (npm pack)")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == AXE_SHA512
    with tarfile.open(archive) as packed:
        script = packed.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()
