"""`stepladder import roster`: who is there, out of a table, against what the directory says.

The table says how things are from a day on; what changes by that is worked out by the performance service, for a dry
run and for the import alike. With one wrong row nothing is changed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import protovalidate
from grpc.aio import Channel
from pydantic import Field
from rich.console import Console
from rich.table import Table as Shown

from libs.cli.calling import front_door
from libs.cli.importing import PATIENCE_SECONDS, send_patiently
from libs.cli.mapping import (
    Column,
    DateFormat,
    Delimiter,
    Encoding,
    Part,
    Unusable,
    WrongFile,
    compile_format,
    day_of,
    index_of,
    load,
    shown,
)
from libs.cli.tables import Row, Table, is_xlsx, read_csv, read_xlsx
from libs.common.rpc import field_path
from libs.common.wording import in_words
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
    ImportRosterRequest,
    ImportRosterResponse,
    PlanRosterRequest,
    PlanRosterResponse,
    RosterChange,
    RosterEmployee,
    RosterTeam,
    StaffRoster,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub

ROWS_WRONG = 3
"""Exit status when rows were wrong, and nothing was changed."""
ANSWER_SECONDS = 300.0
"""As long as Envoy waits (deploy/envoy/envoy.yaml): a roster may name thousands."""
LEFT = "left"
STATUSES = {
    "probation": EMPLOYMENT_STATUS_PROBATION,
    "confirmed": EMPLOYMENT_STATUS_CONFIRMED,
    "on leave": EMPLOYMENT_STATUS_ON_LEAVE,
}
E = TypeVar("E", RosterTeam, RosterEmployee)
_VALIDATOR = protovalidate.Validator()
TRUTHS = {"": None, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Columns(Part):
    """Where each thing is said; what has no column is not said.

    Attributes:
        employee_id: whom a row is about; in lower case it is the id.
        lead_id: who leads the row's team.
        status: probation, confirmed, on leave or left.
        effective_date: from when on the row holds; empty: the day of the import.
    """

    employee_id: Column
    name: Column | None = None
    team_id: Column | None = None
    team_name: Column | None = None
    lead_id: Column | None = None
    hire_date: Column | None = None
    job_family: Column | None = None
    position: Column | None = None
    stars: Column | None = None
    acting: Column | None = None
    position_since: Column | None = None
    status: Column | None = None
    effective_date: Column | None = None


class RosterMapping(Part):
    """How a table is read. Without a mapping its columns have the names of `Columns`, and no others are there.

    Attributes:
        statuses: what the column of the status says, in upper or lower case, and what that means.
    """

    columns: Columns
    delimiter: Delimiter = ","
    encoding: Encoding = "utf-8-sig"
    header_row: int = Field(default=1, ge=1)
    sheet: str | None = None
    date: DateFormat = "YYYY-MM-DD"
    statuses: dict[str, str] = Field(default_factory=lambda: {one: one for one in (*STATUSES, LEFT)})


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row, by its number in the file, that cannot be taken, and why."""

    row: str
    reason: str
    message: str


@dataclass(slots=True)
class Read:
    """What a table says, with the rows of its entries; and the rows that say nothing that can be used."""

    roster: StaffRoster = field(default_factory=StaffRoster)
    rows: list[str] = field(default_factory=list)
    team_rows: list[str] = field(default_factory=list)
    wrong: list[WrongRow] = field(default_factory=list)

    def row_of(self, place: str) -> str:
        """Of an entry that the service names, such as `employees[3]`; empty where no row says it."""
        kind, _, number = place.rstrip("]").partition("[")
        rows = self.team_rows if kind == "teams" else self.rows
        return rows[int(number)] if number else ""


