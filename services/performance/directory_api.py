"""gRPC: stepladder.performance.v1.DirectoryService."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from google.protobuf.message import Message

from libs.common.access import need_to_know
from libs.common.commands import Standing
from libs.common.days import parse_day
from libs.common.errors import NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.employee import State
from libs.facts.people import People
from libs.facts.reaching import Reaches, check_related
from services.performance import employee, team
from services.performance.callers import refuse_own, seen_by_caller
from services.performance.employee import EMPLOYEE
from services.performance.staffing import Staffing
from services.performance.team import TEAM
from stepladder.performance.v1 import directory_pb2 as pb


class DirectoryApi:
    """Implements the service: resources out of the log, lists by way of the read model."""

    def __init__(self, service: Service, people: People, follower: Follower, reaches: Reaches) -> None:
        self._reaches = reaches
        self._commands = service.commands
        self._engine = service.engine
        self._people = people
        self._follower = follower
        self._staffing = Staffing(service, people, follower)

    async def CreateTeam(self, request: pb.CreateTeamRequest, context: Context) -> pb.Team:
        return await self._team(request.team.team_id, request, context)

    async def UpdateTeam(self, request: pb.UpdateTeamRequest, context: Context) -> pb.Team:
        return await self._team(request.team.team_id, request, replace(context, etag=request.team.etag))

    async def AppointTeamLead(self, request: pb.AppointTeamLeadRequest, context: Context) -> pb.Team:
        if request.lead_id and not await self._commands.known(EMPLOYEE, [request.lead_id], check=False):
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {request.lead_id} to lead the team")
        return await self._team(request.team_id, request, context)

    async def GetTeam(self, request: pb.GetTeamRequest, context: Context) -> pb.Team:
        found = await self._commands.load(TEAM, request.team_id, request.known_at)
        if not found.position:
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {request.team_id}")
        return team.to_resource(found.state, found.position, _day(request.as_of, context))

    async def ListTeams(self, request: pb.ListTeamsRequest, context: Context) -> pb.ListTeamsResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        day = _day(request.as_of, context)
        ids, token = cut_page(request, await self._people.list_teams(self._engine, request), lambda one: [one])
        found = (await self._commands.known(TEAM, ids)).values()
        teams = [team.to_resource(one.state, one.position, day) for one in found]
        return pb.ListTeamsResponse(teams=teams, next_page_token=token)

    async def HireEmployee(self, request: pb.HireEmployeeRequest, context: Context) -> pb.Employee:
        await self._require_team(request.employee.team_id)
        return await self._employee(request.employee.employee_id, request, context)

    async def UpdateEmployee(self, request: pb.UpdateEmployeeRequest, context: Context) -> pb.Employee:
        context = replace(context, etag=request.employee.etag)
        return await self._employee(request.employee.employee_id, request, context)

    async def TransferEmployee(self, request: pb.TransferEmployeeRequest, context: Context) -> pb.Employee:
        await self._require_team(request.team_id)
        return await self._employee(request.employee_id, request, context)

    async def ChangePosition(self, request: pb.ChangePositionRequest, context: Context) -> pb.Employee:
        return await self._employee(request.employee_id, request, context)

    async def ChangeEmploymentStatus(self, request: pb.ChangeEmploymentStatusRequest, context: Context) -> pb.Employee:
        return await self._employee(request.employee_id, request, context)

    async def GetEmployee(self, request: pb.GetEmployeeRequest, context: Context) -> pb.Employee:
        await check_related(self._commands, context, [request.employee_id])
        found = await self._commands.load(EMPLOYEE, request.employee_id, request.known_at)
        if not found.position:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {request.employee_id}")
        day = _day(request.as_of, context)
        lead_id = ""
        if team_id := found.state.team_on(day):
            lead_id = (await self._commands.load(TEAM, team_id, request.known_at)).state.lead_on(day)
        return _as_told(employee.to_resource(found.state, found.position, day, lead_id), context)

    async def ListEmployees(self, request: pb.ListEmployeesRequest, context: Context) -> pb.ListEmployeesResponse:
        seen = await seen_by_caller(self._reaches, context)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        day = _day(request.as_of, context)
        if request.user_name or request.external_id:
            if not _is_told_accounts(context):
                raise need_to_know()
            matching = await self._staffing.with_account(request.user_name, request.external_id)
            found = (await self._commands.known(EMPLOYEE, matching)).values()
            return pb.ListEmployeesResponse(employees=await self._resources(found, day, context))
        listed = await self._people.list_employees(self._engine, request, day, seen.employees)
        ids, token = cut_page(request, listed, lambda one: [one])
        found = (await self._commands.known(EMPLOYEE, ids)).values()
        return pb.ListEmployeesResponse(employees=await self._resources(found, day, context), next_page_token=token)

    async def PlanRoster(self, request: pb.PlanRosterRequest, context: Context) -> pb.PlanRosterResponse:
        plan = await self._staffing.plan(request.roster, context)
        return pb.PlanRosterResponse(changes=plan.changes, unchanged=plan.unchanged, problems=plan.problems)

    async def ImportRoster(self, request: pb.ImportRosterRequest, context: Context) -> pb.ImportRosterResponse:
        plan = await self._staffing.carry_out(request.roster, context)
        return pb.ImportRosterResponse(
            changes=plan.changes, unchanged=plan.unchanged, problems=plan.problems, log_position=plan.log_position
        )

    async def _team(self, team_id: str, command: Message, context: Context) -> pb.Team:
        handled = await self._commands.handle(TEAM, team_id, command, context)
        return team.to_resource(handled.state, handled.position, context.today)

    async def _employee(self, employee_id: str, command: Message, context: Context) -> pb.Employee:
        refuse_own(context, employee_id)
        handled = await self._commands.handle(EMPLOYEE, employee_id, command, context)
        (resource,) = await self._resources([handled], context.today, context)
        return resource

    async def _resources(self, found: Iterable[Standing[State]], day: date, context: Context) -> list[pb.Employee]:
        """Employees as of a day, with the leads that their teams had then."""
        found = list(found)
        teams = await self._commands.known(TEAM, {one.state.team_on(day) for one in found} - {""})
        leads = {team_id: standing.state.lead_on(day) for team_id, standing in teams.items()}
        return [
            _as_told(employee.to_resource(one.state, one.position, day, leads.get(one.state.team_on(day), "")), context)
            for one in found
        ]

    async def _require_team(self, team_id: str) -> None:
        if not await self._commands.known(TEAM, [team_id], check=False):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {team_id}")


def _is_told_accounts(context: Context) -> bool:
    return "directory" in context.admission.roles


def _as_told(resource: pb.Employee, context: Context) -> pb.Employee:
    """What a caller is told of an employee: of accounts only systems of the directory are."""
    if not _is_told_accounts(context):
        resource.ClearField("account")
    return resource


def _day(as_of: str, context: Context) -> date:
    return parse_day(as_of, "as_of") if as_of else context.today
