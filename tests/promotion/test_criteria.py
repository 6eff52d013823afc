"""Every criterion of eligibility at its edges, worked out by hand."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from libs.facts.conduct import Offending
from services.promotion.criteria import Vacant
from services.promotion.eligibility import Judged
from services.promotion.history import Attended, During, Employed, History, Rated, Waiver, Worked, month_of
from services.promotion.ladder import Held, Step
from stepladder.performance.v1.directory_pb2 import EmploymentStatus
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import Offence, Policy
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules, Ladder
from stepladder.promotion.v1.eligibility_pb2 import Criterion, Eligibility

Rules = EligibilityRules
LADDER = Ladder(
    rungs=[
        Ladder.Rung(rung_id=name, position=name, eligibility_id="" if name == "agent" else "rules")
        for name in ("agent", "senior", "lead", "manager")
    ]
)
QUALITY = Kpi(
    kpi_id="quality",
    unit=Kpi.UNIT_PERCENT,
    direction=Kpi.DIRECTION_HIGHER,
    aggregation=Kpi.AGGREGATION_RATIO,
    scale_numerator=100,
    scale_denominator=1,
    precision=1,
)
HANDLED = Kpi(
    kpi_id="handled",
    unit=Kpi.UNIT_COUNT,
    direction=Kpi.DIRECTION_HIGHER,
    aggregation=Kpi.AGGREGATION_SUM,
    scale_numerator=1,
    scale_denominator=1,
)


def held(day: str, name: str = "agent", stars: int = 0, *, acting: bool = False, position: int = 1) -> Held:
    return Held(date.fromisoformat(day), name, stars, acting, position)


def employed(day: str, status: str = "CONFIRMED", position: int = 2) -> Employed:
    return Employed(date.fromisoformat(day), EmploymentStatus.Value(f"EMPLOYMENT_STATUS_{status}"), position)


def rated(**months: str) -> dict[int, Rated]:
    """`m2026_01="GOOD"`; positions are 100 and the month."""
    found = {}
    for name, rating in months.items():
        day = date(int(name[1:5]), int(name[6:]), 1)
        found[month_of(day)] = Rated(Rating.Value(f"RATING_{rating}"), "", False, 100 + day.month)
    return found


def attended(course_id: str, day: str, *, passed: bool = True, disputed: bool = False, position: int = 3) -> Attended:
    return Attended(course_id, date.fromisoformat(day), passed, disputed, position)


def during(name: str, day: str, until: str = "", position: int = 4) -> During:
    return During(name, date.fromisoformat(day), date.fromisoformat(until) if until else None, position)


def offence(
    record_id: str, day: str, points: int, *, lapse: int = 0, disputed: bool = False, warnings: int = 0
) -> Offending:
    rule = Offence(offence_id="noise", points=points, lapse_months=lapse, warnings=warnings)
    return Offending(record_id, day, "book", rule, 5, disputed)


def history(**known: Any) -> History:
    """Somebody who is an agent, confirmed, since 2020; and what else is known of them."""
    default = {"positions": [held("2020-01-01")], "statuses": [employed("2020-01-01")]}
    return History("e-1", **{**default, **known})


def judged(
    of: History,
    day: str,
    *criteria: Rules.Criterion,
    onto: int = 1,
    vacant: Vacant = Vacant(),  # noqa: B008 - has no state
    kpis: Mapping[str, Kpi] = {"quality": QUALITY, "handled": HANDLED},
) -> Judged:
    """Under rules of these criteria, each called by its kind."""
    named = []
    for one in criteria:
        given = Rules.Criterion(criterion_id=one.WhichOneof("test") or "", display_name="A criterion")
        given.MergeFrom(one)
        named.append(given)
    ladder = Policy(policy_id="ladder", ladder=LADDER, log_position=7)
    rules = Policy(policy_id="rules", eligibility=Rules(criteria=named), log_position=8)
    return Judged(of, Step(ladder, onto, rules), vacant, kpis, date.fromisoformat(day))


def only(one: Judged) -> Criterion:
    """The criterion behind those that all rules have."""
    (found,) = one.criteria()[2:]
    return found


def needs(one: Judged) -> list[list[str]]:
    """What would change the outcome, in words."""
    return [[need.text for need in change.needs] for change in one.changes()]


TENURE = Rules.Criterion(tenure=Rules.Tenure(months=12))


@pytest.mark.parametrize(
    ("since", "day", "months", "met", "met_from"),
    [
        ("2025-03-15", "2026-03-14", 11, False, "2026-03-15"),
        ("2025-03-15", "2026-03-15", 12, True, ""),
        ("2024-02-29", "2025-02-27", 11, False, "2025-02-28"),  # a leap day's year is full on the last of February
        ("2024-02-29", "2025-02-28", 12, True, ""),
        ("2025-01-31", "2025-02-28", 1, False, "2026-01-31"),
        ("2025-12-31", "2026-01-01", 0, False, "2026-12-31"),
    ],
)
def test_tenure_counts_full_months(since: str, day: str, months: int, met: bool, met_from: str) -> None:
    """To the day, at month ends, in leap years and over the turn of the year."""
    one = judged(history(positions=[held(since, position=31)]), day, TENURE)
    found = only(one)
    assert (found.actual, found.met, found.met_from) == (
        f"{months} full month{'s' * (months != 1)} as agent",
        met,
        met_from,
    )
    assert list(found.evidence_positions) == [31]
    assert one.eligible() == met
    assert needs(one) == ([] if met else [[f"to wait until {met_from}"]])


def test_acting_time_does_not_count_and_does_not_interrupt() -> None:
    """Who acts as a lead for three months and is confirmed as one is a lead since then; who goes back never left."""
    acting = [held("2024-01-01"), held("2025-01-01", "senior", acting=True), held("2025-04-01", "senior", position=33)]
    as_senior = only(judged(history(positions=acting), "2025-06-01", TENURE, onto=2))
    assert (as_senior.actual, list(as_senior.evidence_positions)) == ("2 full months as senior", [33])
    meanwhile = judged(history(positions=acting), "2025-03-31", TENURE)
    assert (only(meanwhile).actual, meanwhile.shown(1).from_rung_id) == ("14 full months as agent", "agent")
    back = [*acting[:2], held("2025-04-01", position=34)]
    assert only(judged(history(positions=back), "2025-04-01", TENURE)).actual == "15 full months as agent"


def test_leave_changes_nothing_of_tenure_and_confirmation() -> None:
    """Who is on leave is employed, and as confirmed as before; who never was confirmed is not by that."""
    confirmed = Rules.Criterion(confirmed=Rules.Confirmed())
    leave = [
        employed("2024-01-01", "PROBATION"),
        employed("2024-04-01", position=21),
        employed("2025-05-01", "ON_LEAVE"),
    ]
    one = judged(history(statuses=leave), "2025-06-01", confirmed, TENURE)
    assert one.eligible()
    assert [list(found.evidence_positions) for found in one.criteria()] == [[2], [1], [21], [1]]
    without = [leave[0], employed("2024-03-01", "ON_LEAVE"), employed("2024-09-01")]
    found = only(judged(history(statuses=without), "2024-08-31", confirmed))
    assert (found.met, found.actual, found.met_from) == (False, "PROBATION", "2024-09-01")


def test_stars_begin_tenure_anew_where_the_rules_say_so() -> None:
    """The position is held on; the time with its stars is not."""
    positions = [held("2024-01-01", stars=1), held("2025-06-01", stars=2, position=36)]
    with_stars = Rules.Criterion(tenure=Rules.Tenure(months=12, with_stars=True))
    assert only(judged(history(positions=positions), "2026-01-01", TENURE)).actual == "24 full months as agent"
    found = only(judged(history(positions=positions), "2026-01-01", with_stars))
    assert (found.actual, found.met_from) == ("7 full months as agent with 2 stars", "2026-06-01")


RATINGS = Rules.Criterion(ratings=Rules.RatingStreak(at_least=Rating.RATING_GOOD, months=3))


def test_ratings_are_of_full_months_in_a_row() -> None:
    """Better ones count; a worse one, or a month without, ends the row; the month that runs is not looked at."""
    good = rated(m2025_11="GOOD", m2025_12="EXCELLENT", m2026_01="GOOD", m2026_02="UNQUALIFIED")
    one = judged(history(ratings=good), "2026-02-28", RATINGS)
    found = only(one)
    assert (found.met, found.actual) == (True, "3 months in a row")
    assert found.required == "3 months in a row rated GOOD or better, up to 2026-01"
    assert list(found.evidence_positions) == [101, 111, 112]
    later = judged(history(ratings=good), "2026-03-01", RATINGS)
    assert (only(later).met, only(later).actual, only(later).met_from) == (False, "0 months in a row", "")
    assert needs(later) == [["2026-02 rated GOOD or better, not UNQUALIFIED"]]
    gap = judged(history(ratings=rated(m2025_11="GOOD", m2026_01="GOOD")), "2026-02-01", RATINGS)
    assert (only(gap).actual, needs(gap)) == (
        "1 month in a row",
        [["to wait until 2026-04-01"], ["2025-12 rated GOOD or better, which has no rating"]],
    )


def test_coming_months_are_rated_as_the_last_full_one_if_nothing_changes() -> None:
    """So a row that has begun is full on the first day behind its last month, and one that was broken never."""
    one = judged(history(ratings=rated(m2025_12="QUALIFIED", m2026_01="GOOD")), "2026-02-10", RATINGS)
    assert only(one).met_from == "2026-04-01"
    assert one.eligible_from() == date(2026, 4, 1)
    assert one.looked_at_again() == date(2026, 3, 1)
    assert judged(history(ratings=rated(m2026_01="GOOD")), "2026-03-10", RATINGS).eligible_from() is None


def test_a_rating_for_which_another_is_proposed_is_disputed() -> None:
    """It counts as it is until that is decided."""
    ratings = rated(m2026_01="GOOD", m2026_02="GOOD", m2026_03="GOOD")
    assert not only(judged(history(ratings=ratings), "2026-04-01", RATINGS)).disputed
    ratings[month_of(date(2026, 2, 1))] = Rated(Rating.RATING_GOOD, "88.0", True, 150)
    found = only(judged(history(ratings=ratings), "2026-04-01", RATINGS))
    assert (found.met, found.disputed, list(found.evidence_positions)) == (True, True, [101, 103, 150])


def test_courses_are_attended_and_passed_not_too_long_ago() -> None:
    """Through the same day so many months later; the latest attendance counts."""
    asked = Rules.Criterion(courses=Rules.Courses(course_ids=["a", "b"], exam_passed=True, within_months=12))
    courses = [
        attended("a", "2024-02-29", position=41),
        attended("b", "2024-05-01", passed=False, position=42),
        attended("b", "2024-06-01", disputed=True, position=43),
        attended("b", "2024-07-01", passed=False, position=44),
    ]
    last = judged(history(courses=courses), "2025-02-28", asked)
    found = only(last)
    assert (found.met, found.actual, found.disputed) == (True, "a on 2024-02-29, b on 2024-06-01", True)
    assert list(found.evidence_positions) == [41, 43]
    assert last.looked_at_again() == date(2025, 3, 1)
    assert needs(last) == []
    over = judged(history(courses=courses), "2025-03-01", asked)
    assert (only(over).met, only(over).met_from, needs(over)) == (False, "", [["a attended, exam passed"]])
    either = Rules.Criterion(courses=Rules.Courses(course_ids=["b"]))
    assert list(only(judged(history(courses=courses), "2030-01-01", either)).evidence_positions) == [44]
    assert not only(judged(history(courses=courses), "2024-04-30", either)).met


def test_tasks_count_from_mastery_to_withdrawal() -> None:
    """All of them at once."""
    asked = Rules.Criterion(skills=Rules.Skills(task_ids=["roster", "talk"]))
    mastered = [during("roster", "2026-01-05", "2026-03-01", 51), during("talk", "2026-02-01", position=52)]
    assert needs(judged(history(mastered=mastered), "2026-01-31", asked)) == [
        ["to wait until 2026-02-01"],
        ["talk mastered"],
    ]
    met = judged(history(mastered=mastered), "2026-02-28", asked)
    assert (only(met).met, list(only(met).evidence_positions)) == (True, [51, 52])
    assert met.looked_at_again() == date(2026, 3, 1)
    assert only(judged(history(mastered=mastered), "2026-03-01", asked)).actual == "talk"


def test_a_punished_year_bars_the_next_one() -> None:
    """Up to New Year's Eve of the year behind it; one point less bars nothing."""
    this, both = (Rules.Criterion(conduct=Rules.Conduct(points=10, years=years)) for years in (1, 2))
    violations = [offence("v-1", "2024-03-01", 6), offence("v-2", "2024-12-31", 4, disputed=True)]
    one = judged(history(violations=violations), "2024-12-31", this)
    assert (only(one).met, only(one).met_from, only(one).disputed) == (False, "2025-01-01", True)
    assert (only(one).actual, needs(one)) == (
        "10 points in 2024",
        [["to wait until 2025-01-01"], ["at least 1 point of 2024 revoked"]],
    )
    assert only(judged(history(violations=violations), "2024-12-30", this)).met
    next_year = judged(history(violations=violations), "2025-12-31", both)
    assert (only(next_year).met, only(next_year).met_from) == (False, "2026-01-01")
    assert only(next_year).required == "fewer than 10 points in 2024 and in 2025"
    assert only(judged(history(violations=violations), "2026-01-01", both)).met
    # The dispute is settled in the employee's favour: the violation is gone.
    settled = judged(history(violations=violations[:1]), "2024-12-31", this)
    assert (only(settled).met, needs(settled)) == (True, [])


