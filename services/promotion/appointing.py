"""Policies around careers: who holds a post for the time being takes a seat of its claim, and leaves it again."""

from collections.abc import Sequence
from dataclasses import replace

from google.protobuf.message import Message

from libs.common.eventsourcing import Recorded
from libs.common.reacting import Policy, reaction
from libs.common.service import Service
from services.promotion.post import POST
from stepladder.promotion.v1.events_pb2 import AppointmentBegun, AppointmentDecided
from stepladder.promotion.v1.post_pb2 import FillSeat, ReleaseSeats, VacateSeat


class TakeSeats(Policy):
    """Appointments begun and decided in; seats of claims filled and vacated out.

    The claim of an acting post ends with it. That of a trial is its competition's, which may fill the seat again.
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
            case AppointmentDecided(claim_id=claim_id) as decided:
                if not decided.confirmed:
                    vacate = VacateSeat(claim_id=claim_id, employee_id=decided.employee_id)
                    await self._give(decided.post_id, vacate, event)
                if not decided.candidacy_id:
                    await self._give(decided.post_id, ReleaseSeats(claim_id=claim_id), event)

    async def _give(self, post_id: str, command: Message, event: Recorded) -> None:
        """One event may have two commands for the same post: each has an id of its own."""
        service = self._service
        context = reaction(self.name, event, service.now(), service.today())
        context = replace(context, request_id=f"{context.request_id}:{command.DESCRIPTOR.name}")
        await service.commands.handle(POST, post_id, command, context)
