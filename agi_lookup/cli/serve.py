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
    from agi_lookup.daemon import serve
    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.log import configure
    from agi_lookup.metrics import Metrics

    path = configuration.find(named)
    config = configuration.read(path)
    log = structlog.get_logger()
    metrics = Metrics(lambda code, detail: log.error("alarm", code=code, detail=detail))
    sink = configure(config.log.level, on_drop=metrics.log_dropped.inc)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(path, config, metrics, on_ready=_say_where))
    except OSError as error:
        where = f"{config.server.host}:{config.server.port} or {config.http.host}:{config.http.port}"
        raise OutsideError(f"{path}: cannot listen on {where} ({error.strerror or error}); is it in use?") from None
    finally:
        sink.close()


def _say_where(address: str) -> None:
    import sys

    click.echo(f"Listening on agi://{address}/lookup. Try: {sys.argv[0]} call 447400123456 --agi {address}")
