"""When something is found about an employee: the triggers of detection policies. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from functools import cache

from libs.common.days import ONE_DAY, Span, month_of, week_of
from libs.facts.adding import Counted, Judged, add_up
from libs.facts.conduct import Offending, counted
from libs.facts.values import format_value
from services.performance.scoring import show_bound
from stepladder.performance.v1.detection_pb2 import Detection, FactReference, JudgedCondition, MissedPeriod
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import DetectionRule
from stepladder.performance.v1.record_pb2 import CountedViolation

TargetOn = Callable[[Counted], Target | None]


@dataclass(frozen=True, slots=True)
class RatedMonth:
    """A month's rating in force; `disputed` if a fact under it is."""

    rating: Rating.ValueType
    position: int
    disputed: bool = False


@dataclass(frozen=True)
class Known:
    """What is known of one employee.

    Attributes:
        readings: by KPI, ascending by day; those that the rule names.
        target_on: the target for what a reading is about, with its `log_position`.
        ratings: by month (YYYY-MM).
        violations: those that stand.
    """

    kpis: Mapping[str, Kpi]
    readings: Mapping[str, Sequence[Counted]] = field(default_factory=dict)
    target_on: TargetOn = lambda _: None
    ratings: Mapping[str, RatedMonth] = field(default_factory=dict)
    violations: Sequence[Offending] = ()

    def between(self, kpi_id: str, start: date, end: date) -> Sequence[Counted]:
        """Readings of a KPI of days from one to another, both inclusive."""
        readings = self.readings.get(kpi_id, ())
        first = bisect_left(readings, start.isoformat(), key=_day)
        return readings[first : bisect_right(readings, end.isoformat(), key=_day)]


@dataclass(frozen=True, slots=True)
class Weighed:
    """A condition on a span of days: whether it holds, and the readings that say so."""

    judged: JudgedCondition
    holds: bool
    readings: Sequence[Counted]


@dataclass(frozen=True, slots=True)
class Looked:
    """A period looked at; `disputed` if anything that it rests on is."""

    period: MissedPeriod
    disputed: bool


def length_of(rule: DetectionRule) -> int:
    """How many periods in a row make a find."""
    return rule.streak.streak or rule.ratings.months or rule.contradiction.streak or 1


def period_of(rule: DetectionRule, day: date) -> Span:
    """The rule's period that a day belongs to; of totals and points, the day itself."""
    match rule.WhichOneof("trigger"), rule.streak.period or rule.contradiction.period:
        case ("ratings", _) | (_, DetectionRule.PERIOD_MONTH):
            return month_of(day)
        case _, DetectionRule.PERIOD_WEEK:
            return week_of(day)
        case _:
            return Span(day, day)


def evidence_from(rule: DetectionRule, first: date) -> date:
    """The first day of readings that a find rests on whose first period begins on a day."""
    start = first - timedelta(rule.total.days)
    for _ in range(max(map(baseline_periods, rule.contradiction.conditions), default=0)):
        start = period_of(rule, start - ONE_DAY).start
    return start


def days_to_look_at(rule: DetectionRule, known: Known, span: Span) -> list[date]:
    """Days of a span on whose facts something may be found: the first of each period that has any."""
    start, end = span.start.isoformat(), span.end.isoformat()
    texts = {reading.date for readings in known.readings.values() for reading in readings}
    texts |= {f"{month}-01" for month in known.ratings} | {one.date for one in known.violations}
    days = {period_of(rule, date.fromisoformat(text)).start for text in texts if start <= text <= end}
    return sorted(days)


def find(
    rule: DetectionRule,
    known: Known,
    judged: Iterable[date],
    over: Span,
    found: Sequence[Detection] = (),
) -> list[list[MissedPeriod]]:
    """What a rule finds around days whose facts are new: each with the periods that say so, the earliest first.

    Args:
        over: only periods that lie within count.
        found: what was found of the employee under the policy already: it is not found again.
    """

    @cache
    def missed(start: date) -> Looked | None:
        span = period_of(rule, start)
        looked = look_at(rule, known, span) if over.start <= span.start and span.end <= over.end else None
        return None if looked is None or looked.period.met else looked

    finds: list[list[MissedPeriod]] = []
    seen: set[str] = set()  # days on which periods begin that belong to rows looked at
    for day in sorted(set().union(*(_days_to_judge(rule, known, one) for one in judged))):
        judged_period = period_of(rule, day)
        earlier = [*(one.periods for one in found), *finds]
        if judged_period.start.isoformat() in seen or _among(earlier, judged_period.start.isoformat()):
            continue
        row = _row(rule, missed, judged_period)
        seen.update(one.period.start_date for one in row)
        if streak := _streak(rule, row, earlier):
            finds.append(streak)
    return finds


