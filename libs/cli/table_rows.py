"""Rows of a table as facts or records, as a mapping declares them; of a row that cannot be used, why."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, Inexact
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

import protovalidate

from libs.cli.calls import employee_id
from libs.cli.mapping import Column, Part, Unusable, compile_format, day_of, index_of, second_of, shown
from libs.cli.table_mapping import (
    BOOLEANS,
    NOT_APPLICABLE,
    Attendance,
    Cell,
    Employee,
    Evaluation,
    Number,
    Ratio,
    Record,
    TableMapping,
    Training,
)
from libs.cli.tables import Row
from libs.common.days import timestamp
from libs.common.rpc import field_path
from stepladder.performance.v1 import record_pb2 as pb
from stepladder.performance.v1.facts_pb2 import Fact, Reading

E = TypeVar("E", bound=int)

LARGEST = 10**12
"""What the contract takes for a numerator or denominator."""

MOST_VALUES_SHOWN = 20
"""In the message about a value that the mapping does not know."""

_EXACT = Context(prec=100, traps=[Inexact])
_VALIDATOR = protovalidate.Validator()
_ONE_DAY = timedelta(days=1)
_DURATION = re.compile("([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])")
_SPACES = re.compile(r"[\s\u00a0\u202f]")


class Rows:
    """Turns rows of one table into messages.

    Args:
        mapping: what the columns mean.
        header: the names of the columns, if the table has them.
        centre: of whose people the ids are made, where the mapping has names.
        zone: of the times, unless the mapping names another.

    Raises WrongFile when the mapping names a column that is not there.
    """

    def __init__(self, mapping: TableMapping, header: Sequence[str] | None, *, centre: str, zone: ZoneInfo) -> None:
        self._mapping = mapping
        self._header = header
        self._centre = centre
        self._zone = mapping.time_zone or zone
        width = None if header is None else len(header)
        self._places = {column: index_of(column, header, width) for column in _columns(mapping)}
        self._time_columns = (
            _columns(attendance) if (attendance := mapping.record and mapping.record.attendance) else ()
        )
        formats = mapping.formats
        # Behind the declared ones those in which cells with real dates and times come.
        self._days = _compiled(formats.date, "YYYY-MM-DD", "YYYY-MM-DD hh:mm:ss")
        self._times = _compiled(formats.time, "YYYY-MM-DD hh:mm:ss", "hh:mm:ss")
        group, mark = re.escape(formats.group_mark), re.escape(formats.decimal_mark)
        whole = f"[0-9]{{1,18}}|[0-9]{{1,3}}(?:{group}[0-9]{{3}}){{1,5}}" if group else "[0-9]{1,18}"
        self._number = re.compile(f"([+-]?)({whole})(?:{mark}([0-9]{{1,18}}))?(%?)")
        self._parse_day = lru_cache(maxsize=10_000)(self._read_day)

    def message(self, row: Row) -> Fact | pb.Record:
        """What a row says, as the contract takes it. Raises Unusable."""
        cells = row.cells
        row.check(None if self._header is None else len(self._header), self._mapping.encoding)
        record = self._mapping.record
        message = self._fact(cells) if record is None else self._record(cells, record)
        if found := _VALIDATOR.collect_violations(message):
            wrong = (f"{field_path(one.proto.field)}: {one.proto.message}".removeprefix(": ") for one in found)
            raise Unusable("INVALID_FIELDS", "; ".join(wrong))
        return message

    def _fact(self, cells: Sequence[str]) -> Fact:
        columns = self._mapping.columns
        readings = [self._reading(cells, kpi_id, ratio) for kpi_id, ratio in self._mapping.readings.items()]
        if not any(readings):
            raise Unusable("missing_value", "the row has no reading of any KPI")
        return Fact(
            employee_id=self._employee(cells),
            date=self._day(cells, columns.date).isoformat(),
            source=self._text(cells, columns.source),
            readings=[reading for reading in readings if reading is not None],
        )

    def _reading(self, cells: Sequence[str], kpi_id: str, ratio: Ratio) -> Reading | None:
        parts = [part for part in (ratio.numerator, ratio.denominator) if part is not None]
        if ratio.optional and not all(self._text(cells, part, needed=False) for part in parts):
            return None
        return Reading(
            kpi_id=kpi_id,
            numerators=[self._whole(cells, parts[0])],
            denominators=[self._whole(cells, part) for part in parts[1:]],
        )

    def _record(self, cells: Sequence[str], record: Record) -> pb.Record:
        day = self._day(cells, self._mapping.columns.date)
        message = pb.Record(
            record_id=self._text(cells, record.id) if record.id else self._made_id(cells, record),
            employee_id=self._employee(cells),
            date=day.isoformat(),
            note=self._text(cells, record.note, needed=False),
        )
        if record.attendance:
            message.attendance.CopyFrom(self._attendance(cells, day, record.attendance))
        elif record.leave:
            message.leave.kind = self._enum(cells, record.leave.kind, pb.Leave.Kind.Value)
            message.leave.end_date = self._day(cells, record.leave.end_date).isoformat()
        elif record.complaint:
            message.complaint.finding = self._enum(cells, record.complaint.finding, pb.Complaint.Finding.Value)
            message.complaint.contact_id = self._text(cells, record.complaint.contact_id, needed=False)
        elif record.training:
            message.training.CopyFrom(self._training(cells, record.training))
        elif record.commendation:
            message.commendation.kind = self._text(cells, record.commendation.kind)
        elif record.evaluation:
            message.evaluation.CopyFrom(self._evaluation(cells, record.evaluation))
        elif record.violation:
            message.violation.rule_book_id = self._text(cells, record.violation.rule_book_id)
            message.violation.offence_id = self._text(cells, record.violation.offence_id)
        return message

    def _attendance(self, cells: Sequence[str], day: date, columns: Attendance) -> pb.Attendance:
        start = self._moment(cells, columns.shift_start, day)
        message = pb.Attendance(
            shift_start=timestamp(start),
            shift_end=timestamp(self._moment(cells, columns.shift_end, day, after=start)),
        )
        for span in columns.worked:
            if not (self._text(cells, span.start, needed=False) or self._text(cells, span.end, needed=False)):
                continue
            # Who comes early comes less than half a day early.
            begun = self._moment(cells, span.start, day, after=start - _ONE_DAY / 2)
            ended = self._moment(cells, span.end, day, after=begun)
            message.worked.add(start=timestamp(begun), end=timestamp(ended))
        return message

    def _training(self, cells: Sequence[str], columns: Training) -> pb.Training:
        message = pb.Training(
            course_id=self._text(cells, columns.course_id), attended=self._truth(cells, columns.attended)
        )
        if columns.exam_score and columns.exam_passed and self._text(cells, columns.exam_score, needed=False):
            message.exam.score = format(self._amount(cells, columns.exam_score), "f")
            message.exam.passed = self._truth(cells, columns.exam_passed)
        return message

    def _evaluation(self, cells: Sequence[str], columns: Evaluation) -> pb.Evaluation:
        message = pb.Evaluation(
            form_id=self._text(cells, columns.form_id),
            contact_id=self._text(cells, columns.contact_id),
            evaluator_id=self._text(cells, columns.evaluator_id),
        )
        for item_id, item in columns.items.items():
            values = item.values or columns.values
            if self._text(cells, item, values) == NOT_APPLICABLE:
                message.answers.add(item_id=item_id, not_applicable=True)
                continue
            achieved = self._whole(cells, item, values)
            if not 0 <= achieved <= 100:
                raise Unusable("bad_number", f"{_named(item)}: {achieved} is no per cent from 0 to 100")
            message.answers.add(item_id=item_id, achieved=achieved)
        return message

    def _employee(self, cells: Sequence[str]) -> str:
        cell: Employee = self._mapping.columns.employee
        text = self._text(cells, cell)
        return employee_id(self._centre, text) if cell.names else text

    def _made_id(self, cells: Sequence[str], record: Record) -> str:
        """Ids stay in the log for ever: they must not tell what they are made of, nor be made otherwise one day."""
        texts = []
        for column in record.id_of:
            if not (text := self._cell(cells, column)):
                raise Unusable("missing_value", f"{column}: the cell is empty, and the record's id is made of it")
            texts.append(self._normal(cells, column, text))
        digest = hashlib.sha256("\n".join(texts).encode()).digest()
        return f"{record.id_prefix}-{base64.b32encode(digest).decode().lower()[:26]}"

    def _normal(self, cells: Sequence[str], column: Column, text: str) -> str:
        """The same for every way of writing the same: a time of a CSV file and of an XLSX file."""
        columns = self._mapping.columns
        if column == columns.employee.column:
            return self._employee(cells)
        if column in self._time_columns:
            day, second = self._read_time(text)
            return f"{day or ''} {second}"
        return self._parse_day(text).isoformat() if column == columns.date.column else " ".join(text.split())

    def _cell(self, cells: Sequence[str], column: Column) -> str:
        place = self._places[column]
        return cells[place].strip() if place < len(cells) else ""

    def _text(
        self, cells: Sequence[str], cell: Cell | None, values: Mapping[str, str] | None = None, *, needed: bool = True
    ) -> str:
        """What a cell means; empty if nothing is needed and nothing there. `values` stand in for the cell's own."""
        if cell is None:
            return ""
        if cell.column is None:
            return cell.value or ""
        text = self._cell(cells, cell.column)
        if not text:
            if cell.empty is not None:
                return cell.empty
            if needed:
                raise Unusable("missing_value", f"{_named(cell)}: the cell is empty")
            return ""
        if values := values or cell.values:
            text = _meaning(values, text, cell)
        return cell.prefix + (text.lower() if cell.lower else text)

    def _enum(self, cells: Sequence[str], cell: Cell, value_of: Callable[[str], E]) -> E:
        text = self._text(cells, cell)
        try:
            return value_of(text)
        except ValueError:
            raise Unusable("unknown_value", f"{_named(cell)}: the mapping does not say what {shown(text)} is") from None

    def _truth(self, cells: Sequence[str], cell: Cell) -> bool:
        text = self._text(cells, cell)
        if text.lower() not in BOOLEANS:
            raise Unusable("unknown_value", f"{_named(cell)}: the mapping does not say what {shown(text)} is")
        return text.lower() == "true"

    def _whole(self, cells: Sequence[str], cell: Number, values: Mapping[str, str] | None = None) -> int:
        number = self._amount(cells, cell, values)
        if number != number.to_integral_value():
            given = shown(self._text(cells, cell, values))
            times = "" if cell.factor == 1 else f" times {cell.factor} is {number:f}, which"
            raise Unusable("not_whole", f"{_named(cell)}: {given}{times} is no whole number")
        if abs(number) > LARGEST:
            raise Unusable("bad_number", f"{_named(cell)}: {number:f} is larger than 10^12")
        return int(number)

    def _amount(self, cells: Sequence[str], cell: Number, values: Mapping[str, str] | None = None) -> Decimal:
        """Exactly the number that is written, times its factor."""
        text = self._text(cells, cell, values)
        if cell.duration:
            if (match := _DURATION.fullmatch(text)) is None:
                raise Unusable("bad_number", f"{_named(cell)}: {shown(text)} is no duration written h:mm:ss")
            hours, minutes, seconds = map(int, match.groups())
            number = Decimal(hours * 3600 + minutes * 60 + seconds)
        else:
            formats = self._mapping.formats
            group = formats.group_mark
            plain = _SPACES.sub(" ", text) if group.isspace() else text
            if (match := self._number.fullmatch(plain)) is None:
                written = f"1{group}234{formats.decimal_mark}5"
                raise Unusable("bad_number", f"{_named(cell)}: {shown(text)} is no number written like {written}")
            sign, whole, fraction, per_cent = match.groups()
            number = Decimal(f"{sign}{whole.replace(group, '') if group else whole}.{fraction or 0}")
            number = _EXACT.scaleb(number, -2) if per_cent else number
        return _EXACT.multiply(number, cell.factor).normalize(_EXACT)

    def _day(self, cells: Sequence[str], cell: Cell) -> date:
        text = self._text(cells, cell)
        try:
            return self._parse_day(text)
        except Unusable as unusable:
            raise Unusable(unusable.reason, f"{_named(cell)}: {unusable.detail}") from None

    def _read_day(self, text: str) -> date:
        match = next(filter(None, (pattern.fullmatch(text) for pattern in self._days)), None)
        return day_of(match, text, self._mapping.formats.date)

    def _moment(self, cells: Sequence[str], cell: Cell, day: date, after: datetime | None = None) -> datetime:
        """The moment that a cell names: at the site, on the row's day or the next unless it says so itself."""
        text = self._text(cells, cell)
        try:
            own_day, second = self._read_time(text)
            local = datetime.combine(own_day or day, time.min) + timedelta(seconds=second)
            moment = self._at_site(local, after)
            if own_day is None and after is not None and moment <= after:
                moment = self._at_site(local + _ONE_DAY, after)
        except Unusable as unusable:
            raise Unusable(unusable.reason, f"{_named(cell)}: {unusable.detail}") from None
        return moment

    def _read_time(self, text: str) -> tuple[date | None, int]:
        """The second of the day, and which day if that is said. Raises Unusable."""
        form = self._mapping.formats.time
        match = next(filter(None, (pattern.fullmatch(text) for pattern in self._times)), None)
        second = second_of(match, text, form)
        whole = match is not None and {"month", "day"} <= match.re.groupindex.keys()
        return day_of(match, text, form) if whole else None, second

    def _at_site(self, local: datetime, after: datetime | None) -> datetime:
        """Where clocks show a time twice, the first of the two, unless that is not after what it follows."""
        first, second = (local.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first.astimezone(self._zone).replace(tzinfo=None) != local:
            raise Unusable("bad_time", f"there was no {local} in {self._zone.key}: clocks were put forward")
        return second if after is not None and first <= after < second else first


def _meaning(values: Mapping[str, str], text: str, cell: Cell) -> str:
    if (meaning := values.get(text)) is not None:
        return meaning
    folded = text.casefold()
    for key, meaning in values.items():
        if key.strip().casefold() == folded:
            return meaning
    known = ", ".join(list(values)[:MOST_VALUES_SHOWN])
    more = ", …" if len(values) > MOST_VALUES_SHOWN else ""
    raise Unusable("unknown_value", f"{_named(cell)}: {shown(text)} is none of {known}{more}")


def _compiled(*formats: str) -> list[re.Pattern[str]]:
    return [compile_format(form) for form in formats]


def _columns(part: Part) -> list[Column]:
    """Every column that a mapping names, in its order."""
    found: list[Column] = list(part.id_of) if isinstance(part, Record) else []
    if isinstance(part, Cell) and part.column is not None:
        found.append(part.column)
    for value in (getattr(part, name) for name in type(part).model_fields):
        several = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        for one in several:
            if isinstance(one, Part):
                found += _columns(one)
    return found


def _named(cell: Cell) -> str:
    return f"column {cell.column}" if isinstance(cell.column, int) else str(cell.column or "the mapping")
