"""What is to be done by a day, and whether it was: sessions of a plan, which follow each other, and all else. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from stepladder.coaching.v1.rhythm_pb2 import (
    TIMELINESS_LATE,
    TIMELINESS_MISSED,
    TIMELINESS_NOT_YET,
    TIMELINESS_ON_TIME,
    TIMELINESS_OVERDUE,
    Timeliness,
)


@dataclass(frozen=True, slots=True)
class Due:
    """Something that was to be done by a day. None of what is `missed` can be done any more."""

    day: date
    done: date | None = None
    missed: bool = False

    def timeliness(self, today: date) -> Timeliness.ValueType:
        if self.missed:
            return TIMELINESS_MISSED
        if self.done is not None:
            return TIMELINESS_ON_TIME if self.done <= self.day else TIMELINESS_LATE
        return TIMELINESS_OVERDUE if self.day < today else TIMELINESS_NOT_YET


def sessions_due(begun: date, ended: date | None, held: Iterable[date], every: int, today: date) -> list[Due]:
    """The sessions of a plan that fall due, from its activation on, up to the one that is open today.

    One is due `every` days after the one before was held; if none is held until then, after that one fell due, which is
    missed. Nothing falls due on the day on which the plan ended, or later. `every` is at least 1.
    """
    found: list[Due] = []
    pause = timedelta(days=every)
    waiting = sorted(day for day in held if day >= begun)
    day = begun + pause
    while ended is None or day < ended or waiting:
        if waiting and waiting[0] < day + pause:
            done = waiting.pop(0)
            found.append(Due(day, done))
            day = done + pause
        elif waiting or day + pause <= today or ended is not None:
            found.append(Due(day, missed=True))
            day += pause
        else:
            found.append(Due(day))
            break
    return found


def check_in_due(last: date | None, asked: Mapping[date, int]) -> tuple[date, date] | None:
    """Since when a check-in is waited for, and by when it is due; None while none is asked for.

    `asked` says from which day on, in order, how many days lie between two at most, 0 for any; it begins with the last
    one, or with the day from which the employee is known. It is due on the first day by which, as was asked on that
    day, so many have passed: since the last one, or else since any were asked for.
    """
    if not list(asked.values())[-1]:
        return None
    since = last
    for (begun, every), until in zip(asked.items(), [*list(asked)[1:], None], strict=True):
        if every:
            since = since or begun
            due = max(since + timedelta(days=every), begun)
            if until is None or due < until:
                return since, due
    return None