def _days_to_judge(rule: DetectionRule, known: Known, judged: date) -> Iterable[date]:
    """A late fact moves the days on which a total is reached after it, too."""
    last, text = judged + timedelta(rule.total.days), judged.isoformat()
    later: set[str] = set()
    if rule.HasField("total"):
        later = {one.date for one in known.between(rule.total.kpi_id, judged, last)}
    elif rule.HasField("points"):
        later = {one.date for one in known.violations if one.date > text}
    return {judged, *map(date.fromisoformat, later)}


def _row(rule: DetectionRule, missed: Callable[[date], Looked | None], judged: Span) -> list[Looked]:
    """The misses in a row that a period belongs to; a number is reached on its day alone."""
    if missed(judged.start) is None:
        return []
    first = judged
    while not _reached(rule) and missed((before := period_of(rule, first.start - ONE_DAY)).start) is not None:
        first = before
    row: list[Looked] = []
    span = first
    while (looked := missed(span.start)) is not None:
        row.append(looked)
        if _reached(rule):
            break
        span = period_of(rule, span.end + ONE_DAY)
    return row


def _streak(
    rule: DetectionRule, row: Sequence[Looked], earlier: Sequence[Sequence[MissedPeriod]]
) -> list[MissedPeriod]:
    """The first periods of a row of misses, as many as the rule asks for, under which nothing is disputed.

    Empty if there are none, or the row was found already: then a find has a period of it, be it that the row has grown
    since at either end.
    """
    if any(_among(earlier, one.period.start_date) for one in row):
        return []
    length = length_of(rule)
    streaks = (row[start : start + length] for start in range(len(row) - length + 1))
    found = next((streak for streak in streaks if not any(one.disputed for one in streak)), [])
    return [one.period for one in found]


def _among(finds: Sequence[Sequence[MissedPeriod]], day: str) -> bool:
    return any(periods[0].start_date <= day <= periods[-1].end_date for periods in finds)


def _reached(rule: DetectionRule) -> bool:
    """Whether the rule is about a number that is reached on a day, and not about days in a row."""
    return rule.HasField("total") or rule.HasField("points")


def look_again(rule: DetectionRule, known: Known, periods: Sequence[MissedPeriod]) -> list[Looked]:
    """Periods of a find on other facts, `met` where they are missed no longer."""
    return [look_at(rule, known, Span(*_days(period))) for period in periods]


def look_at(rule: DetectionRule, known: Known, span: Span) -> Looked:
    """A period as it is: `met` unless it is what the rule looks for."""
    match rule.WhichOneof("trigger"):
        case "streak":
            return _look_at_target(rule.streak, known, span)
        case "ratings":
            return _look_at_rating(rule.ratings, known, span)
        case "total":
            return _look_at_total(rule.total, known, span)
        case "points":
            return _look_at_points(rule.points, known, span)
        case "contradiction":
            return _look_at_conditions(rule.contradiction, known, span)
        case unknown:
            raise ValueError(f"a rule without a trigger: {unknown}")


def _look_at_target(streak: DetectionRule.Streak, known: Known, span: Span) -> Looked:
    kpi, readings = known.kpis[streak.kpi_id], known.between(streak.kpi_id, span.start, span.end)
    own = Target(minimum=streak.minimum, maximum=streak.maximum)
    target_on: TargetOn = (lambda _: own) if streak.minimum or streak.maximum else known.target_on
    one = add_up(kpi, readings, target_on)
    targets = [position for position in one.targets if position]
    return _looked(
        span,
        one.readings,
        numerator=one.numerator,
        denominator=one.denominator,
        value=_shown(kpi, one),
        minimum=show_bound(one.minimum),
        maximum=show_bound(one.maximum),
        target_position=max(targets, default=0),
        target_positions=targets,
        met=not one.missed or _samples(kpi, one) < streak.minimum_samples,
    )


def _look_at_rating(ratings: DetectionRule.RatingStreak, known: Known, span: Span) -> Looked:
    month = span.start.isoformat()[:7]
    rated = known.ratings.get(month)
    period = MissedPeriod(start_date=span.start.isoformat(), end_date=span.end.isoformat(), met=True)
    if rated is None:
        return Looked(period, disputed=False)
    period.value, period.maximum = _name(rated.rating), _name(ratings.at_most)
    period.met = not 0 < rated.rating <= ratings.at_most
    period.facts.add(date=period.start_date, source="rating", numerator=rated.rating, log_position=rated.position)
    return Looked(period, rated.disputed)


def _look_at_total(total: DetectionRule.Total, known: Known, span: Span) -> Looked:
    """Reached on this day: not on the day before it."""
    kpi, wanted = known.kpis[total.kpi_id], Fraction(total.at_least)

    def until(day: date) -> tuple[Sequence[Counted], Judged]:
        readings = known.between(total.kpi_id, day - timedelta(total.days - 1), day)
        return readings, add_up(kpi, readings, lambda _: None)

    readings, one = until(span.end)
    before = until(span.end - ONE_DAY)[1]
    return _looked(
        span,
        readings,
        numerator=one.numerator,
        value=_shown(kpi, one),
        maximum=total.at_least,
        met=one.value is None or one.value < wanted or (before.value or Fraction()) >= wanted,
    )


