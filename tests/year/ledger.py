"""What a centre has said so far: people, rules and readings, as plain lists that anyone can add up."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, Employee
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.performance.v1.record_pb2 import Record as Written

Key = tuple[str, date, str, str]
"""Employee, day, source, KPI."""
Samples = tuple[tuple[int, ...], tuple[int, ...]]
"""Numerators and denominators."""


@dataclass(frozen=True)
class Transfer:
    employee_id: str
    day: date
    team_id: str


@dataclass(frozen=True)
class Promotion:
    employee_id: str
    day: date
    position: str
    stars: int


@dataclass(frozen=True)
class Status:
    employee_id: str
    day: date
    status: int


@dataclass(frozen=True)
class Lead:
    team_id: str
    day: date
    employee_id: str


@dataclass(frozen=True)
class Retire:
    """No readings of a KPI are taken for this day and later ones."""

    kpi_id: str
    day: date


@dataclass(frozen=True)
class Record:
    key: Key
    samples: Samples


@dataclass(frozen=True)
class Correct:
    key: Key
    samples: Samples


@dataclass(frozen=True)
class Retract:
    key: Key


@dataclass(frozen=True)
class Dispute:
    key: Key
    reviewer_id: str


@dataclass(frozen=True)
class Settle:
    """Upheld when `overturned` is not said; then `corrected` takes the reading's place, or nothing does."""

    key: Key
    reviewer_id: str
    overturned: bool = False
    corrected: Samples | None = None


@dataclass(frozen=True)
class Write:
    """A record: an evaluation, a violation, a shift..."""

    record: Written


@dataclass(frozen=True)
class Rewrite:
    """Another in the place of the record of this id."""

    record: Written


@dataclass(frozen=True)
class Revoke:
    record_id: str


@dataclass(frozen=True)
class Acknowledge:
    record_id: str
    employee_id: str


@dataclass(frozen=True)
class Appeal:
    """Against items of an evaluation, or against a record as a whole."""

    record_id: str
    reviewer_id: str
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decide:
    """Of an appeal: upheld when `overturned` is not said; without items, all that was appealed against."""

    record_id: str
    reviewer_id: str
    overturned: bool = False
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class RateElsewhere:
    employee_id: str
    month: str


@dataclass(frozen=True)
class Close:
    """For everyone, or for those of a team."""

    month: str
    team_id: str = ""


@dataclass(frozen=True)
class Found:
    """A new team."""

    team_id: str


Change = Transfer | Promotion | Status | Lead
Rule = Target | Policy
Step = (
    Kpi
    | Found
    | Employee
    | Change
    | Rule
    | Retire
    | Record
    | Correct
    | Retract
    | Dispute
    | Settle
    | Write
    | Rewrite
    | Revoke
    | Acknowledge
    | Appeal
    | Decide
    | RateElsewhere
    | Close
)
"""One thing that a centre says, by a command of its own."""


@dataclass
class Paper:
    """A record as it stands, with the version of its form or rule book."""

    record: Written
    rules: Policy | None
    stands: bool = True
    overturned: frozenset[str] = frozenset()
    """Items of an evaluation that count as achieved."""
    appealed: tuple[str, ...] | None = None
    """None while no appeal is open; without items, one against the whole."""


