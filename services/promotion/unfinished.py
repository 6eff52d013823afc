"""What was begun with the first of two writes and never ended with the second: found here, and undone by the clock."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, timedelta

from google.protobuf.message import Message
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.database import upsert
from libs.common.eventsourcing import Context, Recorded
from libs.common.projecting import ReadModel
from libs.common.reacting import deadlines
from libs.common.service import Service
from services.promotion.candidacy import CANDIDACY
from services.promotion.career import CAREER, acting_claim, confirmed_claim
from services.promotion.competition import COMPETITION
from services.promotion.seats import Seats
from stepladder.promotion.v1.candidacy_pb2 import Candidacy, LapseApproval
from stepladder.promotion.v1.career_pb2 import ForgoActing, ForgoConfirming, ReleaseAppointment
from stepladder.promotion.v1.competition_pb2 import ForgoCompetition
from stepladder.promotion.v1.events_pb2 import AppointmentReserved, SeatsClaimed

KEPT = timedelta(hours=1)
"""How long what the first write took is kept for the second: far longer than any call lasts."""
COMPETITION_CLAIM, ACTING_CLAIM, CONFIRMED_CLAIM = "competition_claim", "acting_claim", "confirmed_claim"
RESERVATION = "reservation"
"""Kinds of deadlines. Keys: post and competition; post, employee, appointment and position, for both; employee."""


class Unfinished(ReadModel):
    """Rows: when each claim of seats, and each reserved appointment, has been kept long enough."""

    name = "unfinished"
    version = 2
    subjects = ("log.promotion.post.*", "log.promotion.career.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.deadlines = deadlines(f"unfinished{suffix}", metadata)
        self.tables = (self.deadlines,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case SeatsClaimed(employee_id="", post_id=post_id, claim_id=claim_id):
                    await self._note(rows, COMPETITION_CLAIM, f"{post_id}/{claim_id}", recorded)
                case SeatsClaimed(post_id=post_id, employee_id=employee_id, appointment_id=appointment_id) as claimed:
                    kind = ACTING_CLAIM if claimed.acting else CONFIRMED_CLAIM
                    key = f"{post_id}/{employee_id}/{appointment_id}/{recorded.position}"
                    await self._note(rows, kind, key, recorded)
                case AppointmentReserved(employee_id=employee_id):
                    await self._note(rows, RESERVATION, employee_id, recorded)

    async def _note(self, rows: AsyncConnection, kind: str, key: str, recorded: Recorded) -> None:
        due_time = recorded.envelope.time.ToDatetime(tzinfo=UTC) + KEPT
        row = {"kind": kind, "key": key, "due_time": due_time, "position": recorded.position}
        await rows.execute(upsert(self.deadlines, rows), row)


class Undoing:
    """The clock's commands. Each first sees to it that the second write cannot come any more, then undoes the first."""

    def __init__(self, service: Service, seats: Seats) -> None:
        self._service = service
        self._commands = service.commands
        self._seats = seats

    @property
    def commands(self) -> Mapping[str, Callable[[str], Awaitable[None]]]:
        """By kind of deadline."""
        return {
            COMPETITION_CLAIM: self.release_claim,
            ACTING_CLAIM: self.release_acting,
            CONFIRMED_CLAIM: self.release_confirmed,
            RESERVATION: self.release_appointment,
        }

    async def release_claim(self, key: str) -> None:
        """Of a competition that was not opened."""
        post_id, competition_id = key.split("/")
        forgo = ForgoCompetition(competition_id=competition_id)
        handled = await self._commands.handle(COMPETITION, competition_id, forgo, self._context())
        if handled.state.opened.post_id != post_id:
            await self._seats.release(post_id, competition_id, self._context())

    async def release_acting(self, key: str) -> None:
        """The claim of an acting post that has not begun."""
        post_id, employee_id, appointment_id, _ = key.split("/")
        forgo = ForgoActing(employee_id=employee_id, appointment_id=appointment_id)
        begun = (await self._commands.handle(CAREER, employee_id, forgo, self._context())).state.begun
        if appointment_id not in begun or begun[appointment_id].post_id != post_id:
            await self._seats.release(post_id, acting_claim(employee_id, appointment_id), self._context())

    async def release_confirmed(self, key: str) -> None:
        """The claim of somebody who acts and was not confirmed. Whoever confirms them later claims a seat first."""
        post_id, employee_id, appointment_id, position = key.split("/")
        forgo = ForgoConfirming(employee_id=employee_id, appointment_id=appointment_id, claim_position=int(position))
        handled = await self._commands.handle(CAREER, employee_id, forgo, self._context())
        decided = handled.state.decided.get(appointment_id)
        if decided is None or not decided.confirmed:
            await self._seats.release(post_id, confirmed_claim(employee_id, appointment_id), self._context())

    async def release_appointment(self, employee_id: str) -> None:
        """Reserved for a candidacy that was not approved. Of one that has ended it is released with that."""
        career = (await self._commands.load(CAREER, employee_id)).state
        if not career.reserved_for:
            return
        lapse = LapseApproval(candidacy_position=career.reserved_at)
        handled = await self._commands.handle(CANDIDACY, career.reserved_for, lapse, self._context())
        if handled.state.stage == Candidacy.STATE_LISTED:
            release: Message = ReleaseAppointment(
                employee_id=employee_id,
                candidacy_id=career.reserved_for,
                candidacy_position=career.reserved_at,
            )
            await self._commands.handle(CAREER, employee_id, release, self._context())

    def _context(self) -> Context:
        return Context(now=self._service.now(), today=self._service.today(), actor="policy:undo-unfinished")
