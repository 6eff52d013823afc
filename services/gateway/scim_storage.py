"""People and teams as SCIM resources, and changes of resources as what is to be true in the directory.

SCIM says how things are, the directory since when: what a resource says holds from its `effectiveDate` on, or today.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from scim2_models import (
    InvalidValueException,
    Meta,
    MutabilityException,
    NotFoundException,
    PreconditionFailedException,
    Reference,
    Resource,
    ResourceType,
    ResponseParameters,
    SearchRequest,
    UniquenessException,
)
from scim2_models.path import CompareOperator, Comparison
from scim2_server.storage import ScimStorage, SearchPage

from libs.common.eventsourcing import opaque_id
from services.gateway.scim_directory import Directory
from services.gateway.scim_models import (
    GROUP,
    USER,
    EnterpriseUser,
    Group,
    Member,
    Name,
    OfTeam,
    OfUser,
    StepladderGroup,
    StepladderUser,
    User,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
    Account,
    Employee,
    RosterEmployee,
    RosterTeam,
    Team,
)

UNASSIGNED = "unassigned"
"""The team of those who are in none: everybody who is employed is in one, but SCIM knows people without a Group."""

STATUSES = {
    EMPLOYMENT_STATUS_PROBATION: "probation",
    EMPLOYMENT_STATUS_CONFIRMED: "confirmed",
    EMPLOYMENT_STATUS_ON_LEAVE: "on leave",
}
FEW = 10
"""Up to so many are asked for one by one; of more, everybody is listed."""
_LONGEST_ID = 63
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class DirectoryStorage(ScimStorage):
    """Keeps nothing: all is in the directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: ResponseParameters[Any] | None = None,  # noqa: ARG002 - the library leaves out the rest
    ) -> Resource[Any]:
        found = self._user(resource_id) if resource_type.name == "User" else self._group(resource_id)
        if found is None:
            raise NotFoundException(detail=f"there is no {resource_type.name} {resource_id[:100]}")
        return found

    def search(
        self,
        resource_types: list[ResourceType],
        search_request: SearchRequest[Any],
        *,
        position: Any = None,  # noqa: ARG002 - of cursors, which are not offered
    ) -> SearchPage:
        start = search_request.start_index_0 or 0
        stop = None if search_request.count is None else start + search_request.count
        found: list[Employee | Group[Any]] = []
        for resource_type in resource_types:
            if resource_type.name == "Group":
                found += self._groups()
            else:
                found += [one for one in self._candidates(search_request) if _shown(one)]
        if (wanted := search_request.filter) is not None:
            found = [one for one in map(_resource, found) if wanted.match(one)]
        return SearchPage(len(found), [_resource(one) for one in found[start:stop]])

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        created = self._create_user(resource) if isinstance(resource, User) else self._create_group(resource)
        return self.get(resource_type, created)

    def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        current = self._current(resource_type, str(resource.id), expected_version)
        if isinstance(resource, User):
            entry = _entry(resource, current)
            entry.employee_id, entry.etag = str(current.id), _etag(current)
            self._directory.change(self._unassigned([entry]), [entry])
        else:
            self._change_group(resource, current)
        return self.get(resource_type, str(current.id))

    def delete(self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None) -> None:
        """A person leaves and has no account any more, a team is given up: what happened with them stays."""
        current = self._current(resource_type, resource_id, expected_version)
        if resource_type.name == "User":
            gone = RosterEmployee(employee_id=resource_id, employed=False, account=Account(), etag=_etag(current))
            self._directory.change([], [gone])
            return
        members = [RosterEmployee(employee_id=one, team_id=UNASSIGNED) for one in _members(current)]
        team = RosterTeam(team_id=resource_id, lead_id="", external_id="", given_up=True)
        self._directory.change([team, *self._unassigned(members)], members)

    def _user(self, employee_id: str) -> User[Any] | None:
        found = self._directory.employee(employee_id)
        return to_user(found) if found and _shown(found) else None

    def _group(self, team_id: str) -> Group[Any] | None:
        found = self._directory.team(team_id)
        if found is None or not _listed(found):
            return None
        return to_group(found, [one.employee_id for one in self._directory.employees(team_id=team_id) if _here(one)])

    def _groups(self) -> Iterable[Group[Any]]:
        members: dict[str, list[str]] = {}
        for one in self._directory.employees():
            if _here(one):
                members.setdefault(one.team_id, []).append(one.employee_id)
        return [to_group(team, members.get(team.team_id, ())) for team in self._directory.teams() if _listed(team)]

    def _candidates(self, search_request: SearchRequest[Any]) -> Iterable[Employee]:
        """Everybody who may match; few of them where one attribute is asked for that the directory finds people by."""
        node = search_request.filter.ast if search_request.filter else None
        if isinstance(node, Comparison) and node.op == CompareOperator.eq and isinstance(node.value, str):
            match str(node.attr_path).lower().removeprefix(f"{User.__schema__.lower()}:"):
                case "id":
                    found = self._directory.employee(node.value)
                    return [found] if found else []
                case "username" if node.value:
                    # Who has no account goes by their id.
                    named = self._directory.employee(node.value.lower())
                    accounts = self._directory.employees(user_name=node.value)
                    return [*accounts, *([named] if named and not named.account.user_name else [])]
                case "externalid" if node.value:
                    return self._directory.employees(external_id=node.value)
        return self._directory.employees()

    def _current(self, resource_type: ResourceType, resource_id: str, expected_version: str | None) -> Any:
        current = self.get(resource_type, resource_id)
        if expected_version is not None and current.meta and current.meta.version != expected_version:
            raise PreconditionFailedException(detail="it has changed since you read it; read it again")
        return current

    def _create_user(self, user: User[Any]) -> str:
        """Hires a person. One who is there without an account gets it: the directory may know them from elsewhere."""
        number = number_of(user)
        employee_id = number or opaque_id("e", str(user.user_name).lower())
        there = self._directory.employee(employee_id)
        if there and there.account.user_name:
            raise UniquenessException(detail=f"there is a User {employee_id} already")
        if there and not number:  # e-mail addresses are given to others once they are free
            raise UniquenessException(
                detail="somebody who left had this userName; say by the employeeNumber whether it is them"
            )
        entry = _entry(user, None)
        entry.employee_id, entry.etag = employee_id, there.etag if there else "0"
        if there is None:
            entry.team_id = entry.team_id or UNASSIGNED
            extension = user[StepladderUser] or StepladderUser()
            entry.hire_date, entry.job_family = extension.hire_date or "", extension.job_family or ""
        self._directory.change(self._unassigned([entry]), [entry])
        return employee_id

    def _create_group(self, group: Any) -> str:
        name = group.display_name or ""
        team_id = _as_id(group.external_id) or opaque_id("t", name)
        there = self._directory.team(team_id)
        if there and _listed(there):
            raise UniquenessException(detail=f"there is a Group {team_id} already")
        team = _team_entry(group, team_id)
        team.etag = there.etag if there else "0"
        members = self._joining(_members(group), team_id)
        self._directory.change([team], members, _effective(group[StepladderGroup]))
        return team_id

    def _change_group(self, group: Any, current: Any) -> None:
        before, after = _members(current), _members(group)
        members = self._joining([one for one in after if one not in before], str(current.id))
        members += [RosterEmployee(employee_id=one, team_id=UNASSIGNED) for one in before if one not in after]
        teams = [_team_entry(group, str(current.id)), *self._unassigned(members)]
        self._directory.change(teams, members, _effective(group[StepladderGroup]))

    def _joining(self, employee_ids: Sequence[str], team_id: str) -> list[RosterEmployee]:
        """Entries of those who join a team. Who has left stays where they were: providers name them, too."""
        everybody = {one.employee_id: one for one in self._directory.employees()} if len(employee_ids) > FEW else None
        joining = []
        for one in employee_ids:
            found = self._directory.employee(one) if everybody is None else everybody.get(one)
            if found is None or not _shown(found):
                raise InvalidValueException(detail=f"members: there is no User {one[:100]}")
            if _here(found):
                joining.append(RosterEmployee(employee_id=one, team_id=team_id))
        return joining

    def _unassigned(self, entries: Sequence[RosterEmployee]) -> list[RosterTeam]:
        """The team of those who are in none, where it is needed and there is none yet."""
        if all(one.team_id != UNASSIGNED for one in entries) or self._directory.team(UNASSIGNED):
            return []
        return [RosterTeam(team_id=UNASSIGNED, display_name="Unassigned")]


