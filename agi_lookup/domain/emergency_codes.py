"""Which codes reach an emergency service: libphonenumber's, the two that work everywhere, and our own list of what it lacks.

libphonenumber states no code for GN, GQ, IO, TA and TK, and no source was at hand: there 112 and 911 are known, and a plan's
`emergency` adds to them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from phonenumbers.phonemetadata import PhoneMetadata

from agi_lookup.domain.dial_plan import one_of

UNIVERSAL: Final = ("112", "911")
"""Known to every mobile phone in every country: 3GPP TS 22.101, section 10.1.1."""


class Extra(NamedTuple):
    """Codes that a country's regulator or service names and libphonenumber's emergency data lacks. Read in November 2026."""

    country: str
    codes: tuple[str, ...]
    source: str


EXTRAS: Final = (
    Extra("AT", ("128", "140", "141", "142", "147"), "KEM-V 2009; https://www2.rtr.at/de/tk/emergencyS"),
    Extra(
        "BR",
        ("180", "181", "185", "188", "191", "194", "197", "198", "199"),
        "Anatel: the series 180 to 199 is for public emergency services; "
        "https://gov.br/anatel/pt-br/regulado/numeracao/codigos-nacionais/servicos-de-utilidade-publica-e-de-emergencia",
    ),
    Extra("CA", ("988",), "https://crtc.gc.ca/eng/archive/2022/2022-234.htm"),
    Extra("CH", ("143", "147"), "BAKOM, Infomailing 49: numbers routed as emergency calls"),
    Extra("CN", ("122",), "Ministry of Public Security: traffic accidents"),
    Extra(
        "FR",
        ("114", "115", "116000", "116111", "116117", "119", "191", "196", "197"),
        "https://arcep.fr/demarches-et-services/utilisateurs/je-cherche-la-liste-des-numeros-durgence.html; "
        "Arcep decision 2017-1251 for 116111",
    ),
    Extra("JP", ("118",), "Japan Coast Guard; http://www.kaiho.mlit.go.jp/joho/tel118/"),
    Extra("RU", ("04", "104"), "gas; numbering plan, order 142 of 2006 as amended by 360 of 2013"),
    Extra("TR", ("122", "156", "158", "177"), "https://sinopism.saglik.gov.tr/TR-226526/acil-durumda-sadece-112.html"),
    Extra("US", ("988",), "47 CFR 52.200"),
)


def codes(country: str) -> str:
    """The regular expression of the codes of a country (ISO 3166-1 alpha-2)."""
    metadata = PhoneMetadata.short_metadata_for_region(country)
    official = metadata.emergency.national_number_pattern if metadata and metadata.emergency else None
    extras = [code for extra in EXTRAS if extra.country == country for code in extra.codes]
    return one_of([*UNIVERSAL, *([official] if official else []), *extras])
