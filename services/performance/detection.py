"""Under-performance found: a KPI of an employee missed its target in so many periods in a row."""

from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from hashlib import sha256
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import Span
from libs.common.errors import NotFound
from libs.common.eventsourcing import Aggregate, Context
from services.performance.detectionpolicy import next_period, previous_period
from services.performance.kpi import format_value
from services.performance.scoring import add_up, show_bound
from stepladder.performance.v1.detection_pb2 import (
    Detection,
    DetectionDrift,
    DetectionPolicy,
    FactReference,
    MissedPeriod,
)
from stepladder.performance.v1.events_pb2 import DetectionDrifted, UnderperformanceDetected
from stepladder.performance.v1.facts_pb2 import RecordedReading
from stepladder.performance.v1.kpi_pb2 import Kpi, Target

Command = Detection | DetectionDrift
Event = UnderperformanceDetected | DetectionDrifted


def detection_id(policy_id: str, employee_id: str, first_period_start: date) -> str:
    """The aggregate's id: opaque, the same for the same streak. Stored for ever."""
    digest = sha256(f"{policy_id}/{employee_id}/{first_period_start.isoformat()}".encode()).digest()
    return "d-" + b32encode(digest)[:26].decode().lower()


@dataclass(frozen=True, slots=True)
class State:
    """The detection without output-only fields, and its latest drift; empty before it is made."""

    detection: Detection = field(default_factory=Detection)
    drift: DetectionDrift = field(default_factory=DetectionDrift)

    @property
    def periods(self) -> Sequence[MissedPeriod]:
        """The periods as they were last looked at."""
        return self.drift.periods or self.detection.periods

    @property
    def known_at(self) -> int:
        """Position up to which facts were looked at for certain."""
        return self.drift.known_at or self.detection.known_at


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case UnderperformanceDetected(detection=detection):
            return State(detection)
        case DetectionDrifted(drift=drift):
            return replace(state, drift=drift)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    """The commands are the detection and its drift themselves, made by the policy that judges."""
    match state, cast(Command, command):
        case State(detection=Detection(detection_id="")), Detection() as found:
            detection = Detection()
            detection.CopyFrom(found)
            detection.ClearField("log_position")
            return [UnderperformanceDetected(detection=detection)]
        case _, Detection():
            return []
        case State(detection=Detection(detection_id="")), DetectionDrift():
            raise NotFound("DETECTION_NOT_FOUND", "there is no such detection")
        case _, DetectionDrift() as drift:
            if list(drift.periods) == list(state.periods) and drift.disputed == state.drift.disputed:
                return []
            found = state.detection
            return [DetectionDrifted(detection_id=found.detection_id, employee_id=found.employee_id, drift=drift)]
        case _, unknown:
            assert_never(unknown)


DETECTION = Aggregate(name="performance.detection", initial=State(), evolve=evolve, decide=decide)


def to_resource(state: State, position: int) -> Detection:
    detection = Detection(log_position=position)
    detection.MergeFrom(state.detection)
    if state.drift.periods:
        detection.drift.CopyFrom(state.drift)
    return detection


@dataclass(frozen=True, slots=True)
class PeriodResult:
    """One employee's readings of a KPI in a period."""

    period: Span
    readings: tuple[RecordedReading, ...]

    @property
    def disputed(self) -> bool:
        return any(reading.disputed for reading in self.readings)


def find_streak(
    policy: DetectionPolicy,
    kpi: Kpi,
    results: Sequence[PeriodResult],
    target_on: Callable[[RecordedReading], Target | None],
    judged: Span,
    known: Sequence[Detection] = (),
) -> list[MissedPeriod]:
    """The first `policy.streak` periods of the row of misses that the judged period belongs to.

    Empty if the row is shorter, or was found already: then a detection has a period of it, be it that the row has grown
    since at either end. Empty, too, while a fact of one of those periods is disputed.

    Args:
        results: of the employee, in any order; a period without one has no facts. They must reach back to before the
            row began, and on to the latest, for a late fact may close a gap.
        target_on: the target for what a reading is about, with its `log_position`.
        judged: the period whose facts are new.
        known: the detections of the employee under the policy.
    """
    by_start = {result.period.start: result for result in results}

    @cache
    def missed(period: Span) -> MissedPeriod | None:
        result = by_start.get(period.start)
        looked_at = look_at(policy, kpi, result, target_on) if result else None
        return None if looked_at is None or looked_at.met else looked_at

    first = judged
    day = judged.start.isoformat()
    if any(one.periods[0].start_date <= day <= one.periods[-1].end_date for one in known) or missed(judged) is None:
        return []
    while missed(before := previous_period(policy, first)) is not None:
        first = before
    row: list[MissedPeriod] = []
    period = first
    while (miss := missed(period)) is not None:
        row.append(miss)
        period = next_period(policy, period)
    start, end = row[0].start_date, row[-1].end_date
    if any(one.periods[0].start_date <= end and start <= one.periods[-1].end_date for one in known):
        return []
    streak = row[: policy.streak] if len(row) >= policy.streak else []
    frozen = any(by_start[date.fromisoformat(missed.start_date)].disputed for missed in streak)
    return [] if frozen else streak


def judge_again(
    policy: DetectionPolicy,
    kpi: Kpi,
    results: Sequence[PeriodResult],
    target_on: Callable[[RecordedReading], Target | None],
    found: Detection,
) -> list[MissedPeriod]:
    """The periods of a detection on other facts, `met` where they are missed no longer."""
    by_start = {result.period.start.isoformat(): result for result in results}
    return [
        look_at(policy, kpi, by_start[period.start_date], target_on)
        if period.start_date in by_start
        else MissedPeriod(start_date=period.start_date, end_date=period.end_date, met=True)
        for period in found.periods
    ]


def look_at(
    policy: DetectionPolicy,
    kpi: Kpi,
    result: PeriodResult,
    target_on: Callable[[RecordedReading], Target | None],
) -> MissedPeriod:
    """A period as it is: `met` if it met the target, has none, or too few samples to count."""
    one = add_up(kpi, result.readings, target_on)
    samples = one.denominator if kpi.aggregation == Kpi.AGGREGATION_RATIO else one.days
    return MissedPeriod(
        start_date=result.period.start.isoformat(),
        end_date=result.period.end.isoformat(),
        numerator=one.numerator,
        denominator=one.denominator,
        value=format_value(kpi, one.value) if one.value is not None else "",
        minimum=show_bound(one.minimum),
        maximum=show_bound(one.maximum),
        target_position=max(one.targets, default=0),
        target_positions=one.targets,
        facts=[
            FactReference(
                date=reading.date,
                source=reading.source,
                numerator=reading.numerator,
                denominator=reading.denominator,
                log_position=reading.log_position,
            )
            for reading in result.readings
        ],
        met=not one.missed or samples < policy.minimum_samples,
    )
