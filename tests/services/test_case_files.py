"""Case files over gRPC: everything behind a plan, in order, for those who may see it."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from google.protobuf.json_format import Parse
from grpc import StatusCode
from pypdf import PdfReader

from libs.common.envelope import ERASED
from libs.common.keys import SqlDataKeys
from stepladder.coaching.v1.case_file_pb2 import CaseEntry, CaseFile, ExportCaseFileRequest, GetCaseFileRequest
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    AppealPipRequest,
    ApprovePipRequest,
    DecidePipRequest,
    DeliverPipRequest,
    DraftPipRequest,
    NamePipHearerRequest,
    OverridePipPreconditionRequest,
    SubmitPipRequest,
)
from stepladder.coaching.v1.plan_pb2 import (
    AssessPlanRequest,
    CancelPlanRequest,
    DiagnosePlanRequest,
    GetPlanRequest,
    Plan,
    ProposePlanRequest,
)
from stepladder.coaching.v1.separation_pb2 import CheckSeparationRequest, SeparationAct
from stepladder.coaching.v1.session_pb2 import HoldSessionRequest, ScheduleSessionRequest, Session
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest, Employee, HireEmployeeRequest
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target
from tests.policies import DAY, detecting, rule
from tests.refusals import refused
from tests.services.test_coaching_api import plan_of
from tests.services.test_pips import FAIL, Desk, opened
from tests.services.world import World, fact, new_id, until
from tests.tokens import as_person

KIND = CaseEntry.Kind
Metadata = Sequence[tuple[str, str]]


def by(employee_id: str) -> Metadata:
    return as_person(employee_id)


async def hired(world: World, team: str, name: str, job_family: str = "") -> str:
    employee = Employee(
        employee_id=new_id("e"),
        display_name=name,
        hire_date="2019-01-01",
        team_id=team,
        job_family=job_family,
        position="agent",
        position_since="2019-01-01",
    )
    await world.directory.HireEmployee(HireEmployeeRequest(employee=employee))
    return employee.employee_id


class Told:
    """A plan that was assessed, diagnosed, talked about, found to rest on a wrong fact, and cancelled."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def happen(self) -> "Told":
        world = self.world
        self.kpi, self.team = await world.kpi(), await world.team()
        self.agent = await hired(world, self.team, "李伟 Ķēniņš")
        self.lead = await hired(world, self.team, "محمد العلي")
        self.next_lead = await hired(world, self.team, "Next Lead")
        self.colleague = await hired(world, self.team, "A Colleague")
        self.hr = await hired(world, await world.team(), "דוד כהן", "hr")
        for lead, day in ((self.lead, "2020-01-01"), (self.next_lead, "2020-02-01")):
            appointed = AppointTeamLeadRequest(team_id=self.team, lead_id=lead, effective_date=day)
            await world.directory.AppointTeamLead(appointed)
        target = Target(kpi_id=self.kpi, effective_date="2020-01-01", maximum="10")
        await world.kpis.SetTarget(SetTargetRequest(target=target))
        await world.policies.SetPolicy(detecting(f"p-{self.kpi}", rule(self.kpi, DAY, 2)))
        await world.record(fact(self.agent, "2020-01-09", self.kpi, 50), fact(self.agent, "2020-01-10", self.kpi, 40))
        self.plan_id = (await plan_of(world, self.agent)).plan_id
        assess = AssessPlanRequest(plan_id=self.plan_id, assessment="much too slow", employee_view="新的软件")
        await world.plans.AssessPlan(assess, metadata=by(self.next_lead))
        diagnose = DiagnosePlanRequest(plan_id=self.plan_id, cause=Plan.CAUSE_KNOWLEDGE, cause_note="never trained")
        await world.plans.DiagnosePlan(diagnose, metadata=by(self.next_lead))
        day = str(world.clock[0].date())
        schedule = ScheduleSessionRequest(
            session_id="s-1",
            employee_id=self.agent,
            lead_id=self.next_lead,
            kind=Session.KIND_COACHING,
            plan_id=self.plan_id,
            date=day,
        )
        await world.sessions.ScheduleSession(schedule, metadata=by(self.next_lead))
        hold = HoldSessionRequest(
            session_id="s-1", held_date=day, observed="reads the script aloud", feedback="leave the script away"
        )
        await world.sessions.HoldSession(hold, metadata=by(self.next_lead))
        correct = CorrectFactRequest(fact=fact(self.agent, "2020-01-10", self.kpi, 5), reason="counted twice")
        await world.facts.CorrectFact(correct, metadata=by(self.hr))
        get = GetPlanRequest(plan_id=self.plan_id)
        await until(lambda: world.plans.GetPlan(get), lambda plan: plan.HasField("drift"))
        cancel = CancelPlanRequest(plan_id=self.plan_id, reason="it was a mistake")
        await world.plans.CancelPlan(cancel, metadata=by(self.next_lead))
        return self

    async def file(self, caller: str) -> CaseFile:
        request = GetCaseFileRequest(plan_id=self.plan_id)
        found: CaseFile = await self.world.case_files.GetCaseFile(request, metadata=by(caller))
        return found


