"""Criteria against the plainest reading of their contract: day by day, over histories made at random."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.facts.conduct import Offending
from services.promotion.criteria import Vacant
from services.promotion.eligibility import Judged
from services.promotion.history import Attended, During, Employed, History, Rated, Waiver, Worked, month_of
from services.promotion.ladder import Held, Step
from stepladder.performance.v1.directory_pb2 import EmploymentStatus
from stepladder.performance.v1.policy_pb2 import Offence, Policy
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.promotion.v1.eligibility_pb2 import OutcomeChange
from tests.promotion.test_criteria import LADDER, QUALITY

Rules = EligibilityRules
FIRST, LAST = date(2023, 12, 1), date(2026, 4, 1)
HORIZON = 4 * 366
"""Days looked ahead: none of the rules made here needs longer."""
ONE_DAY = timedelta(days=1)
RUNGS = [rung.position for rung in LADDER.rungs]

days = st.integers(0, (LAST - FIRST).days).map(lambda number: FIRST + timedelta(days=number)) | st.sampled_from(
    [date(2024, 2, 29), date(2023, 12, 31), date(2024, 1, 31), date(2025, 2, 28), date(2025, 8, 31), date(2026, 1, 1)]
)
STATUSES = [EmploymentStatus.Value(f"EMPLOYMENT_STATUS_{name}") for name in ("PROBATION", "CONFIRMED", "ON_LEAVE")]


def distinct(*values: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[list[Any]]:
    """Days, each once and in order, with something else."""
    return st.lists(st.tuples(days, *values), max_size=most, unique_by=lambda one: one[0]).map(sorted)


@st.composite
def histories(draw: st.DrawFn) -> History:
    tasks = st.sampled_from(["calls", "chats"])
    spans = [
        During(name, day, day + timedelta(days=length) if length else None, 4)
        for day, name, length in draw(distinct(tasks, st.integers(0, 400)))
    ]
    months = draw(st.lists(st.integers(month_of(FIRST), month_of(LAST)), unique=True, max_size=28))
    facts = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=len(months), max_size=len(months)))
    offences = st.builds(
        Offence,
        offence_id=st.sampled_from(["noise", "phone"]),
        points=st.integers(1, 4),
        lapse_months=st.sampled_from([0, 0, 1, 7]),
        warnings=st.sampled_from([0, 0, 1]),
    )
    return History(
        "x",
        positions=[
            Held(day, name, stars, acting, 1)
            for day, name, stars, acting in draw(
                distinct(st.sampled_from(RUNGS[:3]), st.integers(0, 2), st.sampled_from([False, False, True]))
            )
        ],
        statuses=[Employed(day, status, 2) for day, status in draw(distinct(st.sampled_from(STATUSES)))],
        ratings={month: Rated(draw(st.integers(1, 5)), "", False, 3) for month in months},
        courses=[
            Attended(name, day, passed, False, 5)
            for day, name, passed in draw(distinct(st.sampled_from(["safety", "coaching"]), st.booleans()))
        ],
        mastered=spans,
        violations=[
            Offending(f"v{number}", day.isoformat(), "book", offence, 6)
            for number, (day, offence) in enumerate(draw(distinct(offences)))
        ],
        pips=[
            During("", day, day + timedelta(days=length) if length else None, 7)
            for day, length in draw(distinct(st.integers(0, 90), most=2))
        ],
        waivers=[
            Waiver("ladder", "senior", name, day, day + timedelta(days=length), 8)
            for day, name, length in draw(distinct(st.sampled_from(["tenure", "conduct"]), st.integers(0, 200), most=2))
        ],
        worked={("quality", month): Worked(*fact, 1) for month, fact in zip(months, facts, strict=True)},
    )


def ruled(kind: str, rule: type[Any], **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Rules.Criterion]:
    return st.builds(rule, **values).map(lambda made: Rules.Criterion(**{kind: made}))


criteria = st.one_of(
    ruled("tenure", Rules.Tenure, months=st.integers(1, 14), with_stars=st.booleans()),
    ruled("confirmed", Rules.Confirmed),
    ruled("ratings", Rules.RatingStreak, months=st.integers(1, 4), at_least=st.integers(2, 5)),
    ruled(
        "courses",
        Rules.Courses,
        course_ids=st.sampled_from([["safety"], ["safety", "coaching"]]),
        exam_passed=st.booleans(),
        within_months=st.sampled_from([0, 1, 6, 13]),
    ),
    ruled("skills", Rules.Skills, task_ids=st.sampled_from([["calls"], ["calls", "chats"]])),
    ruled("conduct", Rules.Conduct, points=st.integers(1, 6), years=st.integers(1, 3)),
    ruled("no_pip", Rules.NoPip),
    ruled(
        "kpi_limit",
        Rules.KpiLimit,
        kpi_id=st.just("quality"),
        months=st.integers(1, 4),
        minimum=st.sampled_from(["", "40"]),
        maximum=st.sampled_from(["90.5", "120"]),
        minimum_samples=st.integers(0, 9),
    ),
)


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    kinds = draw(st.lists(criteria, min_size=1, max_size=4, unique_by=lambda one: one.WhichOneof("test")))
    for one in kinds:
        one.criterion_id, one.waivable = one.WhichOneof("test") or "", draw(st.booleans())
    return Rules(criteria=kinds)


def later(day: date, months: int) -> date:
    """The same day some months later, or the last one before it that there is."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for number in range(day.day, 0, -1):
        try:
            return date(year, month + 1, number)
        except ValueError:
            continue
    raise AssertionError


