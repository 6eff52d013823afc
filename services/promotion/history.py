"""What eligibility and scores are judged by, of one employee: by day and by month. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from libs.common.days import months_later
from libs.facts.conduct import Offending
from services.promotion.ladder import Held
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, EmploymentStatus


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
