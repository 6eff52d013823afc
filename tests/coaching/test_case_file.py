"""A case file: total order, nothing of others, every event in a sentence, then and now side by side."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from libs.common.eventsourcing import Recorded
from libs.documents.document import Course, shown
from libs.documents.print import pdf_of
from services.coaching import pip_state, plan, session
from services.coaching.case_document import TERMS, WORDS, case_document
from services.coaching.case_file import (
    REFERENCES,
    Case,
    _details,
    about,
    case_file,
    employees_in,
    pip_case,
    plan_case,
    references,
)
from services.coaching.sentences import sentence
from services.performance import detection, facts, kpi, policy, rating, record, target
from stepladder.coaching.v1.case_file_pb2 import CaseEntry, CaseFile
from stepladder.coaching.v1.events_pb2 import (
    PipAppealed,
    PipApproved,
    PipDecided,
    PipDrafted,
    PipDriftReviewed,
    PipEvidenceDrifted,
    PlanActivated,
    PlanAssessed,
    PlanEvidenceDrifted,
    PlanPinsDrifted,
    PlanProposed,
    ReassessmentFellDue,
    SessionHeld,
    SessionScheduled,
)
from stepladder.coaching.v1.measure_pb2 import Measure, Measured, PinDrift
from stepladder.coaching.v1.pip_pb2 import PipContent, PipElement, PipEvidence
from stepladder.coaching.v1.plan_pb2 import Evidence, EvidenceCondition, EvidenceDrift, EvidencePeriod, Goal, GoalResult
from stepladder.common.v1 import rules_pb2
from stepladder.common.v1.envelope_pb2 import CommandNoted, Envelope
from stepladder.performance.v1.events_pb2 import AssessmentGiven, FactRecorded, RecordCreated, UnderperformanceDetected
from stepladder.performance.v1.facts_pb2 import Fact, Reading
from stepladder.performance.v1.record_pb2 import Evaluation, Outcome, Record
from tests.coaching.pips import (
    ACTIVATE,
    AGENT,
    APPEAL,
    FAIL,
    HOLD,
    HR2,
    LEAD,
    NAME_HEARER,
    NEUTRAL,
    PERIOD_OVER,
    UPHOLD,
    after,
    by,
    events_of,
)
from tests.coaching.test_pip import due, not_passed

NOON = datetime(2026, 3, 16, 12, tzinfo=UTC)
PLAN = "log.coaching.plan.p-1"
CASE = Case("p-1", "", "e-1", "e-9", "active", [])
SHOWN = [
    kind
    for module in (pip_state, plan, session, detection, facts, record, rating, policy, target, kpi)
    for kind in get_args(module.Event) or [module.Event]
]
"""Every event of the aggregates that a case may rest on."""


def recorded(position: int, event: Message, subject: str = PLAN, minute: int = 0, actor: str = "user:e-9") -> Recorded:
    time = NOON + timedelta(minutes=minute)
    envelope = Envelope(event_id=f"c-{position}.0", command_id=f"c-{position}", actor=actor)
    envelope.time.FromDatetime(time)
    return Recorded(position, subject, event, envelope)


def fact(employee_id: str = "e-1", *numbers: int) -> FactRecorded:
    reading = Reading(kpi_id="aht", numerators=numbers or [7], denominators=[1] * len(numbers or [7]))
    return FactRecorded(fact=Fact(employee_id=employee_id, date="2026-01-01", source="calls", readings=[reading]))


def resting_on(*positions: int) -> PlanProposed:
    evidence = Evidence(periods=[EvidencePeriod(fact_positions=positions)])
    return PlanProposed(plan_id="p-1", employee_id="e-1", evidence=evidence)


def measured(value: str) -> Measured:
    return Measured(measure=Measure(kpi_id="aht"), start_date="2026-01-01", end_date="2026-01-31", value=value)


def made(*events: Recorded, private: Sequence[str] = ()) -> CaseFile:
    """A file of these events."""
    histories: dict[str, list[Recorded]] = {}
    for one in events:
        histories.setdefault(one.subject, []).append(one)
    missing = references(CASE, histories) - {one.position for one in events}
    return case_file(CASE, histories, missing, private, {"e-1": "Li Wei", "e-9": "Anna"}, NOON)


@pytest.mark.parametrize("kind", SHOWN, ids=lambda kind: str(kind.DESCRIPTOR.name))
def test_every_event_of_a_case_has_its_sentence(kind: type[Message]) -> None:
    """One that ends as sentences do."""
    assert sentence(kind(), lambda one: one).endswith(".")


def test_an_event_of_no_case_has_none() -> None:
    """What is said about one's team in confidence, for one."""
    with pytest.raises(LookupError):
        sentence(AssessmentGiven(), lambda one: one)