def for_good(known: History, day: date) -> Held | None:
    found = None
    for held in known.positions:
        if held.day <= day and not held.acting:
            found = held
    return found


def met(known: History, rule: Rules.Criterion, asked: date, on: date) -> bool:  # noqa: PLR0911 - one for each
    """Whether a criterion is met on a day, by what is recorded, if nothing changes after the day asked about."""
    match rule.WhichOneof("test"):
        case "tenure":
            return tenure(known, rule.tenure, on)
        case "confirmed":
            said = [one for one in known.statuses if one.day <= on and one.status in STATUSES[:2]]
            return bool(said) and said[-1].status == STATUSES[1]
        case "ratings":
            for back in range(1, rule.ratings.months + 1):
                rated = known.ratings.get(month_of(on) - back)
                if rated is None and month_of(on) - back >= month_of(asked):
                    rated = known.ratings.get(month_of(asked) - 1)
                if rated is None or rated.rating < rule.ratings.at_least:
                    return False
            return True
        case "courses":
            return all(
                any(
                    one.course_id == course_id
                    and one.day <= on
                    and (one.passed or not rule.courses.exam_passed)
                    and (not rule.courses.within_months or on <= later(one.day, rule.courses.within_months))
                    for one in known.courses
                )
                for course_id in rule.courses.course_ids
            )
        case "skills":
            return all(
                any(one.name == task and one.day <= on < (one.until or date.max) for one in known.mastered)
                for task in rule.skills.task_ids
            )
        case "conduct":
            years = range(on.year - rule.conduct.years + 1, on.year + 1)
            return all(points(known, year, on) < rule.conduct.points for year in years)
        case "no_pip":
            return not any(one.day <= on < (one.until or date.max) for one in known.pips)
        case "kpi_limit":
            limit = rule.kpi_limit
            months = range(month_of(asked) - limit.months, month_of(asked))
            worked = [one for (_, month), one in known.worked.items() if month in months]
            numerator, denominator = sum(one.numerator for one in worked), sum(one.denominator for one in worked)
            if not denominator or denominator < limit.minimum_samples:
                return False
            value = Fraction(100 * numerator, denominator)
            return Fraction(limit.minimum or "-1") <= value <= Fraction(limit.maximum)
    raise AssertionError(rule)


def tenure(known: History, rule: Rules.Tenure, on: date) -> bool:
    """Walks back, day by day, while the same is held for good."""
    now = for_good(known, on)
    if now is None:
        return False
    day = on
    while (before := for_good(known, day - ONE_DAY)) is not None and before.name == now.name:
        if rule.with_stars and before.stars != now.stars:
            break
        day -= ONE_DAY
    return later(day, rule.months) <= on


def points(known: History, year: int, on: date) -> int:
    total = 0
    for one in known.violations:
        day, offence = date.fromisoformat(one.date), one.offence
        warning = bool(offence.warnings) and not any(
            other.offence.offence_id == offence.offence_id for other in known.violations if other.date < one.date
        )
        lapsed = offence.lapse_months and later(day, offence.lapse_months) <= on
        if day <= on and day.year == year and not warning and not lapsed:
            total += offence.points
    return total


