"""Policies: a detection gets one plan, which is told when its facts change; sessions of a plan end with it."""

from collections.abc import Callable, Sequence
from datetime import date, datetime

from libs.common.commands import Commands
from libs.common.eventsourcing import Recorded
from libs.common.projecting import Follower
from libs.common.reacting import Policy, reaction
from libs.common.service import AT_LEAST_SECONDS, Service
from services.coaching.pip import PIP, pip_key
from services.coaching.plan import PLAN, plan_id
from services.coaching.session import SESSION
from services.coaching.sessions import Sessions
from services.coaching.standing import STANDING
from stepladder.coaching.v1.events_pb2 import PipClosed, PipDelivered, PlanClosed, SessionRescheduled, SessionScheduled
from stepladder.coaching.v1.pip_pb2 import NotePipRecord, Pip, PipRecordChange
from stepladder.coaching.v1.plan_pb2 import (
    Evidence,
    EvidenceCondition,
    EvidenceDrift,
    EvidencePeriod,
    NoteDrift,
    Plan,
    ProposePlanRequest,
)
from stepladder.coaching.v1.session_pb2 import EndSession
from stepladder.coaching.v1.standing_pb2 import BeginPip, EndPip, VoidPip
from stepladder.performance.v1.detection_pb2 import MissedPeriod
from stepladder.performance.v1.events_pb2 import (
    DetectionDrifted,
    RecordCorrected,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
    UnderperformanceDetected,
)
from stepladder.performance.v1.policy_pb2 import DetectionRule


class ProposePlans(Policy):
    """Detections in, plan proposals out; drifts of detections in, drifts of plans out."""

    name = "propose-plans"
    subjects: Sequence[str] = ("log.performance.detection.*",)

    def __init__(self, commands: Commands, now: Callable[[], datetime], today: Callable[[], date]) -> None:
        self._commands = commands
        self._now = now
        self._today = today

    async def react(self, event: Recorded) -> None:
        match event.event:
            case UnderperformanceDetected(detection=found) if found.purpose != DetectionRule.PURPOSE_FINDING:
                plan = plan_id(found.detection_id)
                propose = ProposePlanRequest(
                    plan_id=plan,
                    employee_id=found.employee_id,
                    lead_id=found.lead_id,
                    kpi_id=found.kpi_id,
                    evidence=Evidence(
                        detection_id=found.detection_id,
                        detection_position=event.position,
                        policy_id=found.policy_id,
                        policy_position=found.policy_position,
                        kpi_id=found.kpi_id,
                        periods=[_period(missed) for missed in found.periods],
                    ),
                )
                await self._give(plan, propose, event)
            case DetectionDrifted(detection_id=detection_id, drift=drift):
                plan = plan_id(detection_id)
                if not await self._commands.known(PLAN, [plan]):
                    return  # a finding
                note = NoteDrift(
                    plan_id=plan,
                    drift=EvidenceDrift(
                        stands=drift.stands,
                        disputed=drift.disputed,
                        periods=[_period(period) for period in drift.periods],
                        causes=drift.causes,
                        drift_position=event.position,
                    ),
                )
                await self._give(plan, note, event)

    async def _give(self, plan: str, command: ProposePlanRequest | NoteDrift, event: Recorded) -> None:
        await self._commands.handle(PLAN, plan, command, reaction(self.name, event, self._now(), self._today()))


class EndSessions(Policy):
    """Plans closed in, and their sessions that are still scheduled cancelled.

    Also one that was put on a day while its plan was being closed: of the two events, the later one is answered.
    """

    name = "end-sessions"
    subjects: Sequence[str] = ("log.coaching.plan.*", "log.coaching.session.*")

    def __init__(self, service: Service, sessions: Sessions, follower: Follower) -> None:
        self._service = service
        self._sessions = sessions
        self._follower = follower

    async def react(self, event: Recorded) -> None:
        match event.event:
            case PlanClosed(plan_id=plan):
                await self._follower.wait_for(event.position, AT_LEAST_SECONDS)
                for session in await self._sessions.scheduled_of_plan(self._service.engine, plan):
                    await self._end(session, event)
            case (
                SessionScheduled(session_id=session, plan_id=plan)
                | SessionRescheduled(session_id=session, plan_id=plan)
            ) if plan:
                if (await self._service.commands.load(PLAN, plan)).state.stage == Plan.STATE_CLOSED:
                    await self._end(session, event)

    async def _end(self, session: str, event: Recorded) -> None:
        service = self._service
        context = reaction(self.name, event, service.now(), service.today())
        await service.commands.handle(SESSION, session, EndSession(session_id=session), context)


def _period(missed: MissedPeriod) -> EvidencePeriod:
    return EvidencePeriod(
        start_date=missed.start_date,
        end_date=missed.end_date,
        numerator=missed.numerator,
        denominator=missed.denominator,
        value=missed.value,
        minimum=missed.minimum,
        maximum=missed.maximum,
        target_position=missed.target_position,
        fact_positions=sorted({fact.log_position for fact in missed.facts}),
        met=missed.met,
        conditions=[
            EvidenceCondition(kpi_id=one.kpi_id, value=one.value, baseline=one.baseline) for one in missed.conditions
        ],
    )


RECORD_CHANGES = (RecordCorrected, RecordRetracted, RecordDisputed, RecordDisputeSettled)


def note_record(event: Recorded) -> NotePipRecord:
    """The command that tells an employee's PIPs of a change of a record."""
    change = PipRecordChange(record_id=event.subject.rpartition(".")[2], log_position=event.position)
    return NotePipRecord(change=change)


class WatchPipRecords(Policy):
    """Changes of records in, and what they do to PIPs that name them as evidence out."""

    name = "watch-pip-records"
    subjects: Sequence[str] = ("log.performance.record.*",)

    def __init__(self, commands: Commands, now: Callable[[], datetime], today: Callable[[], date]) -> None:
        self._commands = commands
        self._now = now
        self._today = today

    async def react(self, event: Recorded) -> None:
        if isinstance(event.event, RECORD_CHANGES):
            key = pip_key(event.event.employee_id)
            if await self._commands.known(PIP, [key]):
                context = reaction(self.name, event, self._now(), self._today())
                await self._commands.handle(PIP, key, note_record(event), context)


class KeepStandings(Policy):
    """What becomes of PIPs in, and what everybody may know of it out: the employee's standing, without any content."""

    name = "keep-standings"
    subjects: Sequence[str] = ("restricted.coaching.pip.*",)

    def __init__(self, commands: Commands, now: Callable[[], datetime], today: Callable[[], date]) -> None:
        self._commands = commands
        self._now = now
        self._today = today

    async def react(self, event: Recorded) -> None:
        match event.event:
            case PipDelivered(employee_id=employee_id, delivered_date=day):
                await self._give(BeginPip(employee_id=employee_id, since_date=day), event)
            case PipClosed(employee_id=employee_id, outcome=Pip.OUTCOME_OVERTURNED):
                await self._give(VoidPip(employee_id=employee_id), event)
            case PipClosed(employee_id=employee_id, action=action, closed_date=day) as closed if closed.delivered_date:
                await self._give(EndPip(employee_id=employee_id, ended_date=day, action=action), event)

    async def _give(self, command: BeginPip | EndPip | VoidPip, event: Recorded) -> None:
        context = reaction(self.name, event, self._now(), self._today())
        await self._commands.handle(STANDING, command.employee_id, command, context)
