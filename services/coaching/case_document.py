"""A case file as people read and print it. Pure."""

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from libs.documents.document import IN_FRONT, Cell, Course, Document, Section, Table, shortened
from stepladder.coaching.v1.case_file_pb2 import CaseDetail, CaseEntry, CaseFigure, CaseFile

PARTS = {
    "PlanProposed": "Proposed the plan",
    "PlanAssessed": "Assessed the situation",
    "PlanDiagnosed": "Found the cause",
    "PlanActivated": "Set the goals",
    "PlanClosed": "Decided",
    "PipDrafted": "Drafted the PIP",
    "PipEdited": "Changed the PIP",
    "PipPreconditionOverridden": "Did without coaching",
    "PipApproved": "Approved the PIP",
    "PipDelivered": "Delivered the PIP",
    "PipAcknowledged": "Acknowledged the PIP",
    "PipRefusalWitnessed": "Witnessed the refusal",
    "PipResultProposed": "Proposed the result",
    "PipDecided": "Decided",
    "PipAppealed": "Appealed",
    "PipAppealHeard": "Heard the appeal",
    "PipClosed": "Closed the PIP",
}
"""What whoever gave the command to an event had to do with the case: told on the first page."""

WORDS = {
    "assessment": "Assessment",
    "cause_note": "Why",
    "employee_view": "The employee’s own view",
    "feedback": "Feedback",
    "further_notes": "Further causes",
    "note": "Note",
    "notes": "Notes",
    "observed": "Observed",
    "reason": "Reason",
    "text": "In writing",
    "texts": "Agreed",
    "view": "The employee’s own view",
    "words": "In the employee’s words",
}
"""What people said in a step, by the name of the detail."""

IN_WORDS = frozenset({"PipDecided", "PipAppealed", "PipAppealHeard"})
"""Of these the first page tells how what people said begins, too: what it comes to at last."""

TERMS = frozenset({"conducts", "consequence", "resources", "standards", "support", "support_texts"})
"""What people wrote that stands as it is now on the first page, and as it was in the record."""

_DRIFT = ("Drifted", "PipRecordChanged")
_REVIEWED = "DriftReviewed"
_LINES = {
    CaseEntry.KIND_PLAN: "Coaching plan",
    CaseEntry.KIND_PIP: "PIP",
    CaseEntry.KIND_SESSION: "Sessions",
    CaseEntry.KIND_FACT: "Facts",
}
_CHANGES = "Changes of facts"


def case_document(file: CaseFile) -> Document:
    """First what there is to know at once; then what it rests on, each step, the record, and how that was read."""
    kind = CaseEntry.KIND_PIP if file.pip_id else CaseEntry.KIND_PLAN
    own = [entry for entry in file.entries if entry.kind == kind]
    state, _, outcome = file.state.partition(": ")
    headlines = [
        ("State", state),
        ("Outcome", outcome or "none yet"),
        ("Begun", _day(own[0]).isoformat() if own else ""),
        ("Changes of facts", "to be looked at" if file.drift_open else "none to be looked at"),
    ]
    what = f"PIP {file.pip_id}" if file.pip_id else f"Coaching plan {file.plan_id}"
    sections = [
        _at_a_glance(file, own),
        _figures(file),
        _steps(file, "Step by step", [kind, CaseEntry.KIND_DETECTION]),
        _steps(file, "The coaching plan before it", [CaseEntry.KIND_PLAN]) if file.pip_id else None,
        _steps(file, "Sessions", [CaseEntry.KIND_SESSION]),
        _basis(file, "Facts", CaseEntry.KIND_FACT, "Recorded by"),
        _basis(file, "Rules and targets", CaseEntry.KIND_RULE, "Set by"),
        _reading(file),
        _record(file),
    ]
    return Document(
        title=f"Case file · {file.names.get(file.employee_id, file.employee_id)}",
        subtitle=f"{what} of {_named(file, file.employee_id)}, as of {_moment(file.made_time.ToDatetime(UTC))} UTC",
        headlines=[(name, text) for name, text in headlines if text],
        sections=[one for one in sections if one is not None],
    )