@pytest.fixture
async def told(world: World) -> Told:
    return await Told(world).happen()


async def test_a_case_file_tells_everything_in_order(told: Told) -> None:
    """Rules, facts, detection, steps and drift, each as recorded, by whom, resting on what; the same whenever asked."""
    file = await told.file(told.hr)
    assert [(KIND.Name(entry.kind)[5:], entry.event) for entry in file.entries] == [
        ("RULE", "TargetSet"),
        ("RULE", "PolicySet"),
        ("FACT", "FactRecorded"),
        ("FACT", "FactRecorded"),
        ("DETECTION", "UnderperformanceDetected"),
        ("PLAN", "PlanProposed"),
        ("PLAN", "PlanAssessed"),
        ("PLAN", "PlanDiagnosed"),
        ("SESSION", "SessionScheduled"),
        ("SESSION", "SessionHeld"),
        ("FACT", "FactCorrected"),
        ("DETECTION", "DetectionDrifted"),
        ("PLAN", "PlanEvidenceDrifted"),
        ("PLAN", "PlanClosed"),
    ]
    target, policy, *facts, detection, proposed, assessed, _, _, held, corrected, _, drifted, closed = file.entries
    assert set(detection.rests_on) == {target.position, policy.position, *(one.position for one in facts)}
    assert {detection.position, policy.position, *(one.position for one in facts)} <= set(proposed.rests_on)
    assert corrected.position in drifted.rests_on
    assert [details(one)[f"fact.readings[0].{told.kpi}"] for one in facts] == ["50 of 100", "40 of 100"]
    assert details(target)["target.maximum"] == "10"
    assert details(policy)["policy.detection.streak.streak"] == "2"
    assert details(corrected)["reason"] == "counted twice"
    assert details(corrected)[f"fact.readings[0].{told.kpi}"] == "5 of 100"
    assert (assessed.actor, details(assessed)["employee_view"]) == (f"user:{told.next_lead}", "新的软件")
    assert (held.actor, details(held)["feedback"]) == (f"user:{told.next_lead}", "leave the script away")
    assert (closed.actor, closed.sentence) == (f"user:{told.next_lead}", "The plan was cancelled.")
    assert proposed.actor == "policy:propose-plans"
    assert proposed.cause == detection.event_id
    assert proposed.sentence == "A plan for 李伟 Ķēniņš was proposed to محمد العلي."
    assert all(one.position < other.position for one, other in pairwise(file.entries))
    assert all(entry.sentence and entry.command_id and entry.HasField("time") for entry in file.entries)
    assert (file.state, file.lead_id) == ("closed: cancelled", told.lead)
    assert [(one.target, one.before, one.now) for one in file.figures] == [
        ("at most 10", "50.0", ""),
        ("at most 10", "40.0", "5.0"),
    ]
    reading = file.reading
    assert (reading.aggregates, reading.events, reading.left_out) == (6, 14, 0)
    assert not reading.missing_positions
    again = await told.file(told.hr)
    again.made_time.CopyFrom(file.made_time)
    assert again == file


