"""Vendors' decks on disk, every version of them, and the book that is live.

    decks/VENDOR/VERSION.deck   what was imported; a version is its UTC time and the digest of its file
    decks/VENDOR/format.yaml    how the vendor writes decks, where that was saved
    decks/*.book                the decks of all vendors, compiled
    decks/live.json             which book is live, and of each vendor which version, and those before it

What is live changes by the rename of `live.json` alone, after all that it names is on disk: a crash at any point leaves the old
book live. A running server notices another `live_book`; the book before it stays for whoever is about to open it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import msgspec
import yaml

from agi_lookup import strict_yaml
from agi_lookup.cache.sqlite.lock import OtherWriter, WriterLock
from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.routing import deck_file
from agi_lookup.routing.book import BookInfo, open_book
from agi_lookup.routing.book_file import compile_book
from agi_lookup.routing.column_file import open_columns
from agi_lookup.routing.columns import Format, as_format
from agi_lookup.routing.deck_file import Deck, DeckInfo, open_deck

KEPT: Final = 10
"""Versions of a vendor, beside those that a rollback may want."""
KEPT_BEFORE: Final = 5
"""Versions that can be gone back to, one after the other."""
STAGED_FOR_S: Final = 86_400.0
"""No import takes a day: what is older was left by a crash."""
LIVE_FILE: Final = "live.json"
LIVE_FORMAT: Final = 1
FORMAT_FILE: Final = "format.yaml"
_VENDOR: Final = r"\A[A-Za-z0-9_-]{1,32}\Z"
_VERSION: Final = r"\A[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{8}\Z"
_STAGING: Final = ".staging-"

_Name = Annotated[str, msgspec.Meta(pattern=_VENDOR)]
_Id = Annotated[str, msgspec.Meta(pattern=_VERSION)]


class NothingBefore(ConfigError):
    """There is no version to go back to."""


class _Live(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of each vendor the live version, then those before it."""

    book: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z.-]+\.book\Z")]
    vendors: dict[_Name, Annotated[list[_Id], msgspec.Meta(min_length=1)]]
    format: int = LIVE_FORMAT


class _Form(msgspec.Struct, frozen=True):
    """What a file of any version says."""

    format: int = LIVE_FORMAT


class _Facts(msgspec.Struct, frozen=True):
    info: DeckInfo


@dataclass(frozen=True, slots=True)
class Version:
    """A deck that was imported. `starts` are the distinct times at which its rates come into force, ascending."""

    info: DeckInfo
    starts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Activated:
    """What went live in place of what (None: the vendor is new), and the whole book with it."""

    vendor: str
    version: str
    before: str | None
    book: BookInfo


