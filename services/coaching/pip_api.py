"""gRPC: stepladder.coaching.v1.PipService."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date

from libs.common.days import months_between
from libs.common.errors import Conflict, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page, page_of
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.common.streams import LOG
from libs.facts.audit import audited, reads_in
from libs.facts.callers import caller_id, directory_around
from libs.facts.employee import EMPLOYEE
from libs.facts.reaching import Reaches
from libs.facts.relations import Directory, relations, words
from services.coaching.drifting import Holder
from services.coaching.measuring import Ask, Measuring
from services.coaching.pip import PIP, PIP_READS, pip_key
from services.coaching.pip_content import result_of
from services.coaching.pip_resource import to_resource
from services.coaching.pip_rights import Request, held
from services.coaching.pip_schedule import span_of
from services.coaching.pip_state import LAST_DAY, PipState, State, records
from services.coaching.pips import Pips
from services.coaching.plan import PLAN
from services.coaching.policies import RECORD_CHANGES, note_record
from services.coaching.rules import CoachingRulesInForce, RuleBook
from stepladder.coaching.v1 import pip_pb2 as pb
from stepladder.coaching.v1.plan_pb2 import Plan
from stepladder.common.v1.audit_pb2 import Read
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, EMPLOYMENT_STATUS_ON_LEAVE
from stepladder.performance.v1.events_pb2 import RecordCorrected, RecordCreated, RecordRetracted
from stepladder.performance.v1.record_pb2 import Record

_FIELDS = {one.message_type: one.name for one in pb.ActOnPip.DESCRIPTOR.oneofs_by_name["request"].fields}
"""The field of `ActOnPip` for each kind of request."""


BY_FACTS = (pb.ApprovePipRequest, pb.DecidePipRequest, pb.HearPipAppealRequest)
"""What is decided by facts, and not before somebody has looked at what has become of them."""

BY_DAYS = (
    pb.EditPipRequest,
    pb.DeliverPipRequest,
    pb.AcknowledgePipRequest,
    pb.WitnessPipRefusalRequest,
    pb.ReschedulePipCheckpointRequest,
    pb.PausePipRequest,
    pb.ResumePipRequest,
    pb.DecidePipRequest,
)
"""What business days are counted for; the rest can be said where no calendar reaches, too."""


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who calls, and what they are to an employee today, in words of rules."""

    id: str
    actor: str
    directory: Directory
    is_to_them: frozenset[str]

    def held(self, pip: PipState, employee_id: str) -> frozenset[str]:
        """What they are to a PIP of the employee; nothing any more when they have left, unless it is their own."""
        if not self.is_to_them:
            return frozenset()
        return held(pip, employee_id, self.actor, by_hr="hr" in self.is_to_them, by_lead="lead" in self.is_to_them)


