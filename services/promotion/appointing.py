"""Policies between candidacies, careers and posts: who is appointed, which seat they take, and how a trial ended."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import structlog

from libs.common.errors import NotAllowed
from libs.common.eventsourcing import Context, Recorded
from libs.common.reacting import Policy, reaction
from libs.common.service import Service
from libs.facts.employee import EMPLOYEE
from services.promotion import candidacy_state
from services.promotion.candidacy import CANDIDACY
from services.promotion.career import CAREER, confirmed_claim
from services.promotion.competition import COMPETITION
from services.promotion.post import POST
from services.promotion.rungs import Rungs
from stepladder.promotion.v1.candidacy_pb2 import NoteTrialEnded
from stepladder.promotion.v1.career_pb2 import BeginAppointment, Held, ReleaseAppointment
from stepladder.promotion.v1.events_pb2 import (
    AppointmentBegun,
    AppointmentDecided,
    AppointmentReserved,
    CandidacyAppointed,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyWithdrawn,
)
from stepladder.promotion.v1.post_pb2 import FillSeat, ReleaseSeats, VacateSeat

logger = structlog.get_logger()


class TakeSeats(Policy):
    """Appointments begun and decided in; seats of claims filled and vacated out.

    The claim of an acting post ends with it; who is confirmed has claimed a seat. That of a trial is its competition's,
    which may fill the seat again.
    """

    name = "take-seats"
    subjects: Sequence[str] = ("log.promotion.career.*",)

    def __init__(self, service: Service) -> None:
        self._service = service

    async def react(self, event: Recorded) -> None:
        match event.event:
            case AppointmentBegun() as begun:
                fill = FillSeat(claim_id=begun.claim_id, employee_id=begun.employee_id, start_date=begun.start_date)
                await self._give(begun.post_id, fill, event)
            case AppointmentDecided(candidacy_id="", effective_date=day) as decided:
                confirmed = confirmed_claim(decided.employee_id, decided.appointment_id)
                # At no time in between does the seat look vacant.
                await self._give(decided.post_id, ReleaseSeats(claim_id=decided.claim_id, over_date=day), event)
                if decided.confirmed:
                    fill = FillSeat(claim_id=confirmed, employee_id=decided.employee_id, start_date=day)
                    await self._give(decided.post_id, fill, event)
                await self._give(decided.post_id, ReleaseSeats(claim_id=confirmed), event)
            case AppointmentDecided(confirmed=False) as decided:
                vacate = VacateSeat(claim_id=decided.claim_id, employee_id=decided.employee_id)
                await self._give(decided.post_id, vacate, event)

    async def _give(self, post_id: str, command: FillSeat | VacateSeat | ReleaseSeats, event: Recorded) -> None:
        """One event may have several commands for the same post: each has an id of its own."""
        service = self._service
        context = reaction(self.name, event, service.now(), service.today())
        own_id = f"{context.request_id}:{command.DESCRIPTOR.name}:{command.claim_id}"
        context = replace(context, request_id=own_id)
        await service.commands.handle(POST, post_id, command, context)


class AppointCandidates(Policy):
    """Candidates appointed in, their trials out; candidacies ended in, what was reserved for them released.

    Also if one ends while it is being reserved: of the two events, the later one is answered.
    """

    name = "appoint-candidates"
    subjects: Sequence[str] = ("log.promotion.candidacy.*", "log.promotion.career.*")

    def __init__(self, service: Service, rungs: Rungs) -> None:
        self._service = service
        self._rungs = rungs

    async def react(self, event: Recorded) -> None:
        match event.event:
            case CandidacyAppointed(candidacy_id=candidacy_id) as appointed:
                await self._begin(await self._candidacy(candidacy_id), appointed, event)
            case (
                CandidacyWithdrawn(candidacy_id=candidacy_id)
                | CandidacyRejected(candidacy_id=candidacy_id)
                | CandidacyNotSelected(candidacy_id=candidacy_id)
            ):
                await self._release((await self._candidacy(candidacy_id)).applied.employee_id, candidacy_id, event)
            case AppointmentReserved(employee_id=employee_id, candidacy_id=candidacy_id):
                if (await self._candidacy(candidacy_id)).ended:
                    await self._release(employee_id, candidacy_id, event)

    async def _release(self, employee_id: str, candidacy_id: str, event: Recorded) -> None:
        release = ReleaseAppointment(employee_id=employee_id, candidacy_id=candidacy_id)
        await self._service.commands.handle(CAREER, employee_id, release, self._context(event))

    async def _begin(self, candidacy: candidacy_state.State, appointed: CandidacyAppointed, event: Recorded) -> None:
        """Begins the trial. One that cannot begin any more, since the employee has left, has failed."""
        commands, applied = self._service.commands, candidacy.applied
        opened = (await commands.load(COMPETITION, applied.competition_id)).state.opened
        held = Held(position=opened.position, stars=opened.stars, team_id=opened.team_id)
        rungs = await self._rungs.on(date.fromisoformat(appointed.start_date))
        begin = BeginAppointment(
            employee_id=applied.employee_id,
            candidacy_id=appointed.candidacy_id,
            post_id=opened.post_id,
            claim_id=opened.competition_id,
            held=held,
            start_date=appointed.start_date,
            until_date=appointed.trial_until,
            appointed_by=appointed.appointed_by,
            place=rungs.place((await commands.load(EMPLOYEE, applied.employee_id)).state, held),
        )
        try:
            await commands.handle(CAREER, applied.employee_id, begin, self._context(event))
        except NotAllowed as refusal:
            logger.warning("trial_not_begun", position=event.position, reason=refusal.reason)
            failed = NoteTrialEnded(passed=False, reason=str(refusal), ended_date=appointed.start_date)
            await commands.handle(CANDIDACY, appointed.candidacy_id, failed, self._context(event))

    async def _candidacy(self, candidacy_id: str) -> candidacy_state.State:
        return (await self._service.commands.load(CANDIDACY, candidacy_id)).state

    def _context(self, event: Recorded) -> Context:
        return reaction(self.name, event, self._service.now(), self._service.today())


class EndTrials(Policy):
    """Trials decided in; what the candidacies are told of it out."""

    name = "end-trials"
    subjects: Sequence[str] = ("log.promotion.career.*",)

    def __init__(self, service: Service) -> None:
        self._service = service

    async def react(self, event: Recorded) -> None:
        match event.event:
            case AppointmentDecided(candidacy_id=candidacy_id) as decided if candidacy_id:
                service = self._service
                ended = NoteTrialEnded(
                    passed=decided.confirmed,
                    career_position=event.position,
                    reason=decided.reason,
                    decided_by=decided.decided_by,
                    ended_date=decided.effective_date,
                )
                context = reaction(self.name, event, service.now(), service.today())
                await service.commands.handle(CANDIDACY, candidacy_id, ended, context)
