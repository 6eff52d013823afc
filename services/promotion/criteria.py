"""The criteria of the rules of eligibility, held against what is known of an employee. Pure and exact.

Each kind of criterion is a class that says the whole of its meaning: on which days it is met, when that may become
otherwise by time alone, how it is shown, and what is lacking where it is not met.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from functools import cached_property
from itertools import takewhile
from math import ceil
from typing import NamedTuple

from libs.common.days import ONE_DAY, months_later
from libs.facts.adding import combined
from libs.facts.conduct import counted
from libs.facts.values import decimal, kpi_value
from services.promotion.history import (
    Attended,
    During,
    Employed,
    History,
    Worked,
    employed_on,
    first_day,
    full_months,
    month_name,
    month_of,
    status_on,
)
from services.promotion.ladder import MOST_LEVELS, Held, Step, held_on, held_since, rung_held
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_PROBATION,
    EmploymentStatus,
)
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.performance.v1.record_pb2 import CountedViolation
from stepladder.promotion.v1.eligibility_pb2 import OutcomeChange

BY_EVENT, BY_CORRECTION = OutcomeChange.Need.BY_EVENT, OutcomeChange.Need.BY_CORRECTION


class Vacant(NamedTuple):
    """Vacancies of a rung, over all teams, and the posts' latest events. `number` None: any number may hold it."""

    number: int | None = 0
    positions: tuple[int, ...] = ()


class Shown(NamedTuple):
    """How a criterion is shown."""

    required: str
    actual: str
    positions: Sequence[int] = ()
    disputed: bool = False


class Lack(NamedTuple):
    """Something that would have to be otherwise: in words, and what can still bring that about."""

    text: str
    by: OutcomeChange.Need.By.ValueType


class Test(ABC):
    """One criterion of an employee, by what is known, as of a day."""

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

    def lacking(self, on: date) -> list[Lack]:  # noqa: ARG002 - of those that come by time alone
        """What it takes to be met on a day, the same or later, on which it is not: all together, and no less.

        Nothing: it comes with time and with what is planned already, or not at all.
        """
        return []


class Employment(Test):
    def met(self, on: date) -> bool:
        return employed_on(self.history, on)

    def edges(self) -> Iterator[date]:
        return (one.day for one in self.history.statuses)

    def shown(self) -> Shown:
        found = status_on(self.history, self.day)
        status = _status(found.status) if found else "not employed"
        return Shown("employed", status, [found.position] if found else [])