def details(entry: CaseEntry) -> dict[str, str]:
    return {one.name: one.value for one in entry.details}


async def test_only_those_who_have_to_know_see_a_case_file(told: Told) -> None:
    """The employee, today's lead, HR; and nobody else, nor whom it was proposed to and who leads them no longer."""
    file = await told.file(told.hr)
    for caller in (told.agent, told.next_lead):
        assert (await told.file(caller)).entries == file.entries
    files = told.world.case_files
    for plan_id in (told.plan_id, "p-none"):
        for metadata in (by(told.colleague), by(told.lead), by("nobody")):
            call = files.GetCaseFile(GetCaseFileRequest(plan_id=plan_id), metadata=metadata)
            await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
            export = files.ExportCaseFile(ExportCaseFileRequest(plan_id=plan_id, format="pdf"), metadata=metadata)
            await refused(export, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    call = files.GetCaseFile(GetCaseFileRequest(plan_id="p-none"), metadata=by(told.hr))
    await refused(call, StatusCode.NOT_FOUND, "PLAN_NOT_FOUND")


async def test_an_exported_case_file_says_the_same(told: Told) -> None:
    """JSON reads back as what GetCaseFile answers; the PDF can be read."""
    request = ExportCaseFileRequest(plan_id=told.plan_id, format="json")
    exported = await told.world.case_files.ExportCaseFile(request, metadata=by(told.next_lead))
    assert exported.content_type == "application/json"
    assert json.loads(exported.data)["figures"][0]["now"] == ""
    assert Parse(exported.data.decode(), CaseFile()) == await told.file(told.next_lead)
    request.format = "pdf"
    printed = await told.world.case_files.ExportCaseFile(request, metadata=by(told.next_lead))
    assert printed.content_type == "application/pdf"
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(printed.data)).pages)
    for said in (
        "李伟 Ķēniņš",
        "محمد",
        "much too slow",
        "新的软件",
        "50 of 100",
        "The plan was cancelled.",
        "every hash was right",
    ):
        assert said in text, said


async def test_of_somebody_erased_no_word_is_left(told: Told) -> None:
    """Their name and what was written about them; what happened, and the hashes, still stand."""
    before = await told.file(told.hr)
    keys = told.world.services["coaching"].codec._keys
    assert isinstance(keys, SqlDataKeys)
    await keys.erase(told.agent)
    after = await told.file(told.hr)
    assert after.names[told.agent] == ERASED
    assessed = next(entry for entry in after.entries if entry.event == "PlanAssessed")
    assert (details(assessed)["assessment"], details(assessed)["employee_view"]) == (ERASED, ERASED)
    assert [entry.event_id for entry in after.entries] == [entry.event_id for entry in before.entries]
    assert after.reading == before.reading


async def appealed(desk: Desk) -> None:
    """A PIP that names a coaching plan, not passed, and whose appeal somebody is named to hear."""
    plans = desk.world.plans
    propose = ProposePlanRequest(plan_id="p-1", employee_id=desk.agent, lead_id=desk.lead, kpi_id=desk.kpi)
    await plans.ProposePlan(propose, metadata=by(desk.lead))
    await plans.CancelPlan(CancelPlanRequest(plan_id="p-1", reason="no use at all"), metadata=by(desk.lead))
    content = desk.content()
    content.plan_id = "p-1"
    await desk.say(desk.lead, DraftPipRequest, content=content)
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    await desk.say(desk.hr, ApprovePipRequest)
    await desk.say(desk.lead, DeliverPipRequest, note="in room 3")
    await desk.say(desk.agent, AcknowledgePipRequest)
    await desk.fall_short()
    await desk.propose()
    await desk.say(desk.hr2, DecidePipRequest, **FAIL)
    await desk.say(desk.agent, AppealPipRequest, text="the telephone was broken")
    await desk.say(desk.hr, NamePipHearerRequest, hearer_id=desk.hearer)


