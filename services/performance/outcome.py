"""What a record counts as: its measures, and the score or the offence by the rules of its day. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.days import ONE_DAY, parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.facts.employee import LEFT
from libs.facts.values import decimal
from stepladder.performance.v1.policy_pb2 import Form, Policy, RuleBook
from stepladder.performance.v1.record_pb2 import (
    Attendance,
    Complaint,
    Evaluation,
    Leave,
    Outcome,
    Record,
    Training,
    Violation,
)

MEASURES = (
    LEFT,
    "attendance.scheduled",
    "attendance.worked",
    "attendance.late",
    "leave.days",
    "complaint.received",
    "complaint.justified",
    "training.assigned",
    "training.attended",
    "exam.taken",
    "exam.passed",
    "exam.score",
    "commendation.count",
    "evaluation.count",
    "evaluation.fatal",
    "evaluation.items",
    "evaluation.misses",
    "evaluation.score",
    "conduct.points",
)
"""What records count as, and the directory. Stored for ever. No KPI has such an id: ids have no points."""

LONGEST_LEAVE = timedelta(days=366)


def policy_of(record: Record) -> str:
    """Id of the form or rule book that a record is under; empty if it is under none."""
    return record.evaluation.form_id or record.violation.rule_book_id


def outcome_of(record: Record, policy: Policy) -> Outcome:
    """What a record counts as.

    Args:
        policy: the version of its form or rule book on its day; any other for a record without.

    Raises Invalid or NotFound with the reasons of `RecordRejection`.
    """
    match record.WhichOneof("content"):
        case "attendance":
            return _counted(record.date, _attendance(record.attendance))
        case "leave":
            return Outcome(measures=_leave(record.date, record.leave))
        case "complaint":
            justified = record.complaint.finding == Complaint.FINDING_JUSTIFIED
            return _counted(record.date, {"complaint.received": 1, "complaint.justified": int(justified)})
        case "training":
            return _counted(record.date, _training(record.training))
        case "commendation":
            return _counted(record.date, {"commendation.count": 1})
        case "evaluation":
            return _evaluation(record.date, record.evaluation, policy)
        case "violation":
            return _violation(record.violation, policy)
        case unknown:
            raise ValueError(f"a record of unknown kind: {unknown}")


def _counted(day: str, values: Mapping[str, int]) -> Outcome:
    return Outcome(measures=[Outcome.Measure(name=name, date=day, value=value) for name, value in values.items()])


def _attendance(attendance: Attendance) -> dict[str, int]:
    start, end = _seconds(attendance.shift_start), _seconds(attendance.shift_end)
    worked, begun, last = 0, end, 0
    for index, span in enumerate(attendance.worked):
        since, until = _seconds(span.start), _seconds(span.end)
        if until <= since or (index and since < last):
            message = "must end after it begins, and begin after the one before it has ended"
            field = f"attendance.worked[{index}]"
            raise Invalid("WORKED_INVALID", f"{field} {message}", (FieldViolation(field, message),))
        last = until
        begun = min(begun, since)
        worked += max(0, min(until, end) - max(since, start))
    return {
        "attendance.scheduled": end - start,
        "attendance.worked": worked,
        "attendance.late": int(begun > start),
    }


def _seconds(moment: Timestamp) -> int:
    return moment.seconds


def _leave(first: str, leave: Leave) -> list[Outcome.Measure]:
    day, last = date.fromisoformat(first), parse_day(leave.end_date, "leave.end_date")
    if not day <= last <= day + LONGEST_LEAVE:
        message = f"must lie between {day} and a year later"
        raise Invalid("DATE_INVALID", f"leave.end_date {message}", (FieldViolation("leave.end_date", message),))
    days = [day + index * ONE_DAY for index in range((last - day).days + 1)]
    return [Outcome.Measure(name="leave.days", date=one.isoformat(), value=1) for one in days]


def _training(training: Training) -> dict[str, int]:
    values = {"training.assigned": 1, "training.attended": int(training.attended)}
    if training.HasField("exam"):
        score = int(Decimal(training.exam.score) * 100)
        values |= {"exam.taken": 1, "exam.passed": int(training.exam.passed), "exam.score": score}
    return values


def _evaluation(day: str, evaluation: Evaluation, policy: Policy) -> Outcome:
    """The score is the weighted mean of what was achieved of the items that applied, or 0 if a fatal one was missed."""
    items = {item.item_id: item for section in policy.form.sections for item in section.items}
    answers = _answers(evaluation.answers, items)
    applied = [answers[item_id] for item_id in items if not answers[item_id].not_applicable]
    if not applied:
        raise Invalid("ITEM_MISSING", "no item applies to the contact: it cannot be evaluated on this form")
    fatal = [one.item_id for one in applied if items[one.item_id].fatal and one.achieved < 100]
    others = [one for one in applied if not items[one.item_id].fatal]
    weights = sum((Fraction(items[one.item_id].weight) for one in applied), Fraction())
    achieved = sum((Fraction(items[one.item_id].weight) * one.achieved for one in applied), Fraction())
    mean = achieved / weights if weights else Fraction(100)  # only fatal items of no weight applied
    score = decimal(Fraction() if fatal else mean, 2)
    outcome = _counted(
        day,
        {
            "evaluation.count": 1,
            "evaluation.fatal": int(bool(fatal)),
            "evaluation.items": len(others),
            "evaluation.misses": sum(one.achieved < 100 for one in others),
            "evaluation.score": int(Decimal(score) * 100),
        },
    )
    outcome.policy_position, outcome.score = policy.log_position, score
    outcome.fatal_item_ids.extend(fatal)
    return outcome


def _answers(given: Sequence[Evaluation.Answer], items: Mapping[str, Form.Item]) -> dict[str, Evaluation.Answer]:
    """The answers by item; one for each item of the form."""
    answers = {answer.item_id: answer for answer in given}
    if strangers := [answer.item_id for answer in given if answer.item_id not in items]:
        raise NotFound("ITEM_NOT_FOUND", f"the form has no item {', '.join(strangers)}")
    if len(answers) < len(given):
        raise Invalid("ITEM_TWICE", "an item is answered twice")
    if missing := [item_id for item_id in items if item_id not in answers]:
        raise Invalid("ITEM_MISSING", f"no answer to {', '.join(missing)}: say `not_applicable` if that is meant")
    return answers


def _violation(violation: Violation, policy: Policy) -> Outcome:
    """What it costs depends on those before it: see `conduct`."""
    book: RuleBook = policy.rule_book
    offence = next((one for one in book.offences if one.offence_id == violation.offence_id), None)
    if offence is None:
        raise NotFound("OFFENCE_NOT_FOUND", f"the rule book has no offence {violation.offence_id}")
    return Outcome(policy_position=policy.log_position, offence=offence)
