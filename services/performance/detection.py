"""Under-performance found: a KPI of an employee missed its target in so many periods in a row."""

from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import Span
from libs.common.eventsourcing import Aggregate, Context
from services.performance.detectionpolicy import next_period, previous_period
from services.performance.kpi import format_value, is_missed, kpi_value
from stepladder.performance.v1.detection_pb2 import Detection, DetectionPolicy, FactReference, MissedPeriod
from stepladder.performance.v1.events_pb2 import UnderperformanceDetected
from stepladder.performance.v1.kpi_pb2 import Kpi, Target

Command = Detection
Event = UnderperformanceDetected


def detection_id(policy_id: str, employee_id: str, first_period_start: date) -> str:
    """The aggregate's id: opaque, the same for the same streak. Stored for ever."""
    digest = sha256(f"{policy_id}/{employee_id}/{first_period_start.isoformat()}".encode()).digest()
    return "d-" + b32encode(digest)[:26].decode().lower()


@dataclass(frozen=True, slots=True)
class State:
    """The detection without output-only fields; empty before it is made."""

    detection: Detection = field(default_factory=Detection)


def evolve(_: State, event: Message) -> State:
    match cast(Event, event):
        case UnderperformanceDetected(detection=detection):
            return State(detection)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    """The command is the detection itself, made by the policy that judges; a streak is found once."""
    match state, cast(Command, command):
        case State(detection=Detection(detection_id="")), Detection() as found:
            detection = Detection()
            detection.CopyFrom(found)
            detection.ClearField("log_position")
            return [UnderperformanceDetected(detection=detection)]
        case _, Detection():
            return []
        case _, unknown:
            assert_never(unknown)


DETECTION = Aggregate(name="performance.detection", initial=State(), evolve=evolve, decide=decide)


def to_resource(state: State, position: int) -> Detection:
    detection = Detection(log_position=position)
    detection.MergeFrom(state.detection)
    return detection


@dataclass(frozen=True, slots=True)
class PeriodResult:
    """What one employee's facts of a period add up to under the KPI's aggregation."""

    period: Span
    numerator: int
    denominator: int
    facts: tuple[FactReference, ...]


def find_streak(
    policy: DetectionPolicy,
    kpi: Kpi,
    results: Sequence[PeriodResult],
    target_on: Callable[[date], Target | None],
    judged: Span,
    known: Sequence[Detection] = (),
) -> list[MissedPeriod]:
    """The first `policy.streak` periods of the row of misses that the judged period belongs to.

    Empty if the row is shorter, or was found already: then a detection has a period of it, be it that the row has grown
    since at either end.

    Args:
        results: of the employee, in any order; a period without one has no facts. They must reach back to before the
            row began, and on to the latest, for a late fact may close a gap.
        target_on: the target in force for the employee on a day, with its `log_position`.
        judged: the period whose facts are new.
        known: the detections of the employee under the policy.
    """
    by_start = {result.period.start: result for result in results}

    def missed(period: Span) -> MissedPeriod | None:
        result = by_start.get(period.start)
        return _missed(policy, kpi, result, target_on(period.end)) if result else None

    first = judged
    if missed(judged) is None:
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
    return row[: policy.streak] if len(row) >= policy.streak else []


def _missed(policy: DetectionPolicy, kpi: Kpi, result: PeriodResult, target: Target | None) -> MissedPeriod | None:
    """The period as a missed one; None if it has no target, too few samples, or met the target."""
    days = {fact.date for fact in result.facts}
    samples = result.denominator if kpi.aggregation == Kpi.AGGREGATION_RATIO else len(days)
    value = kpi_value(kpi, result.numerator, result.denominator)
    if target is None or value is None or not days or samples < policy.minimum_samples:
        return None
    if not is_missed(kpi, value, target.minimum, target.maximum):
        return None
    return MissedPeriod(
        start_date=result.period.start.isoformat(),
        end_date=result.period.end.isoformat(),
        numerator=result.numerator,
        denominator=result.denominator,
        value=format_value(kpi, value),
        minimum=target.minimum,
        maximum=target.maximum,
        target_position=target.log_position,
        facts=result.facts,
    )
