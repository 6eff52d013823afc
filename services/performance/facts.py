"""The facts of one employee's month: a reading is recorded once, and changed only by a correction."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import TypeAlias, assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from stepladder.performance.v1.events_pb2 import (
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_UNSPECIFIED,
    DISPUTE_OUTCOME_UPHELD,
    CorrectFactRequest,
    DisputeFactRequest,
    DisputeOutcome,
    Fact,
    Reading,
    ReadingsOfDay,
    RecordFactsRequest,
    RetractFactRequest,
    SettleFactDisputeRequest,
)
from stepladder.performance.v1.kpi_pb2 import Kpi

Command = RecordFactsRequest | CorrectFactRequest | RetractFactRequest | DisputeFactRequest | SettleFactDisputeRequest
Event = FactRecorded | FactCorrected | FactRetracted | FactDisputed | FactDisputeSettled

SHORT = 256
"""Bytes of a fact up to which its own bytes take no more room than digests of its readings."""
LIMIT = 10**12
"""Largest size of a sample's numbers and of a reading's sums, so that the sums of a centre stay within 64 bits."""

MINUTES = 24 * 60
"""Of a day by the wall clock, whatever becomes of the clock on it."""


def facts_id(employee_id: str, day: str) -> str:
    """The aggregate's id; `day` is a day (YYYY-MM-DD) or month (YYYY-MM). Stored for ever."""
    return f"{employee_id}_{day[:7]}"


Key: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Dispute:
    """The latest dispute about a reading: who is to settle it, and the outcome, unspecified while it is open."""

    reviewer_id: str
    outcome: DisputeOutcome.ValueType = DISPUTE_OUTCOME_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class State:
    """What is recorded of each (day, source): a short fact in its own bytes, or digests of the readings by KPI.

    Replaced, never changed in place, and cheap to copy however many readings a month has. `retracted` and `disputes`
    go by (day, source, KPI).
    """

    recorded: dict[tuple[str, str], bytes | dict[str, bytes]] = field(default_factory=dict)
    retracted: frozenset[Key] = frozenset()
    disputes: dict[Key, Dispute] = field(default_factory=dict)

    def digests(self, day: str, source: str) -> dict[str, bytes]:
        """A digest of each reading recorded, by KPI. Made when asked for: few facts are ever compared with others."""
        match self.recorded.get((day, source), {}):
            case bytes(fact):
                return _digests(Fact.FromString(fact))
            case digests:
                return digests


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case FactRecorded(fact=fact) | FactCorrected(fact=fact):
            # Interned, as are KPIs: thousands of months in memory share the same few names.
            key = (intern(fact.date), intern(fact.source))
            if key not in state.recorded and len(content := fact.SerializeToString()) <= SHORT:
                return State(state.recorded | {key: content}, state.retracted, state.disputes)
            return State(state.recorded | {key: state.digests(*key) | _digests(fact)}, state.retracted, state.disputes)
        case FactRetracted(readings=named):
            key = (named.date, named.source)
            left = {kpi_id: one for kpi_id, one in state.digests(*key).items() if kpi_id not in named.kpi_ids}
            return State(state.recorded | {key: left}, state.retracted | set(_keys(named)), state.disputes)
        case FactDisputed(readings=named, reviewer_id=reviewer_id):
            return replace(state, disputes=state.disputes | dict.fromkeys(_keys(named), Dispute(reviewer_id)))
        case FactDisputeSettled(readings=named, outcome=outcome):
            settled = {key: replace(state.disputes[key], outcome=outcome) for key in _keys(named)}
            return replace(state, disputes=state.disputes | settled)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match cast(Command, command):
        case RecordFactsRequest(facts=facts):
            return [FactRecorded(fact=fact) for fact in sift(state, facts, context.today).new]
        case CorrectFactRequest(fact=fact, reason=reason):
            if not (readings := changed_readings(state, fact)):
                return []
            return [FactCorrected(fact=_with_readings(fact, readings), employee_id=fact.employee_id, reason=reason)]
        case RetractFactRequest(readings=named, reason=reason):
            recorded = _recorded(state, named, also=state.retracted)
            if not recorded.kpi_ids:
                return []
            if _reviewers(state, recorded) != {""}:
                raise NotAllowed("DISPUTED", "a dispute about it is open: settle that")
            return [FactRetracted(readings=recorded, employee_id=named.employee_id, reason=reason)]
        case DisputeFactRequest(readings=named, reviewer_id=reviewer_id, reason=reason):
            _recorded(state, named)
            reviewers = _reviewers(state, named)
            if reviewers == {reviewer_id}:
                return []
            if reviewers != {""}:
                raise NotAllowed("ALREADY_DISPUTED", f"a dispute is open already, for {max(reviewers)} to settle")
            if reviewer_id == named.employee_id:
                message = "nobody settles a dispute about their own facts"
                raise Invalid("REVIEWER_INVALID", message, (FieldViolation("reviewer_id", message),))
            return [FactDisputed(readings=named, employee_id=named.employee_id, reason=reason, reviewer_id=reviewer_id)]
        case SettleFactDisputeRequest() as settle:
            return _settled(state, settle, context.actor)
        case unknown:
            assert_never(unknown)