async def test_a_pips_case_file_tells_everything_in_order(world: World) -> None:
    """Out of both streams, with the plan that it names; those involved read it, without a plan that is not theirs."""
    desk = await opened(world)
    await appealed(desk)
    request = GetCaseFileRequest(employee_id=desk.agent, pip_id="pip-1", at_least=await world.end())
    file = await world.case_files.GetCaseFile(request, metadata=by(desk.hr))
    assert [entry.event for entry in file.entries if entry.kind == KIND.KIND_PIP] == [
        "PipDrafted",
        "PipSubmitted",
        "PipPreconditionOverridden",
        "PipApproved",
        "PipDelivered",
        "PipAcknowledged",
        "PipStarted",
        "PipCheckpointMissed",
        "PipDecisionFellDue",
        "PipResultProposed",
        "PipDecided",
        "PipAppealed",
        "PipHearerNamed",
    ]
    others = [(KIND.Name(entry.kind)[5:], entry.event) for entry in file.entries if entry.kind != KIND.KIND_PIP]
    assert others.count(("FACT", "FactRecorded")) == 4
    assert {*others} >= {
        ("FACT", "RecordCreated"),
        ("RULE", "PolicySet"),
        ("PLAN", "PlanProposed"),
        ("PLAN", "PlanClosed"),
    }
    assert {entry.stream for entry in file.entries} == {"LOG", "LOG_RESTRICTED"}
    assert (file.pip_id, file.plan_id, file.state) == ("pip-1", "p-1", "appealed")
    assert ("at most 5", "10.0", "") in [(one.target, one.before, one.now) for one in file.figures]
    assert file.reading.left_out == 0
    assert "no use at all" in str(file)
    assert "the telephone was broken" in str(file)
    for caller in (desk.agent, desk.lead):
        assert (await world.case_files.GetCaseFile(request, metadata=by(caller))).entries == file.entries
    heard = await world.case_files.GetCaseFile(request, metadata=by(desk.hearer))
    (closed,) = (entry for entry in heard.entries if entry.left_out)
    assert (closed.event, closed.left_out) == ("PlanClosed", CaseEntry.LEFT_OUT_PRIVATE)
    assert "no use at all" not in str(heard)

    for caller in (desk.manager, desk.colleague, desk.witness):
        for pip_id in ("pip-1", "pip-none"):
            call = world.case_files.GetCaseFile(
                GetCaseFileRequest(employee_id=desk.agent, pip_id=pip_id), metadata=by(caller)
            )
            await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    call = world.case_files.GetCaseFile(
        GetCaseFileRequest(employee_id=desk.agent, pip_id="pip-none"), metadata=by(desk.hr)
    )
    await refused(call, StatusCode.NOT_FOUND, "PIP_NOT_FOUND")
    for wrong in (GetCaseFileRequest(), GetCaseFileRequest(plan_id="p-1", employee_id="e-1", pip_id="pip-1")):
        await refused(
            world.case_files.GetCaseFile(wrong, metadata=by(desk.hr)), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"
        )

    export = ExportCaseFileRequest(employee_id=desk.agent, pip_id="pip-1", format="pdf")
    printed = await world.case_files.ExportCaseFile(export, metadata=by(desk.hr))
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(printed.data)).pages)
    assert "PIP pip-1" in text
    assert "the telephone was broken" in text

    today = datetime.now(UTC).date()
    span = CheckSeparationRequest(start_date=str(today - timedelta(1)), end_date=str(today + timedelta(1)))
    report = await world.separation.CheckSeparation(span, metadata=by(desk.hr))
    (case,) = (one for one in report.cases if one.subject.startswith("restricted."))
    assert [one.actor for one in report.violations] == []
    assert [(SeparationAct.Role.Name(act.role)[9:], act.actor) for act in case.acts] == [
        ("DRAFTER", f"user:{desk.lead}"),
        ("INVOLVED", f"user:{desk.lead}"),
        ("OVERRIDER", f"user:{desk.hr}"),
        ("APPROVER", f"user:{desk.hr}"),
        ("DELIVERER", f"user:{desk.lead}"),
        ("RESULT_PROPOSER", f"user:{desk.lead}"),
        ("DECIDER", f"user:{desk.hr2}"),
        ("INVOLVED", f"user:{desk.hr}"),
    ]
