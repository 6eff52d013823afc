"""Signals of a roster: what is seen, as of a day, and what is shown of it."""

from datetime import date

import pytest

from libs.common.errors import Invalid
from libs.facts.adding import Counted
from libs.facts.conduct import Offending
from services.performance import detection, roster
from services.performance.policy import POLICY, kpis_of
from services.performance.roster import Seen, check_ins_wanted, due, for_managers, held, reading_since
from services.performance.trigger import Known, RatedMonth
from stepladder.performance.v1.check_in_pb2 import CheckIn
from stepladder.performance.v1.detection_pb2 import Detection, DetectionDrift, MissedPeriod
from stepladder.performance.v1.events_pb2 import AtRiskReviewed
from stepladder.performance.v1.facts_pb2 import RATING_GOOD, RATING_NEEDS_IMPROVEMENT, RATING_UNQUALIFIED
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import DetectionRule, Offence, Policy, Roster, SetPolicyRequest
from stepladder.performance.v1.roster_pb2 import HeldSignal
from tests.deciding import given
from tests.performance.test_policy import stored

AS_OF = date(2026, 3, 16)
CALLS = Kpi(kpi_id="calls", aggregation=Kpi.AGGREGATION_SUM, scale_numerator=1, scale_denominator=1)
LATE = Kpi(kpi_id="late", aggregation=Kpi.AGGREGATION_SUM, scale_numerator=1, scale_denominator=1)
KPIS = {"calls": CALLS, "late": LATE}


def signal(**test: object) -> Roster.Signal:
    return Roster.Signal(signal_id="one", display_name="One", points=2, **test)  # type: ignore[arg-type] # a field


def seen_of(seen: Seen, **test: object) -> HeldSignal | None:
    """The signal as it is shown if it holds."""
    found = held(Roster(signals=[signal(**test)], at_least=1), seen, AS_OF)
    assert all((one.signal_id, one.display_name, one.points) == ("one", "One", 2) for one in found)
    return found[0] if found else None


def readings(kpi_id: str, **numerators: int) -> Seen:
    """Readings by day of the year 2026: `d0316`."""
    counted = [
        Counted("e-1", f"2026-{day[1:3]}-{day[3:]}", "acd", kpi_id, value, 0, number + 1, disputed=value == 13)
        for number, (day, value) in enumerate(numerators.items())
    ]
    return Seen(Known(KPIS, {kpi_id: counted}))


FALLS = Roster.Trend(
    days=7,
    condition=DetectionRule.Condition(
        kpi_id="calls", falls=DetectionRule.Movement(percent="20", baseline_periods=2), minimum_samples=2
    ),
)
TWICE_LATE = Roster.Trend(days=30, condition=DetectionRule.Condition(kpi_id="late", above="1"))


def test_a_kpi_falls_against_what_came_before() -> None:
    """Seven days up to the day against what the two times seven before them come to; what lies later or earlier is
    not looked at."""
    before = {"d0223": 999, "d0224": 60, "d0302": 40, "d0309": 100}
    shown = seen_of(readings("calls", **before, d0310=80, d0316=79, d0317=999), trend=FALLS)
    assert shown is not None
    assert (shown.value, shown.baseline) == ("159", "200")
    assert [(one.date, one.log_position) for one in shown.facts][:2] == [("2026-03-10", 5), ("2026-03-16", 6)]
    assert {one.log_position for one in shown.facts} == {2, 3, 4, 5, 6}
    assert seen_of(readings("calls", **before, d0310=81, d0316=80), trend=FALLS) is None
    assert seen_of(readings("calls", **before, d0316=1), trend=FALLS) is None  # too few days
    assert seen_of(readings("calls", d0310=80, d0316=79), trend=FALLS) is None
    assert reading_since(Roster(signals=[signal(trend=FALLS), signal(trend=TWICE_LATE)]), AS_OF) == date(2026, 2, 15)
    assert reading_since(Roster(signals=[signal(trend=FALLS)]), AS_OF) == date(2026, 2, 24)


def test_late_shifts_are_a_kpi() -> None:
    """What is disputed is shown as such."""
    shown = seen_of(readings("late", d0301=1, d0316=13), trend=TWICE_LATE)
    assert shown is not None
    assert (shown.value, shown.disputed) == ("14", True)
    assert seen_of(readings("late", d0301=1), trend=TWICE_LATE) is None


RATINGS = DetectionRule.RatingStreak(at_most=RATING_NEEDS_IMPROVEMENT, months=2)
BAD, WORSE, GOOD = (RatedMonth(one, 9) for one in (RATING_NEEDS_IMPROVEMENT, RATING_UNQUALIFIED, RATING_GOOD))


