"""How a table (CSV or XLSX) is read as facts or records: a mapping in TOML says what each column means.

`presets/kpi-table.toml`, `attendance-table.toml` and `quality-table.toml` are such mappings. Wherever a value is
wanted, there stands a column, by its name or its number, or the entries of `Cell`, `Number` or `Employee`. How dates
and times are written is said as in `mapping`.
"""

import re
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from libs.cli.mapping import Column, DateFormat, Delimiter, Encoding, Id, Part, TimeFormat, load
from stepladder.performance.v1 import record_pb2 as pb

NOT_APPLICABLE = "not_applicable"
"""What an answer of an evaluation may be besides its per cent."""

BOOLEANS = ("true", "false")

KINDS = [field.name for field in pb.Record.DESCRIPTOR.oneofs_by_name["content"].fields]


def _plain(value: object) -> object:
    """TOML's numbers and truths may stand for their texts."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | Decimal) else value


def _column(value: object) -> object:
    return {"column": value} if isinstance(value, str | int) and not isinstance(value, bool) else value


def _any_case(values: dict[str, str]) -> dict[str, str]:
    if len({key.strip().casefold() for key in values}) != len(values):
        raise ValueError("two of the values differ in nothing but upper and lower case; leave one of them out")
    return values


_Meaning = Annotated[str, BeforeValidator(_plain)]
_Values = Annotated[dict[str, _Meaning], AfterValidator(_any_case)]


class Cell(Part):
    """Where a value comes from: a column, or the mapping itself.

    Attributes:
        column: name or number of the column.
        value: the same value for every row, in place of a column.
        values: what the column may say (in upper or lower case), and what that means. Anything else is an error.
        empty: what an empty cell means; without it an empty cell is an error where the value is needed.
        lower: ids are in lower case, whatever the column has.
        prefix: stands before what the column has: of ids that mean something else in another table.
    """

    column: Column | None = None
    value: _Meaning | None = None
    values: _Values = Field(default_factory=dict)
    empty: _Meaning | None = None
    lower: bool = False
    prefix: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (self.value is None):
            raise ValueError("name a column, or a value for every row; one of the two")
        return self

    @property
    def meanings(self) -> set[str]:
        """Everything that the mapping lets it mean."""
        return {one for one in (*self.values.values(), self.value, self.empty) if one is not None}


class Number(Cell):
    """A number, multiplied by `factor` (its unit in units of the KPI); the product must be whole, to the last digit.

    With `duration` it is written h:mm:ss and means seconds. A per cent sign divides by 100.
    """

    factor: Annotated[Decimal, Field(gt=0, max_digits=18)] = Decimal(1)
    duration: bool = False


class Employee(Cell):
    """Whom a row is about. With `names` the column has names: ids are made of them and the centre, as of call logs."""

    names: bool = False


Source = Annotated[Cell, BeforeValidator(_column)]
Amount = Annotated[Number, BeforeValidator(_column)]


def _one_of(names: Collection[str]) -> AfterValidator:
    def check(cell: Cell) -> Cell:
        if strange := sorted(cell.meanings - {*names}):
            raise ValueError(f"{', '.join(strange)} is none of {', '.join(names)}")
        return cell

    return AfterValidator(check)


Truth = Annotated[Source, _one_of(BOOLEANS)]


class Columns(Part):
    """Whom and which day a row is about, and for readings the system that measured them."""

    employee: Annotated[Employee, BeforeValidator(_column)]
    date: Source
    source: Source | None = None


def _unlike_iso(text: str) -> str:
    if re.match("YYYY-DD?-MM?", text):
        raise ValueError(f"the format {text!r} reads like YYYY-MM-DD, as which cells with real dates come")
    return text


def _punctuation(text: str) -> str:
    if text.isalnum() or text in {"+", "-", "%"}:
        raise ValueError(f"{text!r} is no mark within a number")
    return text


class Formats(Part):
    """How days, times and numbers are written. Cells with real dates, times and numbers need no format.

    Attributes:
        time: of the columns with times. With year, month and day it is a moment; otherwise the time goes with the row's
            day, or with the next one where it would lie before what it follows.
        decimal_mark: between whole numbers and fractions.
        group_mark: between thousands; empty: there is none. A space stands for every kind of space.
    """

    date: Annotated[DateFormat, AfterValidator(_unlike_iso)] = "YYYY-MM-DD"
    time: Annotated[TimeFormat, AfterValidator(_unlike_iso)] = "hh:mm"
    decimal_mark: Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_punctuation)] = "."
    group_mark: Annotated[str, Field(max_length=1), AfterValidator(_punctuation)] = ""

    @model_validator(mode="after")
    def _different_marks(self) -> Self:
        if self.decimal_mark == self.group_mark:
            raise ValueError("decimal_mark and group_mark are the same")
        return self


def _numerator(value: object) -> object:
    alone = isinstance(value, str | int) or (isinstance(value, dict) and "column" in value)
    return {"numerator": value} if alone else value


class Ratio(Part):
    """A KPI's numbers of the day. A denominator belongs to a ratio only.

    With `optional`, a row that lacks one of them has no reading of this KPI; otherwise that is an error.
    """

    numerator: Amount
    denominator: Amount | None = None
    optional: bool = False


class Worked(Part):
    """A span of work; where both cells are empty, there was none."""

    start: Source
    end: Source


class Attendance(Part):
    shift_start: Source
    shift_end: Source
    worked: tuple[Worked, ...] = ()


class Leave(Part):
    kind: Annotated[Source, _one_of(pb.Leave.Kind.keys()[1:])]
    end_date: Source


class Complaint(Part):
    finding: Annotated[Source, _one_of(pb.Complaint.Finding.keys())]
    contact_id: Source | None = None


class Training(Part):
    """A row without `exam_score` has no exam."""

    course_id: Source
    attended: Truth
    exam_score: Amount | None = None
    exam_passed: Truth | None = None

    @model_validator(mode="after")
    def _whole_exam(self) -> Self:
        if (self.exam_score is None) != (self.exam_passed is None):
            raise ValueError("an exam needs exam_score and exam_passed")
        return self


class Commendation(Part):
    kind: Source


class Violation(Part):
    rule_book_id: Source
    offence_id: Source


class Evaluation(Part):
    """One column for each item of the form, with what was achieved in per cent, or `not_applicable`.

    `values` holds for every item that has none of its own.
    """

    form_id: Source
    contact_id: Source
    evaluator_id: Source
    values: _Values = Field(default_factory=dict)
    items: Annotated[dict[Id, Amount], Field(min_length=1)]

    @model_validator(mode="after")
    def _per_cent(self) -> Self:
        for meaning in set.union({*self.values.values()}, *(item.meanings for item in self.items.values())):
            if meaning != NOT_APPLICABLE and not (re.fullmatch("[0-9]{1,3}", meaning) and int(meaning) <= 100):
                raise ValueError(f"{meaning} is neither a number from 0 to 100 nor {NOT_APPLICABLE}")
        return self


class Record(Part):
    """What a row records, of one kind.

    Attributes:
        id: the record's id.
        id_of: columns that tell a record from every other, to make an id of in place of `id`: the same content of these
            columns is the same record. Days and times are the same however they are written.
        id_prefix: stands before an id made of columns; tells the records of this table from those of others.
        note: in words.
    """

    id: Source | None = None
    id_of: tuple[Column, ...] = ()
    id_prefix: Annotated[Id, Field(max_length=30)] | None = None
    note: Source | None = None
    attendance: Attendance | None = None
    leave: Leave | None = None
    complaint: Complaint | None = None
    training: Training | None = None
    commendation: Commendation | None = None
    evaluation: Evaluation | None = None
    violation: Violation | None = None

    @model_validator(mode="after")
    def _one_id_one_kind(self) -> Self:
        if (self.id is None) == (not self.id_of):
            raise ValueError("name the column of the record's id as `id`, or those to make it of as `id_of`")
        if (self.id_prefix is None) != (not self.id_of):
            raise ValueError("`id_of` and `id_prefix` go together")
        if len([kind for kind in KINDS if getattr(self, kind) is not None]) != 1:
            raise ValueError(f"one kind of record is needed: a table [record.<kind>], of {', '.join(KINDS)}")
        return self


class TableMapping(Part):
    """How one table is read: either as readings or as records.

    Attributes:
        delimiter, encoding: of a CSV file. A file that begins with the mark of UTF-8 is in UTF-8 anyway.
        header_row: which row names the columns; 0: none does, and columns are numbers.
        sheet: of an XLSX file; without it, the only one that is not hidden.
        time_zone: of the times; without it, the site's.
        readings: KPIs by id.
    """

    delimiter: Delimiter = ","
    encoding: Encoding = "utf-8"
    header_row: Annotated[int, Field(ge=0, le=100)] = 1
    sheet: str | None = None
    time_zone: ZoneInfo | None = None
    columns: Columns
    formats: Formats = Formats()
    readings: Annotated[
        dict[Id, Annotated[Ratio, BeforeValidator(_numerator)]], Field(default_factory=dict, max_length=100)
    ]
    record: Record | None = None

    @model_validator(mode="after")
    def _one_purpose(self) -> Self:
        if (self.record is None) == (not self.readings):
            raise ValueError("a table holds readings, as [readings], or records, as [record]; declare one of the two")
        if (self.columns.source is None) == bool(self.readings):
            raise ValueError("columns.source is needed for readings, and for them only")
        return self


def load_table_mapping(path: Path) -> TableMapping:
    """Reads a mapping. Raises WrongFile that names every wrong entry, and OSError."""
    return load(path, TableMapping)
