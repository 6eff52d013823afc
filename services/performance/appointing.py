"""Policy: careers in, changes of the directory out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

import structlog

from libs.common.days import ONE_DAY
from libs.common.errors import Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, Recorded
from libs.common.projecting import Follower
from libs.common.reacting import Policy, reaction
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.people import FOR_EVER, People
from services.performance.employee import EMPLOYEE
from services.performance.team import TEAM
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    AppointTeamLeadRequest,
    ChangePositionRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.events_pb2 import EmploymentStatusChanged
from stepladder.promotion.v1.events_pb2 import AppointmentBegun, AppointmentDecided, EmployeeDemoted

logger = structlog.get_logger()

S = TypeVar("S")
Return = AppointmentDecided | EmployeeDemoted
Move = AppointmentBegun | Return
Told = TransferEmployeeRequest | ChangePositionRequest | AppointTeamLeadRequest


class FollowCareers(Policy):
    """Who holds a post for the time being is shown as acting in it, from its first day on; then for good, or elsewhere.

    What they led before they lead no more, unless they go back; nor does anybody lead who has left. What the directory
    refuses of somebody who has left is logged: it stays so, for nobody's employment is taken up again.
    """

    name = "follow-careers"
    subjects: Sequence[str] = ("log.promotion.career.*", "log.performance.employee.*")

    def __init__(self, service: Service, people: People, at_people: Follower) -> None:
        self._service = service
        self._people = people
        self._at_people = at_people

    async def react(self, event: Recorded) -> None:
        match event.event:
            case AppointmentBegun(start_date=day) as begun:
                if not await self._transfer(begun, day, event, leads=begun.leads_team):
                    return
                if begun.leads_team or begun.position != begun.from_position:  # who only gets a star leads on
                    for team_id, since in await self._led_from(begun.employee_id, day, event):
                        if since == day and not (begun.leads_team and team_id == begun.team_id):
                            await self._lead(team_id, "", day, event)
                if begun.leads_team:
                    await self._lead(begun.team_id, begun.employee_id, day, event)
                # Last: once it is known what they hold, the directory is asked where; a lead holds it where they lead.
                await self._change_position(begun, day, event, acting=True)
            case AppointmentDecided(left=False, effective_date=day, acting=acting) as decided:
                await self._move(decided, event, acting=acting)
                if not decided.confirmed:
                    back = await self._lead_before(decided.from_team_id, decided.employee_id, day)
                    await self._give_up_lead(decided, [], event, back)
                if decided.back:
                    # Their own team need not be the one that they led.
                    for team_id in await self._led_last(decided.employee_id, day, event):
                        await self._lead(team_id, decided.employee_id, day, event)
            case EmployeeDemoted(effective_date=day) as demoted:
                await self._move(demoted, event)
                await self._give_up_lead(demoted, await self._led_from(demoted.employee_id, day, event), event)
            case EmploymentStatusChanged(employee_id=employee_id, status=status, effective_date=day) if (
                status == EMPLOYMENT_STATUS_LEFT
            ):
                for team_id, since in await self._led_from(employee_id, day, event):
                    await self._lead(team_id, "", since, event)

    async def _move(self, to: Return, event: Recorded, *, acting: bool = False) -> None:
        day, back = to.effective_date, isinstance(to, AppointmentDecided) and to.back
        leads = to.leads_team and not back and await self._lead_of(to.team_id, day) in {"", to.employee_id}
        if await self._transfer(to, day, event, leads=leads):
            await self._change_position(to, day, event, acting=acting)

    async def _transfer(self, to: Move, day: str, event: Recorded, *, leads: bool) -> bool:
        """To the team of a post, or to where its lead belongs; whether the directory took it."""
        team_id = await self._team_of_leads(to.team_id, day) if leads else to.team_id
        transfer = TransferEmployeeRequest(employee_id=to.employee_id, team_id=team_id, effective_date=day)
        return await self._give(EMPLOYEE, to.employee_id, transfer, event)

    async def _change_position(self, to: Move, day: str, event: Recorded, *, acting: bool) -> None:
        change = ChangePositionRequest(
            employee_id=to.employee_id, position=to.position, stars=to.stars, acting=acting, effective_date=day
        )
        await self._give(EMPLOYEE, to.employee_id, change, event)

    async def _team_of_leads(self, team_id: str, day: str) -> str:
        """The team of whoever led a team last before a day and was in another one; the team itself: nobody was.

        Whoever leads that other team leads the lead, and is the manager of those whom the lead leads.
        """
        leads = (await self._service.commands.load(TEAM, team_id)).state.leads
        end = date.fromisoformat(day)
        for since, lead_id in reversed(leads):
            if since <= end and lead_id:
                lead = (await self._service.commands.load(EMPLOYEE, lead_id)).state
                if (own := lead.team_on(max(since, end - ONE_DAY))) not in {"", team_id}:
                    return own
            end = min(since, end)
        return team_id

    async def _give_up_lead(
        self, to: Return, others: Sequence[tuple[str, str]], event: Recorded, next_id: str = ""
    ) -> None:
        """Somebody else leads the team that they led, and others from a day on; or nobody, until one is appointed.

        Where they go they lead if that is their post, and nobody does; who goes back leads what they led.
        """
        given_up = list(others)
        if await self._lead_of(to.from_team_id, to.effective_date) == to.employee_id:
            given_up.append((to.from_team_id, to.effective_date))
        for team_id, day in given_up:
            if not (to.leads_team and to.team_id == team_id):
                await self._lead(team_id, next_id, day, event)
        back = isinstance(to, AppointmentDecided) and to.back
        if to.leads_team and not back and not await self._lead_of(to.team_id, to.effective_date):
            await self._lead(to.team_id, to.employee_id, to.effective_date, event)

    async def _lead_of(self, team_id: str, day: str) -> str:
        return (await self._service.commands.load(TEAM, team_id)).state.lead_on(date.fromisoformat(day))

    async def _lead_before(self, team_id: str, employee_id: str, day: str) -> str:
        """Who led a team before somebody did; empty: nobody who is employed on a day."""
        on = date.fromisoformat(day)
        leads = (await self._service.commands.load(TEAM, team_id)).state.leads
        before = next((one for since, one in reversed(leads) if since <= on and one != employee_id), "")
        found = (await self._service.commands.load(EMPLOYEE, before)).state if before else None
        return before if found and found.status_on(on) != EMPLOYMENT_STATUS_LEFT else ""

    async def _led_from(self, employee_id: str, day: str, event: Recorded) -> list[tuple[str, str]]:
        """Every team that somebody leads on a day or is to lead later, and from when; as known when it was decided."""
        await self._at_people.wait_for(event.position, AT_LEAST_SECONDS)
        leads = await self._people.leads_between(self._service.engine, day, FOR_EVER, known_at=event.position)
        return [(one.team_id, max(day, one.from_date)) for one in leads if one.employee_id == employee_id]

    async def _led_last(self, employee_id: str, day: str, event: Recorded) -> list[str]:
        """Teams that nobody leads on a day and that somebody led until then."""
        await self._at_people.wait_for(event.position, AT_LEAST_SECONDS)
        led = await self._people.leads_between(self._service.engine, "", day, known_at=event.position)
        found = []
        for team_id in sorted({one.team_id for one in led if one.employee_id == employee_id}):
            leads = (await self._service.commands.load(TEAM, team_id)).state.leads
            *_, before, last = ["", "", *(one for since, one in leads if since.isoformat() <= day)]
            if (before, last) == (employee_id, ""):
                found.append(team_id)
        return found

    async def _lead(self, team_id: str, lead_id: str, day: str, event: Recorded) -> None:
        appoint = AppointTeamLeadRequest(team_id=team_id, lead_id=lead_id, effective_date=day)
        await self._give(TEAM, team_id, appoint, event)

    async def _give(self, aggregate: Aggregate[S], aggregate_id: str, command: Told, event: Recorded) -> bool:
        """Whether the directory took it."""
        try:
            await self._service.commands.handle(aggregate, aggregate_id, command, self._context(command, event))
        except (Invalid, NotAllowed, NotFound) as refusal:
            logger.warning("career_not_followed", position=event.position, reason=refusal.reason)
            return False
        return True

    def _context(self, command: Told, event: Recorded) -> Context:
        """One event has several commands for the same employee or team: each has an id of its own."""
        context = reaction(self.name, event, self._service.now(), self._service.today())
        own_id = f"{context.request_id}:{command.DESCRIPTOR.name}:{command.effective_date}"
        return replace(context, request_id=own_id)