@dataclass
class Ledger:
    """Everything in the order in which it was said; `readings` by employee and month, as they stand now."""

    kpis: dict[str, Kpi] = field(default_factory=dict)
    hires: dict[str, Employee] = field(default_factory=dict)
    changes: defaultdict[tuple[type[Change], str], list[Change]] = field(default_factory=lambda: defaultdict(list))
    """Of a kind, by the employee or, of leads, the team."""
    rules: list[Rule] = field(default_factory=list)
    readings: dict[tuple[str, str], dict[Key, Samples]] = field(default_factory=dict)
    disputed: set[Key] = field(default_factory=set)
    papers: defaultdict[str, dict[str, Paper]] = field(default_factory=lambda: defaultdict(dict))
    """By employee and id."""
    subjects: dict[str, str] = field(default_factory=dict)
    """Whom a record is about."""
    rated_elsewhere: set[tuple[str, str]] = field(default_factory=set)
    closed: dict[str, int] = field(default_factory=dict)
    """How many of `rules` had been said when the month was closed."""

    def hear(self, step: Step) -> None:
        """One more thing is so."""
        match step:
            case Kpi():
                self.kpis[step.kpi_id] = step
            case Employee():
                self.hires[step.employee_id] = step
            case Transfer() | Promotion() | Status():
                self.changes[type(step), step.employee_id].append(step)
            case Lead():
                self.changes[Lead, step.team_id].append(step)
            case Target() | Policy():
                self.rules.append(step)
            case Record() | Correct():
                self.put(step.key, step.samples)
            case Retract():
                self.take_back(step.key)
            case Dispute():
                self.disputed.add(step.key)
            case Settle():
                self.disputed.discard(step.key)
                if step.corrected is not None:
                    self.put(step.key, step.corrected)
                elif step.overturned:
                    self.take_back(step.key)
            case Write() | Rewrite():
                self.subjects[step.record.record_id] = step.record.employee_id
                paper = Paper(step.record, self.rules_of(step.record))
                self.papers[step.record.employee_id][step.record.record_id] = paper
            case Revoke():
                self.paper(step.record_id).stands = False
            case Appeal():
                self.paper(step.record_id).appealed = step.item_ids
            case Decide():
                paper = self.paper(step.record_id)
                if step.overturned and paper.appealed:
                    paper.overturned |= set(step.item_ids or paper.appealed)
                elif step.overturned:
                    paper.stands = False
                paper.appealed = None
            case RateElsewhere():
                self.rated_elsewhere.add((step.employee_id, step.month))
            case Close():
                self.closed[step.month] = len(self.rules)
            case Found() | Retire() | Acknowledge():
                pass

    def paper(self, record_id: str) -> Paper:
        return self.papers[self.subjects[record_id]][record_id]

    def rules_of(self, record: Written) -> Policy | None:
        """The version of a form or rule book in force on the record's day, out of those said so far."""
        policy_id = record.evaluation.form_id or record.violation.rule_book_id
        found = None
        for rule in self.rules:
            if isinstance(rule, Policy) and rule.policy_id == policy_id and rule.effective_date <= record.date:
                found = rule if found is None or rule.effective_date >= found.effective_date else found
        return found

    def put(self, key: Key, samples: Samples) -> None:
        """A reading, or another in its place."""
        self.readings.setdefault((key[0], month_of(key[1])), {})[key] = samples

    def take_back(self, key: Key) -> None:
        del self.readings[key[0], month_of(key[1])][key]

    def of_month(self, employee_id: str, month: str) -> dict[Key, Samples]:
        return self.readings.get((employee_id, month), {})

    def hired(self, employee_id: str) -> date:
        return date.fromisoformat(self.hires[employee_id].hire_date)

    def team_on(self, employee_id: str, day: date) -> str:
        found, since = self.hires[employee_id].team_id, self.hired(employee_id)
        for change in self.changes[Transfer, employee_id]:
            if isinstance(change, Transfer) and since <= change.day <= day:
                found, since = change.team_id, change.day
        return found

    def position_on(self, employee_id: str, day: date) -> tuple[str, int]:
        """Position and stars."""
        hire = self.hires[employee_id]
        found, since = (hire.position, hire.stars), self.hired(employee_id)
        for change in self.changes[Promotion, employee_id]:
            if isinstance(change, Promotion) and since <= change.day <= day:
                found, since = (change.position, change.stars), change.day
        return found

    def employed_on(self, employee_id: str, day: date) -> bool:
        if day < self.hired(employee_id):
            return False
        return not any(
            isinstance(change, Status) and change.status == EMPLOYMENT_STATUS_LEFT and change.day <= day
            for change in self.changes[Status, employee_id]
        )

    def lead_on(self, team_id: str, day: date) -> str:
        found, since = "", date.min
        for change in self.changes[Lead, team_id]:
            if isinstance(change, Lead) and since <= change.day <= day:
                found, since = change.employee_id, change.day
        return found


def month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def days_of(month: str) -> Iterator[date]:
    day = date.fromisoformat(f"{month}-01")
    while month_of(day) == month:
        yield day
        day += timedelta(days=1)
