"""`agi-lookup doctor` over Asterisk's configuration files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from agi_lookup import config as configuration
from agi_lookup.config import Config
from agi_lookup.doctor.conf_files import read_dialplan
from agi_lookup.doctor.dialplan import FINGERPRINT, PACK, check_dialplan, check_globals, fingerprint
from agi_lookup.doctor.findings import Finding
from tests.processes import make_site

SHIPPED = Path(__file__).parents[1] / "dialplan" / PACK
CALLING = "exten => _X!,1,Gosub(agi-lookup,s,1(${EXTEN}))"


def read_config(folder: Path, **server: Any) -> Config:
    site = make_site(folder, deadline_ms=1000)
    site.data["server"] = {"port": 4573, **server}
    site.data["profiles"]["slow"] = {"dial_plan": {"country": "GB"}, "deadline_ms": 3000}
    site.write()
    return configuration.read(site.config)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder as after the README's first steps."""
    folder = tmp_path / "asterisk"
    folder.mkdir()
    shutil.copy(SHIPPED, folder)
    write(folder, f'[outbound]\n{CALLING}\n#include "{PACK}"\n')
    return folder


def write(folder: Path, text: str, name: str = "extensions.conf") -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def found(conf: Path, **server: Any) -> list[Finding]:
    return list(check_dialplan(conf, read_config(conf.parent, **server)))


def problems(findings: list[Finding]) -> list[tuple[str, str]]:
    assert all(f.fix for f in findings if f.status in ("warn", "fail"))
    return [(f.status, f.what) for f in findings if f.status != "ok"]


def test_the_fingerprint_is_that_of_the_shipped_dialplan(conf: Path) -> None:
    """Whoever changes what Asterisk reads of it has to say so: doctor's FINGERPRINT."""
    assert fingerprint(read_dialplan(conf).files[conf / PACK]) == FINGERPRINT


def test_the_readmes_steps_are_enough(conf: Path) -> None:
    assert problems(found(conf)) == []


def test_comments_and_line_ends_make_no_other_version(conf: Path) -> None:
    text = (conf / PACK).read_text()
    (conf / PACK).write_bytes(("; ours since May\n" + text).replace("\n", "\r\n").encode())
    assert problems(found(conf)) == []


def test_an_old_or_edited_dialplan_is_told(conf: Path) -> None:
    text = (conf / PACK).read_text()
    (conf / PACK).write_text(text.replace("Set(LOOKUP_STATUS=NONE)", "Set(LOOKUP_STATUS=OK)", 1))
    ((status, what),) = problems(found(conf))
    assert (status, "of another version, or was changed" in what) == ("warn", True)


@pytest.mark.parametrize(
    "text",
    [
        f"[outbound]\n{CALLING}\n",
        f'[outbound]\n{CALLING}\n;#include "{PACK}"\n',
        f'[outbound]\n{CALLING}\n;-- off\nfor now\n#include "{PACK}"\n--;\n',
        f'[outbound]\n{CALLING}\n#tryinclude "elsewhere/*.conf"\n',
    ],
)
def test_a_missing_include_is_told(conf: Path, text: str) -> None:
    write(conf, text)
    assert problems(found(conf)) == [("fail", f"{PACK} is not included")]


def test_includes_are_followed_as_asterisk_does(conf: Path) -> None:
    """Nested, by pattern, with quotes, brackets or none, behind a comment of several lines, in any case."""
    write(conf, f'[outbound]\n{CALLING}\n#TryInclude "no-such.conf"\n;-- a\nb --; \n#include <local.d/*.conf>\n')
    write(conf, f"#include {conf}/{PACK} ; by its whole name\n", "local.d/10-lookup.conf")
    assert problems(found(conf)) == []


def test_an_include_that_is_not_there_is_told(conf: Path) -> None:
    """Asterisk then loads nothing of the file."""
    write(conf, f'#include "gone.conf"\n[outbound]\n{CALLING}\n#include "{PACK}"\n')
    assert problems(found(conf)) == [("warn", "gone.conf is included and cannot be read")]


def test_includes_that_go_round_come_to_an_end(conf: Path) -> None:
    write(conf, f'[outbound]\n{CALLING}\n#include "{PACK}"\n#include "round.conf"\n')
    write(conf, '#include "round.conf"\n', "round.conf")
    assert [status for status, _ in problems(found(conf))] == ["warn"]


