"""gRPC: stepladder.coaching.v1.CaseFileService."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import reduce

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToJson

from libs.common.errors import Forbidden
from libs.common.eventsourcing import Context, Recorded
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.common.streams import LOG
from libs.documents.files import file_of
from libs.facts.audit import audited
from libs.facts.names import names_of
from libs.facts.reaching import Caller
from services.coaching.case_document import case_document
from services.coaching.case_file import Case, case_file, employees_in, kind_of, pip_case, plan_case, references
from services.coaching.pip import PIP, PIP_READS, pip_key
from services.coaching.pip_api import PipApi
from services.coaching.plan import PLAN
from services.coaching.plan_rights import plan_for
from services.coaching.session import SESSION
from services.coaching.session import State as SessionState
from services.coaching.session_api import reads
from services.coaching.sessions import Sessions
from stepladder.coaching.v1 import case_file_pb2 as pb
from stepladder.coaching.v1.case_file_pb2 import CaseEntry
from stepladder.common.v1.envelope_pb2 import CommandNoted


class CaseFileApi:
    """Implements the service: everything out of the log."""

    def __init__(self, service: Service, sessions: Sessions, at_sessions: Follower, pips: PipApi) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._sessions = sessions
        self._at_sessions = at_sessions
        self._pips = pips

    async def GetCaseFile(self, request: pb.GetCaseFileRequest, context: Context) -> pb.CaseFile:
        if request.pip_id:
            return await self._pip_file(request, context)
        plan, caller = await plan_for(self._commands, request.plan_id, context)
        subjects = await self._plan_subjects(request.plan_id, max(request.at_least, plan.position))
        return await self._file(plan_case(plan.state), subjects, caller, context)

    async def ExportCaseFile(self, request: pb.ExportCaseFileRequest, context: Context) -> HttpBody:
        asked = pb.GetCaseFileRequest()
        for field in asked.DESCRIPTOR.fields:
            setattr(asked, field.name, getattr(request, field.name))
        file = await self.GetCaseFile(asked, context)
        if request.format == "json":
            content = MessageToJson(file, always_print_fields_with_no_presence=True, ensure_ascii=False)
            return HttpBody(content_type="application/json", data=content.encode())
        return await file_of(lambda: case_document(file), request.format)

    async def _pip_file(self, request: pb.GetCaseFileRequest, context: Context) -> pb.CaseFile:
        """With the coaching plan that the PIP names, whose words are for those who may see it."""
        pip, _, _ = await self._pips.readable(request.employee_id, request.pip_id, context)
        await audited(self._commands, PIP_READS, context, {request.employee_id: [request.pip_id]})
        case, caller, subjects = pip_case(pip), None, [PIP.subject(pip_key(request.employee_id))]
        if case.plan_id:
            with suppress(Forbidden):
                _, caller = await plan_for(self._commands, case.plan_id, context)
            plan = await self._commands.load(PLAN, case.plan_id)
            if plan.state.proposed.employee_id == request.employee_id:
                subjects += await self._plan_subjects(case.plan_id, max(request.at_least, plan.position))
        return await self._file(case, subjects, caller, context)

    async def _plan_subjects(self, plan_id: str, at_least: int) -> list[str]:
        """Of a plan and its sessions."""
        await self._at_sessions.wait_for(at_least, AT_LEAST_SECONDS)
        sessions = await self._sessions.of_plan(self._engine, plan_id)
        return [PLAN.subject(plan_id), *(SESSION.subject(one) for one in sessions)]

    async def _file(self, case: Case, subjects: Sequence[str], reader: Caller | None, context: Context) -> pb.CaseFile:
        """Without a `reader` of the plan, nobody's words in it, or in its sessions, are told."""
        histories, missing = await self._behind(case, subjects)
        private = [
            subject
            for subject in subjects
            if (kind_of(subject) == CaseEntry.KIND_PLAN and reader is None)
            or (
                kind_of(subject) == CaseEntry.KIND_SESSION
                and (reader is None or not reads(reader, _session(histories[subject])))
            )
        ]
        names = await names_of(self._commands, employees_in(case, histories))
        return case_file(case, histories, missing, private, names, context.now)

    async def _behind(self, case: Case, subjects: Iterable[str]) -> tuple[Mapping[str, Sequence[Recorded]], set[int]]:
        """The histories of the case and of everything that it refers to; and positions at which there is nothing."""
        histories = await self._commands.histories(subjects)
        asked: set[int] = set()
        found: dict[int, str] = {}
        while wanted := references(case, histories) - asked:
            asked |= wanted
            found |= await self._commands.subjects_at(LOG, sorted(wanted))
            histories |= await self._commands.histories(set(found.values()) - histories.keys())
        return histories, asked - found.keys()


def _session(history: Sequence[Recorded]) -> SessionState:
    events = (recorded.event for recorded in history if not isinstance(recorded.event, CommandNoted))
    return reduce(SESSION.evolve, events, SESSION.initial)