class OneStep(Test):
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
        if held is None:
            return Shown(self._required(), "no position")
        actual = f"{held.name}, which is on no rung of this ladder" if number is None else rungs[number].rung_id
        return Shown(self._required(), actual, [held.position])

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

    def lacking(self, on: date) -> list[Lack]:  # noqa: ARG002 - the same on all days
        return [Lack("to be confirmed", BY_EVENT)]


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
        return all(self._good(month) for month in self._window(on))

    def edges(self) -> Iterator[date]:
        latest = max(self.last, *self.history.ratings) if self.history.ratings else self.last
        return (first_day(month + 1) for month in range(self.last + 1, latest + self.months + 1))

    def shown(self) -> Shown:
        row = takewhile(self._good, range(self.last, min(self.history.ratings, default=self.last) - 1, -1))
        window = [rated for month in self._window(self.day) if (rated := self.history.ratings.get(month))]
        months = _many(self.months, "month")
        return Shown(
            f"{months} in a row rated {_rating(self.at_least)} or better, up to {month_name(self.last)}",
            f"{_many(len(list(row)), 'month')} in a row",
            [rated.position for rated in window],
            any(rated.disputed for rated in window),
        )

    def _window(self, on: date) -> range:
        last = month_of(on) - 1
        return range(last - self.months + 1, last + 1)

    def lacking(self, on: date) -> list[Lack]:
        bad = [month for month in self._window(on) if not self._good(month)]
        if self.last in bad:  # those that follow it come with it
            bad = [month for month in bad if month <= self.last or month in self.history.ratings]
        return [
            Lack(
                f"{month_name(month)} rated {_rating(self.at_least)} or better{self._is(month)}",
                BY_CORRECTION if month <= self.last else BY_EVENT,
            )
            for month in bad
        ]

    def _is(self, month: int) -> str:
        if (rated := self.history.ratings.get(month)) is not None:
            return f", not {_rating(rated.rating)}"
        return ", which has no rating" if month <= self.last else ""


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

    def lacking(self, on: date) -> list[Lack]:
        missing = [one for one in self.rule.course_ids if not self._counts(self._latest(one, on), on)]
        return [Lack(f"{course_id} {self._what()}", BY_EVENT) for course_id in missing]


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

    def lacking(self, on: date) -> list[Lack]:
        found = self._mastered(on)
        return [Lack(f"{task_id} mastered", BY_EVENT) for task_id in self.task_ids if task_id not in found]


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

    def lacking(self, on: date) -> list[Lack]:
        excess = {year: self._of(year, on) - self.points + 1 for year in self._looked_at(on)}
        return [
            Lack(f"at least {_many(points, 'point')} of {year} revoked", BY_CORRECTION)
            for year, points in excess.items()
            if points > 0
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

    def lacking(self, on: date) -> list[Lack]:  # noqa: ARG002 - the same on all days
        return [Lack("the PIP closed", BY_EVENT)]


class _Vacancy(Test):
    def __init__(self, history: History, day: date, vacant: Vacant) -> None:
        super().__init__(history, day)
        self.vacant = vacant

    def met(self, on: date) -> bool:  # noqa: ARG002 - stays as it is if nothing changes
        return self.vacant.number is None or self.vacant.number > 0

    def shown(self) -> Shown:
        number = self.vacant.number
        return Shown(_vacancies(1), "any number" if number is None else _vacancies(number), self.vacant.positions)

    def lacking(self, on: date) -> list[Lack]:  # noqa: ARG002 - the same on all days
        return [Lack("a vacancy", BY_EVENT)]


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
        value = "no value" if self.value is None else _number(self.value)
        return Shown(
            f"{self.rule.kpi_id} {' and '.join(bounds)} in {self._months()}{self._asked()}",
            f"{value}, of {_many(self.samples, 'sample')}",
            [position for one in self.worked for position in one.positions],
            any(one.disputed for one in self.worked),
        )

    def lacking(self, on: date) -> list[Lack]:  # noqa: ARG002 - the same on all days
        rule, value, of_months = self.rule, self.value, f"{self.rule.kpi_id} in {self._months()}"
        if value is None:
            return [Lack(f"a value of {of_months} within its bounds{self._asked()}", BY_CORRECTION)]
        found = list[str]()
        if self.samples < rule.minimum_samples:
            found.append(f"{_many(rule.minimum_samples - self.samples, 'more sample')} of {of_months}")
        if rule.minimum and value < Fraction(rule.minimum):
            found.append(f"{of_months} higher by at least {_no_less(Fraction(rule.minimum) - value)}")
        if rule.maximum and value > Fraction(rule.maximum):
            found.append(f"{of_months} lower by at least {_no_less(value - Fraction(rule.maximum))}")
        return [Lack(text, BY_CORRECTION) for text in found]

    def _asked(self) -> str:
        asked = self.rule.minimum_samples
        return f", of at least {_many(asked, 'sample')}" if asked else ""

    def _months(self) -> str:
        return f"{month_name(self.window[0])} to {month_name(self.window[-1])}"


def made(
    kind: str,
    criterion: EligibilityRules.Criterion,
    history: History,
    vacant: Vacant,
    kpis: Mapping[str, Kpi],
    day: date,
) -> Test:
    """The test of a criterion of a kind."""
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


def _status(status: "EmploymentStatus.ValueType") -> str:
    return EmploymentStatus.Name(status).removeprefix("EMPLOYMENT_STATUS_")


def _rating(rating: int) -> str:
    return Rating.Name(Rating.ValueType(rating)).removeprefix("RATING_")


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _vacancies(number: int) -> str:
    return f"{number} {'vacancy' if number == 1 else 'vacancies'}"


def _number(value: Fraction) -> str:
    """A number to be read: rounded half up to six digits, without zeros at the end."""
    return decimal(value, 6).rstrip("0").rstrip(".")


def _no_less(value: Fraction) -> str:
    """As `_number`, rounded up."""
    return _number(Fraction(ceil(value * 1_000_000), 1_000_000))
