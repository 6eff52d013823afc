"""gRPC: stepladder.coaching.v1.CaseFileService."""

from collections.abc import Iterable, Mapping, Sequence

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToJson

from libs.common.errors import NotFound
from libs.common.eventsourcing import Context, Recorded, is_id
from libs.common.service import Service
from libs.common.streams import LOG
from libs.documents.files import file_of
from libs.facts.callers import caller_id, directory_around, need_to_know
from libs.facts.employee import EMPLOYEE
from libs.facts.relations import NEED_TO_KNOW, relations
from services.coaching.case_document import case_document
from services.coaching.case_file import case_file, employees_in, plan_case, references
from services.coaching.plan import PLAN, State
from stepladder.coaching.v1 import case_file_pb2 as pb
from stepladder.performance.v1.events_pb2 import EmployeeHired, EmployeeRenamed


class CaseFileApi:
    """Implements the service: everything out of the log."""

    def __init__(self, service: Service) -> None:
        self._commands = service.commands

    async def GetCaseFile(self, request: pb.GetCaseFileRequest, context: Context) -> pb.CaseFile:
        case = plan_case(await self._readable(request.plan_id, context))
        histories, missing = await self._behind(PLAN.subject(request.plan_id))
        names = await self._names(employees_in(case, histories))
        return case_file(case, histories, missing, names, context.now)

    async def ExportCaseFile(self, request: pb.ExportCaseFileRequest, context: Context) -> HttpBody:
        file = await self.GetCaseFile(pb.GetCaseFileRequest(plan_id=request.plan_id), context)
        if request.format == "json":
            content = MessageToJson(file, always_print_fields_with_no_presence=True, ensure_ascii=False)
            return HttpBody(content_type="application/json", data=content.encode())
        return await file_of(lambda: case_document(file), request.format)

    async def _readable(self, plan_id: str, context: Context) -> State:
        """The plan, for whoever may see its case file. Refused before anything is said of it."""
        plan, caller = (await self._commands.load(PLAN, plan_id)).state, caller_id(context)
        employee_id = plan.proposed.employee_id
        directory = await directory_around(
            self._commands, caller, context.today, employee_ids=[employee_id] if employee_id else []
        )
        known = relations(directory, caller, employee_id, context.today)
        coaches = directory.employed(caller, context.today) and caller == plan.proposed.lead_id
        if known.isdisjoint(NEED_TO_KNOW) and not coaches:
            raise need_to_know()
        if not employee_id:
            raise NotFound("PLAN_NOT_FOUND", f"there is no plan {plan_id}")
        return plan

    async def _names(self, ids: Iterable[str]) -> dict[str, str]:
        """How those who are employees are called, read anew from the log: whoever was erased since has no name."""
        subjects = {EMPLOYEE.subject(one): one for one in ids if is_id(one)}
        histories = await self._commands.histories(sorted(subjects))
        return {
            subjects[subject]: recorded.event.display_name
            for subject, history in histories.items()
            for recorded in history
            if isinstance(recorded.event, EmployeeHired | EmployeeRenamed)
        }

    async def _behind(self, subject: str) -> tuple[Mapping[str, Sequence[Recorded]], set[int]]:
        """The histories of the case and of everything that it refers to; and positions at which there is nothing."""
        histories = await self._commands.histories([subject])
        asked: set[int] = set()
        found: dict[int, str] = {}
        while wanted := references(histories) - asked:
            asked |= wanted
            found |= await self._commands.subjects_at(LOG, sorted(wanted))
            histories |= await self._commands.histories(set(found.values()) - histories.keys())
        return histories, asked - found.keys()