def fields_of(descriptor: Any, seen: set[str]) -> Iterator[FieldDescriptor]:
    for field in descriptor.fields:
        yield field
        if field.message_type is not None and field.message_type.full_name not in seen:
            seen.add(field.message_type.full_name)
            yield from fields_of(field.message_type, seen)


def test_every_position_in_an_event_of_a_case_is_followed() -> None:
    """A field that counts, measures or says up to where was looked is named here; any other refers to an event."""
    no_reference = {
        "known_at",
        "numerator",
        "denominator",
        "scale_numerator",
        "scale_denominator",
        "drift_position",
        "seconds",
    }
    kinds = [*get_args(pip_state.Event), *get_args(plan.Event), *get_args(session.Event), *get_args(detection.Event)]
    names = {
        field.name
        for kind in kinds
        for field in fields_of(kind.DESCRIPTOR, set())
        if field.type == FieldDescriptor.TYPE_INT64
    }
    assert names - no_reference <= REFERENCES


def test_every_event_tells_whom_it_is_about() -> None:
    """By its own field, or by that of what it holds; rules are about nobody, and some steps leave it to the plan."""
    rules = {"PolicySet", "DetectionPolicyCreated", "TargetSet", "KpiCreated", "KpiUpdated"}
    silent = rules | {"PlanObserved", "ReassessmentFellDue"}
    for kind in SHOWN:
        event = kind()
        held = [getattr(event, name, None) for name in ("fact", "readings", "record", "detection")]
        for holder in (event, *held):
            if hasattr(holder, "employee_id"):
                holder.employee_id = "e-1"
        assert about(event) == ("" if kind.DESCRIPTOR.name in silent else "e-1"), kind


def test_the_order_is_total_and_that_of_each_stream() -> None:
    """By time; of a stream never out of its order, whatever the clocks of its writers said; in whatever order read."""
    detection_subject = "log.performance.detection.d-1"
    events = [
        recorded(1, fact(), "log.performance.facts.e-1_2026-01", minute=9),
        recorded(2, UnderperformanceDetected(), detection_subject, minute=4),
        recorded(3, resting_on(1), minute=10),
        recorded(4, PlanAssessed(plan_id="p-1", employee_id="e-1"), minute=10),
    ]
    file = made(*events)
    assert [entry.position for entry in file.entries] == [1, 2, 3, 4]
    assert made(*reversed(events[:2]), *events[2:]).entries == file.entries


def test_only_what_the_case_refers_to_is_shown() -> None:
    """Other facts of the month are not; a command that changed nothing is no event of the case, though it was read."""
    facts_subject = "log.performance.facts.e-1_2026-01"
    file = made(
        recorded(1, fact(), facts_subject),
        recorded(2, fact(), facts_subject),
        recorded(3, resting_on(2, 77)),
        recorded(4, CommandNoted()),
    )
    assert [entry.position for entry in file.entries] == [2, 3]
    assert (file.reading.aggregates, file.reading.events) == (2, 4)
    assert list(file.reading.missing_positions) == [77]


def test_nothing_is_told_of_somebody_else_or_of_another_kind() -> None:
    """Whatever positions a case names: that there is an event is said, and counted, and no word of it."""
    file = made(
        recorded(1, fact("e-2"), "log.performance.facts.e-2_2026-01"),
        recorded(2, AssessmentGiven(employee_id="e-1", comment="secret"), "log.performance.assessment.e-1"),
        recorded(3, fact("e-1", 3, 4), "log.performance.facts.e-1_2026-01"),
        recorded(4, resting_on(1, 2, 3)),
    )
    others, kinds, own, _ = file.entries
    assert (others.left_out, kinds.left_out) == (CaseEntry.LEFT_OUT_SOMEBODY_ELSE, CaseEntry.LEFT_OUT_OTHER_KIND)
    assert not others.details
    assert not kinds.details
    assert file.reading.left_out == 2
    assert {one.name: one.value for one in own.details}["fact.readings[0].aht"] == "7 of 2, in 2 samples"
    assert "secret" not in str(file)
    assert "details are left out" in str(case_document(file))


