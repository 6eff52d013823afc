"""What must be true of a system after any faults: checked over the log, the answers that callers got, and the rows."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from libs.common.envelope import chain_start, payload_hash
from libs.common.streams import Stored
from stepladder.coaching.v1.events_pb2 import PlanProposed
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.events_pb2 import FactRecorded, UnderperformanceDetected

FactKey = tuple[str, str, str, str]
"""Employee, day, source, KPI."""

Numbers = tuple[int, int]
"""Numerator and denominator."""


@dataclass
class Evidence:
    """What a run leaves behind.

    Attributes:
        log: every entry of the log, in order.
        acknowledged: readings that a caller was told are recorded.
        rows: what the read model of results says of each reading, and the position it names.
        plan_rows: the plan ids that the read model of plans lists.
        counts: events of each aggregate as a follower counted them.
        disordered: aggregates of which it was handed an event behind a later one.
        misread: reads that did not show what had been acknowledged before.
        rebuilt: read models by name, and how many rows a rebuild made differently.
    """

    log: Sequence[Stored]
    acknowledged: Mapping[FactKey, Numbers] = field(default_factory=dict)
    rows: Mapping[FactKey, tuple[Numbers, int]] = field(default_factory=dict)
    plan_rows: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    disordered: Sequence[str] = ()
    misread: Sequence[str] = ()
    rebuilt: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: how hard it was, how many requests or readings were acknowledged, and what was broken.

    `longest_gap` is the longest time in seconds without an acknowledgement while callers were trying.
    """

    name: str
    faults: int
    kills: int
    acknowledged: int
    longest_gap: float
    broken: Sequence["Violation"]


LOST, DOUBLED, DISORDERED, WRONG, STUCK = "lost", "doubled", "out of order", "wrong", "not back"
"""Kinds of broken promises."""


class Violation(str):
    """A broken promise in words, and of which kind it is."""

    kind: str

    def __new__(cls, kind: str, text: str) -> "Violation":
        violation = super().__new__(cls, text)
        violation.kind = kind
        return violation


def violations(evidence: Evidence) -> list[Violation]:
    """Every broken promise; empty when all were kept."""
    entries = [(stored, Envelope.FromString(stored.payload)) for stored in evidence.log]
    readings = list(_readings(entries))
    plans = [PlanProposed.FromString(event) for event in _events(entries, PlanProposed)]
    found = [UnderperformanceDetected.FromString(event) for event in _events(entries, UnderperformanceDetected)]
    detections = [event.detection.detection_id for event in found]
    in_log = {key: (numbers, position) for key, numbers, position in readings}
    return [
        *broken_log(evidence),
        *_doubled("reading", (key for key, _, _ in readings)),
        *_doubled("detection", detections),
        *_doubled("plan for the detection", (plan.evidence.detection_id for plan in plans)),
        *_differing(
            "acknowledged, but not so in the log",
            evidence.acknowledged,
            {key: in_log[key][0] for key in evidence.acknowledged if key in in_log},
        ),
        *_differing("the rows differ from a fresh fold of the log", in_log, evidence.rows),
        *_differing(
            "detections and plans differ", Counter(detections), Counter(plan.evidence.detection_id for plan in plans)
        ),
        *_differing(
            "the rows of plans differ from the log", Counter(p.plan_id for p in plans), Counter(evidence.plan_rows)
        ),
        *(Violation(WRONG, f"misread: {one}") for one in evidence.misread),
        *(
            Violation(WRONG, f"{name}: {rows} rows differ from a rebuild")
            for name, rows in evidence.rebuilt.items()
            if rows
        ),
    ]


def broken_log(evidence: Evidence) -> list[Violation]:
    """Every broken promise of the log itself, whatever it is about, and of who follows it."""
    entries = [(stored, Envelope.FromString(stored.payload)) for stored in evidence.log]
    return [
        *_broken_chains(entries),
        *_doubled("event", (envelope.event_id for _, envelope in entries)),
        *_differing("events were not applied once each", Counter(s.subject for s in evidence.log), evidence.counts),
        *(Violation(DISORDERED, f"{subject} was followed out of order") for subject in evidence.disordered),
    ]


K = TypeVar("K", bound=Hashable)
Entries = Sequence[tuple[Stored, Envelope]]


def _events(entries: Entries, kind: type[Message]) -> list[bytes]:
    return [envelope.event for _, envelope in entries if envelope.type == kind.DESCRIPTOR.full_name]


def _readings(entries: Entries) -> Iterator[tuple[FactKey, Numbers, int]]:
    for stored, envelope in entries:
        if envelope.type == FactRecorded.DESCRIPTOR.full_name:
            fact = FactRecorded.FromString(envelope.event).fact
            for reading in fact.readings:
                key = (fact.employee_id, fact.date, fact.source, reading.kpi_id)
                yield key, (sum(reading.numerators), sum(reading.denominators)), stored.position


def _broken_chains(entries: Entries) -> Iterator[Violation]:
    last: dict[str, bytes] = {}
    for stored, envelope in entries:
        if envelope.previous_hash != last.get(stored.subject, chain_start(stored.subject)):
            yield Violation(DISORDERED, f"{stored.subject} at {stored.position}: the chain of hashes is broken")
        last[stored.subject] = payload_hash(stored.payload)


def _doubled(what: str, items: Iterable[Hashable]) -> list[Violation]:
    return [
        Violation(DOUBLED, f"{what} {item} is there {count} times")
        for item, count in Counter(items).items()
        if count > 1
    ]


def _differing(what: str, wanted: Mapping[K, object], found: Mapping[K, object]) -> list[Violation]:
    keys = sorted({key for key in {*wanted, *found} if wanted.get(key) != found.get(key)}, key=str)
    return [
        Violation(
            _kind(wanted.get(key), found.get(key)), f"{what}: {key} is {found.get(key)}, should be {wanted.get(key)}"
        )
        for key in keys
    ]


def _kind(wanted: object, found: object) -> str:
    """Of a difference: counts tell whether something is missing or too much."""
    if isinstance(wanted or 0, int) and isinstance(found or 0, int):
        return LOST if (found or 0) < (wanted or 0) else DOUBLED  # type: ignore[operator] # both are numbers
    return WRONG if found is not None else LOST
