"""Detections: found once, where a KPI misses its target in a row."""

import random
import re
from collections.abc import Mapping, Sequence
from datetime import date

import pytest
from hypothesis import strategies as st

from libs.common.days import Span
from libs.common.errors import NotFound
from services.performance.detection import (
    DETECTION,
    PeriodResult,
    detection_id,
    find_streak,
    judge_again,
    to_resource,
)
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
from tests.deciding import given, twice_is_once

CSAT = Kpi(
    kpi_id="csat",
    unit=Kpi.UNIT_PERCENT,
    direction=Kpi.DIRECTION_HIGHER,
    aggregation=Kpi.AGGREGATION_RATIO,
    scale_numerator=100,
    scale_denominator=1,
    precision=1,
)
POLICY = DetectionPolicy(
    policy_id="csat-daily", kpi_id="csat", period=DetectionPolicy.PERIOD_DAY, streak=3, minimum_samples=10
)
TARGET = Target(kpi_id="csat", effective_date="2026-01-01", minimum="95", log_position=5)


def on(day: int) -> Span:
    return Span(date(2026, 3, day), date(2026, 3, day))


def reading(day: int, numerator: int, denominator: int = 100, *, source: str = "calls") -> RecordedReading:
    return RecordedReading(
        date=f"2026-03-{day:02}", source=source, numerator=numerator, denominator=denominator, log_position=100 + day
    )


def result(day: int, numerator: int, denominator: int = 100) -> PeriodResult:
    return PeriodResult(on(day), (reading(day, numerator, denominator),))


def found(
    numerators: Mapping[int, int], judged: int, policy: DetectionPolicy = POLICY, target: Target | None = TARGET
) -> list[int]:
    """Days of the streak that is found, out of numerators (of 100) by day."""
    results = [result(day, numerator) for day, numerator in numerators.items()]
    streak = find_streak(policy, CSAT, results, lambda _: target, on(judged))
    return [date.fromisoformat(period.start_date).day for period in streak]


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


def test_streak() -> None:
    """Three misses in a row are a streak, with the facts that say so; two are not."""
    assert found({1: 96, 2: 94, 3: 93}, judged=3) == []
    results = [result(2, 94), result(3, 9340, 10000), result(4, 9, 10)]
    streak = find_streak(POLICY, CSAT, results, lambda _: TARGET, on(4))
    assert [period.value for period in streak] == ["94.0", "93.4", "90.0"]
    assert streak[0] == MissedPeriod(
        start_date="2026-03-02",
        end_date="2026-03-02",
        numerator=94,
        denominator=100,
        value="94.0",
        minimum="95",
        target_position=5,
        target_positions=[5],
        facts=[FactReference(date="2026-03-02", source="calls", numerator=94, denominator=100, log_position=102)],
    )


def test_a_streak_that_grows_is_the_same() -> None:
    """Its first periods are named, whichever of its periods is judged."""
    misses = dict.fromkeys(range(2, 9), 90)
    assert [found(misses, judged) for judged in range(2, 9)] == [[2, 3, 4]] * 7
    assert found(misses, judged=1) == found(misses, judged=9) == []


def test_a_period_that_met_its_target_breaks_the_row() -> None:
    """Only misses one after the other count."""
    assert found({2: 90, 3: 90, 4: 95, 5: 90, 6: 90}, judged=6) == []
    assert found({2: 90, 3: 90, 4: 95, 5: 90, 6: 90, 7: 90}, judged=6) == [5, 6, 7]


def test_a_late_fact_may_close_the_gap() -> None:
    """Judging the period in the middle finds the row around it."""
    assert found({2: 90, 4: 90}, judged=4) == []
    assert found({2: 90, 3: 90, 4: 90}, judged=3) == [2, 3, 4]


def test_a_period_without_facts_or_target_breaks_the_row() -> None:
    """Nothing is missed where nothing was measured or expected."""
    assert found({2: 90, 3: 90, 5: 90}, judged=5) == []
    assert found({2: 90, 3: 90, 4: 90}, judged=4, target=None) == []
    results = [result(day, 90) for day in (2, 3, 4)]
    since = "2026-03-03"
    assert find_streak(POLICY, CSAT, results, lambda one: TARGET if one.date >= since else None, on(4)) == []


def test_too_few_samples_break_the_row() -> None:
    """A ratio needs its denominator, a sum its days with readings."""
    few = [result(2, 0, 9), result(3, 0, 10), result(4, 0, 10)]
    assert find_streak(POLICY, CSAT, few, lambda _: TARGET, on(4)) == []
    none = DetectionPolicy(period=DetectionPolicy.PERIOD_DAY, streak=1)
    assert find_streak(none, CSAT, [result(2, 0, 0)], lambda _: TARGET, on(2)) == []