def test_warnings_and_lapsed_points_do_not_count() -> None:
    """A lapse may lift what a year would bar; it does so on its day."""
    asked = Rules.Criterion(conduct=Rules.Conduct(points=5, years=1))
    lapsing = [offence("v-1", "2024-01-31", 5, lapse=1)]
    assert only(judged(history(violations=lapsing), "2024-02-28", asked)).met_from == "2024-02-29"
    assert only(judged(history(violations=lapsing), "2024-02-29", asked)).met
    assert only(judged(history(violations=[offence("v-1", "2024-01-31", 5, warnings=1)]), "2024-02-01", asked)).met


def test_a_pip_bars_from_its_delivery_to_its_end() -> None:
    """On the day on which it is closed it bars no more; how one that runs will end, nobody knows."""
    asked = Rules.Criterion(no_pip=Rules.NoPip())
    closed = history(pips=[during("", "2026-01-10", "2026-03-10", 61)])
    for day, met in (("2026-01-09", True), ("2026-01-10", False), ("2026-03-09", False), ("2026-03-10", True)):
        assert only(judged(closed, day, asked)).met == met
    runs = judged(history(pips=[during("", "2026-01-10", position=62)]), "2026-06-01", asked)
    assert (only(runs).met_from, list(only(runs).evidence_positions)) == ("", [62])
    assert (runs.eligible_from(), needs(runs)) == (None, [["the PIP closed"]])


