"""gRPC: stepladder.coaching.v1.SessionService."""

from collections.abc import Iterator
from dataclasses import replace

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.errors import NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id
from libs.facts.employee import EMPLOYEE
from libs.facts.reaching import Caller, callers_to, check_related
from services.coaching.plan import PLAN
from services.coaching.session import SESSION, State, interview_id, to_resource
from services.coaching.sessions import Sessions
from stepladder.coaching.v1 import session_pb2 as pb
from stepladder.coaching.v1.plan_pb2 import Plan


def _is_to_it(employee_id: str, state: State, number: int) -> Iterator[str]:
    """What somebody is to a session, and to an agreed action of it, besides what they are to the employee."""
    if employee_id != state.scheduled.employee_id and employee_id in {state.scheduled.lead_id, _held_by(state)}:
        yield "holder"
    if employee_id in [one.owner_id for one in state.held.actions[number - 1 : number]]:
        yield "owner"


def reads(caller: Caller, state: State) -> bool:
    """Whether they read what was said and agreed in a session."""
    return caller.knows or (caller.employee_id != "" and caller.employee_id == _held_by(state))


def _held_by(state: State) -> str:
    """Who held a session, or is to."""
    return state.held.held_by.removeprefix("user:") or state.scheduled.lead_id


class SessionApi:
    """Implements the service. Before anything is looked at, the caller must be one who may."""

    def __init__(self, service: Service, sessions: Sessions, follower: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._sessions = sessions
        self._follower = follower

    async def ScheduleSession(self, request: pb.ScheduleSessionRequest, context: Context) -> pb.Session:
        (caller,) = (await check_related(self._commands, context, [request.employee_id])).values()
        known = await self._commands.known(EMPLOYEE, [request.employee_id, request.lead_id], check=False)
        if absent := {request.employee_id, request.lead_id} - known.keys():
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {', '.join(sorted(absent))}")
        named = pb.ScheduleSessionRequest(session_id=interview_id(request.employee_id, request.month))
        named.MergeFrom(request)
        command = pb.ScheduleSession(request=named)
        if request.plan_id:
            plan = (await self._commands.load(PLAN, request.plan_id)).state
            command.plan_employee_id = plan.proposed.employee_id
            command.plan_closed = plan.stage == Plan.STATE_CLOSED
        return await self._handle(command, named.session_id, replace(context, request=request), caller)

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.Session:
        found, caller = await self._found(request.session_id, context)
        return _shown(found, context, caller)

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        their_own = request.lead_id != "" and request.lead_id == caller_id(context)
        await check_related(self._commands, context, [request.employee_id], ["holder"] if their_own else [])
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._sessions.list_sessions(self._engine, request, context.today)
        page, token = cut_page(request, listed, lambda one: one)
        found = (await self._commands.known(SESSION, [session_id for _, session_id in page])).values()
        callers = await callers_to(self._commands, context, {one.state.scheduled.employee_id for one in found})
        shown = [_shown(one, context, callers[one.state.scheduled.employee_id]) for one in found]
        return pb.ListSessionsResponse(sessions=shown, next_page_token=token)

    async def RescheduleSession(self, request: pb.RescheduleSessionRequest, context: Context) -> pb.Session:
        return await self._transition(request, context)

    async def HoldSession(self, request: pb.HoldSessionRequest, context: Context) -> pb.Session:
        found, caller = await self._found(request.session_id, context)
        scheduled = found.state.scheduled
        command = pb.HoldSession(request=request)
        if scheduled.month:
            await self._follower.catch_up(AT_LEAST_SECONDS)
            command.rating_position = await self._sessions.rating_position(
                self._engine, scheduled.employee_id, scheduled.month
            )
        context = replace(context, etag=request.etag, request=request)
        return await self._handle(command, request.session_id, context, caller)

    async def AcknowledgeSession(self, request: pb.AcknowledgeSessionRequest, context: Context) -> pb.Session:
        return await self._transition(request, context)

    async def MissSession(self, request: pb.MissSessionRequest, context: Context) -> pb.Session:
        return await self._transition(request, context)

    async def CancelSession(self, request: pb.CancelSessionRequest, context: Context) -> pb.Session:
        return await self._transition(request, context)

    async def FollowUpAction(self, request: pb.FollowUpActionRequest, context: Context) -> pb.Session:
        return await self._transition(request, context, request.number)

    async def _transition(self, command: "Transition", context: Context, number: int = 0) -> pb.Session:
        _, caller = await self._found(command.session_id, context, number)
        return await self._handle(command, command.session_id, replace(context, etag=command.etag), caller)

    async def _handle(self, command: Message, session_id: str, context: Context, caller: Caller) -> pb.Session:
        return _shown(await self._commands.handle(SESSION, session_id, command, context), context, caller)

    async def _found(self, session_id: str, context: Context, number: int = 0) -> tuple[Standing[State], Caller]:
        """A session, for a caller whom the call's rule names to it, or to its action of a number."""
        found = await self._commands.load(SESSION, session_id)
        is_to_it = [*_is_to_it(caller_id(context), found.state, number)]
        (caller,) = (
            await check_related(self._commands, context, [found.state.scheduled.employee_id], is_to_it)
        ).values()
        if not found.position:
            raise NotFound("SESSION_NOT_FOUND", f"there is no session {session_id}")
        return found, caller


Transition = (
    pb.RescheduleSessionRequest
    | pb.AcknowledgeSessionRequest
    | pb.MissSessionRequest
    | pb.CancelSessionRequest
    | pb.FollowUpActionRequest
)


def _shown(found: Standing[State], context: Context, caller: Caller) -> pb.Session:
    return to_resource(found.state, found.position, context.today, texts=reads(caller, found.state))
