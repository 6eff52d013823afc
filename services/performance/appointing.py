"""Policy: careers in, changes of the directory out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

import structlog
from google.protobuf.message import Message

from libs.common.errors import Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, Recorded
from libs.common.reacting import Policy, reaction
from libs.common.service import Service
from services.performance.employee import EMPLOYEE
from services.performance.team import TEAM
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    ChangePositionRequest,
    TransferEmployeeRequest,
)
from stepladder.promotion.v1.events_pb2 import AppointmentBegun, AppointmentDecided, EmployeeDemoted

logger = structlog.get_logger()

S = TypeVar("S")
Move = AppointmentBegun | AppointmentDecided | EmployeeDemoted


class FollowCareers(Policy):
    """Who holds a post for the time being is shown as acting in it, from its first day on; then for good, or elsewhere.

    What the directory refuses, for instance of somebody who has left, is logged; the rest of it is done all the same.
    """

    name = "follow-careers"
    subjects: Sequence[str] = ("log.promotion.career.*",)

    def __init__(self, service: Service) -> None:
        self._service = service

    async def react(self, event: Recorded) -> None:
        match event.event:
            case AppointmentBegun(start_date=day) as begun:
                await self._move(begun, day, event, acting=True)
                if begun.leads_team:
                    await self._lead(begun.team_id, begun.employee_id, day, event)
            case AppointmentDecided(left=False, effective_date=day, acting=acting) as decided:
                await self._move(decided, day, event, acting=acting)
                if not decided.confirmed:
                    await self._give_up_lead(decided, event)
            case EmployeeDemoted(effective_date=day) as demoted:
                await self._move(demoted, day, event, acting=False)
                await self._give_up_lead(demoted, event)

    async def _move(self, to: Move, day: str, event: Recorded, *, acting: bool) -> None:
        employee_id = to.employee_id
        transfer = TransferEmployeeRequest(employee_id=employee_id, team_id=to.team_id, effective_date=day)
        await self._give(EMPLOYEE, employee_id, transfer, event)
        change = ChangePositionRequest(
            employee_id=employee_id, position=to.position, stars=to.stars, acting=acting, effective_date=day
        )
        await self._give(EMPLOYEE, employee_id, change, event)

    async def _give_up_lead(self, to: AppointmentDecided | EmployeeDemoted, event: Recorded) -> None:
        """Nobody leads the team that they led, until somebody is appointed; where they go they lead if nobody does."""
        left_team, day = to.from_team_id, date.fromisoformat(to.effective_date)
        stays = to.leads_team and to.team_id == left_team
        if not stays and await self._lead_of(left_team, day) == to.employee_id:
            await self._lead(left_team, "", to.effective_date, event)
        if to.leads_team and not await self._lead_of(to.team_id, day):
            await self._lead(to.team_id, to.employee_id, to.effective_date, event)

    async def _lead_of(self, team_id: str, day: date) -> str:
        return (await self._service.commands.load(TEAM, team_id)).state.lead_on(day)

    async def _lead(self, team_id: str, lead_id: str, day: str, event: Recorded) -> None:
        appoint = AppointTeamLeadRequest(team_id=team_id, lead_id=lead_id, effective_date=day)
        await self._give(TEAM, team_id, appoint, event)

    async def _give(self, aggregate: Aggregate[S], aggregate_id: str, command: Message, event: Recorded) -> None:
        try:
            await self._service.commands.handle(aggregate, aggregate_id, command, self._context(command, event))
        except (Invalid, NotAllowed, NotFound) as refusal:
            logger.warning("career_not_followed", position=event.position, reason=refusal.reason)

    def _context(self, command: Message, event: Recorded) -> Context:
        """One event has several commands for the same employee: each has an id of its own."""
        context = reaction(self.name, event, self._service.now(), self._service.today())
        return replace(context, request_id=f"{context.request_id}:{command.DESCRIPTOR.name}")
