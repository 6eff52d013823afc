"""Who was in which team when, and who led it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class TeamSpan(NamedTuple):
    """Somebody's time in a team, or as its lead, from a day to before another."""

    employee_id: str
    team_id: str
    from_date: str
    until_date: str

    def includes(self, day: str) -> bool:
        return self.from_date <= day < self.until_date

    def overlaps(self, other: "TeamSpan") -> bool:
        """Whether both were in the same team on a day."""
        return self.team_id == other.team_id and self.from_date < other.until_date and other.from_date < self.until_date


@dataclass(frozen=True, slots=True)
class Led:
    """What somebody led on days of a span, and by employee the time of whoever was meanwhile in one of these teams."""

    leading: Sequence[TeamSpan]
    members: Mapping[str, Sequence[TeamSpan]]

    def leads(self, team_id: str | None, day: str) -> bool:
        return any(one.team_id == team_id and one.includes(day) for one in self.leading)

    def team_of(self, employee_id: str, day: str) -> str | None:
        """The team of an employee's day, if the lead led it on that day."""
        team = next((one.team_id for one in self.members.get(employee_id, ()) if one.includes(day)), None)
        return team if self.leads(team, day) else None
