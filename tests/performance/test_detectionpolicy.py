"""Detection policies, and the periods they look at."""

from datetime import date

import pytest
from hypothesis import strategies as st

from libs.common.days import Span
from libs.common.errors import AlreadyExists
from services.performance.detectionpolicy import (
    DETECTION_POLICY,
    next_period,
    period_of,
    previous_period,
    to_resource,
)
from stepladder.performance.v1.detection_pb2 import CreateDetectionPolicyRequest, DetectionPolicy
from stepladder.performance.v1.events_pb2 import DetectionPolicyCreated
from tests.deciding import given, twice_is_once


def create(streak: int = 3, log_position: int = 0) -> CreateDetectionPolicyRequest:
    return CreateDetectionPolicyRequest(policy=policy(streak, log_position))


def policy(streak: int = 3, log_position: int = 0) -> DetectionPolicy:
    return DetectionPolicy(
        policy_id="csat-weekly",
        kpi_id="csat",
        period=DetectionPolicy.PERIOD_WEEK,
        streak=streak,
        minimum_samples=10,
        settle_seconds=3600,
        log_position=log_position,
    )


def test_create() -> None:
    """A policy is created once; what only the output holds is not stored."""
    created = given(DETECTION_POLICY).when(create(log_position=7)).then(DetectionPolicyCreated(policy=policy()))
    created.when(create()).then()
    assert to_resource(created.state, 42) == policy(log_position=42)


def test_create_with_other_content() -> None:
    """A policy never changes: another one takes another id."""
    created = given(DETECTION_POLICY, DetectionPolicyCreated(policy=policy()))
    created.when(create(streak=2)).refused(AlreadyExists, "DETECTION_POLICY_EXISTS")


def test_twice_is_once() -> None:
    """Creating a policy twice changes nothing."""
    twice_is_once(DETECTION_POLICY, st.builds(create, st.integers(1, 3)))


@pytest.mark.parametrize(
    ("period", "day", "span", "neighbours"),
    [
        (DetectionPolicy.PERIOD_DAY, "2026-03-01", ("2026-03-01", "2026-03-01"), ("2026-02-28", "2026-03-02")),
        (DetectionPolicy.PERIOD_WEEK, "2026-01-01", ("2025-12-29", "2026-01-04"), ("2025-12-22", "2026-01-05")),
        (DetectionPolicy.PERIOD_WEEK, "2026-03-16", ("2026-03-16", "2026-03-22"), ("2026-03-09", "2026-03-23")),
        (DetectionPolicy.PERIOD_MONTH, "2028-02-10", ("2028-02-01", "2028-02-29"), ("2028-01-01", "2028-03-01")),
        (DetectionPolicy.PERIOD_MONTH, "2026-12-31", ("2026-12-01", "2026-12-31"), ("2026-11-01", "2027-01-01")),
    ],
)
def test_periods(
    period: DetectionPolicy.Period.ValueType, day: str, span: tuple[str, str], neighbours: tuple[str, str]
) -> None:
    """Days, weeks from Monday to Sunday, calendar months; each follows the one before without a gap."""
    of = DetectionPolicy(period=period)
    found = period_of(of, date.fromisoformat(day))
    assert found == Span(*map(date.fromisoformat, span))
    starts = (previous_period(of, found).start, next_period(of, found).start)
    assert starts == tuple(map(date.fromisoformat, neighbours))


def test_no_period() -> None:
    """A policy with a period that this version does not know judges nothing."""
    with pytest.raises(ValueError, match="has no period"):
        period_of(DetectionPolicy(), date(2026, 3, 16))
