"""What the callers of one PBX may put before, around or instead of a number.

Everything is text: `011` and `0ZX` keep their zeros. Patterns are Asterisk's: X is 0-9, Z 1-9, N 2-9, `[1-5]` one of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Final

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_ELEMENT: Final = re.compile(r"[0-9XZN]|\[(?:[0-9]-[0-9]|[0-9])+\]")
_DIGITS_OF: Final = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}
_NEVER: Final = r"(?!)"


def known_country(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(
            "not a country that the numbering plan knows; use two capital letters of ISO 3166-1, such as GB"
        )
    return code


def _pattern(pattern: str) -> str:
    digits_matching(pattern)
    return pattern


def digits_matching(pattern: str) -> str:
    """The regular expression of an Asterisk pattern (`0ZX`, `_2XXX`, `[1-5]00`). Raises `ValueError` for anything else."""
    body = pattern.removeprefix("_")
    elements = _ELEMENT.findall(body)
    if not elements or "".join(elements) != body:
        raise ValueError(
            f"{pattern!r} is no dial pattern; use digits, X (0-9), Z (1-9), N (2-9) and sets such as [1-5]"
        )
    source = "".join(_DIGITS_OF.get(element, element) for element in elements)
    try:
        re.compile(source)
    except re.error:
        raise ValueError(
            f"{pattern!r} has a set that runs backwards; write the lower digit first, as in [1-5]"
        ) from None
    return source


Digits = Annotated[str, Field(pattern=r"^[0-9]{1,8}$")]
DialPattern = Annotated[str, Field(max_length=64), AfterValidator(_pattern)]


class DialPlan(BaseModel):
    """The dial plan of one profile. An empty `international` or absent `national` means: as the home country dials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: Annotated[str, AfterValidator(known_country)] = Field(description="home country, ISO 3166-1 alpha-2")
    outside_line: tuple[Digits, ...] = Field(
        default=(), description="digits for an outside line, dialled before all else"
    )
    international: tuple[Digits, ...] = Field(default=(), description="prefixes for abroad, such as 00 or 011")
    national: Annotated[str, Field(pattern=r"^[0-9]{0,4}$")] | None = Field(default=None, description="trunk prefix")
    carrier_select: tuple[DialPattern, ...] = Field(default=(), description="patterns of carrier codes, such as 0ZX")
    tech_prefixes: tuple[Annotated[str, Field(pattern=r"^[0-9*#]{1,16}$")], ...] = Field(
        default=(), description="what a trunk wants in front, such as 1234#"
    )
    extensions: tuple[DialPattern, ...] = Field(default=(), description="patterns of this PBX's own extensions")
    short_codes: tuple[DialPattern, ...] = Field(default=(), description="short codes beside the country's own")
    emergency: tuple[Annotated[str, Field(pattern=r"^[0-9]{2,8}$")], ...] = Field(
        default=(), description="emergency numbers beside the country's own, 112 and 911"
    )

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, name) for name in type(self).model_fields))

    def __hash__(self) -> int:
        """Computed once: plans are keys of the caches in `number` and `emergency`, asked for on every call."""
        return self._hash

    @cached_property
    def calling_code(self) -> str:
        return str(phonenumbers.country_code_for_region(self.country))

    @cached_property
    def trunk(self) -> str:
        """The national trunk prefix; empty where numbers are dialled without one."""
        if self.national is not None:
            return self.national
        return phonenumbers.ndd_prefix_for_region(self.country, True) or ""

    @cached_property
    def idd(self) -> str:
        """The regular expression of the international prefixes."""
        if self.international:
            return one_of(map(re.escape, self.international))
        metadata = PhoneMetadata.metadata_for_region(self.country)
        return one_of([metadata.international_prefix] if metadata and metadata.international_prefix else [])


def one_of(sources: Iterable[str]) -> str:
    """The regular expression for any of these; for none of them, one that never matches."""
    alternatives = "|".join(sources)
    return f"(?:{alternatives})" if alternatives else _NEVER
