"""When a KPI that misses its target counts as under-performance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import ONE_DAY, Span, month_of, week_of
from libs.common.errors import AlreadyExists
from libs.common.eventsourcing import Aggregate, Context
from stepladder.performance.v1.detection_pb2 import CreateDetectionPolicyRequest, DetectionPolicy
from stepladder.performance.v1.events_pb2 import DetectionPolicyCreated

Command = CreateDetectionPolicyRequest
Event = DetectionPolicyCreated


@dataclass(frozen=True, slots=True)
class State:
    """The policy without output-only fields; empty before it is created."""

    policy: DetectionPolicy = field(default_factory=DetectionPolicy)


def evolve(_: State, event: Message) -> State:
    match cast(Event, event):
        case DetectionPolicyCreated(policy=policy):
            return State(policy)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case State(policy=DetectionPolicy(policy_id="")), CreateDetectionPolicyRequest(policy=given):
            return [DetectionPolicyCreated(policy=_stored(given))]
        case _, CreateDetectionPolicyRequest(policy=given):
            if _stored(given) != state.policy:
                raise AlreadyExists(
                    "DETECTION_POLICY_EXISTS", f"detection policy {given.policy_id} was created with other content"
                )
            return []
        case _, unknown:
            assert_never(unknown)


DETECTION_POLICY = Aggregate(name="performance.detectionpolicy", initial=State(), evolve=evolve, decide=decide)


def _stored(policy: DetectionPolicy) -> DetectionPolicy:
    stored = DetectionPolicy()
    stored.CopyFrom(policy)
    stored.ClearField("log_position")
    return stored


def to_resource(state: State, position: int) -> DetectionPolicy:
    policy = DetectionPolicy(log_position=position)
    policy.MergeFrom(state.policy)
    return policy


def period_of(policy: DetectionPolicy, day: date) -> Span:
    """The policy's period that a day belongs to."""
    match policy.period:
        case DetectionPolicy.PERIOD_DAY:
            return Span(day, day)
        case DetectionPolicy.PERIOD_WEEK:
            return week_of(day)
        case DetectionPolicy.PERIOD_MONTH:
            return month_of(day)
        case unknown:
            raise ValueError(f"policy {policy.policy_id} has no period: {unknown}")


def previous_period(policy: DetectionPolicy, period: Span) -> Span:
    return period_of(policy, period.start - ONE_DAY)


def next_period(policy: DetectionPolicy, period: Span) -> Span:
    return period_of(policy, period.end + ONE_DAY)