def to_user(found: Employee) -> User[Any]:
    """An employee as a User; without an account they go by their id."""
    account, active = found.account, found.status != EMPLOYMENT_STATUS_LEFT
    user_name = account.user_name or found.employee_id
    name = Name(family_name=account.family_name or None, given_name=account.given_name or None)
    user = USER(
        id=found.employee_id,
        external_id=account.external_id or None,
        user_name=user_name,
        name=name if account.family_name or account.given_name else None,
        display_name=found.display_name if found.display_name != user_name else None,
        active=active,
        meta=Meta(resource_type="User", version=f'W/"{found.etag}"'),
    )
    if account.employee_number:
        user[EnterpriseUser] = EnterpriseUser(employee_number=account.employee_number)
    in_team = found.team_id not in ("", UNASSIGNED)
    user[StepladderUser] = StepladderUser(
        team=OfTeam(value=found.team_id, ref=Reference(f"Groups/{found.team_id}")) if in_team else None,
        hire_date=found.hire_date,
        job_family=found.job_family or None,
        position=found.position or None,
        stars=found.stars or None,
        acting=found.acting or None,
        position_since=found.position_since if found.position else None,
        status=STATUSES.get(found.status),
    )
    return user


def _resource(found: Employee | Resource[Any]) -> Any:
    return to_user(found) if isinstance(found, Employee) else found


