"""What stands for a number or a caller where those are not to be kept: a keyed hash (BLAKE2b, RFC 7693, section 2.9).

A plain hash of a phone number is undone by hashing all numbers; with a key, whoever has none cannot. Each file has a key of its own
beside it, so that what one keeps cannot be joined with what another keeps. Once a key is gone, its hashes stand for nobody.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
HASH_BYTES: Final = 16
ID_BYTES: Final = 6
"""Enough to tell the numbers of a month apart: of a million, two are alike with a chance of 0.2 %."""
ID_KEY_DAYS: Final = 30
ID_KEY_FILE: Final = "log.key"
DAY_S: Final = 86_400.0


def keyed(key: bytes, text: str) -> bytes:
    """The same for the same text, and of no use without the key."""
    return blake2b(text.encode("utf-8", "backslashreplace"), key=key, digest_size=HASH_BYTES).digest()


def key_of(path: Path) -> bytes:
    """The key in a file, made at first use. Another key only means that old hashes match nothing any more. Raises `OSError`."""
    with suppress(FileNotFoundError):
        if len(key := path.read_bytes()) == KEY_BYTES:
            return key
    key = secrets.token_bytes(KEY_BYTES)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
        out.write(key)
    new.rename(path)
    return key


class NumberIds:
    """A short id for each number, by which log lines and shown calls of one number are joined without it.

    The key lives for a month, or until somebody deletes its file: after that a number has another id.
    """

    def __init__(self, path: Path) -> None:
        """Until `renew`, with a key that ends with the process."""
        self._path = path
        self._key = secrets.token_bytes(KEY_BYTES)

    def __call__(self, number: str) -> str:
        """Twelve hexadecimal digits; nothing for nothing. Less than a microsecond."""
        return blake2b(number.encode(), key=self._key, digest_size=ID_BYTES).hexdigest() if number else ""

    def renew(self) -> None:
        """Read the key, or make another one where it is gone or too old. To be called at the start and now and then.

        Raises `OSError`, and keeps the key that it has.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if time.time() - self._path.stat().st_mtime > ID_KEY_DAYS * DAY_S:
                self._path.unlink()
        self._key = key_of(self._path)
