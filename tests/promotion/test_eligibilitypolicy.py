"""Eligibility policies."""

from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid
from services.promotion.eligibilitypolicy import ELIGIBILITY_POLICY, to_resource
from stepladder.promotion.v1.eligibility_pb2 import CreateEligibilityPolicyRequest, EligibilityPolicy
from stepladder.promotion.v1.events_pb2 import EligibilityPolicyCreated
from tests.deciding import days, given, twice_is_once


def policy(day: str = "2026-01-01", tenure_months: int = 12, log_position: int = 0) -> EligibilityPolicy:
    return EligibilityPolicy(
        policy_id="rules-2026",
        effective_date=day,
        tenure_months=tenure_months,
        confirmed_required=True,
        rating_months=6,
        minimum_rating="EXCELLENT",
        log_position=log_position,
    )


def create(day: str = "2026-01-01", tenure_months: int = 12, log_position: int = 0) -> CreateEligibilityPolicyRequest:
    return CreateEligibilityPolicyRequest(policy=policy(day, tenure_months, log_position))


CREATED = EligibilityPolicyCreated(policy=policy())


def test_create() -> None:
    """A policy is created once; what only the output holds is not stored."""
    created = given(ELIGIBILITY_POLICY).when(create(log_position=7)).then(CREATED)
    created.when(create()).then()
    assert to_resource(created.state, 42) == policy(log_position=42)


def test_create_with_other_content() -> None:
    """A policy never changes, for decisions rest on it: another one takes another id."""
    other = given(ELIGIBILITY_POLICY, CREATED).when(create(tenure_months=6))
    other.refused(AlreadyExists, "ELIGIBILITY_POLICY_EXISTS")


def test_in_force_from_no_day() -> None:
    """29 February passes the contract every year, and the calendar only in leap years."""
    refused = given(ELIGIBILITY_POLICY).when(create("2026-02-29")).refused(Invalid, "DATE_INVALID")
    assert refused.violations[0].field == "policy.effective_date"


def test_twice_is_once() -> None:
    """Creating a policy twice changes nothing."""
    twice_is_once(ELIGIBILITY_POLICY, st.builds(create, days, st.integers(0, 2)))
