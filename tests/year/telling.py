"""Tells the service what a centre says, and keeps the ledger beside it."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from time import perf_counter

from google.protobuf.field_mask_pb2 import FieldMask

from libs.cli.importing import send_patiently
from libs.common.projecting import Standing
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    DISPUTE_OUTCOME_UPHELD,
    RATING_GOOD,
    CorrectFactRequest,
    DisputeFactRequest,
    DisputeOutcome,
    Fact,
    RateMonthRequest,
    Reading,
    ReadingsOfDay,
    RecordFactsRequest,
    RetractFactRequest,
    SettleFactDisputeRequest,
    StreamFactsRequest,
)
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target, UpdateKpiRequest
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.record_pb2 import (
    AcknowledgeRecordRequest,
    CorrectRecordRequest,
    CreateRecordsRequest,
    DisputeRecordRequest,
    RetractRecordRequest,
    SettleRecordDisputeRequest,
)
from stepladder.performance.v1.record_pb2 import Record as Written
from stepladder.performance.v1.scorecard_pb2 import CloseMonthRequest, CloseMonthResponse
from tests.services.world import World
from tests.tokens import as_person
from tests.year.ledger import (
    Acknowledge,
    Appeal,
    Close,
    Correct,
    Decide,
    Dispute,
    Found,
    Key,
    Lead,
    Ledger,
    Promotion,
    RateElsewhere,
    Record,
    Retire,
    Retract,
    Revoke,
    Rewrite,
    Samples,
    Settle,
    Status,
    Step,
    Transfer,
    Write,
    month_of,
)

REASON = "as it was agreed"


@dataclass
class Figures:
    """What the telling took."""

    facts: int = 0
    readings: int = 0
    loading: float = 0.0
    records: int = 0
    writing: float = 0.0
    closed: int = 0
    closing: float = 0.0


@dataclass
class Teller:
    """One centre's story, told to a world."""

    world: World
    ledger: Ledger = field(default_factory=Ledger)
    rules: dict[int, int] = field(default_factory=dict)
    """Positions of the rules by their index in the ledger."""
    figures: Figures = field(default_factory=Figures)
    closings: dict[str, CloseMonthResponse] = field(default_factory=dict)
    """The latest of each month."""

    async def tell(self, steps: Iterable[Step]) -> None:
        """Each step in its turn; readings in a row go in one stream."""
        for kind, group in itertools.groupby(steps, type):
            self.time_passes()
            if kind is Record:
                await self.record([step for step in group if isinstance(step, Record)])
            elif kind is Write:
                await self.write([step.record for step in group if isinstance(step, Write)])
            else:
                for step in group:
                    self.time_passes()
                    await self.say(step)

    async def record(self, records: Sequence[Record]) -> None:
        """Readings in bulk, those of a day and source together."""
        facts: dict[tuple[str, date, str], Fact] = {}
        for record in records:
            employee_id, day, source, _ = record.key
            fact = facts.setdefault(
                (employee_id, day, source), Fact(employee_id=employee_id, date=day.isoformat(), source=source)
            )
            fact.readings.append(reading(record.key, record.samples))
            self.ledger.hear(record)
        self.month_passes(month_of(max(record.key[1] for record in records)))
        found, started = list(facts.values()), perf_counter()

        def batches() -> Iterator[StreamFactsRequest]:
            for start in range(0, len(found), 1000):
                yield StreamFactsRequest(batch=RecordFactsRequest(facts=found[start : start + 1000]))

        answer = await self.world.facts.StreamFacts(batches())
        assert not answer.rejected, answer.rejections[:5]
        self.figures.loading += perf_counter() - started
        self.figures.facts += len(found)
        self.figures.readings += len(records)

    async def write(self, records: Sequence[Written]) -> None:
        """Records in bulk, once what they are about is over."""
        shifts = [month_of(date.fromisoformat(record.date)) for record in records]
        self.month_passes(max(shifts))
        started = perf_counter()
        for start in range(0, len(records), 1000):
            some = records[start : start + 1000]
            answer = await self.world.records.CreateRecords(CreateRecordsRequest(records=some))
            assert not answer.rejections, answer.rejections[:5]
        for record in records:
            self.ledger.hear(Write(record))
        self.figures.writing += perf_counter() - started
        self.figures.records += len(records)

    async def say(self, step: Step) -> None:
        """One step by the command that it is."""
        if not isinstance(step, Close):
            self.ledger.hear(step)
        directory, facts, kpis = self.world.directory, self.world.facts, self.world.kpis
        match step:
            case Kpi():
                await kpis.CreateKpi(CreateKpiRequest(kpi=step))
            case Found():
                await directory.CreateTeam(CreateTeamRequest(team=Team(team_id=step.team_id, display_name="A team")))
            case Employee():
                await directory.HireEmployee(HireEmployeeRequest(employee=step))
            case Target():
                target = await kpis.SetTarget(SetTargetRequest(target=step))
                self.rules[len(self.ledger.rules) - 1] = target.log_position
            case Policy():
                policy = await self.world.policies.SetPolicy(SetPolicyRequest(policy=step))
                self.rules[len(self.ledger.rules) - 1] = policy.log_position
            case Transfer() | Promotion() | Status() | Lead():
                await self.change(step)
            case Retire():
                kpi = Kpi(kpi_id=step.kpi_id, retired_date=step.day.isoformat())
                await kpis.UpdateKpi(UpdateKpiRequest(kpi=kpi, update_mask=FieldMask(paths=["retired_date"])))
            case Record():
                await facts.RecordFacts(RecordFactsRequest(facts=[fact_of(step.key, step.samples)]))
            case Correct():
                await facts.CorrectFact(CorrectFactRequest(fact=fact_of(step.key, step.samples), reason=REASON))
            case Retract():
                await facts.RetractFact(RetractFactRequest(readings=named(step.key), reason=REASON))
            case Dispute():
                request = DisputeFactRequest(readings=named(step.key), reason=REASON, reviewer_id=step.reviewer_id)
                await facts.DisputeFact(request, metadata=acting(request.readings.employee_id))
            case Settle():
                await self.settle(step)
            case Write():
                await self.write([step.record])
            case Rewrite() | Revoke() | Acknowledge() | Appeal() | Decide():
                await self.write_on(step)
            case RateElsewhere():
                await facts.RateMonth(
                    RateMonthRequest(employee_id=step.employee_id, month=step.month, rating=RATING_GOOD)
                )
            case Close():
                await self.close(step)

    async def change(self, change: Transfer | Promotion | Status | Lead) -> None:
        directory, day = self.world.directory, change.day.isoformat()
        match change:
            case Transfer(employee_id=employee_id, team_id=team_id):
                await directory.TransferEmployee(
                    TransferEmployeeRequest(employee_id=employee_id, team_id=team_id, effective_date=day)
                )
            case Promotion(employee_id=employee_id, position=position, stars=stars):
                await directory.ChangePosition(
                    ChangePositionRequest(employee_id=employee_id, position=position, stars=stars, effective_date=day)
                )
            case Status(employee_id=employee_id, status=status):
                await directory.ChangeEmploymentStatus(
                    ChangeEmploymentStatusRequest(employee_id=employee_id, status=status, effective_date=day)  # type: ignore[arg-type]
                )
            case Lead(team_id=team_id, employee_id=employee_id):
                await directory.AppointTeamLead(
                    AppointTeamLeadRequest(team_id=team_id, lead_id=employee_id, effective_date=day)
                )

    async def write_on(self, step: Rewrite | Revoke | Acknowledge | Appeal | Decide) -> None:
        """What becomes of a record."""
        records = self.world.records
        match step:
            case Rewrite(record=record):
                await records.CorrectRecord(CorrectRecordRequest(record=record, reason=REASON))
            case Revoke(record_id=record_id):
                await records.RetractRecord(RetractRecordRequest(record_id=record_id, reason=REASON))
            case Acknowledge(record_id=record_id, employee_id=employee_id):
                await records.AcknowledgeRecord(
                    AcknowledgeRecordRequest(record_id=record_id), metadata=acting(employee_id)
                )
            case Appeal(record_id=record_id, reviewer_id=reviewer_id, item_ids=item_ids):
                request = DisputeRecordRequest(
                    record_id=record_id, item_ids=item_ids, reason=REASON, reviewer_id=reviewer_id
                )
                await records.DisputeRecord(request, metadata=acting(self.ledger.subjects[record_id]))
            case Decide(record_id=record_id, reviewer_id=reviewer_id, item_ids=item_ids):
                await records.SettleRecordDispute(
                    SettleRecordDisputeRequest(
                        record_id=record_id,
                        outcome=outcome_of(step),
                        overturned_item_ids=item_ids,
                        reason=REASON,
                    ),
                    metadata=acting(reviewer_id),
                )

    async def settle(self, step: Settle) -> None:
        corrected = [] if step.corrected is None else [reading(step.key, step.corrected)]
        await self.world.facts.SettleFactDispute(
            SettleFactDisputeRequest(
                readings=named(step.key), outcome=outcome_of(step), corrected=corrected, reason=REASON
            ),
            metadata=acting(step.reviewer_id),
        )

    async def close(self, step: Close) -> None:
        """Closes a month."""
        self.month_passes(step.month)
        self.ledger.hear(step)
        started = perf_counter()
        request = CloseMonthRequest(month=step.month, team_id=step.team_id)
        # Of a month told all at once, the readings may not be in yet.
        answer = await send_patiently(self.world.scorecards.CloseMonth, request, f"closing {step.month}", 300)
        self.figures.closing += perf_counter() - started
        self.figures.closed += answer.closed
        self.closings[step.month] = answer

    def time_passes(self) -> None:
        """No two commands are given at the same moment: a clock tells a deadline that was moved by its time."""
        self.world.clock[0] += timedelta(milliseconds=1)

    def month_passes(self, month: str) -> None:
        """It is the third day after a month, or later."""
        year, number = map(int, month.split("-"))
        after = datetime(year + number // 12, number % 12 + 1, 3, tzinfo=UTC)
        self.world.clock[0] = max(self.world.clock[0], after)

    async def caught_up(self, seconds: float = 60) -> None:
        """Waits until every follower is at the end and no month is left to be looked at again."""
        self.world.clock[0] += timedelta(weeks=1)  # the week in which the last month ended is over too
        followers = self.world.services["performance"].followers
        before: list[Standing] = []
        async with asyncio.timeout(seconds):
            while True:
                now = [await follower.standing() for follower in followers]
                assert not any(standing.parked for standing in now)
                at_rest = not any(standing.lag or standing.deadlines for standing in now)
                if at_rest and [s.position for s in before] == [s.position for s in now]:
                    return
                before = now if at_rest else []
                self.world.clock[0] += timedelta(minutes=1)
                await asyncio.sleep(0.05)


def acting(employee_id: str) -> tuple[tuple[str, str]]:
    """Metadata of a call that somebody gives themselves."""
    return as_person(employee_id)


def outcome_of(step: Settle | Decide) -> "DisputeOutcome.ValueType":
    return DISPUTE_OUTCOME_OVERTURNED if step.overturned else DISPUTE_OUTCOME_UPHELD


def reading(key: Key, samples: Samples) -> Reading:
    return Reading(kpi_id=key[3], numerators=samples[0], denominators=samples[1])


def fact_of(key: Key, samples: Samples) -> Fact:
    return Fact(employee_id=key[0], date=key[1].isoformat(), source=key[2], readings=[reading(key, samples)])


def named(key: Key) -> ReadingsOfDay:
    return ReadingsOfDay(employee_id=key[0], date=key[1].isoformat(), source=key[2], kpi_ids=[key[3]])
