"""Whether somebody may step onto a rung: each criterion of the rules with what it rests on. Pure and exact.

Each kind of criterion is a class that says the whole of its meaning: on which days it is met, when that may become
otherwise by time alone, and how it is shown. Whoever only wants to know who is eligible asks `Judged.eligible`, and
nothing is shown then. It is the same definition.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

from libs.common.days import ONE_DAY, months_later
from libs.facts.adding import combined
from libs.facts.conduct import Offending, counted
from libs.facts.values import decimal, kpi_value
from services.promotion.ladder import MOST_LEVELS, Held, Step, held_on, held_since, rung_held
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_PROBATION,
    EmploymentStatus,
)
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.performance.v1.record_pb2 import CountedViolation
from stepladder.promotion.v1.eligibility_pb2 import Criterion, Eligibility, OutcomeChange

EMPLOYMENT, STEP = "employment", "step"
"""Criteria that all rules have."""


class Employed(NamedTuple):
    """An employment status from a day on."""

    day: date
    status: EmploymentStatus.ValueType
    position: int


class Rated(NamedTuple):
    """The rating in force of a month, and its scorecard's total (empty: none). `disputed`: another one is proposed."""

    rating: int
    total: str
    disputed: bool
    position: int


class Attended(NamedTuple):
    """A course attended on a day, and whether its exam was passed."""

    course_id: str
    day: date
    passed: bool
    disputed: bool
    position: int


class During(NamedTuple):
    """Something that holds from a day on, to before `until` (None: for now): a task mastered, by its id, or a PIP."""

    name: str
    day: date
    until: date | None
    position: int

    def on(self, day: date) -> bool:
        return self.day <= day and (self.until is None or day < self.until)


class Waiver(NamedTuple):
    """A criterion of a step waived from a day on, `until` its last day."""

    ladder_id: str
    rung_id: str
    criterion_id: str
    day: date
    until: date
    position: int


class Worked(NamedTuple):
    """What a month's readings of a KPI add up to. `positions` of the facts: only where they are to be shown."""

    numerator: int
    denominator: int
    days: int
    positions: tuple[int, ...] = ()
    disputed: bool = False


class Vacant(NamedTuple):
    """Vacancies of a rung, over all teams, and the posts' latest events. `number` None: any number may hold it."""

    number: int | None = 0
    positions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """All that eligibility is judged by, of one employee; of what begins on days the earliest first.

    Months are numbered as by `month_of`.
    """

    employee_id: str
    positions: Sequence[Held] = ()
    statuses: Sequence[Employed] = ()
    ratings: Mapping[int, Rated] = field(default_factory=dict)
    courses: Sequence[Attended] = ()
    mastered: Sequence[During] = ()
    violations: Sequence[Offending] = ()
    pips: Sequence[During] = ()
    waivers: Sequence[Waiver] = ()
    worked: Mapping[tuple[str, int], Worked] = field(default_factory=dict)
    """By KPI and month."""


def month_of(day: date) -> int:
    """The number of a day's month: one more for each month."""
    return day.year * 12 + day.month - 1