def _at_a_glance(file: CaseFile, own: Iterable[CaseEntry]) -> Section:
    """Who, what it is about, who had which part and when, and one picture of it all."""
    changed = [one for one in file.figures if one.now]
    sentences = []
    if changed:
        have = "has" if len(changed) == 1 else "have"
        looked = "nobody has looked at that yet" if file.drift_open else "that was looked at"
        sentences.append(f"{len(changed)} of the numbers that it rests on {have} changed since; {looked}.")
    terms: list[list[Cell]] = [
        ["Employee", _named(file, file.employee_id)],
        ["Led by" if not file.pip_id else "Drafted by", _named(file, file.lead_id) if file.lead_id else "nobody yet"],
    ]
    terms += [[one.name, one.value] for one in file.terms]
    parts: list[list[Cell]] = [
        [
            PARTS[entry.event],
            _actor(entry, lambda one: _named(file, one)),
            _day(entry).isoformat(),
            "\n".join(
                [entry.sentence, *(shortened(words, IN_FRONT) for words in _said(entry) if entry.event in IN_WORDS)]
            ),
        ]
        for entry in own
        if entry.event in PARTS
    ]
    tables = [
        Table("What it is about", ["What", "How it stands"], terms),
        *([Table("Who had which part", ["Part", "Who", "When (UTC)", "What came of it"], parts)] if parts else []),
        *([_changed(file)] if changed else []),
    ]
    course = _course(file)
    return Section("At a glance", sentences, [course] if course else [], tables)


def _course(file: CaseFile) -> Course | None:
    """What happened when, a line for each kind; changes of facts that nobody has looked at are marked."""
    days: dict[str, list[date]] = {}
    for kind, line in _LINES.items():
        if found := [_day(entry) for entry in file.entries if entry.kind == kind]:
            days[line] = found
    if drifts := [entry for entry in file.entries if entry.event.endswith(_DRIFT)]:
        days[_CHANGES] = [_day(entry) for entry in drifts]
    marked = {(len(days) - 1, day) for day in _not_looked_at(file)}
    return Course("When it happened", list(days), list(days.values()), frozenset(marked)) if days else None


def _not_looked_at(file: CaseFile) -> set[date]:
    """The days of those changes of facts after which nobody has looked at them."""
    found: set[date] = set()
    for entry in file.entries if file.drift_open else ():
        if entry.event.endswith(_DRIFT):
            found.add(_day(entry))
        elif entry.event.endswith(_REVIEWED):
            found.clear()
    return found


def _changed(file: CaseFile) -> Table:
    rows = [_figure(one) for one in file.figures if one.now]
    return Table("Changed since", _FIGURES, rows, frozenset(range(len(rows))))


_FIGURES = ("Measured", "Target", "Then", "Now")


def _figures(file: CaseFile) -> Section | None:
    if not file.figures:
        return None
    changed = frozenset(place for place, one in enumerate(file.figures) if one.now)
    sentence = (
        f"{len(changed)} of these {'has' if len(changed) == 1 else 'have'} changed with the facts since it was kept."
        if changed
        else "None of these has changed since it was kept."
    )
    table = Table("Figures", _FIGURES, [_figure(one) for one in file.figures], changed)
    return Section("What it rests on", [sentence], (), [table], own_page=True)


def _figure(one: CaseFigure) -> list[Cell]:
    return [one.what, one.target, _number(one.before), _number(one.now) if one.now else None]