def employed(known: History, on: date) -> bool:
    return any(one.day <= on for one in known.statuses)


def one_below(known: History, on: date) -> bool:
    held = for_good(known, on)
    return held is not None and held.name == "agent"


def judged(known: History, rules: Rules, day: date) -> Judged:
    ladder = Policy(policy_id="ladder", log_position=8, ladder=LADDER)
    step = Step(ladder, 1, Policy(policy_id="rules", log_position=9, eligibility=rules))
    return Judged(known, step, Vacant(), {"quality": QUALITY}, day)


def first(test: Callable[[date], bool], start: date) -> date | None:
    ahead = (start + timedelta(days=number) for number in range(HORIZON))
    return next((day for day in ahead if test(day)), None)


@settings(max_examples=100, deadline=None)
@given(known=histories(), rules=rule_sets(), day=days)
def test_criteria_are_met_on_the_days_on_which_they_read_so(known: History, rules: Rules, day: date) -> None:
    """Now and from when on; and whoever is eligible is so from the first day on which all are met or waived."""
    found = judged(known, rules, day)
    shown = {one.name: one for one in found.criteria()}
    for rule in rules.criteria:
        assert shown[rule.criterion_id].met == met(known, rule, day, day), rule
        if not shown[rule.criterion_id].met:
            expected = first(partial(met, known, rule, day), day)
            assert shown[rule.criterion_id].met_from == (expected.isoformat() if expected else ""), rule

    def waived(rule: Rules.Criterion, on: date) -> bool:
        mine = (one for one in known.waivers if one.criterion_id == rule.criterion_id)
        return rule.waivable and any(one.day <= on <= one.until for one in mine)

    def eligible(on: date) -> bool:
        there = employed(known, on) and one_below(known, on)
        return there and all(met(known, rule, day, on) or waived(rule, on) for rule in rules.criteria)

    assert found.eligible() == eligible(day)
    assert found.eligible_from() == first(eligible, day)


@settings(max_examples=150, deadline=None)
@given(known=histories(), rules=rule_sets(), day=days)
def test_nothing_is_otherwise_before_it_is_looked_at_again(known: History, rules: Rules, day: date) -> None:
    """What is told of a change: so rows that are judged anew on those days only equal what is judged on any day."""

    def said(on: date) -> object:
        found = judged(known, rules, on)
        since = found.eligible_from()
        return found.eligible() or since, [(one.name, one.met, one.waiver_position) for one in found.criteria()]

    again = judged(known, rules, day).looked_at_again() or day + timedelta(days=100)
    for number in range(min(100, (again - day).days)):
        assert said(day + timedelta(days=number)) == said(day)


def otherwise(  # noqa: PLR0911 - one for each
    known: History, need: OutcomeChange.Need, on: date, rules: Rules, day: date, *, less: int = 0
) -> History:
    """What would be known if a need were fulfilled; by how much less than it says, where it says how much."""
    rule = next(one for one in rules.criteria if one.criterion_id == need.criterion)
    if need.text == "to be waived by the executive":
        assert rule.waivable
        return replace(known, waivers=[*known.waivers, Waiver("ladder", "senior", need.criterion, on, on, 9)])
    name = need.text.split()[0]
    match need.criterion:
        case "confirmed" if not employed(known, on):
            return known
        case "confirmed":
            return replace(known, statuses=in_order([*known.statuses, Employed(on, STATUSES[1], 9)]))
        case "ratings":
            rated = Rated(rule.ratings.at_least - less, "", False, 9)
            return replace(known, ratings={**known.ratings, month_of(date.fromisoformat(f"{name}-01")): rated})
        case "courses":
            one = Attended(name, on, rule.courses.exam_passed, False, 9)
            return replace(known, courses=in_order([*known.courses, one]))
        case "skills":
            return replace(known, mastered=in_order([*known.mastered, During(name, on, None, 9)]))
        case "no_pip":
            return replace(known, pips=[one._replace(until=on) if one.on(on) else one for one in known.pips])
        case "kpi_limit":
            return replace(known, worked=worked_otherwise(known, need.text, rule.kpi_limit, day, less))
    raise AssertionError(need)


def in_order(values: list[Any]) -> list[Any]:
    return sorted(values, key=lambda one: one.day)