class _Reader:
    """Turns rows into entries."""

    def __init__(self, mapping: RosterMapping, header: Sequence[str]) -> None:
        named = mapping.columns.model_dump(exclude_none=True)
        self._places = {name: index_of(column, header, len(header)) for name, column in named.items()}
        self._width = len(header)
        self._encoding = mapping.encoding
        self._date = mapping.date
        self._pattern = compile_format(mapping.date)
        self._statuses = {word.strip().casefold(): meaning for word, meaning in mapping.statuses.items()}
        self._teams: dict[str, RosterTeam] = {}
        self._seen: dict[str, str] = {}

    def read(self, rows: Iterable[Row]) -> Read:
        read = Read()
        for row in rows:
            try:
                entry = self._entry(row)
                team = self._team(row, entry.team_id)
            except Unusable as wrong:
                read.wrong.append(WrongRow(row.number, wrong.reason, wrong.detail))
                continue
            read.roster.employees.append(entry)
            read.rows.append(row.number)
            if team is not None:
                if team.team_id not in self._teams:
                    read.team_rows.append(row.number)
                self._teams[team.team_id] = team
        read.roster.teams.extend(self._teams.values())
        return read

    def _entry(self, row: Row) -> RosterEmployee:
        row.check(self._width, self._encoding)
        employee_id = self._text(row, "employee_id").lower()
        if not employee_id:
            raise Unusable("employee_missing", "employee_id: the row does not say whom it is about")
        if (first := self._seen.setdefault(employee_id, row.number)) != row.number:
            raise Unusable(
                "named_twice", f"employee_id: {employee_id} stands in row {first} already; leave one of them"
            )
        entry = RosterEmployee(
            employee_id=employee_id,
            display_name=self._text(row, "name"),
            hire_date=self._day(row, "hire_date"),
            team_id=self._text(row, "team_id").lower(),
            job_family=self._text(row, "job_family").lower(),
            position=self._text(row, "position").lower(),
            position_since=self._day(row, "position_since"),
            effective_date=self._day(row, "effective_date"),
        )
        if stars := self._text(row, "stars"):
            if stars not in {"0", "1", "2", "3", "4", "5"}:
                raise Unusable("bad_stars", f"stars: {shown(stars)} is no number from 0 to 5")
            entry.stars = int(stars)
        acting = self._text(row, "acting").lower()
        if acting not in TRUTHS:
            raise Unusable("bad_acting", f"acting: {shown(acting)} is neither yes nor no")
        if (truth := TRUTHS[acting]) is not None:
            entry.acting = truth
        self._employ(row, entry)
        return _valid(entry)

    def _employ(self, row: Row, entry: RosterEmployee) -> None:
        """Employment, where the row says something of it."""
        if not (word := self._text(row, "status")):
            return
        meaning = self._statuses.get(word.casefold(), "")
        if meaning not in (*STATUSES, LEFT):
            known = ", ".join(self._statuses)
            raise Unusable("bad_status", f"status: {shown(word)} is none; known are {known}")
        entry.employed = meaning != LEFT
        if entry.employed:
            entry.status = STATUSES[meaning]

    def _team(self, row: Row, team_id: str) -> RosterTeam | None:
        """What is said of a row's team by now, if this row says something of it. Raises Unusable if others differ."""
        name, lead_id = self._text(row, "team_name"), self._text(row, "lead_id").lower()
        if not team_id or not (name or lead_id):
            return None
        known = self._teams.get(team_id, RosterTeam(team_id=team_id))
        told = (("team_name", name, known.display_name), ("lead_id", lead_id, known.lead_id))
        for column, said, before in told:
            if said and before and said != before:
                raise Unusable("team_told_twice", f"{column}: of team {team_id} another row says {before}, not {said}")
        team = RosterTeam(team_id=team_id, display_name=name or known.display_name)
        if lead_id or known.lead_id:
            team.lead_id = lead_id or known.lead_id
        return _valid(team)

    def _text(self, row: Row, name: str) -> str:
        place = self._places.get(name)
        return row.cells[place].strip() if place is not None and place < len(row.cells) else ""

    def _day(self, row: Row, name: str) -> str:
        if not (text := self._text(row, name)):
            return ""
        try:
            return day_of(self._pattern.fullmatch(text), text, self._date).isoformat()
        except Unusable as wrong:
            raise Unusable(wrong.reason, f"{name}: {wrong.detail}") from None


