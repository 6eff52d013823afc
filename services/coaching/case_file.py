"""A case file: everything behind a plan or PIP, put in order out of events as they lie in the log. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.days import timestamp
from libs.common.eventsourcing import Recorded
from libs.common.streams import LOG, stream_of
from services.coaching import pip_state, plan
from services.coaching.goals import measure_of, named
from services.coaching.sentences import Named, sentence, words
from stepladder.coaching.v1.case_file_pb2 import CaseDetail, CaseEntry, CaseFigure, CaseFile, CaseReading
from stepladder.coaching.v1.events_pb2 import PipClosed
from stepladder.coaching.v1.measure_pb2 import Measured, PinDrift
from stepladder.coaching.v1.pip_pb2 import ElementResult, Pip, PipCheckpoint, PipElement
from stepladder.coaching.v1.plan_pb2 import EvidencePeriod, Plan, Support
from stepladder.common.v1 import rules_pb2
from stepladder.common.v1.envelope_pb2 import CommandNoted
from stepladder.performance.v1.detection_pb2 import FactReference
from stepladder.performance.v1.facts_pb2 import Reading

KINDS: Mapping[str, CaseEntry.Kind.ValueType] = {
    "coaching.pip": CaseEntry.KIND_PIP,
    "coaching.plan": CaseEntry.KIND_PLAN,
    "coaching.session": CaseEntry.KIND_SESSION,
    "performance.detection": CaseEntry.KIND_DETECTION,
    "performance.facts": CaseEntry.KIND_FACT,
    "performance.record": CaseEntry.KIND_FACT,
    "performance.rating": CaseEntry.KIND_FACT,
    "performance.policy": CaseEntry.KIND_RULE,
    "performance.detectionpolicy": CaseEntry.KIND_RULE,
    "performance.target": CaseEntry.KIND_RULE,
    "performance.kpi": CaseEntry.KIND_RULE,
}
"""What a case rests on, by aggregate. Of others no word is shown, whatever names them."""

WHOLE = frozenset({CaseEntry.KIND_PIP, CaseEntry.KIND_PLAN, CaseEntry.KIND_SESSION, CaseEntry.KIND_DETECTION})
"""Of these every event belongs to the case, and whatever it refers to; of others only what is referred to."""

NUMBERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
"""Kinds of fields that count."""

NOTHING = "nothing is recorded"
"""In place of a value."""

REFERENCES = frozenset(
    {
        "calendar_position",
        "causes",
        "detection_position",
        "fact_positions",
        "log_position",
        "policy_position",
        "rules_position",
        "rating_position",
        "target_position",
        "target_positions",
    }
)
"""Names of the fields by which events refer to others in LOG."""

EMPLOYEES = frozenset({"employee_id", "lead_id", "reviewer_id", "evaluator_id", "mentor_id", "witness_id", "hearer_id"})
"""Names of the fields that hold an employee's id."""


_INSTEAD = {
    CaseEntry.LEFT_OUT_OTHER_KIND: "An event of a kind that is not shown here.",
    CaseEntry.LEFT_OUT_SOMEBODY_ELSE: "A fact about somebody else.",
}
"""Of a sentence about what is left out whole."""


@dataclass(frozen=True)
class Case:
    """Whose it is, who coaches, how it stands in words, and what was measured and kept; `pip_id` is empty of a plan.

    `terms` tells what it is about, what was set, and what help was promised, each with its name; people by theirs.
    """

    plan_id: str
    pip_id: str
    employee_id: str
    lead_id: str
    state: str
    figures: Sequence[CaseFigure]
    terms: Callable[[Named], Iterable[tuple[str, str]]] = lambda _: ()
    drift_open: bool = False


