"""gRPC: stepladder.promotion.v1.CompetitionService."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from secrets import token_hex

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.errors import AlreadyExists, Conflict, NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, directory_around
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.employee import EMPLOYEE
from libs.facts.promotion_rules import QUESTION_BANK
from libs.facts.reaching import Caller, callers_to
from libs.facts.relations import Relation, relations
from libs.facts.team import TEAM
from services.promotion import competition
from services.promotion.candidacy import CANDIDACY
from services.promotion.candidacy_state import State
from services.promotion.candidates import Candidates
from services.promotion.competition import COMPETITION, to_public_list, to_resource
from services.promotion.competitions import Competitions
from services.promotion.cycle import CYCLE
from services.promotion.interviewing import draw
from services.promotion.ladder import COMPETITION_RULES, ELIGIBILITY, LADDER, rung_number
from services.promotion.notice import notice
from services.promotion.post import POST, post_id
from services.promotion.rankings import Rankings
from services.promotion.seats import Seats
from stepladder.promotion.v1 import competition_pb2 as pb
from stepladder.promotion.v1.candidacy_pb2 import Candidacy
from stepladder.promotion.v1.post_pb2 import ClaimSeats


class CompetitionApi:
    """Implements the service, and what the clock does with competitions."""

    def __init__(
        self,
        service: Service,
        competitions: Competitions,
        follower: Follower,
        catalogue: Catalogue,
        at_catalogue: Follower,
        seats: Seats,
        candidates: Candidates,
        rankings: Rankings,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._competitions = competitions
        self._follower = follower
        self._catalogue = catalogue
        self._at_catalogue = at_catalogue
        self._seats = seats
        self._candidates = candidates
        self._rankings = rankings

    async def OpenCompetition(self, request: pb.OpenCompetitionRequest, context: Context) -> pb.Competition:
        competition_id, asked = request.competition_id, replace(context, request=request)
        found = await self._commands.load(COMPETITION, competition_id)
        if found.position:  # whatever it is, its seats are claimed
            return await self._handle(competition_id, pb.OpenCompetition(request=request), asked)
        opening = await self._opening(request, context.today)
        COMPETITION.decide(found.state, opening, context)  # what would be refused claims nothing
        # The post is the same for other competitions: the caller's request ids tell these apart, and not its claims.
        claim = ClaimSeats(claim_id=competition_id, seats=request.seats)
        await self._seats.claim(opening.post_id, claim, replace(context, request_id=""))
        try:
            return await self._handle(competition_id, opening, asked)
        except AlreadyExists:
            opened = (await self._commands.load(COMPETITION, competition_id)).state.opened
            if opened.post_id != opening.post_id:  # by somebody else in this moment, for another post
                await self._seats.release(opening.post_id, competition_id, self._own_context())
            raise

    async def CloseApplications(self, request: pb.CloseApplicationsRequest, context: Context) -> pb.Competition:
        await self._to_decide(request.competition_id, context)
        return await self._transition(request, request, context)

    async def SetPanel(self, request: pb.SetPanelRequest, context: Context) -> pb.Competition:
        state = (await self._to_decide(request.competition_id, context)).state
        directory = await directory_around(
            self._commands, caller_id(context), context.today, employee_ids=request.interviewer_ids
        )
        if strange := [one for one in request.interviewer_ids if not directory.employed(one, context.today)]:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"not employed today: {', '.join(strange)}")
        candidacies = (await self._candidates.of(request.competition_id)).values()
        command = pb.SetPanel(
            request=request,
            apart=await self._apart([one.state for one in candidacies], request.interviewer_ids, context),
            candidate_ids=[one.state.applied.employee_id for one in candidacies],
            scored_by=sorted({interviewer for one in candidacies for interviewer in one.state.interviews}),
            hr_ids=[
                one for one in request.interviewer_ids if Relation.HR in relations(directory, one, "", context.today)
            ],
        )
        rules = await self._candidates.rules_of(state)
        if interview := next((part.interview for part in rules.parts if part.HasField("interview")), None):
            command.minimum_interviewers = interview.minimum_interviewers
            if not state.panel.question_ids:
                in_force = await self._rules_in_force()
                bank = in_force.of_kind_on(QUESTION_BANK, interview.question_bank_id, context.today)
                command.question_seed = token_hex(16)
                drawn = draw(interview, bank.question_bank, command.question_seed)
                command.question_ids.extend(one.question_id for one in drawn)
                command.bank_position = bank.log_position
        shown = await self._transition(request, command, context)
        shown.apart.extend(command.apart)
        return shown

    async def DeclareConflict(self, request: pb.DeclareConflictRequest, context: Context) -> pb.Competition:
        (caller,) = (await callers_to(self._commands, context, [""])).values()
        found = await self._commands.load(COMPETITION, request.competition_id)
        if caller.employee_id == request.interviewer_id in found.state.panel.interviewer_ids:
            context.admission.check({"interviewer"})
        else:
            context.admission.check(caller.held)
            await self._to_decide(request.competition_id, context)
        candidacy = (await self._commands.load(CANDIDACY, request.candidacy_id)).state
        if candidacy.applied.competition_id != request.competition_id:
            raise NotFound("CANDIDACY_NOT_FOUND", f"the competition has no candidacy {request.candidacy_id}")
        command = pb.DeclareConflict(request=request, employee_id=candidacy.applied.employee_id)
        return _shown(await self._transition(request, command, context), caller, is_candidate=False)

    async def RankCompetition(self, request: pb.RankCompetitionRequest, context: Context) -> pb.Competition:
        found = await self._to_decide(request.competition_id, context)
        command = pb.RankCompetition(competition_id=request.competition_id, lot_seed=token_hex(16))
        if found.state.stage != pb.Competition.STATE_APPLICATIONS_CLOSED:
            return await self._transition(request, command, context)
        command.ranking.extend(await self._rankings.make(found.state, command.lot_seed, context))
        by_panel = replace(context, request=request, etag=request.etag or str(found.position))
        try:
            return await self._handle(request.competition_id, command, by_panel)
        except Conflict:
            now = (await self._commands.load(COMPETITION, request.competition_id)).state
            if request.etag or now.stage != pb.Competition.STATE_RANKED:
                raise
            return await self._transition(request, command, context)  # somebody else ranked it in this moment

    async def PublishList(self, request: pb.PublishListRequest, context: Context) -> pb.Competition:
        state = (await self._to_decide(request.competition_id, context)).state
        rules = await self._candidates.rules_of(state)
        notice(context.today, rules.notice_business_days, await self._candidates.counted_by(state))  # or it is refused
        return await self._transition(request, request, context)

    async def CloseCompetition(self, request: pb.CloseCompetitionRequest, context: Context) -> pb.Competition:
        state = (await self._to_decide(request.competition_id, context)).state
        on_list = [one.candidacy_id for one in state.on_list]
        listed = await self._commands.known(CANDIDACY, on_list, latest=True)
        command = pb.CloseCompetition(
            request=request,
            done_candidacy_ids=[one for one, found in listed.items() if found.state.stage >= Candidacy.STATE_APPOINTED],
            on_trial_candidacy_ids=[
                one for one, found in listed.items() if found.state.stage == Candidacy.STATE_APPOINTED
            ],
        )
        return await self._transition(request, command, context)

    async def GetCompetition(self, request: pb.GetCompetitionRequest, context: Context) -> pb.Competition:
        found = await self._commands.load(COMPETITION, request.competition_id)
        _check_opened(found, request.competition_id)
        (shown,) = await self._shown_to_caller({request.competition_id: found}, context)
        return shown

    async def ListCompetitions(
        self, request: pb.ListCompetitionsRequest, context: Context
    ) -> pb.ListCompetitionsResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._competitions.list_competitions(self._service.engine, request)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = await self._commands.known(COMPETITION, [competition_id for competition_id, _ in page])
        return pb.ListCompetitionsResponse(
            competitions=await self._shown_to_caller(found, context), next_page_token=token
        )

    async def GetPublicList(self, request: pb.GetPublicListRequest, _: Context) -> pb.PublicList:
        found = await self._commands.load(COMPETITION, request.competition_id)
        _check_opened(found, request.competition_id)
        state = found.state
        if not state.published or state.stage == pb.Competition.STATE_CANCELLED:
            raise NotAllowed("LIST_NOT_PUBLISHED", "there is no list, or no longer")
        people = await self._commands.known(EMPLOYEE, [one.employee_id for one in state.on_list])
        return to_public_list(state, {one: person.state.display_name for one, person in people.items()})

    async def GetInterviewQuestions(
        self, request: pb.GetInterviewQuestionsRequest, context: Context
    ) -> pb.InterviewQuestions:
        (caller,) = (await callers_to(self._commands, context, [""])).values()
        found = await self._commands.load(COMPETITION, request.competition_id)
        panel = found.state.panel
        judges = {"interviewer"} if caller.employee_id in panel.interviewer_ids else set()
        is_candidate = bool(await self._candidates.own([request.competition_id], context))
        context.admission.check(set() if is_candidate else caller.held | judges)
        _check_opened(found, request.competition_id)
        return pb.InterviewQuestions(
            competition_id=request.competition_id,
            questions=await self._candidates.questions_of(found.state),
            bank_position=panel.bank_position,
        )

    async def _apart(
        self, candidacies: Iterable[State], interviewer_ids: Collection[str], context: Context
    ) -> list[pb.Competition.Apart]:
        """Of candidacies that have not ended, which interviewers must not judge them by what is known today."""
        today, found = context.today, list[pb.Competition.Apart]()
        running = {one.applied.employee_id: one for one in candidacies if not one.ended}
        directory = await directory_around(self._commands, caller_id(context), today, employee_ids=running)
        leads = {one: directory.lead_over(one, today) for one in running}
        above = await directory_around(self._commands, caller_id(context), today, employee_ids={*leads.values()} - {""})
        for employee_id, one in running.items():
            lead = leads[employee_id]
            involved = {who.removeprefix("user:") for who in one.apart} | {lead, above.lead_over(lead, today)}
            if named := [interviewer for interviewer in interviewer_ids if interviewer in involved - {employee_id}]:
                found.append(pb.Competition.Apart(candidacy_id=one.applied.candidacy_id, interviewer_ids=named))
        return found

    async def close_applications(self, competition_id: str) -> None:
        """The clock's command: the last day for applications is over."""
        command = pb.CloseApplicationsRequest(competition_id=competition_id)
        await self._handle(competition_id, command, self._own_context())

    async def _opening(self, request: pb.OpenCompetitionRequest, today: date) -> pb.OpenCompetition:
        """The request with what is in force today. Raises as the contract says."""
        cycle = await self._commands.load(CYCLE, request.cycle_id)
        if not cycle.position:
            raise NotFound("CYCLE_NOT_FOUND", f"there is no cycle {request.cycle_id}")
        if not cycle.state.takes_competitions(today):
            raise NotAllowed("CYCLE_CLOSED", f"cycle {request.cycle_id} is over")
        if request.team_id not in await self._commands.known(TEAM, [request.team_id]):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {request.team_id}")
        rules = await self._rules_in_force()
        ladder = rules.of_kind_on(LADDER, request.ladder_id, today)
        rung = ladder.ladder.rungs[rung_number(ladder, request.rung_id)]
        eligibility = rules.of_kind_on(ELIGIBILITY, rung.eligibility_id, today)
        deciding = rules.of_kind_on(COMPETITION_RULES, rung.competition_id, today)
        posts = [post_id(rung.position, stars, request.team_id) for stars in (rung.stars, 0)]
        found = await self._commands.known(POST, posts)
        return pb.OpenCompetition(
            request=request,
            post_id=next(iter(found), posts[0]),  # a post of no stars is for every rung of its position
            position=rung.position,
            stars=rung.stars,
            applications_until=request.applications_until or cycle.state.opened.applications_until,
            ladder_position=ladder.log_position,
            eligibility_position=eligibility.log_position,
            rules_position=deciding.log_position,
            calendar_id=deciding.competition.calendar_id,
        )

    async def _rules_in_force(self) -> Rules:
        await self._at_catalogue.catch_up(AT_LEAST_SECONDS)
        return await self._catalogue.rules(self._service.engine)

    async def _to_decide(self, competition_id: str, context: Context) -> Standing[competition.State]:
        """A competition, to be decided by who is no candidate of it. Raises as the contract says."""
        found = await self._commands.load(COMPETITION, competition_id)
        _check_opened(found, competition_id)
        if await self._candidates.own([competition_id], context):
            raise NotAllowed("OWN_COMPETITION", "nobody decides a competition in which they are a candidate")
        return found

    async def _shown_to_caller(
        self, found: Mapping[str, Standing[competition.State]], context: Context
    ) -> list[pb.Competition]:
        (caller,) = (await callers_to(self._commands, context, [""])).values()
        own = await self._candidates.own(found, context) if Relation.HR in caller.relations else ()
        return [
            _shown(to_resource(one.state, one.position), caller, is_candidate=competition_id in own)
            for competition_id, one in found.items()
        ]

    async def _transition(self, request: "Transition", command: Message, context: Context) -> pb.Competition:
        """What a request comes to, with what was looked up for it."""
        return await self._handle(request.competition_id, command, replace(context, request=request, etag=request.etag))

    async def _handle(self, competition_id: str, command: Message, context: Context) -> pb.Competition:
        handled = await self._commands.handle(COMPETITION, competition_id, command, context)
        return to_resource(handled.state, handled.position)

    def _own_context(self) -> Context:
        return Context(now=self._service.now(), today=self._service.today(), actor="policy:competition-clock")


