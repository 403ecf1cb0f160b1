"""Pictures of every view of the console, on a desktop and a phone, light and dark: to be looked at after the page was changed.

    .venv/bin/python -m tools.console_shots FOLDER

It needs `chromium`, and takes a minute. The server is one of its own, that of the console's tests, with a simulated vendor: nothing
is paid for. `FOLDER` gets `desktop-light-now.png` and so on. What that server has no reason to show (providers that are shut, a
returned rule) is on the `troubled` ones, made of answers that are not its own. Tests say whether the page works; whether it reads
well, only eyes do: look for text that is cut or wraps badly, columns that are too narrow, wrong colours.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

from tests.console.conftest import FLAGS, PATIENCE_MS, Tab
from tests.console.site import CALLED, MASKED, VIEWS, busy_site, dial, quiet_site
from tests.console.test_looks import fill_view
from tests.console.told import minute, provider, rule, tell, tell_live
from tests.processes import Site

SIZES: Final = {"desktop": ViewportSize(width=1280, height=900), "phone": ViewportSize(width=390, height=844)}
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def views(tab: Tab) -> Iterator[str]:
    """Opens one after the other, filled."""
    for view in VIEWS:
        fill_view(tab.open(view), view)
        yield view
    page = tab.open("calls")
    page.locator("#calls tbody tr").filter(has_text=MASKED[0]).last.get_by_role("link").click()
    expect(page.locator("#call table").first).to_be_visible()
    yield "call"


def troubled_views(tab: Tab) -> Iterator[str]:
    tell_live(tab, minute())
    refused = {"why": "auth", "for_s": None, "last_error": "auth"}
    pressed = {"state": "paused", "why": "rate_limited", "for_s": 30.0}
    vendors = [provider(), provider(name="refused", health=refused), provider(name="pressed", health=pressed)]
    tell(tab, "GET /api/v1/providers", providers=vendors)
    returned = rule(rule="irsf", mode="returned", scored=40, false_blocks=0.25, low=0.142, high=0.402)
    enforced = rule(mode="enforce", scored=480, false_blocks=0.0083, low=0.002, high=0.0214, probes=9, blocked=1234)
    tell(tab, "GET /api/v1/rules", rules=[enforced, returned], distrusted=["npl GB"])
    for view, place in (("now", "#asked table"), ("providers", "#providers .card"), ("blocking", "#rules table")):
        expect(tab.open(view).locator(place).first).to_be_visible()
        yield f"troubled-{view}"


def token_view(tab: Tab) -> Iterator[str]:
    expect(tab.open().get_by_label("Token", exact=True)).to_be_visible()
    yield "token"


def shoot(browser: Browser, site: Site, folder: Path, *, quiet: Site) -> None:
    for device, viewport in SIZES.items():
        for scheme in SCHEMES:
            for shown, server in ((views, site), (troubled_views, site), (token_view, quiet)):
                with browser.new_context(viewport=viewport, color_scheme=scheme, locale="en-GB") as context:
                    tab = Tab(context.new_page(), server)
                    for name in shown(tab):
                        tab.page.screenshot(path=folder / f"{device}-{scheme}-{name}.png", full_page=True)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    with (
        TemporaryDirectory() as busy,
        TemporaryDirectory() as idle,
        busy_site(Path(busy)) as site,
        sync_playwright() as playwright,
    ):
        dial(site, *CALLED * 5)
        quiet = quiet_site(Path(idle))
        with quiet.serve(), playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS) as browser:
            shoot(browser, site, folder, quiet=quiet)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.console_shots FOLDER")
    main(Path(sys.argv[1]))
