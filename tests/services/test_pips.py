"""PIPs as callers see them: every end, who may see and say what, leave, drift, and two people at once."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from grpc import StatusCode, aio

from libs.cli.nats_server import NatsServer
from libs.common.eventsourcing import Context
from libs.common.rebuilding import rebuild
from libs.common.streams import LOG, PREFIXES
from services.coaching.pip import PIP, pip_key
from services.coaching.pip_rights import Request, may
from services.coaching.pip_state import pins_of
from services.coaching.standing import STANDING
from stepladder.coaching.v1.case_file_pb2 import GetCaseFileRequest
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    ActOnPip,
    AppealPipRequest,
    ApprovePipRequest,
    DecidePipRequest,
    DeliverPipRequest,
    DraftPipRequest,
    EditPipRequest,
    ElementResult,
    GetPipRequest,
    HearPipAppealRequest,
    HoldPipCheckpointRequest,
    ListPipsRequest,
    NamePipHearerRequest,
    NamePipWitnessRequest,
    OverridePipPreconditionRequest,
    PausePipRequest,
    Pip,
    PipCheckpoint,
    PipContent,
    PipDays,
    PipElement,
    PipEvidence,
    PipFailedConduct,
    PipRecordChange,
    ProposePipResultRequest,
    ReschedulePipCheckpointRequest,
    RespondToPipRequest,
    ResumePipRequest,
    ReviewPipDriftRequest,
    SendBackPipRequest,
    SubmitPipRequest,
    WithdrawPipRequest,
    WitnessPipRefusalRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    ChangeEmploymentStatusRequest,
    EmploymentStatus,
    ImportRosterRequest,
    RosterEmployee,
    StaffRoster,
)
from stepladder.performance.v1.facts_pb2 import (
    CorrectFactRequest,
    Fact,
    Reading,
    ReadingsOfDay,
    RetractFactRequest,
)
from stepladder.performance.v1.kpi_pb2 import Kpi, UpdateKpiRequest
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, PipRules, Policy, SetPolicyRequest
from stepladder.performance.v1.record_pb2 import Complaint, CreateRecordsRequest, Record, RetractRecordRequest
from tests.coaching.pips import weekdays
from tests.refusals import refused
from tests.services.test_check_ins import appoint, by, founded
from tests.services.test_records import evaluation, form
from tests.services.world import World, caught_up, fact, new_id, open_world, until

MONDAY = datetime(2027, 3, 15, 9, tzinfo=UTC)
"""Before Easter: Friday 26 and Monday 29 March are holidays in Latvia."""
RULES = PipRules(
    coaching_within_days=30,
    evidence_days=365,
    minimum_business_days=5,
    maximum_business_days=60,
    review_business_days=10,
    extension_business_days=10,
    acknowledgement_business_days=2,
    appeal_business_days=5,
    decision_business_days=3,
)
WORDS = "hung up on a customer in tears"
FAIL: dict[str, Any] = {"result": Pip.RESULT_NOT_PASSED, "action": Pip.ACTION_DEMOTION, "reason": "too far off"}


@dataclass
class Desk:
    """A team that has PIPs: who is who, and a KPI of the agent's that is above its standard."""

    world: World
    agent: str
    lead: str
    manager: str
    hr: str
    hr2: str
    hearer: str
    witness: str
    colleague: str
    other_lead: str
    team: str
    elsewhere: str
    led_by_hearer: str
    kpi: str
    record: int

    async def say(self, caller: str, kind: type[Message], pip_id: str = "pip-1", **fields: Any) -> Pip:
        """A command about the agent's PIP; what is done by facts names the etag that HR sees."""
        if kind in {ApprovePipRequest, DecidePipRequest, ReviewPipDriftRequest}:
            fields.setdefault("etag", (await self.get(self.hr, pip_id)).etag)
        request = kind(employee_id=self.agent, pip_id=pip_id, **fields)
        answer: Pip = await self.call(caller, request)
        return answer

    def call(self, caller: str, request: Message) -> Awaitable[Any]:
        method = getattr(self.world.pips, request.DESCRIPTOR.name.removesuffix("Request"))
        answer: Awaitable[Any] = method(request, metadata=by(caller))
        return answer

    async def get(self, caller: str, pip_id: str = "pip-1") -> Pip:
        request = GetPipRequest(employee_id=self.agent, pip_id=pip_id)
        answer: Pip = await self.world.pips.GetPip(request, metadata=by(caller))
        return answer

    async def reached(self, state: "Pip.State.ValueType", pip_id: str = "pip-1") -> Pip:
        return await until(lambda: self.get(self.hr, pip_id), lambda pip: pip.state == state)

    def content(self, *, maximum: str = "5", support: str = "a mentor") -> PipContent:
        days = PipDays(start_date="2027-02-01", end_date="2027-02-28")
        return PipContent(
            elements=[
                PipElement(
                    element_id="errors",
                    measure=Measure(kpi_id=self.kpi),
                    standard="5 % at most",
                    maximum=maximum,
                    evidence=[PipEvidence(days=days)],
                ),
                PipElement(
                    element_id="calls",
                    conduct=WORDS,
                    standard="stays on the line",
                    evidence=[PipEvidence(log_position=self.record)],
                ),
            ],
            period_business_days=20,
            review_business_days=[10],
            support=support,
            consequence="another post",
        )

    async def issue(self, pip_id: str = "pip-1") -> Pip:
        """Drafted, overridden since no coaching went before, approved, delivered."""
        await self.say(self.lead, DraftPipRequest, pip_id, content=self.content())
        await self.say(self.lead, SubmitPipRequest, pip_id)
        await self.say(self.hr, OverridePipPreconditionRequest, pip_id, reason="it cannot wait")
        await self.say(self.hr, ApprovePipRequest, pip_id)
        return await self.say(self.lead, DeliverPipRequest, pip_id, note="in room 3")

    async def activate(self, pip_id: str = "pip-1") -> Pip:
        await self.issue(pip_id)
        return await self.say(self.agent, AcknowledgePipRequest, pip_id)

    async def propose(self, result: "Pip.Result.ValueType" = Pip.RESULT_NOT_PASSED, pip_id: str = "pip-1") -> Pip:
        """Lets the period end, and proposes a result."""
        self.pass_day((await self.get(self.hr, pip_id)).schedule.due_date)
        await self.reached(Pip.STATE_DECISION_DUE, pip_id)
        return await self.say(self.lead, ProposePipResultRequest, pip_id, result=result, reason="as measured")

    async def fall_short(self) -> None:
        """What is recorded of the first day of the period does not meet the standard."""
        first = (await self.get(self.hr)).start_date
        self.pass_day(first)
        await self.world.record(fact(self.agent, first, self.kpi, 10))

    async def complain(self, day: str) -> int:
        """The position of a complaint about the agent's conduct."""
        complaint = Record(
            record_id=new_id("r"),
            employee_id=self.agent,
            date=day,
            complaint=Complaint(finding=Complaint.FINDING_JUSTIFIED),
        )
        answer = await self.world.records.CreateRecords(CreateRecordsRequest(records=[complaint]))
        assert not answer.rejections
        return answer.log_position

    async def decide(self, **fields: Any) -> Pip:
        await self.activate()
        await self.fall_short()
        await self.propose()
        return await self.say(self.hr2, DecidePipRequest, **(fields or FAIL))

    def pass_day(self, day: str) -> None:
        """Sets the clock to when a day has ended everywhere."""
        self.world.clock[0] = datetime.combine(date.fromisoformat(day), MONDAY.time(), UTC) + timedelta(hours=28)

    async def standing(self, wanted: EmployeeStandingChanged) -> None:
        """Waits until everybody may know this."""
        commands = self.world.services["coaching"].commands

        async def now() -> EmployeeStandingChanged:
            return (await commands.load(STANDING, self.agent)).state.now

        await until(now, lambda found: found == wanted)

    async def change_status(self, status: "EmploymentStatus.ValueType", day: str) -> None:
        change = ChangeEmploymentStatusRequest(employee_id=self.agent, status=status, effective_date=day)
        await self.world.directory.ChangeEmploymentStatus(change)


