"""gRPC: stepladder.promotion.v1.CareerService."""

from collections.abc import Iterable
from dataclasses import replace

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.days import parse_day
from libs.common.errors import NotFound, Refused
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts import employee
from libs.facts.employee import EMPLOYEE
from libs.facts.reaching import SEEING, Caller, Reaches, callers_to
from libs.facts.team import TEAM
from services.promotion import career
from services.promotion.career import (
    CAREER,
    State,
    acting_claim,
    appointment_of,
    confirmed_claim,
    held_before,
    held_by,
    waivers_of,
    with_stars,
)
from services.promotion.careers import Careers
from services.promotion.post import post_id
from services.promotion.rungs import Rungs, employed_on, held_on
from services.promotion.seats import Seats
from stepladder.promotion.v1 import career_pb2 as pb
from stepladder.promotion.v1.post_pb2 import ClaimSeats


class CareerApi:
    """Implements the service, and ends careers of those who have left."""

    def __init__(
        self,
        service: Service,
        reaches: Reaches,
        careers: Careers,
        follower: Follower,
        seats: Seats,
        rungs: Rungs,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._reaches = reaches
        self._careers = careers
        self._follower = follower
        self._seats = seats
        self._rungs = rungs

    async def WaiveCriterion(self, request: pb.WaiveCriterionRequest, context: Context) -> pb.Career:
        found, caller = await self._about(request.employee_id, context)
        rungs = await self._rungs.on(context.today)
        command = pb.WaiveCriterion(
            request=request,
            waivable=rungs.waivable(request.ladder_id, request.rung_id, request.criterion_id),
            employed=employed_on(found, context.today),
        )
        return await self._handle(request, command, caller, context)

    async def WithdrawWaiver(self, request: pb.WithdrawWaiverRequest, context: Context) -> pb.Career:
        _, caller = await self._about(request.employee_id, context)
        return await self._handle(request, request, caller, context)

    async def BeginActing(self, request: pb.BeginActingRequest, context: Context) -> pb.Career:
        found, caller = await self._about(request.employee_id, context)
        start = parse_day(request.start_date, "start_date")
        command = pb.BeginActing(request=request, place=(await self._rungs.on(start)).place(found, request.held))
        held, appointment_id = request.held, request.appointment_id
        state = (await self._commands.load(CAREER, request.employee_id)).state
        if appointment_id in state.begun:
            return await self._handle(request, command, caller, context)
        CAREER.decide(state, command, context)  # whoever is refused claims nothing
        post = post_id(held.position, held.stars, held.team_id)
        claim_id, unnamed = acting_claim(request.employee_id, appointment_id), replace(context, request_id="")
        claim = ClaimSeats(
            claim_id=claim_id,
            seats=1,
            acting=True,
            employee_id=request.employee_id,
            appointment_id=appointment_id,
            start_date=request.start_date,
        )
        await self._seats.claim(post, claim, unnamed)
        try:
            return await self._handle(request, command, caller, context)
        except Refused:
            begun = (await self._commands.load(CAREER, request.employee_id)).state.begun.get(appointment_id)
            if begun is None or begun.post_id != post:  # nobody else has begun it meanwhile
                await self._seats.release(post, claim_id, unnamed)
            raise

    async def DecideAppointment(self, request: pb.DecideAppointmentRequest, context: Context) -> pb.Career:
        found, caller = await self._about(request.employee_id, context)
        day = parse_day(request.effective_date, "effective_date")
        state = (await self._commands.load(CAREER, request.employee_id)).state
        begun = state.begun.get(request.appointment_id)
        command = pb.DecideAppointment(
            request=request,
            employed=employed_on(found, day),
            forgone_position=state.unconfirmed.get(request.appointment_id, 0),
        )
        if begun is not None and not request.confirmed:
            back = held_before(begun)
            if request.HasField("held"):
                back = with_stars(request.held, begun.from_stars)
                await self._check_team(back.team_id)
            command.seat = await self._seats.free_for(request.employee_id, back, day)
            command.leads_team = (await self._rungs.on(day)).leads_team(back)
        trial = begun is not None and begun.candidacy_id != ""
        if begun is None or trial or not request.confirmed or request.appointment_id in state.decided:
            return await self._handle(request, command, caller, context)
        CAREER.decide(state, command, context)
        claim_id = confirmed_claim(request.employee_id, request.appointment_id)
        claim = ClaimSeats(
            claim_id=claim_id,
            seats=1,
            employee_id=request.employee_id,
            appointment_id=request.appointment_id,
            start_date=request.effective_date,
        )
        await self._seats.claim(begun.post_id, claim, replace(context, request_id=""))
        try:
            return await self._handle(request, command, caller, context)
        except Refused:
            now = (await self._commands.load(CAREER, request.employee_id)).state
            decided = now.decided.get(request.appointment_id)
            kept = now.unconfirmed.get(request.appointment_id, 0) == command.forgone_position
            if kept and (decided is None or not decided.confirmed):  # nobody else has confirmed it meanwhile
                await self._seats.release(begun.post_id, claim_id, replace(context, request_id=""))
            raise

    async def ProposeDemotion(self, request: pb.ProposeDemotionRequest, context: Context) -> pb.Career:
        found, caller = await self._about(request.employee_id, context)
        await self._check_team(request.held.team_id)
        before, rungs = held_on(found, context.today), await self._rungs.on(context.today)
        command = pb.ProposeDemotion(
            request=request,
            before=before,
            employed=employed_on(found, context.today),
            lower=rungs.is_lower(with_stars(request.held, before.stars), before),
        )
        return await self._handle(request, command, caller, context)

    async def DecideDemotion(self, request: pb.DecideDemotionRequest, context: Context) -> pb.Career:
        found, caller = await self._about(request.employee_id, context)
        day = parse_day(request.effective_date, "effective_date")
        command = pb.DecideDemotion(request=request, before=held_on(found, day), employed=employed_on(found, day))
        state = (await self._commands.load(CAREER, request.employee_id)).state
        if (proposed := state.proposed.get(request.demotion_id)) is not None:
            command.leads_team = (await self._rungs.on(day)).leads_team(held_by(proposed))
        return await self._handle(request, command, caller, context)

    async def DismissDemotion(self, request: pb.DismissDemotionRequest, context: Context) -> pb.Career:
        _, caller = await self._about(request.employee_id, context)
        return await self._handle(request, request, caller, context)

    async def GetCareer(self, request: pb.GetCareerRequest, context: Context) -> pb.Career:
        _, caller = await self._about(request.employee_id, context)
        found = await self._commands.load(CAREER, request.employee_id)
        shows = (await self._commands.load(EMPLOYEE, request.employee_id)).state
        return await self._shown(request.employee_id, found, caller, context, shows)

    async def ListAppointments(
        self, request: pb.ListAppointmentsRequest, context: Context
    ) -> pb.ListAppointmentsResponse:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._careers.list_appointments(self._service.engine, request, reach)
        page, token = cut_page(request, listed, list)
        known = await self._commands.known(CAREER, {employee_id for _, employee_id, _ in page})
        crowded = await self._crowded([one.state for one in known.values()], context)
        shows = await self._commands.known(EMPLOYEE, known)
        appointments = [
            appointment_of(known[one].state, name, context.today, crowded, shows[one].state) for _, one, name in page
        ]
        return pb.ListAppointmentsResponse(appointments=appointments, next_page_token=token)

    async def end(self, employee_id: str) -> None:
        """Ends what runs of somebody who has left for good."""
        state = (await self._commands.load(EMPLOYEE, employee_id)).state
        today = self._service.today()
        if not state.left_for_good(today):
            return
        context = Context(now=self._service.now(), today=today, actor="system:clock")
        end = pb.EndCareer(employee_id=employee_id, left_date=state.statuses[-1][0].isoformat())
        await self._commands.handle(CAREER, employee_id, end, context)

    async def _about(self, employee_id: str, context: Context) -> tuple[employee.State, Caller]:
        """Whom it is about, for a caller who may.

        Raises Forbidden `NEED_TO_KNOW`; NotFound `EMPLOYEE_NOT_FOUND` to those who may about anybody.
        """
        (caller,) = (await callers_to(self._commands, context, [employee_id])).values()
        if not context.admission.granted:  # or else the shell has asked; about themself a career refuses whoever it is
            context.admission.check(caller.held)
        found = await self._commands.known(EMPLOYEE, [employee_id], latest=True)
        if not found:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {employee_id}")
        return found[employee_id].state, caller

    async def _handle(self, request: "Said", command: Message, caller: Caller, context: Context) -> pb.Career:
        handled = await self._commands.handle(CAREER, request.employee_id, command, replace(context, etag=request.etag))
        return await self._shown(request.employee_id, handled, caller, context)

    async def _shown(
        self,
        employee_id: str,
        found: Standing[State],
        caller: Caller,
        context: Context,
        shows: employee.State | None = None,
    ) -> pb.Career:
        """All of it, or for an executive who is nothing else to the employee the waivers.

        `shows`: the directory; None where that cannot have followed yet.
        """
        if caller.relations.isdisjoint(SEEING):
            return pb.Career(employee_id=employee_id, waivers=waivers_of(found.state, context.today))
        crowded = await self._crowded([found.state], context)
        return career.to_resource(employee_id, found.state, found.position, context.today, crowded, shows)

    async def _crowded(self, states: Iterable[State], context: Context) -> list[str]:
        """Of the posts that these act in, those in which more are acting than there are seats for it today."""
        acting = {one.running.post_id for one in states if one.running is not None and not one.running.candidacy_id}
        posts = await self._seats.of(acting, context.today) if acting else {}
        return [name for name, post in posts.items() if post.crowded]

    async def _check_team(self, team_id: str) -> None:
        if not await self._commands.known(TEAM, [team_id], check=False):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {team_id}")


Said = (
    pb.WaiveCriterionRequest
    | pb.WithdrawWaiverRequest
    | pb.BeginActingRequest
    | pb.DecideAppointmentRequest
    | pb.ProposeDemotionRequest
    | pb.DecideDemotionRequest
    | pb.DismissDemotionRequest
)
