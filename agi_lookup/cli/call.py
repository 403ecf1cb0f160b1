"""`agi-lookup call`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.sim.asterisk import Played

DEFAULT_PORT = 4573


class Target(NamedTuple):
    """Where to call, and what the answer's variables are called."""

    host: str
    port: int
    token: str
    prefix: str = "LOOKUP_"


@click.command("call")
@click.argument("number")
@click.option("--agi", metavar="HOST[:PORT]", help="FastAGI server; default: as the config says, else 127.0.0.1:4573.")
@click.option("--token", help="Default: as the config says, else -.")
@click.option("--uniqueid", help="The channel's UNIQUEID.")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="As in the dialplan: profile=, need=, ..."
)
@click.option("--hangup-after", type=click.FloatRange(min=0), metavar="SECONDS", help="When the caller hangs up.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(named: Path | None, /, number: str, as_json: bool, **asked: Any) -> None:
    """Play Asterisk's side of a call against a FastAGI server, and print the variables that it sets.

    Exit status: 0 when the status variable was set, 1 when it was not, 3 when the server cannot be reached.
    """
    import json
    import sys

    target = _target(named, asked["agi"], asked["token"])
    played = _play(target, number, asked["uniqueid"], asked["options"], asked["hangup_after"])
    click.echo(json.dumps(_json(played)) if as_json else _text(played), nl=as_json or bool(played.variables))
    committed = f"{target.prefix}STATUS"
    if committed not in played.variables:
        click.echo(f"{committed} was not set (AGISTATUS={played.agistatus}): the dialplan goes on without it", err=True)
        sys.exit(1)


def _target(named: Path | None, agi: str | None, token: str | None) -> Target:
    """Raises `ConfigError`. The config is read only when it can matter."""
    if agi is None:
        from agi_lookup import config as configuration
        from agi_lookup.domain.errors import ConfigError

        try:
            path = configuration.find(named)
        except ConfigError:
            return Target("127.0.0.1", DEFAULT_PORT, token or "-")
        config = configuration.read(path)
        host = configuration.reachable(config.server.host)
        known = config.server.token.get_secret_value() if config.server.token else "-"
        return Target(host, config.server.port, token or known, config.variables.prefix)
    address = agi.removeprefix("agi://").partition("/")[0]
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, str(DEFAULT_PORT)
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise click.BadParameter("expected HOST or HOST:PORT", param_hint="--agi")
    return Target(host.strip("[]"), int(port), token or "-")


def _play(
    target: Target, number: str, uniqueid: str | None, options: tuple[str, ...], hangup_after_s: float | None
) -> Played:
    """Raises `OutsideError` that says where the server was looked for."""
    import asyncio
    import os
    import time

    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.sim.asterisk import Behaviour, play
    from agi_lookup.sim.asterisk_args import StackSmashed
    from agi_lookup.sim.asterisk_wire import Call

    url = f"agi://{target.host}:{target.port}"
    uniqueid = uniqueid or f"{time.time():.3f}"
    behaviour = Behaviour(hangup_after_s=hangup_after_s, agiexitonhangup=True)  # as the dialplan that we ship
    call = Call((number, uniqueid, target.token, *options), uniqueid=uniqueid, url=f"{url}/lookup", extension=number)
    try:
        return asyncio.run(play(call, target.host, target.port, behaviour))
    except StackSmashed:
        raise OutsideError(f"{url}: sent over 127 quoted words: kills an Asterisk (asterisk/asterisk#2069)") from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error) or "no answer"
        raise OutsideError(f"{url}: {why}; is the server running there?") from None


def _json(played: Played) -> dict[str, Any]:
    return {
        "variables": played.variables,
        "commands": len(played.commands),
        "early_bytes": played.early_bytes,
        "ms": round(played.ms, 3),
    }


def _text(played: Played) -> str:
    width = max(map(len, played.variables), default=0)
    return "\n".join(f"{name:>{width}}={value}" for name, value in played.variables.items())
