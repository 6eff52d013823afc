"""The at-risk roster as people read it: who, by which signals, and when somebody looked after them. Pure."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from libs.documents.document import Bars, Cell, Document, Section, Table
from stepladder.performance.v1.roster_pb2 import AtRiskEntry, AtRiskRoster

NOBODY = Section("Who", ["Nobody's signals come to the points of the policy."])


def roster_document(found: AtRiskRoster, team_id: str, names: Mapping[str, str]) -> Document:
    """What a roster says of a team, or of the centre for an empty id; `names` of employees and teams by id."""
    reviewed = any(entry.review_overdue or entry.HasField("last_review") for entry in found.entries)
    headlines: list[tuple[str, Cell]] = [("People on the roster", len(found.entries))]
    if reviewed:
        overdue = sum(entry.review_overdue for entry in found.entries)
        headlines.append(("Reviews overdue", overdue))
    if found.without_policy:
        headlines.append(("Not looked at", len(found.without_policy)))
    return Document(
        title=f"At-risk roster · {names.get(team_id, 'Centre')}",
        subtitle=f"As of {found.as_of}. It says what was seen, and is no verdict about anybody.",
        headlines=headlines,
        sections=[_people(found, names, reviewed=reviewed), _signals(found, names)] if found.entries else [NOBODY],
    )


def _people(found: AtRiskRoster, names: Mapping[str, str], *, reviewed: bool) -> Section:
    columns = ["Name", "Team", "Points", "Signals"]
    columns += ["Last review", "Next due", "Overdue"] if reviewed else []
    rows: list[list[Cell]] = []
    for entry in found.entries:
        row: list[Cell] = [
            names[entry.employee_id],
            names[entry.team_id],
            entry.points,
            ", ".join(signal.display_name for signal in entry.signals),
        ]
        if reviewed:
            row += [entry.last_review.date, entry.review_due_date, "overdue" if entry.review_overdue else ""]
        rows.append(row)
    overdue = frozenset(place for place, entry in enumerate(found.entries) if entry.review_overdue)
    return Section("Who", tables=[Table("People", columns, rows, marked=overdue)])


def _signals(found: AtRiskRoster, names: Mapping[str, str]) -> Section:
    counts: dict[str, int] = {}
    for entry in found.entries:
        for signal in entry.signals:
            counts[signal.display_name] = counts.get(signal.display_name, 0) + 1
    most = sorted(counts, key=lambda name: (-counts[name], name))
    columns = ["Name", "Signal", "Seen", "Before", "Points", "Facts", "Disputed"]
    rows = [row for entry in found.entries for row in _seen(entry, names)]
    chart = Bars("How many people each holds for", "people", most, [Decimal(counts[name]) for name in most])
    return Section("Signals", charts=[chart], tables=[Table("Signals that hold", columns, rows)])


def _seen(entry: AtRiskEntry, names: Mapping[str, str]) -> list[list[Cell]]:
    return [
        [
            names[entry.employee_id],
            signal.display_name,
            _cell(signal.value),
            _cell(signal.baseline),
            signal.points,
            len(signal.facts) + len(signal.check_ins),
            "disputed" if signal.disputed else "",
        ]
        for signal in entry.signals
    ]


def _cell(text: str) -> Cell:
    """A number, a rating in words, or nothing."""
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return text.replace("_", " ").lower()