def test_a_vacancy_is_one_within_the_headcount() -> None:
    """A title that any number may hold always has one."""
    asked = Rules.Criterion(vacancy=Rules.Vacancy())
    assert needs(judged(history(), "2026-01-01", asked)) == [["a vacancy"]]
    two = judged(history(), "2026-01-01", asked, vacant=Vacant(2, (71,)))
    assert (only(two).met, list(only(two).evidence_positions), needs(two)) == (True, [71], [])
    assert only(judged(history(), "2026-01-01", asked, vacant=Vacant(None))).actual == "any number"


def test_a_kpi_is_held_against_its_bounds_exactly() -> None:
    """Over full months; on the bound is within; too few samples are none."""
    months = {
        ("quality", month_of(date(2026, month, 1))): Worked(94 + month, 100, 20, (80 + month,)) for month in (1, 2)
    }
    limit = Rules.KpiLimit(kpi_id="quality", months=2, minimum="95.5", minimum_samples=200)
    one = judged(history(worked=months), "2026-03-31", Rules.Criterion(kpi_limit=limit))
    found = only(one)
    assert (found.met, found.actual, list(found.evidence_positions)) == (True, "95.5, of 200 samples", [81, 82])
    assert found.required == "quality at least 95.5 in 2026-01 to 2026-02, of at least 200 samples"
    assert needs(one) == []
    assert one.looked_at_again() == date(2026, 4, 1)
    above = judged(
        history(worked=months),
        "2026-03-31",
        Rules.Criterion(kpi_limit=Rules.KpiLimit(kpi_id="quality", months=2, maximum="95.4", minimum_samples=201)),
    )
    assert needs(above) == [
        ["1 more sample of quality in 2026-01 to 2026-02", "quality in 2026-01 to 2026-02 lower by at least 0.1"]
    ]
    nothing = judged(
        history(worked=months),
        "2026-03-31",
        Rules.Criterion(kpi_limit=Rules.KpiLimit(kpi_id="handled", months=2, minimum="0")),
    )
    assert (only(nothing).actual, needs(nothing)) == (
        "no value, of 0 samples",
        [["a value of handled in 2026-01 to 2026-02 within its bounds"]],
    )
    a_third = {("quality", month_of(date(2026, 1, 1))): Worked(1, 3, 1)}
    exact = judged(
        history(worked=a_third),
        "2026-02-01",
        Rules.Criterion(kpi_limit=Rules.KpiLimit(kpi_id="quality", months=1, minimum="33.333334")),
    )
    assert not only(exact).met
    assert needs(exact) == [["quality in 2026-01 to 2026-01 higher by at least 0.000001"]]