async def set_rules(world: World, rules: PipRules | None = RULES) -> None:
    riga = Policy(policy_id="riga", effective_date="2019-01-01", calendar=Calendar(country="LV"))
    coaching = CoachingRules(calendar_id="riga", pip=rules)
    await world.policies.SetPolicy(SetPolicyRequest(policy=riga))
    await world.policies.SetPolicy(
        SetPolicyRequest(policy=Policy(policy_id="coaching", effective_date="2019-01-01", coaching=coaching))
    )


async def opened(world: World) -> Desk:
    world.clock[0] = MONDAY
    centre, kpi = await founded(world), await world.kpi()
    elsewhere = await world.team()
    hr2 = await world.employee(elsewhere, job_family="hr")
    hearer, witness = await world.employee(elsewhere), await world.employee(elsewhere)
    led_by_hearer = await world.team()
    await appoint(world, led_by_hearer, hearer)
    await set_rules(world)
    await world.record(*(fact(centre.agent, f"2027-02-{day:02}", kpi, 10) for day in (1, 10, 20)))
    desk = Desk(
        world,
        agent=centre.agent,
        lead=centre.lead,
        manager=centre.manager,
        hr=centre.hr,
        hr2=hr2,
        hearer=hearer,
        witness=witness,
        colleague=centre.colleague,
        other_lead=centre.other_lead,
        team=centre.team,
        elsewhere=elsewhere,
        led_by_hearer=led_by_hearer,
        kpi=kpi,
        record=0,
    )
    desk.record = await desk.complain("2027-02-10")
    return desk


@pytest.fixture
async def desk(world: World) -> Desk:
    return await opened(world)


async def test_a_pip_that_is_passed(both: World) -> None:
    """From draft to end, with what is measured at each point; then everybody may know that it is over."""
    desk = await opened(both)
    draft = await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    (days,), (record,) = (element.evidence for element in draft.content.elements)
    assert (days.measured.value, len(days.measured.fact_positions), record.date) == ("10.0", 3, "2027-02-10")
    assert (draft.drafted_by, draft.coaching_done) == (f"user:{desk.lead}", False)
    await desk.say(desk.lead, SubmitPipRequest)
    sent_back = await desk.say(desk.hr, SendBackPipRequest, reason="which calls?")
    assert (sent_back.state, sent_back.sent_back_reason) == (Pip.STATE_DRAFT, "which calls?")
    await desk.say(desk.lead, EditPipRequest, content=desk.content(support="a mentor and a course"))
    await desk.say(desk.lead, SubmitPipRequest)
    early = desk.say(desk.hr, ApprovePipRequest)
    await refused(early, StatusCode.FAILED_PRECONDITION, "COACHING_NEEDED")
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    await desk.say(desk.hr, ApprovePipRequest)
    delivered = await desk.say(desk.lead, DeliverPipRequest)
    assert delivered.schedule.due_date == "2027-03-17"
    under = EmployeeStandingChanged(employee_id=desk.agent, under_pip=True, since_date="2027-03-15")
    await desk.standing(under)
    active = await desk.say(desk.agent, AcknowledgePipRequest)
    assert (active.start_date, active.schedule.due_date) == ("2027-03-16", "2027-04-14")
    assert active.schedule.calendar_version.startswith("holidays ")
    assert active.schedule.calendar_position
    assert [one.due_date for one in active.checkpoints] == ["2027-03-31"]
    both.clock[0] += timedelta(days=3)
    await both.record(fact(desk.agent, "2027-03-17", desk.kpi, 4))
    held = await desk.say(desk.lead, HoldPipCheckpointRequest, number=1, notes="much better")
    assert held.checkpoints[0].results[0].measured.value == "4.0"
    assert [one.standard for one in held.checkpoints[0].results] == [
        ElementResult.STANDARD_MET,
        ElementResult.STANDARD_NOT_MEASURED,
    ]
    proposed = await desk.propose(Pip.RESULT_PASSED)
    own = desk.say(desk.hr, DecidePipRequest, result=Pip.RESULT_PASSED, reason="good work")
    await refused(own, StatusCode.FAILED_PRECONDITION, "SEPARATION_OF_DUTIES")  # they approved it
    assert [(one.measured.start_date, one.measured.end_date) for one in proposed.results][:1] == [
        ("2027-03-16", "2027-04-14")
    ]
    passed = await desk.say(desk.hr2, DecidePipRequest, result=Pip.RESULT_PASSED, reason="good work")
    assert (passed.state, passed.outcome, passed.decided_by) == (
        Pip.STATE_CLOSED,
        Pip.OUTCOME_PASSED,
        f"user:{desk.hr2}",
    )
    under.under_pip, under.ended_date = False, "2027-04-15"
    await desk.standing(under)
    assert await desk.get(desk.hr) == passed
    for model in (one for one in both.services["coaching"].followers if one.handler.name in {"pips", "leaves"}):
        assert [step async for step in rebuild(model)][-1].changed_rows == 0


