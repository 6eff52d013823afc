"""Call records, read by a declared mapping, as facts about agents.

A call belongs to the day of its record, also when it crosses midnight: its service then begins or ends after second
86400 of that day. How long it took is what the seconds column says, and its end is its start plus that; the end
column only helps where the start or the seconds are missing.
"""

import base64
import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path

from libs.cli.call_mapping import CallMapping, Readings
from libs.cli.lines import Lines
from libs.cli.mapping import Unusable, WrongFile, compile_format, day_of, index_of, second_of, shown
from stepladder.performance.v1.facts_pb2 import Fact, Reading

DAY = 86_400
"""Seconds. The longest call that records without an end date can tell."""
HOUR = 3600


@dataclass(frozen=True, slots=True)
class Call:
    """A served call: how many seconds it took, and when, in seconds of the day (None: unknown).

    `start` is when its service began; `begun` the same, or, of a call without service, when the caller came.
    """

    agent: str
    date: date
    seconds: int
    start: int | None
    begun: int | None


class _Rows:
    """Turns rows of one file into calls."""

    def __init__(self, mapping: CallMapping, header: Sequence[str] | None) -> None:
        def place(column: str | int | None) -> int | None:
            return None if column is None else index_of(column, header, self._width)

        self._mapping = mapping
        self._width = mapping.width if header is None else len(header)
        columns = mapping.columns
        self._agent = index_of(columns.agent, header, self._width)
        self._date = index_of(columns.date, header, self._width)
        self._times = (place(columns.arrival), place(columns.start), place(columns.end))
        self._seconds = place(columns.seconds)
        self._outcome = place(columns.outcome)
        self._date_pattern = compile_format(mapping.formats.date)
        self._time_pattern = compile_format(mapping.formats.time)
        # A day has so many different times; dates are few.
        self._parse_time = lru_cache(maxsize=DAY)(self._read_time)
        self._parse_date = lru_cache(maxsize=10_000)(self._read_date)

    def call(self, fields: Sequence[str]) -> Call:
        """Raises Unusable. Whether a row is anybody's call is asked before whether its figures are right."""
        if len(fields) != self._width:
            raise Unusable("columns", f"{len(fields)} fields in place of {self._width}")
        try:
            "".join(fields).encode()
        except UnicodeEncodeError:
            raise Unusable("bad_encoding", f"bytes that are not {self._mapping.encoding}") from None
        if self._outcome is not None:
            self._check_outcome(fields[self._outcome].strip())
        agent = fields[self._agent].strip()
        # The length that the contract takes for a name.
        if not 1 <= len(agent) <= 200:
            raise Unusable("bad_agent", f"{shown(agent)} is no name of 1 to 200 characters")
        if agent in self._mapping.nobody:
            raise Unusable(self._mapping.nobody[agent], f"the agent {shown(agent)} is nobody")
        day = self._parse_date(fields[self._date].strip())
        arrival, start, end = (
            None if index is None else self._parse_time(fields[index].strip()) for index in self._times
        )
        if self._seconds is not None:
            seconds = _read_seconds(fields[self._seconds].strip())
        elif start is not None and end is not None:
            seconds = (end - start) % DAY
        else:
            raise Unusable("bad_time", "without start and end, how long the call took is unknown")
        if start is None and end is not None:
            start = (end - seconds) % DAY
        # Clocks of different machines differ by seconds; a start half a day before the caller came is of the next day.
        if start is not None and arrival is not None and arrival - start > DAY // 2:
            start += DAY
        return Call(agent, day, seconds, start, arrival if start is None else start)

    def _check_outcome(self, outcome: str) -> None:
        outcomes = self._mapping.outcomes
        if outcome in outcomes.ignored:
            raise Unusable(outcomes.ignored[outcome], f"the outcome is {shown(outcome)}")
        if outcome not in outcomes.served:
            raise Unusable("unknown_outcome", f"the mapping does not know the outcome {shown(outcome)}")

    def _read_date(self, text: str) -> date:
        return day_of(self._date_pattern.fullmatch(text), text, self._mapping.formats.date)

    def _read_time(self, text: str) -> int | None:
        formats = self._mapping.formats
        if text in formats.unknown_times:
            return None
        return second_of(self._time_pattern.fullmatch(text), text, formats.time)


def _read_seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Unusable("bad_seconds", f"{shown(text)} is no whole number from 0")
    # The length first: converting a very long number takes long.
    if len(text) > 9 or int(text) > DAY:
        raise Unusable("bad_seconds", f"{shown(text)} seconds are more than a day")
    return int(text)


@dataclass(slots=True)
class _Sums:
    """What some calls add up to."""

    calls: int = 0
    seconds: int = 0
    short: int = 0


