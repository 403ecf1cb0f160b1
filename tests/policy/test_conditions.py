"""Each condition with what makes it hold, fail, and stay unknown; and a file for each that lists prefixes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agi_lookup.domain.model import Identity, Liveness, Method, Number, NumberClass, NumberType, Reason, Tri
from agi_lookup.policy.conditions import CONDITIONS, Cost, Needs, When, all_hold, needed, predicate
from agi_lookup.policy.facts import Facts, Price
from agi_lookup.policy.history import History
from tests.fakes import ABSENT, ALIVE, DEAD, KNOWN, NUMBER
from tests.policy.situations import NOW, facts

Y, N, U = Tri.YES, Tri.NO, Tri.UNKNOWN
SHORT = Number("", "GB", kind=NumberClass.SHORT)
SATELLITE = Number("+881612345678", kind=NumberClass.SATELLITE)
LANDLINE = replace(NUMBER, type=NumberType.LANDLINE)
UNTOLD = replace(NUMBER, type=NumberType.MOBILE_OR_LANDLINE)
UNTYPED = replace(NUMBER, type=NumberType.UNKNOWN)
LATE = {"hours": "22:00-06:00", "days": ["tue"], "zone": "Europe/London"}
TIMEOUT = Liveness(U, Reason.TIMEOUT)


def numbered(**changed: Any) -> Facts:
    return facts(number=replace(NUMBER, **changed))


TABLE: list[tuple[str, Any, Facts, Tri]] = [
    ("number", NUMBER.e164, facts(), Y),
    ("number", ["+447400123457", "+44740012345"], facts(), N),
    ("number", NUMBER.e164, facts(number=SHORT), U),
    ("prefix", ["+1", "+4474"], facts(), Y),
    ("prefix", ["+1", "+4475"], facts(), N),
    ("prefix", "+1", facts(number=SHORT), U),
    ("country", ["FR", "GB"], facts(), Y),
    ("country", "FR", facts(), N),
    ("country", "FR", facts(number=SATELLITE), U),
    ("type", ["mobile", "pager"], facts(), Y),
    ("type", "landline", facts(), N),
    ("type", "mobile", facts(number=UNTYPED), U),
    ("type", "voip", facts(None, Identity(type=NumberType.VOIP)), Y),
    ("type", "mobile", facts(None, Identity(type=NumberType.VOIP)), N),
    ("type", "mobile", facts(None, Identity()), Y),
    ("type", "mobile", facts(number=UNTOLD), U),
    ("type", "landline", facts(number=UNTOLD), U),
    ("type", ["voip", "premium"], facts(number=UNTOLD), U),
    ("type", ["mobile", "landline"], facts(number=UNTOLD), Y),
    ("type", ["mobile", "mobile_or_landline"], facts(number=UNTOLD), Y),
    ("type", "mobile_or_landline", facts(number=UNTOLD), Y),
    ("type", ["premium", "toll_free"], facts(number=UNTOLD), N),
    ("type", "mobile", facts(None, Identity(type=NumberType.MOBILE_OR_LANDLINE)), U),
    ("type", "mobile", facts(None, Identity(type=NumberType.MOBILE), number=UNTOLD), Y),
    ("type", "mobile_or_landline", facts(), N),
    ("type", ["mobile", "landline"], facts(number=LANDLINE), Y),
    ("kind", ["satellite", "short"], facts(number=SATELLITE), Y),
    ("kind", "satellite", facts(), N),
    ("valid", "yes", facts(), Y),
    ("valid", "no", facts(), N),
    ("valid", "no", numbered(valid=N), Y),
    ("valid", "no", numbered(valid=U), U),
    ("caller", "PJSIP/alice", facts(), Y),
    ("caller", ["PJSIP/ali*", "x"], facts(), Y),
    ("caller", "PJSIP/ali", facts(), N),
    ("caller", "PJSIP/alicea*", facts(), N),
    ("caller", "*", facts(), Y),
    ("caller", "*", facts(caller=""), U),
    ("time", LATE, facts(now=NOW), Y),  # a Tuesday, 22:13:20
    ("time", LATE, facts(now=NOW + 7 * 3600), Y),  # the night of Tuesday ends on Wednesday
    ("time", LATE, facts(now=NOW + 8 * 3600), N),
    ("time", [LATE, {"days": ["wed"]}], facts(now=NOW + 8 * 3600), Y),
    ("time", LATE, facts(now=NOW + 86400), N),
    ("time", LATE, facts(now=None), U),
    ("carrier", ["x", "EXAMPLE Mobile"], facts(None, KNOWN), Y),
    ("carrier", "Example", facts(None, KNOWN), N),
    ("carrier", "Example Mobile", facts(None, Identity(mcc="234", mnc="15")), U),
    ("carrier", "Example Mobile", facts(), U),
    ("mccmnc", ["20801", "23415"], facts(None, KNOWN), Y),
    ("mccmnc", "234150", facts(None, KNOWN), N),
    ("mccmnc", "23415", facts(None, Identity(mcc="234")), U),
    ("mccmnc", "23415", facts(None, Identity(mnc="15")), U),
    ("mccmnc", "23415", facts(), U),
    ("ported", "yes", facts(None, KNOWN), Y),
    ("ported", "no", facts(None, KNOWN), N),
    ("ported", "no", facts(None, Identity()), U),
    ("ported", "no", facts(), U),
    ("cost", {"at_least": "0.50", "currency": "EUR"}, facts(cost="0.50 EUR"), Y),
    ("cost", {"at_least": "0.50", "currency": "EUR"}, facts(cost="0.49 EUR"), N),
    ("cost", {"below": "0.50", "currency": "EUR"}, facts(cost="0.49 EUR"), Y),
    ("cost", {"below": "0.50", "currency": "EUR"}, facts(cost="0.50 EUR"), N),
    ("cost", {"at_least": "0.1", "below": "0.5", "currency": "EUR"}, facts(cost="0.6 EUR"), N),
    ("cost", {"at_least": "0.1", "below": "0.5", "currency": "EUR"}, facts(cost="0.3 EUR"), Y),
    ("cost", {"at_least": "0.50", "currency": "EUR"}, facts(cost="9.00 USD"), U),
    ("cost", {"at_least": "0.50", "currency": "EUR"}, facts(), U),
    ("reachability", {"reachable": "no"}, facts(ABSENT), Y),
    ("reachability", {"reachable": "no"}, facts(ALIVE), N),
    ("reachability", {"reachable": "no"}, facts(TIMEOUT), U),
    ("reachability", {"reachable": "no"}, facts(), U),
    ("reachability", {"reachable": "no"}, facts(ABSENT, stale=True), U),
    ("reachability", {"valid": "no"}, facts(DEAD), Y),
    ("reachability", {"valid": "no"}, facts(ABSENT), N),
    ("reachability", {"valid": "no"}, facts(TIMEOUT), U),
    ("reachability", {"reason": ["absent", "absent_sm"]}, facts(ABSENT), Y),
    ("reachability", {"reason": "absent"}, facts(DEAD), N),
    ("reachability", {"reason": "absent"}, facts(TIMEOUT), U),
    ("reachability", {"reason": "timeout"}, facts(TIMEOUT), Y),
    ("reachability", {"reachable": "no", "reason": "absent"}, facts(DEAD), N),
    ("reachability", {"reachable": "no", "valid": "yes", "reason": "absent"}, facts(ABSENT), Y),
    ("reachability", {"reachable": "no", "source": ["x", "fake"]}, facts(ABSENT), Y),
    ("reachability", {"reachable": "no", "source": "x"}, facts(ABSENT), U),
    ("reachability", {"reachable": "no", "source": "fake", "method": "hlr"}, facts(ABSENT), Y),
    ("reachability", {"reachable": "no", "method": ["hlr", "lrn"]}, facts(ABSENT), Y),
    ("reachability", {"reachable": "no", "method": "hlr"}, facts(ABSENT, method=Method.MNP), U),
    ("reachability", {"reachable": "no", "max_age_s": "60"}, facts(ABSENT, age_s=60), Y),
    ("reachability", {"reachable": "no", "max_age_s": "60"}, facts(ABSENT, age_s=61), U),
    ("reachability", {"reachable": "no", "max_age_s": "60"}, facts(ABSENT, now=None), U),
    ("reachability", {"source": "fake"}, facts(ABSENT), Y),
    ("reachability", {"reachable": "no"}, facts(ABSENT, history=History(alive=True)), U),
    ("reachability", {"valid": "no"}, facts(DEAD, history=History(alive=True)), U),
    ("reachability", {"reachable": "yes"}, facts(ALIVE, history=History(alive=True)), Y),
    ("dead_score", "1", facts(DEAD), Y),
    ("dead_score", "2", facts(DEAD), U),
    ("dead_score", "2", facts(ABSENT, history=History(refused_by=2, tries=3)), Y),
    ("dead_score", "3", facts(ABSENT, history=History(refused_by=2, tries=3)), U),
    ("dead_score", "1", facts(DEAD, history=History(alive=True)), N),
]  # fmt: skip


def test_conditions_answer_yes_no_or_unknown() -> None:
    for name, wanted, known, expected in TABLE:
        found = predicate(When.model_validate({name: wanted}))(known)

        assert found is expected, (name, wanted)


def test_every_condition_has_a_row_and_is_in_the_table() -> None:
    assert CONDITIONS.keys() == When.model_fields.keys()
    assert {name for name, *_ in TABLE} == CONDITIONS.keys() - {"prefix_file"}


def test_prefixes_come_from_a_file_as_from_the_config(tmp_path: Path) -> None:
    feed = tmp_path / "feed.txt"
    feed.write_text("4474\n")
    listed = predicate(When(prefix_file=feed))

    assert [listed(facts()), listed(numbered(e164="+33123456789")), listed(facts(number=SHORT))] == [Y, N, U]


def test_all_conditions_must_hold() -> None:
    both = predicate(When.model_validate({"country": "GB", "ported": "yes"}))
    expected = {
        (Y, facts(None, KNOWN)),
        (N, facts(None, KNOWN, number=replace(NUMBER, country="FR"))),
        (N, facts(number=replace(NUMBER, country="FR"))),
        (U, facts()),
    }

    for found, known in expected:
        assert both(known) is found


def test_a_no_decides_then_an_unknown() -> None:
    for found in product(Tri, repeat=3):
        assert all_hold(found) is (N if N in found else U if U in found else Y)
    assert all_hold(()) is Y


def test_what_has_to_be_known_first_is_known() -> None:
    assert needed(When.model_validate({"country": "GB", "time": {}})) == {Needs.CALL}
    assert needed(When.model_validate({"type": "mobile", "carrier": "x"})) == {Needs.EITHER, Needs.ANSWER}
    assert (
        needed(When.model_validate({"dead_score": 1}))
        == needed(When.model_validate({"reachability": {}}))
        == {Needs.LIVENESS}
    )


def test_an_amount_may_be_of_any_scale() -> None:
    limit = Cost.model_validate({"below": "0.10", "currency": "EUR"})

    assert limit.below == Decimal("0.1")
    assert predicate(When(cost=limit))(replace(facts(), cost=Price(Decimal("0.100"), "EUR"))) is N


REFUSED = {
    "a number without +": {"number": "447400123456"},
    "a prefix that no number has": {"prefix": "+0"},
    "an empty list": {"country": []},
    "no country": {"country": "XX"},
    "what is unknown": {"type": "unknown"},
    "an answer that is none": {"ported": "unknown"},
    "an MNC of one digit": {"mccmnc": "2341"},
    "a cost without a limit": {"cost": {"currency": "EUR"}},
    "a cost without a currency": {"cost": {"below": "1"}},
    "a negative cost": {"cost": {"below": "-1", "currency": "EUR"}},
    "no such zone": {"time": {"zone": "Europe/Nowhere"}},
    "no such hours": {"time": {"hours": "25:00-26:00"}},
    "an age of nothing": {"reachability": {"max_age_s": 0}},
    "no such reason": {"reachability": {"reason": "gone"}},
    "an unknown key": {"colour": "red"},
    "agreement, which nobody tells": {"agreement": "yes"},
    "an unknown key inside": {"reachability": {"colour": "red"}},
    "a score beyond all evidence": {"dead_score": 4},
}


@pytest.mark.parametrize("written", REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_condition_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        When.model_validate(written)
