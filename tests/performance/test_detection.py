"""Detections: made once, never rewritten, told what becomes of their facts."""

import re
from datetime import date

from hypothesis import strategies as st

from libs.common.errors import NotFound
from services.performance.detection import DETECTION, detection_id, to_resource
from stepladder.performance.v1.detection_pb2 import Detection, DetectionDrift, MissedPeriod
from stepladder.performance.v1.events_pb2 import DetectionDrifted, UnderperformanceDetected
from tests.deciding import given, twice_is_once


def test_ids() -> None:
    """The id is opaque, a resource id, and the same for the same streak only."""
    one = detection_id("csat-daily", "e-1", date(2026, 3, 2))
    assert one == "d-j6kvlmdfmy4c5fr47jq6std4ft" == detection_id("csat-daily", "e-1", date(2026, 3, 2))
    assert re.fullmatch("d-[a-z2-7]{26}", one)
    others = [("csat-weekly", "e-1", 2), ("csat-daily", "e-2", 2), ("csat-daily", "e-1", 3)]
    assert one not in {detection_id(policy, employee, date(2026, 3, day)) for policy, employee, day in others}


def test_detect() -> None:
    """A streak is found once, whatever is found about it later."""
    first = Detection(
        detection_id="d-1", policy_id="csat-daily", employee_id="e-1", periods=[MissedPeriod(value="94.0")]
    )
    shown, other = Detection(log_position=7), Detection(detection_id="d-1", team_id="t-2")
    shown.MergeFrom(first)
    detected = given(DETECTION).when(shown).then(UnderperformanceDetected(detection=first))
    detected.when(other).then()
    shown.log_position = 42
    assert to_resource(detected.state, 42) == shown


def test_twice_is_once() -> None:
    """Saying twice that a streak was found changes nothing."""
    twice_is_once(
        DETECTION, st.builds(lambda t: Detection(detection_id="d-1", team_id=t), st.sampled_from(["", "t-1"]))
    )


def test_drift() -> None:
    """Told once how its facts stand; told again when they change again; the detection stays as it was."""
    periods = [MissedPeriod(start_date="2026-03-02", value="94.0")]
    detected = UnderperformanceDetected(detection=Detection(detection_id="d-1", employee_id="e-1", periods=periods))
    before = given(DETECTION, detected)
    before.when(DetectionDrift(stands=True, periods=periods)).then()
    drift = DetectionDrift(periods=[MissedPeriod(start_date="2026-03-02", value="99.0", met=True)], causes=[7])
    drifted = DetectionDrifted(detection_id="d-1", employee_id="e-1", drift=drift)
    after = before.when(drift).then(drifted)
    after.when(drift).then()
    assert list(to_resource(after.state, 42).periods) == periods
    assert to_resource(after.state, 42).drift == drift
    back = DetectionDrift(stands=True, periods=periods)
    after.when(back).then(DetectionDrifted(detection_id="d-1", employee_id="e-1", drift=back))
    disputed = DetectionDrift(stands=True, disputed=True, periods=periods)
    before.when(disputed).then(DetectionDrifted(detection_id="d-1", employee_id="e-1", drift=disputed))
    given(DETECTION).when(drift).refused(NotFound, "DETECTION_NOT_FOUND")