FACTS = Aggregate(name="performance.facts", initial=State(), evolve=evolve, decide=decide)


def _settled(state: State, settle: SettleFactDisputeRequest, actor: str) -> list[Message]:
    """The settlement, and what it makes of the readings: each stands, is corrected, or is taken back."""
    named, employee_id, reason = settle.readings, settle.readings.employee_id, settle.reason
    if all(state.disputes.get(key) == Dispute(actor.removeprefix("user:"), settle.outcome) for key in _keys(named)):
        return []
    reviewers = _reviewers(state, named)
    if "" in reviewers:
        raise NotAllowed("NOT_DISPUTED", "there is no open dispute about each of these readings")
    if reviewers != {actor.removeprefix("user:")}:
        raise NotAllowed("NOT_THE_REVIEWER", f"it is for {', '.join(sorted(reviewers))} to settle")
    events: list[Message] = [
        FactDisputeSettled(readings=named, employee_id=employee_id, outcome=settle.outcome, reason=reason)
    ]
    if settle.outcome == DISPUTE_OUTCOME_UPHELD:
        return events
    corrected = [reading.kpi_id for reading in settle.corrected]
    if not set(corrected) <= set(named.kpi_ids):
        message = "only readings that are being settled can be corrected"
        raise Invalid("READING_INVALID", message, (FieldViolation("corrected", message),))
    fact = Fact(employee_id=employee_id, date=named.date, source=named.source, readings=settle.corrected)
    if readings := changed_readings(state, fact):
        events.append(FactCorrected(fact=_with_readings(fact, readings), employee_id=employee_id, reason=reason))
    if gone := [kpi_id for kpi_id in named.kpi_ids if kpi_id not in corrected]:
        taken_back = ReadingsOfDay(employee_id=employee_id, date=named.date, source=named.source, kpi_ids=gone)
        events.append(FactRetracted(readings=taken_back, employee_id=employee_id, reason=reason))
    return events


@dataclass(frozen=True, slots=True)
class Sifted:
    """Facts of a request sorted out.

    Attributes:
        new: the facts to be recorded, each with exactly its new readings.
        unchanged: how many facts were known already, with the same readings.
        rejected: index, reason and message of each fact that cannot be taken.
    """

    new: list[Fact]
    unchanged: int
    rejected: list[tuple[int, str, str]]


def sift(state: State, facts: Iterable[Fact], today: date) -> Sifted:
    """Compares facts with what is recorded, and with those before them in the request; each stands for itself."""
    new: list[Fact] = []
    rejected: list[tuple[int, str, str]] = []
    unchanged = 0
    taken: dict[tuple[str, str], list[Fact]] = {}
    for index, fact in enumerate(facts):
        key = (fact.date, fact.source)
        known = state.digests(*key)
        for earlier in taken.get(key, ()):
            known = known | _digests(earlier)
        fresh, contradicted = _compared(fact, known)
        if problem := day_problem(fact.date, today):
            rejected.append((index, "DATE_INVALID", problem))
        elif contradicted:
            message = f"{contradicted} of {fact.date} from {fact.source} has other numbers already: use CorrectFact"
            rejected.append((index, "FACT_ALREADY_RECORDED", message))
        elif not fresh:
            unchanged += 1
        else:
            new.append(fact if len(fresh) == len(fact.readings) else _with_readings(fact, fresh))
            taken.setdefault(key, []).append(new[-1])
    return Sifted(new, unchanged, rejected)


def changed_readings(state: State, fact: Fact) -> list[Reading]:
    """The readings that differ from the recorded ones. Refuses what was not recorded."""
    parse_day(fact.date, "fact.date")
    known = state.digests(fact.date, fact.source)
    given = _digests(fact)
    if len(given) != len(fact.readings):
        message = "a KPI is named twice"
        raise Invalid("READING_INVALID", message, (FieldViolation("fact.readings", message),))
    _recorded(state, ReadingsOfDay(date=fact.date, source=fact.source, kpi_ids=given))
    return [reading for reading in fact.readings if given[reading.kpi_id] != known[reading.kpi_id]]


