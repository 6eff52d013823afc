"""The public notice before somebody is approved: whole business days behind the day of the list. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from libs.common.calendars import Days
from libs.common.days import ONE_DAY, History, Span, in_force
from stepladder.performance.v1.policy_pb2 import Calendar
from stepladder.promotion.v1.candidacy_pb2 import CountedBy


@dataclass(frozen=True, slots=True)
class Notice:
    """The last day of a notice, and what it was counted by: the version of the calendar that is in force on it."""

    until: date
    calendar_position: int
    calendar_version: str


def notice(
    listed: date, business_days: int, counted_by: CountedBy, paused: Sequence[Span] = (), promised: date = date.min
) -> Notice:
    """A notice of so many business days after the day of the list, each by the calendar that is in force on it.

    Days that something `paused` do not count. It never ends before the day that was `promised`. Raises NotKnown as
    `Days` does.
    """
    versions: History[tuple[Days, int]] = tuple(
        (date.fromisoformat(one.effective_date), (Days(one.calendar), one.position)) for one in counted_by.versions
    )
    before_all = Days(Calendar()), 0
    day, left = listed, business_days
    while left:
        day += ONE_DAY
        if not any(span.start <= day <= span.end for span in paused):
            days, _ = in_force(versions, day) or before_all
            left -= days.is_business_day(day)
    until = max(day, promised)
    days, position = in_force(versions, until) or before_all
    return Notice(until, position, days.version)
