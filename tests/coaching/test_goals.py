"""Goals: what keeps one from being SMART, and how far it is on which days."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from libs.common.days import ONE_DAY, Span
from services.coaching.goals import kept, progress, restates, spans, suggested, violations, whole
from services.coaching.measuring import ITEM
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure, Measured
from stepladder.coaching.v1.plan_pb2 import Goal, GoalBasis, GoalResult, Plan
from stepladder.performance.v1.kpi_pb2 import Kpi

TODAY = date(2026, 3, 16)


def kpi(direction: Kpi.Direction.ValueType, **definition: Any) -> Kpi:
    """A ratio in per cent with one digit, unless it is said otherwise."""
    as_item = {field.name: value for field, value in ITEM.ListFields()}
    return Kpi(**(as_item | {"kpi_id": "csat", "direction": direction} | definition))


def measured(numerator: int | None, denominator: int = 1000, **said: Any) -> Measured:
    """What was counted in February; None: nothing was."""
    days = {"start_date": "2026-02-01", "end_date": "2026-02-28"} | said
    if numerator is None:
        return Measured(**days)
    return Measured(numerator=numerator, denominator=denominator, value="?", **days)


def goal(**said: Any) -> Goal:
    return Goal(**{"kpi_id": "csat", "target": "95", "deadline": "2026-04-30"} | said)


def wrong(given: Goal, basis: GoalBasis) -> dict[str, str]:
    return {one.field: one.message for one in violations(given, basis, TODAY, "goals[0]")}


HIGHER = GoalBasis(definition=kpi(Kpi.DIRECTION_HIGHER), baseline=measured(935))
LOWER = GoalBasis(definition=kpi(Kpi.DIRECTION_LOWER), baseline=measured(935))
BAND = GoalBasis(definition=kpi(Kpi.DIRECTION_BAND), baseline=measured(935))


@pytest.mark.parametrize(
    ("given", "basis", "field", "message"),
    [
        (Goal(target="95", deadline="2026-04-30"), GoalBasis(), "measure", "is missing"),
        (goal(), GoalBasis(), "measure", "there is no KPI csat"),
        (
            goal(kpi_id="", measure=Measure(form_item=FormItem(form_id="calls", item_id="greeting"))),
            GoalBasis(),
            "measure",
            "there is no item greeting of form calls",
        ),
        (goal(), GoalBasis(definition=kpi(Kpi.DIRECTION_NONE)), "measure", "no value of it is better"),
        (goal(deadline=""), HIGHER, "deadline", "is missing"),
        (goal(deadline="2026-03-16"), HIGHER, "deadline", "must lie after today"),
        (goal(target=""), HIGHER, "target", "is missing"),
        (
            goal(),
            GoalBasis(definition=ITEM, baseline=measured(None)),
            "baseline",
            "nothing of KPI csat was recorded from 2026-02-01 to 2026-02-28",
        ),
        (goal(), GoalBasis(definition=ITEM), "baseline_start_date", "the plan has no evidence"),
        (
            goal(),
            GoalBasis(definition=ITEM, baseline=measured(935, end_date="2026-03-17")),
            "baseline_end_date",
            "must not lie after today",
        ),
        (goal(baseline="93.4"), HIGHER, "baseline", "must be 93.5, as the facts of 2026-02-01 to 2026-02-28 say"),
        (goal(target="93.5"), HIGHER, "target", "must be better than the baseline, which is 93.5"),
        (goal(target="93.4"), HIGHER, "target", "must be better"),
        (goal(target="93.6"), LOWER, "target", "must be better"),
        (goal(target="93.5"), BAND, "target", "must be better"),
    ],
)
def test_a_goal_that_is_not_smart(given: Goal, basis: GoalBasis, field: str, message: str) -> None:
    """What is wrong is said of the field that it is wrong of, with what would be right."""
    found = wrong(given, basis)
    assert list(found) == [f"goals[0].{field}"]
    assert message in found[f"goals[0].{field}"]


@pytest.mark.parametrize(
    ("given", "basis"),
    [
        (goal(), HIGHER),
        (goal(baseline="93.5"), HIGHER),
        (goal(baseline="93.46"), HIGHER),  # to the measure's precision
        (goal(target="93.51"), HIGHER),
        (goal(target="90"), LOWER),
        (goal(target="90"), BAND),
        (goal(target="95"), BAND),
        (goal(deadline="2026-03-17"), HIGHER),
    ],
)
def test_a_smart_goal_is_kept_with_what_it_rests_on(given: Goal, basis: GoalBasis) -> None:
    """The baseline is what the facts say, as it is shown; the goal as it was given says nothing else."""
    assert wrong(given, basis) == {}
    found = kept(given, basis)
    assert (found.kpi_id, found.measure.kpi_id, found.baseline) == ("csat", "csat", "93.5")
    assert found.measured_baseline == basis.baseline
    assert restates(given, found)
    assert not restates(goal(target="99"), found)


def test_values_are_compared_exactly() -> None:
    """94.96 is shown as 95.0, and is less than 95; so is a time of day, whose numbers are seconds."""
    found = kept(goal(), HIGHER)
    assert not progress(found, measured(9496, 10000), [measured(9496, 10000)], TODAY).met
    assert progress(found, measured(95, 100), [measured(95, 100)], TODAY).met
    clock = kpi(Kpi.DIRECTION_LOWER, unit=Kpi.UNIT_TIME_OF_DAY, scale_numerator=1, precision=0)
    arrival = kept(goal(target="28800"), GoalBasis(definition=clock, baseline=measured(29_000, 1)))
    assert arrival.baseline == "29000"
    found_now = measured(28_800, 1)
    assert progress(arrival, found_now, [found_now], TODAY).met


def stages(*told: tuple[str, str]) -> Goal:
    return goal(stages=[Goal.Stage(date=day, target=target) for day, target in told])


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (stages(("2026-03-30", "94"), ("2026-04-15", "94.5")), []),
        (stages(("2026-03-16", "94")), ["stages[0].date"]),
        (stages(("2026-04-30", "94")), ["stages[0].date"]),
        (stages(("2026-04-15", "94"), ("2026-04-15", "94.5")), ["stages[1].date"]),
        (stages(("2026-03-30", "93.5")), ["stages[0].target"]),
        (stages(("2026-03-30", "95")), ["stages[0].target"]),
        (stages(("2026-03-30", "94"), ("2026-04-15", "93.8")), ["stages[1].target"]),
        (stages(("2026-05-30", "96")), ["stages[0].date", "stages[0].target"]),
    ],
)
def test_stages_lead_from_the_baseline_to_the_target(given: Goal, fields: list[str]) -> None:
    """Each later than the one before, and nearer."""
    assert list(wrong(given, HIGHER)) == [f"goals[0].{name}" for name in fields]


def test_the_days_of_stages() -> None:
    """From the day after the activation; the goal itself is measured since the last stage that is over."""
    found = stages(("2026-03-20", "94"), ("2026-03-25", "94.5"))

    def days(last: int) -> list[tuple[int, int] | None]:
        return [(one.start.day, one.end.day) if one else None for one in spans(found, TODAY, date(2026, 3, last))]

    assert days(16) == [None, None, None]
    assert days(17) == [(17, 17), None, (17, 17)]
    assert days(20) == [(17, 20), None, (17, 20)]
    assert days(21) == [(17, 20), (21, 21), (21, 21)]
    assert days(25) == [(17, 20), (21, 25), (21, 25)]
    assert days(30) == [(17, 20), (21, 25), (26, 30)]
    assert whole(TODAY, date(2026, 3, 30)) == Span(date(2026, 3, 17), date(2026, 3, 30))


@hypothesis.settings(derandomize=True, database=None, deadline=None)
@hypothesis.given(after=st.lists(st.integers(1, 60), max_size=5, unique=True).map(sorted), last=st.integers(0, 90))
def test_stages_share_the_days(after: list[int], last: int) -> None:
    """Every day since the activation belongs to one stage that is over or begun, or to the goal itself."""
    given = goal(stages=[Goal.Stage(date=str(TODAY + timedelta(days=n)), target="94") for n in after])
    end = TODAY + timedelta(days=last)
    *of_stages, own = spans(given, TODAY, end)
    over = [one for one, n in zip(of_stages, after, strict=True) if n < last]
    told = [*over, own]
    days = [one.start + timedelta(days=n) for one in told if one for n in range((one.end - one.start).days + 1)]
    assert days == [TODAY + timedelta(days=n) for n in range(1, last + 1)]
    assert all(one is None or one.start <= one.end <= end for one in of_stages)


def test_progress() -> None:
    """The share of the way, which stages are met, and that a stage is over once its day has ended."""
    found = kept(stages(("2026-03-20", "94"), ("2026-03-25", "94.5")), HIGHER)
    now = progress(found, measured(940), [measured(941), measured(944), measured(947)], date(2026, 3, 25))
    assert (now.share, now.met) == ("80.0", False)
    assert [(one.met, one.over) for one in now.stages] == [(True, True), (False, False)]
    assert now.since_activation == measured(940)
    for value, share in ((935, "0.0"), (920, "-100.0"), (965, "200.0"), (None, "")):
        again = progress(found, measured(None), [measured(None), measured(None), measured(value)], TODAY)
        assert (again.share, again.met) == (share, value == 965)
        assert not any(one.met for one in again.stages)


@hypothesis.settings(derandomize=True, database=None, deadline=None)
@hypothesis.given(
    start=st.integers(0, 1000), target=st.integers(0, 1000), value=st.integers(0, 1000), lower=st.booleans()
)
def test_a_goal_is_met_when_all_of_the_way_is_done(start: int, target: int, value: int, lower: bool) -> None:
    """A target that is no better than the baseline is refused; of any other, met is 100 per cent or more."""
    direction = Kpi.DIRECTION_LOWER if lower else Kpi.DIRECTION_HIGHER
    basis = GoalBasis(definition=kpi(direction), baseline=measured(start))
    given = goal(target=f"{target / 10:.1f}")
    if (target >= start) if lower else (target <= start):
        assert list(wrong(given, basis)) == ["goals[0].target"]
        return
    assert wrong(given, basis) == {}
    found = progress(kept(given, basis), measured(value), [measured(value)], TODAY + ONE_DAY)
    way = Fraction(value - start, target - start)
    assert found.met == (way >= 1)
    assert abs(Fraction(found.share) - way * 100) <= Fraction(1, 20)


@pytest.mark.parametrize(
    ("met", "outcome"),
    [
        ([], Plan.OUTCOME_UNSPECIFIED),
        ([True, True], Plan.OUTCOME_IMPROVED),
        ([True, False], Plan.OUTCOME_PARTLY_IMPROVED),
        ([False], Plan.OUTCOME_NOT_IMPROVED),
    ],
)
def test_what_is_suggested(met: list[bool], outcome: Plan.Outcome.ValueType) -> None:
    """By how many goals are met; nothing without results, or where nothing was measured."""
    assert suggested([GoalResult(met=one, measured=measured(9)) for one in met]) == outcome
    assert suggested([GoalResult()] * len(met)) == Plan.OUTCOME_UNSPECIFIED
