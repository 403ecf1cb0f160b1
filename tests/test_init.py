"""`agi-lookup init`: a first config, asked for at a terminal or told by flags, that the server starts with."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agi_lookup import config as configuration
from agi_lookup.cli.init import command
from agi_lookup.domain.errors import ConfigError
from agi_lookup.first_config.answers import Account, Answers, questions
from agi_lookup.first_config.files import keep_secret, write_config
from agi_lookup.first_config.text import render
from agi_lookup.providers import loading
from tests.processes import CLI, cli, free_port, running
from tests.test_daemon import bought, simulator

CANARY = "c4nary-of-the-vendor"


class Terminal:
    """The command at a terminal of its own: what it shows is read, what it asks is answered."""

    def __init__(self, *args: str, **environ: str) -> None:
        self.shown = ""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            try:
                os.execvpe(CLI[0], [*CLI, *args], {**os.environ, **environ, "TERM": "dumb", "COLUMNS": "200"})  # noqa: S606
            finally:
                os._exit(127)

    def answer(self, question: str, text: str) -> None:
        """Once it is asked, behind all that was answered before."""
        asked = len(self.shown)
        until = time.monotonic() + 60
        while question not in self.shown[self._seen :]:
            assert self._read(until), f"{question!r} was not asked: {self.shown}"
        self._seen = max(asked, self.shown.index(question, self._seen) + len(question))
        os.write(self._fd, f"{text}\n".encode())

    _seen = 0

    def _read(self, until: float) -> bool:
        if not select.select([self._fd], [], [], max(0.0, until - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the other side has closed
            return False
        self.shown += data.decode()
        return bool(data)

    def end(self) -> int:
        """Exit status."""
        until = time.monotonic() + 60
        while self._read(until):
            pass
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)


def test_a_dialogue_writes_a_config_that_the_server_takes(tmp_path: Path) -> None:
    """A bad answer is one line, and asked again. The secret that is typed in is in a file of its own, and nowhere else (A3)."""
    path = tmp_path / "etc" / "agi-lookup.yaml"
    terminal = Terminal("init", "--config", str(path))
    terminal.answer("Home country", "Utopia")
    terminal.answer("Error: not a country", "")
    terminal.answer("Home country", "gb")
    terminal.answer("outside line", "nine")
    terminal.answer("Error: an outside line is 1 to 8 digits", "")
    terminal.answer("Whom to ask next", "nobody_at_all")
    terminal.answer("Error: unknown provider kind", "numberportabilitylookup")
    terminal.answer("Its name", "npl")
    terminal.answer("npl: user", "sim-user")
    terminal.answer("npl: password", CANARY)
    terminal.answer("Error: a secret is written as env:NAME or file:/path", "type")
    terminal.answer("npl: password:", "sim-pass")  # not shown
    terminal.answer("Whom to ask next", "")
    terminal.answer("Milliseconds", "800")
    terminal.answer("credits a day", "12.5")
    assert terminal.end() == 0, terminal.shown

    secret = path.parent / "secrets" / "npl_password"
    assert "sim-pass" not in terminal.shown
    assert secret.read_text() == "sim-pass\n"
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path, secret, secret.parent)] == [0o640, 0o600, 0o700]
    assert "sim-pass" not in path.read_text()
    assert CANARY not in path.read_text()
    config = configuration.read(path)
    assert config.profiles["default"].deadline_ms == 800
    assert config.profiles["default"].dial_plan.country == "GB"
    assert config.providers["npl"].password.get_secret_value() == "sim-pass"
    assert str(config.budget.providers["npl"].per_day.credits) == "12.5"
    assert sorted(p.name for p in path.parent.iterdir()) == ["agi-lookup.yaml", "secrets"]


def test_who_leaves_in_the_middle_leaves_no_config(tmp_path: Path) -> None:
    path = tmp_path / "agi-lookup.yaml"
    terminal = Terminal("init", "--config", str(path))
    terminal.answer("Home country", "GB")
    terminal.answer("outside line", "\x03")
    assert terminal.end() == 1
    assert "Traceback" not in terminal.shown
    assert list(tmp_path.iterdir()) == []


def init(path: Path, *args: str, **environ: str) -> Any:
    done = cli("init", "--yes", "--config", str(path), *args, environ=environ)
    assert "Traceback" not in done.stderr
    return done


def test_what_flags_tell_starts_and_answers_a_call(tmp_path: Path) -> None:
    """As a package or a script does it: nothing is asked, and the provider is paid once, by the call."""
    path = tmp_path / "agi-lookup.yaml"
    agi, http = free_port(), free_port()
    with simulator(tmp_path) as npl:
        done = init(
            path,
            *("--country", "GB", "--provider", "npl=numberportabilitylookup", "--deadline-ms", "10000", "--json"),
            *("--set", f"npl.base_url={npl}", "--set", "npl.allow_private=true", "--set", "npl.user=sim-user"),
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"file": str(path), "providers": ["npl"], "environment": ["NPL_PASSWORD"]}
        path.write_text(path.read_text() + f"server: {{port: {agi}, shed_lag_s: 5}}\nhttp: {{port: {http}}}\n")
        environ = {"NPL_PASSWORD": "sim-pass"}
        with running(tmp_path / "serve.log", "--config", str(path), "serve", environ=environ) as server:
            server.wait_for("serving")
            called = cli("call", "447400123401", "--agi", f"127.0.0.1:{agi}", "--json")
            server.end()
        assert bought(npl) == 1
    assert json.loads(called.stdout)["variables"]["LOOKUP_STATUS"] == "OK"


def test_what_is_to_be_done_next_is_said(tmp_path: Path) -> None:
    path = tmp_path / "agi-lookup.yaml"
    done = init(path, "--country", "GB", "--deadline-ms", "2000")
    assert done.returncode == 0, done.stderr
    for said in (
        '#include "extensions_agi_lookup.conf"',
        "Gosub(agi-lookup,s,1(${EXTEN}))",
        "WATCHDOG_S = 2.5",
        f"{path} serve",
    ):
        assert said in done.stdout


def test_a_config_that_is_there_stays(tmp_path: Path) -> None:
    """Unless --force says otherwise; and a race with another writer is lost, not won."""
    path = tmp_path / "agi-lookup.yaml"
    path.write_text("mine")
    done = init(path, "--country", "GB")
    assert (done.returncode, path.read_text()) == (2, "mine")
    assert "--force" in done.stderr
    text = render(Answers("GB", str(tmp_path)))
    with pytest.raises(ConfigError, match="is there already"):
        write_config(text, path, overwrite=False)
    assert path.read_text() == "mine"
    write_config(text, path, overwrite=True)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "Home country"),
        (("--country", "UK"), "not a country"),
        (("--country", "GB", "--outside-line", "x"), "1 to 8 digits"),
        (("--country", "GB", "--deadline-ms", "99999"), "10 to 10000"),
        (("--country", "GB", "--provider", "nobody"), "unknown provider kind"),
        (("--country", "GB", "--provider", "Npl=numberportabilitylookup"), "a name is lower-case"),
        (("--country", "GB", "--provider", "hlrlookup", "--set", f"hlrlookup.api_key={CANARY}"), "env:NAME"),
        (("--country", "GB", "--provider", "checkmobi", "--set", f"checkmobi.signature_key={CANARY}"), "env:NAME"),
        (("--country", "GB", "--provider", "hlrlookup", "--set", "hlrlookup.nonsense=1"), "unknown key"),
        (("--country", "GB", "--provider", "hlrlookup", "--daily-cap", "lots"), "use an amount"),
        (("--country", "GB", "--set", "npl.user=me"), "no such provider"),
    ],
)
def test_wrong_flags_are_one_clear_line_and_leave_nothing(tmp_path: Path, flags: tuple[str, ...], says: str) -> None:
    """A3: what may be a secret is not repeated."""
    done = CliRunner().invoke(command, ["--yes", "--config", str(tmp_path / "agi-lookup.yaml"), *flags])
    said = f"{done.output}{done.exception}"
    assert done.exit_code == 2 or isinstance(done.exception, ConfigError), said  # `main` ends with 2 for those
    assert says in said
    assert CANARY not in said
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    done = cli("init", "--config", str(tmp_path / "agi-lookup.yaml"), "--country", "GB")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands files over")
def test_a_secret_that_root_keeps_can_be_read_by_the_servers_user(tmp_path: Path) -> None:
    """And by nobody else; one that is there stays."""
    nobody = 65534
    state, secret = tmp_path / "state", tmp_path / "secrets" / "npl_password"
    state.mkdir()
    os.chown(state, nobody, nobody)
    keep_secret(CANARY, secret, state_dir=state, overwrite=False)
    assert [(p.stat().st_uid, stat.S_IMODE(p.stat().st_mode)) for p in (secret.parent, secret)] == [
        (nobody, 0o700),
        (nobody, 0o600),
    ]
    with pytest.raises(ConfigError, match="is there already"):
        keep_secret("another", secret, state_dir=state, overwrite=False)
    assert secret.read_text() == f"{CANARY}\n"


@pytest.mark.parametrize("kind", [kind for kind in loading.known() if kind != "numbering_plan"])
def test_a_config_can_be_made_for_every_kind(tmp_path: Path, kind: str) -> None:
    """What is asked is all that a kind cannot do without."""
    values = {
        q.key: VALUES.get((kind, q.key), f"env:{kind}_{q.key}".upper().replace("ENV:", "env:")) for q in questions(kind)
    }
    account = Account("vendor", kind, values)
    path = tmp_path / "agi-lookup.yaml"
    write_config(render(Answers("FR", str(tmp_path), ("0",), accounts=(account,))), path, overwrite=False)
    assert f"kind: {kind}" in path.read_text()


VALUES = {
    ("enum_dns", "zone"): "e164.example.net",
    ("http_json", "preset"): "twilio_lookup_v2",
    ("smspartner", "public_url"): "https://pbx.example.com",
}
