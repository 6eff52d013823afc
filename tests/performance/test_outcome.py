"""What records count as: shifts, leave, complaints, courses, praise, evaluations, offences."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.errors import Invalid, NotFound, Refused
from services.performance.outcome import MEASURES, outcome_of, policy_of
from stepladder.performance.v1.policy_pb2 import Form, Offence, Policy, RuleBook
from stepladder.performance.v1.record_pb2 import (
    Attendance,
    Commendation,
    Complaint,
    Evaluation,
    Leave,
    Outcome,
    Record,
    Training,
    Violation,
)

Answer: TypeAlias = Evaluation.Answer
RIGA = ZoneInfo("Europe/Riga")


def measures(outcome: Outcome) -> dict[str, int]:
    assert {one.name for one in outcome.measures} <= set(MEASURES)
    return {one.name: one.value for one in outcome.measures}


def moment(text: str, zone: ZoneInfo = RIGA) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC))
    return timestamp


def shift(start: str, end: str, *worked: tuple[str, str]) -> Record:
    spans = [Attendance.Worked(start=moment(since), end=moment(until)) for since, until in worked]
    attendance = Attendance(shift_start=moment(start), shift_end=moment(end), worked=spans)
    return Record(date=start[:10], attendance=attendance)


@pytest.mark.parametrize(
    ("record", "scheduled", "worked", "late"),
    [
        # A whole shift with a break; work outside the shift does not count.
        (
            shift(
                "2026-03-02T09:00",
                "2026-03-02T17:00",
                ("2026-03-02T08:50", "2026-03-02T12:00"),
                ("2026-03-02T12:30", "2026-03-02T17:10"),
            ),
            8 * 3600,
            7.5 * 3600,
            0,
        ),
        (shift("2026-03-02T09:00", "2026-03-02T17:00", ("2026-03-02T09:01", "2026-03-02T17:00")), 28800, 28740, 1),
        (shift("2026-03-02T09:00", "2026-03-02T17:00"), 28800, 0, 1),
        # Across midnight, on the day on which it began.
        (shift("2026-03-02T22:00", "2026-03-03T06:00", ("2026-03-02T22:00", "2026-03-03T06:00")), 28800, 28800, 0),
        # The night on which the clock goes forward is an hour shorter, the other an hour longer.
        (shift("2026-03-28T22:00", "2026-03-29T06:00", ("2026-03-28T22:00", "2026-03-29T06:00")), 25200, 25200, 0),
        (shift("2026-10-24T22:00", "2026-10-25T06:00", ("2026-10-24T22:00", "2026-10-25T06:00")), 32400, 32400, 0),
    ],
)
def test_attendance(record: Record, scheduled: int, worked: float, late: int) -> None:
    """Seconds of the shift as planned and as worked within it, whatever the clock does."""
    assert measures(outcome_of(record, Policy())) == {
        "attendance.scheduled": scheduled,
        "attendance.worked": worked,
        "attendance.late": late,
    }


@pytest.mark.parametrize(
    "worked",
    [
        [("2026-03-02T12:00", "2026-03-02T09:00")],
        [("2026-03-02T09:00", "2026-03-02T12:00"), ("2026-03-02T11:59", "2026-03-02T13:00")],
    ],
)
def test_work_that_cannot_be(worked: list[tuple[str, str]]) -> None:
    """Backwards, or twice at a time."""
    with pytest.raises(Invalid) as refused:
        outcome_of(shift("2026-03-02T09:00", "2026-03-02T17:00", *worked), Policy())
    assert refused.value.reason == "WORKED_INVALID"


def test_leave() -> None:
    """A day counts on each of its days, leap day included; at most a year."""
    leave = Record(date="2028-02-28", leave=Leave(kind=Leave.KIND_SICK, end_date="2028-03-01"))
    assert [(one.date, one.value) for one in outcome_of(leave, Policy()).measures] == [
        ("2028-02-28", 1),
        ("2028-02-29", 1),
        ("2028-03-01", 1),
    ]
    for end in ("2028-02-27", "2029-03-02", "2027-02-29"):
        leave.leave.end_date = end
        with pytest.raises(Invalid) as refused:
            outcome_of(leave, Policy())
        assert refused.value.reason == "DATE_INVALID"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record(complaint=Complaint()), {"complaint.received": 1, "complaint.justified": 0}),
        (
            Record(complaint=Complaint(finding=Complaint.FINDING_JUSTIFIED)),
            {"complaint.received": 1, "complaint.justified": 1},
        ),
        (Record(training=Training(course_id="c")), {"training.assigned": 1, "training.attended": 0}),
        (
            Record(training=Training(course_id="c", attended=True, exam=Training.Exam(score="87.5", passed=True))),
            {
                "training.assigned": 1,
                "training.attended": 1,
                "exam.taken": 1,
                "exam.passed": 1,
                "exam.score": 8750,
            },
        ),
        (Record(commendation=Commendation(kind="customer")), {"commendation.count": 1}),
    ],
)
def test_counts(record: Record, expected: Mapping[str, int]) -> None:
    record.date = "2026-03-02"
    assert measures(outcome_of(record, Policy())) == expected


FORM = Policy(
    policy_id="calls",
    log_position=7,
    form=Form(
        sections=[
            Form.Section(
                display_name="Opening",
                items=[
                    Form.Item(item_id="greeting", display_name="Greets", weight="10"),
                    Form.Item(item_id="identity", display_name="Checks who calls", weight="0", fatal=True),
                ],
            ),
            Form.Section(
                display_name="Solving",
                items=[Form.Item(item_id="solution", display_name="Solves it", weight="30")],
            ),
        ]
    ),
)


def evaluated(*answers: Answer) -> Record:
    evaluation = Evaluation(form_id="calls", contact_id="c-1", evaluator_id="q-1", answers=answers)
    return Record(record_id="ev-1", employee_id="e-1", date="2026-03-02", evaluation=evaluation)


@pytest.mark.parametrize(
    ("greeting", "identity", "solution", "score", "fatal", "items", "misses"),
    [
        (100, 100, 100, "100.00", 0, 2, 0),
        (0, 100, 100, "75.00", 0, 2, 1),
        (50, 100, 80, "72.50", 0, 2, 2),
        (100, 0, 100, "0.00", 1, 2, 0),
        (100, 99, 100, "0.00", 1, 2, 0),
        (None, 100, 80, "80.00", 0, 1, 1),
        (None, 100, None, "100.00", 0, 0, 0),
    ],
)
def test_evaluation(
    greeting: int | None,
    identity: int | None,
    solution: int | None,
    score: str,
    fatal: int,
    items: int,
    misses: int,
) -> None:
    """The weighted mean of what applied; one fatal miss makes it 0 and is no other miss."""
    given = {"greeting": greeting, "identity": identity, "solution": solution}
    record = evaluated(
        *(
            Answer(item_id=name, not_applicable=True) if value is None else Answer(item_id=name, achieved=value)
            for name, value in given.items()
        )
    )
    outcome = outcome_of(record, FORM)
    assert (outcome.score, list(outcome.fatal_item_ids)) == (score, ["identity"] * fatal)
    assert outcome.policy_position == 7
    assert measures(outcome) == {
        "evaluation.count": 1,
        "evaluation.fatal": fatal,
        "evaluation.items": items,
        "evaluation.misses": misses,
        "evaluation.score": round(float(score) * 100),
    }


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (["greeting", "identity"], "ITEM_MISSING"),
        (["greeting", "identity", "solution", "other"], "ITEM_NOT_FOUND"),
        (["greeting", "identity", "solution", "greeting"], "ITEM_TWICE"),
    ],
)
def test_answers_that_do_not_fit_the_form(answers: list[str], reason: str) -> None:
    """Each is refused with the items."""
    with pytest.raises(Refused) as refused:
        outcome_of(evaluated(*(Answer(item_id=one) for one in answers)), FORM)
    assert refused.value.reason == reason


def test_nothing_applies() -> None:
    """Says nothing about the contact: refused."""
    names = ("greeting", "identity", "solution")
    record = evaluated(*(Answer(item_id=name, not_applicable=True) for name in names))
    with pytest.raises(Invalid) as refused:
        outcome_of(record, FORM)
    assert refused.value.reason == "ITEM_MISSING"


def test_violation() -> None:
    """The offence as the rule book of the day has it; what it counts depends on others."""
    offence = Offence(offence_id="phone", display_name="Own phone at the seat", points=3)
    book = Policy(policy_id="rules", log_position=9, rule_book=RuleBook(offences=[offence]))
    record = Record(date="2026-03-02", violation=Violation(rule_book_id="rules", offence_id="phone"))
    outcome = outcome_of(record, book)
    assert (outcome.offence, outcome.policy_position, list(outcome.measures)) == (offence, 9, [])
    record.violation.offence_id = "none"
    with pytest.raises(NotFound) as refused:
        outcome_of(record, book)
    assert refused.value.reason == "OFFENCE_NOT_FOUND"


def test_under_which_policy() -> None:
    assert policy_of(evaluated()) == "calls"
    assert policy_of(Record(violation=Violation(rule_book_id="rules"))) == "rules"
    assert policy_of(shift("2026-03-02T09:00", "2026-03-02T17:00")) == ""


def test_the_longest_shift_is_a_day() -> None:
    """Known to the contract; here only that a long one adds up."""
    day = moment("2026-03-02T00:00")
    end = Timestamp()
    end.FromDatetime(day.ToDatetime() + timedelta(hours=24))
    record = Record(date="2026-03-02", attendance=Attendance(shift_start=day, shift_end=end))
    assert measures(outcome_of(record, Policy()))["attendance.scheduled"] == 86400
