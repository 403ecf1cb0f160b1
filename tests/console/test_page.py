"""The page and its files as anybody may fetch them."""

from __future__ import annotations

import http.client
import re
from pathlib import Path

import pytest

import agi_lookup.web
from tests.processes import Site

STATIC = Path(agi_lookup.web.__file__).parent / "static"


def fetch(site: Site, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=20)
    try:
        connection.putrequest(method, path)  # as it is: no path is tidied up
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        reply = connection.getresponse()
        return reply, reply.read()
    finally:
        connection.close()


def test_the_page_is_open_and_the_data_is_not(quiet: Site) -> None:
    """A6."""
    assert fetch(quiet, "/")[0].status == 200
    assert fetch(quiet, "/static/console.js")[0].status == 200
    assert fetch(quiet, "/api/v1/live")[0].status == 401
    assert fetch(quiet, "/static")[0].status == 401


def test_the_page_allows_no_script_or_style_but_its_files(site: Site) -> None:
    reply, body = fetch(site, "/")

    policy = dict(part.split(" ", 1) for part in (reply.getheader("Content-Security-Policy") or "").split("; "))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"], policy["connect-src"]) == ("'self'",) * 3
    assert (policy["base-uri"], policy["frame-ancestors"]) == ("'none'", "'none'")
    assert reply.getheader("X-Content-Type-Options") == "nosniff"
    page = body.decode()
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page) == []
    for file in re.findall(r'(?:src|href)="(/[^"]*)"', page):
        assert fetch(site, file)[0].status == 200, file


def test_what_has_not_changed_is_not_sent_again(site: Site) -> None:
    reply, body = fetch(site, "/static/console.css")
    again, nothing = fetch(site, "/static/console.css", If_None_Match=reply.getheader("ETag") or "")
    other, whole = fetch(site, "/static/console.css", If_None_Match='"of-an-older-version"')

    assert (again.status, nothing) == (304, b"")
    assert (other.status, whole) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/../console.py",
        "/static/%2e%2e/console.py",
        "/static/..%2f..%2fweb%2fconsole.py",
        "/static//etc/passwd",
        "/static/vendor/",
        "/static/vendor/LICENSE",
        "/static/console.js%00.css",
    ],
)
def test_no_path_leads_anywhere_else(site: Site, path: str) -> None:
    """A7."""
    reply, body = fetch(site, path)

    assert reply.status == 404
    assert b"import" not in body


def test_nothing_can_be_sent_to_the_page(site: Site) -> None:
    """Without its scripts, the form would send the token there: no server of ours takes it, or shows it again."""
    reply, body = fetch(site, "/", "POST", Content_Length="0")

    assert reply.status == 405
    assert b"token" not in body


def test_no_file_of_ours_reads_text_as_markup() -> None:
    """What `dom.js` promises."""
    scripts = {path.name: path.read_text() for path in STATIC.glob("*.js")}

    found = {
        name: re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
        for name, text in scripts.items()
    }
    assert {name for name, words in found.items() if words} == set()
