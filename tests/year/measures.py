"""What records count as, and conduct points, worked out by hand out of the comments of record.proto."""

from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from math import floor

from stepladder.performance.v1.policy_pb2 import Offence
from stepladder.performance.v1.record_pb2 import Complaint, Conduct, CountedViolation, Record
from tests.year.ledger import Key, Ledger, Paper


def measures(ledger: Ledger, employee_id: str) -> Iterator[tuple[Key, int]]:
    """Of every record of an employee that stands, by employee, day, record and name."""
    for record_id, paper in ledger.papers[employee_id].items():
        if paper.stands and not paper.record.HasField("violation"):
            for name, day, value in of_record(paper):
                yield (employee_id, day, record_id, name), value
    for violation in counted(ledger, employee_id, date.max):
        if not violation.warning:
            day = date.fromisoformat(violation.date)
            yield (employee_id, day, violation.record_id, "conduct.points"), violation.points


def of_record(paper: Paper) -> Iterator[tuple[str, date, int]]:
    """Name, day and value."""
    record, day = paper.record, date.fromisoformat(paper.record.date)
    match record.WhichOneof("content"):
        case "attendance":
            for name, value in of_attendance(record):
                yield name, day, value
        case "leave":
            while day <= date.fromisoformat(record.leave.end_date):
                yield "leave.days", day, 1
                day += timedelta(days=1)
        case "complaint":
            yield "complaint.received", day, 1
            yield "complaint.justified", day, int(record.complaint.finding == Complaint.FINDING_JUSTIFIED)
        case "training":
            yield "training.assigned", day, 1
            yield "training.attended", day, int(record.training.attended)
            if record.training.HasField("exam"):
                yield "exam.taken", day, 1
                yield "exam.passed", day, int(record.training.exam.passed)
                yield "exam.score", day, int(Fraction(record.training.exam.score) * 100)
        case "commendation":
            yield "commendation.count", day, 1
        case "evaluation":
            for name, value in of_evaluation(paper):
                yield name, day, value


def of_attendance(record: Record) -> Iterator[tuple[str, int]]:
    """In seconds."""
    start, end = record.attendance.shift_start.seconds, record.attendance.shift_end.seconds
    worked = 0
    for part in record.attendance.worked:
        worked += max(0, min(end, part.end.seconds) - max(start, part.start.seconds))
    came = [part.start.seconds for part in record.attendance.worked]
    yield "attendance.scheduled", end - start
    yield "attendance.worked", worked
    yield "attendance.late", int(not came or min(came) > start)


def of_evaluation(paper: Paper) -> Iterator[tuple[str, int]]:
    """The score in hundredths of a per cent."""
    assert paper.rules is not None
    items = {item.item_id: item for section in paper.rules.form.sections for item in section.items}
    fatal = misses = applied = 0
    weights = reached = Fraction(0)
    for answer in paper.record.evaluation.answers:
        if answer.not_applicable:
            continue
        item = items[answer.item_id]
        achieved = 100 if answer.item_id in paper.overturned else answer.achieved
        weights += Fraction(item.weight)
        reached += Fraction(item.weight) * achieved
        if item.fatal:
            fatal |= achieved < 100
        else:
            applied += 1
            misses += achieved < 100
    yield "evaluation.count", 1
    yield "evaluation.fatal", fatal
    yield "evaluation.items", applied
    yield "evaluation.misses", misses
    yield "evaluation.score", 0 if fatal else floor(reached / weights * 100 + Fraction(1, 2))


def conduct(ledger: Ledger, employee_id: str, as_of: date) -> Conduct:
    """The running total on a day."""
    violations = counted(ledger, employee_id, as_of)
    standing = [violation for violation in violations if not violation.lapsed]
    return Conduct(
        employee_id=employee_id,
        points=sum(violation.points for violation in standing),
        dismissal_grade=any(violation.dismissal_grade for violation in standing),
        violations=violations,
    )


def counted(ledger: Ledger, employee_id: str, as_of: date) -> list[CountedViolation]:
    """Violations up to a day, those of one day by their ids."""
    papers = [
        paper
        for paper in ledger.papers[employee_id].values()
        if paper.stands and paper.record.HasField("violation") and date.fromisoformat(paper.record.date) <= as_of
    ]
    papers.sort(key=lambda paper: (paper.record.date, paper.record.record_id))
    found: list[CountedViolation] = []
    for index, paper in enumerate(papers):
        offence, day = offence_of(paper), date.fromisoformat(paper.record.date)
        times = 0
        for before in papers[:index]:
            same = before.record.violation == paper.record.violation
            recent = date.fromisoformat(before.record.date) >= months_after(day, -offence.warning_months)
            times += same and (recent or not offence.warning_months)
        warning = times < offence.warnings
        lapse = months_after(day, offence.lapse_months) if offence.lapse_months else None
        found.append(
            CountedViolation(
                record_id=paper.record.record_id,
                date=paper.record.date,
                offence_id=offence.offence_id,
                points=0 if warning else offence.points,
                warning=warning,
                lapse_date="" if lapse is None else lapse.isoformat(),
                lapsed=lapse is not None and lapse <= as_of,
                dismissal_grade=offence.dismissal_grade and not warning,
                disputed=paper.appealed is not None,
            )
        )
    return found


def offence_of(paper: Paper) -> Offence:
    assert paper.rules is not None
    offences = {offence.offence_id: offence for offence in paper.rules.rule_book.offences}
    return offences[paper.record.violation.offence_id]


def months_after(day: date, months: int) -> date:
    """The same day so many months on, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for number in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, number)
        except ValueError:
            continue
    raise AssertionError(day)