@pytest.mark.parametrize(
    ("ratings", "value"),
    [
        ({"2026-01": BAD, "2026-02": WORSE}, "UNQUALIFIED"),
        ({"2025-12": WORSE, "2026-01": BAD}, "NEEDS_IMPROVEMENT"),  # February is not closed yet
        ({"2026-01": BAD, "2026-02": GOOD}, ""),
        ({"2025-12": BAD, "2026-01": BAD, "2026-02": GOOD}, ""),
        ({"2026-02": BAD}, ""),
        ({"2025-11": BAD, "2025-12": BAD}, ""),  # of long ago
        ({"2026-02": GOOD, "2026-03": BAD, "2026-04": BAD}, ""),  # of a month that is not over
    ],
)
def test_bad_ratings_in_a_row(ratings: dict[str, RatedMonth], value: str) -> None:
    """Of the months up to the last one, or the one before while that has none."""
    shown = seen_of(Seen(Known(KPIS, ratings=ratings)), ratings=RATINGS)
    assert (shown.value if shown else "") == value
    if shown:
        assert [(one.source, one.log_position) for one in shown.facts] == [("rating", 9), ("rating", 9)]


def test_conduct_points() -> None:
    """The running total of the day, with the violations in it."""
    offence = Offence(offence_id="noise", points=2, lapse_months=1)
    days = ["2026-02-15", "2026-02-20", "2026-03-16", "2026-03-17"]
    violations = [Offending(f"v-{n}", day, "floor-rules", offence, n, disputed=n == 2) for n, day in enumerate(days)]
    seen = Seen(Known(KPIS, violations=violations))
    shown = seen_of(seen, conduct=DetectionRule.Points(at_least=4))
    assert shown is not None
    assert (shown.value, shown.disputed) == ("4", True)
    assert [(one.source, one.numerator, one.log_position) for one in shown.facts] == [("noise", 2, 1), ("noise", 2, 2)]
    assert seen_of(seen, conduct=DetectionRule.Points(at_least=5)) is None


def check_ins(**days: tuple[int, int]) -> Seen:
    """Mood and stress by day of the year 2026."""
    given = [
        CheckIn(check_in_id=f"c{day}", date=f"2026-{day[1:3]}-{day[3:]}", mood=mood, stress=stress, note="private")
        for day, (mood, stress) in days.items()
    ]
    return Seen(Known(KPIS), given)


def test_low_moods_among_the_last_check_ins() -> None:
    """Two of the last three, whenever they were; those of later days do not count."""
    level = Roster.CheckInLevel(mood_at_most=2, times=2, of=3)
    shown = seen_of(check_ins(d0316=(2, 1), d0101=(1, 1), d0220=(2, 5), d0310=(3, 1)), check_ins=level)
    assert shown is not None
    assert shown.value == "2"
    assert [(one.check_in_id, one.mood, one.stress) for one in shown.check_ins] == [("cd0220", 2, 5), ("cd0316", 2, 1)]
    assert "private" not in str(shown)
    assert seen_of(check_ins(d0220=(2, 5), d0310=(3, 1), d0312=(3, 1), d0316=(2, 1)), check_ins=level) is None
    assert seen_of(check_ins(d0310=(2, 1), d0317=(2, 1)), check_ins=level) is None
    assert seen_of(check_ins(), check_ins=level) is None


def test_high_stress_among_the_last_check_ins() -> None:
    """At least so much; mood has nothing to do with it."""
    level = Roster.CheckInLevel(stress_at_least=4, times=1, of=1)
    shown = seen_of(check_ins(d0315=(1, 5), d0316=(5, 4)), check_ins=level)
    assert shown is not None
    assert [one.check_in_id for one in shown.check_ins] == ["cd0316"]
    assert seen_of(check_ins(d0315=(1, 5), d0316=(1, 3)), check_ins=level) is None


def test_a_swinging_mood() -> None:
    """The best and the worst within so many days, the day itself included."""
    swing = Roster.MoodSwing(range=3, days=7)
    shown = seen_of(check_ins(d0310=(5, 1), d0312=(3, 1), d0316=(2, 1), d0317=(1, 1)), mood_swing=swing)
    assert shown is not None
    assert shown.value == "3"
    assert [one.check_in_id for one in shown.check_ins] == ["cd0310", "cd0316"]
    assert seen_of(check_ins(d0309=(5, 1), d0316=(2, 1)), mood_swing=swing) is None
    assert seen_of(check_ins(d0310=(4, 1), d0316=(2, 1)), mood_swing=swing) is None
    assert check_ins_wanted(Roster(signals=[signal(mood_swing=swing)]), AS_OF) == (0, date(2026, 3, 10))