def test_words_that_are_not_for_the_reader_are_left_out() -> None:
    """That a session was held, when and by whom, stays."""
    subject = "log.coaching.session.s-1"
    held = SessionHeld(session_id="s-1", employee_id="e-1", held_date="2026-03-02", feedback="in confidence")
    events = [recorded(1, SessionScheduled(session_id="s-1", employee_id="e-1"), subject), recorded(2, held, subject)]
    scheduled, told = made(*events, private=[subject]).entries
    assert (scheduled.left_out, told.left_out) == (CaseEntry.LEFT_OUT_UNSPECIFIED, CaseEntry.LEFT_OUT_PRIVATE)
    assert {one.name for one in told.details} == {"session_id", "employee_id", "held_date"}
    assert "in confidence" in str(made(*events).entries)


def test_of_several_pips_of_an_employee_one_is_told() -> None:
    """They lie in one aggregate, which is read whole; of another nothing is shown, and nothing that it rests on."""
    subject = "restricted.coaching.pip.pip-x"

    def drafted(pip_id: str, position: int) -> PipDrafted:
        element = PipElement(element_id="speed", evidence=[PipEvidence(log_position=position)])
        return PipDrafted(pip_id=pip_id, employee_id="e-1", content=PipContent(elements=[element]))

    facts_subject = "log.performance.facts.e-1_2026-01"
    histories = {
        subject: [
            recorded(5, drafted("pip-1", 1), subject),
            recorded(6, drafted("pip-2", 2), subject, actor="user:e-7"),
            recorded(7, PipApproved(pip_id="pip-1", employee_id="e-1"), subject),
        ],
        facts_subject: [recorded(1, fact(), facts_subject), recorded(2, fact(), facts_subject)],
    }
    case = Case("", "pip-1", "e-1", "e-9", "approved", [])
    assert references(case, histories) == {1}
    assert "e-7" not in employees_in(case, histories)
    file = case_file(case, histories, [], [], {}, NOON)
    assert [(entry.stream, entry.position) for entry in file.entries] == [
        ("LOG", 1),
        ("LOG_RESTRICTED", 5),
        ("LOG_RESTRICTED", 7),
    ]
    assert (file.pip_id, file.reading.events) == ("pip-1", 5)


def test_what_a_pip_measured_stands_beside_what_it_is_now() -> None:
    """Each element's evidence, with its standard; named facts are among the facts."""
    evidence = [PipEvidence(measured=measured("5")), PipEvidence(log_position=7)]
    element = PipElement(element_id="speed", measure=Measure(kpi_id="aht"), maximum="4", evidence=evidence)
    state = pip_state.State()
    for event in (
        PipDrafted(
            pip_id="pip-1",
            employee_id="e-1",
            by="user:e-9",
            content=PipContent(elements=[element]),
            conducts=[""],
            standards=["faster"],
        ),
        PipEvidenceDrifted(
            pip_id="pip-1", drifts=[PinDrift(pin="speed/evidence/1", before=measured("5"), now=measured("3"))]
        ),
    ):
        state = pip_state.evolve(state, event)
    case = pip_case(state.pips["pip-1"])
    assert [(one.what, one.target, one.before, one.now) for one in case.figures] == [
        ("speed, evidence 1: KPI aht, 2026-01-01 to 2026-01-31", "at most 4", "5", "3")
    ]
    assert (case.state, case.lead_id) == ("draft", "e-9")


def test_people_are_found_wherever_they_are_named() -> None:
    """In fields of events, and as givers of commands."""
    proposed = PlanProposed(employee_id="e-1", lead_id="e-3")
    assert employees_in(CASE, {PLAN: [recorded(1, proposed, actor="user:e-4")]}) == {"e-1", "e-3", "e-4", "e-9"}


