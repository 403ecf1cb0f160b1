"""Every view with what a real server tells, and every action."""

from __future__ import annotations

import re

from playwright.sync_api import Route, expect

from tests.console.conftest import OpenTab
from tests.console.site import CALLED, CAPPED, EVIL, EVIL_NUMBER, MASKED, VIEWS, dial
from tests.processes import Site

NEW = "+44 7400 123500"


def test_now_shows_calls_as_they_come(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open()
    expect(page.locator("#tile-sessions dd")).to_have_text(re.compile(r"^\d+$"))

    dial(site, *CALLED)

    expect(page.locator("#now-head")).to_contain_text(re.compile(r"\d+ calls in the last minute"))
    expect(page.locator("#tile-rate dd")).to_have_text(re.compile(r"^[0-9.]+$"))
    expect(page.locator("#tile-p95 dd")).to_have_text(re.compile(r"^[0-9.]+.(ms|s)$"))
    expect(page.get_by_role("img", name=re.compile("^Calls a second.*all: now [0-9.]+"))).to_be_visible()
    expect(page.locator("#asked").get_by_role("row", name=re.compile("^npl ok"))).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("last minute")


def test_an_alarm_says_what_to_do(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open()

    dial(site, "+447400123600", "+447400123700", options=(f"profile={CAPPED}",))

    alarm = page.get_by_role("listitem").filter(has_text="budget reached")
    expect(alarm).to_contain_text("What to do:")
    expect(alarm.get_by_text("agi-lookup spend")).to_be_visible()
    expect(page.locator("#now-head")).to_contain_text("budget reached")


def test_a_reload_is_not_empty(open_tab: OpenTab, site: Site) -> None:
    """The server keeps the last minutes."""
    page = open_tab(site).open()
    expect(page.locator("#now-head")).to_contain_text("last minute")  # two of its own snapshots

    fresh = open_tab(site).open()

    expect(fresh.locator("#now-head")).to_contain_text("last minute")


def test_providers_in_words_with_money_and_caps(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open("providers")

    npl = page.get_by_role("region", name="Provider npl")
    expect(npl).to_contain_text("ok")
    expect(npl).to_contain_text(re.compile(r"Requests\d+ since the start: answer \d+"))
    expect(npl).to_contain_text(re.compile(r"\d+ of 100 credits \(\d+.%\), \d+ left"))
    expect(npl).to_contain_text("1,000,000 credits, read")
    expect(page.get_by_role("region", name="Provider ports")).to_contain_text("Spent todayfree")
    expect(page.locator("#caps").get_by_role("row", name=re.compile("^profile capped a day"))).to_be_visible()
    expect(page.locator("#days").get_by_role("row", name=re.compile("npl .* credits"))).to_be_visible()


def test_rules_with_their_mode_and_what_they_did(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open("blocking")

    expect(page.get_by_role("row", name=re.compile("^personal enforced none scored 0 [1-9]"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^dead_number shadow none scored [1-9]"))).to_be_visible()
    expect(page.get_by_text("Returned to shadow", exact=True)).to_be_visible()


def test_calls_are_masked_filtered_and_opened(open_tab: OpenTab, site: Site) -> None:
    dial(site, *CALLED)
    page = open_tab(site).open("calls")
    rows = page.locator("#calls tbody tr")
    for masked in MASKED:
        expect(rows.filter(has_text=masked).first).to_be_visible()
    content = page.content()
    assert [number for number in CALLED if len(number) > 3 and number[1:] in content] == []

    page.get_by_label("Status").select_option("EMERGENCY")
    expect(rows.first).to_contain_text("EMERGENCY")
    assert {row.locator("td").nth(2).inner_text() for row in rows.all()} == {"EMERGENCY"}
    page.get_by_label("Status").select_option("all")
    page.get_by_label("Text").fill("personal block no-such-word")
    expect(page.get_by_text("No call fits the filters.")).to_be_visible()
    page.get_by_label("Text").fill("PERSONAL")
    expect(rows.first).to_contain_text("block: personal")
    page.get_by_label("Text").fill("")
    rows.filter(has_text=MASKED[0]).last.get_by_role("link").click()

    expect(page.get_by_role("heading", name=re.compile("^Call of"))).to_be_focused()
    expect(page.locator("#call")).to_contain_text(re.compile(r"Number\+4474\*{6}00"))
    expect(page.get_by_role("table", name="Sources asked, in order")).to_contain_text("npl")
    expect(page.get_by_role("table", name=re.compile("^Routes, in the order"))).to_contain_text("acme")
    assert re.fullmatch(r"#calls/[0-9a-f]{4}-\d+", page.evaluate("location.hash"))
    page.get_by_role("link", name="All calls").click()
    expect(rows.first).to_be_visible()


def test_a_slow_answer_for_a_view_that_was_left_is_the_last(open_tab: OpenTab, site: Site) -> None:
    tab = open_tab(site)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    tab.page.route("**/api/v1/decks", hold)
    with tab.page.expect_request("**/api/v1/decks"):
        page = tab.open("routes")
    page.get_by_role("link", name="Calls").click()
    expect(page.locator("#calls tbody tr").first).to_be_visible()
    held.pop().continue_()

    for _ in range(2):
        page.wait_for_event("response", lambda reply: "/api/v1/calls" in reply.url)
    assert held == []


def test_a_call_that_has_left_the_list(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site, expected=("404",)).open("calls/0000-1")

    expect(page.get_by_text("This call has left the list")).to_be_visible()


def test_a_number_is_looked_up_seen_in_the_cache_and_forgotten(open_tab: OpenTab, site: Site) -> None:
    """A6: what costs or deletes is done by a button, and the number stands in no address."""
    page = open_tab(site).open("number")
    page.get_by_label("Number", exact=True).fill(NEW)
    page.get_by_role("button", name="Look up (may cost)").click()

    shown = page.locator("#number-shown")
    expect(shown).to_contain_text("Number+447400123500")
    expect(page.get_by_role("table", name="Steps, in order")).to_contain_text("emergency")
    expect(page.get_by_role("table", name="Sources asked, in order")).to_contain_text("1 credit")
    expect(page.get_by_role("table", name="Rules, in order")).to_contain_text("personal")
    expect(
        page.get_by_role("table", name="Candidate routes").get_by_role("row", name=re.compile("^acme acme chosen"))
    ).to_be_visible()
    expect(page.get_by_role("table", name="Candidate routes")).to_contain_text("its deck has no rate for this number")

    page.get_by_role("button", name="What is cached (free)").click()
    expect(page.get_by_role("region", name="Cached identity")).to_contain_text("Said bynpl")
    expect(page.get_by_role("region", name="Cached liveness")).to_contain_text("fresh")

    page.get_by_role("button", name="Forget …").click()
    dialog = page.get_by_role("dialog", name="Forget this number?")
    expect(dialog).to_contain_text(NEW)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="What is cached (free)").click()
    expect(page.get_by_role("region", name="Cached identity")).to_be_visible()

    page.get_by_role("button", name="Forget …").click()
    dialog.get_by_role("button", name="Forget it").click()
    expect(page.get_by_text(re.compile("^Forgotten: 2 cache entries"))).to_be_visible()
    page.get_by_role("button", name="What is cached (free)").click()
    expect(page.get_by_text("Nothing is cached of this number")).to_be_visible()
    assert "7400" not in page.url


def test_what_is_no_number_is_said_in_words(open_tab: OpenTab, site: Site) -> None:
    """A7."""
    page = open_tab(site, expected=("400",)).open("number")
    field, cached = page.get_by_label("Number", exact=True), page.get_by_role("button", name="What is cached (free)")

    for typed, words in (
        ("..", "There is no number in that."),
        ("*", "There is no number in that."),
        ("1/../../cache/*", "There is something in it that belongs into no number."),
        (f"{EVIL[:30]}1", "There is something in it that belongs into no number."),
        ("112", "This is a short code or an extension: it is never looked up."),
    ):
        field.fill(typed)
        cached.click()
        expect(page.locator("#number-said")).to_have_text(words)


def test_routes_with_versions_and_gaps(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open("routes")

    expect(page.get_by_text("Live: 2 rates of 1 vendor")).to_be_visible()
    expect(page.get_by_role("table", name="Deck of acme, the newest version first")).to_contain_text("live")
    expect(page.get_by_role("listitem").filter(has_text="no deck of vendor 'budget' is live")).to_be_visible()


def test_a_vendors_word_is_never_markup(open_tab: OpenTab, site: Site) -> None:
    page = open_tab(site).open("number")
    page.get_by_label("Number", exact=True).fill(EVIL_NUMBER)
    page.get_by_role("button", name="Look up (may cost)").click()

    expect(page.locator("#number-shown")).to_contain_text(EVIL)
    assert page.locator("main img").count() == 0


def _poisoned(value: object, key: str = "") -> object:
    """Every text of an answer that is no figure, without those by which the page finds its way."""
    if isinstance(value, dict):
        return {name: _poisoned(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_poisoned(one, key) for one in value]
    return EVIL if isinstance(value, str) and key not in ("cap", "spent", "left", "amount") else value


def test_no_word_of_the_server_is_ever_markup(open_tab: OpenTab, site: Site) -> None:
    """As if everything that the server says came from an enemy."""

    def poison(route: Route) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, json=_poisoned(reply.json()))

    tab = open_tab(site)
    call = tab.page.request.get(f"{tab.base}/api/v1/calls").json()["calls"][0]["id"]
    tab.page.route("**/api/v1/**", poison)
    for view in (*VIEWS, f"calls/{call}"):
        page = tab.open(view)
        if view == "number":
            page.get_by_label("Number", exact=True).fill(CALLED[0])
            page.get_by_role("button", name="Look up (may cost)").click()
        shown = page.locator(f"#view-{view.partition('/')[0]}").get_by_text(EVIL).locator("visible=true")
        expect(shown.first).to_be_visible()
        assert page.locator("main img").count() == 0
