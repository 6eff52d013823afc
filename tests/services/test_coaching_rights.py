"""Who gets what from the coaching service: every RPC of its contract, asked by those whom it does not concern."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import StatusCode, aio
from grpc_status import rpc_status

import stepladder.coaching.v1 as contract
from libs.common.eventsourcing import Context
from services.coaching.plan import PLAN
from services.coaching.training import TRAINING
from stepladder.coaching.v1.measure_pb2 import Measure, Measured, PinDrift
from stepladder.coaching.v1.plan_pb2 import (
    CancelPlanRequest,
    GetPlanRequest,
    GivePlanViewRequest,
    ListPlansRequest,
    NotePinDrift,
    Plan,
    ProposePlanRequest,
)
from stepladder.coaching.v1.training_pb2 import RequestTraining, RequestTrainingRequest, SharedProblem
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    ChangeEmploymentStatusRequest,
    Employee,
    HireEmployeeRequest,
)
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, Policy, SetPolicyRequest
from tests.refusals import refused
from tests.services.test_check_ins import appoint, by
from tests.services.test_check_ins import founded as team_founded
from tests.services.test_pips import RULES
from tests.services.world import World, fact
from tests.tokens import as_person

TODAY, AHEAD = "2020-03-02", "2020-03-20"
CONTENT = {
    "elements": [
        {
            "elementId": "errors",
            "measure": {"kpiId": "{kpi}"},
            "maximum": "5",
            "standard": "5 % at most",
            "evidence": [{"days": {"startDate": "2020-02-01", "endDate": "2020-02-28"}}],
        }
    ],
    "periodBusinessDays": 20,
    "reviewBusinessDays": [10],
    "support": "a mentor",
    "consequence": "another post",
}
WORDS = {"attitude": "calm", "helpfulness": "asks", "topic": "listening"}

LEAD, HR, AGENT, TRAINER = "lead", "hr", "agent", "trainer"
NOBODY = ""
"""Until somebody is named to witness it, or to hear it."""
WHOSE: Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]] = {
    "CaseFileService.GetCaseFile": (HR, [{"employeeId": None, "pipId": None}, {"planId": None}]),
    "CaseFileService.ExportCaseFile": (HR, [{"employeeId": None, "pipId": None, "format": "json"}]),
    "ComparisonService.GetComparison": (LEAD, [{}]),
    "EffectService.GetEffect": (HR, [{}]),
    "MasteryService.RecordRepetition": (
        LEAD,
        [{"repetitionId": "r-2", "taskId": "listen", "alone": True, "correct": True}],
    ),
    "MasteryService.WithdrawMastery": (LEAD, [{"taskId": "listen"}]),
    "MasteryService.GetMastery": (AGENT, [{}]),
    "MasteryService.ListMasteries": (LEAD, [{}]),
    "PipService.DraftPip": (LEAD, [{"content": CONTENT}]),
    "PipService.EditPip": (LEAD, [{"content": CONTENT}]),
    "PipService.SubmitPip": (LEAD, [{}]),
    "PipService.SendBackPip": (HR, [{}]),
    "PipService.OverridePipPrecondition": (HR, [{}]),
    "PipService.ApprovePip": (HR, [{"etag": "1"}]),
    "PipService.DeliverPip": (LEAD, [{}]),
    "PipService.AcknowledgePip": (AGENT, [{}]),
    "PipService.NamePipWitness": (HR, [{"witnessId": "{mentor}"}]),
    "PipService.WitnessPipRefusal": (NOBODY, [{"note": "not signed"}]),
    "PipService.RespondToPip": (AGENT, [{"text": "no"}]),
    "PipService.HoldPipCheckpoint": (LEAD, [{"number": 1, "notes": "better"}]),
    "PipService.ReschedulePipCheckpoint": (LEAD, [{"number": 1}]),
    "PipService.PausePip": (HR, [{}]),
    "PipService.ResumePip": (HR, [{}]),
    "PipService.ProposePipResult": (LEAD, [{"result": 1}]),
    "PipService.DecidePip": (HR, [{"etag": "1", "result": 1}]),
    "PipService.AppealPip": (AGENT, [{"text": "no"}]),
    "PipService.NamePipHearer": (HR, [{"hearerId": "{mentor}"}]),
    "PipService.HearPipAppeal": (NOBODY, [{"overturned": True}]),
    "PipService.WithdrawPip": (HR, [{}]),
    "PipService.ReviewPipDrift": (HR, [{"etag": "1", "note": "seen"}]),
    "PipService.GetPip": (LEAD, [{}]),
    "PipService.ListPips": (HR, [{}, {"employeeId": None}]),
    "PlanService.ProposePlan": (LEAD, [{"planId": "p-2"}]),
    "PlanService.GetPlan": (AGENT, [{}]),
    "PlanService.ListPlans": (
        LEAD,
        [{}, {"employeeId": None}, {"employeeId": None, "mentorId": "{mentor}"}, {"state": "STATE_ACTIVE"}],
    ),
    "PlanService.AssessPlan": (LEAD, [{"assessment": "too slow", "startDate": None, "endDate": None}]),
    "PlanService.GivePlanView": (AGENT, [{"view": "untrained"}]),
    "PlanService.DiagnosePlan": (LEAD, [{"cause": "CAUSE_SKILL", "causeNote": "seen"}]),
    "PlanService.ActivatePlan": (HR, [{"goals": [{"kpiId": "k", "target": "5", "deadline": AHEAD}]}]),
    "PlanService.ObservePlan": (LEAD, [{"observeUntil": AHEAD}]),
    "PlanService.ClosePlan": (LEAD, [{"outcome": "OUTCOME_IMPROVED"}]),
    "PlanService.CancelPlan": (LEAD, [{}]),
    "PlanService.ReviewPlanDrift": (LEAD, [{"driftPosition": 1, "note": "seen"}]),
    "RhythmService.ListInterviews": (HR, [{"month": "2020-02"}, {"month": "2020-02", "teamId": None}]),
    "RhythmService.GetLeadRecord": (HR, [{"leadId": "{lead}"}]),
    "RhythmService.ListCheckInsDue": (HR, [{}, {"teamId": None}]),
    "SeparationService.CheckSeparation": (HR, [{}]),
    "SeparationService.StreamSeparation": (HR, [{}]),
    "SessionService.ScheduleSession": (LEAD, [{"sessionId": "s-2", "leadId": "{lead}", "kind": "KIND_COACHING"}]),
    "SessionService.GetSession": (AGENT, [{}]),
    "SessionService.ListSessions": (HR, [{}, {"employeeId": None}]),
    "SessionService.RescheduleSession": (LEAD, [{}]),
    "SessionService.HoldSession": (LEAD, [{"heldDate": TODAY, "observed": "reads aloud", "feedback": "speak freely"}]),
    "SessionService.AcknowledgeSession": (AGENT, [{}]),
    "SessionService.MissSession": (LEAD, [{"absent": "PARTY_EMPLOYEE"}]),
    "SessionService.CancelSession": (LEAD, [{}]),
    "SessionService.FollowUpAction": (LEAD, [{"number": 1, "done": True}]),
    "SharingService.PrepareSharing": (LEAD, [{"sharingId": "sh-2", "measure": {"kpiId": "k"}, **WORDS}]),
    "SharingService.GetSharing": (AGENT, [{}]),
    "SharingService.ListSharings": (LEAD, [{}, {"employeeId": None}]),
    "SharingService.HoldSharing": (LEAD, [{"participantIds": ["{stranger}"]}]),
    "SharingService.CancelSharing": (LEAD, [{}]),
    "SharingService.GetSharingEffect": (AGENT, [{}]),
    "SuggestionService.RaiseSuggestion": (
        AGENT,
        [{"suggestionId": "g-2", "kind": 1, "addressee": "ADDRESSEE_LEAD", "text": "air"}],
    ),
    "SuggestionService.GetSuggestion": (LEAD, [{}]),
    "SuggestionService.ListSuggestions": (LEAD, [{}, {"employeeId": None}]),
    "SuggestionService.AcceptSuggestion": (LEAD, [{}]),
    "SuggestionService.DeclineSuggestion": (LEAD, [{}]),
    "SuggestionService.CompleteSuggestion": (LEAD, [{}]),
    "SuggestionService.EscalateSuggestion": (AGENT, [{}]),
    "TrainingService.ListSharedProblems": (TRAINER, [{}]),
    "TrainingService.RequestTraining": (
        LEAD,
        [{"trainingId": "t-2", "trainerId": "{trainer}", "measure": {"kpiId": "k"}, "note": "they hang up"}],
    ),
    "TrainingService.GetTraining": (AGENT, [{}]),
    "TrainingService.ListTrainings": (TRAINER, [{}, {"teamId": None}]),
    "TrainingService.AcceptTraining": (TRAINER, [{}]),
    "TrainingService.ScheduleTraining": (TRAINER, [{}]),
    "TrainingService.HoldTraining": (TRAINER, [{"participantIds": ["{agent}"]}]),
    "TrainingService.CloseTraining": (LEAD, [{}]),
    "TrainingService.CancelTraining": (TRAINER, [{}]),
    "TrainingService.GetTrainingEffect": (TRAINER, [{}]),
    "WorklistService.GetWorklist": (
        HR,
        [{}, {"employeeId": None, "leadId": "{lead}"}, {"employeeId": None, "hr": True}],
    ),
    "WorklistService.ExportWorklist": (AGENT, [{"worklist": {"employeeId": "{agent}"}, "format": "csv"}]),
}
"""By RPC: somebody whom it concerns, and what is asked, besides what every request says; None: that is left out."""


def methods() -> Iterator[MethodDescriptor]:
    """Every RPC of the coaching service's contract."""
    for module in pkgutil.iter_modules(contract.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"{contract.__name__}.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                yield from service.methods


METHODS = {f"{method.containing_service.name}.{method.name}": method for method in methods()}


@dataclass
class Centre:
    """An employee of whom there is something of every kind, and who else is there."""

    world: World
    ids: Mapping[str, str]

    @property
    def there(self) -> dict[str, str]:
        """Ids of what every request is about."""
        return {
            "employeeId": self.ids["agent"],
            "teamId": self.ids["team"],
            "kpiId": self.ids["kpi"],
            "planId": "p-1",
            "sessionId": "s-1",
            "pipId": "pip-1",
            "suggestionId": "g-1",
            "sharingId": "sh-1",
            "trainingId": "t-1",
        }

    def request(self, name: str, asked: Mapping[str, Any], about: Mapping[str, str]) -> Message:
        """What is asked of an RPC about something."""
        kind = METHODS[name].input_type
        said = {**about, "startDate": "2020-02-01", "endDate": "2020-02-28", "date": TODAY, "reason": "because of it"}
        plain = {field.json_name: said[field.json_name] for field in kind.fields if field.json_name in said}
        return ParseDict(_told({**plain, **asked}, self.ids), GetMessageClass(kind)())

    async def ask(self, name: str, request: Message, caller: str) -> tuple[str, Message]:
        """How it ended, and what was answered."""
        method = METHODS[name]
        reply = GetMessageClass(method.output_type)
        channel = self.world.channels["coaching"]
        kind: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
        call = kind(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        metadata = as_person(caller) if caller else ()
        try:
            answer = call(request, metadata=metadata)
            return "OK", [one async for one in answer][-1] if method.server_streaming else await answer
        except aio.AioRpcError as error:
            info, refusal = ErrorInfo(), error
            for detail in rpc_status.from_call(refusal).details:  # type: ignore[arg-type] # an error of grpc.aio serves as well
                detail.Unpack(info)
            return f"{error.code().name} {info.reason}", reply()


def _told(said: Any, ids: Mapping[str, str]) -> Any:
    """With the ids that are named in braces, and without what is left out."""
    match said:
        case dict():
            return {key: _told(value, ids) for key, value in said.items() if value is not None}
        case list():
            return [_told(value, ids) for value in said]
        case str():
            return said.format(**ids)
    return said


@pytest.fixture
async def centre(world: World) -> Centre:
    people = await team_founded(world)
    kpi, other_office = await world.kpi(), await world.team()
    trainer = await world.employee(other_office, job_family="trainer")
    mentor = await world.employee(other_office)
    stranger, gone = await world.employee(people.other_team), await world.employee(people.other_team)
    namesake = Employee(employee_id="anonymous", display_name="A", team_id=other_office, job_family="hr")
    namesake.hire_date, namesake.position, namesake.position_since = "2019-01-01", "specialist", "2019-01-01"
    await world.directory.HireEmployee(HireEmployeeRequest(employee=namesake))  # nobody who does not say who they are
    for lead, day in ((gone, "2019-02-01"), (people.lead, "2019-03-01")):
        await appoint(world, people.team, lead, day)
    left = ChangeEmploymentStatusRequest(employee_id=gone, status=EMPLOYMENT_STATUS_LEFT, effective_date="2019-04-01")
    await world.directory.ChangeEmploymentStatus(left)
    tasks = [CoachingRules.LeadTask(task_id="listen", display_name="Listens in")]
    days = Policy(policy_id="riga", effective_date="2019-01-01", calendar=Calendar(country="LV"))
    rules = CoachingRules(calendar_id="riga", pip=RULES, lead_tasks=tasks, mastery_repetitions=1)
    for policy in (days, Policy(policy_id="coaching", effective_date="2019-01-01", coaching=rules)):
        await world.policies.SetPolicy(SetPolicyRequest(policy=policy))
    await world.record(fact(people.agent, "2020-02-03", kpi, 20))
    world.clock[0] = world.clock[0].replace(year=2020, month=3, day=2)
    ids = {
        "agent": people.agent,
        "lead": people.lead,
        "hr": people.hr,
        "manager": people.manager,
        "trainer": trainer,
        "mentor": mentor,
        "stranger": stranger,
        "gone": gone,
        "team": people.team,
        "kpi": kpi,
    }
    centre = Centre(world, ids)
    await _fill(centre)
    return centre


async def _fill(centre: Centre) -> None:
    """Something of every kind, by whoever may say it."""
    world, ids = centre.world, centre.ids
    goal = {"kpiId": ids["kpi"], "target": "5", "deadline": AHEAD}
    goal |= {"baselineStartDate": "2020-02-03", "baselineEndDate": "2020-02-03"}
    support, etag = {"mentorId": ids["mentor"], "text": "sits beside"}, ""
    for name, caller, more in (
        ("PlanService.ProposePlan", LEAD, {"planId": "p-1"}),
        ("PlanService.AssessPlan", LEAD, {"employeeView": "it is too loud"}),
        ("PlanService.DiagnosePlan", LEAD, {}),
        ("PlanService.GivePlanView", AGENT, {}),
        ("PlanService.ActivatePlan", LEAD, {"goals": [goal], "supports": [support]}),
        ("SessionService.ScheduleSession", LEAD, {"sessionId": "s-1"}),
        ("PipService.DraftPip", LEAD, {}),
        ("PipService.SubmitPip", LEAD, {}),
        ("PipService.OverridePipPrecondition", HR, {}),
        ("PipService.ApprovePip", HR, {}),
        ("PipService.DeliverPip", LEAD, {}),
        ("SuggestionService.RaiseSuggestion", AGENT, {"suggestionId": "g-1"}),
        ("SharingService.PrepareSharing", LEAD, {"sharingId": "sh-1", "measure": {"kpiId": ids["kpi"]}}),
        ("MasteryService.RecordRepetition", LEAD, {"repetitionId": "r-1", "alone": True, "correct": True}),
    ):
        asked = {**WHOSE[name][1][0], **more}
        if name == "PipService.ApprovePip":  # an approval names what it approves
            asked["etag"] = etag
        ended, answer = await centre.ask(name, centre.request(name, asked, centre.there), ids[caller])
        assert ended == "OK", name
        assert answer.ListFields()
        etag = getattr(answer, "etag", "")
    # Past the API, which asks for a problem that many share.
    wanted = RequestTrainingRequest(training_id="t-1", team_id=ids["team"], trainer_id=ids["trainer"], note="calm")
    command = RequestTraining(request=wanted, requested_by=ids["lead"], trainer=True, smallest_group=0)
    command.problem.CopyFrom(SharedProblem(measure=Measure(kpi_id=ids["kpi"]), employees=1, employees_missed=1))
    context = Context(now=world.clock[0], today=world.clock[0].date(), actor=f"user:{ids['lead']}")
    await world.services["coaching"].commands.handle(TRAINING, "t-1", command, context)


def test_every_rpc_says_whom_it_is_for() -> None:
    """One that is new has to be entered above before anything else is green."""
    assert METHODS.keys() == WHOSE.keys()


REFUSED = {"PERMISSION_DENIED NEED_TO_KNOW", "PERMISSION_DENIED NOT_THEIR_LEAD"}


async def test_nobody_gets_anything_of_others(centre: Centre) -> None:
    """Of no RPC, whether there is something or not; whom it concerns is told more."""
    nothing, others = dict.fromkeys(centre.there, "none"), (centre.ids["stranger"], centre.ids["gone"], "nobody", "")
    for name, (concerned, asked) in WHOSE.items():
        for more in asked:
            request, none = centre.request(name, more, centre.there), centre.request(name, more, nothing)
            told = await centre.ask(name, request, centre.ids[concerned]) if concerned else None
            assert told is None or told[0] not in {*REFUSED, "INVALID_ARGUMENT INVALID_FIELDS"}, name
            for caller in others:
                ended, answer = await centre.ask(name, request, caller)
                assert ended in REFUSED or (ended == "OK" and not answer.ListFields()), (name, more, caller, ended)
                assert (ended, answer) != told, (name, more)
                assert await centre.ask(name, none, caller) == (ended, answer), (name, more, caller)


async def plans(centre: Centre, caller: str, **filters: Any) -> list[Plan]:
    request = ListPlansRequest(at_least=await centre.world.end(), **filters)
    return list((await centre.world.plans.ListPlans(request, metadata=by(centre.ids[caller]))).plans)


async def test_what_each_sees_of_a_plan(centre: Centre) -> None:
    """The employee, the lead and HR everything; a manager days, states and goals; a mentor what they help with."""
    hidden = {"assessment", "employee_view", "own_view", "cause", "cause_note", "evidence", "steps"}
    get = GetPlanRequest(plan_id="p-1")
    for caller, more in (
        (AGENT, hidden),
        (LEAD, hidden),
        (HR, hidden),
        ("manager", set[str]()),
        ("mentor", set[str]()),
    ):
        plan = await centre.world.plans.GetPlan(get, metadata=by(centre.ids[caller]))
        told = {field.name for field, _ in plan.ListFields()}
        assert told & hidden == more, caller
        assert {"state", "goals", "supports", "progress", "activated_date"} <= told
        assert [one.text for one in plan.supports] == ["" if caller == "manager" else "sits beside"]
        (listed,) = await plans(centre, caller)
        for name in ("progress", "steps"):
            plan.ClearField(name)
        assert listed == plan


async def test_a_list_of_plans_has_no_others(centre: Centre) -> None:
    """Over pages, with and without filters: those of one's own, of whom one leads, whose mentor one is."""
    world, ids = centre.world, centre.ids
    elsewhere = await world.team()
    other = await world.employee(elsewhere)
    names = {"p-0": ids["stranger"], "p-2": ids["agent"], "p-3": other, "p-4": ids["agent"]}
    for plan_id, employee_id in names.items():
        await world.plans.ProposePlan(ProposePlanRequest(plan_id=plan_id, employee_id=employee_id, kpi_id=ids["kpi"]))
    mine = ["p-4", "p-2", "p-1"]
    for caller, seen in (
        (AGENT, mine),
        (LEAD, mine),
        ("manager", ["p-4", "p-2", "p-0", "p-1"]),
        ("mentor", ["p-1"]),
        ("stranger", ["p-0"]),
        (TRAINER, []),
        (HR, ["p-4", "p-3", "p-2", "p-0", "p-1"]),
    ):
        assert [one.plan_id for one in await plans(centre, caller)] == seen, caller
        found, token = list[str](), "first"
        while token:
            request = ListPlansRequest(page_size=1, page_token=token.removeprefix("first"))
            page = await world.plans.ListPlans(request, metadata=by(ids[caller]))
            found, token = found + [one.plan_id for one in page.plans], page.next_page_token
        assert found == seen, caller
        of_other = [one.plan_id for one in await plans(centre, caller, employee_id=other)]
        assert of_other == (["p-3"] if caller == HR else [])


async def test_a_right_that_is_lost_is_lost_at_once(centre: Centre) -> None:
    """Another leads the team now, who sees and says what the one before did; who has left reads about themself."""
    world, ids = centre.world, centre.ids
    cancel, today = CancelPlanRequest(plan_id="p-1", reason="moved"), TODAY
    get = GetPlanRequest(plan_id="p-1")
    await appoint(world, ids["team"], ids["trainer"], today)
    assert not await plans(centre, LEAD)
    for call in (
        world.plans.GetPlan(get, metadata=by(ids["lead"])),
        world.plans.CancelPlan(cancel, metadata=by(ids["lead"])),
    ):
        await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    assert len(await plans(centre, TRAINER)) == 1
    for who in ("agent", "mentor", "trainer"):
        left = ChangeEmploymentStatusRequest(employee_id=ids[who], status=EMPLOYMENT_STATUS_LEFT, effective_date=today)
        await world.directory.ChangeEmploymentStatus(left)
    (own,) = await plans(centre, AGENT)
    assert (own.own_view, await plans(centre, "mentor"), await plans(centre, TRAINER)) == ("untrained", [], [])
    assert (await world.plans.GetPlan(get, metadata=by(ids["agent"]))).cause_note == "seen"


async def test_a_mentor_learns_no_outcome(centre: Centre) -> None:
    """Neither by a filter on what they do not see, nor by the words of a refusal."""
    world, ids = centre.world, centre.ids
    kept = (await plans(centre, HR))[0].goals[0].measured_baseline
    now = Measured(measure=kept.measure, start_date=kept.start_date, end_date=kept.end_date, known_at=kept.known_at)
    changed = PinDrift(pin="goals[0].baseline", now=now)
    context = Context(now=world.clock[0], today=world.clock[0].date(), actor="policy:watch-evidence")
    await world.services["coaching"].commands.handle(PLAN, "p-1", NotePinDrift(plan_id="p-1", pins=[changed]), context)
    for caller, seen in (("manager", 1), (LEAD, 1), ("mentor", 0)):
        assert len(await plans(centre, caller, drift_open=True)) == seen, caller
    closed = await world.plans.CancelPlan(CancelPlanRequest(plan_id="p-1", reason="moved"), metadata=by(ids[LEAD]))
    for caller in ("mentor", "manager"):
        for etag in ("", "1", closed.etag):
            for view in ("untrained", "guessed"):
                given = GivePlanViewRequest(plan_id="p-1", view=view, etag=etag)
                call = world.plans.GivePlanView(given, metadata=by(ids[caller]))
                await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_who_proposes_what(centre: Centre) -> None:
    """Whoever leads the employee today, or HR, and nobody about themself; whom and what it names must be there."""
    world, ids = centre.world, centre.ids

    def propose(caller: str, plan_id: str = "p-9", **more: Any) -> Any:
        request = ProposePlanRequest(plan_id=plan_id, employee_id=ids["agent"], kpi_id=ids["kpi"])
        request.MergeFrom(ProposePlanRequest(**more))
        return world.plans.ProposePlan(request, metadata=by(ids[caller]))

    denied, invalid, absent = StatusCode.PERMISSION_DENIED, StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND
    for caller in ("agent", "manager", "mentor", "stranger", "gone"):
        await refused(propose(caller), denied, "NEED_TO_KNOW")
        await refused(propose(caller, employee_id="none"), denied, "NEED_TO_KNOW")
    await refused(propose(HR, employee_id=ids["hr"]), denied, "NEED_TO_KNOW")
    wrong = await refused(propose(LEAD, lead_id=ids["manager"]), invalid, "LEAD_INVALID")
    assert (wrong.fields, ids["lead"] in wrong.message) == (["lead_id"], True)
    await refused(propose(HR, employee_id="none"), absent, "EMPLOYEE_NOT_FOUND")
    await refused(propose(LEAD, kpi_id="none"), absent, "KPI_NOT_FOUND")
    await refused(propose(HR, employee_id=ids["gone"]), StatusCode.FAILED_PRECONDITION, "NOT_EMPLOYED")
    await world.plans.ProposePlan(
        ProposePlanRequest(plan_id="p-8", employee_id=ids["stranger"], kpi_id=ids["kpi"]), metadata=by(ids[HR])
    )
    await refused(propose(LEAD, "p-8"), StatusCode.ALREADY_EXISTS, "PLAN_EXISTS")
    proposed = await propose(LEAD)
    assert proposed.lead_id == ids["lead"]
    await appoint(world, ids["team"], ids["trainer"], str(world.clock[0].date() + timedelta(days=1)))
    world.clock[0] += timedelta(days=1)
    for lead_id in ("", ids["lead"]):
        assert await propose(HR, lead_id=lead_id) == proposed
