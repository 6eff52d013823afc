"""A worklist as people read it: what is late, what is due, what waits, and for whom. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from libs.documents.document import Bars, Cell, Document, Section, Table
from stepladder.coaching.v1.worklist_pb2 import GetWorklistRequest, WorkItem, Worklist

TITLES: Mapping[WorkItem.Kind.ValueType, str] = {
    WorkItem.KIND_ASSESS_PLAN: "Assess a plan",
    WorkItem.KIND_DIAGNOSE_PLAN: "Diagnose a plan",
    WorkItem.KIND_ACTIVATE_PLAN: "Set goals and activate a plan",
    WorkItem.KIND_CLOSE_PLAN: "Decide what came of a plan",
    WorkItem.KIND_REVIEW_DRIFT: "Look at facts that changed",
    WorkItem.KIND_GOAL_OVER: "Look at a goal whose deadline is over",
    WorkItem.KIND_SCHEDULE_SESSION: "Schedule a session",
    WorkItem.KIND_HOLD_SESSION: "Hold a session",
    WorkItem.KIND_ACKNOWLEDGE_SESSION: "Acknowledge a session",
    WorkItem.KIND_FOLLOW_UP_ACTION: "Follow up what was agreed",
    WorkItem.KIND_SCHEDULE_INTERVIEW: "Schedule an interview",
    WorkItem.KIND_CHECK_IN: "Check in",
    WorkItem.KIND_ANSWER_SUGGESTION: "Answer a suggestion",
    WorkItem.KIND_ACCEPT_TRAINING: "Accept a training",
    WorkItem.KIND_SCHEDULE_TRAINING: "Schedule a training",
    WorkItem.KIND_HOLD_TRAINING: "Hold a training",
    WorkItem.KIND_CLOSE_TRAINING: "Close a training",
    WorkItem.KIND_SUBMIT_PIP: "Submit a PIP",
    WorkItem.KIND_APPROVE_PIP: "Approve a PIP, or send it back",
    WorkItem.KIND_DELIVER_PIP: "Deliver a PIP",
    WorkItem.KIND_ACKNOWLEDGE_PIP: "Acknowledge a PIP",
    WorkItem.KIND_HOLD_PIP_CHECKPOINT: "Hold a checkpoint of a PIP",
    WorkItem.KIND_PROPOSE_PIP_RESULT: "Propose what came of a PIP",
    WorkItem.KIND_DECIDE_PIP: "Decide a PIP",
    WorkItem.KIND_HEAR_PIP_APPEAL: "Hear an appeal against a PIP",
    WorkItem.KIND_REVIEW_PIP_DRIFT: "Look at facts under a PIP that changed",
    WorkItem.KIND_OVERRIDE_PIP_PRECONDITION: "Waive the coaching before a PIP, or send it back",
    WorkItem.KIND_NAME_PIP_WITNESS: "Name who witnesses that a PIP is refused",
    WorkItem.KIND_WITNESS_PIP_REFUSAL: "Witness that a PIP is refused",
    WorkItem.KIND_NAME_PIP_HEARER: "Name who hears an appeal against a PIP",
    WorkItem.KIND_RESUME_PIP: "Resume a PIP",
    WorkItem.KIND_WITHDRAW_PIP: "Withdraw a PIP, or appoint a lead",
}
"""What is to be done."""


def worklist_document(found: Worklist, request: GetWorklistRequest, names: Mapping[str, str]) -> Document:
    """What a worklist says; `names` of employees and teams by id."""
    person = request.lead_id or request.employee_id
    problems = [one for one in found.items if one.problem]
    counted = [one for one in found.items if not one.problem]
    late = [one for one in counted if one.business_days_late]
    ahead = [one for one in counted if not one.business_days_late and one.due_date]
    due = sorted(ahead, key=lambda one: one.due_date)
    waiting = [one for one in counted if not one.due_date]
    sections = [
        _section("Not to be counted", problems, names, ["Due", "Why"]),
        _section("Late", late, names, ["Due", "Business days late"]),
        _section("Due", due, names, ["Due"]),
        _section("Waiting", waiting, names, []),
    ]
    return Document(
        title=f"Worklist · {names[person] if person else 'HR'}",
        subtitle=f"On {found.date}{'. There is more of some kind than is shown.' if found.more else ''}",
        headlines=[
            ("Late", len(late)),
            ("Due", len(due)),
            ("Waiting", len(waiting)),
            ("Latest, business days", max((one.business_days_late for one in late), default=0)),
        ],
        sections=[one for one in sections if one] or [Section("Nothing", ["Nothing waits."])],
    )


def _section(title: str, items: Sequence[WorkItem], names: Mapping[str, str], when: Sequence[str]) -> Section | None:
    """A table of items, with what is said of when they are due."""
    if not items:
        return None
    rows: list[list[Cell]] = []
    for one in items:
        due: dict[str, Cell] = {"Due": one.due_date, "Business days late": one.business_days_late, "Why": one.problem}
        about = names[one.employee_id or one.team_id]
        waits_for = names[one.waits_for_id] if one.waits_for_id else "HR"
        rows.append([TITLES[one.kind], about, waits_for, one.since_date, *(due[name] for name in when), one.path])
    counts = Counter(TITLES[one.kind] for one in items).most_common()
    bars = Bars(f"What is {title.lower()}", "", [name for name, _ in counts], [Decimal(many) for _, many in counts])
    table = Table(title, ["What", "About", "Waits for", "Since", *when, "Where"], rows)
    return Section(title, charts=[bars] if len(counts) > 1 else [], tables=[table])
