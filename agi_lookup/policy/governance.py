"""Who watches the rules that block: calls that they would have ended and that went through all the same, and what became of them.

In shadow all such calls go through, in force a drawn few (probes). Reported results score them: who rang or answered was blocked
falsely. When the share of those passes the budget, the rule is back in shadow until an operator, or a stated time, ends that.
And while a provider's answers are not as usual (`circuit`), what rests on them is in shadow too. Pure: `now` is Unix seconds, the
draw is injected. Numbers are held in memory for hours, and never exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agi_lookup.domain.model import CallResult, Liveness, Tri, Verdict
from agi_lookup.policy.circuit import Circuit, Count
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.history import life
from agi_lookup.policy.options import GovernanceOptions, RuleAction
from agi_lookup.policy.peers import Peers, Seen, Tally
from agi_lookup.policy.rules import Rule, Shadowed, rule_on, skips_lookup
from agi_lookup.policy.wilson import wilson

WATCH_S: Final = 4 * 3600.0
"""How long a call's result is waited for; it comes when the call ends. A number scores a rule once in this time."""
MAX_WATCHED: Final = 10_000
MOST_SCORED: Final = 1000
"""Then the counts are halved, so that old results weigh less."""
Z: Final = 1.96
"""Standard deviations: 95 %."""


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """What a block rule did. `reached` and `dead` are the scored calls; they fade."""

    would_block: int = 0
    blocked: int = 0
    probes: int = 0
    reached: Count = 0.0
    dead: Count = 0.0
    returned_at: float | None = None  # to shadow, Unix seconds

    @property
    def scored(self) -> float:
        return self.reached + self.dead


class State(msgspec.Struct, forbid_unknown_fields=True):
    records: dict[str, Record] = msgspec.field(default_factory=dict)  # by `Rule.key`
    circuits: dict[str, Circuit] = msgspec.field(default_factory=dict)  # by provider and country


@dataclass(slots=True)
class Watched:
    """A call that a rule would have ended and that went through."""

    rules: tuple[Rule, ...]
    since: float
    said: Tri = Tri.UNKNOWN

    @property
    def keys(self) -> set[str]:
        return {rule.key for rule in self.rules}


@dataclass(frozen=True, slots=True)
class Standing:
    """One block rule, for people: in all instances."""

    rule: str
    mode: str  # "shadow", "enforce", or "returned": enforced, and back in shadow
    would_block: int
    blocked: int
    probes: int
    scored: int
    false_blocks: float | None  # share of the scored; None: none was
    low: float  # the interval that the share lies in, 95 %
    high: float


