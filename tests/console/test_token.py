"""Who is let in, and what is said when there is nothing to show or nobody to ask."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.console.conftest import OpenTab, sign_in
from tests.console.site import quiet_site
from tests.console.test_page import fetch
from tests.processes import Site


def test_the_token_is_asked_for_once_and_kept_in_the_tab(open_tab: OpenTab, quiet: Site) -> None:
    """A6: no cookie, nothing that outlives the tab, and a wrong one is said to be wrong."""
    tab = open_tab(quiet, expected=("401",))
    page = tab.open("blocking")
    expect(page.get_by_role("heading", name="The server wants its token")).to_be_visible()
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    expect(page.get_by_role("navigation")).to_be_hidden()

    page.get_by_label("Token", exact=True).fill("a-wrong-token")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The server does not take this token.")).to_be_visible()
    sign_in(page)
    expect(page.get_by_role("heading", name="Blocking")).to_be_focused()
    page.reload()
    expect(page.get_by_role("heading", name="Blocking")).to_be_visible()

    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length") == 0
    assert "token" not in page.url
    page.get_by_role("button", name="Forget the token").click()
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0


def test_who_guesses_is_told_to_wait(open_tab: OpenTab, tmp_path: Path) -> None:
    """A6. On a server of its own: everybody on this machine is told so."""
    site = quiet_site(tmp_path)
    with site.serve():
        guesses = [fetch(site, "/api/v1/live", Authorization="Bearer a-guess")[0].status for _ in range(10)]
        page = open_tab(site, expected=("429",)).open()

        expect(
            page.get_by_text(re.compile(r"^Too many wrong tokens from here: the server listens again in \d+ s"))
        ).to_be_visible()
    assert guesses == [401] * 10


EMPTY = {
    "now": ("None since the server was started.", "No provider is configured: the numbering plan answers alone."),
    "providers": (
        "No provider is configured",
        "No caps: what is spent is bounded",
        "Nothing was spent in the last seven days.",
    ),
    "blocking": ("dead_number",),
    "calls": ("No calls since the server was started",),
    "number": ("Ask as a call would, and see why.",),
    "routes": ("No book of rates is live", "No deck was imported yet"),
}


def test_nothing_yet_is_said_in_words(open_tab: OpenTab, quiet: Site) -> None:
    tab = open_tab(quiet, expected=("401",))
    sign_in(tab.open())

    for view, all_words in EMPTY.items():
        tab.open(view)
        for words in all_words:
            expect(tab.page.locator(f"#view-{view}").get_by_text(words).first).to_be_visible()


def test_a_server_that_is_gone_and_back(open_tab: OpenTab, tmp_path: Path) -> None:
    site = quiet_site(tmp_path)
    with site.serve() as server:
        page = open_tab(
            site, expected=("401", "ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
        ).open()
        sign_in(page)
        expect(page.locator("#tile-sessions dd")).to_have_text("0")
        server.end()

        gone = page.get_by_role("alert").filter(has_text="No answer from the server since")
        expect(gone).to_be_visible()
    with site.serve():
        expect(gone).to_be_hidden()
