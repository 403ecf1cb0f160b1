"""`agi-lookup init`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.first_config.answers import Account, Answers, Question

ETC = Path("/etc/agi-lookup")
FILE = "agi-lookup.yaml"
STATE = "/var/lib/agi-lookup"


@click.command("init")
@click.option("--yes", is_flag=True, help="Ask nothing: what is not told is as by default.")
@click.option("--config", "own", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--country", metavar="XX", help="Home country, ISO 3166-1: how numbers without + are read.")
@click.option("--outside-line", "outside", multiple=True, metavar="DIGITS", help="Dialled for an outside line.")
@click.option("--provider", "providers", multiple=True, metavar="[NAME=]KIND", help="Whom to ask, in order.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME.KEY=VALUE", help="Of a provider; secrets as references."
)
@click.option("--deadline-ms", metavar="MS", help="How long a call waits for a lookup.  [default: 1000]")
@click.option("--daily-cap", metavar="AMOUNT|none", help="What each provider may cost a day, in its currency.")
@click.option("--state-dir", help="Where the server keeps its cache and ledger.")
@click.option("--force", is_flag=True, help="Write over a config that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(named: Path | None, /, own: Path | None, yes: bool, force: bool, as_json: bool, **told: Any) -> None:
    """Write a first config, and say what to do next. Asks little; --yes asks nothing.

    Secrets are written as env:NAME or file:/path; one that is typed in goes into a file of its own, mode 0600.
    """
    import sys

    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.first_config.files import write_config
    from agi_lookup.first_config.text import environment, render

    path = _where(own or named).absolute()
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; --force writes over it")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: use --yes, with --country and what else is known")
    path.parent.mkdir(parents=True, exist_ok=True)
    answers = _answers(path, told, yes, force)
    text = render(answers)
    write_config(text, path, overwrite=force)
    _report(path, answers, environment(text), as_json)


def _where(named: Path | None) -> Path:
    """The one named, that of the environment, or where the server looks."""
    import os

    from agi_lookup.config import ENVIRONMENT

    if named is not None:
        return named
    if in_environment := os.environ.get(ENVIRONMENT):
        return Path(in_environment)
    writable = os.access(ETC if ETC.exists() else ETC.parent, os.W_OK)
    return (ETC if writable else Path()) / FILE


def _answers(path: Path, told: dict[str, Any], yes: bool, force: bool) -> Answers:
    """Raises `click.UsageError` or `ConfigError`."""
    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.first_config import answers as reading
    from agi_lookup.first_config.files import currencies
    from agi_lookup.first_config.text import render

    country = _ask("Home country (two letters of ISO 3166-1: GB, FR, US)", reading.country, told["country"], None, yes)
    outside = tuple(_ask("", reading.digits, digits, None, yes) for digits in told["outside"])
    if not outside and (
        line := _ask("Digits for an outside line (empty: none)", reading.digits_or_none, None, "", yes)
    ):
        outside = (line,)
    state_dir = told["state_dir"] or (STATE if path.parent == ETC else str(path.parent / "state"))
    answers = reading.Answers(country, state_dir, outside)
    accounts = _Accounts(path.parent, Path(state_dir), told["settings"], yes, force)
    answers = replace(answers, accounts=tuple(accounts.named(provider) for provider in told["providers"]))
    while not yes and not told["providers"] and (account := accounts.next()):
        try:
            currencies(render(replace(answers, accounts=(account,))), path)
        except ConfigError as error:
            click.echo(f"Error: {error}")
        else:
            answers = replace(answers, accounts=(*answers.accounts, account))
    accounts.refuse_unused()
    deadline = _ask("Milliseconds that a call waits", reading.deadline_ms, told["deadline_ms"], "1000", yes)
    answers = replace(answers, deadline_ms=deadline)
    return replace(answers, caps=_caps(currencies(render(answers), path), told["daily_cap"], yes))


def _ask(question: str, read: Callable[[str], Any], told: str | None, default: str | None, yes: bool) -> Any:
    """What was told on the command line, the default where nothing may be asked, or an answer: asked until it is good."""

    def reader(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    if told is not None:
        return reader(told)
    if not yes:
        return click.prompt(question, default=default, value_proc=reader, show_default=bool(default))
    if default is None:
        raise click.UsageError(f"with --yes it has to be told: {question}")
    return reader(default)


class _Accounts:
    """The providers, as flags told them or as they are asked for."""

    def __init__(self, folder: Path, state_dir: Path, settings: tuple[str, ...], yes: bool, force: bool) -> None:
        """`settings` are `NAME.KEY=VALUE`. Raises `click.UsageError`."""
        self._folder = folder
        self._state_dir = state_dir
        self._yes = yes
        self._force = force
        self._typed: set[Path] = set()
        self._settings: dict[str, str] = {}
        for setting in settings:
            where, equals, value = setting.partition("=")
            if not equals or "." not in where:
                raise click.BadParameter("expected NAME.KEY=VALUE", param_hint="--set")
            self._settings[where] = value

    def named(self, provider: str) -> Account:
        name, equals, kind = provider.partition("=")
        return self._account(name, kind if equals else name)

    def next(self) -> Account | None:
        """None: no more."""
        from agi_lookup.first_config import answers as reading
        from agi_lookup.providers import loading

        click.echo(f"Providers: {', '.join(kind for kind in loading.known() if kind != 'numbering_plan')}")
        kind = _ask("Whom to ask next (empty: nobody)", reading.kind, None, "", self._yes)
        if not kind:
            return None
        return self._account(_ask("Its name in config and variables", reading.name, None, kind, self._yes), kind)

    def refuse_unused(self) -> None:
        if self._settings:
            raise click.BadParameter(f"{next(iter(self._settings))}: there is no such provider", param_hint="--set")

    def _account(self, name: str, kind: str) -> Account:
        from agi_lookup.first_config import answers as reading

        _ask("", reading.name, name, None, self._yes)
        values = {question.key: self._value(name, question) for question in reading.questions(kind)}
        for where in [where for where in self._settings if where.startswith(f"{name}.")]:
            key = where.partition(".")[2]
            read = reading.reference if reading.is_secret(kind, key) else reading.filled
            values[key] = _ask(where, read, self._settings.pop(where), None, self._yes)
        return reading.Account(name, kind, values)

    def _value(self, name: str, question: Question) -> str:
        from agi_lookup.first_config import answers as reading

        told = self._settings.pop(f"{name}.{question.key}", None)
        default = None if question.choices else f"env:{reading.variable(name, question.key)}"
        what = f"{name}: {question.key}{f' ({question.about})' if question.about else ''}"
        if question.choices:
            what += f", one of {', '.join(question.choices)}"
        if not question.secret:
            return str(_ask(what, reading.filled, told, default, self._yes))
        may_type = told is None and not self._yes
        read = reading.reference_or_type if may_type else reading.reference
        what += f". Where is it? env:NAME, file:/path, or `{reading.TYPE}` to put it into a file now"
        where = str(_ask(what, read, told, default, self._yes))
        return self._typed_in(name, question.key) if where == reading.TYPE else where

    def _typed_in(self, name: str, key: str) -> str:
        from agi_lookup.first_config.files import keep_secret

        path = self._folder / "secrets" / f"{name}_{key}"
        secret = click.prompt(f"{name}: {key}", hide_input=True)
        keep_secret(secret, path, state_dir=self._state_dir, overwrite=self._force or path in self._typed)
        self._typed.add(path)
        click.echo(f"It is in {path}, which its owner alone may read.")
        return f"file:{path}"


def _caps(currencies: dict[str, str], told: str | None, yes: bool) -> dict[str, Any]:
    from agi_lookup.first_config import answers as reading

    caps = {}
    for name, currency in currencies.items():
        question = f"{name}: at most so many {currency} a day (or `{reading.NO_CAP}`)"
        amount = _ask(question, reading.cap, told, str(reading.CAPS.get(currency, reading.NO_CAP)), yes)
        if amount is not None:
            caps[name] = (currency, amount)
    return caps


def _report(path: Path, answers: Answers, environment: list[str], as_json: bool) -> None:
    import json

    providers = [account.name for account in answers.accounts]
    if as_json:
        click.echo(json.dumps({"file": str(path), "providers": providers, "environment": environment}))
        return
    click.echo(f"\n{path} is written, and good.")
    if environment:
        click.echo(f"The server needs in its environment: {', '.join(environment)}")
    click.echo(
        "\nIn Asterisk's extensions.conf, with dialplan/extensions_agi_lookup.conf beside it:\n"
        '  #include "extensions_agi_lookup.conf"\n'
        "  same => n,Gosub(agi-lookup,s,1(${EXTEN}))   ; before your Dial()"
    )
    if answers.deadline_ms > 1000:
        click.echo(f"and in [globals]:\n  AGI_LOOKUP_WATCHDOG_S = {answers.deadline_ms / 1000 + 0.5:g}")
    me = f"agi-lookup --config {path}"
    click.echo(f"\nNext:\n  {me} serve\n  {me} call 447400123456\n  {me} doctor")