def version_id(now: float, digest: str) -> str:
    """`now` is Unix seconds, `digest` hexadecimal. As text they sort by time; an import takes longer than a millisecond."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03}Z-{digest[:8]}"


class Store:
    """Raises `ConfigError` for names that are none, `DeckError` for damaged decks, else `OutsideError` and `OSError`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def vendors(self) -> list[str]:
        """Those with a version."""
        return sorted({path.parent.name for path in self._folder.glob("*/*.deck")})

    def ids(self, vendor: str) -> list[str]:
        """Its versions, the newest first."""
        found = (path.stem for path in self._of(vendor).glob("*.deck"))
        return sorted((name for name in found if re.match(_VERSION, name)), reverse=True)

    def version(self, vendor: str, id_: str) -> Version:
        """Without reading the rates."""
        file = open_columns(self._deck(vendor, id_), deck_file.KIND)
        info = msgspec.json.decode(file.facts, type=_Facts).info
        return Version(info, tuple(sorted(set(file.column("start")))))

    def open(self, vendor: str, id_: str) -> Deck:
        return open_deck(self._deck(vendor, id_))

    def newest(self, vendor: str) -> str:
        if ids := self.ids(vendor):
            return ids[0]
        raise ConfigError(f"{vendor}: no deck was imported; `agi-lookup rates import --vendor {vendor} FILE`")

    def live(self) -> dict[str, list[str]]:
        """Of each vendor the live version, then those before it."""
        state = self._state()
        return state.vendors if state else {}

    def live_book(self) -> Path | None:
        """The book that calls are to be routed by; None where none was ever activated."""
        state = self._state()
        return self._folder / state.book if state else None

    def read_format(self, vendor: str) -> dict[str, Any]:
        """How its files are to be read, as far as that was saved."""
        path = self._of(vendor) / FORMAT_FILE
        if not path.exists():
            return {}
        as_format(data := strict_yaml.load(path).data, f"{path}: ")
        return dict(data)

    def save_format(self, vendor: str, form: Format) -> None:
        said = form.model_dump(exclude_defaults=True)
        with self._alone():
            self._make(self._of(vendor))
            self._replace(self._of(vendor) / FORMAT_FILE, yaml.safe_dump(said, sort_keys=False).encode())

    @contextmanager
    def staging(self, now: float) -> Iterator[Path]:
        """A folder for a deck that is not accepted yet; it is gone after that."""
        self._make(self._folder)
        for left in self._folder.glob(f"{_STAGING}*"):
            if left.stat().st_mtime < now - STAGED_FOR_S:
                rmtree(left, ignore_errors=True)
        with TemporaryDirectory(dir=self._folder, prefix=_STAGING) as folder:
            yield Path(folder)

    def add(self, staged: Path, vendor: str, id_: str) -> None:
        """Take a deck in; nothing goes live by it. The oldest versions leave."""
        with self._alone():
            self._make(self._of(vendor))
            self._hand_over(staged)
            staged.rename(self._path(vendor, id_))
            _sync(self._of(vendor))
            wanted = {*self.ids(vendor)[:KEPT], *self.live().get(vendor, [])}
            for old in set(self.ids(vendor)) - wanted:
                self._path(vendor, old).unlink()

    def activate(self, vendor: str, id_: str | None, now: float) -> Activated:
        """Make a version live, else the newest. `now` is Unix seconds."""
        with self._alone():
            id_ = id_ or self.newest(vendor)
            live = self.live()
            before = live.get(vendor, [])
            live[vendor] = [id_, *(other for other in before if other != id_)][: KEPT_BEFORE + 1]
            return Activated(vendor, id_, before[0] if before else None, self._commit(live, now))

    def rollback(self, vendor: str, now: float) -> Activated:
        """Make the version live that was so before. Raises `NothingBefore`."""
        with self._alone():
            live = self.live()
            before, *rest = live.get(vendor) or [""]
            if not rest:
                raise NothingBefore(f"{vendor}: no version was live before {before or 'any'}")
            live[vendor] = rest
            return Activated(vendor, rest[0], before, self._commit(live, now))

    def _commit(self, live: dict[str, list[str]], now: float) -> BookInfo:
        book = self._folder / f"{version_id(now, secrets.token_hex(4))}.book"
        old = self.live_book()
        info = compile_book(book, [self.open(vendor, ids[0]) for vendor, ids in sorted(live.items())])
        open_book(book)  # who cannot read it has not written it
        self._hand_over(book)
        self._replace(self._folder / LIVE_FILE, msgspec.json.encode(_Live(book.name, live)))
        for other in self._folder.glob("*.book*"):
            if other not in (book, old):
                other.unlink()
        return info

    def _state(self) -> _Live | None:
        path = self._folder / LIVE_FILE
        try:
            content = path.read_bytes()
            if (form := msgspec.json.decode(content, type=_Form).format) > LIVE_FORMAT:
                raise OutsideError(
                    f"{path}: it has format {form}, this program knows {LIVE_FORMAT}: a newer version made it"
                )
            return msgspec.json.decode(content, type=_Live)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise OutsideError(f"{path}: damaged ({error}); move it away and activate each vendor again") from None

    def _of(self, vendor: str) -> Path:
        if not re.match(_VENDOR, vendor):
            raise ConfigError(f"vendor {vendor[:40]!a}: a name has 1 to 32 letters, digits, - and _")
        return self._folder / vendor

    def _deck(self, vendor: str, id_: str) -> Path:
        if re.match(_VERSION, id_) and (path := self._path(vendor, id_)).exists():
            return path
        raise ConfigError(f"{vendor}: no version {id_[:40]!a}; `agi-lookup rates show` names them")

    def _path(self, vendor: str, id_: str) -> Path:
        return self._of(vendor) / f"{id_}.deck"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command changes the store at a time. The kernel takes the lock back when its holder dies."""
        self._make(self._folder)
        lock = WriterLock(self._folder / LIVE_FILE, for_life=False)
        try:
            lock.acquire()
        except OtherWriter as error:
            raise OutsideError(f"{self._folder}: {error}; try again when that is done") from None
        try:
            self._hand_over(self._folder / f"{LIVE_FILE}.lock")
            yield
        finally:
            lock.release()

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._hand_over(folder)

    def _replace(self, path: Path, content: bytes) -> None:
        """Whole or not at all, and durable."""
        new = path.with_name(f"{path.name}.new")
        with os.fdopen(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb"
        ) as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        self._hand_over(new)
        new.rename(path)
        _sync(path.parent)

    def _hand_over(self, path: Path) -> None:
        """Root imports and the server reads: what root makes goes to whom the state folder belongs.

        Who owns the folder could put a link in the place of what root has made: no link is followed.
        """
        if os.geteuid() == 0:
            owner = self._folder.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