def check_reading(reading: Reading, kpi: Kpi | None, day: str) -> str:
    """What is wrong with a reading: `KPI_NOT_FOUND` if there is no KPI, else `READING_INVALID`; empty if nothing is."""
    if kpi is None:
        return f"there is no KPI {reading.kpi_id}"
    if kpi.HasField("derived"):
        return f"the KPI is derived from {kpi.derived.numerator}: record that"
    if kpi.retired_date and day >= kpi.retired_date:
        return f"the KPI is retired from {kpi.retired_date} on"
    numerators, denominators = reading.numerators[:], reading.denominators[:]  # lists: faster to go through
    if starts := reading.starts[:]:
        if len(starts) != len(numerators):
            return "a reading has as many starts as numerators, or none"
        if min(starts) < 0 or max(starts) >= MINUTES:
            return f"a start is a minute of the day, from 0 to {MINUTES - 1}"
    if max(numerators) > LIMIT or min(numerators) < -LIMIT or not -LIMIT <= sum(numerators) <= LIMIT:
        return "a numerator, or their sum, is larger than 10^12"
    if kpi.aggregation != Kpi.AGGREGATION_RATIO:
        return "a KPI that is no ratio takes no denominators" if denominators else ""
    if len(denominators) != len(numerators):
        return "a ratio needs as many denominators as numerators"
    if min(denominators) < 0 or sum(denominators) > LIMIT:
        return "a denominator is negative, or their sum larger than 10^12"
    if 0 in denominators and any(n for n, d in zip(numerators, denominators, strict=True) if d == 0):
        return "a numerator over a denominator of 0 must be 0"
    return ""


def _recorded(state: State, named: ReadingsOfDay, also: Container[Key] = ()) -> ReadingsOfDay:
    """Those of the readings that are recorded. Refuses any that neither are nor belong to `also`."""
    recorded = state.digests(named.date, named.source)
    missing = [key for key in _keys(named) if key[2] not in recorded]
    if unknown := ", ".join(key[2] for key in missing if key not in also):
        raise NotFound("FACT_NOT_FOUND", f"{unknown} of {named.date} from {named.source} is not recorded")
    kpi_ids = [kpi_id for kpi_id in named.kpi_ids if kpi_id in recorded]
    return ReadingsOfDay(employee_id=named.employee_id, date=named.date, source=named.source, kpi_ids=kpi_ids)


def _keys(named: ReadingsOfDay) -> list[Key]:
    return [(named.date, named.source, kpi_id) for kpi_id in named.kpi_ids]


def _reviewers(state: State, named: ReadingsOfDay) -> set[str]:
    """Who is to settle the open disputes about readings; an empty one for a reading without."""
    disputes = [state.disputes.get(key) for key in _keys(named)]
    return {"" if one is None or one.outcome else one.reviewer_id for one in disputes}


def reviewers_of(state: State, named: ReadingsOfDay) -> set[str]:
    """Who is to settle the latest dispute about any of these readings, or has settled it."""
    return {one.reviewer_id for key in _keys(named) if (one := state.disputes.get(key)) is not None}


def to_settle(state: State, reviewer_id: str) -> set[Key]:
    """The readings whose open disputes somebody is to settle."""
    return {key for key, one in state.disputes.items() if one.reviewer_id == reviewer_id and not one.outcome}


@lru_cache(1024)
def day_problem(text: str, today: date) -> str:
    """What is wrong with the day of a fact (`DATE_INVALID`); empty if nothing is."""
    try:
        day = parse_day(text, "date")
    except Invalid as refused:
        return refused.message
    return f"{text} is in the future" if day > today else ""


def _compared(fact: Fact, known: dict[str, bytes]) -> tuple[Sequence[Reading], str]:
    """The readings that are not known, and the first KPI that is known with other numbers."""
    if not known and len({reading.kpi_id for reading in fact.readings}) == len(fact.readings):
        return fact.readings, ""
    known, fresh = dict(known), []
    for reading in fact.readings:
        digest = _digest(reading)
        if reading.kpi_id not in known:
            known[reading.kpi_id] = digest
            fresh.append(reading)
        elif known[reading.kpi_id] != digest:
            return [], reading.kpi_id
    return fresh, ""


def _with_readings(fact: Fact, readings: Sequence[Reading]) -> Fact:
    return Fact(employee_id=fact.employee_id, date=fact.date, source=fact.source, readings=readings)


def _digests(fact: Fact) -> dict[str, bytes]:
    return {intern(reading.kpi_id): _digest(reading) for reading in fact.readings}


def _digest(reading: Reading) -> bytes:
    """The reading itself where it is shorter than a digest. Bytes are stable: a reading holds no map."""
    content = reading.SerializeToString()
    return content if len(content) < 32 else blake2b(content, digest_size=32).digest()