Transition = (
    pb.CloseApplicationsRequest
    | pb.SetPanelRequest
    | pb.DeclareConflictRequest
    | pb.RankCompetitionRequest
    | pb.PublishListRequest
    | pb.CloseCompetitionRequest
)


def _check_opened(found: Standing[competition.State], competition_id: str) -> None:
    if not found.state.stage:
        raise NotFound("COMPETITION_NOT_FOUND", f"there is no competition {competition_id}")


def _shown(shown: pb.Competition, caller: Caller, *, is_candidate: bool) -> pb.Competition:
    """A competition without what the caller may not see."""
    if Relation.HR in caller.relations and not is_candidate:
        return shown
    shown.ClearField("ranking")
    shown.ClearField("lot_seed")
    shown.ClearField("listed_candidacy_ids")
    shown.ClearField("left_candidacy_ids")
    shown.ClearField("on_trial_candidacy_ids")
    shown.ClearField("etag")
    shown.ClearField("log_position")
    own = [one for one in shown.conflicts if one.interviewer_id == caller.employee_id]
    del shown.conflicts[:]
    if caller.employee_id in shown.interviewer_ids:
        shown.conflicts.extend(own)
    else:
        shown.ClearField("interviewer_ids")
        shown.ClearField("question_ids")
        shown.ClearField("bank_position")
        shown.ClearField("question_seed")
    return shown