@dataclass(slots=True)
class _Day:
    """What one agent's day adds up to, by the hour of the wall clock (None: unknown) in which calls began.

    `first` and `last` stay None until a call with known times comes.
    """

    hours: dict[int | None, _Sums] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    def add(self, call: Call, short_below: int) -> None:
        hour = None if call.begun is None else call.begun % DAY // HOUR
        sums = self.hours.setdefault(hour, _Sums())
        sums.calls += 1
        sums.seconds += call.seconds
        sums.short += call.seconds < short_below
        if call.start is not None:
            end = call.start + call.seconds
            self.first = call.start if self.first is None else min(self.first, call.start)
            self.last = end if self.last is None else max(self.last, end)

    def readings(self, kpis: Readings) -> Iterator[Reading]:
        """Sums have a sample for each hour; those of a day with a call of unknown time have no starts."""
        hours = sorted(self.hours, key=lambda hour: -1 if hour is None else hour)
        starts = [] if None in self.hours else [hour * 60 for hour in hours if hour is not None]
        sums = [self.hours[hour] for hour in hours]
        calls, seconds = [one.calls for one in sums], [one.seconds for one in sums]
        measures: tuple[tuple[str | None, list[int], list[int]], ...] = (
            (kpis.calls, calls, []),
            (kpis.talk_seconds, seconds, []),
            (kpis.seconds_per_call, seconds, calls),
            (kpis.short_calls, [one.short for one in sums], calls),
        )
        for kpi_id, numerators, denominators in measures:
            if kpi_id is not None:
                yield Reading(kpi_id=kpi_id, numerators=numerators, denominators=denominators, starts=starts)
        for kpi_id, second in ((kpis.first_second, self.first), (kpis.last_second, self.last)):
            if kpi_id is not None and second is not None:
                yield Reading(kpi_id=kpi_id, numerators=[second])


@dataclass(frozen=True)
class CallFacts:
    """What a call file says.

    Attributes:
        centre: whose calls they are.
        digest: of the file's bytes, the mapping and the centre: the same digest, the same facts.
        rows: rows read, without header and empty lines; those used and those unusable add up to it.
        used: rows that became part of a fact.
        unusable: rows that did not, by reason.
        agents: names by employee id, in the order of the names.
        first_date, last_date: of the calls; None when there are none.
    """

    centre: str
    digest: str
    rows: int
    used: int
    unusable: Mapping[str, int]
    agents: Mapping[str, str]
    first_date: date | None
    last_date: date | None
    _mapping: CallMapping = field(repr=False)
    _days: Mapping[str, Mapping[date, _Day]] = field(repr=False)

    def __len__(self) -> int:
        """The number of facts: one for each agent and day."""
        return sum(map(len, self._days.values()))

    def __iter__(self) -> Iterator[Fact]:
        """The facts by agent's name and date: those of an employee follow each other."""
        for employee, name in self.agents.items():
            for day, sums in sorted(self._days[name].items()):
                readings = sums.readings(self._mapping.readings)
                yield Fact(employee_id=employee, date=day.isoformat(), source=self._mapping.source, readings=readings)


def read_calls(
    path: Path,
    mapping: CallMapping,
    *,
    centre: str,
    report: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> CallFacts:
    """Reads a call file once, keeping only sums of each agent and day.

    Args:
        path: the file.
        mapping: how to read it.
        centre: a short id of the contact centre, part of every employee's id and of the team's.
        report: a CSV to write, with `line,reason,detail` of every row that cannot be used.
        progress: is given the bytes read so far, now and then and at the end.

    Raises WrongFile when it is no such file at all or the centre's id is none, and OSError.
    """
    check_centre(centre)
    lines = Lines(progress)
    days: defaultdict[str, defaultdict[date, _Day]] = defaultdict(lambda: defaultdict(_Day))
    unusable: Counter[str] = Counter()
    used = 0
    opened = report.open("w", encoding="utf-8", newline="") if report else nullcontext()
    with path.open("rb") as file, opened as out:
        problems = csv.writer(out) if out else None
        if problems:
            problems.writerow(("line", "reason", "detail"))
        for line, outcome in _judged(lines.read(file, mapping.encoding), mapping):
            if isinstance(outcome, Call):
                used += 1
                days[outcome.agent][outcome.date].add(outcome, mapping.short_call_seconds)
                continue
            unusable[outcome.reason] += 1
            if problems:
                problems.writerow((line, outcome.reason, outcome.detail))
    dates = [day for own in days.values() for day in own]
    lines.digest.update(f"\n{mapping.digest}\n{centre}".encode())
    return CallFacts(
        centre=centre,
        digest=lines.digest.hexdigest(),
        rows=used + unusable.total(),
        used=used,
        unusable=dict(sorted(unusable.items())),
        agents={employee_id(centre, name): name for name in sorted(days)},
        first_date=min(dates, default=None),
        last_date=max(dates, default=None),
        _mapping=mapping,
        _days=days,
    )


def check_centre(centre: str) -> None:
    """Raises WrongFile if it is no id of a contact centre."""
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,59}", centre):
        raise WrongFile(f"the centre {centre!r} must be 1 to 60 lower-case letters, digits or hyphens")


def employee_id(centre: str, name: str) -> str:
    """The id of the agent of that name. Ids stay in the log for ever, so they must not tell who the person is."""
    digest = hashlib.sha256(f"{centre}:{name}".encode()).digest()
    return "e-" + base64.b32encode(digest).decode().lower()[:10]


def _judged(lines: Iterator[str], mapping: CallMapping) -> Iterator[tuple[int, Call | Unusable]]:
    """Every row that is not empty, with the number of its (last) line, from 1."""
    reader = csv.reader(
        lines,
        delimiter=mapping.delimiter,
        quotechar=mapping.quote or None,
        quoting=csv.QUOTE_MINIMAL if mapping.quote else csv.QUOTE_NONE,
    )
    header = None
    if mapping.header:
        try:
            header = [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise WrongFile(f"the first line is no header: {error}") from None
        if not header:
            raise WrongFile("the first line is empty, a header was expected")
    rows = _Rows(mapping, header)
    while True:
        try:
            fields = next(reader, None)
            if fields is None:
                return
            if fields:
                yield reader.line_num, rows.call(fields)
        except csv.Error as error:
            yield reader.line_num, Unusable("columns", str(error))
        except Unusable as unusable:
            yield reader.line_num, unusable