def worked_otherwise(known: History, text: str, limit: Rules.KpiLimit, day: date, less: int) -> dict[Any, Worked]:
    """With one month in place of all that are looked at: of so many samples more, or of another value."""
    months = range(month_of(day) - limit.months, month_of(day))
    mine = [one for (_, month), one in known.worked.items() if month in months]
    if text.startswith("a value"):
        samples, value = max(limit.minimum_samples - less, 1), Fraction(limit.maximum)
    else:
        samples = sum(one.denominator for one in mine)
        value = Fraction(100 * sum(one.numerator for one in mine), samples)
        if "more sample" in text:
            samples += int(text.split(maxsplit=1)[0]) - less
        else:
            by = Fraction(text.rsplit(maxsplit=1)[-1]) - Fraction(less, 1_000_000)
            value += by if "higher" in text else -by
    others = {key: one for key, one in known.worked.items() if key[1] not in months}
    numerator: Any = value * samples / 100
    return {**others, ("quality", months[0]): Worked(numerator, samples, 1)}


def check_change(change: OutcomeChange, known: History, rules: Rules, day: date) -> None:
    """That it is enough, and that nothing of it can be left out, or be less."""
    on = date.fromisoformat(change.eligible_from)
    waits = [one for one in change.needs if one.by == OutcomeChange.Need.BY_TIME]
    points_less = {
        int(one.text.split()[-2]): int(one.text.split()[2]) for one in change.needs if one.text.endswith("revoked")
    }
    others = [one for one in change.needs if one not in waits and not one.text.endswith("revoked")]
    for one in change.needs:
        of_days_over = one.criterion in ("conduct", "kpi_limit") or (
            one.criterion == "ratings" and one.text[:7] < f"{day:%Y-%m}"
        )
        if one not in waits and not one.text.startswith("to be waived"):
            assert one.by == (OutcomeChange.Need.BY_CORRECTION if of_days_over else OutcomeChange.Need.BY_EVENT)

    def eligible(at: date, left_out: int = -1, *, less: int = 0, kept: Sequence[Offending] | None = None) -> bool:
        """With all of it but one need, or with less of that."""
        default = [] if points_less else known.violations  # all of them are revoked
        found = replace(known, violations=default if kept is None else kept)
        for number, need in enumerate(others):
            if number != left_out or less:
                found = otherwise(found, need, at, rules, day, less=less if number == left_out else 0)
        return judged(found, rules, day).eligible(at)

    assert bool(waits) == (on > day)
    if waits:
        assert not eligible(on - ONE_DAY)
    for number, need in enumerate(others):
        assert not eligible(on, number), need
        if need.criterion in ("ratings", "kpi_limit") and not need.text.startswith(("a value", "to be waived")):
            assert not eligible(on, number, less=1), need
    for rule in rules.criteria:
        if rule.criterion_id == "conduct":
            assert all(
                points(known, year, on) - asked == rule.conduct.points - 1 for year, asked in points_less.items()
            )
    for number in range(len(known.violations) + 1 if points_less else 1):
        for kept in combinations(known.violations, len(known.violations) - number):
            fewer = {
                year: points(known, year, on) - points(replace(known, violations=kept), year, on)
                for year in points_less
            }
            assert eligible(on, kept=kept) == all(fewer[year] >= asked for year, asked in points_less.items())


@settings(max_examples=200, deadline=None)
@given(known=histories(), rules=rule_sets(), day=days, settled=st.booleans())
def test_every_change_that_is_said_is_enough_and_none_is_smaller(
    known: History, rules: Rules, day: date, settled: bool
) -> None:
    """For who is not eligible; of who could be by facts of that day alone, there is one."""
    if settled:  # or few would get as far as to lack anything else
        since = date(2020, 1, 1)
        known = replace(
            known, positions=[Held(since, "agent", 0, False, 1)], statuses=[Employed(since, STATUSES[0], 2)]
        )
    found = judged(known, rules, day)
    changes = found.changes()
    if found.eligible():
        assert not changes
        return
    for change in changes:
        check_change(change, known, rules, day)
    always = [one.met for one in found.criteria() if one.name in ("employment", "step", "tenure")]
    if all(always):
        assert any(change.eligible_from == day.isoformat() for change in changes)
    assert (found.eligible_from() is not None) == any(
        all(need.by == OutcomeChange.Need.BY_TIME for need in change.needs) for change in changes
    )
