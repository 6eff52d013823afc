"""The public notice before somebody is approved: whole business days behind the day of the list. Pure."""

from collections.abc import Sequence
from datetime import date

from libs.common.calendars import Days
from libs.common.days import ONE_DAY, Span


def last_day(
    listed: date, business_days: int, days: Days, paused: Sequence[Span] = (), promised: date = date.min
) -> date:
    """The last day of a notice of so many business days after the day of the list, by a calendar.

    Days that something `paused` do not count. It never ends before the day that was `promised`. Raises NotKnown as
    `Days` does.
    """
    day, left = listed, business_days
    while left:
        day += ONE_DAY
        if not any(span.start <= day <= span.end for span in paused):
            left -= days.is_business_day(day)
    return max(day, promised)
