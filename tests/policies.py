"""Policies that tests start from."""

from stepladder.performance.v1.policy_pb2 import DetectionRule, Policy, SetPolicyRequest

DAY, WEEK, MONTH = DetectionRule.PERIOD_DAY, DetectionRule.PERIOD_WEEK, DetectionRule.PERIOD_MONTH


def rule(
    kpi_id: str,
    period: "DetectionRule.Period.ValueType" = MONTH,
    streak: int = 1,
    *,
    minimum_samples: int = 0,
    settle_seconds: int = 0,
) -> DetectionRule:
    """A KPI that misses its target in a row."""
    return DetectionRule(
        streak=DetectionRule.Streak(kpi_id=kpi_id, period=period, streak=streak, minimum_samples=minimum_samples),
        settle_seconds=settle_seconds,
        purpose=DetectionRule.PURPOSE_COACHING,
    )


def detecting(policy_id: str, one: DetectionRule, day: str = "1990-01-01") -> SetPolicyRequest:
    """Stores a rule as a policy."""
    return SetPolicyRequest(policy=Policy(policy_id=policy_id, effective_date=day, detection=one))
