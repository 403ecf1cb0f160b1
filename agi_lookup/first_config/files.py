"""The config's file and those of secrets: whole, and never over one that is there unless that is wanted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agi_lookup import config as configuration
from agi_lookup.config import Config
from agi_lookup.domain.errors import ConfigError
from agi_lookup.first_config.text import environment
from agi_lookup.providers import loading

CONFIG_MODE: Final = 0o640
STAND_IN: Final = "x" * 32
"""In the place of an environment variable that the server will have, and we have not."""


def currencies(text: str, path: Path) -> dict[str, str]:
    """What each provider of a config for `path` is paid in, of those that cost anything. Raises `ConfigError` or `OSError`."""
    with _written(text, path.parent) as new:
        config = _checked(new, path)
    return {
        name: currency
        for name, options in config.providers.items()
        if (currency := loading.find(options.kind).Provider(name, options, lambda _plmn: None).currency)
    }


def write_config(text: str, path: Path, *, overwrite: bool) -> None:
    """Checked before it is there. Raises `ConfigError`, also where there is one; or `OSError`."""
    with _written(text, path.parent) as new:
        _checked(new, path)
        new.chmod(CONFIG_MODE)
        _put(new, path, overwrite=overwrite)


def keep_secret(secret: str, path: Path, *, state_dir: Path, overwrite: bool) -> None:
    """In a file of mode 0600, of the server's user where root writes it. Raises `ConfigError` where there is one, or `OSError`."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700)
        _hand_over(path.parent, state_dir)
    with _written(f"{secret}\n", path.parent) as new:
        _hand_over(new, state_dir)
        _put(new, path, overwrite=overwrite)


def _hand_over(path: Path, state_dir: Path) -> None:
    """To whom the state is: the user that the server runs as, where a package or root has made it."""
    if os.geteuid() == 0 and state_dir.exists():
        os.chown(path, state_dir.stat().st_uid, -1, follow_symlinks=False)


def _checked(new: Path, path: Path) -> Config:
    """As the server will read it, with stand-ins for what our environment lacks of its. Raises `ConfigError`, naming `path`."""
    missing = [name for name in environment(new.read_text(encoding="utf-8")) if name not in os.environ]
    os.environ.update(dict.fromkeys(missing, STAND_IN))
    try:
        return configuration.read(new)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(new), str(path))) from None
    finally:
        for name in missing:
            del os.environ[name]


def _put(new: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        new.replace(path)
        return
    try:
        path.hardlink_to(new)  # fails where there is one, unlike a rename
    except FileExistsError:
        raise ConfigError(f"{path} is there already; --force writes over it") from None


@contextmanager
def _written(text: str, folder: Path) -> Iterator[Path]:
    """A file that its owner alone reads; gone at the end, unless it was renamed."""
    descriptor, name = tempfile.mkstemp(prefix=".agi-lookup-", suffix=".new", dir=folder)  # 0600
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)
