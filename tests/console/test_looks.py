"""For everybody: on a phone, in the dark, by keyboard alone, with a screen reader."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import OpenTab
from tests.console.site import CALLED, VIEWS, dial
from tests.processes import Site

PHONE = {"width": 360, "height": 740}


def fill_view(page: Page, view: str) -> None:
    """Until it has what it shows."""
    if view == "number":
        page.get_by_label("Number", exact=True).fill(CALLED[0])
        page.get_by_role("button", name="Look up (may cost)").click()
        expect(page.locator("#number-shown table").first).to_be_visible()
    elif view == "now":
        expect(page.locator("#tile-sessions dd")).to_have_text("0")
        expect(page.locator("#asked table")).to_be_visible()
    else:
        expect(page.locator(f"#view-{view} :is(table, .card)").first).to_be_visible()


def test_no_view_is_wider_than_a_phone(open_tab: OpenTab, site: Site) -> None:
    tab = open_tab(site, viewport=PHONE, has_touch=True)
    for view in VIEWS:
        fill_view(tab.open(view), view)

        assert tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], view


def brightness(page: Page, part: str) -> int:
    """Of the ground, or of the text, from 0 to 765."""
    figures: list[int] = page.evaluate(
        f"getComputedStyle(document.body).{part}.match(/[0-9]+/g).slice(0, 3).map(Number)"
    )
    return sum(figures)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_bright_as_its_user_wants(open_tab: OpenTab, site: Site, scheme: str) -> None:
    page = open_tab(site, color_scheme=scheme).open()

    is_dark = brightness(page, "backgroundColor") < brightness(page, "color")
    assert is_dark == (scheme == "dark")


def test_a_plot_is_drawn_anew_when_it_gets_dark(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site, color_scheme="light").open()
    canvas = page.locator("#plot-calls canvas")
    canvas.evaluate("element => { element.dataset.old = 'yes'; }")

    page.emulate_media(color_scheme="dark")

    expect(page.locator("#plot-calls canvas[data-old]")).to_have_count(0)
    expect(canvas).to_have_count(1)


def test_everything_is_reached_by_keyboard(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open()
    fill_view(page, "now")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    assert page.evaluate("location.hash") == "#now"

    page.get_by_role("link", name="Now", exact=True).focus()
    for name in ("Providers", "Blocking", "Calls", "Number"):
        page.keyboard.press("Tab")
        link = page.get_by_role("link", name=name)
        expect(link).to_be_focused()
        assert link.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Number")).to_be_focused()
    expect(link).to_have_attribute("aria-current", "page")

    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.value || document.activeElement.id"))
    assert reached == ["number", "default", "on", "explain", "cache", "forget", reached[-1]]
    assert reached[-1] != "forget"  # no trap


def test_the_focus_stays_while_calls_come(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open("calls")
    link = page.locator("#calls tbody a").last
    link.focus()
    key = link.get_attribute("data-key")
    newest = page.locator("#calls tbody a").first.get_attribute("data-key") or ""

    dial(site, "112")

    expect(page.locator("#calls tbody a").first).not_to_have_attribute("data-key", newest)
    assert page.evaluate("document.activeElement.dataset.key") == key


def serious(found: dict[str, Any]) -> list[str]:
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(
    ("scheme", "run"),
    [("light", "axe.run()"), ("dark", "axe.run({runOnly: ['color-contrast']})")],
    ids=["light", "dark"],
)
def test_axe_finds_nothing_serious(open_tab: OpenTab, site: Site, axe: str, scheme: str, run: str) -> None:
    tab = open_tab(site, color_scheme=scheme, reduced_motion="reduce")
    for view in VIEWS:
        page = tab.open(view)
        fill_view(page, view)
        page.evaluate(axe)

        assert serious(page.evaluate(run)) == [], view


def test_axe_finds_nothing_serious_where_the_token_is_asked_for(open_tab: OpenTab, quiet: Site, axe: str) -> None:
    page = open_tab(quiet, expected=("401",)).open()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    page.evaluate(axe)

    assert serious(page.evaluate("axe.run()")) == []
