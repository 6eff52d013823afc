"""How a company's call file is read: a mapping in TOML says all that differs from company to company.

`presets/brown-calls.toml` is one. A date or time format is made of `YYYY` or `YY` (69 to 68: 1969 to 2068), `MM`,
`DD`, `hh`, `mm`, `ss`, of `M`, `D`, `h` where one digit may stand alone, of `*` for anything, and of what stands
between them; so one column `2026-03-01 09:15:22` is both a date `YYYY-MM-DD*` and a time `*hh:mm:ss`.
"""

import codecs
import hashlib
import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError


class CallFileError(ValueError):
    """The file or the mapping cannot be used at all. The message says why, to the person who gave it."""


_TOKENS = {
    "YYYY": "(?P<year>[0-9]{4})",
    "YY": "(?P<short_year>[0-9]{2})",
    "MM": "(?P<month>[0-9]{2})",
    "M": "(?P<month>[0-9]{1,2})",
    "DD": "(?P<day>[0-9]{2})",
    "D": "(?P<day>[0-9]{1,2})",
    "hh": "(?P<hour>[0-9]{2})",
    "h": "(?P<hour>[0-9]{1,2})",
    "mm": "(?P<minute>[0-9]{2})",
    "ss": "(?P<second>[0-9]{2})",
    "*": ".*?",
}


def compile_format(text: str, needed: Collection[str] = ()) -> re.Pattern[str]:
    """The pattern of a date or time format, with a group for each part. Raises ValueError if it is wrong."""
    parts = re.findall(r"YYYY|YY|MM?|DD?|hh?|mm|ss|\*|.", text, re.DOTALL)
    try:
        pattern = re.compile("".join(_TOKENS.get(part) or re.escape(part) for part in parts))
    except re.error:
        raise ValueError(f"the format {text!r} names a part twice") from None
    if missing := set(needed) - {name.removeprefix("short_") for name in pattern.groupindex}:
        raise ValueError(f"the format {text!r} lacks the {' and the '.join(sorted(missing))}")
    return pattern


def _date_format(text: str) -> str:
    compile_format(text, {"year", "month", "day"})
    return text


def _time_format(text: str) -> str:
    compile_format(text, {"hour", "minute"})
    return text


def _encoding(name: str) -> str:
    try:
        line_end = codecs.lookup(name).encode("\n")[0]
    except (LookupError, TypeError):
        raise ValueError(f"there is no text encoding {name!r}") from None
    if line_end != b"\n":
        raise ValueError(f"{name} does not end lines in one byte; convert the file, for instance to utf-8")
    return name


_Column = str | Annotated[int, Field(ge=1)]
"""Its name in the header, or its number from 1."""
_Id = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
_Reason = Annotated[str, Field(pattern="^[a-z][a-z_]{0,39}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(_Part):
    """Where a record says what. `arrival` (when the caller came in) tells which service began after midnight."""

    agent: _Column
    date: _Column
    arrival: _Column | None = None
    start: _Column | None = None
    end: _Column | None = None
    seconds: _Column | None = None
    outcome: _Column | None = None


class Formats(_Part):
    """How dates and times are written. `unknown_times` are texts that stand for no time; a midnight may be one."""

    date: Annotated[str, AfterValidator(_date_format)]
    time: Annotated[str, AfterValidator(_time_format)] = "hh:mm:ss"
    unknown_times: tuple[str, ...] = ()


class Outcomes(_Part):
    """What the outcome column may say: the call was served, or the row is ignored, for a reason."""

    served: tuple[str, ...] = ()
    ignored: dict[str, _Reason] = {}


class Readings(_Part):
    """The KPI that each measure of an agent's day is recorded as; a measure without one is not recorded."""

    calls: _Id
    talk_seconds: _Id | None = None
    seconds_per_call: _Id | None = None
    short_calls: _Id | None = None
    first_second: _Id | None = None
    last_second: _Id | None = None


class CallMapping(_Part):
    """How one company's call file is read.

    Attributes:
        source: source of the facts.
        delimiter: one character between fields.
        quote: the character around fields that hold a delimiter; empty: there is none.
        header: the first line names the columns; without it columns are numbers and `width` is how many there are.
        short_call_seconds: a call of fewer seconds is a short one.
        nobody: values of the agent column that name nobody, and the reason counted for them.
    """

    source: _Id
    delimiter: Annotated[str, Field(min_length=1, max_length=1)]
    quote: Annotated[str, Field(max_length=1)] = ""
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    header: bool = True
    width: Annotated[int, Field(ge=1)] | None = None
    short_call_seconds: Annotated[int, Field(ge=0)]
    columns: Columns
    formats: Formats
    outcomes: Outcomes = Outcomes()
    nobody: dict[str, _Reason] = {}
    readings: Readings

    @property
    def digest(self) -> str:
        """The same for mappings that mean the same, however they are written down."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_mapping(path: Path) -> CallMapping:
    """Reads a mapping. Raises CallFileError that names every wrong entry, and OSError."""
    try:
        mapping = CallMapping.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise CallFileError(f"{path}: {wrong}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CallFileError(f"{path}: {error}") from None
    columns = mapping.columns
    if columns.seconds is None and (columns.start is None or columns.end is None):
        raise CallFileError(f"{path}: columns: a call needs seconds, or start and end")
    if columns.outcome is not None and not mapping.outcomes.served:
        raise CallFileError(f"{path}: outcomes.served: with an outcome column, its values for a served call are needed")
    if not mapping.header and mapping.width is None:
        raise CallFileError(f"{path}: width: without a header, the number of columns is needed")
    return mapping
