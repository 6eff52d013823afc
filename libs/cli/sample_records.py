"""What people write down about one agent of the sample centre: shifts, leave, evaluations, complaints, conduct."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo

from google.protobuf.message import Message

from libs.cli.sample_people import Person, Story, chance
from libs.common.days import timestamp
from stepladder.performance.v1.record_pb2 import (
    Attendance,
    Commendation,
    Complaint,
    Evaluation,
    Leave,
    Record,
    Training,
    Violation,
)

SHIFT = timedelta(hours=9)
"""With the hour of rest in the middle, which is paid."""

FATAL_ITEMS = {
    "identity": "Told the balance before asking who is calling.",
    "correct": "Named the old fee; it changed last month.",
}
ITEMS = {"greeting": 1, "understanding": 2, "solution": 2, "summary": 5, "record": 4}
"""The other items of the form, and how often each is missed against the others."""

OFFENCES = ("seat-untidy", "badge", "badge", "noise", "noise", "own-phone")

COMPLAINTS = (
    "Was not called back as promised.",
    "Felt rushed.",
    "Had to explain everything twice.",
    "一直没有人回电。",
)


class Recording:
    """Makes the records of one agent; what is told for a day is told once.

    Args:
        zone: of the clocks at the site.
        reviewers: employees who evaluate.
    """

    def __init__(self, seed: int, person: Person, zone: tzinfo, reviewers: Sequence[str]) -> None:
        self._person = person
        self._zone = zone
        self._reviewers = reviewers
        self._chance = chance(seed, "records", person.number)
        self._course = 0

    def shift(self, day: date, hour: int, *, absent: bool) -> Record:
        """A shift, attended from the beginning to the end, more or less."""
        start = datetime.combine(day, time(hour), self._zone)
        late = self._chance.randrange(4, 25) if self._chance.random() < 0.03 else 0
        attendance = Attendance(shift_start=timestamp(start), shift_end=timestamp(start + SHIFT))
        if not absent:
            attendance.worked.add(start=timestamp(start + timedelta(minutes=late)), end=timestamp(start + SHIFT))
        return self._record("shift", day, attendance=attendance)

    def leave(self, first: date, days: int) -> Record:
        """Leave of so many days; the long one is for a child."""
        kind = Leave.KIND_PARENTAL if days > 30 else Leave.KIND_ANNUAL
        last = first + timedelta(days=days - 1)
        return self._record("leave", first, leave=Leave(kind=kind, end_date=last.isoformat()))

    def evaluations(self, day: date, *, count: int, fatal: int, missed: int) -> Iterator[Record]:
        """Contacts of a day scored on the form: so many with a fatal error, so many of the other items missed."""
        misses: set[tuple[int, str]] = set()
        while len(misses) < min(missed, count * len(ITEMS)):
            (item,) = self._chance.choices(list(ITEMS), list(ITEMS.values()))
            misses.add((self._chance.randrange(count), item))
        for number in range(count):
            achieved: Mapping[str, int] = {
                item: self._chance.choice((0, 50)) for item in ITEMS if (number, item) in misses
            }
            note = ""
            if number < fatal:
                (item, note) = self._chance.choice(list(FATAL_ITEMS.items()))
                achieved = {**achieved, item: 0}
            yield self._record(
                f"evaluation{number + 1}",
                day,
                note,
                evaluation=Evaluation(
                    form_id="calls-form",
                    contact_id=f"call-{day:%y%m%d}-{self._chance.randrange(10_000):04}",
                    evaluator_id=self._reviewers[number % len(self._reviewers)],
                    answers=[
                        Evaluation.Answer(item_id=item, achieved=achieved.get(item, 100))
                        for item in (*FATAL_ITEMS, *ITEMS)
                    ],
                ),
            )

    def complaints(self, day: date, count: int) -> Iterator[Record]:
        for number in range(count):
            found = Complaint.FINDING_JUSTIFIED if self._chance.random() < 0.6 else Complaint.FINDING_UNJUSTIFIED
            note = self._chance.choice(COMPLAINTS)
            yield self._record(f"complaint{number + 1}", day, note, complaint=Complaint(finding=found))

    def seldom(self, day: date) -> Iterator[Record]:
        """What happens now and then: a course each quarter, praise, an offence."""
        person, quarter = self._person, (day.month - 1) // 3 + 4 * day.year
        if quarter != self._course and (day.month % 3 == 2 or person.story is Story.NEWCOMER):
            self._course = quarter
            points = self._chance.randrange(52, 100) if person.trouble(day) < 0.5 else self._chance.randrange(40, 80)
            course = "onboarding" if person.story is Story.NEWCOMER else "product-knowledge"
            exam = Training.Exam(score=str(points), passed=points >= 60)
            yield self._record("course", day, training=Training(course_id=course, attended=True, exam=exam))
        if self._chance.random() < (0.025 if person.excels else 0.002):
            yield self._record("praise", day, commendation=Commendation(kind="customer-thanks"))
        if not person.excels and self._chance.random() < 0.003:
            offence = self._chance.choice(OFFENCES)
            violation = Violation(rule_book_id="floor-rules", offence_id=offence)
            yield self._record("violation", day, violation=violation)

    def _record(self, what: str, day: date, note: str = "", **content: Message) -> Record:
        employee_id = self._person.employee_id
        record = Record(
            record_id=f"{what}-{day:%Y%m%d}-{employee_id}", employee_id=employee_id, date=day.isoformat(), note=note
        )
        ((kind, message),) = content.items()
        getattr(record, kind).CopyFrom(message)
        return record
