"""A case file as people read and print it. Pure."""

from collections.abc import Callable, Iterable
from datetime import UTC

from libs.documents.document import Cell, Document, Section, Table
from stepladder.coaching.v1.case_file_pb2 import CaseEntry, CaseFile

_SAID_ALREADY = (
    *("plan_id", "pip_id", "employee_id", "lead_id", "by"),
    *("evidence.", "drift.", "detection.", "measured.", "goals[", "results[", "pins[", "drifts[", "rules."),
)
"""Details that stand above everything, in the sentence, or among the figures."""

_PARTS = (CaseEntry.KIND_FACT, CaseEntry.KIND_RULE)


def case_document(file: CaseFile) -> Document:
    """Whose it is and how it stands; what was kept, then and now; what happened; what it rests on; how it was read."""
    facts = [entry for entry in file.entries if entry.kind == CaseEntry.KIND_FACT]
    rules = [entry for entry in file.entries if entry.kind == CaseEntry.KIND_RULE]
    done = [entry for entry in file.entries if entry.kind not in _PARTS]
    employee = _named(file, file.employee_id)
    what = f"PIP {file.pip_id}" if file.pip_id else f"Coaching plan {file.plan_id}"
    coach = f"; with {_named(file, file.lead_id)}" if file.lead_id else ""
    sections = [
        _figures(file),
        Section("What happened", tables=[_table(file, "What happened", done, "By")]),
        Section("Facts", tables=[_table(file, "Facts", facts, "Recorded by")]) if facts else None,
        Section("Rules and targets", tables=[_table(file, "Rules and targets", rules, "Set by")]) if rules else None,
        _reading(file),
    ]
    return Document(
        title=f"Case file · {employee}",
        subtitle=f"{what}{coach}. As of {file.made_time.ToDatetime(UTC):%Y-%m-%d %H:%M} UTC.",
        headlines=[("State", file.state), ("Events", str(len(file.entries))), ("Facts", str(len(facts)))],
        sections=[one for one in sections if one is not None],
    )


def _figures(file: CaseFile) -> Section | None:
    if not file.figures:
        return None
    rows: list[list[Cell]] = [[one.what, one.target, one.before, one.now] for one in file.figures]
    changed = frozenset(place for place, one in enumerate(file.figures) if one.now)
    sentence = (
        f"{len(changed)} of these {'has' if len(changed) == 1 else 'have'} changed with the facts since it was kept."
        if changed
        else "None of these has changed since it was kept."
    )
    return Section(
        "What it rests on", [sentence], (), [Table("Figures", ["What", "Target", "Then", "Now"], rows, changed)]
    )


def _table(file: CaseFile, title: str, entries: Iterable[CaseEntry], who: str) -> Table:
    rows: list[list[Cell]] = [
        [
            f"{entry.time.ToDatetime(UTC):%Y-%m-%d %H:%M}",
            _actor(entry, lambda one: _named(file, one)),
            _what(entry),
            f"{entry.stream} {entry.position}",
        ]
        for entry in entries
    ]
    return Table(title, ["When (UTC)", who, "What", "In the log"], rows)


def _what(entry: CaseEntry) -> str:
    """The sentence, and below it the details: of facts and rules, which are one thing each, in one go."""
    parts = entry.kind in _PARTS
    lines = []
    for one in entry.details:
        if not (_is_named_above(one.name) if parts else one.name.startswith(_SAID_ALREADY)):
            name = one.name.partition(".")[2] or one.name if parts else one.name
            lines.append(f"{name.replace('_', ' ')}: {one.value}")
    return "\n".join([entry.sentence, *(["; ".join(lines)] if parts and lines else lines)])


def _is_named_above(name: str) -> bool:
    """Of facts and rules: whose and when, and what a record counts as."""
    return name.startswith("outcome.") or name.endswith(("employee_id", "date", "source", "policy_id"))


def _actor(entry: CaseEntry, named: Callable[[str], str]) -> str:
    kind, _, name = entry.actor.partition(":")
    return named(name) if kind == "user" else entry.actor


def _named(file: CaseFile, employee_id: str) -> str:
    name = file.names.get(employee_id, "")
    return f"{name} ({employee_id})" if name else employee_id


def _reading(file: CaseFile) -> Section:
    reading = file.reading
    read = f"{reading.events} events of {reading.aggregates} aggregates were read from the log."
    hashes = (
        "Each names the hash of the one before it, and every hash was right: nothing but the last of each aggregate "
        "could have been changed, or taken away, unseen."
    )
    sentences = [f"{read} {hashes}"]
    if reading.left_out:
        sentences.append(f"Of {reading.left_out} entries the details are left out: they are not the case’s to show.")
    if reading.missing_positions:
        named = ", ".join(str(position) for position in reading.missing_positions)
        sentences.append(f"Nothing lies in the log at these positions, though they are named: {named}.")
    return Section("How it was read", sentences)