class PipApi:
    """Implements the service. Before anything is looked at, the caller must be one who may say or see it."""

    def __init__(
        self,
        service: Service,
        pips: Pips,
        follower: Follower,
        measuring: Measuring,
        rule_book: RuleBook,
        held: Holder[State],
        reaches: Reaches,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._pips = pips
        self._follower = follower
        self._measuring = measuring
        self._rule_book = rule_book
        self._held = held
        self._reaches = reaches

    async def DraftPip(self, request: pb.DraftPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context)

    async def EditPip(self, request: pb.EditPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def SubmitPip(self, request: pb.SubmitPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def SendBackPip(self, request: pb.SendBackPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def OverridePipPrecondition(self, request: pb.OverridePipPreconditionRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def ApprovePip(self, request: pb.ApprovePipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def DeliverPip(self, request: pb.DeliverPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def AcknowledgePip(self, request: pb.AcknowledgePipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context)

    async def NamePipWitness(self, request: pb.NamePipWitnessRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag, named=request.witness_id)

    async def WitnessPipRefusal(self, request: pb.WitnessPipRefusalRequest, context: Context) -> pb.Pip:
        return await self._act(request, context)

    async def RespondToPip(self, request: pb.RespondToPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context)

    async def HoldPipCheckpoint(self, request: pb.HoldPipCheckpointRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def ReschedulePipCheckpoint(self, request: pb.ReschedulePipCheckpointRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def PausePip(self, request: pb.PausePipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def ResumePip(self, request: pb.ResumePipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def ProposePipResult(self, request: pb.ProposePipResultRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def DecidePip(self, request: pb.DecidePipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def AppealPip(self, request: pb.AppealPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context)

    async def NamePipHearer(self, request: pb.NamePipHearerRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag, named=request.hearer_id)

    async def HearPipAppeal(self, request: pb.HearPipAppealRequest, context: Context) -> pb.Pip:
        return await self._act(request, context)

    async def WithdrawPip(self, request: pb.WithdrawPipRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def ReviewPipDrift(self, request: pb.ReviewPipDriftRequest, context: Context) -> pb.Pip:
        return await self._act(request, context, request.etag)

    async def GetPip(self, request: pb.GetPipRequest, context: Context) -> pb.Pip:
        pip, position, is_to_it = await self.readable(request.employee_id, request.pip_id, context)
        await audited(self._commands, PIP_READS, context, {request.employee_id: [request.pip_id]})
        return to_resource(pip, position, is_to_it)

    async def readable(self, employee_id: str, pip_id: str, context: Context) -> tuple[PipState, int, frozenset[str]]:
        """A PIP and its position, for a caller whom the call's rule names, and what they are to it.

        Raises Forbidden `NEED_TO_KNOW`; NotFound `PIP_NOT_FOUND`.
        """
        caller = await self._caller(context, employee_id)
        found = await self._commands.load(PIP, pip_key(employee_id))
        pip = found.state.pips.get(pip_id, PipState())
        is_to_it = caller.held(pip, employee_id)
        context.admission.check(is_to_it)
        if pip_id not in found.state.pips:
            raise NotFound("PIP_NOT_FOUND", "there is no such PIP")
        return pip, found.position, is_to_it

    async def ListPips(self, request: pb.ListPipsRequest, context: Context) -> pb.ListPipsResponse:
        caller = await self._caller(context, request.employee_id)
        context.admission.check(caller.is_to_them)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._pips.list_pips(self._service.engine, request, caller.id)
        page, token = cut_page(request, listed, lambda one: [one[0]])
        found = await self._commands.known(PIP, {pip_key(employee_id) for _, employee_id, _ in page})
        pips, ids = list[pb.Pip](), dict[str, list[str]]()
        for _, employee_id, pip_id in page:
            ids.setdefault(employee_id, []).append(pip_id)
            standing = found[pip_key(employee_id)]
            pip = standing.state.pips[pip_id]
            pips.append(to_resource(pip, standing.position, caller.held(pip, employee_id)))
        await audited(self._commands, PIP_READS, context, ids)
        return pb.ListPipsResponse(pips=pips, next_page_token=token)

    async def ListPipReads(self, request: pb.ListPipReadsRequest, context: Context) -> pb.ListPipReadsResponse:
        employee_id, pip_id = request.employee_id, request.pip_id
        pip, _, _ = await self.readable(employee_id, pip_id, context)
        months = months_between(pip.drafted.drafted_date[:7], context.today.isoformat()[:7])
        found = await reads_in(self._commands, PIP_READS, employee_id, months)
        of_it = [
            Read(reader=one.reader, time=one.time, method=one.method, ids=[pip_id])  # and of no other that may be there
            for one in found
            if pip_id in one.ids
        ]
        page, token = page_of(request, list(enumerate(of_it)), lambda one: [one[0]])
        return pb.ListPipReadsResponse(reads=[read for _, read in page], next_page_token=token)

    async def call(self, key: str) -> None:
        """The clock's command: a day that a PIP waited for has passed."""
        employee_id, pip_id, _ = key.split("/")
        context = self._own_context("pip-clock")  # before anything is measured: of the same day
        state = (await self._commands.load(PIP, pip_key(employee_id))).state
        pip = state.pips[pip_id]
        if pip.stage == pb.Pip.STATE_DECIDED:
            await self._look(state, pip)
        command = pb.CallPip(pip_id=pip_id, business_days=await self._business_days(employee_id, pip, context.today))
        if pip.stage == pb.Pip.STATE_ACTIVE and pip.schedule.due_date:
            command.results.extend(await self._results(employee_id, pip, LAST_DAY))
        await self._commands.handle(PIP, pip_key(employee_id), command, context)

    async def follow_leave(self, key: str) -> None:
        """The clock's command: an employment status has changed, or a PIP has begun that knew of none.

        Of the two, whichever is seen second finds the other: what was said from the day on, up to today.
        """
        employee_id, day = key.split("/")
        person = (await self._commands.known(EMPLOYEE, [employee_id], latest=True))[employee_id].state
        first, today = date.fromisoformat(day), self._service.today()
        for since in (first, *(one for one, _ in person.statuses if first < one <= today)):
            found = await self._commands.known(PIP, [pip_key(employee_id)], latest=True)
            state = found[pip_key(employee_id)].state if found else State()
            if not state.open_id:
                return
            status = person.status_on(since)
            if status == EMPLOYMENT_STATUS_LEFT and not person.left_for_good(today):
                return
            on_leave = status == EMPLOYMENT_STATUS_ON_LEAVE
            later = (one for one, to in person.statuses if one > since and to != EMPLOYMENT_STATUS_ON_LEAVE)
            back = next(later, None) if on_leave else None
            command = pb.FollowLeave(
                date=since.isoformat(),
                on_leave=on_leave,
                back_date=back.isoformat() if back else "",
                business_days=await self._business_days(employee_id, state.pips[state.open_id], since),
                left=status == EMPLOYMENT_STATUS_LEFT,
            )
            await self._commands.handle(PIP, pip_key(employee_id), command, self._own_context("pip-leaves"))

    def _own_context(self, name: str) -> Context:
        return Context(now=self._service.now(), today=self._service.today(), actor=f"policy:{name}")

    async def _caller(self, context: Context, employee_id: str) -> _Caller:
        """What the caller is to an employee today, or to everybody where none is named."""
        caller, today = caller_id(context), context.today
        directory = await directory_around(self._commands, caller, today, employee_ids=[employee_id])
        found = relations(directory, caller, employee_id, today)
        is_to_them = words(found, employed=directory.employed(caller, today))
        return _Caller(caller, context.actor, directory, is_to_them)

    async def _act(self, request: Request, context: Context, etag: str = "", *, named: str = "") -> pb.Pip:
        employee_id, key = request.employee_id, pip_key(request.employee_id)
        caller = await self._caller(context, employee_id)
        state = (await self._commands.load(PIP, key)).state
        pip = state.pips.get(request.pip_id, PipState())
        context.admission.check(caller.held(pip, employee_id))
        if employee_id not in caller.directory.employees:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {employee_id}")
        if isinstance(request, BY_FACTS):
            await self._look(state, pip)
        if named:
            await self._check_employed(named, context.today)
        act = pb.ActOnPip(by_hr="hr" in caller.is_to_them, by_lead="lead" in caller.is_to_them)
        getattr(act, _FIELDS[request.DESCRIPTOR]).CopyFrom(request)
        await self._look_up(act, request, pip, caller, context.today)
        try:
            handled = await self._commands.handle(PIP, key, act, replace(context, etag=etag))
        except Conflict as conflict:
            raise await self._told(conflict, request) from conflict
        pip = handled.state.pips[request.pip_id]
        return to_resource(pip, handled.position, caller.held(pip, employee_id))

    async def _look(self, state: State, pip: PipState) -> None:
        """Has the facts under a PIP looked at once more: nobody decides faster than what follows them."""
        key = pip_key(state.employee_id)
        await self._held.look(key, state)
        positions = {f"log.performance.record.{one.record_id}": one.log_position for one in records(pip)}
        for subject, history in (await self._commands.histories(positions)).items():
            for event in history:
                if isinstance(event.event, RECORD_CHANGES) and event.position > positions[subject]:
                    await self._commands.handle(PIP, key, note_record(event), self._own_context("pip-records"))

    async def _told(self, conflict: Conflict, request: Request) -> Conflict:
        """A conflict, with what the PIP is by now."""
        found = await self._commands.load(PIP, pip_key(request.employee_id))
        pip = found.state.pips.get(request.pip_id, PipState())
        name = pb.Pip.State.Name(pip.stage).removeprefix("STATE_")
        return Conflict(conflict.reason, f"{conflict.message}; it is {name} now, with the etag {found.position}")

    async def _look_up(self, act: pb.ActOnPip, request: Request, pip: PipState, caller: _Caller, today: date) -> None:
        """Adds to a command what the world says for it."""
        employee_id = request.employee_id
        match request:
            case pb.DraftPipRequest(content=content) | pb.EditPipRequest(content=content):
                pinned = act.draft.content if isinstance(request, pb.DraftPipRequest) else act.edit.content
                await self._pin(employee_id, pinned)
                act.plan_closed_date = await self._plan_closed_date(employee_id, content.plan_id)
            case pb.ProposePipResultRequest(failed_conduct=failed) | pb.DecidePipRequest(failed_conduct=failed):
                found = await self._records_at(employee_id, {one.log_position for one in failed})
                act.records.extend(
                    pb.PipEvidence(log_position=position, date=one.date, record_id=one.record_id)
                    for position, one in found.items()
                )
            case pb.NamePipHearerRequest(hearer_id=hearer_id):
                act.may_hear = await self._reaches.in_charge(hearer_id, today)
            case pb.HearPipAppealRequest():
                act.may_hear = await self._reaches.in_charge(caller.id, today)
            case pb.HoldPipCheckpointRequest():
                act.results.extend(await self._results(employee_id, pip, today.isoformat()))
            case pb.DeliverPipRequest():
                status = caller.directory.employees[employee_id].status_on(today)
                act.on_leave = status == EMPLOYMENT_STATUS_ON_LEAVE
        if isinstance(request, pb.DraftPipRequest):
            in_force = await self._rule_book.of(employee_id, today)
            if in_force.rules.HasField("pip"):
                act.rules.CopyFrom(in_force.rules.pip)
                act.rules_position = in_force.rules_position
        elif isinstance(request, BY_DAYS):
            act.business_days.CopyFrom(await self._business_days(employee_id, pip, today))

    async def _check_employed(self, employee_id: str, today: date) -> None:
        directory = await directory_around(self._commands, employee_id, today)
        if not directory.employed(employee_id, today):
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {employee_id} today")

    async def _business_days(self, employee_id: str, pip: PipState, today: date) -> pb.BusinessDays:
        """From the first day that counts by now, up to where anything of the PIP's may end."""
        found = await self._rule_book.of(employee_id, self._service.today())
        first = min(today, date.fromisoformat(pip.schedule.from_date or today.isoformat()))
        rules = pip.drafted.rules
        longest = max(
            rules.extension_business_days,
            rules.acknowledgement_business_days,
            rules.decision_business_days,
            rules.appeal_business_days,
        )
        return business_days(
            found, first, self._service.today(), (pip.total or pip.content.period_business_days) + longest + 1
        )

    async def _results(self, employee_id: str, pip: PipState, until: str) -> list[pb.ElementResult]:
        """Each element over the days on which the period ran until one, exclusive."""
        ran = pip.ran_until(until)
        elements = [one for one in pip.content.elements if ran and one.HasField("measure")]
        asks = [Ask(employee_id, one.measure, *span_of(ran)) for one in elements]
        measured = dict(zip((one.element_id for one in elements), await self._measuring.measure_all(asks), strict=True))
        return [result_of(one, measured.get(one.element_id)) for one in pip.content.elements]

    async def _pin(self, employee_id: str, content: pb.PipContent) -> None:
        """Puts into what a PIP says how each piece of evidence stands in the log now."""
        evidence = [(element, one) for element in content.elements for one in element.evidence]
        positions = {one.log_position for _, one in evidence} - {0}
        records = await self._records_at(employee_id, positions)
        facts = await self._measuring.known_facts(employee_id, positions - records.keys())
        for element in content.elements:
            if element.HasField("measure"):
                element.definition.CopyFrom(await self._measuring.definition(element.measure))
        asks, asked_for = list[Ask](), list[pb.PipEvidence]()
        for element, one in evidence:
            for name in ("measured", "date", "record_id"):
                one.ClearField(name)
            first, last = one.days.start_date, one.days.end_date
            if (record := records.get(one.log_position)) is not None:
                one.date, one.record_id = record.date, record.record_id
            elif one.log_position:
                of_measure = (
                    day for kpi_id, day in facts.get(one.log_position, ()) if kpi_id == element.measure.kpi_id
                )
                first = last = one.date = next(of_measure, "")
            if element.HasField("measure") and first:
                asks.append(Ask(employee_id, element.measure, first, last))
                asked_for.append(one)
        for one, measured in zip(asked_for, await self._measuring.measure_all(asks), strict=True):
            one.measured.CopyFrom(measured)

    async def _records_at(self, employee_id: str, positions: Collection[int]) -> dict[int, Record]:
        """Records of an employee by the positions of the log at which lies what they say now."""
        subjects = await self._commands.subjects_at(LOG, positions)
        of_records = {one for one in subjects.values() if one.startswith("log.performance.record.")}
        found: dict[int, Record] = {}
        for history in (await self._commands.histories(of_records)).values():
            says: dict[int, Record] = {}
            for recorded in history:
                match recorded.event:
                    case RecordCreated(record=told) | RecordCorrected(record=told) if told.employee_id == employee_id:
                        says = {recorded.position: told}
                    case RecordRetracted():
                        says = {}
            found |= says
        return found

    async def _plan_closed_date(self, employee_id: str, plan_id: str) -> str:
        """When the employee's coaching plan was closed as not improved; empty where none is named or it was not."""
        if not plan_id:
            return ""
        plan = (await self._commands.load(PLAN, plan_id)).state
        if plan.proposed.employee_id != employee_id:
            raise NotFound("PLAN_NOT_FOUND", f"the employee has no coaching plan {plan_id}")
        return plan.closed.closed_date if plan.closed.outcome == Plan.OUTCOME_NOT_IMPROVED else ""


def business_days(found: CoachingRulesInForce, first: date, today: date, ahead: int) -> pb.BusinessDays:
    """The business days from one on, up to so many after today. Raises NotAllowed as `Days` does."""
    last = found.days.add(max(first, today), ahead)
    days = (date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1))
    return pb.BusinessDays(
        dates=[day.isoformat() for day in days if found.days.is_business_day(day)],
        calendar_version=found.calendar_version,
        calendar_position=found.calendar_position,
    )
