"""gRPC: stepladder.performance.v1.RecordService."""

from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import UTC, date

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound, Refused
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Awaited, Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, check_employees
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.conduct import counted
from libs.facts.reaching import Reaches, check_related
from libs.facts.violations import Violations
from services.performance import record
from services.performance.callers import seen_by_caller
from services.performance.employee import EMPLOYEE
from services.performance.facts import day_problem
from services.performance.outcome import policy_of
from services.performance.policy_api import rules_with
from services.performance.record import RECORD
from services.performance.records import Records
from stepladder.performance.v1 import record_pb2 as pb
from stepladder.performance.v1.policy_pb2 import Policy

KINDS = [field.name for field in pb.Record.DESCRIPTOR.oneofs_by_name["content"].fields]


class RecordApi:
    """Implements the service."""

    def __init__(
        self,
        service: Service,
        records: Records,
        follower: Awaited,
        violations: Violations,
        results_follower: Follower,
        catalogue: Catalogue,
        catalogue_follower: Follower,
        reaches: Reaches,
    ) -> None:
        self._reaches = reaches
        self._service = service
        self._commands = service.commands
        self._engine = service.engine
        self._time_zone = service.settings.site_time_zone
        self._records = records
        self._follower = follower
        self._violations = violations
        self._results_follower = results_follower
        self._catalogue = catalogue
        self._catalogue_follower = catalogue_follower

    async def CreateRecords(self, request: pb.CreateRecordsRequest, context: Context) -> pb.CreateRecordsResponse:
        await check_related(self._commands, context, {given.employee_id for given in request.records})
        answer = pb.CreateRecordsResponse()
        rules = await self._rules(request.records)
        people = await self._people(request.records)
        commands: dict[str, tuple[int, pb.CreateRecord]] = {}
        for index, given in enumerate(request.records):
            try:
                if given.record_id in commands:
                    raise Invalid("RECORD_TWICE", f"record {given.record_id} is in the request twice")
                commands[given.record_id] = index, self._create(given, rules, people, context)
            except Refused as refused:
                _reject(answer, index, refused)
        # A record is known by its own id; one made of the content would tell its note.
        outcomes = await self._commands.handle_all(
            RECORD,
            [(record_id, command) for record_id, (_, command) in commands.items()],
            replace(context, request_id=""),
        )
        for (index, _), outcome in zip(commands.values(), outcomes, strict=True):
            if isinstance(outcome, Refused):
                _reject(answer, index, outcome)
                continue
            answer.recorded += outcome.events
            answer.unchanged += 1 - outcome.events
            answer.log_position = max(answer.log_position, outcome.position)
        answer.rejections.sort(key=lambda rejection: rejection.index)
        return answer

    async def GetRecord(self, request: pb.GetRecordRequest, context: Context) -> pb.Record:
        found = await self._found(request.record_id, context)
        if request.known_at:
            found = await self._commands.load(RECORD, request.record_id, request.known_at)
        if not found.position:
            raise NotFound("RECORD_NOT_FOUND", f"there was no record {request.record_id} then")
        return record.to_resource(found.state, found.position)

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        if request.employee_id:
            await check_related(self._commands, context, [request.employee_id])
        seen = await seen_by_caller(self._reaches, context)
        if request.kind and request.kind not in KINDS:
            message = f"must be one of {', '.join(KINDS)}"
            raise Invalid("KIND_INVALID", message, (FieldViolation("kind", message),))
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._records.list_records(self._engine, request, seen.employees)
        page, token = cut_page(request, listed, lambda one: one)
        found = (await self._commands.known(RECORD, [record_id for _, record_id in page])).values()
        return pb.ListRecordsResponse(
            records=[record.to_resource(one.state, one.position) for one in found], next_page_token=token
        )

    async def CorrectRecord(self, request: pb.CorrectRecordRequest, context: Context) -> pb.Record:
        await self._found(request.record.record_id, context)
        rules, people = await self._rules([request.record]), await self._people([request.record])
        checked = self._create(request.record, rules, people, context)
        command = pb.CorrectRecord(record=checked.record, policy=checked.policy, reason=request.reason)
        return await self._handle(request.record.record_id, command, context)

    async def RetractRecord(self, request: pb.RetractRecordRequest, context: Context) -> pb.Record:
        await self._found(request.record_id, context)
        return await self._handle(request.record_id, request, context)

    async def AcknowledgeRecord(self, request: pb.AcknowledgeRecordRequest, context: Context) -> pb.Record:
        await self._found(request.record_id, context)
        return await self._handle(request.record_id, request, context)

    async def DisputeRecord(self, request: pb.DisputeRecordRequest, context: Context) -> pb.Record:
        await self._found(request.record_id, context)
        await check_employees(self._commands, [request.reviewer_id])
        return await self._handle(request.record_id, request, context)

    async def SettleRecordDispute(self, request: pb.SettleRecordDisputeRequest, context: Context) -> pb.Record:
        found = await self._found(request.record_id, context)
        version = found.state.outcome.policy_position
        rules = await self._catalogue.rules(self._engine, version) if version else None
        policy = rules.version(version) if rules else Policy()
        command = pb.SettleRecordDispute(request=request, policy=policy)
        return await self._handle(request.record_id, command, context)

    async def GetConduct(self, request: pb.GetConductRequest, context: Context) -> pb.Conduct:
        await check_related(self._commands, context, [request.employee_id])
        await self._results_follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        await check_employees(self._commands, [request.employee_id])
        as_of = parse_day(request.as_of, "as_of") if request.as_of else context.today
        async with self._engine.connect() as connection:
            violations = await self._violations.violations_of(connection, request.employee_id, request.known_at)
        found = counted(violations, as_of)
        standing = [one for one in found if not one.lapsed]
        return pb.Conduct(
            employee_id=request.employee_id,
            points=sum(one.points for one in standing),
            dismissal_grade=any(one.dismissal_grade for one in standing),
            violations=found,
        )

    async def _found(self, record_id: str, context: Context) -> Standing[record.State]:
        """A record, for those whom the call's rule names; whether there is one is told to no others."""
        found = await self._commands.load(RECORD, record_id)
        reviews = caller_id(context) in {found.state.dispute.reviewer_id} - {""}
        await check_related(self._commands, context, [found.state.record.employee_id], ["reviewer"] if reviews else [])
        if not found.position:
            raise NotFound("RECORD_NOT_FOUND", f"there is no record {record_id}")
        return found

    async def _handle(self, record_id: str, command: Message, context: Context) -> pb.Record:
        handled = await self._commands.handle(RECORD, record_id, command, context)
        return record.to_resource(handled.state, handled.position)

    def _create(self, given: pb.Record, rules: Rules, people: Container[str], context: Context) -> pb.CreateRecord:
        """The command for a record that may be taken. Raises a refusal with a reason of `RecordRejection`."""
        _refuse_unknown(_named(given), people)
        # Leave may be approved ahead.
        latest = date.max if given.HasField("leave") else context.today
        if problem := day_problem(given.date, latest):
            raise Invalid("DATE_INVALID", problem, (FieldViolation("date", problem),))
        if given.HasField("attendance"):
            began = given.attendance.shift_start.ToDatetime(UTC).astimezone(self._time_zone).date().isoformat()
            if began != given.date:
                message = f"the shift began on {began} at the site ({self._time_zone.key}), not on {given.date}"
                raise Invalid("DATE_INVALID", message, (FieldViolation("date", message),))
        return pb.CreateRecord(record=given, policy=_policy(given, rules))

    async def _people(self, records: Sequence[pb.Record]) -> Container[str]:
        """Those of the employees named by records who exist."""
        named = {employee_id for given in records for employee_id in _named(given)}
        return await self._commands.known(EMPLOYEE, named, check=False)

    async def _rules(self, records: Sequence[pb.Record]) -> Rules:
        """The rules, with everything that is known of the forms and rule books of the records."""
        policy_ids = {policy_of(given) for given in records} - {""}
        return await rules_with(self._service, self._catalogue, self._catalogue_follower, policy_ids)


def _named(given: pb.Record) -> list[str]:
    """Whom a record is about, and who evaluated."""
    return [given.employee_id, *([given.evaluation.evaluator_id] if given.HasField("evaluation") else [])]


def _refuse_unknown(employee_ids: Sequence[str], known: Container[str]) -> None:
    if unknown := [one for one in employee_ids if one not in known]:
        raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {', '.join(unknown)}")


def _policy(given: pb.Record, rules: Rules) -> Policy:
    """The version of a record's form or rule book on its day; an empty one for a record without."""
    policy_id, kind = policy_of(given), "form" if given.HasField("evaluation") else "rule_book"
    if not policy_id:
        return Policy()
    return rules.of_kind_on(kind, policy_id, parse_day(given.date, "date"))


def _reject(answer: pb.CreateRecordsResponse, index: int, refused: Refused) -> None:
    answer.rejections.append(pb.RecordRejection(index=index, reason=refused.reason, message=refused.message))
