"""Sessions with one person of the sample centre: interviews about months, and listening in; most held in time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from libs.cli.sample_people import STRUGGLES, Calendar, Person, Story, chance, first_day, month_number
from stepladder.coaching.v1.session_pb2 import (
    AcknowledgeSessionRequest,
    AgreedAction,
    FollowUpActionRequest,
    HoldSessionRequest,
    MissSessionRequest,
    ScheduleSessionRequest,
    Session,
)

MONTHS = 3
"""Months with interviews, the last ones that are over."""
VISITS = 4
"""How often somebody with a trouble, or new, is listened in on, every other week."""

OBSERVED = (
    "Listened to three calls of the month: in two the customer had to repeat the account number.",
    "Went through the scorecard together: calls are solved, the notes behind them are short.",
    "Heard two complaint calls: calm from the first word, and the way to a solution was named at once.",
    "Sat beside for an hour: four screens for one address change, three of them not needed.",
    "一起听了两通录音：解释清楚，但没有确认客户是否听懂。",
)
FEEDBACK = (
    "Keep the calm opening. Read the number back once, so that nobody has to repeat it.",
    "Keep solving in one call. Write what was promised and by when, in one line.",
    "Others should hear how you name the next step. Leave a pause before you do.",
    "Keep the friendly tone. Use the short form for address changes; I showed you where it is.",
    "保持耐心。结束前请用一句话确认客户的需求。",
)
ACTIONS = (
    "Listen to the two recordings again and note what you would say now.",
    "Try the short form for a week and tell how it went.",
    "Sit beside a colleague for one shift.",
    "复习新产品的资费说明。",
)
LEADS_ACTIONS = ("Book the course on difficult calls.", "Ask for access to the short form.")
WORDS = ("Agreed.", "That helped; I did not notice it myself.", "The calls were hard that week.", "明白了，我会注意。")
ABSENCES = ((Session.PARTY_EMPLOYEE, "Was ill that day."), (Session.PARTY_LEAD, "A shift was short of people."))


Told = HoldSessionRequest | MissSessionRequest | AcknowledgeSessionRequest | FollowUpActionRequest


@dataclass(frozen=True)
class Talk:
    """A session, and what is told of it once it is scheduled: by whom, without its id, which the answer has."""

    schedule: ScheduleSessionRequest
    told: Sequence[tuple[str, Told]] = ()


class Talks:
    """Makes the sessions of one person with who leads them at the end."""

    def __init__(self, seed: int, person: Person, lead_id: str, calendar: Calendar) -> None:
        self._person = person
        self._lead_id = lead_id
        self._calendar = calendar
        self._chance = chance(seed, "talks", person.number)

    def told(self) -> Iterator[Talk]:
        """Nobody is talked to before they are hired, or after their last day."""
        person, end = self._person, self._calendar.end
        over = month_number(end + timedelta(days=1))
        for month in range(over - MONTHS, over):
            day = _weekday(first_day(month + 1), 1 + self._chance.randrange(5))
            if person.hired < first_day(month + 1) and day <= person.last_day + timedelta(days=7):
                yield from self._talk(day, first_day(month).isoformat()[:7])
        if person.story in STRUGGLES or person.story is Story.NEWCOMER:
            for visit in range(VISITS):
                day = _weekday(end + timedelta(days=4 - 14 * (VISITS - 1 - visit)), 1)
                if day > person.hired:
                    yield from self._talk(day)

    def _talk(self, day: date, month: str = "") -> Iterator[Talk]:
        """An interview about a month, or without one listening in; of some interviews nobody thinks."""
        schedule = ScheduleSessionRequest(
            session_id="" if month else f"listening-in-{self._person.number}-{day:%Y%m%d}",
            employee_id=self._person.employee_id,
            lead_id=self._lead_id,
            kind=Session.KIND_INTERVIEW if month else Session.KIND_SHADOWING,
            month=month,
            date=day.isoformat(),
        )
        luck, end = self._chance.random(), self._calendar.end
        if luck < 0.04 and month:
            return
        held = _weekday(day, 7) if luck > 0.93 else day
        if luck < 0.1 and day <= end:
            party, reason = self._chance.choice(ABSENCES)
            yield Talk(schedule, [(self._lead_id, MissSessionRequest(absent=party, reason=reason))])
        elif held > end:
            yield Talk(schedule)
        else:
            yield self._held(schedule, held)

    def _held(self, schedule: ScheduleSessionRequest, held: date) -> Talk:
        own, end = self._chance, self._calendar.end
        actions = [_action(self._person.employee_id, own.choice(ACTIONS), held + timedelta(days=14))]
        if own.random() < 0.3:
            actions.append(_action(self._lead_id, own.choice(LEADS_ACTIONS), held + timedelta(days=7)))
        hold = HoldSessionRequest(
            held_date=held.isoformat(), observed=own.choice(OBSERVED), feedback=own.choice(FEEDBACK), actions=actions
        )
        told: list[tuple[str, Told]] = [(self._lead_id, hold)]
        if own.random() < (0.95 if held < end - timedelta(days=7) else 0.4):
            told.append((self._person.employee_id, AcknowledgeSessionRequest(words=own.choice(WORDS))))
        for number, action in enumerate(actions, 1):
            if date.fromisoformat(action.due_date) <= end and own.random() < 0.9:
                done = FollowUpActionRequest(number=number, done=own.random() < 0.85, date=action.due_date)
                told.append((self._lead_id, done))
        return Talk(schedule, told)


def _action(owner_id: str, text: str, day: date) -> AgreedAction:
    return AgreedAction(owner_id=owner_id, text=text, due_date=day.isoformat())


def _weekday(day: date, number: int) -> date:
    """The n-th day from Monday to Friday from a day on."""
    while True:
        number -= day.weekday() < 5
        if not number:
            return day
        day += timedelta(days=1)
