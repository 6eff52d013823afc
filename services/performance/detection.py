"""Something found about an employee: a KPI missed in a row, bad ratings, a total reached, a contradiction."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.errors import NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from stepladder.performance.v1.detection_pb2 import Detection, DetectionDrift, MissedPeriod
from stepladder.performance.v1.events_pb2 import DetectionDrifted, UnderperformanceDetected

Command = Detection | DetectionDrift
Event = UnderperformanceDetected | DetectionDrifted


def detection_id(policy_id: str, employee_id: str, first_period_start: date) -> str:
    """The aggregate's id: opaque, the same for the same streak. Stored for ever."""
    return opaque_id("d", policy_id, employee_id, first_period_start.isoformat())


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
    def stands(self) -> bool:
        """Whether it would still be made, as far as is known."""
        return self.drift.stands or not self.drift.periods

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