def detected(name: str, last: str, *, stands: bool = True, disputed: bool = False) -> detection.State:
    periods = [MissedPeriod(start_date="2026-01-01", end_date=last)]
    drift = DetectionDrift(stands=stands, disputed=disputed, periods=periods) if disputed or not stands else None
    return detection.State(Detection(detection_id=name, periods=periods), drift or DetectionDrift())


def test_detections_that_stand() -> None:
    """Of the last days; those that facts no longer bear out do not count."""
    wanted = Roster.StandingDetections(at_least=2, days=30)
    found = [
        (1, detected("d-old", "2026-02-14")),
        (2, detected("d-1", "2026-02-15")),
        (3, detected("d-gone", "2026-03-01", stands=False)),
        (4, detected("d-2", "2026-03-16", disputed=True)),
        (5, detected("d-later", "2026-03-17")),
    ]
    shown = seen_of(Seen(Known(KPIS), detections=found), detections=wanted)
    assert shown is not None
    assert [(one.source, one.log_position) for one in shown.facts] == [("d-1", 2), ("d-2", 4)]
    assert (shown.value, shown.disputed) == ("2", True)
    assert seen_of(Seen(Known(KPIS), detections=found[:3]), detections=wanted) is None


EVERY = [
    Roster.Signal(signal_id="trend", display_name="T", points=1, trend=FALLS),
    Roster.Signal(signal_id="ratings", display_name="R", points=1, ratings=RATINGS),
    Roster.Signal(signal_id="conduct", display_name="C", points=1, conduct=DetectionRule.Points(at_least=4)),
    Roster.Signal(
        signal_id="mood", display_name="M", points=1, check_ins=Roster.CheckInLevel(mood_at_most=2, times=1, of=2)
    ),
    Roster.Signal(signal_id="swing", display_name="S", points=1, mood_swing=Roster.MoodSwing(range=1, days=7)),
    Roster.Signal(
        signal_id="found", display_name="F", points=1, detections=Roster.StandingDetections(at_least=1, days=9)
    ),
]


def policy(*signals: Roster.Signal, at_least: int = 1) -> Policy:
    one = Roster(signals=signals, at_least=at_least, review_days=14)
    return Policy(policy_id="p", effective_date="2026-01-01", roster=one)


def test_what_rests_on_check_ins_does_not_flow_up() -> None:
    """A manager's policy never had those signals, nor are check-ins read for it; the policy itself stays as it is."""
    whole = policy(*EVERY)
    left = for_managers(whole)
    assert [one.signal_id for one in left.roster.signals] == ["trend", "ratings", "conduct", "found"]
    assert check_ins_wanted(left.roster, AS_OF)[1] > AS_OF
    assert check_ins_wanted(left.roster, AS_OF)[0] == 0
    assert len(whole.roster.signals) == len(EVERY)
    tests = {one.name for one in Roster.Signal.DESCRIPTOR.oneofs_by_name["test"].fields}
    assert {one.WhichOneof("test") for one in EVERY} == tests  # a new kind is thought about here
    assert set(roster.SENSITIVE) < tests


@pytest.mark.parametrize(("said", "wanted"), [("2026-03-20", "2026-03-20"), ("2026-09-01", "2026-03-30")])
def test_a_review_is_due_by_what_comes_first(said: str, wanted: str) -> None:
    """The day that the last one named, or the policy's rhythm."""
    review = AtRiskReviewed(date="2026-03-16", next_review_date=said)
    assert due(policy(*EVERY).roster, review) == date.fromisoformat(wanted)


def test_a_roster_policy_is_stored() -> None:
    """And names the KPIs that it watches."""
    one = policy(*EVERY, at_least=6)
    given(POLICY).when(SetPolicyRequest(policy=one)).then(stored(one))
    assert kpis_of(one) == [("policy.roster.signals[0].trend.condition.kpi_id", "calls")]


def test_a_roster_policy_that_cannot_be_meant() -> None:
    """Each field that is wrong is named."""
    never = Roster.Trend(
        days=7, condition=DetectionRule.Condition(kpi_id="calls", rises=DetectionRule.Movement(percent="0"))
    )
    too_often = Roster.CheckInLevel(stress_at_least=4, times=4, of=3)
    wrong = policy(signal(trend=never), signal(check_ins=too_often), at_least=5)
    refusal = given(POLICY).when(SetPolicyRequest(policy=wrong)).refused(Invalid, "POLICY_INVALID")
    assert [violation.field for violation in refusal.violations] == [
        "policy.roster.signals[1].signal_id",
        "policy.roster.signals[0].trend.condition.rises.percent",
        "policy.roster.signals[1].check_ins.times",
        "policy.roster.at_least",
    ]
