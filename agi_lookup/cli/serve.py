"""`agi-lookup serve`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command("serve")
@click.pass_obj
def command(named: Path | None) -> None:
    """Run the server until SIGTERM or Ctrl-C. SIGHUP reloads the config."""
    import asyncio

    import structlog
    import uvloop

    from agi_lookup import config as configuration
    from agi_lookup.alarms import remedy
    from agi_lookup.daemon import serve
    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.log import configure
    from agi_lookup.metrics import Metrics

    _keep_to_ourselves()
    path = configuration.find(named)
    config = configuration.read(path)
    log = structlog.get_logger()
    metrics = Metrics(lambda code, detail: log.error("alarm", code=code, detail=detail, do=remedy(code)))
    sink = configure(config.log.level, on_drop=metrics.log_dropped.inc)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(path, config, metrics, on_ready=_say_where))
    except OSError as error:
        wanted = [f"{o.host}:{o.port}" for o in (config.server, config.http, config.hooks) if o.port is not None]
        where = error.filename or " or ".join(wanted)
        why = error.strerror or error
        raise OutsideError(f"{path}: cannot listen on {where} ({why}); name another host or port there") from None
    finally:
        sink.close()


def _keep_to_ourselves() -> None:
    """Numbers and secrets are in memory: no core dump of it, and no file that is made is for others."""
    import os
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    os.umask(0o077)


def _say_where(address: str) -> None:
    import sys

    from agi_lookup.cli.call import DEFAULT_PORT
    from agi_lookup.config import reachable

    host, _, port = address.rpartition(":")
    there = f"{reachable(host)}:{port}"
    elsewhere = "" if there == f"127.0.0.1:{DEFAULT_PORT}" else f" --agi {there}"
    click.echo(f"Listening on agi://{address}/lookup. Try: {sys.argv[0]} call 447400123456{elsewhere}")