@pytest.mark.parametrize(("days_with_readings", "is_found"), [(1, False), (2, True)])
def test_samples_of_a_sum(days_with_readings: int, is_found: bool) -> None:
    """Two sources on one day are one sample."""
    volume = Kpi(
        aggregation=Kpi.AGGREGATION_SUM, direction=Kpi.DIRECTION_HIGHER, scale_numerator=1, scale_denominator=1
    )
    policy = DetectionPolicy(period=DetectionPolicy.PERIOD_WEEK, streak=1, minimum_samples=2)
    week = Span(date(2026, 3, 9), date(2026, 3, 15))
    readings = [reading(9, 5, 0, source=source) for source in ("calls", "chats")]
    readings += [reading(9 + day, 0, 0) for day in range(1, days_with_readings)]
    results = [PeriodResult(week, tuple(readings))]
    assert bool(find_streak(policy, volume, results, lambda _: TARGET, week)) == is_found


def test_each_day_counts_under_its_own_target() -> None:
    """A week with two targets is held to their mean, weighted by the days' denominators."""
    policy = DetectionPolicy(period=DetectionPolicy.PERIOD_WEEK, streak=1)
    week = Span(date(2026, 3, 9), date(2026, 3, 15))
    lower = Target(minimum="80", log_position=9)
    days = PeriodResult(week, (reading(9, 270, 300), reading(10, 85, 100)))

    def target_on(one: RecordedReading) -> Target:
        return TARGET if one.date == "2026-03-09" else lower

    (missed,) = find_streak(policy, CSAT, [days], target_on, week)
    assert (missed.value, missed.minimum) == ("88.8", "91.25")  # 355 of 400; (95 × 300 + 80 × 100) / 400
    assert (missed.target_position, list(missed.target_positions)) == (9, [5, 9])


def test_a_disputed_fact_freezes_the_streak() -> None:
    """Until it is settled nothing is found that needs its period; what needs it not is."""
    days = {day: result(day, 90) for day in (2, 3, 4, 5)}
    contested = RecordedReading(disputed=True)
    contested.MergeFrom(reading(4, 90))
    days[4] = PeriodResult(on(4), (contested,))
    assert find_streak(POLICY, CSAT, list(days.values()), lambda _: TARGET, on(5)) == []
    days[5] = PeriodResult(on(5), days[4].readings)
    days[4] = result(4, 90)
    assert len(find_streak(POLICY, CSAT, list(days.values()), lambda _: TARGET, on(5))) == 3


def test_judged_again() -> None:
    """A period is met where the facts say so now, or where none are left."""
    found = Detection(periods=find_streak(POLICY, CSAT, [result(d, 90) for d in (2, 3, 4)], lambda _: TARGET, on(2)))
    again = judge_again(POLICY, CSAT, [result(2, 90), result(3, 99)], lambda _: TARGET, found)
    assert [(period.value, period.met) for period in again] == [("90.0", False), ("99.0", True), ("", True)]


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


def test_a_kpi_that_is_only_shown_is_never_missed() -> None:
    """Direction `none` is never judged, even against a target."""
    shown = Kpi(direction=Kpi.DIRECTION_NONE)
    shown.MergeFrom(Kpi(aggregation=Kpi.AGGREGATION_RATIO, scale_numerator=100, scale_denominator=1))
    results = [result(day, 90) for day in (2, 3, 4)]
    assert find_streak(POLICY, shown, results, lambda _: TARGET, on(4)) == []


def test_every_row_is_found_and_nothing_else() -> None:
    """Against a search through every window of three days, over 200 seeded months with gaps."""
    chance = random.Random(7)
    for _ in range(200):
        misses = {day: chance.random() < 0.6 for day in range(1, 15) if chance.random() < 0.9}
        numerators = {day: 94 if missed else 95 for day, missed in misses.items()}
        for judged in range(1, 15):
            windows = [range(first, first + 3) for first in range(judged - 2, judged + 1)]
            in_a_row = any(all(misses.get(day, False) for day in window) for window in windows)
            streak = found(numerators, judged)
            assert bool(streak) == in_a_row
            if streak:
                assert not misses.get(streak[0] - 1, False)
                assert all(misses[day] for day in range(streak[0], judged + 1))
                assert streak == list(range(streak[0], streak[0] + 3))


def test_a_row_that_grows_is_not_found_again() -> None:
    """At either end; a row apart from it is another streak."""
    known = [Detection(periods=find_streak(POLICY, CSAT, [result(d, 90) for d in (4, 5, 6)], lambda _: TARGET, on(4)))]

    def again(missed: Sequence[int], judged: int) -> list[MissedPeriod]:
        return find_streak(POLICY, CSAT, [result(day, 90) for day in missed], lambda _: TARGET, on(judged), known)

    assert again((2, 3, 4, 5, 6), 2) == []
    assert again((4, 5, 6, 7, 8, 9), 9) == []
    assert again((4, 5, 6, 8, 9, 10), 10) != []
    assert again((1, 2, 3), 3) != []