def _look_at_points(points: DetectionRule.Points, known: Known, span: Span) -> Looked:
    """Reached on this day: not on the day before it."""

    def total(day: date) -> int:
        return sum(one.points for one in counted(known.violations, day) if not one.lapsed)

    standing = [one for one in counted(known.violations, span.end) if not one.lapsed]
    now = total(span.end)
    period = MissedPeriod(
        start_date=span.start.isoformat(),
        end_date=span.end.isoformat(),
        numerator=now,
        value=str(now),
        maximum=str(points.at_least),
        facts=references_to_violations(standing),
        met=now < points.at_least or total(span.end - ONE_DAY) >= points.at_least,
    )
    return Looked(period, any(one.disputed for one in standing))


def _look_at_conditions(rule: DetectionRule.Contradiction, known: Known, span: Span) -> Looked:
    within = DetectionRule(contradiction=rule)
    weighed: list[Weighed] = []
    for condition in rule.conditions:
        start = span
        for _ in range(baseline_periods(condition)):
            start = period_of(within, start.start - ONE_DAY)
        weighed.append(weigh(condition, known, span, start.start))
    every = [reading for one in weighed for reading in one.readings]
    return _looked(span, every, conditions=[one.judged for one in weighed], met=not all(one.holds for one in weighed))


def weigh(condition: DetectionRule.Condition, known: Known, span: Span, baseline_from: date) -> Weighed:
    """A condition on a span; what a movement is compared with begins on a day before it."""
    kpi = known.kpis[condition.kpi_id]
    readings = [*known.between(condition.kpi_id, span.start, span.end)]
    one = add_up(kpi, readings, lambda _: None)
    judged = JudgedCondition(kpi_id=kpi.kpi_id, value=_shown(kpi, one))
    base: Judged | None = None
    if baseline_periods(condition):
        earlier = known.between(condition.kpi_id, baseline_from, span.start - ONE_DAY)
        base = add_up(kpi, earlier, lambda _: None)
        judged.baseline = _shown(kpi, base)
        readings += earlier
    enough = one.value is not None and _samples(kpi, one) >= condition.minimum_samples
    return Weighed(judged, enough and _holds(condition, one.value or Fraction(), base), readings)


def _holds(condition: DetectionRule.Condition, value: Fraction, base: Judged | None) -> bool:
    match condition.WhichOneof("test"):
        case "above":
            return value > Fraction(condition.above)
        case "below":
            return value < Fraction(condition.below)
        case test:
            if base is None or not base.value:
                return False
            moved, percent = (value - base.value) / abs(base.value) * 100, Fraction(_movement(condition).percent)
            return moved >= percent if test == "rises" else -moved >= percent


def baseline_periods(condition: DetectionRule.Condition) -> int:
    """How many periods before are compared with; none for a comparison with a number."""
    return _movement(condition).baseline_periods


def _movement(condition: DetectionRule.Condition) -> DetectionRule.Movement:
    return condition.rises if condition.HasField("rises") else condition.falls


def _looked(span: Span, readings: Sequence[Counted], **more: object) -> Looked:
    period = MissedPeriod(
        start_date=span.start.isoformat(),
        end_date=span.end.isoformat(),
        facts=references_to_readings(readings),
        **more,  # type: ignore[arg-type] # names and values of fields
    )
    return Looked(period, any(reading.disputed for reading in readings))


def references_to_readings(readings: Iterable[Counted]) -> list[FactReference]:
    """Readings as evidence."""
    return [
        FactReference(
            date=one.date,
            source=one.source,
            numerator=one.numerator,
            denominator=one.denominator,
            log_position=one.log_position,
        )
        for one in readings
    ]


def references_to_violations(violations: Iterable[CountedViolation]) -> list[FactReference]:
    """Violations as evidence: the offence is the source, its points the number."""
    return [
        FactReference(date=one.date, source=one.offence_id, numerator=one.points, log_position=one.log_position)
        for one in violations
    ]


def _samples(kpi: Kpi, one: Judged) -> int:
    return one.denominator if kpi.aggregation == Kpi.AGGREGATION_RATIO else one.days


def _shown(kpi: Kpi, one: Judged) -> str:
    return format_value(kpi, one.value) if one.value is not None else ""


def _name(rating: Rating.ValueType) -> str:
    return Rating.Name(rating).removeprefix("RATING_")


def _day(reading: Counted) -> str:
    return reading.date


def _days(period: MissedPeriod) -> tuple[date, date]:
    return date.fromisoformat(period.start_date), date.fromisoformat(period.end_date)