class Governor:
    """Outlives reloads (`configure`). `on_alarm(code, detail)` is told what an operator must look at; no detail holds a number."""

    def __init__(
        self, options: GovernanceOptions, *, draw: Callable[[], float], on_alarm: Callable[[str, str], None]
    ) -> None:
        """`draw` gives evenly spread numbers from 0 to 1, without 1."""
        self._options = options
        self._draw = draw
        self._on_alarm = on_alarm
        self._state = State()
        self._watched: dict[str, Watched] = {}
        self._peers = Peers()
        self._keys: frozenset[str] = frozenset()

    def configure(self, options: GovernanceOptions, rules: Iterable[Rule]) -> None:
        """What a rule earned stays its own while nothing is changed in it."""
        keys = self._keys = frozenset(rule.key for rule in rules)
        self._options = options
        self._state.records = {key: record for key, record in self._state.records.items() if key in keys}
        self._watched = {n: watched for n, watched in self._watched.items() if keys.issuperset(watched.keys)}

    def skips_lookup(self, rules: tuple[Rule, ...], facts: Facts, now: float) -> str:
        """See `rules.skips_lookup`."""
        return skips_lookup(rules, facts, self._shadowed(facts, now))

    def judge(self, rules: tuple[Rule, ...], facts: Facts, now: float) -> Verdict:
        """What the rules say of a call, as far as they are trusted."""
        ruling = rule_on(rules, facts, self._shadowed(facts, now))
        for rule in ruling.shadows:
            self._record(rule).would_block += 1
        if ruling.decided is None or not ruling.verdict.blocks:
            self._watch(ruling.shadows, facts, now)
            return ruling.verdict
        record = self._record(ruling.decided)
        if self._draw() >= self._probe_share(ruling.decided):
            record.blocked += 1
            return ruling.verdict
        record.probes += 1
        self._watch((*ruling.shadows, ruling.decided), facts, now)
        return Verdict(rule=ruling.decided.name, shadow=True)

    def look(self, rules: tuple[Rule, ...], facts: Facts, now: float) -> Verdict:
        """What `judge` says of a call that is no probe, for whoever only asks: nothing is counted, drawn or watched."""
        return rule_on(rules, facts, self._shadowed(facts, now)).verdict

    def hear(self, provider: str, country: str | None, liveness: Liveness, now: float) -> None:
        """What a provider said, once for each of its answers and not again when the cache repeats it."""
        circuit = self._state.circuits.setdefault(_place(provider, country), Circuit())
        if jumped := circuit.hear(liveness, now, self._options):
            self._on_alarm("answers_jumped", f"{provider} {country or '-'}: {jumped}; it blocks nobody")

    def learn(self, result: CallResult, now: float) -> None:
        """How a call went. A sign of life outweighs what another carrier said of the same call."""
        watched = self._watched.get(result.number)
        sign = life(result)
        if watched is None or now - watched.since >= WATCH_S or sign is Tri.UNKNOWN or watched.said in (Tri.YES, sign):
            return
        for rule in watched.rules:
            self._score(rule, sign, watched.said, now)
        watched.said = sign

    def seen(self, now: float) -> Seen:
        """What this instance alone has seen, for the others."""
        rules = {
            key: Tally(r.would_block, r.blocked, r.probes, r.reached, r.dead, r.returned_at)
            for key, r in self._state.records.items()
        }
        circuits = self._state.circuits.items()
        return Seen(rules, {p: c.opened_at for p, c in circuits if c.opened_at and c.is_open(now, self._options)})

    def follow(self, others: Iterable[Seen], now: float) -> None:
        """Count what other instances have seen, and go back to shadow where one of them has."""
        self._peers.heard(others)
        for key, at in self._peers.returns(self._keys, now):
            record = self._state.records.get(key) or Record()
            if record.returned_at is not None and record.returned_at >= at:
                continue
            self._state.records[key] = record
            record.returned_at, record.reached, record.dead = at, 0.0, 0.0
            self._on_alarm("false_blocks", f"{key.partition('#')[0]}: as another instance found; it is in shadow now")

    def forget(self, number: str) -> None:
        """What its next result would be scored for."""
        self._watched.pop(number, None)

    def watches(self, number: str) -> list[str]:
        """The rules that its next result is scored for."""
        watched = self._watched.get(number)
        return [rule.name for rule in watched.rules] if watched is not None else []

    def standings(self, rules: Iterable[Rule], now: float) -> list[Standing]:
        return [self._standing(rule, now) for rule in rules if rule.action is RuleAction.BLOCK]

    def enforce_again(self, name: str) -> bool:
        """An operator's word. Was the rule back in shadow?"""
        returned = [
            r for key, r in self._state.records.items() if key.startswith(f"{name}#") and r.returned_at is not None
        ]
        for record in returned:
            record.returned_at, record.reached, record.dead = None, 0.0, 0.0
        return bool(returned)

    def trust_again(self, provider: str, now: float) -> bool:
        """An operator's word. Was it distrusted anywhere?"""
        open_ones = [
            circuit
            for place, circuit in self._state.circuits.items()
            if place.startswith(f"{provider} ") and circuit.is_open(now, self._options)
        ]
        for circuit in open_ones:
            circuit.trust()
        return self._peers.trust(provider, now, self._options.distrust_s) or bool(open_ones)

    def distrusted(self, now: float) -> list[str]:
        """Providers with countries (`npl GB`) whose word blocks nobody now."""
        here = [place for place, circuit in self._state.circuits.items() if circuit.is_open(now, self._options)]
        return list(dict.fromkeys([*here, *self._peers.distrusted(now, self._options.distrust_s)]))

    def export(self) -> dict[str, Any]:
        """As plain data, without numbers."""
        exported: dict[str, Any] = msgspec.to_builtins(self._state)
        return exported

    def restore(self, data: object) -> None:
        """What was exported, in place of what is held; then `configure`. Raises `ValueError`, and then changes nothing."""
        try:
            self._state = msgspec.convert(data, State)
        except msgspec.ValidationError as error:
            raise ValueError(f"no exported governance: {error}") from None
        for key, record in self._state.records.items():
            if record.returned_at is not None:
                self._peers.returned(key, record.returned_at)

    def _shadowed(self, facts: Facts, now: float) -> Shadowed:
        suspect = self._is_suspect(facts, now)
        return lambda rule: (suspect and rule.on_liveness) or self._is_returned(rule, now)

    def _is_suspect(self, facts: Facts, now: float) -> bool:
        heard = facts.outcome.liveness
        if heard is None:
            return False
        place = _place(heard.provider, facts.number.country)
        circuit = self._state.circuits.get(place)
        open_here = circuit is not None and circuit.is_open(now, self._options)
        return open_here or self._peers.distrusts(place, now, self._options.distrust_s)

    def _is_returned(self, rule: Rule, now: float) -> bool:
        record = self._state.records.get(rule.key)
        if record is None or record.returned_at is None:
            return False
        return now < record.returned_at + self._options.shadow_s

    def _record(self, rule: Rule) -> Record:
        return self._state.records.setdefault(rule.key, Record())

    def _probe_share(self, rule: Rule) -> float:
        """A number that is blocked for where it leads may well answer: that says nothing against the rule."""
        if rule.probe_share is not None:
            return rule.probe_share
        return self._options.probe_share if rule.on_liveness else 0.0

    def _watch(self, rules: Iterable[Rule], facts: Facts, now: float) -> None:
        """Until its result comes. What rests on a provider that has gone mad is that provider's fault, not the rule's."""
        suspect = self._is_suspect(facts, now)
        number = facts.number.e164
        scored = tuple(r for r in rules if self._probe_share(r) > 0 and not (suspect and r.on_liveness))
        held = self._watched.get(number)
        if not scored or not number or (held is not None and now - held.since < WATCH_S):
            return
        self._watched.pop(number, None)
        self._watched[number] = Watched(scored, now)
        if len(self._watched) > MAX_WATCHED:
            del self._watched[next(iter(self._watched))]

    def _score(self, rule: Rule, sign: Tri, said: Tri, now: float) -> None:
        record = self._record(rule)
        if said is Tri.NO:
            record.dead = max(0.0, record.dead - 1)
        if sign is Tri.YES:
            record.reached += 1
        else:
            record.dead += 1
        if record.scored >= MOST_SCORED:
            record.reached, record.dead = record.reached / 2, record.dead / 2
        reached, scored = self._scored(rule.key, record)
        bound = wilson(reached, scored, Z)[self._options.bound == "upper"]
        if scored >= self._options.min_scored and bound > self._options.false_block_budget and not rule.shadow:
            self._return_to_shadow(rule, record, now)

    def _scored(self, key: str, record: Record) -> tuple[float, float]:
        """Calls that reached somebody, and all that were scored, in all instances."""
        others = self._peers.of(key)
        return record.reached + others.reached, record.scored + others.reached + others.dead

    def _return_to_shadow(self, rule: Rule, record: Record, now: float) -> None:
        """And measure anew: should it be no better in shadow, its time there starts again."""
        if not self._is_returned(rule, now):
            reached, scored = self._scored(rule.key, record)
            share = f"{reached:.0f} of {scored:.0f} scored calls reached somebody"
            self._on_alarm("false_blocks", f"{rule.name}: {share}; it is in shadow now")
        self._peers.returned(rule.key, now)
        record.returned_at, record.reached, record.dead = now, 0.0, 0.0

    def _standing(self, rule: Rule, now: float) -> Standing:
        record = self._state.records.get(rule.key) or Record()
        mode = "shadow" if rule.shadow else "returned" if self._is_returned(rule, now) else "enforce"
        others = self._peers.of(rule.key)
        reached, scored = self._scored(rule.key, record)
        low, high = wilson(reached, scored, Z)
        return Standing(
            rule=rule.name,
            mode=mode,
            would_block=record.would_block + round(others.would_block),
            blocked=record.blocked + round(others.blocked),
            probes=record.probes + round(others.probes),
            scored=round(scored),
            false_blocks=reached / scored if scored else None,
            low=low,
            high=high,
        )


def _place(provider: str, country: str | None) -> str:
    return f"{provider} {country or '-'}"