def test_days_are_the_samples_of_a_sum() -> None:
    """And its value is the sum."""
    months = {("handled", month_of(date(2026, 1, 1))): Worked(500, 0, 21)}
    limit = Rules.KpiLimit(kpi_id="handled", months=1, minimum="500", minimum_samples=21)
    assert (
        only(judged(history(worked=months), "2026-02-01", Rules.Criterion(kpi_limit=limit))).actual
        == "500, of 21 samples"
    )


def test_whoever_is_not_employed_is_not_eligible() -> None:
    """Before the day of hiring and from the day after the last one; the position would do."""
    statuses = [employed("2025-01-01"), employed("2026-01-01", "LEFT", position=22)]
    assert judged(history(statuses=statuses), "2025-12-31", TENURE).eligible()
    gone = judged(history(statuses=statuses), "2026-01-01", TENURE)
    assert (gone.eligible(), gone.criteria()[0].actual, needs(gone)) == (False, "LEFT", [])
    assert judged(history(statuses=statuses), "2024-12-31", TENURE).criteria()[0].actual == "not employed"


@pytest.mark.parametrize(
    ("position", "levels", "met"), [("senior", 1, True), ("agent", 2, True), ("lead", 0, False), ("cook", 0, False)]
)
def test_a_step_is_of_one_rung_or_two(position: str, levels: int, met: bool) -> None:
    """Three at once is none, nor is the rung that is held already; who holds none has no step."""
    shown = judged(history(positions=[held("2020-01-01", position)]), "2026-01-01", TENURE, onto=2).shown(99)
    assert (shown.levels, shown.criteria[1].met, shown.eligible) == (levels, met, met)
    assert not judged(history(), "2026-01-01", TENURE, onto=3).eligible()


