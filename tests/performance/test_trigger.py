"""Triggers of detection policies: streaks, ratings, totals, points, contradictions."""

import random
from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from libs.common.days import Span
from libs.facts.adding import Counted
from libs.facts.conduct import Offending
from services.performance.trigger import Known, RatedMonth, find, look_again, period_of
from stepladder.performance.v1.detection_pb2 import Detection, FactReference, JudgedCondition, MissedPeriod
from stepladder.performance.v1.facts_pb2 import (
    RATING_GOOD,
    RATING_NEEDS_IMPROVEMENT,
    RATING_UNQUALIFIED,
    Rating,
)
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import DetectionRule, Offence
from tests.policies import DAY, MONTH, WEEK, rule

EVER = Span(date(2000, 1, 1), date(2026, 12, 31))

CSAT = Kpi(
    kpi_id="csat",
    unit=Kpi.UNIT_PERCENT,
    direction=Kpi.DIRECTION_HIGHER,
    aggregation=Kpi.AGGREGATION_RATIO,
    scale_numerator=100,
    scale_denominator=1,
    precision=1,
)
VOLUME = Kpi(
    kpi_id="volume",
    aggregation=Kpi.AGGREGATION_SUM,
    direction=Kpi.DIRECTION_HIGHER,
    scale_numerator=1,
    scale_denominator=1,
)
DAILY = rule("csat", DAY, 3, minimum_samples=10)
TARGET = Target(kpi_id="csat", effective_date="2026-01-01", minimum="95", log_position=5)


def reading(day: int, numerator: int, denominator: int = 100, *, source: str = "calls") -> Counted:
    return Counted("e-1", f"2026-03-{day:02}", source, "", numerator, denominator, 100 + day)


def known(*readings: Counted, target: Target | None = TARGET, kpi: Kpi = CSAT) -> Known:
    return Known({kpi.kpi_id: kpi}, {kpi.kpi_id: sorted(readings, key=lambda one: one.date)}, lambda _: target)


def streak(
    judged: int, one: Known, detection_rule: DetectionRule = DAILY, earlier: Sequence[Detection] = ()
) -> list[MissedPeriod]:
    """The one streak that is found, if any, when a day is judged."""
    found = find(detection_rule, one, [date(2026, 3, judged)], EVER, earlier)
    assert len(found) <= 1
    return found[0] if found else []


def found(numerators: Mapping[int, int], judged: int, target: Target | None = TARGET) -> list[int]:
    """Days of the streak that is found, out of numerators (of 100) by day."""
    readings = [reading(day, numerator) for day, numerator in numerators.items()]
    return [date.fromisoformat(period.start_date).day for period in streak(judged, known(*readings, target=target))]