def test_two_copies_are_told(conf: Path) -> None:
    shutil.copy(SHIPPED, conf / "copy.conf")
    write(conf, f'[outbound]\n{CALLING}\n#include "{PACK}"\n#include "copy.conf"\n')
    ((status, what),) = problems(found(conf))
    assert (status, "in several files" in what) == ("fail", True)


def test_a_dialplan_that_never_asks_is_told(conf: Path) -> None:
    write(conf, f'[outbound]\nexten => _X!,1,Dial(PJSIP/${{EXTEN}})\n#include "{PACK}"\n')
    assert problems(found(conf)) == [("warn", "nothing calls agi-lookup yet")]


def test_no_asterisk_here_is_no_failure(tmp_path: Path) -> None:
    ((status, _),) = problems(found(tmp_path / "nowhere"))
    assert status == "skipped"


def test_hostile_bytes_reach_no_terminal(conf: Path) -> None:
    """S9."""
    write(conf, f'[globals]\nAGI_LOOKUP_URL = agi://\x1b[31mx\n[o]\n{CALLING}\n#include "\x1b[2J"\n#include "{PACK}"\n')
    findings = found(conf)
    assert len(problems(findings)) == 2
    assert not any("\x1b" in f.what + f.fix for f in findings)


GLOBALS: dict[str, tuple[dict[str, str], str]] = {
    "another port": ({"AGI_LOOKUP_URL": "agi://127.0.0.1:4574"}, "asks port 4574, the server listens on 4573"),
    "another address": ({"AGI_LOOKUP_URL": "agi://192.0.2.1"}, "asks 192.0.2.1, the server listens on 127.0.0.1"),
    "a name": ({"AGI_LOOKUP_URL": "agi://localhost"}, "names localhost"),
    "a path": ({"AGI_LOOKUP_URL": "agi://127.0.0.1/lookup"}, "not agi://HOST:PORT"),
    "no address": ({"AGI_LOOKUP_URL": "agi://127.0.0.1:port"}, "no address"),
    "a token of its own": ({"AGI_LOOKUP_TOKEN": "c4nary"}, "has a token, the config has none"),
    "an unknown profile": ({"AGI_LOOKUP_OPTIONS": "profile=us"}, "names profile us"),
    "a slow profile": ({"AGI_LOOKUP_OPTIONS": "profile=slow"}, "after 1.5 s, the server may take 3000 ms"),
    "a long deadline": ({"AGI_LOOKUP_OPTIONS": "timeout_ms=1500"}, "after 1.5 s, the server may take 1500 ms"),
    "a short watchdog": ({"AGI_LOOKUP_WATCHDOG_S": "0.5"}, "after 0.5 s, the server may take 1000 ms"),
    "no watchdog": ({"AGI_LOOKUP_WATCHDOG_S": "soon"}, "soon is no number of seconds"),
}


@pytest.mark.parametrize(("given", "says"), GLOBALS.values(), ids=GLOBALS)
def test_settings_that_do_not_fit_the_config_are_told(tmp_path: Path, given: dict[str, str], says: str) -> None:
    """A3: no token is shown. O2: a watchdog that fires before the deadline ends every slow lookup."""
    findings = list(check_globals(given, read_config(tmp_path)))
    ((_, what),) = problems(findings)
    assert says in what
    assert "c4nary" not in str(findings)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"AGI_LOOKUP_URL": "agi://127.0.0.1:4573", "AGI_LOOKUP_TOKEN": "-"},
        {"AGI_LOOKUP_OPTIONS": "profile=slow", "AGI_LOOKUP_WATCHDOG_S": "3.5"},
        {"AGI_LOOKUP_OPTIONS": "profile=slow,timeout_ms=400"},
    ],
)
def test_settings_that_fit_are_well(tmp_path: Path, given: dict[str, str]) -> None:
    assert problems(list(check_globals(given, read_config(tmp_path)))) == []


def test_the_token_has_to_be_the_servers(tmp_path: Path) -> None:
    """F23."""
    config = read_config(tmp_path, token="c4nary")
    ((status, what),) = problems(list(check_globals({"AGI_LOOKUP_TOKEN": "0ther"}, config)))
    assert (status, what) == ("fail", "the dialplan's token is not the config's")
    assert problems(list(check_globals({"AGI_LOOKUP_TOKEN": "c4nary"}, config))) == []
    ((status, _),) = problems(list(check_globals({"AGI_LOOKUP_TOKEN": "${SHELL(cat token)}"}, config)))
    assert status == "skipped"
