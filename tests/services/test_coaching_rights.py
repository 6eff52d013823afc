"""Who gets what from the coaching service: every RPC of its contract, asked by those whom it does not concern."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode, aio

import stepladder.coaching.v1 as contract
from libs.common.access import RULES
from libs.common.eventsourcing import Context
from services.coaching.plan import PLAN
from services.coaching.training import TRAINING
from stepladder.coaching.v1.measure_pb2 import Measure, Measured, PinDrift
from stepladder.coaching.v1.pip_pb2 import GetPipRequest, Pip
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
from tests.services.access_matrix import OTHERS, Asked, Caller, ask, differences, methods, path, person
from tests.services.test_check_ins import appoint, by
from tests.services.test_check_ins import founded as team_founded
from tests.services.test_pips import RULES as PIP_RULES
from tests.services.world import World, fact, until
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
AGREED = {"ownerId": "{agent}", "dueDate": AHEAD, "text": "listen in"}
WORDS = {"attitude": "calm", "helpfulness": "asks", "topic": "listening"}

LEAD, HR, AGENT, TRAINER = "lead", "hr", "agent", "trainer"
ASKED: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "CaseFileService.GetCaseFile": [
        {"employeeId": None, "pipId": None, "only": {"self", "lead", "hr"}},
        {"planId": None},
    ],
    "CaseFileService.ExportCaseFile": [
        {"employeeId": None, "pipId": None, "format": "json", "only": {"self", "lead", "hr"}},
        {"planId": None, "format": "json"},
    ],
    "ComparisonService.GetComparison": [{}],
    "EffectService.GetEffect": [{}],
    "MasteryService.RecordRepetition": [{"repetitionId": "r-2", "taskId": "listen", "alone": True, "correct": True}],
    "MasteryService.WithdrawMastery": [{"taskId": "listen"}],
    "MasteryService.GetMastery": [{}],
    "MasteryService.ListMasteries": [{}],
    "PipService.DraftPip": [{"content": CONTENT}],
    "PipService.EditPip": [{"content": CONTENT}],
    "PipService.SubmitPip": [{}],
    "PipService.SendBackPip": [{}],
    "PipService.OverridePipPrecondition": [{}],
    "PipService.ApprovePip": [{"etag": "1"}],
    "PipService.DeliverPip": [{}],
    "PipService.AcknowledgePip": [{}],
    "PipService.NamePipWitness": [{"witnessId": "{mentor}"}],
    "PipService.WitnessPipRefusal": [{"note": "not signed"}],
    "PipService.RespondToPip": [{"text": "no"}],
    "PipService.HoldPipCheckpoint": [{"number": 1, "notes": "better"}],
    "PipService.ReschedulePipCheckpoint": [{"number": 1}],
    "PipService.PausePip": [{}],
    "PipService.ResumePip": [{}],
    "PipService.ProposePipResult": [{"result": 1}],
    "PipService.DecidePip": [{"etag": "1", "result": 1}],
    "PipService.AppealPip": [{"text": "no"}],
    "PipService.NamePipHearer": [{"hearerId": "{mentor}"}],
    "PipService.HearPipAppeal": [{"overturned": True}],
    "PipService.WithdrawPip": [{}],
    "PipService.ReviewPipDrift": [{"etag": "1", "note": "seen"}],
    "PipService.GetPip": [{}],
    "PipService.ListPips": [{}, {"employeeId": None, "only": {"hr"}}],
    "PipService.ListPipReads": [{}],
    "PlanService.ProposePlan": [{"planId": "p-2"}],
    "PlanService.GetPlan": [{}],
    "PlanService.ListPlans": [
        {},
        {"employeeId": None},
        {"employeeId": None, "mentorId": "{mentor}"},
        {"state": "STATE_ACTIVE"},
    ],
    "PlanService.AssessPlan": [{"assessment": "too slow", "startDate": None, "endDate": None}],
    "PlanService.GivePlanView": [{"view": "untrained"}],
    "PlanService.DiagnosePlan": [{"cause": "CAUSE_SKILL", "causeNote": "seen"}],
    "PlanService.ActivatePlan": [{"goals": [{"kpiId": "k", "target": "5", "deadline": AHEAD}]}],
    "PlanService.ObservePlan": [{"observeUntil": AHEAD}],
    "PlanService.ClosePlan": [{"outcome": "OUTCOME_IMPROVED"}],
    "PlanService.CancelPlan": [{}],
    "PlanService.ReviewPlanDrift": [{"driftPosition": 1, "note": "seen"}],
    "RhythmService.ListInterviews": [{"month": "2020-02"}, {"month": "2020-02", "teamId": None, "only": {"hr"}}],
    "RhythmService.GetLeadRecord": [{"leadId": "{agent}"}],
    "RhythmService.ListCheckInsDue": [{}, {"teamId": None, "only": {"hr"}}],
    "SeparationService.CheckSeparation": [{}],
    "SeparationService.StreamSeparation": [{}],
    "SessionService.ScheduleSession": [{"sessionId": "s-2", "leadId": "{holder}", "kind": "KIND_COACHING"}],
    "SessionService.GetSession": [{}],
    "SessionService.ListSessions": [
        {"only": {"self", "lead", "manager", "hr"}},
        {"employeeId": None, "only": {"hr"}},
        {"employeeId": None, "planId": None, "leadId": "{holder}", "only": {"holder", "hr"}},
    ],
    "SessionService.RescheduleSession": [{}],
    "SessionService.HoldSession": [
        {"heldDate": TODAY, "observed": "reads aloud", "feedback": "speak freely", "actions": [AGREED]}
    ],
    "SessionService.AcknowledgeSession": [{}],
    "SessionService.MissSession": [{"absent": "PARTY_EMPLOYEE"}],
    "SessionService.CancelSession": [{}],
    "SessionService.FollowUpAction": [{"number": 1, "done": True}],
    "SharingService.PrepareSharing": [{"sharingId": "sh-2", "measure": {"kpiId": "k"}, **WORDS}],
    "SharingService.GetSharing": [{}],
    "SharingService.ListSharings": [{}, {"employeeId": None}],
    "SharingService.HoldSharing": [{"participantIds": ["{stranger}"]}],
    "SharingService.CancelSharing": [{}],
    "SharingService.GetSharingEffect": [{}],
    "SuggestionService.RaiseSuggestion": [
        {"suggestionId": "g-2", "kind": 1, "addressee": "ADDRESSEE_LEAD", "text": "air"}
    ],
    "SuggestionService.GetSuggestion": [{}],
    "SuggestionService.ListSuggestions": [{}, {"employeeId": None}],
    "SuggestionService.AcceptSuggestion": [{}],
    "SuggestionService.DeclineSuggestion": [{}],
    "SuggestionService.CompleteSuggestion": [{}],
    "SuggestionService.EscalateSuggestion": [{}],
    "TrainingService.ListSharedProblems": [{}],
    "TrainingService.RequestTraining": [
        {"trainingId": "t-2", "trainerId": "{trainer}", "measure": {"kpiId": "k"}, "note": "they hang up"}
    ],
    "TrainingService.GetTraining": [{}],
    "TrainingService.ListTrainings": [{}, {"teamId": None}],
    "TrainingService.AcceptTraining": [{}],
    "TrainingService.ScheduleTraining": [{}],
    "TrainingService.HoldTraining": [{"participantIds": ["{agent}"]}],
    "TrainingService.CloseTraining": [{}],
    "TrainingService.CancelTraining": [{}],
    "TrainingService.GetTrainingEffect": [{}],
    "WorklistService.GetWorklist": [
        {},
        {"employeeId": None, "leadId": "{agent}", "only": {"self", "hr"}},
        {"employeeId": None, "hr": True, "only": {"hr"}},
    ],
    "WorklistService.ExportWorklist": [{"worklist": {"employeeId": "{agent}"}, "format": "csv"}],
}
"""By RPC what is asked, besides what every request says; None: that is left out. `only`: see `Asked`."""


METHODS = {f"{method.containing_service.name}.{method.name}": method for method in methods(contract)}


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

    def asked(self) -> dict[MethodDescriptor, list[Asked]]:
        """What is asked of every RPC."""
        nothing, nobody = dict.fromkeys(self.there, "none"), {**self.ids, AGENT: "none"}
        found = dict[MethodDescriptor, list[Asked]]()
        for name, requests in ASKED.items():
            for request in requests:
                only = frozenset(request["only"]) if "only" in request else None
                there = self.request(name, request, self.there, self.ids)
                none = self.request(name, request, nothing, nobody)
                found.setdefault(METHODS[name], []).append(Asked(there, none, only))
        return found

    def request(self, name: str, asked: Mapping[str, Any], about: Mapping[str, str], ids: Mapping[str, str]) -> Message:
        """What is asked of an RPC about something."""
        kind = METHODS[name].input_type
        said = {**about, "startDate": "2020-02-01", "endDate": "2020-02-28", "date": TODAY, "reason": "because of it"}
        plain = {field.json_name: said[field.json_name] for field in kind.fields if field.json_name in said}
        more = {key: value for key, value in asked.items() if key != "only"}
        return ParseDict(_told({**plain, **more}, ids), GetMessageClass(kind)())

    async def say(self, caller: str, name: str, **more: Any) -> Any:
        """What an RPC answers that is asked about what is there, and about more."""
        request = self.request(name, {**ASKED[name][0], **more}, self.there, self.ids)
        ended = await ask(self.world.channels["coaching"], METHODS[name], request, as_person(self.ids[caller]))
        assert ended.how == ("OK", ""), (name, ended)
        assert ended.answer.ListFields()
        return ended.answer


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
    mentor, drafter = await world.employee(other_office), await world.employee(other_office)
    stranger, gone = await world.employee(people.other_team), await world.employee(people.other_team)
    namesake = Employee(employee_id="anonymous", display_name="A", team_id=other_office, job_family="hr")
    namesake.hire_date, namesake.position, namesake.position_since = "2019-01-01", "specialist", "2019-01-01"
    await world.directory.HireEmployee(HireEmployeeRequest(employee=namesake))  # nobody who does not say who they are
    for lead, day in ((gone, "2019-02-01"), (drafter, "2019-03-01")):
        await appoint(world, people.team, lead, day)
    left = ChangeEmploymentStatusRequest(employee_id=gone, status=EMPLOYMENT_STATUS_LEFT, effective_date="2019-04-01")
    await world.directory.ChangeEmploymentStatus(left)
    tasks = [CoachingRules.LeadTask(task_id="listen", display_name="Listens in")]
    days = Policy(policy_id="riga", effective_date="2019-01-01", calendar=Calendar(country="LV"))
    rules = CoachingRules(calendar_id="riga", pip=PIP_RULES, lead_tasks=tasks, mastery_repetitions=1)
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
        "drafter": drafter,
        "holder": await world.employee(other_office),
        "stranger": stranger,
        "gone": gone,
        "team": people.team,
        "kpi": kpi,
    }
    centre = Centre(world, ids)
    await _fill(centre)
    return centre


async def _fill(centre: Centre) -> None:
    """Something of every kind, by whoever may say it; who drafted the PIP leads the employee no more."""
    world, ids = centre.world, centre.ids
    goal = {"kpiId": ids["kpi"], "target": "5", "deadline": AHEAD}
    goal |= {"baselineStartDate": "2020-02-03", "baselineEndDate": "2020-02-03"}
    support = {"mentorId": ids["mentor"], "text": "sits beside"}
    await centre.say("drafter", "PipService.DraftPip")
    await appoint(world, ids["team"], ids["lead"], TODAY)
    await centre.say(LEAD, "PlanService.ProposePlan", planId="p-1")
    await centre.say(LEAD, "PlanService.AssessPlan", employeeView="it is too loud")
    await centre.say(LEAD, "PlanService.DiagnosePlan")
    await centre.say(AGENT, "PlanService.GivePlanView")
    await centre.say(LEAD, "PlanService.ActivatePlan", goals=[goal], supports=[support])
    await centre.say(LEAD, "SessionService.ScheduleSession", sessionId="s-1")
    await centre.say(LEAD, "PipService.SubmitPip")
    submitted = await centre.say(HR, "PipService.OverridePipPrecondition")
    await centre.say(HR, "PipService.ApprovePip", etag=submitted.etag)
    await centre.say(LEAD, "PipService.DeliverPip")
    await centre.say(AGENT, "SuggestionService.RaiseSuggestion", suggestionId="g-1")
    await centre.say(LEAD, "SharingService.PrepareSharing", sharingId="sh-1", measure={"kpiId": ids["kpi"]})
    await centre.say(LEAD, "MasteryService.RecordRepetition", repetitionId="r-1")
    # Past the API, which asks for a problem that many share.
    wanted = RequestTrainingRequest(training_id="t-1", team_id=ids["team"], trainer_id=ids["trainer"], note="calm")
    command = RequestTraining(request=wanted, requested_by=ids["lead"], trainer=True, smallest_group=0)
    command.problem.CopyFrom(SharedProblem(measure=Measure(kpi_id=ids["kpi"]), employees=1, employees_missed=1))
    context = Context(now=world.clock[0], today=world.clock[0].date(), actor=f"user:{ids['lead']}")
    await world.services["coaching"].commands.handle(TRAINING, "t-1", command, context)


async def appealed(centre: Centre) -> Centre:
    """The session is held, and the PIP runs up to an appeal, with a witness and a hearer."""
    world, ids = centre.world, dict(centre.ids)
    office, of_leads, above = await world.team(), await world.team(), await world.team()
    for name, job_family in (("hr2", "hr"), ("qa", "qa"), ("executive", "executive"), ("witness", ""), ("hearer", "")):
        ids[name] = await world.employee(office, job_family=job_family)
    ids["other lead"], ids["other manager"] = await world.employee(of_leads), await world.employee(above)
    for led, lead in ((await world.team(), "hearer"), (await world.team(), "other lead"), (of_leads, "other manager")):
        await appoint(world, led, ids[lead])
    centre = Centre(world, ids)
    await centre.say("holder", "SessionService.HoldSession")

    get = GetPipRequest(employee_id=ids[AGENT], pip_id="pip-1")

    async def seen(day: str, wanted: Callable[[Pip], bool]) -> Pip:
        """The PIP when a day has ended everywhere, once it is as wanted."""
        world.clock[0] = datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(13), UTC)
        return await until(lambda: world.pips.GetPip(get, metadata=by(ids[HR])), wanted)

    await seen("2020-03-04", lambda pip: pip.overdue)
    await centre.say(HR, "PipService.NamePipWitness", witnessId="{witness}")
    await centre.say("witness", "PipService.WitnessPipRefusal")
    active = await seen("2020-03-06", lambda pip: pip.state == Pip.STATE_ACTIVE)
    await world.record(fact(ids[AGENT], active.start_date, ids["kpi"], 20))
    await seen(active.schedule.due_date, lambda pip: pip.state == Pip.STATE_DECISION_DUE)
    failed = {"result": Pip.RESULT_NOT_PASSED, "action": Pip.ACTION_TRANSFER}
    proposed = await centre.say(LEAD, "PipService.ProposePipResult", result=Pip.RESULT_NOT_PASSED)
    await centre.say("hr2", "PipService.DecidePip", etag=proposed.etag, **failed)
    await centre.say(AGENT, "PipService.AppealPip")
    await centre.say(HR, "PipService.NamePipHearer", hearerId="{hearer}")
    return centre


def callers(centre: Centre) -> dict[str, Caller]:
    ids = centre.ids
    plain, leading = ("self", "member"), ("self", "member", "lead")
    return {
        "self": person(ids[AGENT], "self", "member", "owner", elsewhere=["employee"]),
        "lead": person(ids[LEAD], "lead", "employee", "addressee", elsewhere=plain),
        "manager": person(ids["manager"], "manager", "employee", elsewhere=leading),
        "lead of another team": person(ids["other lead"], "employee", elsewhere=leading),
        "manager of another team": person(ids["other manager"], "employee", elsewhere=[*leading, "manager"]),
        "hr": person(ids[HR], "hr", "employee", elsewhere=plain),
        "qa": person(ids["qa"], "qa", "employee", elsewhere=plain),
        "executive": person(ids["executive"], "executive", "employee", elsewhere=plain),
        "colleague": person(ids["stranger"], "employee", elsewhere=plain),
        "who has left": person(ids["gone"]),
        "nobody": person("nobody", elsewhere=()),
        "mentor": person(ids["mentor"], "mentor", "employee", elsewhere=plain),
        "trainer": person(ids[TRAINER], "trainer", "employee", elsewhere=plain),
        "holder": person(ids["holder"], "holder", "employee", elsewhere=plain),
        "drafter": person(ids["drafter"], "drafter", "employee", elsewhere=plain),
        "witness": person(ids["witness"], "witness", "employee", elsewhere=plain),
        "hearer": person(ids["hearer"], "hearer", "employee", elsewhere=leading),
        **OTHERS,
    }


@pytest.fixture
async def channel(world: World) -> AsyncIterator[aio.Channel]:
    """To the service, with no token of its own."""
    async with aio.insecure_channel(world.addresses["coaching"]) as channel:
        yield channel


async def test_the_access_matrix(centre: Centre, channel: aio.Channel) -> None:
    """Every RPC, asked by everybody, ends as the table of rules says."""
    assert METHODS.keys() == ASKED.keys()
    centre = await appealed(centre)
    assert await differences(channel, centre.asked(), callers(centre)) == []


async def test_the_matrix_tells_a_wrong_rule(centre: Centre, channel: aio.Channel) -> None:
    """In which somebody is named who is refused, or left out who is answered."""
    method = METHODS["PlanService.GetPlan"]
    asked, row = {method: centre.asked()[method]}, RULES[path(method)]
    everybody = {name: Caller(as_person(centre.ids[name]), frozenset({name})) for name in (LEAD, "manager")}
    assert await differences(channel, asked, everybody) == []
    (left_out,) = await differences(channel, asked, everybody, {path(method): row - {"lead"}})
    assert "do not name them" in left_out
    stranger = {"colleague": Caller(as_person(centre.ids["stranger"]), frozenset({"qa"}))}
    (named,) = await differences(channel, asked, stranger, {path(method): row | {"qa"}})
    assert "name them" in named


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
