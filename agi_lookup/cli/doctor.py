"""`agi-lookup doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.doctor.examination import Manager
    from agi_lookup.doctor.findings import Finding

AMI_PORT = 5038


@click.command("doctor")
@click.option(
    "--ami", metavar="HOST[:PORT]", help="Asterisk's manager interface; then a test call is made, which costs nothing."
)
@click.option("--ami-user", metavar="NAME", help="Its user, with write = command,originate,reporting.")
@click.option("--ami-secret", metavar="env:NAME|file:PATH", help="Where its secret is.")
@click.option(
    "--asterisk-conf",
    type=click.Path(path_type=Path),
    default=Path("/etc/asterisk"),
    show_default=True,
    help="Where extensions.conf is.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    named: Path | None,
    /,
    ami: str | None,
    ami_user: str | None,
    ami_secret: str | None,
    asterisk_conf: Path,
    as_json: bool,
) -> None:
    """Is this machine ready? Looks at config, ports, disk, clock, providers and dialplan. Changes nothing, pays for nothing.

    Exit status: 0 when nothing fails, 1 when something does, 2 when the config cannot be used.
    """
    import json
    import sys
    from dataclasses import asdict

    from agi_lookup import config as configuration
    from agi_lookup.doctor.examination import Examined, examine
    from agi_lookup.doctor.findings import fail
    from agi_lookup.domain.errors import ConfigError

    manager = _manager(ami, ami_user, ami_secret)
    try:
        examined = examine(configuration.find(named), asterisk_conf, manager)
    except ConfigError as error:
        examined = Examined([fail("config", str(error), "agi-lookup init")], readable=False)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in examined.findings]))
    else:
        click.echo(_table(examined.findings))
    if not examined.readable:
        sys.exit(2)
    sys.exit(1 if any(finding.status == "fail" for finding in examined.findings) else 0)


def _manager(ami: str | None, user: str | None, secret: str | None) -> Manager | None:
    """Raises `click.UsageError`, or `ConfigError` for a secret that cannot be read."""
    from agi_lookup.config import secret as resolved
    from agi_lookup.doctor.examination import Manager

    if ami is None and user is None and secret is None:
        return None
    if ami is None or user is None or secret is None:
        raise click.UsageError("--ami, --ami-user and --ami-secret belong together")
    if not secret.startswith(("env:", "file:")):
        raise click.BadParameter("write env:NAME or file:/path: arguments are seen by all", param_hint="--ami-secret")
    host, colon, port = ami.rpartition(":")
    if not colon or ami.endswith("]"):
        host, port = ami, str(AMI_PORT)
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise click.BadParameter("expected HOST or HOST:PORT", param_hint="--ami")
    return Manager(host.strip("[]"), int(port), user, resolved(secret))


def _table(findings: list[Finding]) -> str:
    """One line a finding, then what to do about those that are not well."""
    width = max(len(finding.name) for finding in findings)
    lines = [f"{finding.status:<7}  {finding.name:<{width}}  {finding.what}" for finding in findings]
    fixes = [finding for finding in findings if finding.fix and finding.status in ("warn", "fail")]
    if fixes:
        lines += ["", "What to do:", *(f"  {finding.name}: {finding.fix}" for finding in fixes)]
    return "\n".join(lines)