def plan_case(state: plan.State) -> Case:
    proposed = state.proposed
    stage = words(Plan.State.DESCRIPTOR, state.stage)
    return Case(
        plan_id=proposed.plan_id,
        pip_id="",
        employee_id=proposed.employee_id,
        lead_id=proposed.lead_id,
        state=f"{stage}: {words(Plan.Outcome.DESCRIPTOR, state.closed.outcome)}" if state.closed.outcome else stage,
        figures=[*_evidence(state), *_measured(state)],
        terms=lambda called: _plan_terms(state, called),
        drift_open=state.drift_open,
    )


def _plan_terms(state: plan.State, called: Named) -> Iterator[tuple[str, str]]:
    told = plan.to_resource(state, 0)
    evidence = told.evidence
    about = f"KPI {evidence.kpi_id}" if evidence.kpi_id else ""
    policy = f"found by the policy {evidence.policy_id}" if evidence.policy_id else ""
    yield "About", ", ".join(part for part in (about, policy) if part)
    causes = [told.cause, *(one.cause for one in told.further_causes)]
    yield "Cause", ", ".join(words(Plan.Cause.DESCRIPTOR, one) for one in causes if one)
    for number, goal in enumerate(told.goals, 1):
        yield (
            f"Goal {number}",
            f"{named(measure_of(goal))} from {_grouped(goal.baseline)} to {_grouped(goal.target)} by {goal.deadline}",
        )
    for resource in told.resources:
        yield "Help", resource
    for support in told.supports:
        yield "Help", _support(support, called)
    yield "Observed until", told.observe_until
    yield "Watched until", told.watch_until


def _support(support: Support, called: Named) -> str:
    match support.WhichOneof("kind"):
        case "course_id":
            kind = f"training {support.course_id}"
        case "mentor_id":
            kind = f"mentor {called(support.mentor_id)}"
        case "example":
            kind = f"an example, record {support.example.record_id}" if support.example.record_id else "an example"
        case "adjusted_work":
            kind = f"adjusted work until {support.adjusted_work.end_date}"
        case _:
            kind = ""
    return ": ".join(part for part in (kind, support.text) if part)


def pip_case(pip: pip_state.PipState) -> Case:
    stage, outcome = words(Pip.State.DESCRIPTOR, pip.stage), pip.last(PipClosed).outcome
    return Case(
        plan_id=pip.content.plan_id,
        pip_id=pip.drafted.pip_id,
        employee_id=pip.drafted.employee_id,
        lead_id=pip.drafted.by.partition(":")[2],
        state=f"{stage}: {words(Pip.Outcome.DESCRIPTOR, outcome)}" if outcome else stage,
        figures=list(_pip_figures(pip)),
        terms=lambda _: _pip_terms(pip),
        drift_open=pip.drift_to_review,
    )


def _pip_terms(pip: pip_state.PipState) -> Iterator[tuple[str, str]]:
    content = pip.content
    for number, element in enumerate(content.elements, 1):
        fails = element.conduct or f"{named(element.measure)}, {_bounds(element)}"
        yield f"What fails, {number}", f"{fails}. Standard: {element.standard}"
    reviews = ", ".join(str(day) for day in content.review_business_days)
    period = f"{pip.total or content.period_business_days} business days"
    yield "Period", f"{period}; reviews on business days {reviews}" if reviews else period
    yield "Began", pip.start_date
    yield "Ends" if pip.stage == Pip.STATE_ACTIVE else "Next step by", pip.schedule.due_date
    for checkpoint in pip.checkpoints:
        if checkpoint.state == PipCheckpoint.STATE_MISSED:
            yield "Missed", f"review {checkpoint.number}, due on {checkpoint.due_date}"
    measured = {element.element_id for element in content.elements if element.HasField("measure")}
    for one in pip_state.results_now(pip):
        if one.element_id in measured and one.standard == ElementResult.STANDARD_NOT_MEASURED:
            yield "Not measured", f"{one.element_id}: nothing was recorded in the period"
    yield "Help", content.support
    yield "What may follow", content.consequence
    yield "Coaching plan before", content.plan_id


