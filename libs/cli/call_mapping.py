"""How a company's call file is read: a mapping in TOML says all that differs from company to company.

`presets/brown-calls.toml` is one. How dates and times are written is said as in `mapping`.
"""

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import Field

from libs.cli.mapping import Column, DateFormat, Delimiter, Encoding, Id, Part, TimeFormat, WrongFile, load

_Reason = Annotated[str, Field(pattern="^[a-z][a-z_]{0,39}$")]


class Columns(Part):
    """Where a record says what. `arrival` (when the caller came in) tells which service began after midnight."""

    agent: Column
    date: Column
    arrival: Column | None = None
    start: Column | None = None
    end: Column | None = None
    seconds: Column | None = None
    outcome: Column | None = None


class Formats(Part):
    """How dates and times are written. `unknown_times` are texts that stand for no time; a midnight may be one."""

    date: DateFormat
    time: TimeFormat = "hh:mm:ss"
    unknown_times: tuple[str, ...] = ()


class Outcomes(Part):
    """What the outcome column may say: the call was served, or the row is ignored, for a reason."""

    served: tuple[str, ...] = ()
    ignored: dict[str, _Reason] = Field(default_factory=dict)


class Readings(Part):
    """The KPI that each measure of an agent's day is recorded as; a measure without one is not recorded."""

    calls: Id
    talk_seconds: Id | None = None
    seconds_per_call: Id | None = None
    short_calls: Id | None = None
    first_second: Id | None = None
    last_second: Id | None = None


class CallMapping(Part):
    """How one company's call file is read.

    Attributes:
        source: source of the facts.
        delimiter: one character between fields.
        quote: the character around fields that hold a delimiter; empty: there is none.
        header: the first line names the columns; without it columns are numbers and `width` is how many there are.
        short_call_seconds: a call of fewer seconds is a short one.
        nobody: values of the agent column that name nobody, and the reason counted for them.
    """

    source: Id
    delimiter: Delimiter
    quote: Annotated[str, Field(max_length=1)] = ""
    encoding: Encoding = "utf-8"
    header: bool = True
    width: Annotated[int, Field(ge=1)] | None = None
    short_call_seconds: Annotated[int, Field(ge=0)]
    columns: Columns
    formats: Formats
    outcomes: Outcomes = Outcomes()
    nobody: dict[str, _Reason] = Field(default_factory=dict)
    readings: Readings

    @property
    def digest(self) -> str:
        """The same for mappings that mean the same, however they are written down."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_mapping(path: Path) -> CallMapping:
    """Reads a mapping. Raises WrongFile that names every wrong entry, and OSError."""
    mapping = load(path, CallMapping)
    columns = mapping.columns
    if columns.seconds is None and (columns.start is None or columns.end is None):
        raise WrongFile(f"{path}: columns: a call needs seconds, or start and end")
    if columns.outcome is not None and not mapping.outcomes.served:
        raise WrongFile(f"{path}: outcomes.served: with an outcome column, its values for a served call are needed")
    if not mapping.header and mapping.width is None:
        raise WrongFile(f"{path}: width: without a header, the number of columns is needed")
    return mapping
