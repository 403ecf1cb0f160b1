"""Vendors described in config: what a block may say, what it must not, and what is sent then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from yarl import URL

from agi_lookup import config
from agi_lookup.domain.errors import ConfigError, ProviderError, ProviderRejected
from agi_lookup.domain.model import Number
from agi_lookup.providers.http_json import PRESETS, Options, Provider, presets
from agi_lookup.providers.http_json_answer import Answer
from agi_lookup.providers.http_json_rules import Meaning
from tests.providers.described import CARRIER, HLR, NUMBER, options, request_of, result
from tests.providers.replay import NOW, split

# What is asked


def test_the_number_goes_where_the_placeholders_stand() -> None:
    asked = request_of(
        request={
            "method": "POST",
            "path": "/v1/{digits}/of/{e164}",
            "query": {"tn": "{national}", "fields": "net"},
            "json": {"to": ["{digits}"], "deep": {"number": "{e164}"}},
            "headers": {"Accept": "application/json"},
        }
    )
    assert (asked.method, asked.url) == ("POST", "https://api.acme.example/api/v1/447700900123/of/+447700900123")
    assert asked.query == (("tn", "7700900123"), ("fields", "net"))
    assert asked.json == {"to": ["447700900123"], "deep": {"number": "+447700900123"}}
    assert asked.headers == {"Accept": "application/json"}
    assert request_of(request={"method": "POST", "form": {"n": "{digits}"}}).form == (("n", "447700900123"),)


def test_json_in_quotes_keeps_numbers_and_booleans() -> None:
    """Every YAML value of a config is text."""
    asked = request_of(request={"method": "POST", "json": '{"to": ["{digits}"], "live": true, "max": 1, "x": null}'})
    assert asked.json == {"to": ["447700900123"], "live": True, "max": 1, "x": None}


def test_a_lookup_is_one_charged_request() -> None:
    assert request_of().charged


@pytest.mark.parametrize(
    "number", ["", "+", "447700900123", "+44/../../x", "+4477009001 23", "+44770090012٣", "+447700900123\n", "+1" * 20]
)
def test_only_e164_is_ever_sent(number: str) -> None:
    with pytest.raises(ProviderRejected):
        request_of(number, request={"path": "/{digits}"})


def test_a_national_form_is_not_made_up_for_a_number_of_no_country() -> None:
    assert isinstance(result({}, "+999123456789", request={"query": {"n": "{national}"}}), ProviderError)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("/@:?#\\.%{}digts a\r\n\0é[]"), max_size=12))
def test_no_path_leads_to_another_host(path: str) -> None:
    """A9"""
    try:
        asked = request_of(request={"path": path})
    except ValidationError:
        return
    url = URL(asked.url)
    assert (url.scheme, url.host, url.port, url.user, url.query_string, url.fragment) == (
        "https", "api.acme.example", 443, None, "", "",
    )  # fmt: skip
    assert url.path.startswith("/api")


# Credentials


README = Path(str(PRESETS)).parent / "README.md"

AUTHS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "basic": ({"type": "basic"}, {"headers": {"Authorization": "Basic YWNtZTpzM2NyM3Q="}}),
    "bearer": ({"type": "bearer"}, {"headers": {"Authorization": "Bearer s3cr3t"}}),
    "header": ({"type": "header", "secret": "X-API-Key"}, {"headers": {"X-API-Key": "s3cr3t"}}),
    "prefix": (
        {"type": "header", "secret": "Authorization", "prefix": "App "},
        {"headers": {"Authorization": "App s3cr3t"}},
    ),
    "two headers": (
        {"type": "header", "account": "X-API-Key", "secret": "X-API-Secret"},
        {"headers": {"X-API-Key": "acme", "X-API-Secret": "s3cr3t"}},
    ),
    "form": ({"type": "form", "account": "user", "secret": "pass"}, {"form": (("user", "acme"), ("pass", "s3cr3t"))}),
    "json": ({"type": "json", "secret": "apiKey"}, {"json": {"apiKey": "s3cr3t"}}),
    "query": ({"type": "query", "secret": "key"}, {"query": (("key", "s3cr3t"),)}),
}


@pytest.mark.parametrize("kind", AUTHS)
def test_credentials_go_where_the_vendor_wants_them(kind: str) -> None:
    auth, expected = AUTHS[kind]
    asked = request_of(auth=auth, account="acme", secret="s3cr3t", request={"method": "POST"})
    sent = {"query": asked.query, "form": asked.form, "json": asked.json, "headers": asked.headers}
    assert sent == {"query": (), "form": None, "json": None, "headers": {}, **expected}
    assert "s3cr3t" not in asked.url + repr(asked)


def test_credentials_stand_beside_what_is_sent_anyway() -> None:
    asked = request_of(
        auth={"type": "json", "secret": "apiKey"}, secret="s", request={"method": "POST", "json": {"to": "{digits}"}}
    )
    assert asked.json == {"to": "447700900123", "apiKey": "s"}


def test_a_signature_is_hmac_sha256_over_path_time_method_and_the_bytes_sent() -> None:
    """The value was made with `openssl dgst -sha256 -hmac`."""
    asked = request_of(
        base_url="https://api.acme.example/api/v2",
        account="key", secret="s3cr3t",
        request={"method": "POST", "path": "/hlr-lookup", "json": {"msisdn": "{e164}"}},
        auth={"type": "hmac", "account": "X-Key", "signature": "X-Sig", "timestamp": "X-Time",
              "signs": "{path}{timestamp}{method}{body}"},
    )  # fmt: skip
    assert asked.body == b'{"msisdn":"+447700900123"}'
    assert asked.json is None
    assert asked.headers == {
        "Content-Type": "application/json",
        "X-Key": "key",
        "X-Time": "1767225600",
        "X-Sig": "5b3678251e35fa58f1a33de22c23c6a878d4321d361e0430cde017582ff9fe23",
    }


def test_no_secret_shows(caplog: pytest.LogCaptureFixture) -> None:
    """A3, S13: also one that was put into a header or a query by hand."""
    made = options(
        auth={"type": "bearer"}, secret="s3cr3t", request={"headers": {"X-Other": "s3cr3t"}, "query": {"k": "s3cr3t"}}
    )
    assert "s3cr3t" not in f"{made!r} {made}"
    with pytest.raises(ValidationError) as caught:
        options(auth={"type": "bearer"}, secret="s3cr3t\r\nX-Evil: 1")
    assert "s3cr3t" not in str(caught.value)


# What a block must not say


REFUSED: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "unknown key": ({"reqest": {}}, "reqest", "Extra inputs"),
    "unknown key inside": ({"request": {"url": "x"}}, "request.url", "Extra inputs"),
    "unknown key of an answer": ({"answer": {**CARRIER, "imsi": "imsi"}}, "answer.imsi", "Extra inputs"),
    "no base_url": ({"base_url": ""}, "", "base_url must be"),
    "private base_url": ({"base_url": "https://169.254.169.254/latest"}, "", "public host"),
    "plain http": ({"base_url": "http://api.acme.example"}, "", "must be https"),
    "method": ({"request": {"method": "DELETE"}}, "request.method", "'GET' or 'POST'"),
    "path without slash": ({"request": {"path": "v1"}}, "request.path", "begin with /"),
    "path to another host": ({"request": {"path": "//evil.example/"}}, "request.path", "begin with /"),
    "path with user": ({"request": {"path": "@evil.example/"}}, "request.path", "begin with /"),
    "path with query": ({"request": {"path": "/a?b=c"}}, "request.path", "under `query`"),
    "path with fragment": ({"request": {"path": "/a#b"}}, "request.path", "under `query`"),
    "path upwards": ({"request": {"path": "/a/../b"}}, "request.path", "begin with /"),
    "path with escapes": ({"request": {"path": "/a%2e%2e/b"}}, "request.path", "begin with /"),
    "path with a line end": ({"request": {"path": "/a\r\nX: y"}}, "request.path", "begin with /"),
    "placeholder": ({"request": {"query": {"n": "{number}"}}}, "request.query.n", "{e164}, {digits} or {national}"),
    "python format": ({"request": {"query": {"n": "{digits.__class__}"}}}, "request.query.n", "unknown placeholder"),
    "brace": ({"request": {"form": {"n": "{digits"}, "method": "POST"}}, "request.form.n", "unknown placeholder"),
    "placeholder in json": ({"request": {"method": "POST", "json": {"a": ["{x}"]}}}, "request.json", "unknown placeholder"),
    "no json": ({"request": {"method": "POST", "json": "{oops"}}, "request.json", "JSON in quotes"),
    "body of a GET": ({"request": {"json": {"a": "b"}}}, "request", "method: POST"),
    "two bodies": ({"request": {"method": "POST", "json": {}, "form": {}}}, "request", "not both"),
    "header injection": ({"request": {"headers": {"X-A": "b\r\nX-Evil: 1"}}}, "request.headers.X-A", "printable ASCII"),
    "number in a header": ({"request": {"headers": {"X-A": "{digits}"}}}, "request.headers.X-A", "takes no placeholder"),
    "absurd json": ({"request": {"method": "POST", "json": "[" * 100_000}}, "request.json", "JSON in quotes"),
    "header name": ({"request": {"headers": {"X A:": "b"}}}, "request.headers.X A:", "no name of an HTTP header"),
    "Host": ({"request": {"headers": {"hOsT": "evil.example"}}}, "request.headers.hOsT", "remove it"),
    "Content-Length": ({"request": {"headers": {"Content-Length": "0"}}}, "request.headers.Content-Length", "remove it"),
    "Proxy": ({"request": {"headers": {"Proxy-Authorization": "x"}}}, "request.headers.Proxy-Authorization", "remove it"),
    "bare credential": ({"request": {"headers": {"authorization": "Bearer x"}}}, "request", "account, secret and auth"),
    "auth type": ({"auth": {"type": "digest"}}, "auth", "'basic'"),
    "secret without auth": ({"secret": "x"}, "auth", "how the secret is sent"),
    "auth without secret": ({"auth": {"type": "bearer"}}, "secret", "missing"),
    "basic without account": ({"auth": {"type": "basic"}, "secret": "x"}, "account", "missing"),
    "colon in account": ({"auth": {"type": "basic"}, "secret": "x", "account": "a:b"}, "account", "colon"),
    "secret with a line end": ({"auth": {"type": "bearer"}, "secret": "x\r\ny"}, "secret", "no HTTP header may carry"),
    "account with a line end": (
        {"auth": {"type": "header", "secret": "X-S", "account": "X-A"}, "secret": "x", "account": "a\nb"},
        "account", "no HTTP header",
    ),
    "auth header name": ({"auth": {"type": "header", "secret": "X:S"}, "secret": "x"}, "auth.header.secret", "no name"),
    "form auth of a GET": ({"auth": {"type": "form", "secret": "k"}, "secret": "x"}, "auth", "method: POST"),
    "form auth of json": (
        {"auth": {"type": "form", "secret": "k"}, "secret": "x", "request": {"method": "POST", "json": {}}}, "auth", "type json",
    ),
    "json auth of a list": (
        {"auth": {"type": "json", "secret": "k"}, "secret": "x", "request": {"method": "POST", "json": "[]"}},
        "auth", "json mapping",
    ),
    "signature without time": (
        {"auth": {"type": "hmac", "account": "A", "signature": "B", "timestamp": "C", "signs": "{body}"}, "secret": "x"},
        "auth.hmac.signs", "{timestamp}",
    ),
    "no answer": ({"answer": {}}, "answer", "names no fact"),
    "no fact": ({"answer": {"number": "n", "cost": "c"}}, "answer", "names no fact"),
    "path expression": ({"answer": {"carrier": "$..name[?(@.x)]"}}, "answer.carrier", "no path"),
    "empty step": ({"answer": {"carrier": "a..b"}}, "answer.carrier", "no path"),
    "negative index": ({"answer": {"carrier": "a[-1]"}}, "answer.carrier", "no path"),
    "long path": ({"answer": {"carrier": ".".join("a" * 9)}}, "answer.carrier", "at most 8"),
    "liveness of an MNP": ({"answer": {"method": "mnp", "reachable": "r"}}, "answer", "reachable: only `method: hlr`"),
    "liveness of nobody": ({"answer": {**CARRIER, "valid": "v"}}, "answer", "valid: only `method: hlr`"),
    "live_when of an LRN": ({"answer": {**CARRIER, "method": "lrn", "live_when": {"path": "a"}}}, "answer", "live_when: only"),
    "HLR without liveness": ({"answer": {**CARRIER, "method": "hlr"}}, "answer", "promises liveness"),
    "the plan's method": ({"answer": {**CARRIER, "method": "plan"}}, "answer.method", "hlr"),
    "gsm_error and reachable": ({"answer": {**HLR, "gsm_error": "e"}}, "answer", "by itself"),
    "mcc without mnc": ({"answer": {"mcc": "mcc"}}, "answer", "belong together"),
    "meaning": ({"answer": HLR, "values": {"reachable": {"UP": "maybe"}}}, "values.reachable.up", "'yes'"),
    "reason": ({"answer": {**HLR, "reason": "r"}, "values": {"reason": {"UP": "fine"}}}, "values.reason.up", "'ok'"),
    "a word twice": ({"answer": HLR, "values": {"reachable": {"UP": "yes", "up": "no"}}}, "values.reachable", "stands twice"),
    "values of nothing": ({"values": {"ported": {"Y": "yes"}}}, "values", "answer.ported is missing"),
    "rule without condition": ({"errors": [{"when": {}, "means": "auth"}]}, "errors.0.when", "at least one of"),
    "rule without path": ({"errors": [{"when": {"status": 200, "in": ["a"]}, "means": "auth"}]}, "errors.0.when", "need a path"),
    "rule's meaning": ({"errors": [{"when": {"status": 500}, "means": "retry"}]}, "errors.0.means", "'out_of_credit'"),
    "rule's status": ({"errors": [{"when": {"status": 42}, "means": "auth"}]}, "errors.0.when.status.0", "greater than"),
    "preset": ({"preset": "../../etc/passwd"}, "preset", "use one of bulkvs_lrn, hlr_lookups_com"),
    "batch": ({"max_batch": 2}, "max_batch", "less than or equal to 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_block_is_refused_with_the_place_and_the_remedy(case: str) -> None:
    """A2, A9"""
    block, place, remedy = REFUSED[case]
    with pytest.raises(ValidationError) as caught:
        options(**block)
    problems = {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors(include_url=False)}
    assert remedy in next((text for at, text in problems.items() if at.startswith(place)), f"only {problems}")
    assert len(problems) == 1


def config_of(tmp_path: Path, *lines: str) -> config.Config:
    path = tmp_path / "agi-lookup.yaml"
    path.write_text("\n".join(["profiles: {default: {dial_plan: {country: GB}}}", "providers:", *lines]))
    return config.read(path)


def test_a_config_file_describes_a_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "s3cr3t")
    read = config_of(
        tmp_path,
        "  acme:",
        "    kind: http_json",
        "    base_url: https://api.acme.example/v1",
        "    secret: env:ACME_KEY",
        "    auth: {type: header, secret: X-Key}",
        '    request: {path: "/lookup/{digits}", query: {fields: net}}',
        "    answer: {method: hlr, number: msisdn, carrier: net.name, reachable: state}",
        "    values: {reachable: {UP: yes, DOWN: no}}",
        "    errors:",
        "      - {when: {status: 422}, means: out_of_credit}",
    )
    made = read.providers["acme"]
    assert isinstance(made, Options)
    asked = next(Provider("acme", made, split).lookup([Number(NUMBER)], NOW))
    assert (asked.url, asked.headers) == ("https://api.acme.example/v1/lookup/447700900123", {"X-Key": "s3cr3t"})


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["    preset: twillio"], ":5: providers.acme.preset: no such preset; use one of"),
        (["    preset: telnyx"], ":3: providers.acme.secret: missing; the vendor wants it (auth.type is bearer)"),
        (["    base_url: https://a.example"], ":3: providers.acme.answer: names no fact; add at least one"),
        (["    base_url: https://a.example", "    answer:", "      carier: x"], ":7: providers.acme.answer.carier: unknown key"),
        (["    preset: telnyx", "    secret: x", "    errors:", "      - {when: {status: 400}, means: meh}"],
         ":8: providers.acme.errors.0.means: Input should be 'auth'"),
    ],
)  # fmt: skip
def test_a_config_error_names_line_path_and_remedy(tmp_path: Path, lines: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, "  acme:", "    kind: http_json", *lines)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_readme_shows_is_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWILIO_SID", "TWILIO_TOKEN", "ACME_KEY"):
        monkeypatch.setenv(name, "x")
    section = README.read_text().partition("## Describing a vendor in config")[2]
    shown = section.partition("```yaml\n")[2].partition("```")[0]
    read = config_of(tmp_path, *shown.splitlines()[1:])
    assert set(read.providers) == {"twilio", "acme"}
    named = set(Answer.model_fields) | set(get_args(Meaning)) | set(presets())
    assert {word for word in named if f"`{word}`" not in section and f"{word}:" not in section} == set()
