"""`agi-lookup sim`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.sim.vendors import Simulator

RATE = click.FloatRange(0, 1)


@click.command("sim")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8574, show_default=True, help="0 takes a free one.")
@click.option("--print-config", "only_config", is_flag=True, help="Print the provider blocks that point here, and end.")
@click.option("--latency-ms", type=click.FloatRange(0, 600_000), default=0, show_default=True, help="For every answer.")
@click.option(
    "--slow-s", type=click.FloatRange(0, 600), default=3, show_default=True, help="For numbers that end in 20."
)
@click.option("--error-rate", type=RATE, default=0, help="Share of requests that get HTTP 500.")
@click.option("--drop-rate", type=RATE, default=0, help="Share of replies that are lost, and charged.")
@click.option(
    "--limit", "limits", multiple=True, metavar="VENDOR.NAME=VALUE", help="Of an account: npl.max_connections=1."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, host: str, port: int, only_config: bool, as_json: bool, **asked: Any) -> None:
    """Run all provider simulators on one port, with faults and a bill. Ctrl-C ends it and prints the bill.

    The last two digits of a number say what happens: 00 reachable, 01 ported, 02 absent, 03 unknown subscriber, 05 no coverage,
    06 inconclusive, 09 landline, 20 slow, 21 never answers, 22 cut off, 23 HTTP 500 ... The state is at /_sim/bill and
    /_sim/journal, faults change by POST to /_sim/faults, POST to /_sim/reset starts over.
    """
    import json

    import uvloop
    import yaml

    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.sim.vendors import print_config

    if only_config:
        blocks = print_config(f"http://{host}:{port}")
        click.echo(json.dumps(yaml.safe_load(blocks)) if as_json else blocks.rstrip())
        return
    try:
        uvloop.run(_run(_simulator(asked), host, port, as_json=as_json))
    except OSError as error:
        raise OutsideError(f"cannot listen on {host}:{port} ({error.strerror or error}); is it in use?") from None


def _simulator(asked: dict[str, Any]) -> Simulator:
    from agi_lookup.sim.delivery import Faults
    from agi_lookup.sim.vendors import Simulator, limits_of

    return Simulator(
        **limits_of(asked["limits"]),
        faults=Faults(
            latency_ms=asked["latency_ms"],
            slow_s=asked["slow_s"],
            error_rate=asked["error_rate"],
            drop_rate=asked["drop_rate"],
        ),
    )


async def _run(simulator: Simulator, host: str, port: int, *, as_json: bool) -> None:
    import asyncio
    import json
    import resource
    import signal

    from agi_lookup.sim.vendors import print_config, serve

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serve(simulator, host, port):
        started = {"url": simulator.url}
        click.echo(json.dumps(started) if as_json else f"Serving on {simulator.url}\n\n{print_config(simulator.url)}")
        await stopped.wait()
    click.echo(json.dumps({"bill": simulator.bill.summary()}) if as_json else _bill(simulator))


def _bill(simulator: Simulator) -> str:
    return "\n".join(
        f"{name}: {account.requests} requests, {account.free} of them free, {account.numbers} numbers,"
        f" {account.charged} {account.currency} charged, {account.balance} left"
        for name, account in simulator.bill.accounts.items()
    )