def _pip_figures(pip: pip_state.PipState) -> Iterator[CaseFigure]:
    """Evidence, checkpoints and results of each element, under the names of their pins."""
    drifts = {one.pin: one for one in pip.drifts}
    targets = {element.element_id: _bounds(element) for element in pip.content.elements}
    for pin, measured in pip_state.pins(pip).items():
        element_id, _, place = pin.partition("/")
        what = f"{element_id}, {place.replace('/', ' ')}: {named(measured.measure)}, {_days(measured)}"
        yield _figure(what, targets.get(element_id, ""), measured.value, drifts.get(pin))


def _evidence(state: plan.State) -> Iterator[CaseFigure]:
    evidence = state.proposed.evidence
    now = {period.start_date: period for period in state.drift.periods}
    for period in evidence.periods:
        what = f"{period.start_date} to {period.end_date}"
        later = now.get(period.start_date, period)
        changed = (later.value, later.minimum, later.maximum) != (period.value, period.minimum, period.maximum)
        if not period.conditions:
            yield CaseFigure(
                what=f"{evidence.kpi_id or evidence.policy_id}, {what}",
                target=_bounds(period),
                before=period.value,
                now=(later.value or NOTHING) if changed else "",
            )
        later_values = {one.kpi_id: one.value for one in later.conditions}
        for one in period.conditions:
            value = later_values.get(one.kpi_id, "")
            yield CaseFigure(
                what=f"{one.kpi_id}, {what}",
                target=f"against {one.baseline} before" if one.baseline else "",
                before=one.value,
                now=(value or NOTHING) if value != one.value else "",
            )


def _measured(state: plan.State) -> Iterator[CaseFigure]:
    """What was assessed, baselines, and what the goals came to."""
    if state.assessed.HasField("measured"):
        found = state.assessed.measured
        what = f"As assessed: {named(found.measure)}, {_days(found)}"
        yield _pinned(state, "assessed", what, "", found.value)
    for index, goal in enumerate(state.activated.goals):
        what, target = f"{named(measure_of(goal))} by {goal.deadline}", f"to {goal.target}"
        yield _pinned(state, f"goals[{index}].baseline", f"Goal: {what}", target, goal.baseline)
        for result in state.reassessed.results[index : index + 1]:
            yield _pinned(state, f"results[{index}]", f"Result: {what}", target, result.measured.value)


def _days(measured: Measured) -> str:
    """The days of a measurement, with those that were left out."""
    days = f"{measured.start_date} to {measured.end_date}"
    left_out = [f"{one.start_date} to {one.end_date}" for one in measured.without]
    return f"{days}, without {' and '.join(left_out)}" if left_out else days


def _pinned(state: plan.State, pin: str, what: str, target: str, before: str) -> CaseFigure:
    return _figure(what, target, before, state.pin_drifts.get(pin))


def _figure(what: str, target: str, before: str, drift: PinDrift | None) -> CaseFigure:
    """What was measured and is kept, and what it is now if that is something else."""
    now = "" if drift is None or drift.now.value == drift.before.value else drift.now.value or NOTHING
    return CaseFigure(what=what, target=target, before=before or NOTHING, now=now)


def _bounds(one: EvidencePeriod | PipElement) -> str:
    bounds = [f"at least {_grouped(one.minimum)}"] if one.minimum else []
    return " and ".join([*bounds, f"at most {_grouped(one.maximum)}"] if one.maximum else bounds)


def _grouped(number: str) -> str:
    """A decimal with its thousands in groups."""
    return f"{Decimal(number):,}" if number else ""


def kind_of(subject: str) -> CaseEntry.Kind.ValueType:
    """What an aggregate is to a case."""
    service, aggregate = subject.split(".")[1:3]
    return KINDS.get(f"{service}.{aggregate}", CaseEntry.KIND_UNSPECIFIED)