@pytest.mark.parametrize(
    ("positions", "required", "actual"),
    [
        ([held("2020-01-01", "cook")], "senior or agent", "cook, which is on no rung of this ladder"),
        ([held("2020-01-01", "lead")], "senior or agent", "lead"),
        ([], "senior or agent", "no position"),
    ],
)
def test_what_is_held_is_named(positions: list[Held], required: str, actual: str) -> None:
    step = judged(history(positions=positions), "2026-01-01", TENURE, onto=2).shown(99).criteria[1]
    assert (step.display_name, step.required, step.actual) == ("Rung held, one or two below", required, actual)


def test_all_criteria_count_and_the_last_to_come_decides_when() -> None:
    """Each shows its own day; a planned change of position that breaks the tenure is seen."""
    positions = [held("2025-06-01"), held("2026-09-01", "cook")]
    violations = [offence("v-1", "2026-02-01", 10)]
    conduct = Rules.Criterion(conduct=Rules.Conduct(points=10, years=1))
    one = judged(history(positions=positions[:1], violations=violations), "2026-03-01", TENURE, conduct)
    assert [found.met_from for found in one.criteria()[2:]] == ["2026-06-01", "2027-01-01"]
    assert one.shown(5).eligible_from == "2027-01-01"
    assert [
        (change.eligible_from, [(need.criterion, need.text) for need in change.needs]) for change in one.changes()
    ] == [
        ("2027-01-01", [("tenure", "to wait until 2027-01-01"), ("conduct", "to wait until 2027-01-01")]),
        ("2026-06-01", [("tenure", "to wait until 2026-06-01"), ("conduct", "at least 1 point of 2026 revoked")]),
    ]
    planned = judged(history(positions=positions, violations=violations), "2026-03-01", TENURE, conduct)
    assert (planned.eligible_from(), only(judged(history(positions=positions), "2026-03-01", TENURE)).met_from) == (
        None,
        "2026-06-01",
    )