def test_nobody_is_named_of_whom_nothing_is_told() -> None:
    """Neither whom a fact of somebody else is about, nor who had to do with facts that the case does not refer to."""
    own, other = "log.performance.facts.e-1_2026-01", "log.performance.facts.e-2_2026-01"
    histories = {
        own: [recorded(1, fact(), own, actor="user:e-7"), recorded(2, fact(), own, actor="user:e-6")],
        other: [recorded(3, fact("e-2"), other, actor="user:e-5")],
        PLAN: [recorded(4, resting_on(2, 3), actor="user:e-4")],
    }
    assert employees_in(CASE, histories) == {"e-1", "e-4", "e-5", "e-6", "e-9"}


def test_what_was_kept_stands_beside_what_it_is_now() -> None:
    """Only where it has changed; of a contradiction each condition; of a goal what it is from and to."""
    kept = [
        EvidencePeriod(start_date="2026-01-01", end_date="2026-01-31", value="5", minimum="1", maximum="4"),
        EvidencePeriod(start_date="2026-02-01", end_date="2026-02-28", value="6", maximum="4"),
        EvidencePeriod(
            start_date="2026-03-01",
            end_date="2026-03-31",
            conditions=[
                EvidenceCondition(kpi_id="aht", value="2", baseline="4"),
                EvidenceCondition(kpi_id="calls", value="9"),
            ],
        ),
    ]
    now = [EvidencePeriod.FromString(one.SerializeToString()) for one in kept]
    now[1].value = ""
    now[2].conditions[0].value = "3"
    state = plan.State()
    for event in (
        PlanProposed(plan_id="p-1", employee_id="e-1", evidence=Evidence(kpi_id="aht", periods=kept)),
        PlanAssessed(measured=measured("5.5")),
        PlanActivated(goals=[Goal(kpi_id="aht", baseline="5", target="4", deadline="2026-06-01")]),
        ReassessmentFellDue(results=[GoalResult(measured=measured(""))]),
        PlanEvidenceDrifted(drift=EvidenceDrift(periods=now)),
        PlanPinsDrifted(
            pins=[
                PinDrift(pin="goals[0].baseline", before=measured("5"), now=measured("6")),
                PinDrift(pin="assessed", before=measured("5.5"), now=measured("5.5")),
            ]
        ),
    ):
        state = plan.evolve(state, event)
    assert [(one.what, one.target, one.before, one.now) for one in plan_case(state).figures] == [
        ("aht, 2026-01-01 to 2026-01-31", "at least 1 and at most 4", "5", ""),
        ("aht, 2026-02-01 to 2026-02-28", "at most 4", "6", "nothing is recorded"),
        ("aht, 2026-03-01 to 2026-03-31", "against 4 before", "2", "3"),
        ("calls, 2026-03-01 to 2026-03-31", "", "9", ""),
        ("As assessed: KPI aht, 2026-01-01 to 2026-01-31", "", "5.5", ""),
        ("Goal: KPI aht by 2026-06-01", "to 4", "5", "6"),
        ("Result: KPI aht by 2026-06-01", "to 4", "nothing is recorded", ""),
    ]


def evaluated() -> RecordCreated:
    """Two items, of which one was not fully achieved."""
    answers = [Evaluation.Answer(item_id=one, achieved=per) for one, per in (("greeting", 100), ("solution", 20))]
    given = Evaluation(form_id="f", contact_id="c-1", evaluator_id="e-9", answers=answers)
    record = Record(employee_id="e-1", date="2026-01-02", evaluation=given)
    return RecordCreated(record=record, outcome=Outcome(score="60.00"), note="hung up")


