"""What mappings of files have in common: how a TOML is read and checked, columns, and formats of days and times.

A date or time format is made of `YYYY` or `YY` (69 to 68: 1969 to 2068), `MM`, `DD`, `hh`, `mm`, `ss`, of `M`, `D`, `h`
where one digit may stand alone, of `*` for anything, and of what stands between them; so one column
`2026-03-01 09:15:22` is both a date `YYYY-MM-DD*` and a time `*hh:mm:ss`.
"""

import codecs
import re
import tomllib
from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from libs.cli.presets import PRESETS


class WrongFile(ValueError):  # noqa: N818 - states what is the case
    """A file or a mapping cannot be used at all. The message says why, to the person who gave it."""


class Unusable(Exception):  # noqa: N818 - states what is the case
    """One row cannot be used: `reason` is counted, `detail` is reported."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


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


def day_of(match: re.Match[str] | None, text: str, form: str) -> date:
    """The day that a match of a date format names. Raises Unusable `bad_date`."""
    parts = match.groupdict() if match else dict.fromkeys(("year", "month", "day"), "0")
    if (year := parts.get("year")) is None:
        year = ("19" if parts["short_year"] >= "69" else "20") + parts["short_year"]
    try:
        day = date(int(year), int(parts["month"]), int(parts["day"]))
    except ValueError:
        raise Unusable("bad_date", f"{shown(text)} is no day written {form}") from None
    # What the contract of facts takes.
    if not 1900 <= day.year <= 2199:
        raise Unusable("bad_date", f"{shown(text)} is not between the years 1900 and 2199")
    return day


def second_of(match: re.Match[str] | None, text: str, form: str) -> int:
    """The second of the day that a match of a time format names. Raises Unusable `bad_time`."""
    parts = match.groupdict() if match else {"hour": "99"}
    hour, minute, second = (int(parts.get(part, 0)) for part in ("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 59:
        raise Unusable("bad_time", f"{shown(text)} is no time written {form}")
    return hour * 3600 + minute * 60 + second


def shown(text: str) -> str:
    """A value as messages quote it."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


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


DateFormat = Annotated[str, AfterValidator(_date_format)]
TimeFormat = Annotated[str, AfterValidator(_time_format)]
Encoding = Annotated[str, AfterValidator(_encoding)]
Delimiter = Annotated[str, Field(min_length=1, max_length=1)]
Column = str | Annotated[int, Field(ge=1)]
"""Its name in the header, or its number from 1."""
Id = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]


class Part(BaseModel):
    """A table of a mapping. What it does not know is refused: a misspelt entry would be silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Part)

_WHAT_TO_DO = {
    "extra_forbidden": "there is no such entry here; correct its name or its place, or take it out",
    "missing": "it is needed; add it",
}


def load(path: Path, kind: type[P]) -> P:
    """Reads a mapping. Raises WrongFile that names every wrong entry, and OSError."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text("utf-8"), parse_float=Decimal))
    except ValidationError as error:
        wrong = (
            f"{'.'.join(map(str, one['loc'])) or 'the mapping'}: "
            + _WHAT_TO_DO.get(one["type"], one["msg"].removeprefix("Value error, "))
            for one in error.errors()
        )
        raise WrongFile(f"{path}: {'; '.join(wrong)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongFile(f"{path}: {error}") from None


def find_mapping(name: str, kind: str) -> Path:
    """The file of a mapping: a path to a TOML, or the name of one that ships (`*-<kind>.toml`). Raises WrongFile."""
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.exists():
        shipped = ", ".join(sorted(one.stem for one in PRESETS.glob(f"*-{kind}.toml")))
        raise WrongFile(f"there is no mapping {name!r}; these ship: {shipped}; or name a .toml file")
    return path


def index_of(column: Column, header: Sequence[str] | None, width: int | None) -> int:
    """Where a column is, from 0, in a file of so many columns (None: unknown). Raises WrongFile if it is not there."""
    if isinstance(column, int):
        if width is not None and column > width:
            raise WrongFile(f"the mapping names column {column}, the file has {width}")
        return column - 1
    if header is None:
        raise WrongFile(f"the mapping names the column {column!r}, the file has no header")
    if header.count(column) != 1:
        has = ", ".join(header[:40])
        raise WrongFile(f"the mapping names the column {column!r}, which must be there once; the file has {has}")
    return header.index(column)