def to_group(team: Team, members: Sequence[str]) -> Group[Any]:
    """A team as a Group. Its version is made of its own and of who is in it."""
    version = hashlib.sha256("\n".join([team.etag, team.lead_id, *members]).encode()).hexdigest()[:16]
    group = GROUP(
        id=team.team_id,
        external_id=team.external_id or None,
        display_name=team.display_name,
        members=[Member(value=one, ref=Reference(f"Users/{one}"), type="User") for one in members] or None,
        meta=Meta(resource_type="Group", version=f'W/"{version}"'),
    )
    if team.lead_id:
        group[StepladderGroup] = StepladderGroup(
            lead=OfUser(value=team.lead_id, ref=Reference(f"Users/{team.lead_id}"))
        )
    return group


def number_of(user: User[Any]) -> str:
    """The id of a new employee: the personnel number, or the provider's own id, where it can be one, in lower case.

    Empty for one who has neither: then the id is made of the userName, and does not tell it, for it stays for ever.
    """
    enterprise = user[EnterpriseUser]
    return _as_id(enterprise.employee_number if enterprise else None) or _as_id(user.external_id)


def _as_id(text: str | None) -> str:
    """The text as an id; empty if it cannot be one."""
    written = (text or "").lower()
    fits = len(written) <= _LONGEST_ID and _ID_CHARACTERS.issuperset(written) and not written.startswith("-")
    return written if fits else ""


def _entry(user: User[Any], current: User[Any] | None) -> RosterEmployee:
    """What a User says of an employee; what it leaves out stays, what it has lost since `current` goes."""
    if not (user.user_name or "").strip():
        raise InvalidValueException(detail="userName: everybody needs one")
    name, extension = user.name or Name(), user[StepladderUser] or StepladderUser()
    before = (current[StepladderUser] if current else None) or StepladderUser()
    enterprise = user[EnterpriseUser] or EnterpriseUser()
    for lost in ("position", "status"):
        if getattr(before, lost) and not getattr(extension, lost) and user.active is not False:
            raise MutabilityException(detail=f"{lost} can be changed, not removed")
    entry = RosterEmployee(
        display_name=user.display_name
        or " ".join(part for part in (name.given_name, name.family_name) if part)
        or str(user.user_name),
        team_id=(extension.team.value if extension.team else None) or (UNASSIGNED if before.team else ""),
        position=extension.position or "",
        status=_status(extension.status),
        account=Account(
            user_name=str(user.user_name),
            external_id=user.external_id or "",
            employee_number=enterprise.employee_number or "",
            given_name=name.given_name or "",
            family_name=name.family_name or "",
        ),
        effective_date=_effective(extension),
    )
    if extension.position:
        entry.stars, entry.acting = extension.stars or 0, bool(extension.acting)
    if user.active is not None or current is None:
        entry.employed = user.active is not False
    return entry


def _team_entry(group: Group[Any], team_id: str) -> RosterTeam:
    lead = (group[StepladderGroup] or StepladderGroup()).lead
    return RosterTeam(
        team_id=team_id,
        display_name=group.display_name or "",
        external_id=group.external_id or "",
        given_up=False,
        lead_id=(lead.value if lead else None) or "",
    )


def _status(word: str | None) -> Any:
    if word is None:
        return 0
    found = next((status for status, name in STATUSES.items() if name == word.lower()), None)
    if found is None:
        raise InvalidValueException(detail=f"status must be one of {', '.join(STATUSES.values())}")
    return found


def _effective(extension: StepladderUser | StepladderGroup | None) -> str:
    return (extension.effective_date if extension else None) or ""


def _etag(resource: Resource[Any]) -> str:
    """The directory's etag in a User's version."""
    version = resource.meta and resource.meta.version
    return (version or "").removeprefix('W/"').removesuffix('"')


def _members(group: Group[Any]) -> list[str]:
    return list(dict.fromkeys(str(member.value) for member in group.members or [] if member.value))


def _shown(found: Employee) -> bool:
    """Who left and has no account is not there, as SCIM sees it."""
    return bool(found.account.user_name) or found.status != EMPLOYMENT_STATUS_LEFT


def _here(found: Employee) -> bool:
    return found.status != EMPLOYMENT_STATUS_LEFT


def _listed(team: Team) -> bool:
    return not team.given_up and team.team_id != UNASSIGNED
