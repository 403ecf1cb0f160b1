"""The numbering plan says what a number says of itself, and never more."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Number, NumberType, Tri
from agi_lookup.domain.number import normalise
from agi_lookup.providers.base import Provider
from agi_lookup.providers.numbering_plan import NumberingPlan, identity
from tests.domain import numbering

GB = DialPlan(country="GB")


def ask(*numbers: Number) -> dict[str, LookupAnswer]:
    """What `lookup` returns; it must not ask for any request on the way."""
    provider: Provider = NumberingPlan()
    flow = provider.lookup(numbers, now=1000.0)
    with pytest.raises(StopIteration) as done:
        next(flow)
    answers: dict[str, LookupAnswer] = done.value.value
    return answers


def test_a_mobile_that_can_move_names_only_its_issuer() -> None:
    number = normalise("+447400123456", GB)
    assert ask(number) == {
        "+447400123456": LookupAnswer(
            number="+447400123456",
            provider="plan",
            method=Method.PLAN,
            observed_at=1000.0,
            identity=Identity(orig_carrier="Three", type=NumberType.MOBILE, country="GB"),
            liveness=None,
            cost=Decimal(0),
        )
    }


def test_the_issuer_is_never_taken_for_the_carrier() -> None:
    """libphonenumber's "not portable" also means "no data": China and the Emirates have had portability for years."""
    for dialled in ("+8613812345678", "+971501234567", "+447400123456"):
        known = identity(normalise(dialled, GB))

        assert known.orig_carrier
        assert (known.carrier, known.ported, known.known) == (None, Tri.UNKNOWN, False)


def test_a_landline_is_never_said_to_be_unported() -> None:
    known = identity(normalise("+862112345678", GB))
    assert (known.type, known.carrier, known.ported) == (NumberType.LANDLINE, None, Tri.UNKNOWN)


def test_an_invalid_number_has_no_carrier() -> None:
    known = identity(normalise("+441999123456", GB))
    assert (known.carrier, known.orig_carrier, known.ported, known.type) == (
        None,
        None,
        Tri.UNKNOWN,
        NumberType.UNKNOWN,
    )


def test_the_longest_prefix_names_the_issuer() -> None:
    """Ranges inside ranges: `+852 6...` is full of them."""
    names = {identity(normalise(f"+8526{n:03}0000", GB)).orig_carrier for n in range(0, 1000, 7)}
    assert len(names) > 3


def test_nothing_is_claimed_that_porting_may_have_changed() -> None:
    """Every region and type: a current carrier or "not ported" only for mobiles of regions without portability; never liveness."""
    seen = 0
    for region in numbering.REGIONS:
        for example in numbering.examples(region):
            try:
                number = normalise(numbering.e164(example), GB)
            except NumberError:
                continue
            answer = ask(number)[number.e164]
            assert answer.liveness is None
            assert answer.identity is not None
            fixed = number.type is NumberType.MOBILE and number.portable is Tri.NO
            assert (answer.identity.ported is Tri.NO) == fixed
            assert answer.identity.carrier is None or fixed
            seen += 1
    assert seen > 1000


def test_it_provides_identity_only_and_takes_any_batch() -> None:
    assert NumberingPlan.provides == frozenset({Facet.IDENTITY})
    numbers = [normalise(f"+4474001234{n:02}", GB) for n in range(50)]
    assert list(ask(*numbers)) == [number.e164 for number in numbers]
