"""Counting a PIP's business days: what has run, what is left, and the days that it comes to. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise

from libs.common.days import ONE_DAY
from stepladder.coaching.v1.measure_pb2 import Measured
from stepladder.coaching.v1.pip_pb2 import BusinessDays, PipSchedule

Review = PipSchedule.Review

Days = tuple[str, str]
"""Days from one on, until another, exclusive."""


def planned(days: BusinessDays, first: date, used: int, total: int, reviews: Sequence[Review] = ()) -> PipSchedule:
    """A number of business days that runs from a day on, when some of them have run already; 0 in all: without end.

    Reviews that lie ahead get their days anew.
    """
    return PipSchedule(
        from_date=first.isoformat(),
        used_business_days=used,
        total_business_days=total,
        due_date=_nth(days, first, total - used) if total else "",
        reviews=[
            Review(business_day=one.business_day, due_date=_nth(days, first, one.business_day - used))
            if one.business_day > used
            else one
            for one in reviews
        ],
        calendar_version=days.calendar_version,
        calendar_position=days.calendar_position,
    )


def used_before(days: BusinessDays, schedule: PipSchedule, day: date) -> int:
    """Business days that have run before a day, of one that runs or stands still; never more than there are."""
    used = schedule.used_business_days
    if schedule.from_date:
        used += max(0, business_days_between(days, date.fromisoformat(schedule.from_date), day))
    return min(used, schedule.total_business_days)


def without(ran: Sequence[Days], stood: Iterable[Days]) -> tuple[Days, ...]:
    """Days that ran, without those on which something stood; in order, as they were."""
    for first, until in stood:
        parts = [part for begin, end in ran for part in ((begin, min(end, first)), (max(begin, until), end))]
        ran = [(begin, end) for begin, end in parts if begin < end]
    return tuple(ran)


def span_of(ran: Sequence[Days]) -> tuple[str, str, list[Measured.Days]]:
    """The first and the last of days that ran, and those between on which nothing did; each inclusive."""
    stood = [(end, begin) for (_, end), (begin, _) in pairwise(ran) if end < begin]
    without = [Measured.Days(start_date=first, end_date=_before(until)) for first, until in stood]
    return ran[0][0], _before(ran[-1][1]), without


def _before(day: str) -> str:
    return (date.fromisoformat(day) - ONE_DAY).isoformat()


def day_after(day: str) -> str:
    return (date.fromisoformat(day) + ONE_DAY).isoformat()


def business_days_between(days: BusinessDays, first: date, until: date) -> int:
    """Business days from a day, inclusive, until another, exclusive."""
    return bisect_left(days.dates, until.isoformat()) - bisect_left(days.dates, first.isoformat())


def business_days_of(days: BusinessDays, ran: Iterable[Days]) -> int:
    """Business days among days that ran, which end."""
    between = ((date.fromisoformat(first), date.fromisoformat(until)) for first, until in ran)
    return sum(business_days_between(days, first, until) for first, until in between)


def is_over(schedule: PipSchedule, today: date) -> bool:
    """Whether its last day has passed; one without end, or that stands still, is never over."""
    return schedule.due_date != "" and schedule.due_date < today.isoformat()


def _nth(days: BusinessDays, first: date, number: int) -> str:
    """The n-th business day from a day on, inclusive; the day before it for none."""
    if number <= 0:
        return (first - ONE_DAY).isoformat()
    return days.dates[bisect_left(days.dates, first.isoformat()) + number - 1]