def _number(text: str) -> Cell:
    """A number as one; words as they are."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _steps(file: CaseFile, title: str, kinds: Collection[CaseEntry.Kind.ValueType]) -> Section | None:
    rows: list[list[Cell]] = [
        [
            _moment(entry.time.ToDatetime(UTC)),
            "\n".join([entry.sentence, *_said(entry)]),
            _actor(entry, lambda one: file.names.get(one, one)),
            f"#{number}",
        ]
        for number, entry in enumerate(file.entries, 1)
        if entry.kind in kinds or (not entry.kind and CaseEntry.KIND_DETECTION in kinds)
    ]
    table = Table(title, ["When (UTC)", "What happened", "By", "Record"], rows)
    return Section(title, tables=[table]) if rows else None


def _said(entry: CaseEntry) -> list[str]:
    """What people said in a step, each with what it is."""
    said = [f"{WORDS[one.name]}: {one.value}" for one in entry.details if one.name in WORDS]
    return [*said, "What was said is not for this reader."] if entry.left_out == CaseEntry.LEFT_OUT_PRIVATE else said


def _basis(file: CaseFile, title: str, kind: CaseEntry.Kind.ValueType, who: str) -> Section | None:
    """Facts, or rules: each is one thing, told in one go. What a rule leaves at nothing stands in the record."""
    rows: list[list[Cell]] = [
        [
            _moment(entry.time.ToDatetime(UTC)),
            " ".join([entry.sentence, "; ".join(_contents(entry.details, zeros=kind == CaseEntry.KIND_FACT))]).rstrip(),
            _actor(entry, lambda one: file.names.get(one, one)),
            f"#{number}",
        ]
        for number, entry in enumerate(file.entries, 1)
        if entry.kind == kind
    ]
    return Section(title, tables=[Table(title, ["When (UTC)", "What", who, "Record"], rows)]) if rows else None


def _contents(details: Iterable[CaseDetail], *, zeros: bool) -> list[str]:
    """Without what the sentence says, and what a record counts as; without `zeros` if so wanted."""
    told = []
    for one in details:
        name = re.sub(r"^(fact|record|policy|target|kpi|coaching)\.", "", one.name)
        said = name.startswith(("outcome.", "evaluation.", "readings[", "record_id")) or name.endswith(
            ("employee_id", "date", "source", "policy_id")
        )
        if not said and (zeros or one.value != "0"):
            told.append(f"{_path(name)}: {one.value}")
    return told


def _reading(file: CaseFile) -> Section:
    reading = file.reading
    read = f"{reading.events:,} events of {reading.aggregates:,} aggregates were read from the log."
    hashes = (
        "Each names the hash of the one before it, and every hash was right: nothing but the last of each aggregate "
        "could have been changed, or taken away, unseen."
    )
    sentences = [f"{read} {hashes}"]
    if reading.left_out:
        sentences.append(
            f"Entries whose details are left out, for they are not the case’s to show, or not for this reader: "
            f"{reading.left_out:,}."
        )
    if reading.missing_positions:
        named = ", ".join(str(position) for position in reading.missing_positions)
        sentences.append(f"Nothing lies in the log at these positions, though they are named: {named}.")
    return Section("How it was read", sentences)


def _record(file: CaseFile) -> Section | None:
    """Every entry whole, with where it lies: to look up what the pages before leave out."""
    rows: list[list[Cell]] = [
        [
            f"#{number}",
            entry.event,
            f"{entry.stream} {entry.position}",
            entry.actor,
            "; ".join(
                [
                    *(f"{_path(one.name)}: {one.value}" for one in entry.details),
                    *([f"rests on: {', '.join(map(str, entry.rests_on))}"] if entry.rests_on else []),
                ]
            ),
        ]
        for number, entry in enumerate(file.entries, 1)
    ]
    if not rows:
        return None
    table = Table("The record", ["Record", "Event", "In the log", "Command by", "All that it says"], rows, fine=True)
    sentence = "Every event of the case whole, under the number that it has on the pages before."
    return Section("The record", [sentence], (), [table], own_page=True)


def _path(name: str) -> str:
    """Such as `fact.readings[0].kpi_id`, for people, who count from one."""
    counted = re.sub(r"\[(\d+)\]", lambda found: f" {int(found[1]) + 1}", name)
    return counted.replace(".", " › ").replace("_", " ")


def _actor(entry: CaseEntry, named: Callable[[str], str]) -> str:
    kind, _, name = entry.actor.partition(":")
    return named(name) if kind == "user" else f"the {kind} {name}"


def _named(file: CaseFile, employee_id: str) -> str:
    name = file.names.get(employee_id, "")
    return f"{name} ({employee_id})" if name else employee_id


def _day(entry: CaseEntry) -> date:
    return entry.time.ToDatetime(UTC).date()


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
