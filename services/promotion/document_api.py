"""gRPC: stepladder.promotion.v1.DocumentService."""

from google.api.httpbody_pb2 import HttpBody

from libs.common.envelope import ERASED
from libs.common.errors import NotAllowed, Unavailable
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.documents.files import file_of
from libs.facts.catalogue import Catalogue
from libs.facts.names import names_of
from libs.facts.team import TEAM
from services.promotion.candidacy import CANDIDACY
from services.promotion.candidacy_api import CandidacyApi
from services.promotion.candidacy_document import CandidacyFile, candidacy_document, people_in
from services.promotion.candidacy_rights import Role
from services.promotion.competition import COMPETITION
from services.promotion.competition_api import CompetitionApi
from services.promotion.interviewing import spread
from services.promotion.letter import Letter, letter_document
from services.promotion.list_document import Notice, list_document
from services.promotion.score_inputs import interviews_of
from services.promotion.scoring_api import ScoreApi
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.promotion.v1 import document_pb2 as pb
from stepladder.promotion.v1.competition_pb2 import GetPublicListRequest
from stepladder.promotion.v1.events_pb2 import (
    CandidacyAppointed,
    CandidacyApproved,
    CompetitionOpened,
    ConflictDeclared,
    LetterIssued,
)
from stepladder.promotion.v1.scoring_pb2 import InterviewSpread


class DocumentApi:
    """Implements the service: everything out of the log."""

    def __init__(
        self,
        service: Service,
        catalogue: Catalogue,
        at_catalogue: Follower,
        competitions: CompetitionApi,
        candidacies: CandidacyApi,
        scores: ScoreApi,
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._catalogue = catalogue
        self._at_catalogue = at_catalogue
        self._competitions = competitions
        self._candidacies = candidacies
        self._scores = scores

    async def ExportPublicList(self, request: pb.ExportPublicListRequest, context: Context) -> HttpBody:
        asked = GetPublicListRequest(competition_id=request.competition_id)
        found = await self._competitions.GetPublicList(asked, context)
        opened = (await self._commands.load(COMPETITION, request.competition_id)).state.opened
        listed = await self._commands.known(CANDIDACY, [one.candidacy_id for one in found.entries])
        if not all(one.state.listed.listed_date for one in listed.values()):
            message = "the notice of somebody new on the list is being counted; ask again in a moment"
            raise Unavailable("NOT_YET_INCLUDED", message)
        notices = {
            candidacy_id: Notice(
                one.state.listed.listed_date,
                one.state.notice_until,
                one.state.listed.notice_business_days,
                one.state.last(CandidacyApproved).approved_date,
            )
            for candidacy_id, one in listed.items()
        }
        post, team = await self._post(opened), await self._team(opened)
        return await file_of(lambda: list_document(found, post, team, notices), request.format)

    async def ExportLetter(self, request: pb.ExportLetterRequest, context: Context) -> HttpBody:
        seen = await self._candidacies.seen(request.candidacy_id, context)
        state, opened = seen.state, seen.competition.opened
        issued, approved = state.last(LetterIssued), state.last(CandidacyApproved)
        if not issued.issued_date:
            raise NotAllowed("NO_LETTER", "no letter has been issued to this candidate")
        employee_id, issuer_id = state.applied.employee_id, issued.issued_by.removeprefix("user:")
        names = await names_of(self._commands, [employee_id, issuer_id])
        appointed = state.last(CandidacyAppointed)
        letter = Letter(
            name=names[employee_id],
            post=await self._post(opened),
            team=await self._team(opened),
            issued_date=issued.issued_date,
            issued_by=names[issuer_id],
            approved_date=approved.approved_date,
            listed_date=state.listed.listed_date,
            notice_until=approved.notice_until,
            rules=(await self._policy(opened.rules_position)).competition,
            start_date=appointed.start_date,
            trial_until=appointed.trial_until,
        )
        return await file_of(lambda: letter_document(letter, request.language or "en"), request.format)

    async def ExportCandidacyFile(self, request: pb.ExportCandidacyFileRequest, context: Context) -> HttpBody:
        seen = await self._candidacies.seen(request.candidacy_id, context)
        opened, subject = seen.competition.opened, CANDIDACY.subject(request.candidacy_id)
        around = COMPETITION.subject(opened.competition_id)
        histories = await self._commands.histories([subject, around])
        conflicts = [
            one
            for one in histories[around]
            if isinstance(one.event, ConflictDeclared) and one.event.candidacy_id == request.candidacy_id
        ]
        history = sorted([*histories[subject], *conflicts], key=lambda one: one.position)
        explanation = await self._scores.explained(seen)
        names = await names_of(self._commands, people_in(history, explanation))
        own = Role.CANDIDATE in seen.roles
        judges = seen.competition.judges_of(request.candidacy_id)
        counted = [one for one in interviews_of(histories[subject]) if one.interviewer_id in judges]
        positions = {one.bank_position for one in seen.state.interviews.values()}
        file = CandidacyFile(
            candidacy_id=request.candidacy_id,
            state=seen.state,
            history=history,
            explanation=explanation,
            post=await self._post(opened),
            team=await self._team(opened),
            made=context.now,
            own=own,
            spread=InterviewSpread() if own else spread(counted, harshness=""),
            banks={} if own else {one: (await self._policy(one)).question_bank for one in positions},
            names=names,
            erased=names[seen.state.applied.employee_id] == ERASED,
        )
        return await file_of(lambda: candidacy_document(file), request.format)

    async def _post(self, opened: CompetitionOpened) -> str:
        """What the post is called: as the rung of the ladder by which it is decided."""
        ladder = (await self._policy(opened.ladder_position)).ladder
        return next(rung.display_name for rung in ladder.rungs if rung.rung_id == opened.rung_id)

    async def _team(self, opened: CompetitionOpened) -> str:
        return (await self._commands.load(TEAM, opened.team_id)).state.display_name

    async def _policy(self, position: int) -> Policy:
        await self._at_catalogue.wait_for(position, AT_LEAST_SECONDS)
        return (await self._catalogue.rules(self._engine, position)).version(position)
