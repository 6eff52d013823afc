"""Policy: a detection gets one plan, proposed to the lead of the streak's last day, and told when its facts change."""

from collections.abc import Callable, Sequence
from datetime import date, datetime

from libs.common.commands import Commands
from libs.common.eventsourcing import Recorded
from libs.common.reacting import Policy, reaction
from services.coaching.plan import PLAN, plan_id
from stepladder.coaching.v1.plan_pb2 import (
    Evidence,
    EvidenceCondition,
    EvidenceDrift,
    EvidencePeriod,
    NoteDrift,
    ProposePlanRequest,
)
from stepladder.performance.v1.detection_pb2 import MissedPeriod
from stepladder.performance.v1.events_pb2 import DetectionDrifted, UnderperformanceDetected
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