def references(case: Case, histories: Mapping[str, Sequence[Recorded]]) -> set[int]:
    """Positions in LOG that the events of the case itself refer to."""
    return {
        position
        for subject, history in histories.items()
        if kind_of(subject) in WHOLE
        for recorded in history
        if _is_of(case, recorded)
        for position in _references(recorded.event)
    }


def _is_of(case: Case, recorded: Recorded) -> bool:
    """Whether an event is not of another PIP: those of an employee lie together."""
    return str(getattr(recorded.event, "pip_id", case.pip_id)) == case.pip_id


def employees_in(case: Case, histories: Mapping[str, Sequence[Recorded]]) -> set[str]:
    """Ids of everybody who is named by what is told, or gave its commands; some may be no employee's."""
    found = {case.employee_id, case.lead_id}
    for recorded in _shown(case, histories):
        found.add(recorded.envelope.actor.partition(":")[2])
        if not _left_out(recorded, case.employee_id):
            found |= set(_employees(recorded.event))
    return found - {""}


def _shown(case: Case, histories: Mapping[str, Sequence[Recorded]]) -> list[Recorded]:
    """The events that have an entry: those of the case itself, and those that they refer to."""
    wanted = references(case, histories)
    return [
        recorded
        for subject, history in histories.items()
        for recorded in history
        if _is_of(case, recorded)
        and not isinstance(recorded.event, CommandNoted)
        and (kind_of(subject) in WHOLE or (stream_of(subject) == LOG and recorded.position in wanted))
    ]


def case_file(
    case: Case,
    histories: Mapping[str, Sequence[Recorded]],
    missing: Collection[int],
    private: Collection[str],
    names: Mapping[str, str],
    now: datetime,
) -> CaseFile:
    """`histories` are those of the case and of whatever it refers to, whole; `names` of employees by id.

    Nothing lies at the positions `missing`. The words of aggregates that are `private` are not for the reader.
    """

    def called(employee_id: str) -> str:
        return names.get(employee_id, employee_id)

    entries = [
        _entry(recorded, case.employee_id, recorded.subject in private, called)
        for recorded in _ordered(_shown(case, histories))
    ]
    return CaseFile(
        plan_id=case.plan_id,
        pip_id=case.pip_id,
        employee_id=case.employee_id,
        names=names,
        lead_id=case.lead_id,
        state=case.state,
        made_time=timestamp(now),
        figures=case.figures,
        terms=[CaseDetail(name=name, value=value) for name, value in case.terms(called) if value],
        drift_open=case.drift_open,
        entries=entries,
        reading=CaseReading(
            aggregates=len(histories),
            events=sum(len(history) for history in histories.values()),
            left_out=sum(bool(entry.left_out) for entry in entries),
            missing_positions=sorted(missing),
        ),
    )


def _ordered(events: Iterable[Recorded]) -> list[Recorded]:
    """By time. Clocks of services may differ: where time runs back in a stream, it is taken to stand still."""
    latest: dict[str, int] = {}
    keyed = []
    for recorded in sorted(events, key=lambda one: one.position):
        stream = stream_of(recorded.subject)
        latest[stream] = max(latest.get(stream, 0), recorded.envelope.time.ToNanoseconds())
        keyed.append(((latest[stream], stream, recorded.position), recorded))
    return [recorded for _, recorded in sorted(keyed, key=lambda one: one[0])]


def _entry(recorded: Recorded, employee_id: str, private: bool, named: Named) -> CaseEntry:
    event, envelope, kind = recorded.event, recorded.envelope, kind_of(recorded.subject)
    entry = CaseEntry(
        kind=kind,
        time=envelope.time,
        stream=stream_of(recorded.subject),
        position=recorded.position,
        subject=recorded.subject,
        event=event.DESCRIPTOR.name,
        event_id=envelope.event_id,
        command_id=envelope.command_id,
        actor=envelope.actor,
        cause=envelope.cause,
        rests_on=sorted(set(_references(event))) if kind in WHOLE else (),
    )
    if left_out := _left_out(recorded, employee_id):
        entry.left_out, entry.sentence = left_out, _INSTEAD[left_out]
        return entry
    told = _without_words(event) if private else event
    if told != event:
        entry.left_out = CaseEntry.LEFT_OUT_PRIVATE
    entry.sentence = sentence(event, named)
    entry.details.extend(_details(told))
    return entry


