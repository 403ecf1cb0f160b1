"""What a provider block of the config may say, and how a kind is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import Reason, Tri
from agi_lookup.providers import gsm, loading
from agi_lookup.providers.base import MIN_BODY_BYTES, HttpRequest, ProviderOptions
from agi_lookup.providers.base_url import check_base_url

REFUSED = [
    "http://api.vendor.example/v1",
    "file:///etc/passwd",
    "ftp://api.vendor.example/",
    "//api.vendor.example/",
    "api.vendor.example",
    "https://",
    "https:///path",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://vendor.localhost/",
    "https://vendor.internal/",
    "https://vendor.local/",
    "https://intranet/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f.0.0.1/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://10.1.2.3/",
    "https://192.168.0.1/",
    "https://172.16.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://user:secret@api.vendor.example/",
    "https://user@api.vendor.example/",
    "https://api.vendor.example/?key=secret",
    "https://api.vendor.example/#x",
    "https://api.vendor.example:99999/",
    "https://api.vendor.example:0x50/",
    "https://api.vendor.example /",
    "https://api.vendor.example\r\n/",
    "https://api.vendor.example\\@127.0.0.1/",
    "https://vendör.example/",
    "https://api.ｖendor.example/",
    "https://-vendor.example/",
    "https://vendor..example/",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_credentials_go_to_public_https_hosts_only(url: str) -> None:
    """A9, S9"""
    with pytest.raises(ValidationError) as caught:
        ProviderOptions(kind="x", base_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.numberportabilitylookup.com/npl",
        "https://api.vendor.example:8443/v1/",
        "https://api.vendor.example.",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
    ],
)
def test_a_vendor_of_the_internet_may_be_named(url: str) -> None:
    assert ProviderOptions(kind="x", base_url=url).base_url == url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8574/npl", "http://localhost/npl", "https://10.0.0.1/", "http://[::1]:80/"]
)
def test_a_test_server_may_be_named_when_it_is_said(url: str) -> None:
    assert ProviderOptions(kind="x", base_url=url, allow_private=True).base_url == url


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://user:secret@127.0.0.1/", "http://127.0.0.1/?a=b"])
def test_private_does_not_mean_anything_goes(url: str) -> None:
    with pytest.raises(ValidationError):
        ProviderOptions(kind="x", base_url=url, allow_private=True)


@given(st.text(max_size=60).map("https://".__add__) | st.text(max_size=60))
def test_no_url_raises_anything_but_a_value_error(url: str) -> None:
    """A9"""
    try:
        check_base_url(url, allow_private=False)
    except ValueError:
        return
    assert url.startswith("https://")


def test_the_longest_body_follows_the_largest_batch() -> None:
    def longest(batch: int) -> int:
        return ProviderOptions(kind="x", base_url="https://vendor.example/", max_batch=batch).max_body_bytes

    assert longest(1) == longest(10) == MIN_BODY_BYTES
    assert longest(100) == 200 * 1024


def test_a_request_shows_no_credential() -> None:
    """S13"""
    request = HttpRequest(
        "POST", "https://vendor.example/", form=(("pass", "s3cr3t"),), headers={"Authorization": "s3cr3t"}
    )
    assert "s3cr3t" not in repr(request)


def test_options_show_no_credential() -> None:
    """A3"""
    kind = loading.find("numberportabilitylookup")
    options = kind.Options.model_validate({"kind": "numberportabilitylookup", "user": "someone", "password": "s3cr3t"})
    assert "s3cr3t" not in f"{options!r} {options} {options.model_dump()} {options.model_dump_json()}"
    with pytest.raises(ValidationError) as caught:
        kind.Options.model_validate({"kind": "numberportabilitylookup", "password": "s3cr3t", "pasword": "s3cr3t"})
    assert "s3cr3t" not in str(caught.value)


# How a kind is found


@pytest.mark.parametrize(
    "kind", ["nope", "base", "http", "gsm", "json", "os.path", "no.such.module", "../x", "", ".", "a" * 1000]
)
def test_what_is_no_kind_is_a_config_error_that_names_those_there_are(kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loading.find(kind)
    message = str(caught.value)
    assert "numberportabilitylookup" in message or "must define Options and Provider" in message
    assert "\n" not in message
    assert len(message) < 300


def test_a_dotted_kind_is_a_module_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "acme_lookup"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "vendor.py").write_text(
        "from agi_lookup.providers.base import ProviderOptions\nclass Options(ProviderOptions): pass\nclass Provider: pass\n"
    )
    (package / "broken.py").write_text("1 / 0\n")
    (package / "hungry.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert loading.find("acme_lookup.vendor").Options.__module__ == "acme_lookup.vendor"
    with pytest.raises(ConfigError, match="cannot be imported: ZeroDivisionError"):
        loading.find("acme_lookup.broken")
    with pytest.raises(ConfigError, match="needs no_such_dependency"):
        loading.find("acme_lookup.hungry")


def test_an_installed_package_offers_a_kind_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_vendor.py").write_text(
        "from agi_lookup.providers.base import ProviderOptions\nclass Options(ProviderOptions): pass\nclass Provider: pass\n"
    )
    info = tmp_path / "acme_vendor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-vendor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agi_lookup.providers]\nacme = acme_vendor\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert loading.find("acme").Options.__module__ == "acme_vendor"
    assert "acme" in loading.known()


def test_loading_a_kind_imports_no_http_client() -> None:
    """The command line answers `--help` and `check` fast."""
    code = (
        "import sys; from agi_lookup.providers import loading; loading.find('numberportabilitylookup');"
        "print([m for m in ('aiohttp', 'asyncio', 'phonenumbers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


# The shared error table


def test_only_unknown_subscriber_says_that_a_number_is_invalid() -> None:
    """B3: no other code may make a number dead."""
    assert {code for code, meaning in gsm.MEANINGS.items() if meaning.valid is Tri.NO} == {1}
    assert {code for code, meaning in gsm.MEANINGS.items() if meaning.reason is Reason.UNKNOWN_SUBSCRIBER} == {1, 5}


def test_a_failure_of_the_vendor_says_nothing_of_the_subscriber() -> None:
    for code in range(-1, 600):
        meaning = gsm.meaning(code)
        if meaning.failure is not None:
            assert (meaning.valid, meaning.reachable) == (Tri.UNKNOWN, Tri.UNKNOWN), code


def test_no_code_is_no_statement() -> None:
    assert gsm.meaning(None) == gsm.UNSTATED