async def test_a_pip_that_is_extended_and_not_passed(desk: Desk) -> None:
    """Once; what is decided becomes final when nobody has appealed in time."""
    extended = await desk.decide(
        result=Pip.RESULT_EXTENDED, reason="close", extension_business_days=10, review_business_days=[5]
    )
    assert (extended.state, extended.extended, extended.schedule.due_date) == (Pip.STATE_ACTIVE, True, "2027-04-29")
    assert [one.state for one in extended.checkpoints] == [PipCheckpoint.STATE_MISSED, PipCheckpoint.STATE_PLANNED]
    await desk.propose()
    again = desk.say(desk.hr2, DecidePipRequest, result=Pip.RESULT_EXTENDED, reason="x", extension_business_days=1)
    await refused(again, StatusCode.FAILED_PRECONDITION, "EXTENDED_ALREADY")
    decided = await desk.say(desk.hr2, DecidePipRequest, **FAIL)
    assert (decided.state, decided.outcome) == (Pip.STATE_DECIDED, Pip.OUTCOME_UNSPECIFIED)
    desk.pass_day(decided.schedule.due_date)
    final = await desk.reached(Pip.STATE_CLOSED)
    assert (final.outcome, final.action) == (Pip.OUTCOME_NOT_PASSED, Pip.ACTION_DEMOTION)
    late = desk.say(desk.agent, AppealPipRequest, text="no")
    await refused(late, StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    await desk.standing(
        EmployeeStandingChanged(
            employee_id=desk.agent, since_date="2027-03-15", ended_date=final.closed_date, action=Pip.ACTION_DEMOTION
        )
    )


@pytest.mark.parametrize("overturned", [False, True])
async def test_an_appeal(desk: Desk, overturned: bool) -> None:
    """Heard by somebody who was not involved; overturned, the PIP counts as not having been."""
    await desk.decide()
    await desk.say(desk.agent, AppealPipRequest, text="nobody helped")
    for involved in (desk.agent, desk.lead, desk.hr, desk.hr2):
        name = desk.say(desk.hr2, NamePipHearerRequest, hearer_id=involved)
        await refused(name, StatusCode.FAILED_PRECONDITION, "SEPARATION_OF_DUTIES")
    ghost = desk.say(desk.hr2, NamePipHearerRequest, hearer_id="ghost")
    await refused(ghost, StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")
    for peer in (desk.colleague, desk.witness):
        name = desk.say(desk.hr2, NamePipHearerRequest, hearer_id=peer)
        await refused(name, StatusCode.FAILED_PRECONDITION, "HEARER_UNFIT")
    await desk.say(desk.hr2, NamePipHearerRequest, hearer_id=desk.hearer)
    assert (await desk.get(desk.hearer)).appeal_text == "nobody helped"
    heard = await desk.say(desk.hearer, HearPipAppealRequest, overturned=overturned, reason="looked into it")
    outcome = Pip.OUTCOME_OVERTURNED if overturned else Pip.OUTCOME_NOT_PASSED
    assert (heard.state, heard.outcome, heard.appeal_reason) == (Pip.STATE_CLOSED, outcome, "looked into it")
    ended = EmployeeStandingChanged(
        employee_id=desk.agent, since_date="2027-03-15", ended_date=heard.closed_date, action=Pip.ACTION_DEMOTION
    )
    await desk.standing(EmployeeStandingChanged(employee_id=desk.agent) if overturned else ended)


async def test_who_is_no_lead_any_more_hears_no_appeal(desk: Desk) -> None:
    """Another has to be named: who is in HR will do."""
    world = desk.world
    await desk.decide()
    await desk.say(desk.agent, AppealPipRequest, text="nobody helped")
    await desk.say(desk.hr2, NamePipHearerRequest, hearer_id=desk.hearer)
    await appoint(world, desk.led_by_hearer, desk.other_lead, str(world.services["coaching"].today()))
    hear = desk.say(desk.hearer, HearPipAppealRequest, overturned=False, reason="looked into it")
    await refused(hear, StatusCode.FAILED_PRECONDITION, "HEARER_UNFIT")
    hr3 = await world.employee(desk.elsewhere, job_family="hr")
    await desk.say(desk.hr2, NamePipHearerRequest, hearer_id=hr3)
    heard = await desk.say(hr3, HearPipAppealRequest, overturned=False, reason="looked into it")
    assert heard.outcome == Pip.OUTCOME_NOT_PASSED


async def test_nothing_is_not_passed_where_nothing_shows_it(desk: Desk) -> None:
    """Of nothing measured and a review that was missed; conduct that failed is named with a record of the period."""
    await desk.activate()
    refusal = await refused(desk.propose(), StatusCode.FAILED_PRECONDITION, "NOTHING_NOT_MET")
    assert "pass it, extend it, or withdraw it" in refusal.message
    fail: dict[str, Any] = {"result": Pip.RESULT_NOT_PASSED, "reason": "again"}
    before = [PipFailedConduct(element_id="calls", log_position=desk.record)]
    wrong = desk.say(desk.lead, ProposePipResultRequest, failed_conduct=before, **fail)
    _, fields = await refused(wrong, StatusCode.INVALID_ARGUMENT, "PIP_INVALID")
    assert fields == ["failed_conduct[0].log_position"]
    position = await desk.complain("2027-04-14")
    failed = [PipFailedConduct(element_id="calls", log_position=position)]
    proposed = await desk.say(desk.lead, ProposePipResultRequest, failed_conduct=failed, **fail)
    assert list(proposed.proposed_failed_conduct) == failed
    alone = desk.say(desk.hr2, DecidePipRequest, **FAIL)
    await refused(alone, StatusCode.FAILED_PRECONDITION, "NOTHING_NOT_MET")
    decided = await desk.say(desk.hr2, DecidePipRequest, failed_conduct=failed, **FAIL)
    assert (decided.state, list(decided.failed_conduct)) == (Pip.STATE_DECIDED, failed)


async def test_a_refusal_is_witnessed(desk: Desk) -> None:
    """By somebody else, once the time has passed; of the PIP they see that it was delivered, also when refused."""
    await desk.issue()
    early = desk.say(desk.hr, NamePipWitnessRequest, witness_id=desk.witness)
    await refused(early, StatusCode.FAILED_PRECONDITION, "ACKNOWLEDGEMENT_RUNNING")
    desk.pass_day("2027-03-17")
    await until(lambda: desk.get(desk.hr), lambda pip: pip.overdue)
    await desk.say(desk.hr, NamePipWitnessRequest, witness_id=desk.witness)
    seen = await desk.get(desk.witness)
    assert (seen.state, seen.delivered_by, seen.HasField("content")) == (
        Pip.STATE_DELIVERED,
        f"user:{desk.lead}",
        False,
    )
    witnessed = await desk.say(desk.witness, WitnessPipRefusalRequest, note="would not sign")
    assert (witnessed.state, witnessed.HasField("content")) == (Pip.STATE_ACTIVE, False)
    assert (await desk.get(desk.agent)).acknowledged_by == f"user:{desk.witness}"
    await desk.say(desk.hr, PausePipRequest, reason="an outage")
    again = desk.say(desk.witness, WitnessPipRefusalRequest, note="would not sign at all")
    refusal = await refused(again, StatusCode.FAILED_PRECONDITION, "PAUSED")
    assert "HR" not in refusal.message
    await desk.say(desk.hr, WithdrawPipRequest, reason="drawn up in haste")
    again = desk.say(desk.witness, WitnessPipRefusalRequest, note="would not sign at all")
    refusal = await refused(again, StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert "WITHDRAWN" not in refusal.message


async def test_a_pip_that_is_withdrawn_or_superseded(desk: Desk) -> None:
    """Of a draft nobody hears; after another standard a new PIP is drafted; an easier one is acknowledged anew."""
    await desk.say(desk.lead, DraftPipRequest, "draft", content=desk.content())
    other = desk.say(desk.lead, DraftPipRequest, content=desk.content())
    await refused(other, StatusCode.FAILED_PRECONDITION, "PIP_OPEN")
    gone = await desk.say(desk.lead, WithdrawPipRequest, "draft", reason="in haste")
    assert (gone.outcome, gone.outcome_reason) == (Pip.OUTCOME_WITHDRAWN, "in haste")
    await desk.activate()
    await desk.standing(EmployeeStandingChanged(employee_id=desk.agent, under_pip=True, since_date="2027-03-15"))
    desk.world.clock[0] += timedelta(days=2)
    easier = await desk.say(desk.lead, EditPipRequest, content=desk.content(maximum="6"))
    assert easier.state == Pip.STATE_DELIVERED
    desk.world.clock[0] += timedelta(days=1)
    unread = desk.say(desk.agent, AcknowledgePipRequest, edition=1)
    await refused(unread, StatusCode.FAILED_PRECONDITION, "PIP_EDITED")
    again = await desk.say(desk.agent, AcknowledgePipRequest, edition=(await desk.get(desk.agent)).edition)
    assert (again.state, again.schedule.used_business_days, again.schedule.due_date) == (
        Pip.STATE_ACTIVE,
        1,
        "2027-04-16",
    )
    superseded = await desk.say(desk.lead, EditPipRequest, content=desk.content(maximum="4"))
    assert superseded.outcome == Pip.OUTCOME_SUPERSEDED
    assert (
        await desk.say(desk.lead, DraftPipRequest, "pip-2", content=desk.content(maximum="4"))
    ).state == Pip.STATE_DRAFT


async def test_leave_stops_the_clock(both: World) -> None:
    """By the directory, on its day, over the holidays; what was left is counted from the day of the return."""
    desk = await opened(both)
    await desk.activate()
    await desk.change_status(EMPLOYMENT_STATUS_ON_LEAVE, "2027-03-18")
    await desk.change_status(EMPLOYMENT_STATUS_CONFIRMED, "2027-04-01")
    both.clock[0] += timedelta(days=2)
    assert not (await desk.get(desk.agent)).pauses
    both.clock[0] += timedelta(days=1, hours=4)
    paused = await until(lambda: desk.get(desk.agent), lambda pip: bool(pip.pauses))
    assert (list(paused.pauses), paused.schedule.used_business_days, paused.schedule.due_date) == (
        [Pip.PAUSE_LEAVE],
        2,
        "",
    )
    hold = desk.say(desk.lead, HoldPipCheckpointRequest, number=1, notes="away")
    await refused(hold, StatusCode.FAILED_PRECONDITION, "PAUSED")
    answered = await desk.say(desk.agent, RespondToPipRequest, text="from home")
    assert [one.text for one in answered.responses] == ["from home"]
    desk.pass_day("2027-04-01")
    back = await until(lambda: desk.get(desk.agent), lambda pip: not pip.pauses)
    assert (back.schedule.from_date, back.schedule.due_date) == ("2027-04-01", "2027-04-26")
    assert [one.due_date for one in back.checkpoints] == ["2027-04-12"]


async def test_leave_that_is_recorded_late(desk: Desk) -> None:
    """Both of its days lie behind: they are given back all the same; nothing is delivered to whom is on leave."""
    await desk.activate()
    desk.pass_day("2027-03-24")
    await desk.change_status(EMPLOYMENT_STATUS_ON_LEAVE, "2027-03-18")
    await desk.change_status(EMPLOYMENT_STATUS_CONFIRMED, "2027-03-22")
    found = await until(lambda: desk.get(desk.agent), lambda pip: pip.schedule.from_date == "2027-03-22")
    assert (found.schedule.used_business_days, found.schedule.due_date) == (2, "2027-04-16")


async def test_nothing_is_delivered_to_whom_is_on_leave(desk: Desk) -> None:
    """It waits until they are back."""
    await desk.change_status(EMPLOYMENT_STATUS_ON_LEAVE, "2027-03-15")
    await refused(desk.issue(), StatusCode.FAILED_PRECONDITION, "ON_LEAVE")


async def test_nobody_is_kept_silent_by_a_calendar(desk: Desk) -> None:
    """Where no calendar reaches, days cannot be counted; what counts none can be said."""
    await desk.activate()
    desk.world.clock[0] = datetime(2101, 1, 5, 9, tzinfo=UTC)
    await refused(desk.say(desk.hr, PausePipRequest, reason="x"), StatusCode.FAILED_PRECONDITION, "CALENDAR_ENDS")
    answered = await desk.say(desk.agent, RespondToPipRequest, text="nobody helped")
    assert [one.text for one in answered.responses] == ["nobody helped"]
    withdrawn = await desk.say(desk.hr, WithdrawPipRequest, reason="nobody helped")
    assert withdrawn.outcome == Pip.OUTCOME_WITHDRAWN


async def test_hr_pauses_and_resumes(desk: Desk) -> None:
    """And another day is found for a review."""
    await desk.activate()
    paused = await desk.say(desk.hr, PausePipRequest, reason="system outage")
    assert list(paused.pauses) == [Pip.PAUSE_HR]
    desk.world.clock[0] += timedelta(days=7)
    resumed = await desk.say(desk.hr, ResumePipRequest)
    assert resumed.schedule.due_date == "2027-04-20"
    move: dict[str, Any] = {"number": 1, "reason": "audit"}
    for wrong in ("2027-03-26", "2027-04-21", "2027-03-22"):
        moved = desk.say(desk.lead, ReschedulePipCheckpointRequest, date=wrong, **move)
        await refused(moved, StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    good = await desk.say(desk.lead, ReschedulePipCheckpointRequest, date="2027-03-30", **move)
    assert (good.checkpoints[0].due_date, good.checkpoints[0].business_day) == ("2027-03-30", 5)


async def test_drift_blocks_the_decision_until_somebody_has_looked(both: World) -> None:
    """A late correction shows what would come out now; it is shown after closing, too."""
    desk = await opened(both)
    await desk.activate()
    both.clock[0] += timedelta(days=2)
    await both.record(fact(desk.agent, "2027-03-17", desk.kpi, 10))
    proposed = await desk.propose()
    assert proposed.results[0].standard == ElementResult.STANDARD_NOT_MET
    fixed = fact(desk.agent, "2027-03-17", desk.kpi, 3)
    await both.facts.CorrectFact(CorrectFactRequest(fact=fixed, reason="counted twice"))
    fast = desk.say(desk.hr2, DecidePipRequest, etag=proposed.etag, **FAIL)
    await refused(fast, StatusCode.ABORTED, "ETAG_MISMATCH")
    drifted = await desk.get(desk.hr)
    (drift,) = drifted.drift.drifts
    assert (drift.pin, drift.before.value, drift.now.value) == ("errors/result", "10.0", "3.0")
    assert (drifted.results, drifted.drift.results[0].standard, drifted.drift.reviewed) == (
        proposed.results,
        ElementResult.STANDARD_MET,
        False,
    )
    blocked = desk.say(desk.hr2, DecidePipRequest, **FAIL)
    await refused(blocked, StatusCode.FAILED_PRECONDITION, "DRIFT_NOT_REVIEWED")
    unseen = desk.say(desk.lead, ReviewPipDriftRequest, etag=proposed.etag, note="it was counted twice")
    await refused(unseen, StatusCode.ABORTED, "ETAG_MISMATCH")
    looked = await desk.say(desk.lead, ReviewPipDriftRequest, note="it was counted twice")
    assert (looked.drift.reviewed, looked.drift.reviewed_by) == (True, f"user:{desk.lead}")
    passed = await desk.say(desk.hr2, DecidePipRequest, result=Pip.RESULT_PASSED, reason="it was counted twice")
    assert passed.outcome == Pip.OUTCOME_PASSED
    fixed.readings[0].numerators[:] = [9]
    await both.facts.CorrectFact(CorrectFactRequest(fact=fixed, reason="counted once more"))
    later = await until(lambda: desk.get(desk.hr), lambda pip: pip.drift.drifts[0].now.value == "9.0")
    assert (later.state, later.drift.reviewed) == (Pip.STATE_CLOSED, False)


async def test_a_number_that_is_shown_otherwise_is_no_drift(desk: Desk) -> None:
    """A KPI is shown with more places; what was counted is what it was."""
    await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    finer = UpdateKpiRequest(kpi=Kpi(kpi_id=desk.kpi, precision=3), update_mask=FieldMask(paths=["precision"]))
    await desk.world.kpis.UpdateKpi(finer)
    approved = await desk.say(desk.hr, ApprovePipRequest)
    assert (approved.state, approved.HasField("drift")) == (Pip.STATE_APPROVED, False)


async def test_drift_keeps_a_decision_from_becoming_final(desk: Desk) -> None:
    """Until somebody has looked; then the clock goes on by itself."""
    decided = await desk.decide()
    corrected = fact(desk.agent, "2027-02-10", desk.kpi, 1)
    await desk.world.facts.CorrectFact(CorrectFactRequest(fact=corrected, reason="counted twice"))
    await until(lambda: desk.get(desk.hr), lambda pip: bool(pip.drift.drifts))
    desk.pass_day(decided.schedule.due_date)
    pips = next(one for one in desk.world.services["coaching"].followers if one.handler.name == "pips")

    async def waiting() -> int:
        return (await pips.standing()).deadlines

    await until(waiting, lambda left: left == 0)
    assert (await desk.get(desk.hr)).state == Pip.STATE_DECIDED
    await desk.say(desk.hr2, ReviewPipDriftRequest, note="it changes nothing")
    assert (await desk.reached(Pip.STATE_CLOSED)).outcome == Pip.OUTCOME_NOT_PASSED


async def test_a_record_that_is_taken_back_is_drift(desk: Desk) -> None:
    """A PIP that rests on it says so, and waits for somebody to look; it is no evidence any more for another."""
    await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    await desk.say(desk.lead, SubmitPipRequest)
    submitted = await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    record_id = (await desk.get(desk.hr)).content.elements[1].evidence[0].record_id
    taken = await desk.world.records.RetractRecord(RetractRecordRequest(record_id=record_id, reason="somebody else"))
    fast = desk.say(desk.hr, ApprovePipRequest, etag=submitted.etag)
    await refused(fast, StatusCode.ABORTED, "ETAG_MISMATCH")
    drifted = await desk.get(desk.hr)
    assert list(drifted.drift.records) == [PipRecordChange(record_id=record_id, log_position=taken.log_position)]
    await refused(desk.say(desk.hr, ApprovePipRequest), StatusCode.FAILED_PRECONDITION, "DRIFT_NOT_REVIEWED")
    await desk.say(desk.hr, SendBackPipRequest, reason="the complaint was about somebody else")
    edit = desk.say(desk.lead, EditPipRequest, content=desk.content(support="none"))
    _, fields = await refused(edit, StatusCode.INVALID_ARGUMENT, "PIP_INVALID")
    assert fields == ["content.elements[1].evidence[0].log_position"]


async def test_two_decide_at_once(desk: Desk) -> None:
    """One wins; the other is told what it is by now, and that nothing came of theirs."""
    await desk.activate()
    await desk.fall_short()
    seen = await desk.propose()
    decisions = [
        DecidePipRequest(employee_id=desk.agent, pip_id="pip-1", etag=seen.etag, **FAIL),
        DecidePipRequest(
            employee_id=desk.agent, pip_id="pip-1", etag=seen.etag, result=Pip.RESULT_PASSED, reason="good enough"
        ),
    ]
    hr3 = await desk.world.employee(await desk.world.team(), job_family="hr")
    calls = [desk.call(who, one) for who, one in zip((desk.hr2, hr3), decisions, strict=True)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    (won,) = [one for one in answers if isinstance(one, Pip)]
    (lost,) = [one for one in answers if isinstance(one, aio.AioRpcError)]
    assert lost.code() is StatusCode.ABORTED
    assert f"it is {Pip.State.Name(won.state)[6:]} now, with the etag {won.etag}" in (lost.details() or "")
    assert await desk.get(desk.hr) == won


async def test_saying_it_again_is_safe(desk: Desk) -> None:
    """With a request id, also after it has moved on, or without; another request with the id is refused."""
    fields: dict[str, Any] = {"content": desk.content(), "request_id": "r-1"}
    draft = await desk.say(desk.lead, DraftPipRequest, **fields)
    submitted = await desk.say(desk.lead, SubmitPipRequest, request_id="r-2")
    commands = desk.world.services["coaching"].commands
    assert await desk.say(desk.lead, DraftPipRequest, **fields) == draft
    assert (await desk.say(desk.lead, DraftPipRequest, content=desk.content())).state == Pip.STATE_IN_REVIEW
    assert await desk.say(desk.lead, SubmitPipRequest) == submitted
    assert await desk.say(desk.lead, SubmitPipRequest, request_id="r-2") == submitted
    reused = desk.say(desk.lead, WithdrawPipRequest, request_id="r-2", reason="x")
    await refused(reused, StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert (await commands.load(PIP, pip_key(desk.agent))).position == submitted.log_position


async def test_what_a_draft_rests_on_is_looked_up(desk: Desk) -> None:
    """Rules, measures, facts, a coaching plan: what is not there is said."""

    async def draft(content: PipContent, reason: str, code: StatusCode = StatusCode.INVALID_ARGUMENT) -> list[str]:
        call = desk.say(desk.lead, DraftPipRequest, content=content)
        return (await refused(call, code, reason))[1]

    content = desk.content()
    content.elements[0].measure.kpi_id = "nothing"
    await draft(content, "KPI_NOT_FOUND", StatusCode.NOT_FOUND)
    content = desk.content()
    content.plan_id = "p-none"
    await draft(content, "PLAN_NOT_FOUND", StatusCode.NOT_FOUND)
    other = await desk.world.record(fact(desk.colleague, "2027-02-10", desk.kpi, 10))
    for position in (1, other.log_position, other.log_position + 1000):
        content = desk.content()
        content.elements[1].evidence[0].log_position = position
        assert await draft(content, "PIP_INVALID") == ["content.elements[1].evidence[0].log_position"]
    content = desk.content()
    content.elements[0].evidence[0].days.CopyFrom(PipDays(start_date="2027-03-01", end_date="2027-03-05"))
    assert await draft(content, "PIP_INVALID") == ["content.elements[0].evidence[0].days"]
    content.elements[0].evidence[0].days.CopyFrom(PipDays(start_date="2027-02-29", end_date="2027-03-05"))
    await draft(content, "DATE_INVALID")
    await set_rules(desk.world, None)
    await draft(desk.content(), "NO_PIP_RULES", StatusCode.FAILED_PRECONDITION)


def requests(desk: Desk, pip_id: str) -> list[Message]:
    """One of every kind."""
    ids = {"employee_id": desk.agent, "pip_id": pip_id}
    fields: dict[str, Any] = {
        "content": desk.content(),
        "etag": "1",
        "reason": "x",
        "note": "x",
        "notes": "x",
        "text": "x",
        "number": 1,
        "date": "2027-03-30",
        "witness_id": desk.witness,
        "hearer_id": desk.hearer,
        "overturned": True,
    }
    made: list[Message] = []
    for kind in get_args(Request):
        names = {one.name for one in kind.DESCRIPTOR.fields}
        request = kind(**ids, **{name: value for name, value in fields.items() if name in names})
        if "result" in names:
            request.result = Pip.RESULT_PASSED
        made.append(request)
    return made


async def heard(call: Awaitable[object]) -> str:
    """The sentence of a refusal of whoever has no need to know; empty for any other answer."""
    try:
        await call
    except aio.AioRpcError as error:
        return (error.details() or "") if error.code() is StatusCode.PERMISSION_DENIED else ""
    return ""


async def test_who_may_say_and_see_what(desk: Desk) -> None:
    """Every relation, read and command, in a draft and once delivered: all who may not hear the same."""
    await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    people = {
        desk.agent: {"self"},
        desk.lead: {"lead", "drafter"},
        desk.hr2: {"hr"},
        desk.manager: set(),
        desk.other_lead: set(),
        desk.colleague: set(),
        desk.hearer: set(),
        "nobody": set(),
    }
    sentences: set[str] = set()

    async def tell(delivered: bool) -> None:
        for caller, held in people.items():
            mine = set() if held == {"self"} and not delivered else held
            for pip_id in ("pip-1", "none"):
                visible = bool(mine) and (pip_id == "pip-1" or held != {"self"})
                sentence = await heard(desk.get(caller, pip_id))
                assert bool(sentence) != visible, (caller, pip_id)
                sentences.add(sentence)
            for request in requests(desk, "none"):
                if may(type(request)).isdisjoint(held):
                    sentence = await heard(desk.call(caller, request))
                    assert sentence, (caller, request.DESCRIPTOR.name)
                    sentences.add(sentence)
            for request in requests(desk, "pip-1"):
                if may(type(request)).isdisjoint(mine):
                    sentence = await heard(desk.call(caller, request))
                    assert sentence, (caller, request.DESCRIPTOR.name)
                    sentences.add(sentence)
            listed = await heard(desk.call(caller, ListPipsRequest(employee_id=desk.agent)))
            assert bool(listed) == (not held)
            everybody = await heard(desk.call(caller, ListPipsRequest()))
            assert bool(everybody) == (held != {"hr"})
            sentences.update({listed, everybody})

    await tell(delivered=False)
    own = await desk.call(desk.agent, ListPipsRequest(employee_id=desk.agent))
    assert not own.pips
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    await desk.say(desk.hr, ApprovePipRequest)
    last = await desk.say(desk.lead, DeliverPipRequest)
    await tell(delivered=True)
    assert len(sentences - {""}) == 1
    for caller in (desk.agent, desk.lead, desk.hr):
        (seen,) = (await desk.call(caller, ListPipsRequest(employee_id=desk.agent, at_least=last.log_position))).pips
        assert seen.content.consequence == "another post"
        assert bool(seen.etag) == (caller != desk.agent)


async def test_a_right_that_is_lost_is_lost_at_once(desk: Desk) -> None:
    """The new lead sees it, and who drafted it still does, as long as they are employed."""
    await desk.activate()
    await appoint(desk.world, desk.team, desk.other_lead, "2027-03-15")
    assert (await desk.get(desk.other_lead)).state == Pip.STATE_ACTIVE
    assert (await desk.get(desk.lead)).drafted_by == f"user:{desk.lead}"
    gone = ChangeEmploymentStatusRequest(
        employee_id=desk.lead, status=EMPLOYMENT_STATUS_LEFT, effective_date="2027-03-15"
    )
    await desk.world.directory.ChangeEmploymentStatus(gone)
    assert await heard(desk.get(desk.lead))


async def test_own_pips_of_hr(desk: Desk) -> None:
    """Whoever is in HR meets their own as an employee: a draft is nothing to them, and no list shows it."""
    team = await desk.world.team()
    await appoint(desk.world, team, desk.other_lead)
    agent = await desk.world.employee(team, job_family="hr")
    await desk.world.record(fact(agent, "2027-02-10", desk.kpi, 10))
    mine = replace(desk, agent=agent, lead=desk.other_lead)
    content = desk.content()
    del content.elements[1]
    draft = await mine.say(mine.lead, DraftPipRequest, content=content)
    assert await heard(mine.get(agent)) == await heard(mine.get(agent, "none")) != ""
    for request in (ListPipsRequest(employee_id=agent), ListPipsRequest(at_least=draft.log_position)):
        assert not (await desk.call(agent, request)).pips
    everybody = await desk.call(desk.hr, ListPipsRequest(at_least=draft.log_position))
    assert list(everybody.pips) == [draft]


async def test_content_lies_in_the_restricted_stream_only(desk: Desk, tmp_path: Path) -> None:
    """Neither in LOG nor in any table; and texts not even there in clear."""
    await desk.decide(**{**FAIL, "reason": WORDS})
    await desk.standing(EmployeeStandingChanged(employee_id=desk.agent, under_pip=True, since_date="2027-03-15"))
    service = desk.world.services["coaching"]
    payloads: dict[str, bytes] = {}
    for name, stream in service.streams.items():
        async with stream.feed([f"{PREFIXES[name]}.coaching.>"], 0) as feed:
            payloads[name] = b"".join([one.payload for one in await feed.next(1000, wait_seconds=2)])
    assert b"PipDecided" not in payloads[LOG]
    assert b"EmployeeStandingChanged" in payloads[LOG]
    for follower in service.followers:
        await follower.wait_for((await follower.stream.state()).last, 20)
    with closing(sqlite3.connect(tmp_path / "coaching.db")) as database:
        rows = "\n".join(database.iterdump())
        columns = [name for _, name, *_ in database.execute("PRAGMA table_info(pips)")]
    parts = ["drafter_id", "witness_id", "hearer_id"]
    assert columns == ["position", "employee_id", "pip_id", "state", "delivered", "due_date", *parts]
    for shown in (rows, *(payload.decode("latin-1") for payload in payloads.values())):
        assert WORDS not in shown
        assert "another post" not in shown


def resting_on(desk: Desk, position: int) -> PipContent:
    """Of the measure, the day of one fact, by where it lies, is all the evidence there is."""
    content = desk.content()
    content.elements[0].evidence[0].log_position = position
    return content


@pytest.mark.parametrize("change", ["corrected", "retracted", "disputed"])
async def test_a_fact_that_is_named_alone_drifts(desk: Desk, change: str) -> None:
    """It is the measure of its day; whatever becomes of it, nobody approves before somebody has looked."""
    world = desk.world
    recorded = await world.record(fact(desk.agent, "2027-02-11", desk.kpi, 20))
    draft = await desk.say(desk.lead, DraftPipRequest, content=resting_on(desk, recorded.log_position))
    evidence = draft.content.elements[0].evidence[0]
    assert (evidence.date, evidence.measured.value) == ("2027-02-11", "20.0")
    assert list(evidence.measured.fact_positions) == [recorded.log_position]
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    readings = ReadingsOfDay(employee_id=desk.agent, date="2027-02-11", source="calls", kpi_ids=[desk.kpi])
    match change:
        case "corrected":
            fixed = fact(desk.agent, "2027-02-11", desk.kpi, 2)
            await world.facts.CorrectFact(CorrectFactRequest(fact=fixed, reason="counted twice"))
        case "retracted":
            await world.facts.RetractFact(RetractFactRequest(readings=readings, reason="somebody else"))
        case _:
            await world.dispute(readings, desk.witness)
    drifted = await until(lambda: desk.get(desk.hr), lambda pip: bool(pip.drift.drifts))
    assert [one.pin for one in drifted.drift.drifts] == ["errors/evidence/1"]
    await refused(desk.say(desk.hr, ApprovePipRequest), StatusCode.FAILED_PRECONDITION, "DRIFT_NOT_REVIEWED")
    again = await desk.say(desk.lead, DraftPipRequest, content=resting_on(desk, recorded.log_position))
    assert again.state == Pip.STATE_IN_REVIEW


async def test_what_does_not_stand_is_no_evidence(desk: Desk) -> None:
    """A fact that was corrected, or of another measure, or of conduct, that records tell of."""
    world, other = desk.world, await desk.world.kpi()
    recorded = await world.record(fact(desk.agent, "2027-02-11", desk.kpi, 20))
    corrected = fact(desk.agent, "2027-02-11", desk.kpi, 22)
    await world.facts.CorrectFact(CorrectFactRequest(fact=corrected, reason="counted again"))
    strange = await world.record(fact(desk.agent, "2027-02-12", other, 20))
    conduct = desk.content()
    conduct.elements[1].evidence[0].log_position = strange.log_position
    for content, element in (
        (resting_on(desk, recorded.log_position), 0),
        (resting_on(desk, strange.log_position), 0),
        (conduct, 1),
    ):
        draft = desk.say(desk.lead, DraftPipRequest, content=content)
        _, fields = await refused(draft, StatusCode.INVALID_ARGUMENT, "PIP_INVALID")
        assert fields == [f"content.elements[{element}].evidence[0].log_position"]


async def test_leave_begins_with_the_day_of_the_site(tmp_path: Path, nats: NatsServer) -> None:
    """By its clock, not at noon somewhere; and ends so."""
    async with open_world(tmp_path, nats, site=ZoneInfo("Asia/Tokyo")) as world:
        desk = await opened(world)
        await desk.activate()
        await desk.change_status(EMPLOYMENT_STATUS_ON_LEAVE, "2027-03-18")
        await desk.change_status(EMPLOYMENT_STATUS_CONFIRMED, "2027-03-22")
        leaves = next(one for one in world.services["coaching"].followers if one.handler.name == "leaves")
        await leaves.wait_for(await world.end(), 20)

        async def ahead() -> int:
            return (await leaves.standing()).deadlines

        await until(ahead, lambda left: left == 2)
        world.clock[0] = datetime(2027, 3, 17, 14, 59, tzinfo=UTC)
        hold = desk.say(desk.lead, HoldPipCheckpointRequest, number=1, notes="early")
        assert not (await hold).pauses
        assert await ahead() == 2
        world.clock[0] = datetime(2027, 3, 17, 15, 1, tzinfo=UTC)
        paused = await until(lambda: desk.get(desk.agent), lambda pip: bool(pip.pauses))
        assert paused.schedule.used_business_days == 2
        world.clock[0] = datetime(2027, 3, 21, 15, 1, tzinfo=UTC)
        back = await until(lambda: desk.get(desk.agent), lambda pip: not pip.pauses)
        assert (back.schedule.from_date, back.schedule.due_date) == ("2027-03-22", "2027-04-16")


async def approved(desk: Desk) -> Pip:
    await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    return await desk.say(desk.hr, ApprovePipRequest)


@pytest.mark.parametrize("later", [0, 1])
async def test_leave_that_begins_while_it_is_being_delivered(desk: Desk, later: int) -> None:
    """Who delivers was told that there is none, and it began before the delivery was written down."""
    await approved(desk)
    service = desk.world.services["coaching"]
    today = service.today()
    await desk.change_status(EMPLOYMENT_STATUS_ON_LEAVE, str(today + timedelta(days=later)))
    desk.world.clock[0] += timedelta(days=later)
    leaves = next(one for one in service.followers if one.handler.name == "leaves")
    await leaves.wait_for(await desk.world.end(), 20)

    async def ahead() -> int:
        return (await leaves.standing()).deadlines

    await until(ahead, lambda left: left == 0)
    act = ActOnPip(by_lead=True, business_days=weekdays(date(2027, 3, 1)))
    act.deliver.CopyFrom(DeliverPipRequest(employee_id=desk.agent, pip_id="pip-1"))
    context = Context(now=service.now(), today=today, actor=f"user:{desk.lead}")
    await service.commands.handle(PIP, pip_key(desk.agent), act, context)
    paused = await until(lambda: desk.get(desk.hr), lambda pip: bool(pip.pauses))
    assert (list(paused.pauses), paused.state) == ([Pip.PAUSE_LEAVE], Pip.STATE_DELIVERED)


@pytest.mark.parametrize("state", [Pip.STATE_DRAFT, Pip.STATE_DELIVERED, Pip.STATE_ACTIVE, Pip.STATE_PROPOSED])
async def test_who_leaves_has_no_pip_any_more(desk: Desk, state: "Pip.State.ValueType") -> None:
    """It ends by itself, on no decision; what was said before may still be answered, and nothing more is due."""
    if state == Pip.STATE_DRAFT:
        await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    elif state == Pip.STATE_DELIVERED:
        await desk.issue()
    else:
        await desk.activate()
    if state == Pip.STATE_PROPOSED:
        await desk.propose(Pip.RESULT_PASSED)
    day = desk.world.services["coaching"].today() + timedelta(days=1)
    await desk.change_status(EMPLOYMENT_STATUS_LEFT, str(day))
    assert (await desk.get(desk.hr)).state == state
    desk.world.clock[0] += timedelta(days=2)
    ended = await desk.reached(Pip.STATE_CLOSED)
    assert (ended.outcome, ended.result, ended.overdue) == (
        Pip.OUTCOME_EMPLOYMENT_ENDED,
        Pip.RESULT_UNSPECIFIED,
        False,
    )
    assert ended.outcome_reason == f"the employment ended: {day} was no day of it any more"
    if state != Pip.STATE_DRAFT:
        answered = await desk.say(desk.agent, RespondToPipRequest, text="it was not fair")
        assert [one.text for one in answered.responses] == ["it was not fair"]
        if state == Pip.STATE_DELIVERED:
            acknowledge = desk.say(desk.agent, AcknowledgePipRequest)
            await refused(acknowledge, StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
        await desk.standing(
            EmployeeStandingChanged(employee_id=desk.agent, since_date="2027-03-15", ended_date=ended.closed_date)
        )
    again = DraftPipRequest(employee_id=desk.agent, pip_id="pip-2", content=desk.content())
    await refused(desk.call(desk.lead, again), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_a_leaving_by_mistake(desk: Desk) -> None:
    """Taken back on the day, it was none: an identity provider that deactivates somebody for minutes ends no PIP."""
    before = await desk.activate()
    await desk.change_status(EMPLOYMENT_STATUS_LEFT, str(desk.world.services["coaching"].today()))
    await _leaves_followed(desk)
    back = StaffRoster(employees=[RosterEmployee(employee_id=desk.agent, employed=True)])
    await desk.world.directory.ImportRoster(ImportRosterRequest(roster=back))
    desk.world.clock[0] += timedelta(days=1)
    await _leaves_followed(desk)
    assert (await desk.get(desk.hr)).state == before.state == Pip.STATE_ACTIVE


async def _leaves_followed(desk: Desk) -> None:
    """What is due by the clock has been done."""
    leaves = next(one for one in desk.world.services["coaching"].followers if one.handler.name == "leaves")
    await leaves.wait_for(await desk.world.end(), 20)
    now = desk.world.services["coaching"].now()

    async def waits() -> bool:
        due = (await leaves.standing()).next_deadline
        return due is not None and due.replace(tzinfo=UTC) <= now

    await until(waits, lambda waiting: not waiting)


async def test_who_leaves_may_still_appeal(desk: Desk) -> None:
    """What was decided stays decided, and is heard by whoever it would have been."""
    await desk.decide()
    await desk.change_status(EMPLOYMENT_STATUS_LEFT, str(desk.world.services["coaching"].today()))
    desk.world.clock[0] += timedelta(days=1)
    leaves = next(one for one in desk.world.services["coaching"].followers if one.handler.name == "leaves")

    async def ahead() -> int:
        await leaves.wait_for(await desk.world.end(), 20)
        return (await leaves.standing()).deadlines

    await until(ahead, lambda left: left == 0)
    assert (await desk.say(desk.agent, AppealPipRequest, text="nobody helped")).state == Pip.STATE_APPEALED
    await desk.say(desk.hr2, NamePipHearerRequest, hearer_id=desk.hearer)
    heard = await desk.say(desk.hearer, HearPipAppealRequest, overturned=False, reason="looked into it")
    assert heard.outcome == Pip.OUTCOME_NOT_PASSED


async def test_everything_that_a_pip_rests_on_drifts(desk: Desk) -> None:
    """Days, single facts, records, checkpoints and results; also when it is closed."""
    world = desk.world
    single = await world.record(fact(desk.agent, "2027-01-11", desk.kpi, 20))
    content = desk.content()
    content.elements[0].evidence.add(log_position=single.log_position)
    await desk.say(desk.lead, DraftPipRequest, content=content)
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    await desk.say(desk.hr, ApprovePipRequest)
    await desk.say(desk.lead, DeliverPipRequest)
    await desk.say(desk.agent, AcknowledgePipRequest)
    world.clock[0] += timedelta(days=3)
    await world.record(fact(desk.agent, "2027-03-17", desk.kpi, 4))
    await desk.say(desk.lead, HoldPipCheckpointRequest, number=1, notes="much better")
    await desk.propose(Pip.RESULT_PASSED)
    closed = await desk.say(desk.hr2, DecidePipRequest, result=Pip.RESULT_PASSED, reason="good work")
    for day in ("2027-02-10", "2027-01-11", "2027-03-17"):
        await world.facts.CorrectFact(CorrectFactRequest(fact=fact(desk.agent, day, desk.kpi, 1), reason="recounted"))
    record_id = closed.content.elements[1].evidence[0].record_id
    await world.records.RetractRecord(RetractRecordRequest(record_id=record_id, reason="somebody else"))
    drifted = await until(
        lambda: desk.get(desk.hr), lambda pip: len(pip.drift.drifts) == 4 and len(pip.drift.records) == 1
    )
    assert [one.pin for one in drifted.drift.drifts] == [
        "errors/evidence/1",
        "errors/evidence/2",
        "errors/checkpoint/1",
        "errors/result",
    ]
    assert drifted.state == Pip.STATE_CLOSED
    state = (await world.services["coaching"].commands.load(PIP, pip_key(desk.agent))).state
    kept = {pin.removeprefix("pip-1/") for pin in pins_of(state)}
    assert kept == {one.pin for one in drifted.drift.drifts}


async def test_days_before_the_period_goes_on_do_not_count(desk: Desk) -> None:
    """Edited the same day and paused before it was ever begun: nothing of that time is measured, nor reviewed."""
    world = desk.world
    await desk.activate()
    edited = await desk.say(desk.lead, EditPipRequest, content=desk.content(support="a mentor and a course"))
    assert (edited.state, edited.start_date) == (Pip.STATE_DELIVERED, "")
    desk.pass_day("2027-03-23")
    again = await desk.say(desk.agent, AcknowledgePipRequest)
    assert (again.start_date, again.schedule.from_date) == ("2027-03-25", "2027-03-25")
    early = desk.say(desk.lead, HoldPipCheckpointRequest, number=1, notes="too early")
    await refused(early, StatusCode.FAILED_PRECONDITION, "CHECKPOINT_TOO_EARLY")
    assert (await desk.say(desk.hr, PausePipRequest, reason="system outage")).start_date == ""
    desk.pass_day("2027-04-11")
    resumed = await desk.say(desk.hr, ResumePipRequest)
    assert (resumed.start_date, resumed.schedule.used_business_days) == ("2027-04-12", 0)
    await world.record(fact(desk.agent, "2027-03-18", desk.kpi, 90), fact(desk.agent, "2027-03-30", desk.kpi, 90))
    desk.pass_day("2027-04-12")
    held = await desk.say(desk.lead, HoldPipCheckpointRequest, number=1, notes="nothing yet")
    await refused(desk.propose(), StatusCode.FAILED_PRECONDITION, "NOTHING_NOT_MET")
    proposed = await desk.propose(Pip.RESULT_PASSED)
    for (result, _), last in ((held.checkpoints[0].results, "2027-04-12"), (proposed.results, "2027-05-10")):
        found = result.measured
        assert (found.start_date, found.end_date, found.value) == ("2027-04-12", last, "")
        assert (result.standard, list(found.without)) == (ElementResult.STANDARD_NOT_MEASURED, [])


COUNTED = [
    ("2027-03-16", "2027-03-17"),  # leave, heard of late
    ("2027-03-22", "2027-03-24"),  # paused by HR
    ("2027-03-30", "2027-03-31"),  # edited
    ("2027-04-07", "2027-04-23"),  # over, and extended later
    ("2027-04-28", "2027-05-05"),
]
"""First and last days of the times at which the clock of `Whole` ran, by hand."""


@dataclass
class Whole:
    """A PIP of every kind of measure that was stopped in every way; work of each day, far off when nothing ran."""

    desk: Desk
    kpis: list[str]
    form_id: str

    def numerator(self, day: date) -> int:
        if not is_counted(day):
            return 10_000 if day.toordinal() % 2 else 0
        return day.toordinal() * 37 % 101 + 1

    def work_of(self, day: date, numerator: int | None = None) -> Fact:
        number = self.numerator(day) if numerator is None else numerator
        ratio, *others = self.kpis
        readings = [Reading(kpi_id=ratio, numerators=[number], denominators=[20_000])]
        readings += [Reading(kpi_id=one, numerators=[number]) for one in others]
        return Fact(employee_id=self.desk.agent, date=day.isoformat(), source="calls", readings=readings)

    def greeted(self, day: date) -> int:
        return 100 if is_counted(day) and day.toordinal() % 3 else 0

    async def work(self, first: str, last: str) -> None:
        """Records the work of days."""
        days = days_from(first, last)
        await self.desk.world.record(*map(self.work_of, days))
        evaluations = [
            evaluation(self.form_id, self.desk.agent, self.desk.hearer, str(day), greeting=self.greeted(day))
            for day in days
        ]
        answer = await self.desk.world.records.CreateRecords(CreateRecordsRequest(records=evaluations))
        assert not answer.rejections
        await caught_up(self.desk.world, "coaching")

    def content(self, support: str) -> PipContent:
        days = PipEvidence(days=PipDays(start_date="2027-03-01", end_date="2027-03-10"))
        content = self.desk.content(support=support)
        conduct = content.elements[1]
        del content.elements[:]
        for number, kpi_id in enumerate(self.kpis):
            measure = Measure(kpi_id=kpi_id)
            content.elements.add(element_id=f"k-{number}", measure=measure, standard="less", maximum="-1")
        item = Measure(form_item=FormItem(form_id=self.form_id, item_id="greeting"))
        content.elements.add(element_id="greeting", measure=item, standard="always", minimum="95")
        for element in content.elements:
            element.evidence.append(days)
        content.elements.append(conduct)
        return content

    def naive(self, last: str, changed: dict[str, int] | None = None) -> list[tuple[int, int]]:
        """Numerator and denominator of each element up to a day, counted day by day."""
        days = [day for day in days_from("2027-03-16", last) if is_counted(day)]
        numbers = [(changed or {}).get(day.isoformat(), self.numerator(day)) for day in days]
        greeted = sum(self.greeted(day) == 100 for day in days)
        whole, count = sum(numbers), len(days)
        return [(whole, 20_000 * count), (whole, 0), (min(numbers), 0), (max(numbers), 0), (greeted, count), (0, 0)]


def days_from(first: str, last: str) -> list[date]:
    """Days from one to another, both inclusive."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def is_counted(day: date) -> bool:
    return any(first <= day.isoformat() <= last for first, last in COUNTED)


def measured_in(results: Iterable[ElementResult]) -> list[tuple[int, int]]:
    return [(one.measured.numerator, one.measured.denominator) for one in results]


async def stopped_in_every_way(desk: Desk) -> Whole:
    """A PIP up to the day on which its first review was held."""
    kinds = (Kpi.AGGREGATION_SUM, Kpi.AGGREGATION_MINIMUM, Kpi.AGGREGATION_MAXIMUM)
    whole = Whole(desk, [desk.kpi, *[await desk.world.kpi(kind) for kind in kinds]], await form(desk.world))
    await whole.work("2027-03-01", "2027-03-15")
    await desk.say(desk.lead, DraftPipRequest, content=whole.content("a mentor"))
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    await desk.say(desk.hr, ApprovePipRequest)
    await desk.say(desk.lead, DeliverPipRequest)
    await desk.say(desk.agent, AcknowledgePipRequest)
    desk.pass_day("2027-03-24")
    await desk.change_status(EMPLOYMENT_STATUS_ON_LEAVE, "2027-03-18")
    await desk.change_status(EMPLOYMENT_STATUS_CONFIRMED, "2027-03-22")
    await until(lambda: desk.get(desk.agent), lambda pip: pip.schedule.from_date == "2027-03-22")
    await desk.say(desk.hr, PausePipRequest, reason="system outage")
    desk.pass_day("2027-03-29")
    await desk.say(desk.hr, ResumePipRequest)
    desk.pass_day("2027-03-31")
    await desk.say(desk.lead, EditPipRequest, content=whole.content("a mentor and a course"))
    desk.pass_day("2027-04-05")
    await desk.say(desk.agent, AcknowledgePipRequest)
    desk.pass_day("2027-04-09")
    await whole.work("2027-03-16", "2027-04-10")
    return whole


async def test_only_days_on_which_the_clock_ran_are_measured(desk: Desk) -> None:
    """Of every kind of measure, in a review, at the end and after an extension; and only they make drift."""
    world, whole = desk.world, await stopped_in_every_way(desk)
    held = await desk.say(desk.lead, HoldPipCheckpointRequest, number=1, notes="better")
    assert measured_in(held.checkpoints[0].results) == whole.naive("2027-04-09")
    desk.pass_day("2027-04-22")
    await whole.work("2027-04-11", "2027-04-23")
    first = await desk.propose()
    assert measured_in(first.results) == whole.naive("2027-04-23")
    desk.pass_day("2027-04-26")
    extended = await desk.say(
        desk.hr2, DecidePipRequest, result=Pip.RESULT_EXTENDED, reason="close", extension_business_days=5
    )
    assert (extended.start_date, extended.schedule.due_date) == ("2027-03-16", "2027-05-05")
    desk.pass_day("2027-05-04")
    await whole.work("2027-04-24", "2027-05-05")
    last = await desk.propose()
    assert measured_in(last.results) == whole.naive("2027-05-05")
    found = last.results[0].measured
    assert (found.start_date, found.end_date) == ("2027-03-16", "2027-05-05")
    between = [("2027-03-18", "2027-03-21"), ("2027-03-25", "2027-03-29")]
    between += [("2027-04-01", "2027-04-06"), ("2027-04-24", "2027-04-27")]
    assert [(one.start_date, one.end_date) for one in found.without] == between

    for day, _ in between:
        changed = CorrectFactRequest(fact=whole.work_of(date.fromisoformat(day), 5_000), reason="counted again")
        await world.facts.CorrectFact(changed)
    decided = await desk.say(desk.hr2, DecidePipRequest, **FAIL)  # looks at what has changed before
    assert not decided.drift.drifts
    for number, (day, _) in enumerate(COUNTED):
        fixed = {one: 200 for one, _ in COUNTED[: number + 1]}
        changed = CorrectFactRequest(fact=whole.work_of(date.fromisoformat(day), 200), reason="counted again")
        await world.facts.CorrectFact(changed)
        want = whole.naive("2027-05-05", fixed)

        def drifted(pip: Pip, want: list[tuple[int, int]] = want) -> bool:
            return bool(pip.drift.drifts) and measured_in(pip.drift.results) == want

        await until(lambda: desk.get(desk.hr), drifted)
    request = GetCaseFileRequest(employee_id=desk.agent, pip_id="pip-1")
    file = await world.case_files.GetCaseFile(request, metadata=by(desk.hr))
    left_out = " and ".join(" to ".join(days) for days in between)
    said = f"k-0, result: KPI {desk.kpi}, 2027-03-16 to 2027-05-05, without {left_out}"
    assert said in [one.what for one in file.figures]
    told = [entry.sentence for entry in file.entries if entry.event == "PipStarted"]
    assert told == [f"The period began, or went on, on {day}." for day in ("2027-03-16", "2027-04-07")]