def _valid(entry: E) -> E:
    """Raises Unusable for one that breaks a rule of the contract."""
    violations = _VALIDATOR.collect_violations(entry)
    if violations:
        texts = (f"{field_path(one.proto.field)}: {in_words(one.proto, entry)}" for one in violations)
        raise Unusable("invalid", "; ".join(texts))
    return entry


def read_roster(path: Path, mapping: RosterMapping | None, sheet: str | None) -> Read:
    """Raises WrongFile and OSError."""
    plain = RosterMapping(columns=Columns(employee_id="employee_id"))
    table = _open(path, mapping or plain, sheet)
    header = list(table.header or ())
    if mapping is None:
        if strange := [name for name in header if name not in Columns.model_fields]:
            known = ", ".join(Columns.model_fields)
            raise WrongFile(f"{path}: unknown columns: {', '.join(strange)}; known are {known}; or give a --mapping")
        if "employee_id" not in header:
            raise WrongFile(f"{path} has no column employee_id")
        mapping = plain.model_copy(update={"columns": Columns(**{name: name for name in header})})
    return _Reader(mapping, header).read(table.rows)


def _open(path: Path, mapping: RosterMapping, sheet: str | None) -> Table:
    if is_xlsx(path):
        return read_xlsx(path, sheet=sheet or mapping.sheet, decimal_mark=".", header_row=mapping.header_row)
    return read_csv(path, delimiter=mapping.delimiter, encoding=mapping.encoding, header_row=mapping.header_row)


async def import_roster(
    channel: Channel, read: Read, *, dry_run: bool, patience: float = PATIENCE_SECONDS
) -> PlanRosterResponse | ImportRosterResponse:
    """Has the service do what a table says; with `dry_run`, or wrong rows, only say what that would be.

    Raises ImportFailed. Sent again after that, it goes on where it was.
    """
    stub = DirectoryServiceStub(channel)
    if dry_run or read.wrong:
        plan = PlanRosterRequest(roster=read.roster)
        # A row that cannot be read may be about somebody who would seem to be missing.
        plan.roster.complete = read.roster.complete and not read.wrong
        return await send_patiently(stub.PlanRoster, plan, "the plan of the roster", patience, seconds=ANSWER_SECONDS)
    request = ImportRosterRequest(roster=read.roster)
    answer: ImportRosterResponse = await send_patiently(
        stub.ImportRoster, request, "the roster", patience, seconds=ANSWER_SECONDS
    )
    return answer


async def import_roster_file(
    file: Path, mapping: Path | None, sheet: str | None, as_of: str, token: str, *, leavers: bool, dry_run: bool
) -> int:
    """Imports a roster into a running system and prints what changes; answers the exit status."""
    read = read_roster(file, load(mapping, RosterMapping) if mapping else None, sheet)
    read.roster.effective_date, read.roster.complete = as_of, leavers
    async with front_door(token) as channel:
        answer = await import_roster(channel, read, dry_run=dry_run)
    return show(read, answer, dry_run=dry_run)


def show(read: Read, answer: PlanRosterResponse | ImportRosterResponse, *, dry_run: bool) -> int:
    """Prints what changes and which rows are wrong; answers the exit status."""
    wrong = read.wrong + [WrongRow(read.row_of(one.field), one.reason, one.message) for one in answer.problems]
    _print_table(
        ("change", "id", "name", "from", "to", "as of"),
        [(_kind(one), one.id, one.display_name, one.before, one.after, one.effective_date) for one in answer.changes],
    )
    _print_table(("row", "what is wrong", "reason"), [(one.row, one.message, one.reason) for one in wrong])
    counts = Counter(map(_kind, answer.changes))
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "no changes"
    print(f"{len(read.rows) + len(read.wrong)} rows: {told}; {answer.unchanged} unchanged, {len(wrong)} wrong")
    if wrong:
        print("nothing was changed: mend these rows first")
        return ROWS_WRONG
    if dry_run:
        print("nothing was changed: this was a dry run")
    return 0


def _kind(change: RosterChange) -> str:
    return RosterChange.Kind.Name(change.kind).removeprefix("KIND_").lower().replace("_", " ")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    console = Console()
    if console.is_terminal:
        table = Shown(*columns)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        print("\n".join("\t".join(row) for row in (columns, *rows)))
