"""What a call log says, by the columns of its format, in whole numbers, and without the code that is run over it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

SHORT, AHT = "short-call-share", "aht"

Days = tuple[date, date]
"""The first and the last."""


@dataclass
class Tally:
    """Calls of an agent's day: how many, how many of fewer than ten seconds, and how many seconds all of them took."""

    calls: int = 0
    short: int = 0
    seconds: int = 0


@dataclass(frozen=True)
class Value:
    """Short calls per hundred, or minutes a call."""

    exact: Fraction

    def __str__(self) -> str:
        hundredths = int(self.exact * 100 + Fraction(1, 2))
        return f"{hundredths // 100}.{hundredths % 100:02}"


class Reckoning:
    """The log, and whatever was said of it afterwards."""

    def __init__(self, path: Path) -> None:
        self._days: dict[tuple[str, date], Tally] = {}
        for line in path.read_text("latin-1").splitlines()[1:]:
            row = line.split("\t")
            day, outcome, seconds, agent = row[5], row[12], int(row[15]), row[16]
            if outcome == "AGENT" and agent != "NO_SERVER":
                tally = self.of(agent, date(1900 + int(day[:2]), int(day[2:4]), int(day[4:])))
                tally.calls += 1
                tally.short += seconds < 10
                tally.seconds += seconds
        first = min(day for _, day in self._days)
        self.monday = first - timedelta(days=first.weekday())

    def day(self, number: int) -> date:
        """0 is the Monday of the first week."""
        return self.monday + timedelta(days=number)

    def of(self, agent: str, day: date) -> Tally:
        """What a day comes to, to be read or corrected."""
        return self._days.setdefault((agent, day), Tally())

    def agents(self) -> list[str]:
        return sorted({agent for agent, _ in self._days})

    def dates(self, agent: str, days: Days) -> list[date]:
        """Those on which the agent took calls."""
        return sorted(day for name, day in self._days if name == agent and days[0] <= day <= days[1])

    def calls(self, agent: str, days: Days) -> int:
        return sum(tally.calls for tally in self._tallies(agent, days))

    def value(self, agent: str, kpi_id: str, days: Days) -> Value | None:
        """None without calls."""
        tallies = self._tallies(agent, days)
        calls = sum(tally.calls for tally in tallies)
        if not calls:
            return None
        if kpi_id == SHORT:
            return Value(Fraction(100 * sum(tally.short for tally in tallies), calls))
        return Value(Fraction(sum(tally.seconds for tally in tallies), 60 * calls))

    def found(self, kpi_id: str, days: Days, least_calls: int, lowest: int, highest: int) -> Iterator[tuple[str, str]]:
        """Agents outside the bounds, each with the KPI."""
        for agent in self.agents():
            value = self.value(agent, kpi_id, days)
            if value and self.calls(agent, days) >= least_calls and not lowest <= value.exact <= highest:
                yield agent, kpi_id

    def met(self, agent: str, kpi_id: str, days: Days, baseline: Value, target: str) -> bool:
        """Whether the days reach the target, coming from the baseline; days without calls reach none."""
        value, aim = self.value(agent, kpi_id, days), Fraction(target)
        if value is None:
            return False
        return value.exact >= aim if aim > baseline.exact else value.exact <= aim

    def _tallies(self, agent: str, days: Days) -> list[Tally]:
        return [self._days[agent, day] for day in self.dates(agent, days)]


def suggestion(met: Sequence[bool]) -> str:
    """What goals that were met or not suggest."""
    return "IMPROVED" if all(met) else "PARTLY_IMPROVED" if any(met) else "NOT_IMPROVED"


def business_day(first: date, number: int, days_off: Sequence[date]) -> date:
    """The so-many-th business day of a site that rests on Friday and Saturday, `first` being the first if it is one."""
    day = first
    while True:
        number -= day.weekday() not in (4, 5) and day not in days_off
        if not number:
            return day
        day += timedelta(days=1)
