"""What stands still for several reasons at once, of which some are heard of late."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from services.coaching.pip import PIP
from services.coaching.pip_state import PipState
from tests.coaching.pips import ACTIVATE, HR, PAUSE, RESUME, Said, after, by, days_of, leave, weekdays
from tests.deciding import fold

BEGUN = date(2026, 3, 17)
DAYS = [BEGUN + timedelta(days=number) for number in range(14)]
LAST = DAYS[-1] + timedelta(days=1)


@dataclass(frozen=True)
class Weeks:
    """From when to when HR pauses; on which days leaves begin and end, and on which each is told, in order."""

    pauses: list[tuple[date, date]]
    statuses: Mapping[date, tuple[bool, date]]
    known: dict[date, bool] = field(default_factory=dict)

    def said(self) -> Iterator[Said]:
        for today in (*DAYS, LAST):
            for day, (_, told) in self.statuses.items():
                if told == today:
                    yield from self.told(day, today)
            for first, until in self.pauses:
                if first == today:
                    yield by(HR, PAUSE, today)
                if until == today:
                    yield by(HR, RESUME, today)

    def told(self, day: date, today: date) -> Iterator[Said]:
        """A status, and those from then on that are known already: what follows leaves does both."""
        self.known[day] = self.statuses[day][0]
        for since in sorted(one for one in self.known if day <= one <= today):
            back = next((one for one in sorted(self.known) if one > since and not self.known[one]), None)
            on_leave = self.known[since]
            said = leave(since, on_leave=on_leave, back=back if on_leave else None)
            yield Said(said.command, said.actor, today)

    def stands(self, day: date) -> bool:
        away = next((self.statuses[one][0] for one in sorted(self.statuses, reverse=True) if one <= day), False)
        return away or any(first <= day < until for first, until in self.pauses)


@st.composite
def weeks(draw: st.DrawFn) -> Weeks:
    days = sorted(draw(st.sets(st.sampled_from(DAYS), max_size=4)))
    changes = sorted(draw(st.sets(st.sampled_from(DAYS), max_size=6)))
    late = accumulate((day + timedelta(days=draw(st.integers(0, 9))) for day in changes), max)
    told = {
        day: (bool(number % 2), min(on, LAST)) for number, (day, on) in enumerate(zip(changes, late, strict=True), 1)
    }
    return Weeks(list(zip(days[::2], days[1::2], strict=False)), told)


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(weeks())
def test_the_clock_runs_on_the_days_on_which_nothing_stood(weeks: Weeks) -> None:
    """Whatever was said in which order: the days measured, and the business days used, are the same."""
    state = after(ACTIVATE)
    for step in weeks.said():
        state = fold(PIP, state, PIP.decide(state, step.command, step.context))
    pip = state.pips["pip-1"]
    ran = [day.isoformat() for day in DAYS if not weeks.stands(day)]
    assert days_of(pip.ran_until(LAST.isoformat())) == ran
    assert used_at(pip, LAST) == len({*ran} & {*weekdays().dates})


def test_a_pause_that_is_over_stands_when_the_end_of_a_leave_is_heard_of_late() -> None:
    """What runs goes on behind it, and the days before it, on which somebody was back, have run."""
    away = after([*ACTIVATE, leave(date(2026, 3, 18), on_leave=True)])
    told = leave(date(2026, 3, 20)).command
    hr = after([by(HR, PAUSE, date(2026, 3, 24)), by(HR, RESUME, date(2026, 3, 27))], away)
    pip = after([Said(told, "policy:pip-leaves", date(2026, 3, 30))], hr).pips["pip-1"]
    assert pip.ran_until("2026-03-30") == (
        ("2026-03-17", "2026-03-18"),
        ("2026-03-20", "2026-03-24"),
        ("2026-03-27", "2026-03-30"),
    )
    assert (pip.schedule.from_date, pip.schedule.used_business_days) == ("2026-03-27", 3)
    paused = after([by(HR, PAUSE, date(2026, 3, 24)), Said(told, "policy:pip-leaves", date(2026, 3, 25))], away)
    assert paused.pips["pip-1"].schedule.used_business_days == 3


def test_an_earlier_leave_is_heard_of_during_another() -> None:
    """Its days are given back, too, and the one that goes on goes on."""
    first, back, again = date(2026, 3, 18), date(2026, 3, 20), date(2026, 3, 24)
    late = [leave(first, on_leave=True, back=back), leave(back), leave(again, on_leave=True)]
    pip = after([*ACTIVATE, leave(again, on_leave=True), *late]).pips["pip-1"]
    assert pip.ran_until("2026-04-01") == (("2026-03-17", "2026-03-18"), ("2026-03-20", "2026-03-24"))
    assert (list(pip.pauses.values()), pip.schedule.used_business_days) == (["2026-03-24"], 3)


def used_at(pip: PipState, day: date) -> int:
    """By a pause on the day."""
    since = pip.schedule.from_date
    used = pip.schedule.used_business_days
    return used + len([one for one in weekdays().dates if since <= one < day.isoformat()]) if since else used