def first_day(month: int) -> date:
    """The first day of a month by its number."""
    return date(month // 12, month % 12 + 1, 1)


def month_name(month: int) -> str:
    """YYYY-MM."""
    return f"{month // 12:04}-{month % 12 + 1:02}"


def status_on(history: History, day: date) -> Employed | None:
    """The employment status of a day; None before they are hired."""
    return next((one for one in reversed(history.statuses) if one.day <= day), None)


def employed_on(history: History, day: date) -> bool:
    """On leave or not."""
    found = status_on(history, day)
    return found is not None and found.status != EMPLOYMENT_STATUS_LEFT


def full_months(start: date, end: date) -> int:
    """Whole months from one day to another: from 31 January to 28 February is one."""
    months = month_of(end) - month_of(start)
    return max(0, months - (months_later(start, months) > end))


class Shown(NamedTuple):
    """How a criterion is shown."""

    required: str
    actual: str
    positions: Sequence[int] = ()
    disputed: bool = False


class Test(ABC):
    """One criterion of an employee, by what is known, as of a day.

    `lacking` says what is needed for it to be met, all together; `margins` what of each alone would have it unmet.
    """

    monthly = False
    """Whether it looks at full months only, so that each one that ends may change it."""

    def __init__(self, history: History, day: date) -> None:
        self.history = history
        self.day = day

    @abstractmethod
    def met(self, on: date) -> bool:
        """On the day, or on a later one if nothing changes."""

    def edges(self) -> Iterator[date]:
        """Days, not all of them later, on which it may come out otherwise if nothing changes."""
        yield from ()

    @abstractmethod
    def shown(self) -> Shown: ...

    @abstractmethod
    def lacking(self) -> list[str]: ...

    @abstractmethod
    def margins(self) -> list[str]: ...


class _Employment(Test):
    def met(self, on: date) -> bool:
        return employed_on(self.history, on)

    def edges(self) -> Iterator[date]:
        return (one.day for one in self.history.statuses)

    def shown(self) -> Shown:
        found = status_on(self.history, self.day)
        status = _status(found.status) if found else "not employed"
        return Shown("employed", status, [found.position] if found else [])

    def lacking(self) -> list[str]:
        return ["to be employed"]

    def margins(self) -> list[str]:
        return []  # goes without saying


class _Step(Test):
    def __init__(self, history: History, day: date, step: Step) -> None:
        super().__init__(history, day)
        self.step = step

    def held(self, on: date) -> int | None:
        return rung_held(self.step.ladder.ladder, held_on(self.history.positions, on))

    def levels(self, on: date) -> int:
        """0 where no rung is held."""
        held = self.held(on)
        return 0 if held is None else self.step.number - held

    def met(self, on: date) -> bool:
        return 1 <= self.levels(on) <= MOST_LEVELS

    def edges(self) -> Iterator[date]:
        return (held.day for held in self.history.positions)

    def shown(self) -> Shown:
        held, number = held_on(self.history.positions, self.day), self.held(self.day)
        rungs = self.step.ladder.ladder.rungs
        actual = "no rung of the ladder" if number is None else rungs[number].rung_id
        return Shown(self._required(), actual, [held.position] if held else [])

    def lacking(self) -> list[str]:
        return [f"to hold {self._required()}"]

    def margins(self) -> list[str]:
        return []

    def _required(self) -> str:
        number = self.step.number
        return " or ".join(rung.rung_id for rung in self.step.ladder.ladder.rungs[max(0, number - 2) : number][::-1])


class _Tenure(Test):
    def __init__(self, history: History, day: date, rule: EligibilityRules.Tenure) -> None:
        super().__init__(history, day)
        self.months = rule.months
        self.with_stars = rule.with_stars

    def _since(self, on: date) -> Held | None:
        return held_since(self.history.positions, on, with_stars=self.with_stars)

    def met(self, on: date) -> bool:
        since = self._since(on)
        return since is not None and months_later(since.day, self.months) <= on

    def edges(self) -> Iterator[date]:
        for held in self.history.positions:
            yield held.day
            yield months_later(held.day, self.months)

    def shown(self) -> Shown:
        since = self._since(self.day)
        required = f"{_many(self.months, 'full month')} in the position{' with its stars' * self.with_stars}"
        if since is None:
            return Shown(required, "no position")
        name = f"{since.name} with {_many(since.stars, 'star')}" if self.with_stars else since.name
        return Shown(required, f"{_many(full_months(since.day, self.day), 'full month')} as {name}", [since.position])

    def _months(self) -> int:
        since = self._since(self.day)
        return full_months(since.day, self.day) if since else 0

    def lacking(self) -> list[str]:
        return [f"{_many(self.months - self._months(), 'more full month')} in the position"]

    def margins(self) -> list[str]:
        return [f"{_many(self._months() - self.months + 1, 'fewer full month')} in the position"]


class _Confirmed(Test):
    def _on(self, on: date) -> Employed | None:
        """Leave does not end what it follows."""
        states = (EMPLOYMENT_STATUS_PROBATION, EMPLOYMENT_STATUS_CONFIRMED)
        return next((one for one in reversed(self.history.statuses) if one.day <= on and one.status in states), None)

    def met(self, on: date) -> bool:
        found = self._on(on)
        return found is not None and found.status == EMPLOYMENT_STATUS_CONFIRMED

    def edges(self) -> Iterator[date]:
        return (one.day for one in self.history.statuses)

    def shown(self) -> Shown:
        found = self._on(self.day)
        return Shown(
            _status(EMPLOYMENT_STATUS_CONFIRMED),
            _status(found.status) if found else "never on probation, nor confirmed",
            [found.position] if found else [],
        )

    def lacking(self) -> list[str]:
        return ["to be confirmed"]

    def margins(self) -> list[str]:
        return ["to be on probation"]


class _Ratings(Test):
    monthly = True

    def __init__(self, history: History, day: date, rule: EligibilityRules.RatingStreak) -> None:
        super().__init__(history, day)
        self.months = rule.months
        self.at_least = rule.at_least
        self.last = month_of(day) - 1
        """The last full month as of the day."""

    def _good(self, month: int) -> bool:
        rated = self.history.ratings.get(month)
        if rated is None and month > self.last:  # if nothing changes, coming months are as the last full one
            rated = self.history.ratings.get(self.last)
        return rated is not None and rated.rating >= self.at_least

    def met(self, on: date) -> bool:
        last = month_of(on) - 1
        return all(self._good(month) for month in range(last, last - self.months, -1))

    def edges(self) -> Iterator[date]:
        latest = max(self.last, *self.history.ratings) if self.history.ratings else self.last
        return (first_day(month + 1) for month in range(self.last + 1, latest + self.months + 1))

    def shown(self) -> Shown:
        row = takewhile(self._good, range(self.last, min(self.history.ratings, default=self.last) - 1, -1))
        window = [rated for month in self._window() if (rated := self.history.ratings.get(month))]
        months = _many(self.months, "month")
        return Shown(
            f"{months} in a row rated {_rating(self.at_least)} or better, up to {month_name(self.last)}",
            f"{_many(len(list(row)), 'month')} in a row",
            [rated.position for rated in window],
            any(rated.disputed for rated in window),
        )

    def _window(self) -> range:
        return range(self.last - self.months + 1, self.last + 1)

    def _is(self, month: int) -> str:
        rated = self.history.ratings.get(month)
        return f"not {_rating(rated.rating)}" if rated else "which has no rating"

    def lacking(self) -> list[str]:
        return [
            f"{month_name(month)} rated {_rating(self.at_least)} or better, {self._is(month)}"
            for month in self._window()
            if not self._good(month)
        ]

    def margins(self) -> list[str]:
        return [
            f"{month_name(month)} rated below {_rating(self.at_least)}, {self._is(month)}" for month in self._window()
        ]


class _Courses(Test):
    def __init__(self, history: History, day: date, rule: EligibilityRules.Courses) -> None:
        super().__init__(history, day)
        self.rule = rule

    def _latest(self, course_id: str, on: date) -> Attended | None:
        """The latest time up to a day that the course was attended, and passed where that is asked."""
        return max(
            (
                one
                for one in self.history.courses
                if one.course_id == course_id and one.day <= on and (one.passed or not self.rule.exam_passed)
            ),
            key=lambda one: (one.day, one.position),
            default=None,
        )

    def _counts(self, one: Attended | None, on: date) -> bool:
        within = self.rule.within_months
        return one is not None and (not within or on <= months_later(one.day, within))

    def met(self, on: date) -> bool:
        return all(self._counts(self._latest(course_id, on), on) for course_id in self.rule.course_ids)

    def edges(self) -> Iterator[date]:
        for one in self.history.courses:
            yield one.day
            if self.rule.within_months:
                yield months_later(one.day, self.rule.within_months) + ONE_DAY

    def shown(self) -> Shown:
        found = {course_id: self._latest(course_id, self.day) for course_id in self.rule.course_ids}
        counting = {course_id: one for course_id, one in found.items() if one and self._counts(one, self.day)}
        within = f", at most {_many(self.rule.within_months, 'month')} ago" if self.rule.within_months else ""
        return Shown(
            f"{', '.join(self.rule.course_ids)}: {self._what()}{within}",
            ", ".join(f"{course_id} on {one.day}" for course_id, one in counting.items()) or "none of them",
            [one.position for one in found.values() if one],
            any(one.disputed for one in found.values() if one),
        )

    def _what(self) -> str:
        return "attended, exam passed" if self.rule.exam_passed else "attended"

    def lacking(self) -> list[str]:
        missing = [one for one in self.rule.course_ids if not self._counts(self._latest(one, self.day), self.day)]
        return [f"{course_id} {self._what()}" for course_id in missing]

    def margins(self) -> list[str]:
        what = "the exam of {} not passed" if self.rule.exam_passed else "{} not attended"
        return [what.format(course_id) for course_id in self.rule.course_ids]


class _Skills(Test):
    def __init__(self, history: History, day: date, rule: EligibilityRules.Skills) -> None:
        super().__init__(history, day)
        self.task_ids = rule.task_ids

    def _mastered(self, on: date) -> dict[str, During]:
        return {one.name: one for one in self.history.mastered if one.name in self.task_ids and one.on(on)}

    def met(self, on: date) -> bool:
        return len(self._mastered(on)) == len(self.task_ids)

    def edges(self) -> Iterator[date]:
        for one in self.history.mastered:
            yield one.day
            if one.until:
                yield one.until

    def shown(self) -> Shown:
        found = self._mastered(self.day)
        return Shown(
            f"mastered: {', '.join(self.task_ids)}",
            ", ".join(task_id for task_id in self.task_ids if task_id in found) or "none of them",
            [one.position for one in found.values()],
        )

    def lacking(self) -> list[str]:
        found = self._mastered(self.day)
        return [f"{task_id} mastered" for task_id in self.task_ids if task_id not in found]

    def margins(self) -> list[str]:
        return [f"mastery of {task_id} withdrawn" for task_id in self.task_ids]


class _Conduct(Test):
    def __init__(self, history: History, day: date, rule: EligibilityRules.Conduct) -> None:
        super().__init__(history, day)
        self.points = rule.points
        self.years = rule.years
        self.counted = counted(history.violations, date.max) if history.violations else []

    def _counting(self, year: int, on: date) -> list[CountedViolation]:
        text, prefix = on.isoformat(), f"{year:04}"
        return [
            one
            for one in self.counted
            if one.date.startswith(prefix) and one.date <= text and not (one.lapse_date and one.lapse_date <= text)
        ]

    def _of(self, year: int, on: date) -> int:
        return sum(one.points for one in self._counting(year, on))

    def _looked_at(self, on: date) -> range:
        return range(on.year - self.years + 1, on.year + 1)

    def met(self, on: date) -> bool:
        return not self.counted or all(self._of(year, on) < self.points for year in self._looked_at(on))

    def edges(self) -> Iterator[date]:
        for one in self.counted:
            day = date.fromisoformat(one.date)
            yield day
            yield date(day.year + self.years, 1, 1)
            if one.lapse_date:
                yield date.fromisoformat(one.lapse_date)

    def shown(self) -> Shown:
        years = self._looked_at(self.day)
        mine = [one for year in years for one in self._counting(year, self.day) if one.points]
        return Shown(
            f"fewer than {_many(self.points, 'point')} in {' and in '.join(str(year) for year in years)}",
            ", ".join(f"{_many(self._of(year, self.day), 'point')} in {year}" for year in years),
            [one.log_position for one in mine],
            any(one.disputed for one in mine),
        )

    def lacking(self) -> list[str]:
        totals = {year: self._of(year, self.day) for year in self._looked_at(self.day)}
        return [
            f"{_many(total - self.points + 1, 'point')} fewer in {year}"
            for year, total in totals.items()
            if total >= self.points
        ]

    def margins(self) -> list[str]:
        return [
            f"{_many(self.points - self._of(year, self.day), 'more point')} in {year}"
            for year in self._looked_at(self.day)
        ]


class _NoPip(Test):
    def _running(self, on: date) -> During | None:
        return next((one for one in self.history.pips if one.on(on)), None)

    def met(self, on: date) -> bool:
        return self._running(on) is None

    def edges(self) -> Iterator[date]:
        for one in self.history.pips:
            yield one.day
            if one.until:
                yield one.until

    def shown(self) -> Shown:
        running = self._running(self.day)
        since = f"under a PIP since {running.day}" if running else "not under a PIP"
        return Shown("not under a PIP", since, [running.position] if running else [])

    def lacking(self) -> list[str]:
        return ["the PIP closed"]

    def margins(self) -> list[str]:
        return ["a PIP delivered"]


class _Vacancy(Test):
    def __init__(self, history: History, day: date, vacant: Vacant) -> None:
        super().__init__(history, day)
        self.vacant = vacant

    def met(self, on: date) -> bool:  # noqa: ARG002 - stays as it is if nothing changes
        return self.vacant.number is None or self.vacant.number > 0

    def shown(self) -> Shown:
        number = self.vacant.number
        return Shown(_vacancies(1), "any number" if number is None else _vacancies(number), self.vacant.positions)

    def lacking(self) -> list[str]:
        return [_vacancies(1, "more ")]

    def margins(self) -> list[str]:
        return [] if self.vacant.number is None else [_vacancies(self.vacant.number, "fewer ")]


class _KpiLimit(Test):
    monthly = True

    def __init__(self, history: History, day: date, rule: EligibilityRules.KpiLimit, kpi: Kpi | None) -> None:
        super().__init__(history, day)
        self.rule = rule
        self.kpi = kpi
        last = month_of(day) - 1
        self.window = range(last - rule.months + 1, last + 1)

    @cached_property
    def worked(self) -> list[Worked]:
        found = self.history.worked
        return [one for month in self.window if (one := found.get((self.rule.kpi_id, month)))]

    @cached_property
    def samples(self) -> int:
        ratio = self.kpi is not None and self.kpi.aggregation == Kpi.AGGREGATION_RATIO
        return sum(one.denominator if ratio else one.days for one in self.worked)

    @cached_property
    def value(self) -> Fraction | None:
        if self.kpi is None or not self.worked:
            return None
        numerator = combined(self.kpi, [one.numerator for one in self.worked])
        return kpi_value(self.kpi, numerator, sum(one.denominator for one in self.worked))

    def met(self, on: date) -> bool:  # noqa: ARG002 - stays as it is if nothing changes
        value, rule = self.value, self.rule
        return (
            value is not None
            and self.samples >= rule.minimum_samples
            and not (rule.minimum and value < Fraction(rule.minimum))
            and not (rule.maximum and value > Fraction(rule.maximum))
        )

    def shown(self) -> Shown:
        bounds = [f"at least {self.rule.minimum}"] * bool(self.rule.minimum)
        bounds += [f"at most {self.rule.maximum}"] * bool(self.rule.maximum)
        asked = f", of at least {_many(self.rule.minimum_samples, 'sample')}" if self.rule.minimum_samples else ""
        months = f"{month_name(self.window[0])} to {month_name(self.window[-1])}"
        value = "no value" if self.value is None else _number(self.value)
        return Shown(
            f"{self.rule.kpi_id} {' and '.join(bounds)} in {months}{asked}",
            f"{value}, of {_many(self.samples, 'sample')}",
            [position for one in self.worked for position in one.positions],
            any(one.disputed for one in self.worked),
        )

    def lacking(self) -> list[str]:
        rule, found = self.rule, list[str]()
        if self.value is None:
            return [f"facts of {rule.kpi_id} within its bounds"]
        if self.samples < rule.minimum_samples:
            found.append(f"{_many(rule.minimum_samples - self.samples, 'more sample')} of {rule.kpi_id}")
        if rule.minimum and self.value < Fraction(rule.minimum):
            found.append(f"{rule.kpi_id} higher by {_number(Fraction(rule.minimum) - self.value)}")
        if rule.maximum and self.value > Fraction(rule.maximum):
            found.append(f"{rule.kpi_id} lower by {_number(self.value - Fraction(rule.maximum))}")
        return found

    def margins(self) -> list[str]:
        rule, found, value = self.rule, list[str](), self.value or Fraction()
        if rule.minimum_samples:
            found.append(f"{_many(self.samples - rule.minimum_samples + 1, 'fewer sample')} of {rule.kpi_id}")
        if rule.minimum:
            found.append(f"{rule.kpi_id} lower by more than {_number(value - Fraction(rule.minimum))}")
        if rule.maximum:
            found.append(f"{rule.kpi_id} higher by more than {_number(Fraction(rule.maximum) - value)}")
        return found


class Judged:
    """An employee's eligibility for a step as of a day. `leaving_out`: kinds of criteria that are taken as met."""

    def __init__(
        self,
        history: History,
        step: Step,
        vacant: Vacant,
        kpis: Mapping[str, Kpi],
        day: date,
        *,
        leaving_out: Sequence[str] = (),
    ) -> None:
        self.history = history
        self.step = step
        self.day = day
        self._onto = _Step(history, day, step)
        self.tests: list[tuple[EligibilityRules.Criterion, Test]] = [
            (_EMPLOYMENT, _Employment(history, day)),
            (_STEP, self._onto),
        ]
        for one in step.eligibility.criteria:
            if (kind := one.WhichOneof("test")) not in leaving_out:
                self.tests.append((one, _test(kind or "", one, history, vacant, kpis, day)))
        self._waivers = [
            waiver
            for waiver in history.waivers
            if (waiver.ladder_id, waiver.rung_id) == (step.ladder.policy_id, step.rung.rung_id)
        ]

    def eligible(self, on: date | None = None) -> bool:
        """On the day, or on a later one if nothing changes."""
        day = on or self.day
        return all(test.met(day) or self._waived(criterion, day) is not None for criterion, test in self.tests)

    def eligible_from(self) -> date | None:
        """The first day, this one or later, on which they are eligible if nothing changes; None: there is none."""
        return next((day for day in (self.day, *self._later()) if self.eligible(day)), None)

    def looked_at_again(self) -> date | None:
        """The first later day on which anything of it may be otherwise without anything happening; None: never."""
        found = self._later()
        if any(test.monthly for _, test in self.tests):
            found.append(first_day(month_of(self.day) + 1))
        return min(found, default=None)

    def criteria(self) -> list[Criterion]:
        """All criteria, each as shown."""
        found = []
        for criterion, test in self.tests:
            shown, met, waiver = test.shown(), test.met(self.day), self._waived(criterion, self.day)
            later = None if met else next((day for day in self._later() if test.met(day)), None)
            found.append(
                Criterion(
                    name=criterion.criterion_id,
                    display_name=criterion.display_name,
                    required=shown.required,
                    actual=shown.actual,
                    met=met,
                    evidence_positions=sorted(set(shown.positions)),
                    met_from=later.isoformat() if later else "",
                    disputed=shown.disputed,
                    waiver_position=waiver.position if waiver else 0,
                    waivable=criterion.waivable,
                )
            )
        return found

    def changes(self) -> list[OutcomeChange]:
        """The smallest changes, each of which would have changed the outcome.

        Of who is not eligible: all that is lacking, and the same with waivers where they are possible. Of who is:
        whatever a met criterion would not bear, or the end of a waiver.
        """
        unmet = [(criterion, test) for criterion, test in self.tests if not test.met(self.day)]
        if self.eligible():
            waived = [_change((criterion.criterion_id, "the waiver withdrawn")) for criterion, _ in unmet]
            others = [
                _change((criterion.criterion_id, text))
                for criterion, test in self.tests
                if test.met(self.day) and self._waived(criterion, self.day) is None
                for text in test.margins()
            ]
            return waived + others
        needed = [(criterion, test) for criterion, test in unmet if self._waived(criterion, self.day) is None]
        by_facts = [(one.criterion_id, text) for one, test in needed for text in test.lacking()]
        with_waivers = [
            (one.criterion_id, text)
            for one, test in needed
            for text in (["to be waived by the executive"] if one.waivable else test.lacking())
        ]
        return [_change(*needs) for needs in ([by_facts] if with_waivers == by_facts else [by_facts, with_waivers])]

    def shown(self, known_at: int) -> Eligibility:
        """All of it, as the contract says."""
        held, since = self._onto.held(self.day), self.eligible_from()
        ladder = self.step.ladder
        return Eligibility(
            employee_id=self.history.employee_id,
            as_of=self.day.isoformat(),
            eligible=self.eligible(),
            criteria=self.criteria(),
            policy_id=self.step.rules.policy_id,
            policy_position=self.step.rules.log_position,
            ladder_id=ladder.policy_id,
            rung_id=self.step.rung.rung_id,
            from_rung_id="" if held is None else ladder.ladder.rungs[held].rung_id,
            ladder_position=ladder.log_position,
            levels=max(0, self._onto.levels(self.day)),
            eligible_from=since.isoformat() if since else "",
            changes=self.changes(),
            known_at=known_at,
        )

    def _waived(self, criterion: EligibilityRules.Criterion, on: date) -> Waiver | None:
        if not criterion.waivable or not self._waivers:
            return None
        mine = (one for one in self._waivers if one.criterion_id == criterion.criterion_id)
        return next((one for one in mine if one.day <= on <= one.until), None)

    def _later(self) -> list[date]:
        """Days behind the day on which anything may be otherwise if nothing changes, the earliest first."""
        edges = {day for _, test in self.tests for day in test.edges()}
        edges |= {day for one in self._waivers for day in (one.day, one.until + ONE_DAY)}
        return sorted(day for day in edges if day > self.day)


_EMPLOYMENT = EligibilityRules.Criterion(criterion_id=EMPLOYMENT, display_name="Employed")
_STEP = EligibilityRules.Criterion(criterion_id=STEP, display_name="One rung below, or two")


def _test(
    kind: str,
    criterion: EligibilityRules.Criterion,
    history: History,
    vacant: Vacant,
    kpis: Mapping[str, Kpi],
    day: date,
) -> Test:
    match kind:
        case "tenure":
            return _Tenure(history, day, criterion.tenure)
        case "confirmed":
            return _Confirmed(history, day)
        case "ratings":
            return _Ratings(history, day, criterion.ratings)
        case "courses":
            return _Courses(history, day, criterion.courses)
        case "skills":
            return _Skills(history, day, criterion.skills)
        case "conduct":
            return _Conduct(history, day, criterion.conduct)
        case "no_pip":
            return _NoPip(history, day)
        case "vacancy":
            return _Vacancy(history, day, vacant)
        case "kpi_limit":
            return _KpiLimit(history, day, criterion.kpi_limit, kpis.get(criterion.kpi_limit.kpi_id))
        case unknown:
            raise ValueError(f"a criterion of unknown kind: {unknown}")


def _change(*needs: tuple[str, str]) -> OutcomeChange:
    return OutcomeChange(needs=[OutcomeChange.Need(criterion=criterion, text=text) for criterion, text in needs])


def _status(status: "EmploymentStatus.ValueType") -> str:
    return EmploymentStatus.Name(status).removeprefix("EMPLOYMENT_STATUS_")


def _rating(rating: int) -> str:
    return Rating.Name(Rating.ValueType(rating)).removeprefix("RATING_")


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _vacancies(number: int, how: str = "") -> str:
    return f"{number} {how}{'vacancy' if number == 1 else 'vacancies'}"


def _number(value: Fraction) -> str:
    """A number to be read: rounded half up to six digits, without zeros at the end."""
    return decimal(value, 6).rstrip("0").rstrip(".")
