"""Countries of the simulated vendors: real codes, invented operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Country:
    """Real codes, invented operators: `networks` are MNC and name."""

    calling_code: str
    iso: str
    name: str
    timezone: str
    mcc: str
    networks: tuple[tuple[str, str], ...]


COUNTRIES: Final = (
    Country(
        "1", "US", "United States", "America/New_York", "310", (("010", "Example Wireless"), ("410", "Sample PCS"))
    ),
    Country(
        "31", "NL", "Netherlands", "Europe/Amsterdam", "204", (("04", "Voorbeeld Mobiel"), ("08", "Proef Telecom"))
    ),
    Country("33", "FR", "France", "Europe/Paris", "208", (("01", "Exemple Télécom"), ("10", "Échantillon Mobile"))),
    Country("34", "ES", "Spain", "Europe/Madrid", "214", (("01", "Ejemplo Móvil"), ("07", "Muestra"))),
    Country("39", "IT", "Italy", "Europe/Rome", "222", (("01", "Esempio Mobile"), ("10", "Campione"))),
    Country("40", "RO", "Romania", "Europe/Bucharest", "226", (("01", "Exemplu Mobil"), ("10", "Mostra Telecom"))),
    Country("44", "GB", "United Kingdom", "Europe/London", "234", (("15", "Example Mobile"), ("10", "Sample Telecom"))),
    Country("49", "DE", "Germany", "Europe/Berlin", "262", (("01", "Beispiel Mobil"), ("02", "Muster Funk"))),
)
ELSEWHERE: Final = Country("", "", "", "", "001", (("01", "Test Network"), ("02", "Other Test Network")))
"""ITU-T E.212 keeps MCC 001 for tests."""


def country_of(number: str) -> Country:
    """By the calling code of `number` (digits without `+`)."""
    return next((country for country in COUNTRIES if number.startswith(country.calling_code)), ELSEWHERE)