def test_a_printed_case_says_whose_it_is_and_what_happened() -> None:
    """Texts, facts and rules each where people look for them; positions that tell where it lies."""
    file = made(
        recorded(1, fact(), "log.performance.facts.e-1_2026-01", actor="system:import"),
        recorded(2, evaluated(), "log.performance.record.r-1"),
        recorded(3, resting_on(1, 2)),
        recorded(4, PlanAssessed(plan_id="p-1", employee_id="e-1", assessment="much too slow")),
    )
    document = case_document(file)
    assert (document.title, document.subtitle) == (
        "Case file · Li Wei",
        "Coaching plan p-1 of Li Wei (e-1), as of 2026-03-16 12:00 UTC",
    )
    assert [section.title for section in document.sections] == [
        *("At a glance", "Step by step", "Facts", "How it was read", "The record"),
    ]
    glance, steps, found, read, _ = document.sections
    assert [row[:3] for row in glance.tables[1].rows] == [
        ["Proposed the plan", "Anna (e-9)", "2026-03-16"],
        ["Assessed the situation", "Anna (e-9)", "2026-03-16"],
    ]
    assert [row[1:] for row in steps.tables[0].rows] == [
        ["A plan for Li Wei was proposed to nobody yet: the team had no lead.", "Anna", "#3"],
        ["The situation was assessed.\nAssessment: much too slow", "Anna", "#4"],
    ]
    assert [row[1:] for row in found.tables[0].rows] == [
        ["Readings of 2026-01-01 were recorded by the source calls: aht 7 of 1.", "the system import", "#1"],
        ["On 2026-01-02, Anna gave contact c-1 60.00 %; fell short: solution 20 %. note: hung up", "Anna", "#2"],
    ]
    assert "4 events of 3 aggregates were read" in read.sentences[0]


def test_a_printed_case_leaves_out_nothing() -> None:
    """Every detail of every entry, and what each rests on, stands in the record."""
    words = SessionHeld(session_id="s-1", employee_id="e-1", observed="sighs", held_date="2026-03-02", texts=["call"])
    words.actions.add(owner_id="e-1", due_date="2026-03-09")
    file = made(
        recorded(1, fact("e-1", 12345), "log.performance.facts.e-1_2026-01"),
        recorded(2, resting_on(1)),
        recorded(3, words, "log.coaching.session.s-1"),
    )
    record = case_document(file).sections[-1].tables[0]
    for row, entry in zip(record.rows, file.entries, strict=True):
        assert all(one.value in str(row[4]) for one in entry.details)
        assert all(str(position) in str(row[4]) for position in entry.rests_on)
        assert row[1:4] == [entry.event, f"LOG {entry.position}", entry.actor]
    assert "12,345 of 1" in str(record.rows)


def test_whatever_people_say_in_a_step_is_told_with_it() -> None:
    """Each personal field of every event of a plan, a PIP and their sessions, but for what stands among the terms."""
    personal = {
        field.name
        for module in (pip_state, plan, session)
        for kind in get_args(module.Event)
        for field in kind.DESCRIPTOR.fields
        if field.GetOptions().Extensions[rules_pb2.personal]
    }
    assert personal - {*WORDS} == TERMS


def test_the_first_page_says_what_was_set_and_who_had_which_part() -> None:
    """Standards, help, who drafted and who approved; and what has changed, marked until somebody has looked at it."""
    subject, drift = "restricted.coaching.pip.pip-x", PinDrift(pin="speed/evidence/1")
    drift.before.CopyFrom(measured("12000"))
    drift.now.CopyFrom(measured("3"))
    element = PipElement(
        element_id="speed",
        measure=Measure(kpi_id="aht"),
        maximum="10000",
        evidence=[PipEvidence(measured=measured("12000"))],
    )
    content = PipContent(elements=[element], period_business_days=20, review_business_days=[10])
    about: dict[str, Any] = {"pip_id": "pip-1", "employee_id": "e-1"}
    drafted = PipDrafted(
        **about,
        by="user:e-9",
        content=content,
        conducts=[""],
        standards=["faster"],
        support="a mentor",
        consequence="x",
    )
    events: list[Message] = [drafted, PipApproved(**about, by="user:e-5"), PipEvidenceDrifted(**about, drifts=[drift])]
    later = PipDriftReviewed(**about, by="user:e-5", note="seen")
    for told, looked_at in ((events, False), ([*events, later], True)):
        state = pip_state.State()
        for event in told:
            state = pip_state.evolve(state, event)
        history = [recorded(5 + place, event, subject, place) for place, event in enumerate(told)]
        file = case_file(pip_case(state.pips["pip-1"]), {subject: history}, [], [], {"e-1": "Li Wei"}, NOON)
        document = case_document(file)
        assert document.headlines[-1][1] == ("none to be looked at" if looked_at else "to be looked at")
        glance = document.sections[0]
        assert [tuple(row) for row in glance.tables[0].rows][2:] == [
            ("What fails, 1", "KPI aht, at most 10,000. Standard: faster"),
            ("Period", "20 business days; reviews on business days 10"),
            ("Help", "a mentor"),
            ("What may follow", "x"),
        ]
        assert [row[0] for row in glance.tables[1].rows] == ["Drafted the PIP", "Approved the PIP"]
        assert [shown(cell) for cell in glance.tables[2].rows[0]][1:] == ["at most 10,000", "12,000", "3"]
        (course,) = glance.charts
        assert isinstance(course, Course)
        assert bool(course.marked) != looked_at