def _left_out(recorded: Recorded, employee_id: str) -> CaseEntry.LeftOut.ValueType:
    """Why nothing that an event says is told, if so, to whoever reads the case of an employee."""
    if not kind_of(recorded.subject):
        return CaseEntry.LEFT_OUT_OTHER_KIND
    if about(recorded.event) not in ("", employee_id):
        return CaseEntry.LEFT_OUT_SOMEBODY_ELSE
    return CaseEntry.LEFT_OUT_UNSPECIFIED


def about(event: Message) -> str:
    """The employee whom an event is about, by itself or by what it holds; empty for one about nobody."""
    held = [value for field, value in event.ListFields() if field.message_type is not None and not field.is_repeated]
    return next((found for one in (event, *held) if (found := str(getattr(one, "employee_id", "")))), "")


def _without_words(event: Message) -> Message:
    """An event without its personal fields."""
    rest = type(event).FromString(event.SerializeToString())
    for field, _ in event.ListFields():
        if field.GetOptions().Extensions[rules_pb2.personal]:
            rest.ClearField(field.name)
    return rest


def _references(message: Message) -> Iterator[int]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from _references(one)
        elif field.name in REFERENCES:
            yield from value if field.is_repeated else [value]


def _employees(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from _employees(one)
        elif field.name in EMPLOYEES:
            yield value


def _details(message: Message, path: str = "") -> Iterator[CaseDetail]:
    """Every field that is set, and every number, 0 too; in the order of the contract. References are told apart."""
    given = {field.number for field, _ in message.ListFields()}
    fields: Sequence[FieldDescriptor] = message.DESCRIPTOR.fields  # type: ignore[assignment] # the stubs name two kinds
    for field in fields:
        if field.number not in given and not _is_number(field):
            continue
        name, value = f"{path}{field.name}", getattr(message, field.name)
        if field.name in REFERENCES or field.message_type is FactReference.DESCRIPTOR:
            continue
        if field.message_type is None:
            yield CaseDetail(name=name, value=_told(field, value))
        elif not field.is_repeated:
            yield from _held(value, name)
        else:
            for index, one in enumerate(value):
                yield from _element(one, f"{name}[{index}]")


def _is_number(field: FieldDescriptor) -> bool:
    """Whether a field always counts something: one that is left out says 0."""
    return not field.is_repeated and not field.has_presence and field.cpp_type in NUMBERS


def _held(message: Message, name: str) -> Iterator[CaseDetail]:
    if isinstance(message, Timestamp):
        yield CaseDetail(name=name, value=message.ToDatetime(UTC).isoformat())
    else:
        yield from _details(message, f"{name}.")


def _element(message: Message, name: str) -> Iterator[CaseDetail]:
    """One of many: on one line, if it holds nothing that has parts itself."""
    if isinstance(message, Reading):
        of = f" of {sum(message.denominators):,}" if message.denominators else ""
        samples = f", in {len(message.numerators)} samples" if len(message.numerators) > 1 else ""
        yield CaseDetail(name=f"{name}.{message.kpi_id}", value=f"{sum(message.numerators):,}{of}{samples}")
    elif any(field.message_type is not None for field, _ in message.ListFields()):
        yield from _details(message, f"{name}.")
    else:
        parts = [f"{one.name} {one.value}" for one in _details(message)]
        yield CaseDetail(name=name, value=", ".join(parts))


def _told(field: FieldDescriptor, value: Any) -> str:
    values = value if field.is_repeated else [value]
    if field.enum_type is not None:
        return ", ".join(words(field.enum_type, one) for one in values)
    return ", ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in values)
