"""Policies between competitions and their candidacies: what is said of one follows in the others."""

from collections.abc import Sequence
from dataclasses import replace

from google.protobuf.message import Message

from libs.common.errors import NotAllowed, NotKnown, Refused
from libs.common.eventsourcing import Context, Recorded
from libs.common.reacting import Policy, reaction
from libs.common.service import Service
from services.promotion.candidacy import CANDIDACY
from services.promotion.candidacy_state import State
from services.promotion.candidates import Candidates
from services.promotion.competition import COMPETITION
from services.promotion.post import POST
from services.promotion.seats import Seats
from stepladder.promotion.v1.candidacy_pb2 import Candidacy, EndNotSelected, ListCandidacy
from stepladder.promotion.v1.competition_pb2 import Competition, NoteCandidateLeft
from stepladder.promotion.v1.events_pb2 import (
    CandidacyApplied,
    CandidacyAppointed,
    CandidacyRejected,
    CandidacyWithdrawn,
    CompetitionClosed,
    ListPublished,
    TrialEnded,
)
from stepladder.promotion.v1.post_pb2 import FillSeat


class FollowCompetitions(Policy):
    """Lists published in, candidacies listed out; competitions closed in, what is left of them ended and released.

    Also if somebody applies while a competition is being closed: of the two events, the later one is answered.
    """

    name = "follow-competitions"
    subjects: Sequence[str] = ("log.promotion.competition.*", "log.promotion.candidacy.*")

    def __init__(self, service: Service, candidates: Candidates, seats: Seats) -> None:
        self._service = service
        self._commands = service.commands
        self._candidates = candidates
        self._seats = seats

    async def react(self, event: Recorded) -> None:
        match event.event:
            case ListPublished(competition_id=competition_id, listed=listed, published_date=day):
                opened = (await self._commands.load(COMPETITION, competition_id)).state
                rules, calendar = await self._candidates.rules_of(opened), await self._candidates.counted_by(opened)
                listings = [
                    (
                        one.candidacy_id,
                        ListCandidacy(
                            rank=one.rank,
                            listed_date=day,
                            notice_business_days=rules.notice_business_days,
                            objections_pause_notice=rules.objections_pause_notice,
                            calendar_id=opened.opened.calendar_id,
                            calendar=calendar,
                        ),
                    )
                    for one in listed
                ]
                await self._give(listings, event)
            case CompetitionClosed(competition_id=competition_id, cancelled=cancelled):
                found = await self._candidates.of(competition_id)
                await self._give([(one, EndNotSelected(cancelled=cancelled)) for one in found], event)
                over = (await self._commands.load(COMPETITION, competition_id)).state.opened
                # Who was appointed a moment ago sits before what is left is given back.
                for one in found.values():
                    if one.state.stage == Candidacy.STATE_APPOINTED:
                        await self._fill(one.state, over.post_id, event)
                await self._seats.release(over.post_id, competition_id, self._context(event))
            case CandidacyApplied(candidacy_id=candidacy_id, competition_id=competition_id):
                stage = (await self._commands.load(COMPETITION, competition_id)).state.stage
                if stage in {Competition.STATE_CLOSED, Competition.STATE_CANCELLED}:
                    await self._give([(candidacy_id, EndNotSelected())], event)

    async def _give(self, commands: Sequence[tuple[str, Message]], event: Recorded) -> None:
        """Of those who have left meanwhile nothing comes."""
        for outcome in await self._commands.handle_all(CANDIDACY, commands, self._context(event)):
            if isinstance(outcome, Refused) and (isinstance(outcome, NotKnown) or not isinstance(outcome, NotAllowed)):
                raise outcome

    async def _fill(self, candidacy: State, post_id: str, event: Recorded) -> None:
        employee_id, start_date = candidacy.applied.employee_id, candidacy.last(CandidacyAppointed).start_date
        fill = FillSeat(claim_id=candidacy.applied.competition_id, employee_id=employee_id, start_date=start_date)
        context = self._context(event)
        context = replace(context, request_id=f"{context.request_id}:{employee_id}")  # one event, several seats
        await self._commands.handle(POST, post_id, fill, context)

    def _context(self, event: Recorded) -> Context:
        return reaction(self.name, event, self._service.now(), self._service.today())


class FollowCandidacies(Policy):
    """Candidacies that have ended in, and that they have left their competition out: a listed one's seat is free."""

    name = "follow-candidacies"
    subjects: Sequence[str] = ("log.promotion.candidacy.*",)

    def __init__(self, service: Service) -> None:
        self._service = service
        self._commands = service.commands

    async def react(self, event: Recorded) -> None:
        match event.event:
            case CandidacyWithdrawn() | CandidacyRejected() | TrialEnded(passed=False):
                candidacy_id = event.subject.rpartition(".")[2]
                competition_id = (await self._commands.load(CANDIDACY, candidacy_id)).state.applied.competition_id
                note = NoteCandidateLeft(competition_id=competition_id, candidacy_id=candidacy_id)
                context = reaction(self.name, event, self._service.now(), self._service.today())
                await self._commands.handle(COMPETITION, competition_id, note, context)