def test_the_first_page_says_what_a_decision_rests_on() -> None:
    """Reviews that were missed, what was not measured, and the words of who decided, who appealed and who heard it."""
    hearing = [
        by(AGENT, APPEAL, PERIOD_OVER),
        by(HR2, NAME_HEARER, PERIOD_OVER),
        by(NEUTRAL, UPHOLD, PERIOD_OVER),
    ]
    state, told = pip_state.State(), list[Message]()
    for step in (*ACTIVATE, due(), *not_passed(), *hearing):
        for event in events_of(state, step):
            told.append(event)
            state = pip_state.evolve(state, event)
    subject = "restricted.coaching.pip.pip-x"
    history = [recorded(5 + place, event, subject, place) for place, event in enumerate(told)]
    file = case_file(pip_case(state.pips["pip-1"]), {subject: history}, [], [], {}, NOON)
    terms, parts = (table.rows for table in case_document(file).sections[0].tables)
    assert ["Missed", "review 1, due on 2026-03-30"] in terms
    assert [row[1] for row in terms if row[0] == "Not measured"] == ["csat: nothing was recorded in the period"]
    words = {row[0]: str(row[3]).partition("\n")[2] for row in parts}
    assert (words["Decided"], words["Appealed"], words["Heard the appeal"]) == (
        f"Reason: {FAIL.reason}",
        f"In writing: {APPEAL.text}",
        f"Reason: {UPHOLD.reason}",
    )
    assert not words["Drafted the PIP"]
    met = after([*ACTIVATE, by(LEAD, HOLD, date(2026, 3, 30)), due("96.0")]).pips["pip-1"]
    assert {name for name, _ in pip_case(met).terms(str)}.isdisjoint({"Missed", "Not measured"})


def test_the_first_page_is_short_and_the_whole_of_it_stands_later() -> None:
    """What people wrote may be 5000 letters long, on many lines."""
    words = "\n".join(["It was calm."] * 400)
    told: list[Message] = [
        PipDrafted(pip_id="pip-1", employee_id="e-1"),
        PipDecided(pip_id="pip-1", employee_id="e-1", reason=words),
        PipAppealed(pip_id="pip-1", employee_id="e-1", text=words),
    ]
    subject = "restricted.coaching.pip.pip-x"
    history = [recorded(5 + place, event, subject, place) for place, event in enumerate(told)]
    file = case_file(
        pip_case(pip_state.evolve(pip_state.State(), told[0]).pips["pip-1"]), {subject: history}, [], [], {}, NOON
    )
    glance, steps, *_ = case_document(file).sections
    _, decided, appealed = (str(row[3]).partition("\n")[2] for row in glance.tables[1].rows)
    assert decided == f"Reason: {'It was calm. ' * 18}It was…"
    assert appealed == f"In writing: {'It was calm. ' * 18}It…"
    assert [str(row[1]).partition("\n")[2] for row in steps.tables[0].rows[1:]] == [
        f"Reason: {words}",
        f"In writing: {words}",
    ]


def test_a_case_of_which_little_happened() -> None:
    """No figures, no words, no parts but the proposal: pages all the same; and without a single entry."""
    for file in (made(recorded(1, PlanProposed(plan_id="p-1", employee_id="e-1"))), made()):
        assert pdf_of(case_document(file)).startswith(b"%PDF")


def test_a_zero_is_told() -> None:
    """What was not achieved at all is what a case is about."""
    answers = [Evaluation.Answer(item_id="greeting", achieved=100), Evaluation.Answer(item_id="summary", achieved=0)]
    created = RecordCreated(record=Record(record_id="r-1", evaluation=Evaluation(answers=answers)))
    told = {one.name: one.value for one in _details(created)}
    assert told["record.evaluation.answers[1]"] == "item_id summary, achieved 0"
