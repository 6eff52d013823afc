"""gRPC: stepladder.promotion.v1.CandidacyService."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date

from libs.common.access import need_to_know
from libs.common.commands import Standing, etag_mismatch
from libs.common.days import parse_day
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Awaited, Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, directory_around
from libs.facts.reaching import Reaches
from libs.facts.relations import Directory, Relation, relations
from services.promotion import competition
from services.promotion.candidacies import Candidacies
from services.promotion.candidacy import CANDIDACY, Request, candidacy_key, has_seat, objection_key
from services.promotion.candidacy_rights import Role, roles, to_resource, why_apart
from services.promotion.candidacy_state import State
from services.promotion.candidates import Candidates
from services.promotion.career import CAREER
from services.promotion.competition import COMPETITION
from services.promotion.drifting import Drifting
from services.promotion.eligibilities import Eligibilities, Pinned
from services.promotion.histories import Histories, Months
from services.promotion.interviewing import add_up, full_points
from services.promotion.peer_scores import PEER_SCORES
from services.promotion.post import tightest
from services.promotion.seats import Seats
from stepladder.promotion.v1 import candidacy_pb2 as pb
from stepladder.promotion.v1.career_pb2 import ReserveAppointment
from stepladder.promotion.v1.competition_pb2 import Competition
from stepladder.promotion.v1.events_pb2 import PanelSet

_FIELDS = {one.message_type: one.name for one in pb.ActOnCandidacy.DESCRIPTOR.oneofs_by_name["request"].fields}
"""The field of `ActOnCandidacy` for each kind of request."""

BY_RULES = (pb.ReviewAsManagerRequest, pb.PassPostTrainingRequest, pb.AppointCandidacyRequest)
BY_CALENDAR = (pb.SettleObjectionRequest, pb.ApproveCandidacyRequest)
BY_SEATS = (pb.ApproveCandidacyRequest, pb.AppointCandidacyRequest)
BY_PEERS = (pb.ReviewTwoLevelsRequest, pb.SettleObjectionRequest, pb.ApproveCandidacyRequest)
"""What is looked up for which requests."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A candidacy as it is, and who asks for it.

    Attributes:
        roles: what the caller is to it.
        apart: why they must not judge the candidate though they are of the panel; empty: nothing.
    """

    standing: Standing[State]
    competition: competition.State
    directory: Directory
    roles: frozenset[Role]
    apart: str

    @property
    def state(self) -> State:
        return self.standing.state

    @property
    def held(self) -> frozenset[str]:
        """What the caller is, in the words of `libs/common/access.toml`."""
        return frozenset(role.value for role in self.roles)


class CandidacyApi:
    """Implements the service. Before anything is looked at, the caller must be one who may say or see it."""

    def __init__(
        self,
        service: Service,
        reaches: Reaches,
        candidacies: Candidacies,
        at_candidacies: Follower,
        candidates: Candidates,
        eligibilities: Eligibilities,
        histories: Histories,
        at_histories: Awaited,
        seats: Seats,
        drifting: Drifting,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._reaches = reaches
        self._candidacies = candidacies
        self._at_candidacies = at_candidacies
        self._candidates = candidates
        self._eligibilities = eligibilities
        self._histories = histories
        self._at_histories = at_histories
        self._seats = seats
        self._drifting = drifting

    async def Apply(self, request: pb.ApplyRequest, context: Context) -> pb.Candidacy:
        caller, today = caller_id(context), context.today
        found = (await self._commands.load(COMPETITION, request.competition_id)).state
        if not found.stage:
            raise NotFound("COMPETITION_NOT_FOUND", f"there is no competition {request.competition_id}")
        opened, key = found.opened, candidacy_key(request.competition_id, caller)
        application = pb.ActOnCandidacy.Application(candidacy_id=key, employee_id=caller)
        if not (await self._commands.load(CANDIDACY, key)).position:
            if caller in found.panel.interviewer_ids:
                message = "who interviews for a competition does not apply to it: HR can set a panel without them"
                raise NotAllowed("ON_PANEL", message)
            pinned = Pinned(opened.ladder_position, opened.eligibility_position)
            application.closed = found.closed_to_applicants(today)
            if not application.closed:
                eligibility = await self._eligibilities.of(
                    caller, opened.ladder_id, opened.rung_id, today, pinned=pinned
                )
                application.eligibility.CopyFrom(eligibility)
            application.lead_id, application.manager_id = await self._over(caller, today)
        command = pb.ActOnCandidacy(apply=request, application=application)
        handled = await self._commands.handle(CANDIDACY, key, command, replace(context, request=request))
        return to_resource(handled.state, found, handled.position, frozenset({Role.CANDIDATE}), caller)

    async def ReviewAsLead(self, request: pb.ReviewAsLeadRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def ReviewAsManager(self, request: pb.ReviewAsManagerRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def ReviewTwoLevels(self, request: pb.ReviewTwoLevelsRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def ScoreInterview(self, request: pb.ScoreInterviewRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context)

    async def RaiseObjection(self, request: pb.RaiseObjectionRequest, context: Context) -> pb.RaiseObjectionResponse:
        candidacy_id = request.candidacy_id
        key = objection_key(candidacy_id, context.actor, request.objection_id)
        command = pb.ActOnCandidacy(raise_objection=request)
        command.raise_objection.objection_id = key
        handled = await self._commands.handle(CANDIDACY, candidacy_id, command, replace(context, request=request))
        raised_date = handled.state.objections[key].raised_date
        return pb.RaiseObjectionResponse(candidacy_id=candidacy_id, objection_id=key, raised_date=raised_date)

    async def SettleObjection(self, request: pb.SettleObjectionRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def ApproveCandidacy(self, request: pb.ApproveCandidacyRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def IssueLetter(self, request: pb.IssueLetterRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def PassPostTraining(self, request: pb.PassPostTrainingRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def AppointCandidacy(self, request: pb.AppointCandidacyRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def WithdrawCandidacy(self, request: pb.WithdrawCandidacyRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context)

    async def RejectCandidacy(self, request: pb.RejectCandidacyRequest, context: Context) -> pb.Candidacy:
        return await self._act(request, context, request.etag)

    async def GetCandidacy(self, request: pb.GetCandidacyRequest, context: Context) -> pb.Candidacy:
        seen = await self.seen(request.candidacy_id, context)
        return _shown(seen, context)

    async def ListCandidacies(self, request: pb.ListCandidaciesRequest, context: Context) -> pb.ListCandidaciesResponse:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held)
        if request.drifted_only and Relation.HR not in reach.caller.relations:
            raise need_to_know()
        await self._at_candidacies.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._candidacies.list_candidacies(self._service.engine, request, reach)
        page, token = cut_page(request, listed, lambda one: [one[0]])
        found = await self._commands.known(CANDIDACY, [candidacy_id for _, candidacy_id in page])
        seen = await self._seen_all(list(found.values()), context)
        seen = [one for one in seen if one.roles and (Role.HR in one.roles or not request.drifted_only)]
        shown = [_shown(one, context) for one in seen]
        return pb.ListCandidaciesResponse(candidacies=shown, next_page_token=token)

    async def seen(self, candidacy_id: str, context: Context) -> Seen:
        """A candidacy, for a caller who may make the call. Whether there is one is told to HR only.

        Raises Forbidden `NEED_TO_KNOW`; NotFound `CANDIDACY_NOT_FOUND`.
        """
        found = await self._found(candidacy_id, context)
        context.admission.check(found.held)
        return found

    async def _found(self, candidacy_id: str, context: Context) -> Seen:
        standing = await self._commands.load(CANDIDACY, candidacy_id)
        if not standing.position:
            caller, today = caller_id(context), context.today
            directory = await directory_around(self._commands, caller, today)
            context.admission.check({Role.HR.value} if Relation.HR in relations(directory, caller, "", today) else ())
            raise NotFound("CANDIDACY_NOT_FOUND", f"there is no candidacy {candidacy_id}")
        (found,) = await self._seen_all([standing], context)
        return found

    async def _seen_all(self, standings: Collection[Standing[State]], context: Context) -> list[Seen]:
        """Candidacies, with what the caller is to each of them today."""
        caller, today = caller_id(context), context.today
        applied = [one.state.applied for one in standings]
        around = {person for one in applied for person in (one.employee_id, one.lead_id, one.manager_id)} - {""}
        directory = await directory_around(self._commands, caller, today, employee_ids=around)
        leads = {directory.lead_over(one.employee_id, today) for one in applied} - {""}
        directory = await directory_around(self._commands, caller, today, employee_ids=around | leads)
        managers = {directory.lead_over(one, today) for one in leads} - {""}
        people = around | leads | managers | ({caller} - {""})
        competitions = await self._commands.known(COMPETITION, {one.competition_id for one in applied}, latest=True)
        keys = {(one.competition_id, who): candidacy_key(one.competition_id, who) for one in applied for who in people}
        competing = await self._commands.known(CANDIDACY, keys.values())
        objected = frozenset[str]()
        if any(caller in one.state.panel.interviewer_ids for one in competitions.values()):
            await self._at_candidacies.catch_up(AT_LEAST_SECONDS)
            candidates = {one.employee_id for one in applied}
            objected = await self._candidacies.objected(self._service.engine, candidates, context.actor)
        seen = []
        for standing in standings:
            mine = standing.state.applied
            others = {who: key for (of, who), key in keys.items() if of == mine.competition_id} | {mine.employee_id: ""}
            rivals = frozenset(who for who, key in others.items() if key in competing)
            of_it = competitions[mine.competition_id].state
            has_objected = mine.employee_id in objected
            apart = why_apart(standing.state, of_it, directory, caller, rivals, has_objected, today)
            held = roles(standing.state, of_it, directory, caller, rivals, apart, today)
            seen.append(Seen(standing, of_it, directory, held, apart))
        return seen

    async def _act(self, request: Request, context: Context, etag: str = "") -> pb.Candidacy:
        found = await self._found(request.candidacy_id, context)
        # One of the panel who must not judge the candidate is told why.
        context.admission.check(found.held | ({Role.INTERVIEWER.value} if found.apart else set()))
        if isinstance(request, pb.ApproveCandidacyRequest):  # by an etag that knows of every fact there is
            await self._drifting.look_at_all(found.competition)
        command = await self._looked_up(request, found, context)
        context = replace(context, etag=etag, request=request)
        if isinstance(request, pb.ApproveCandidacyRequest):
            await self._reserve(command, found.standing, context)
        handled = await self._commands.handle(CANDIDACY, request.candidacy_id, command, context)
        (after,) = await self._seen_all([handled], context)
        return _shown(after, context)

    async def _reserve(self, command: pb.ActOnCandidacy, found: Standing[State], context: Context) -> None:
        """Keeps the employee's next appointment for a candidacy that is to be approved.

        Before it is approved: what a crash in between leaves behind is used when it is approved again, or released when
        the candidacy ends, or by the clock after an hour. Nothing is kept for an approval that is refused as things
        stand, or was given before. Raises Conflict `ETAG_MISMATCH`.
        """
        if CANDIDACY.decide(found.state, command, context):
            if context.etag != str(found.position):
                raise etag_mismatch()
            applied = found.state.applied
            reserve = ReserveAppointment(
                employee_id=applied.employee_id, candidacy_id=applied.candidacy_id, candidacy_position=found.position
            )
            own = replace(context, etag="", request=None, request_id="")
            await self._commands.handle(CAREER, applied.employee_id, reserve, own)

    async def _looked_up(self, request: Request, found: Seen, context: Context) -> pb.ActOnCandidacy:
        command = pb.ActOnCandidacy(**{_FIELDS[request.DESCRIPTOR]: request})  # type: ignore[arg-type] # one of them
        applied = found.state.applied
        if isinstance(request, BY_RULES):
            command.rules.CopyFrom(await self._candidates.rules_of(found.competition))
        if isinstance(request, BY_CALENDAR):
            command.calendar.CopyFrom(await self._candidates.counted_by(found.competition))
        if isinstance(request, BY_SEATS):
            await self._look_for_seat(command, request, found, context)
            command.employed = found.directory.employed(applied.employee_id, context.today)
        if isinstance(request, BY_PEERS):
            scoring = (await self._commands.load(PEER_SCORES, request.candidacy_id)).state
            command.is_peer = caller_id(context) in scoring.given  # of nobody else is anything looked up
        if isinstance(request, pb.ScoreInterviewRequest):
            command.conflict = found.apart
            if not found.apart:
                command.interview.CopyFrom(await self._points(request, found.competition))
        if isinstance(request, pb.PassPostTrainingRequest):
            command.passed.extend(await self._passed(applied.employee_id))
        return command

    async def _look_for_seat(self, command: pb.ActOnCandidacy, request: Request, found: Seen, context: Context) -> None:
        """A seat that is free for good as far as is known, or from the first day on, beside those who come before."""
        competition_id, post_id = found.competition.opened.competition_id, found.competition.opened.post_id
        day, since = context.today, pb.Candidacy.STATE_APPROVED
        if starts := isinstance(request, pb.AppointCandidacyRequest):
            day, since = max(day, parse_day(request.start_date, "start_date")), pb.Candidacy.STATE_APPOINTED
        occupied = (await self._seats.of([post_id], day))[post_id]
        post = occupied.standing.state
        _, fewest = tightest(occupied.ahead if starts else occupied.ahead[-1:])
        fewest.post_position = occupied.standing.position
        command.vacancies.CopyFrom(fewest)
        before = await self._candidates.coming(post, since) - {found.state.applied.candidacy_id}
        is_over = found.competition.stage >= Competition.STATE_CLOSED
        command.seat = not is_over and has_seat(competition_id, post, fewest, len(before))

    async def _points(
        self, request: pb.ScoreInterviewRequest, found: competition.State
    ) -> pb.ActOnCandidacy.InterviewPoints:
        """What the answers come to. Raises Invalid `ANSWERS_INVALID`."""
        questions = await self._candidates.questions_of(found)
        subject = COMPETITION.subject(found.opened.competition_id)
        history = (await self._commands.histories([subject]))[subject]
        return pb.ActOnCandidacy.InterviewPoints(
            points=add_up(request.answers, questions, request.notes),
            full_points=full_points(questions),
            panel_position=max(one.position for one in history if isinstance(one.event, PanelSet)),
            bank_position=found.panel.bank_position,
        )

    async def _passed(self, employee_id: str) -> list[pb.ActOnCandidacy.CoursePassed]:
        """Courses of an employee whose exam was passed, the earliest first; no longer those under dispute."""
        await self._at_histories.catch_up(AT_LEAST_SECONDS)
        found = await self._histories.of(self._service.engine, [employee_id], Months((), 0, 0))
        return [
            pb.ActOnCandidacy.CoursePassed(
                course_id=one.course_id, date=one.day.isoformat(), record_position=one.position
            )
            for one in (found[employee_id].courses if employee_id in found else ())
            if one.passed
        ]

    async def _over(self, employee_id: str, day: date) -> tuple[str, str]:
        """Who leads an employee on a day, and whoever leads that one."""
        directory = await directory_around(self._commands, employee_id, day)
        lead = directory.lead_over(employee_id, day)
        directory = await directory_around(self._commands, employee_id, day, employee_ids=[lead] if lead else [])
        return lead, directory.lead_over(lead, day)


def _shown(seen: Seen, context: Context) -> pb.Candidacy:
    """A candidacy as the caller may see it."""
    return to_resource(seen.state, seen.competition, seen.standing.position, seen.roles, caller_id(context))
