"""A config is right, or its one line says what, where and how to fix it."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.config import Config, ProfileOptions, find, read
from agi_lookup.domain.errors import ConfigError
from agi_lookup.lookup.hedge import HedgeOptions

GOOD = """\
state_dir: /tmp/x
server:
  port: 4573
  token: env:CANARY
providers:
  npl:
    kind: numberportabilitylookup
    base_url: https://api.example.com/npl
    user: someone
    password: file:{secret}
profiles:
  default:
    dial_plan:
      country: NO
      international: ["00", "011"]
  fast:
    dial_plan: {{country: DE}}
    deadline_ms: 400
    need: identity
    sources: [npl]
"""
CANARY = "c4n4ry-s3cret"


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CANARY", CANARY)
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}-file\n")
    path = tmp_path / "agi-lookup.yaml"
    path.write_text(GOOD.format(secret=secret))
    return path


def problem(path: Path, text: str | None = None) -> str:
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    return str(caught.value)


def test_a_good_config_is_read(good: Path) -> None:
    config = read(good)

    assert config.profiles["default"].dial_plan.country == "NO", "Norway is not false"
    assert config.profiles["default"].dial_plan.international == ("00", "011"), "zeros are kept"
    assert config.profiles["fast"].deadline_ms == 400
    assert config.server.token is not None
    assert config.server.token.get_secret_value() == CANARY
    assert config.providers["npl"].password.get_secret_value() == f"{CANARY}-file"


def test_unquoted_digits_stay_text(good: Path) -> None:
    """A2: YAML 1.1 would make 0123 the number 83, 112 a number and 12:30 the number 750."""
    text = good.read_text().replace(
        'international: ["00", "011"]', "international: [00, 0123]\n      emergency: [112, 0110]"
    )
    good.write_text(text)

    plan = read(good).profiles["default"].dial_plan
    assert plan.international == ("00", "0123")
    assert plan.emergency == ("112", "0110")


@pytest.mark.parametrize("show", [repr, str, lambda c: c.model_dump_json(), lambda c: str(c.model_dump())])
def test_secrets_are_never_shown(good: Path, show: object) -> None:
    """A3."""
    config = read(good)

    assert callable(show)
    assert CANARY not in show(config)
    assert CANARY not in show(config.providers["npl"])


BROKEN = {
    "unknown key": ("  port: 4573", "  prot: 4573", ":3: server.prot: unknown key"),
    "unknown key without a value": ("  port: 4573", "  prot:", ":3: server.prot: unknown key"),
    "unknown section without a value": ("server:", "serverr:\nserver:", ":2: serverr: unknown key"),
    "wrong type": ("  port: 4573", "  port: many", ":3: server.port: "),
    "out of range": ("  port: 4573", "  port: 70000", ":3: server.port: "),
    "duplicate key": ("  port: 4573", "  port: 4573\n  port: 4574", ":4: 'port' stands twice"),
    "alias": ("  port: 4573", "  port: &a 4573\n  shed_lag_s: *a", ":3: anchors and aliases"),
    "tag": ("  port: 4573", "  port: !!python/object:os.system {}", ":3: the tag"),
    "syntax": ("  port: 4573", "  port: [4573", ":4: "),
    "tabs": ("  port: 4573", "\tport: 4573", ":3: "),
    "unknown secret": ("env:CANARY", "env:NOBODY", ":4: server.token: the environment variable NOBODY is not set"),
    "token with a comma": ("env:CANARY", "a,b", ":4: server.token: use letters, digits"),
    "empty secret": ("env:CANARY", '""', ":4: server.token: use letters"),
    "reserved name": ("  npl:\n", "  plan:\n", "providers.plan: the name is the numbering plan's"),
    "unreadable secret": ("file:", "file:/nowhere", ":10: providers.npl.password: the secret file"),
    "unknown kind": ("numberportabilitylookup", "nobody", ":7: providers.npl.kind: unknown provider kind"),
    "provider's unknown key": ("user: someone", "usre: someone", ":9: providers.npl.usre: unknown key"),
    "provider's missing key": ("    user: someone\n", "", "providers.npl.user: missing; add it"),
    "plain http": ("https://", "http://", ":6: providers.npl"),
    "no default profile": ("  default:", "  standard:", "profiles: there must be a profile named `default`"),
    "unknown source": ("sources: [npl]", "sources: [hlr]", "'hlr' is not under providers"),
    "unknown need": ("need: identity", "need: everything", "profiles.fast.need: use one of identity, "),
    "unknown country": ("country: DE", "country: ZZ", "profiles.fast.dial_plan"),
    "open to the world": ("  port: 4573", "  host: 0.0.0.0", "list the networks that may connect"),
    "open http": ("server:", "http: {host: 0.0.0.0}\nserver:", "http.token: needed because http.host is not loopback"),
}


@pytest.mark.parametrize(("old", "new", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_config_says_where_and_why(good: Path, old: str, new: str, said: str) -> None:
    """A1, A2, A9."""
    text = good.read_text()
    assert old in text

    message = problem(good, text.replace(old, new, 1))

    assert message.startswith(str(good))
    assert said in message
    assert CANARY not in message


def test_a_secret_that_is_missing_is_said_once(good: Path) -> None:
    assert len(problem(good, good.read_text().replace("env:CANARY", "env:NOBODY")).splitlines()) == 1


def test_all_problems_are_said_at_once(good: Path) -> None:
    text = good.read_text().replace("port: 4573", "port: x").replace("need: identity", "need: x")

    assert len(problem(good, text).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just text", "null"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    """A1."""
    assert "empty or no mapping" in problem(tmp_path / "c.yaml", text)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A1."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "big").write_bytes(b"#" * 2_000_000)

    assert "not UTF-8" in problem(tmp_path / "binary")
    assert "larger than" in problem(tmp_path / "big")
    assert "cannot be read" in problem(tmp_path / "absent")
    assert "cannot be read" in problem(tmp_path)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    assert "nested deeper" in problem(tmp_path / "c.yaml", "[" * 100_000)


def test_any_mutation_is_refused_or_read_and_never_crashes(good: Path) -> None:
    """A1."""
    chance = random.Random(11)
    text = good.read_text()
    for _ in range(300):
        at = chance.randrange(len(text))
        garbage = chance.choice(["", ":", "\n", "- ", "{", '"', "\t", "&x ", "!", "0", "\x00", "é", "%"])
        mutated = text[:at] + garbage + text[at + chance.randrange(4) :]
        good.write_text(mutated)
        try:
            said = repr(read(good))
        except ConfigError as error:
            said = str(error)
        assert CANARY not in said


def test_the_config_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find(Path("named.yaml"), {}) == Path("named.yaml")
    assert find(None, {"AGI_LOOKUP_CONFIG": "/from/env.yaml"}) == Path("/from/env.yaml")
    (tmp_path / "agi-lookup.yaml").touch()
    assert find(None, {}).resolve() == tmp_path / "agi-lookup.yaml"


@pytest.mark.parametrize("name", ["quickstart.yaml", "agi-lookup.yaml"])
def test_the_shipped_configs_are_good(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NPL_USER", "NPL_PASSWORD"):
        monkeypatch.setenv(variable, "x")
    assert read(Path(__file__).parent.parent / "config" / name).profiles


def test_every_setting_that_the_annotated_config_mentions_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With every comment taken away that hides a setting, it is still a good config."""
    annotated = (Path(__file__).parent.parent / "config" / "agi-lookup.yaml").read_text()
    for variable in re.findall(r"env:([A-Z_]+)", annotated):
        monkeypatch.setenv(variable, "long-enough-for-all")
    shown = "\n".join(
        line.replace("#", "", 1) if re.match(r"\s*#\S", line) else line for line in annotated.splitlines()
    )
    path = tmp_path / "shown.yaml"
    path.write_text(shown)

    config = read(path)

    assert config.server == Config.model_fields["server"].default.model_copy(update={"token": config.server.token})
    cache = config.cache.model_copy(update={"shared": None})
    assert cache == Config.model_fields["cache"].default, "the comments show the defaults"
    assert config.cache.shared is not None
    assert config.cache.shared.timeout_ms == SharedOptions.model_fields["timeout_ms"].default
    assert config.profiles["default"].hedge == HedgeOptions()
    assert set(config.providers) == {"npl", "hlr", "checkmobi", "numberyo", "smspartner", "twilio", "ports", "enum"}
    assert config.profiles["default"].deadline_ms == ProfileOptions.model_fields["deadline_ms"].default
