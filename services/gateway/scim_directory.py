"""The directory of the performance service, asked by SCIM: out of a thread, with the caller's token."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import StatusCode
from grpc.aio import AioRpcError
from scim2_models import (
    ConflictException,
    ForbiddenException,
    InvalidValueException,
    NotFoundException,
    PreconditionFailedException,
    SCIMException,
    UnauthorizedException,
    UniquenessException,
)

from libs.common.auth import AUTHORIZATION_KEY
from libs.common.rpc import answered
from stepladder.performance.v1.directory_pb2 import (
    Employee,
    GetEmployeeRequest,
    GetTeamRequest,
    ImportRosterRequest,
    ListEmployeesRequest,
    ListTeamsRequest,
    RosterEmployee,
    RosterTeam,
    StaffRoster,
    Team,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub

CALL_SECONDS = 30.0
PAGE = 1000

T = TypeVar("T")


class Away(SCIMException):
    """The system cannot answer right now."""

    status = 503


class Faulty(SCIMException):
    """Something is wrong on our side."""

    status = 500


class Latest:
    """Up to which position of the log this process has changed the directory: its reads include as much."""

    position = 0


class Directory:
    """Calls for one SCIM request. Whatever is refused is raised as SCIM's error for it."""

    def __init__(
        self, stub: DirectoryServiceStub, loop: asyncio.AbstractEventLoop, latest: Latest, authorization: str
    ) -> None:
        self._stub = stub
        self._loop = loop
        self._latest = latest
        self._metadata = ((AUTHORIZATION_KEY, authorization),)

    def employee(self, employee_id: str) -> Employee | None:
        """As of today, or of the first day of one who has yet to begin."""
        found = self._named(self._stub.GetEmployee, GetEmployeeRequest(employee_id=employee_id))
        return found and self._begun(found)

    def team(self, team_id: str) -> Team | None:
        return self._named(self._stub.GetTeam, GetTeamRequest(team_id=team_id))

    def employees(self, **which: str) -> Iterator[Employee]:
        """Those of a team today, of a user name or of an external id; or everybody."""
        request = ListEmployeesRequest(page_size=PAGE, at_least=self._latest.position, **which)
        while True:
            answer = self._ask(self._stub.ListEmployees, request)
            yield from map(self._begun, answer.employees)
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def teams(self) -> Iterator[Team]:
        request = ListTeamsRequest(page_size=PAGE, at_least=self._latest.position)
        while True:
            answer = self._ask(self._stub.ListTeams, request)
            yield from answer.teams
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def change(self, teams: list[RosterTeam], employees: list[RosterEmployee], effective_date: str = "") -> None:
        """Makes the directory say so; nothing is changed when one of them is refused."""
        roster = StaffRoster(teams=teams, employees=employees, effective_date=effective_date)
        answer = self._ask(self._stub.ImportRoster, ImportRosterRequest(roster=roster))
        self._latest.position = max(self._latest.position, answer.log_position)
        for problem in answer.problems:
            text = f"{problem.id}: {problem.message} ({problem.reason})"
            raise (
                UniquenessException(detail=text)
                if problem.reason == "USER_NAME_TAKEN"
                else InvalidValueException(detail=text)
            )

    def _begun(self, found: Employee) -> Employee:
        if found.team_id:
            return found
        request = GetEmployeeRequest(employee_id=found.employee_id, as_of=found.hire_date)
        return self._ask(self._stub.GetEmployee, request)

    def _named(self, method: Callable[..., Awaitable[T]], request: Message) -> T | None:
        """What has an id; None for one that there is not, or cannot be."""
        try:
            return self._ask(method, request)
        except (NotFoundException, InvalidValueException):
            return None

    def _ask(self, method: Callable[..., Awaitable[T]], request: Message) -> T:
        async def call() -> T:
            return await method(request, metadata=self._metadata, timeout=CALL_SECONDS)

        with _as_scim():
            return asyncio.run_coroutine_threadsafe(call(), self._loop).result()


@contextmanager
def _as_scim() -> Iterator[None]:
    """A refusal as SCIM says it (RFC 7644, section 3.12)."""
    try:
        yield
    except AioRpcError as error:
        kind = _ERRORS.get(error.code(), Faulty)
        raise kind(detail=_text_of(error)) from error


_ERRORS: dict[StatusCode, type[SCIMException]] = {
    StatusCode.INVALID_ARGUMENT: InvalidValueException,
    StatusCode.NOT_FOUND: NotFoundException,
    StatusCode.ALREADY_EXISTS: UniquenessException,
    StatusCode.FAILED_PRECONDITION: ConflictException,
    StatusCode.ABORTED: PreconditionFailedException,
    StatusCode.PERMISSION_DENIED: ForbiddenException,
    StatusCode.UNAUTHENTICATED: UnauthorizedException,
    StatusCode.UNAVAILABLE: Away,
    StatusCode.DEADLINE_EXCEEDED: Away,
}


def _text_of(error: AioRpcError) -> str:
    status: Any = answered(error)
    info = ErrorInfo()
    if status is None:
        return "the performance service does not answer; send the same request again soon (SERVICE_AWAY)"
    reason = next((info.reason for detail in status.details if detail.Unpack(info)), "")
    return f"{status.message} ({reason})"
