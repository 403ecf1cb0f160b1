"""`agi-lookup`: finds the command and runs it. Each command is a module of this package, imported only when it is used."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Final

import rich_click as click

from agi_lookup import __version__, cli
from agi_lookup.domain.errors import ConfigError, OutsideError

EXIT_USAGE: Final = 2
EXIT_OUTSIDE: Final = 3


class LazyCommands(click.RichGroup):
    """The modules beside this one are the commands: `cache.py` is `agi-lookup cache`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(m.name for m in pkgutil.iter_modules(cli.__path__) if m.name != "main")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{cli.__name__}.{cmd_name}").command
        return command


@click.command(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="Config file; else $AGI_LOOKUP_CONFIG and the usual places.",
)
@click.version_option(__version__, prog_name="agi-lookup")
@click.pass_context
def app(context: click.Context, config: Path | None) -> None:
    """Look up every dialled number in time, or get out of the way."""
    context.obj = config


def main() -> None:
    """Exit status: 0 done, 1 the answer is negative, 2 wrong usage or config, 3 something outside failed."""
    try:
        app(prog_name="agi-lookup")
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except OutsideError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_OUTSIDE)
    except OSError as error:
        print(f"{error.filename or 'system'}: {error.strerror or type(error).__name__}", file=sys.stderr)
        sys.exit(EXIT_OUTSIDE)


if __name__ == "__main__":
    main()
