"""What the systems of the sample centre say of one agent: telephony, workforce management, CRM, QA, chat and HR."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from libs.cli.sample_people import Person, Story, chance, month_number
from libs.cli.sample_records import Recording
from stepladder.performance.v1.facts_pb2 import Fact, Reading
from stepladder.performance.v1.record_pb2 import Record

SHIFT_SECONDS = 8 * 3600
"""Without the hour of rest in the middle."""

WEEKDAYS = (1.12, 1.04, 1.0, 1.0, 1.03, 0.9, 0.86)
"""Load from Monday to Sunday against the mean."""

HOURS = {9: 1.4, 10: 1.4, 14: 1.35, 15: 1.35, 8: 0.7, 17: 0.8, 18: 0.7, 19: 0.6}
"""Load of an hour of the day against the mean: peaks from 9 to 11 and from 14 to 16. Not named: 1."""


class _Even:
    """Spreads a rate over counts so that its sum over any span is right to within one."""

    def __init__(self, carried: float) -> None:
        self._carried = carried

    def take(self, count: int, rate: float) -> int:
        self._carried += count * rate
        whole = min(count, int(self._carried))
        self._carried -= whole
        return whole


class Days:
    """One agent's days, to be asked for in their order."""

    def __init__(self, seed: int, person: Person, recording: Recording) -> None:
        self._seed = seed
        self._person = person
        self._recording = recording
        self._chance = chance(seed, "days", person.number)
        self._reviewed = 0
        self._even: defaultdict[str, _Even] = defaultdict(lambda: _Even(self._chance.random()))

    def said(self, first: date, last: date) -> Iterator[Fact | Record]:
        """Facts and records of the first to the last day, both included, by day.

        Nobody works seven days a week, and everybody has a week off.
        """
        days = (last - first).days + 1
        off = first + timedelta(days=chance(self._seed, "leave", self._person.number).randrange(max(1, days - 7)))
        if days >= 30:
            yield self._recording.leave(off, 7)
        else:
            off = date.max
        for offset in range(days):
            day = first + timedelta(days=offset)
            weekday = (day.toordinal() + self._person.number) % 7
            if weekday not in {0, 1} and not 0 <= (day - off).days < 7:
                yield from self._working_day(day, evaluated=8 if weekday == 3 else 0)
        if self._person.story is Story.AWAY:
            yield self._recording.leave(last + timedelta(days=1), 120)

    def _working_day(self, day: date, evaluated: int) -> Iterator[Fact | Record]:
        absent = self._chance.random() < (0.005 if self._person.excels else 0.02)
        yield self._recording.shift(day, self._shift[0], absent=absent)
        if absent:
            return
        load = WEEKDAYS[day.weekday()]
        hours = self._calls_by_hour(day, load)
        calls, talk = sum(count for count, _ in hours), sum(seconds for _, seconds in hours)
        chats = self._share("chats", calls, 0.25) if self._person.team % 2 else 0
        yield self._fact(day, "calls", self._telephony(day, hours, load))
        if chats:
            yield self._fact(day, "chat", self._chat(chats))
        yield self._fact(day, "crm", self._customers(day, calls + chats))
        if month_number(day) != self._reviewed:
            self._reviewed = month_number(day)
            yield self._fact(day, "performance-management", [self._review(day)])
        yield self._fact(day, "workforce", self._workforce(talk))
        unkind = self._person.trouble(day) if self._person.story is Story.UNKIND else 0.0
        yield from self._recording.complaints(day, self._share("complaints", calls + chats, 0.0012 + 0.006 * unkind))
        if evaluated:
            careless = self._person.trouble(day) if self._person.story is Story.CARELESS else 0.0
            yield from self._recording.evaluations(
                day,
                count=evaluated,
                fatal=self._share("fatal", evaluated, self._person.fatal + 0.1 * careless),
                missed=self._share("missed", evaluated * 5, self._luck(day) * self._person.missed + 0.05 * careless),
            )
        yield from self._recording.seldom(day)

    def _calls_by_hour(self, day: date, load: float) -> list[tuple[int, int]]:
        """Calls and their seconds in each worked hour; in peak hours calls take a little longer."""
        person, trouble = self._person, self._person.trouble(day)
        aht = person.aht
        if person.story in {Story.SLOW, Story.IMPROVING}:
            aht += (300 - aht) * trouble
        elif person.story is Story.HASTY:
            aht += (140 - aht) * trouble
        budget = SHIFT_SECONDS * person.utilisation * load * self._between(0.95, 1.05)
        weights = [HOURS.get(hour, 1.0) for hour in self._shift]
        hours = []
        for weight in weights:
            calls = max(1, round(budget / aht * weight / sum(weights)))
            hours.append((calls, round(calls * aht * self._between(0.94, 1.06) * (1.04 if weight > 1 else 0.98))))
        return hours

    @property
    def _shift(self) -> list[int]:
        """Hours of the day worked: from 8, 9 or 11, with one of rest after four."""
        start = (8, 9, 11)[self._person.number % 3]
        return [*range(start, start + 4), *range(start + 5, start + 9)]

    def _telephony(self, day: date, hours: Sequence[tuple[int, int]], load: float) -> list[Reading]:
        person = self._person
        calls = [count for count, _ in hours]
        seconds = [one for _, one in hours]
        starts = [hour * 60 for hour in self._shift]
        handled = sum(calls)
        hasty = person.story is Story.HASTY
        short = self._share("short", handled, 0.02 + (0.15 * person.trouble(day) if hasty else 0))
        offered = handled + self._share("lost", handled, 0.05 * load)
        first, last = self._shift[0] * 3600, (self._shift[-1] + 1) * 3600
        return [
            # One sample for each hour of the shift.
            Reading(kpi_id="calls-handled", numerators=calls, starts=starts),
            Reading(kpi_id="aht", numerators=seconds, denominators=calls, starts=starts),
            Reading(kpi_id="talk-time", numerators=seconds, starts=starts),
            _ratio("short-call-share", short, handled),
            _ratio("connection-rate", handled, offered),
            _ratio("call-loss-rate", offered - handled, offered),
            Reading(kpi_id="first-call", numerators=[first + round(self._between(20, 500))]),
            Reading(kpi_id="last-call", numerators=[last + round(self._between(-400, 300))]),
        ]

    def _review(self, day: date) -> Reading:
        """A month's PM score, given on its first day at work: of the month before."""
        own, person = chance(self._seed, "reviews", self._person.number, month_number(day)), self._person
        best = 86 if person.excels else 66
        return _ratio("pm-score", best + own.randrange(14) - round(20 * person.trouble(day)), 1)

    def _workforce(self, talk: int) -> list[Reading]:
        logged_in = round(SHIFT_SECONDS * self._between(0.97, 1.0))
        return [
            _ratio("talk-utilisation", talk, logged_in),
            _ratio("not-ready-time", round(60 * self._between(16, 38)), 1),
        ]

    def _customers(self, day: date, contacts: int) -> list[Reading]:
        person = self._person
        unkind = person.trouble(day) if person.story is Story.UNKIND else 0.0
        satisfied = person.satisfied + (0 if person.excels else 0.02 * (1 - self._luck(day))) - 0.14 * unkind
        surveys = self._share("surveys", contacts, 0.13)
        orders = self._share("orders", contacts, 0.3)
        due = self._share("due", contacts, 0.06)
        readings = [
            Reading(kpi_id="handled-volume", numerators=[contacts]),
            _ratio("customer-satisfaction", self._share("satisfied", surveys, satisfied), surveys),
            _ratio("work-order-error-rate", self._share("order errors", orders, 0.021), orders),
            _ratio("call-back-rate", self._share("called back", due, 0.93), due),
        ]
        return [one for one in readings if not one.denominators or one.denominators[0]]

    def _chat(self, chats: int) -> list[Reading]:
        replies = 5 * chats
        characters = round(replies * self._between(30, 42))
        ratings = self._share("ratings", chats, 0.4)
        readings = [
            _ratio("chat-response-time", round(replies * self._between(14, 26)), replies),
            _ratio("typing-speed", characters, round(characters / self._between(1.1, 1.6))),
        ]
        if ratings:
            readings.append(_ratio("shop-rating", 5 * ratings - self._share("points lost", ratings, 0.3), ratings))
        return readings

    def _luck(self, day: date) -> float:
        """How the month goes, from 0.5 (well) to 1.5; those who excel do in every month."""
        return 1 if self._person.excels else 0.5 + chance(self._seed, "luck", self._person.number, day.month).random()

    def _fact(self, day: date, source: str, readings: list[Reading]) -> Fact:
        return Fact(employee_id=self._person.employee_id, date=day.isoformat(), source=source, readings=readings)

    def _share(self, what: str, count: int, rate: float) -> int:
        return self._even[what].take(count, rate)

    def _between(self, low: float, high: float) -> float:
        return low + (high - low) * self._chance.random()


def _ratio(kpi_id: str, numerator: int, denominator: int) -> Reading:
    return Reading(kpi_id=kpi_id, numerators=[numerator], denominators=[denominator])
