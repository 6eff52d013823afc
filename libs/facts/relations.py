"""What a caller is to an employee, or to a team, on a day: out of the directory. Pure.

Everything that only some may see or do asks here. Relations hold on a day: who leads a team today has led it on no day
before, and nobody is anything to others before they are hired or after they have left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum

from libs.facts import employee, team
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT


class Relation(Enum):
    """What somebody is to an employee."""

    SELF = "self"
    LEAD = "lead"
    """Leads the team that the employee is a member of."""
    MANAGER = "manager"
    """Leads the team that the employee's lead is a member of."""
    HR = "hr"
    """To everyone, as are the others by job family."""
    QA = "qa"
    EXECUTIVE = "executive"


ROLES = {"hr": Relation.HR, "qa": Relation.QA, "executive": Relation.EXECUTIVE}
"""By job family: the directory's word for a role."""

NEED_TO_KNOW = frozenset({Relation.SELF, Relation.LEAD, Relation.HR})
"""Who may know what is sensitive of an employee: it does not flow up through managers."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Employees and teams by id. What is not in it does not exist."""

    employees: Mapping[str, employee.State]
    teams: Mapping[str, team.State]

    def employed(self, employee_id: str, day: date) -> bool:
        one = self.employees.get(employee_id)
        return one is not None and one.team_on(day) != "" and one.status_on(day) != EMPLOYMENT_STATUS_LEFT

    def team_of(self, employee_id: str, day: date) -> str:
        """Empty while they are not employed."""
        return self.employees[employee_id].team_on(day) if self.employed(employee_id, day) else ""

    def lead_of(self, team_id: str, day: date) -> str:
        """Empty where there is none."""
        return self.teams[team_id].lead_on(day) if team_id in self.teams else ""

    def lead_over(self, employee_id: str, day: date) -> str:
        """Who leads an employee; empty: nobody who is employed, or it would be themself."""
        lead_id = self.lead_of(self.team_of(employee_id, day), day)
        return lead_id if lead_id != employee_id and self.employed(lead_id, day) else ""


def relations(directory: Directory, caller_id: str, employee_id: str, day: date) -> frozenset[Relation]:
    """What a caller is to an employee. Nobody leads or manages themself; who has left is still themself."""
    if employee_id not in directory.employees:
        return _roles(directory, caller_id, day)
    if caller_id == employee_id:
        return _roles(directory, caller_id, day) | {Relation.SELF}
    return relations_to_team(directory, caller_id, directory.team_of(employee_id, day), day)


def words(found: frozenset[Relation], *, employed: bool) -> frozenset[str]:
    """What somebody is, in the words of `libs/common/access.toml`: to themself everybody is `self` only."""
    if Relation.SELF in found:
        return frozenset({Relation.SELF.value})
    return frozenset({one.value for one in found} | ({"employee"} if employed else set()))


def relations_to_team(directory: Directory, caller_id: str, team_id: str, day: date) -> frozenset[Relation]:
    """What a caller is to every other member of a team."""
    found = _roles(directory, caller_id, day)
    if directory.employed(caller_id, day):
        lead_id = directory.lead_of(team_id, day)
        if caller_id == lead_id:
            found |= {Relation.LEAD}
        elif caller_id == directory.lead_of(directory.team_of(lead_id, day), day):
            found |= {Relation.MANAGER}
    return found


def _roles(directory: Directory, caller_id: str, day: date) -> frozenset[Relation]:
    if not directory.employed(caller_id, day):
        return frozenset()
    role = role_of(directory.employees[caller_id])
    return frozenset({role} if role else ())


def role_of(one: employee.State) -> Relation | None:
    """What an employee is to everyone, as long as they are employed."""
    return ROLES.get(one.hired.job_family)
