"""The records of a made-up centre: evaluations, violations, shifts, leave, complaints, courses, praise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from stepladder.performance.v1.policy_pb2 import Form, Offence, Policy, RuleBook
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
from tests.year.ledger import Acknowledge, Appeal, Decide, Revoke, Rewrite, Step, Write, days_of

SITE = ZoneInfo("Europe/Riga")
SHIFTS = [(8, 0, 8), (13, 30, 9), (22, 0, 8), (23, 30, 6), (0, 30, 8)]
"""Hour and minute of the beginning at the site, and hours until the end, by the clock on its wall."""
CLOCK_CHANGES = {date(2025, 3, 29), date(2025, 10, 25)}
"""Nights on which an hour is missing, or there twice."""
OFFENCES = {"house": ["seat", "phone", "noise", "idle", "leak", "badge"], "floor": ["phone", "noise"]}


@dataclass
class Papers:
    """`prefix` is that of the centre's ids; `works` says whether somebody is at work on a day."""

    seed: int
    prefix: str
    works: Callable[[str, date], bool]
    mistakes: float = 1
    """As many times as otherwise one is wrong, late or contested, and put right later."""
    forms: list[Policy] = field(default_factory=list)
    """Those said, by day."""
    count: int = 0

    def __post_init__(self) -> None:
        self.chance = Random(f"records {self.seed}")

    def named(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def policies(self, first: str) -> Iterator[tuple[str, Policy]]:
        """Forms and rule books, each with the month in which it is said."""
        since = "2024-01-01"
        yield first, self.form("calls", since, [("greeting", "20"), ("solution", "50.5"), ("tone", "29.5")], "identity")
        yield first, self.form("chat", since, [("answer", "1"), ("speed", "1"), ("spelling", "1")])
        yield (
            "2025-05",
            self.form("calls", "2025-05-12", [("greeting", "7"), ("solution", "11"), ("summary", "3.3")], "tone"),
        )
        yield first, self.book("house", since, phone=(3, 12, 1, 0), noise=(2, 3, 2, 3))
        yield first, self.book("floor", since, phone=(5, 2, 0, 0), noise=(1, 0, 1, 1))
        yield "2025-03", self.book("house", "2025-03-17", phone=(4, 1, 1, 2), noise=(2, 6, 1, 1))

    def form(self, name: str, since: str, items: Sequence[tuple[str, str]], fatal: str = "") -> Policy:
        """With two fatal items if one is named: that one, which weighs something, and another that weighs nothing."""
        weighed = [Form.Item(item_id=one, display_name=one, weight=weight) for one, weight in items]
        fatal_items = [
            Form.Item(item_id=one, display_name=one, weight=weight, fatal=True)
            for one, weight in [(fatal, "12.5"), ("privacy", "0")]
            if fatal
        ]
        sections = [Form.Section(display_name="內容 · Saturs", items=weighed)]
        if fatal_items:
            sections.append(Form.Section(display_name="致命項", items=fatal_items))
        return Policy(policy_id=self.named(name), effective_date=since, form=Form(sections=sections))

    def book(self, name: str, since: str, **changed: tuple[int, int, int, int]) -> Policy:
        """Points, months until they lapse, warnings, and within how many months, of those that change."""
        rules = {"seat": (1, 6, 0, 0), "idle": (10, 0, 0, 0), "leak": (8, 1, 0, 0), "badge": (0, 0, 0, 0)} | changed
        offences = [
            Offence(
                offence_id=one,
                display_name=one,
                points=rules[one][0],
                lapse_months=rules[one][1],
                warnings=rules[one][2],
                warning_months=rules[one][3],
                dismissal_grade=one == "leak",
            )
            for one in OFFENCES[name]
        ]
        return Policy(policy_id=self.named(name), effective_date=since, rule_book=RuleBook(offences=offences))

    def hear(self, policy: Policy) -> None:
        """A form is in use from its day on."""
        if policy.HasField("form"):
            self.forms.append(policy)

    def of_month(self, month: str, employee_ids: Sequence[str]) -> Iterator[Record]:
        """Employee by employee, day by day."""
        for employee_id in employee_ids:
            for day in days_of(month):
                if self.works(employee_id, day):
                    for fill in self.of_day(day):
                        yield self.record(fill, employee_id, day)

    def of_day(self, day: date) -> Iterator[Callable[[Record, date], None]]:
        """What is written of somebody on a day."""
        chance, monday_to_friday = self.chance, day.weekday() < 5
        if day in CLOCK_CHANGES or (monday_to_friday and chance.random() < 0.16):
            yield self.attendance
        for fill, often in [
            (self.evaluation, 0.09),
            (self.violation, 0.02),
            (self.complaint, 0.02),
            (self.training, 0.006),
            (self.commendation, 0.006),
            (self.leave, 0.006),
        ]:
            if monday_to_friday and chance.random() < often:
                yield fill

    def record(self, fill: Callable[[Record, date], None], employee_id: str, day: date) -> Record:
        # Ids in another order than that of the days.
        self.count += 1
        record_id = self.named(f"r-{self.chance.randrange(10**6):06}-{self.count}")
        record = Record(record_id=record_id, employee_id=employee_id, date=day.isoformat(), note="так записано · 記録")
        fill(record, day)
        return record

    def attendance(self, record: Record, day: date) -> None:
        """On time, late, gone early, with a break, or not there."""
        chance = self.chance
        hour, minute, hours = (22, 0, 8) if day in CLOCK_CHANGES else chance.choice(SHIFTS)
        start = datetime(day.year, day.month, day.day, hour, minute, tzinfo=SITE)
        begun, ended = int(start.timestamp()), int((start + timedelta(hours=hours)).timestamp())
        came = begun + chance.choice([0, 0, -600, -1, 1, 900, 5000])
        left = ended + chance.choice([0, 0, 600, -1, -1800, -7000])
        middle = (came + left) // 2
        worked = chance.choice([[(came, left)]] * 6 + [[(came, middle), (middle + 1200, left)], []])
        record.attendance.CopyFrom(
            Attendance(
                shift_start=Timestamp(seconds=begun),
                shift_end=Timestamp(seconds=ended),
                worked=[
                    Attendance.Worked(start=Timestamp(seconds=one), end=Timestamp(seconds=other))
                    for one, other in worked
                ],
            )
        )

    def evaluation(self, record: Record, day: date) -> None:
        chance = self.chance
        form_id = chance.choice([self.named("calls"), self.named("calls"), self.named("chat")])
        *_, form = [one for one in self.forms if one.policy_id == form_id and one.effective_date <= day.isoformat()]
        items = [item for section in form.form.sections for item in section.items]
        left_out = {item.item_id for item in items if chance.random() < 0.15}
        left_out.discard(items[0].item_id)  # something applies
        record.evaluation.CopyFrom(
            Evaluation(
                form_id=form_id,
                contact_id=f"call-{self.count}",
                evaluator_id=self.named("e-0001"),
                answers=[
                    Evaluation.Answer(item_id=item.item_id, not_applicable=True)
                    if item.item_id in left_out
                    else Evaluation.Answer(item_id=item.item_id, achieved=chance.choice([100] * 6 + [99, 50, 0]))
                    for item in items
                ],
            )
        )

    def violation(self, record: Record, _: date) -> None:
        book = self.chance.choice(["house", "house", "floor"])
        offence = self.chance.choice(OFFENCES[book])
        record.violation.CopyFrom(Violation(rule_book_id=self.named(book), offence_id=offence))

    def complaint(self, record: Record, _: date) -> None:
        kinds = [Complaint.FINDING_UNSPECIFIED, Complaint.FINDING_JUSTIFIED, Complaint.FINDING_UNJUSTIFIED]
        record.complaint.CopyFrom(Complaint(finding=self.chance.choice(kinds), contact_id="call-1"))

    def training(self, record: Record, _: date) -> None:
        chance = self.chance
        exam = chance.choice([None, Training.Exam(score=chance.choice(["71", "88.5", "99.99"]), passed=True)])
        record.training.CopyFrom(Training(course_id="telephone", attended=exam is not None or chance.random() < 0.5))
        if exam is not None:
            record.training.exam.CopyFrom(exam)

    def commendation(self, record: Record, _: date) -> None:
        record.commendation.CopyFrom(Commendation(kind="customer"))

    def leave(self, record: Record, day: date) -> None:
        kind = self.chance.choice([Leave.KIND_ANNUAL, Leave.KIND_SICK, Leave.KIND_PARENTAL, Leave.KIND_UNPAID])
        last = day + timedelta(days=self.chance.choice([0, 2, 9, 40]))
        record.leave.CopyFrom(Leave(kind=kind, end_date=last.isoformat()))

    def other(self, record: Record) -> Record:
        """The same kind of record of the same person and day, as it might be too."""
        found, day = Record(), date.fromisoformat(record.date)
        found.CopyFrom(record)
        getattr(self, record.WhichOneof("content") or "")(found, day)
        return found

    def steps(self, record: Record, reviewer_id: str, later: Callable[[Step], None]) -> Iterator[Step]:
        """A record, and what becomes of it; `later` gets what is said in a month behind it, or at the end."""
        chance, record_id = self.chance, record.record_id
        what = chance.random() / self.mistakes if self.mistakes else 1
        contested = record.employee_id not in {reviewer_id, self.named("e-0001")}
        if what < 0.004:
            later(Write(record))
            return
        yield Write(record)
        if what < 0.008:
            later(Rewrite(self.other(record)))
        elif what < 0.012:
            later(Revoke(record_id))
        elif what < 0.016:
            yield Rewrite(self.other(record))
        elif what < 0.026:
            yield Acknowledge(record_id, record.employee_id)
        elif what < 0.044 and contested:
            items = self.contested_items(record) if chance.random() < 0.7 else ()
            yield Appeal(record_id, reviewer_id, items)
            overturned = chance.random() < 0.6
            some = items[:1] if overturned and chance.random() < 0.5 else ()
            if chance.random() < 0.8:
                later(Decide(record_id, reviewer_id, overturned, some))

    def contested_items(self, record: Record) -> tuple[str, ...]:
        """Two of an evaluation's items that apply."""
        applying = [one.item_id for one in record.evaluation.answers if not one.not_applicable]
        return tuple(self.chance.sample(applying, min(len(applying), 2)))
