"""Prefix lists: found like by hand, read from a file, and refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.errors import ConfigError
from agi_lookup.policy import prefixes
from agi_lookup.policy.prefixes import Prefixes, load

DIGITS = st.text("12", min_size=1, max_size=8)


@given(st.lists(DIGITS, max_size=20), DIGITS)
def test_the_longest_listed_prefix_is_found(listed: list[str], digits: str) -> None:
    """Against trying each."""
    by_hand = max((prefix for prefix in listed if digits.startswith(prefix)), key=len, default="")

    assert Prefixes(listed).longest(f"+{digits}") == by_hand


def written(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "feed.txt"
    path.write_bytes(raw)
    return path


def test_a_file_has_one_prefix_a_line_and_comments(tmp_path: Path) -> None:
    raw = b'\xef\xbb\xbf# a feed,"of" today\r\n+88213\r\n\r\n  4479 # a range,"mobile" and such\n\t+447400123456\n88213'
    found = load(written(tmp_path, raw))

    assert len(found) == 3
    assert found.longest("+447400123456") == "447400123456"
    assert found.longest("+447400123457") == ""
    assert found.longest("+8821399999") == "88213"


FEEDS = {
    "comma": b"prefix,country,note\n88213,XX,\n+4479,GB,seen 3 times\n",
    "semicolon": b"Prefix;Country\r\n88213;XX\r\n4479;GB, or near it\r\n",
    "tab": b"prefix\tcountry\n88213\tXX\n4479\t\n",
    "no header": b"88213,XX\n4479,GB\n",
    "comments and gaps": b"# a feed; of today\n\nprefix,note\n,\n88213 # why, ever,XX\n# 4478,GB\n4479,GB\n",
    "quoted": b'\xef\xbb\xbf"prefix","note"\n"88213","a, b"\n"+4479","two\n44 ""lines"""\n',
    "one column": b"prefix\n88213\n4479\n",
}


@pytest.mark.parametrize("raw", FEEDS.values(), ids=FEEDS)
def test_a_feed_may_be_a_csv_whose_first_column_it_is(tmp_path: Path, raw: bytes) -> None:
    found = load(written(tmp_path, raw))

    assert (len(found), found.longest("+882139"), found.longest("+447912")) == (2, "88213", "4479")


PROBLEMS = {
    b"44\nabc": ":2: no prefix",
    b"prefix,tier 1\n44,GB": ":1: no prefix",  # it holds a digit
    b"prefix,note\nprefix,note\n44,GB": ":2: no prefix",
    b"prefix,note\n44,GB\n\n4 4,GB": ":4: no prefix",
    b"country,prefix\nGB,44": ":2: no prefix",
    b"prefix,note\n,44": ":2: no prefix",
    b"prefix\tnote\n\t44": ":2: no prefix",
    b"prefix,note\n44;GB": ":2: no prefix",
    b"prefix,note\n8.82E+11,XX": ":2: no prefix",
    b'prefix,note\n44,"GB\n45,FR\n': ":3: no CSV",
    b'44,GB\n"45"6,FR\n': ":2: no CSV",
    b"prefix,note\n": ": lists no prefix",
    b",44": ":1: no prefix",
    b"44\n0044": ":2: no prefix",
    b"44 45": ":1: no prefix",
    b"44\n45,GB": ":2: no prefix",
    b"+": ": lists no prefix",
    b"1234567890123456": ":1: no prefix",
    "٤٤".encode(): ":1: no prefix",
    b"44\n\xff": ": byte 3 is not UTF-8",
    b"# nothing\n\n": ": lists no prefix",
    b"": ": lists no prefix",
}


@pytest.mark.parametrize(("raw", "says"), PROBLEMS.items())
def test_what_is_no_prefix_is_refused_with_its_line(tmp_path: Path, raw: bytes, says: str) -> None:
    """F11, A1."""
    path = written(tmp_path, raw)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{says}")


def test_no_line_of_the_file_is_repeated(tmp_path: Path) -> None:
    """A list may hold subscribers' numbers."""
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, b"447400123456x"))
    assert "7400123456" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, b'"447400123456"7,GB'))
    assert "7400123456" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "missing.txt")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_a_file_is_not_read_beyond_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "MAX_FILE_BYTES", 8)
    assert len(load(written(tmp_path, b"44\n45\n46"))) == 3
    with pytest.raises(ConfigError, match="larger than 8 bytes"):
        load(written(tmp_path, b"44\n45\n461"))
