"""Acme Lookup (acme.example), MNP for Europe. An invented vendor.

API: https://acme.example/docs, v2: one POST of a form, one JSON object back.
Quirk: "moved" is the vendor's word for ported; a number of no network has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from agi_lookup.domain.errors import ProviderProtocolError
from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Number, Tri
from agi_lookup.providers.base import HttpRequest, Lookup, PlmnSplit, ProviderOptions, SecretStr
from agi_lookup.providers.replies import Json, digits, network, raise_for_status, strict_json, text, tri


class Options(ProviderOptions):
    base_url: str = "https://api.acme.example/v2"
    key: SecretStr = Field(min_length=1)


class Provider:
    """One account at Acme."""

    kind: ClassVar[str] = "acme"
    provides: ClassVar[frozenset[Facet]] = frozenset({Facet.IDENTITY})
    currency: ClassVar[str] = "EUR"

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self._options = options

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        (number,) = numbers
        form = (("key", self._options.key.get_secret_value()), ("number", number.e164))
        reply = yield HttpRequest("POST", self._options.base_url, form=form)
        raise_for_status(reply, now)
        return {number.e164: self._answer(number, strict_json(reply.body), now)}

    def _answer(self, number: Number, found: Json, now: float) -> LookupAnswer:
        if not isinstance(found, dict) or f"+{digits(found.get('number'), 7, 15)}" != number.e164:
            raise ProviderProtocolError("no record for the number that was asked")
        mcc, mnc = network(found.get("mcc"), found.get("mnc")) or (None, None)
        moved = tri(found.get("moved")) if mcc else Tri.UNKNOWN
        identity = Identity(carrier=text(found.get("carrier")), mcc=mcc, mnc=mnc, ported=moved)
        return LookupAnswer(number.e164, self.name, Method.MNP, now, identity=identity)