def test_a_waiver_counts_in_place_of_its_criterion_while_it_lasts() -> None:
    """For this step only, and only if the rules still let it be waived; the criterion itself stays unmet."""
    waivable = Rules.Criterion(tenure=Rules.Tenure(months=12), waivable=True)
    waiver = Waiver("ladder", "senior", "tenure", date(2020, 2, 1), date(2020, 2, 29), 90)
    waived = history(waivers=[waiver])
    assert needs(judged(waived, "2020-01-31", waivable)) == [
        ["to wait until 2020-02-01"],
        ["to be waived by the executive"],
    ]
    assert judged(waived, "2020-01-31", waivable).eligible_from() == date(2020, 2, 1)
    within = judged(waived, "2020-02-29", waivable)
    assert (within.eligible(), only(within).met, only(within).waiver_position) == (True, False, 90)
    assert needs(within) == []
    assert within.looked_at_again() == date(2020, 3, 1)
    assert not judged(waived, "2020-03-01", waivable).eligible()
    assert not judged(waived, "2020-02-10", TENURE).eligible()
    assert not judged(history(waivers=[waiver._replace(rung_id="lead")]), "2020-02-10", waivable).eligible()


def test_what_is_shown_names_the_step_and_the_rules() -> None:
    """With the positions of both versions, and up to where the log was read."""
    shown = judged(history(), "2026-01-01", TENURE).shown(99)
    assert shown == Eligibility(
        employee_id="e-1",
        as_of="2026-01-01",
        eligible=True,
        criteria=shown.criteria,
        policy_id="rules",
        policy_position=8,
        ladder_id="ladder",
        rung_id="senior",
        from_rung_id="agent",
        ladder_position=7,
        levels=1,
        eligible_from="2026-01-01",
        changes=shown.changes,
        known_at=99,
    )
    assert [one.name for one in shown.criteria] == ["employment", "step", "tenure"]