def test_streak() -> None:
    """Three misses in a row are a streak, with the facts that say so; two are not."""
    assert found({1: 96, 2: 94, 3: 93}, judged=3) == []
    periods = streak(4, known(reading(2, 94), reading(3, 9340, 10000), reading(4, 9, 10)))
    assert [period.value for period in periods] == ["94.0", "93.4", "90.0"]
    assert periods[0] == MissedPeriod(
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
    readings = {"csat": [reading(day, 90) for day in (2, 3, 4)]}
    late = Known({"csat": CSAT}, readings, lambda one: TARGET if one.date >= "2026-03-03" else None)
    assert streak(4, late) == []


def test_periods_outside_do_not_count() -> None:
    """Those that are not over, and those from before the policy."""
    one = known(*(reading(day, 90) for day in (2, 3, 4)))
    assert find(DAILY, one, [date(2026, 3, 4)], Span(EVER.start, date(2026, 3, 3))) == []
    assert find(DAILY, one, [date(2026, 3, 4)], Span(date(2026, 3, 3), EVER.end)) == []
    assert len(find(DAILY, one, [date(2026, 3, 4)], Span(date(2026, 3, 2), date(2026, 3, 4)))) == 1


def test_too_few_samples_break_the_row() -> None:
    """A ratio needs its denominator, a sum its days with readings."""
    assert streak(4, known(reading(2, 0, 9), reading(3, 0, 10), reading(4, 0, 10))) == []
    assert streak(2, known(reading(2, 0, 0)), rule("csat", DAY)) == []


@pytest.mark.parametrize(("days_with_readings", "is_found"), [(1, False), (2, True)])
def test_samples_of_a_sum(days_with_readings: int, is_found: bool) -> None:
    """Two sources on one day are one sample."""
    readings = [reading(9, 5, 0, source=source) for source in ("calls", "chats")]
    readings += [reading(9 + day, 0, 0) for day in range(1, days_with_readings)]
    weekly = rule("volume", WEEK, minimum_samples=2)
    assert bool(streak(9, known(*readings, kpi=VOLUME), weekly)) == is_found


def test_bounds_of_the_policys_own() -> None:
    """Take the place of the target, whether there is one or not."""
    own = rule("csat", DAY)
    own.streak.minimum = "80"
    assert streak(2, known(reading(2, 81)), own) == []
    (period,) = streak(2, known(reading(2, 79), target=None), own)
    assert (period.minimum, period.target_position, list(period.target_positions)) == ("80", 0, [])


def test_each_day_counts_under_its_own_target() -> None:
    """A week with two targets is held to their mean, weighted by the days' denominators."""
    lower = Target(minimum="80", log_position=9)
    readings = {"csat": [reading(9, 270, 300), reading(10, 85, 100)]}
    week = Known({"csat": CSAT}, readings, lambda one: TARGET if one.date == "2026-03-09" else lower)
    (missed,) = streak(9, week, rule("csat", WEEK))
    assert (missed.value, missed.minimum) == ("88.8", "91.25")  # 355 of 400; (95 × 300 + 80 × 100) / 400
    assert (missed.target_position, list(missed.target_positions)) == (9, [5, 9])


def contested(one: Counted) -> Counted:
    return one._replace(disputed=True)


def test_a_disputed_fact_freezes_the_streak() -> None:
    """Until it is settled nothing is found that needs its period; what does not need it is."""
    first = [reading(day, 90) for day in (2, 3)]
    assert streak(5, known(*first, contested(reading(4, 90)), reading(5, 90))) == []
    assert len(streak(5, known(*first, reading(4, 90), contested(reading(5, 90))))) == 3
    later = [reading(day, 90) for day in (4, 5, 6)]
    beside = streak(6, known(reading(2, 90), contested(reading(3, 90)), *later))
    assert [period.start_date for period in beside] == ["2026-03-04", "2026-03-05", "2026-03-06"]


def test_a_kpi_that_is_only_shown_is_never_missed() -> None:
    """Direction `none` is never judged, even against a target."""
    shown = Kpi()
    shown.CopyFrom(CSAT)
    shown.direction = Kpi.DIRECTION_NONE
    assert streak(4, known(*(reading(day, 90) for day in (2, 3, 4)), kpi=shown)) == []


def test_every_row_is_found_and_nothing_else() -> None:
    """Against a search through every window of three days, over 200 seeded months with gaps."""
    chance = random.Random(7)
    for _ in range(200):
        misses = {day: chance.random() < 0.6 for day in range(1, 15) if chance.random() < 0.9}
        numerators = {day: 94 if missed else 95 for day, missed in misses.items()}
        for judged in range(1, 15):
            windows = [range(first, first + 3) for first in range(judged - 2, judged + 1)]
            in_a_row = any(all(misses.get(day, False) for day in window) for window in windows)
            days = found(numerators, judged)
            assert bool(days) == in_a_row
            if days:
                assert not misses.get(days[0] - 1, False)
                assert all(misses[day] for day in range(days[0], judged + 1))
                assert days == list(range(days[0], days[0] + 3))


def test_a_row_that_grows_is_not_found_again() -> None:
    """At either end; a row apart from it is another streak."""
    earlier = [Detection(periods=streak(4, known(*(reading(day, 90) for day in (4, 5, 6)))))]

    def again(missed: Sequence[int], judged: int) -> list[MissedPeriod]:
        return streak(judged, known(*(reading(day, 90) for day in missed)), earlier=earlier)

    assert again((2, 3, 4, 5, 6), 2) == []
    assert again((4, 5, 6, 7, 8, 9), 9) == []
    assert again((4, 5, 6, 8, 9, 10), 10) != []
    assert again((1, 2, 3), 3) != []


def test_looked_at_again() -> None:
    """A period is met where the facts say so now, or where none are left."""
    periods = streak(2, known(*(reading(day, 90) for day in (2, 3, 4))))
    again = look_again(DAILY, known(reading(2, 90), contested(reading(3, 99))), periods)
    assert [(one.period.value, one.period.met, one.disputed) for one in again] == [
        ("90.0", False, False),
        ("99.0", True, True),
        ("", True, False),
    ]


def rated(*months: tuple[str, Rating.ValueType, bool]) -> Known:
    return Known({}, ratings={month: RatedMonth(rating, 7, disputed) for month, rating, disputed in months})


RATINGS = DetectionRule(ratings=DetectionRule.RatingStreak(at_most=RATING_NEEDS_IMPROVEMENT, months=2))


def test_ratings_in_a_row() -> None:
    """Two months rated so badly; a better one, or none, breaks the row; one on disputed facts freezes it."""
    bad, worse = RATING_NEEDS_IMPROVEMENT, RATING_UNQUALIFIED
    (periods,) = find(RATINGS, rated(("2026-01", bad, False), ("2026-02", worse, False)), [date(2026, 2, 1)], EVER)
    assert [(one.start_date, one.end_date, one.value, one.maximum) for one in periods] == [
        ("2026-01-01", "2026-01-31", "NEEDS_IMPROVEMENT", "NEEDS_IMPROVEMENT"),
        ("2026-02-01", "2026-02-28", "UNQUALIFIED", "NEEDS_IMPROVEMENT"),
    ]
    assert [fact.log_position for one in periods for fact in one.facts] == [7, 7]
    for broken in (
        [("2026-01", bad, False), ("2026-02", RATING_GOOD, False)],
        [("2026-01", bad, False), ("2026-03", bad, False)],
        [("2026-01", bad, True), ("2026-02", bad, False)],
    ):
        assert find(RATINGS, rated(*broken), [date.fromisoformat(f"{broken[-1][0]}-01")], EVER) == []


TOTAL = DetectionRule(total=DetectionRule.Total(kpi_id="volume", days=7, at_least="3"))


def totals(counts: Mapping[int, int], judged: int, earlier: Sequence[Detection] = ()) -> list[tuple[int, str]]:
    """Day and value of what is found."""
    one = known(*(reading(day, count, 0) for day, count in counts.items()), kpi=VOLUME)
    finds = find(TOTAL, one, [date(2026, 3, judged)], EVER, earlier)
    return [(date.fromisoformat(periods[0].start_date).day, periods[0].value) for periods in finds]


def test_a_total_is_found_on_the_day_on_which_it_is_reached() -> None:
    """Over seven days up to it; not again while it lasts; again after it had fallen."""
    assert totals({2: 2, 8: 1}, judged=8) == [(8, "3")]
    assert totals({2: 2, 9: 1}, judged=9) == []
    assert totals({2: 3, 3: 1}, judged=3) == []
    assert totals({2: 3, 20: 3}, judged=20) == [(20, "3")]


def test_a_late_fact_moves_the_day_on_which_a_total_is_reached() -> None:
    """The days after it are judged, too."""
    assert totals({2: 1, 4: 1, 6: 1}, judged=2) == [(6, "3")]
    assert totals({2: 2, 4: 1, 6: 1}, judged=2) == [(4, "3")]


@pytest.mark.parametrize(("detection_rule", "kpi", "choices"), [(DAILY, CSAT, (90, 99)), (TOTAL, VOLUME, (0, 1))])
def test_days_together_find_what_they_find_one_after_the_other(
    detection_rule: DetectionRule, kpi: Kpi, choices: Sequence[int]
) -> None:
    """Also where something was found before, where rows are long and where something is disputed."""
    chance, days = random.Random(11), range(1, 29)
    finds = 0
    for _ in range(60):
        readings = [reading(day, chance.choice(choices)) for day in days if chance.random() < 0.9]
        one = known(*(contested(one) if chance.random() < 0.05 else one for one in readings), kpi=kpi)
        found = find(detection_rule, one, [date(2026, 3, chance.choice(days))], EVER)
        alone: list[list[MissedPeriod]] = []
        for day in days:
            earlier = [Detection(periods=periods) for periods in [*found, *alone]]
            alone += find(detection_rule, one, [date(2026, 3, day)], EVER, earlier)
        before = [Detection(periods=periods) for periods in found]
        assert find(detection_rule, one, [date(2026, 3, day) for day in days], EVER, before) == alone
        finds += len(alone)
    assert finds > 60


def offending(day: str, points: int, *, disputed: bool = False) -> Offending:
    offence = Offence(offence_id="phone", points=points, lapse_months=1)
    return Offending(f"v-{day}", day, "house", offence, position=7, disputed=disputed)


def test_points() -> None:
    """Found on the day on which the running total is reached, with every violation in it."""
    ten = DetectionRule(points=DetectionRule.Points(at_least=10))

    def finds(*violations: Offending, judged: str) -> list[tuple[str, str, list[int]]]:
        found = find(ten, Known({}, violations=violations), [date.fromisoformat(judged)], EVER)
        return [
            (periods[0].start_date, periods[0].value, [fact.numerator for fact in periods[0].facts])
            for periods in found
        ]

    first, second, third = offending("2026-01-10", 4), offending("2026-01-20", 6), offending("2026-01-25", 1)
    assert finds(first, second, third, judged="2026-01-20") == [("2026-01-20", "10", [4, 6])]
    assert finds(first, second, third, judged="2026-01-25") == []
    assert finds(first, second, third, judged="2026-01-10") == [("2026-01-20", "10", [4, 6])]
    assert finds(first, offending("2026-02-10", 6), judged="2026-02-10") == []  # the first has lapsed
    assert finds(first, offending("2026-01-20", 6, disputed=True), judged="2026-01-20") == []


MINUTES = Kpi(kpi_id="aht", aggregation=Kpi.AGGREGATION_RATIO, scale_numerator=1, scale_denominator=60, precision=2)
SHARE = Kpi(kpi_id="short", aggregation=Kpi.AGGREGATION_RATIO, scale_numerator=100, scale_denominator=1, precision=1)


def contradiction(*conditions: DetectionRule.Condition) -> DetectionRule:
    return DetectionRule(contradiction=DetectionRule.Contradiction(period=MONTH, streak=1, conditions=conditions))


BOUGHT = contradiction(
    DetectionRule.Condition(
        kpi_id="aht", falls=DetectionRule.Movement(percent="10", baseline_periods=2), minimum_samples=100
    ),
    DetectionRule.Condition(kpi_id="short", rises=DetectionRule.Movement(percent="50", baseline_periods=1)),
)


def months(*numbers: tuple[int, int]) -> Known:
    """AHT in seconds, and short calls of 100, of January and the months after it; 100 calls a month."""

    def at(month: int, numerator: int) -> Counted:
        day = f"2026-{month:02}-10"
        return Counted("e-1", day, "calls", "", numerator, 100, month)

    return Known(
        {"aht": MINUTES, "short": SHARE},
        {
            "aht": [at(month, 100 * seconds) for month, (seconds, _) in enumerate(numbers, 1)],
            "short": [at(month, short) for month, (_, short) in enumerate(numbers, 1)],
        },
    )


@pytest.mark.parametrize(
    ("numbers", "is_found"),
    [
        ([(190, 2), (170, 2), (162, 3)], True),
        ([(190, 2), (170, 2), (163, 3)], False),  # less than a tenth below the mean of two months
        ([(190, 2), (170, 2), (162, 2)], False),
        ([(190, 2), (170, 0), (162, 3)], False),  # nothing to compare with
    ],
)
def test_contradicting_movements(numbers: list[tuple[int, int]], is_found: bool) -> None:
    """All conditions hold in the same month, each against its own months before."""
    found = find(BOUGHT, months(*numbers), [date(2026, 3, 1)], EVER)
    assert bool(found) == is_found
    if found:
        ((period,),) = found
        assert list(period.conditions) == [
            JudgedCondition(kpi_id="aht", value="2.70", baseline="3.00"),
            JudgedCondition(kpi_id="short", value="3.0", baseline="2.0"),
        ]
        assert sorted(fact.log_position for fact in period.facts) == [1, 2, 2, 3, 3]


def test_comparisons_with_a_number() -> None:
    """Above and below are strict, and need samples."""
    above = DetectionRule.Condition(kpi_id="short", above="2", minimum_samples=100)
    below = DetectionRule.Condition(kpi_id="aht", below="3")
    assert find(contradiction(above, below), months((179, 3)), [date(2026, 1, 1)], EVER)
    assert not find(contradiction(above, below), months((180, 3)), [date(2026, 1, 1)], EVER)
    assert not find(contradiction(above, below), months((179, 2)), [date(2026, 1, 1)], EVER)
    above.minimum_samples = 101
    assert not find(contradiction(above, below), months((179, 3)), [date(2026, 1, 1)], EVER)


@pytest.mark.parametrize(
    ("one", "day", "span"),
    [
        (rule("csat", DAY), "2026-03-01", ("2026-03-01", "2026-03-01")),
        (rule("csat", WEEK), "2026-01-01", ("2025-12-29", "2026-01-04")),
        (rule("csat", MONTH), "2028-02-29", ("2028-02-01", "2028-02-29")),
        (RATINGS, "2026-03-15", ("2026-03-01", "2026-03-31")),
        (TOTAL, "2026-03-15", ("2026-03-15", "2026-03-15")),
    ],
)
def test_periods(one: DetectionRule, day: str, span: tuple[str, str]) -> None:
    """The period of a day."""
    assert period_of(one, date.fromisoformat(day)) == Span(date.fromisoformat(span[0]), date.fromisoformat(span[1]))
