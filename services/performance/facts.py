"""The facts of one employee's month: a reading is recorded once, and changed only by a correction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Aggregate, Context
from stepladder.performance.v1.events_pb2 import FactCorrected, FactRecorded
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.kpi_pb2 import Kpi

Command = RecordFactsRequest | CorrectFactRequest
Event = FactRecorded | FactCorrected

SHORT = 256
"""Bytes of a fact up to which its own bytes take no more room than digests of its readings."""
LIMIT = 10**12
"""Largest size of a sample's numbers and of a reading's sums, so that the sums of a centre stay within 64 bits."""


def facts_id(employee_id: str, day: str) -> str:
    """The aggregate's id; `day` is a day (YYYY-MM-DD) or month (YYYY-MM). Stored for ever."""
    return f"{employee_id}_{day[:7]}"


@dataclass(frozen=True, slots=True)
class State:
    """What is recorded of each (day, source): a short fact in its own bytes, or digests of the readings by KPI.

    Replaced, never changed in place, and cheap to copy however many readings a month has.
    """

    recorded: dict[tuple[str, str], bytes | dict[str, bytes]] = field(default_factory=dict)

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
                return State(state.recorded | {key: content})
            return State(state.recorded | {key: state.digests(*key) | _digests(fact)})
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
        case unknown:
            assert_never(unknown)


FACTS = Aggregate(name="performance.facts", initial=State(), evolve=evolve, decide=decide)


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
    if unknown := ", ".join(kpi_id for kpi_id in given if kpi_id not in known):
        raise NotFound("FACT_NOT_FOUND", f"{unknown} of {fact.date} from {fact.source} was never recorded")
    return [reading for reading in fact.readings if given[reading.kpi_id] != known[reading.kpi_id]]


def check_reading(reading: Reading, kpi: Kpi | None) -> str:
    """What is wrong with a reading: `KPI_NOT_FOUND` if there is no KPI, else `READING_INVALID`; empty if nothing is."""
    if kpi is None:
        return f"there is no KPI {reading.kpi_id}"
    numerators, denominators = reading.numerators[:], reading.denominators[:]  # lists: faster to go through
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
