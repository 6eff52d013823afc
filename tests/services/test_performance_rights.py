"""Who gets what from the performance service: every RPC of its contract, asked by everybody."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode, aio

import stepladder.common.v1 as common
import stepladder.performance.v1 as contract
from stepladder.performance.v1.assessment_pb2 import ListAssessmentsRequest
from stepladder.performance.v1.detection_pb2 import ListDetectionsRequest
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    ListEmployeesRequest,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_UPHELD,
    RATING_GOOD,
    CorrectFactRequest,
    ListFactsRequest,
    ListKpiResultsRequest,
    RateMonthRequest,
    ReadingsOfDay,
    RetractFactRequest,
    SettleFactDisputeRequest,
)
from stepladder.performance.v1.record_pb2 import (
    Complaint,
    CreateRecordsRequest,
    DisputeRecordRequest,
    ListRecordsRequest,
    Record,
)
from tests.policies import detecting, rule
from tests.refusals import refused
from tests.services.access_matrix import OTHERS, Asked, Caller, differences, methods, person, told
from tests.services.test_assessments import give, open_, stored_model
from tests.services.test_calibrations import opened
from tests.services.test_check_ins import appoint, by, check_in, founded
from tests.services.test_records import create, evaluation, form
from tests.services.test_scorecards import target
from tests.services.world import World, fact, judged, new_id

METHODS = {
    f"{method.containing_service.name}.{method.name}": method for one in (contract, common) for method in methods(one)
}
DAY, MONTH = "2020-01-07", "2020-01"
SPAN = {"startDate": "2020-01-01", "endDate": "2020-01-31"}
MONTHS = {"startMonth": "2020-01", "endMonth": "2020-06"}
READINGS = {"employeeId": "{agent}", "date": DAY, "source": "calls", "kpiIds": ["{kpi}"]}
FACT = {
    "employeeId": "{agent}",
    "date": DAY,
    "source": "calls",
    "readings": [{"kpiId": "{kpi}", "numerators": ["20"], "denominators": ["100"]}],
}
RECORD = {"recordId": "{record}", "employeeId": "{agent}", "date": DAY, "complaint": {}}
CHECK_IN = {"checkInId": "{check_in}", "employeeId": "{agent}", "date": DAY, "mood": 3, "stress": 3}
ROUND = {
    "calibrationId": "{round}",
    "employeeId": "{agent}",
    "contactId": "c",
    "date": DAY,
    "formId": "{form}",
    "reviewerIds": ["{reviewer}", "{other reviewer}"],
}
LEVELS = [{"behaviourId": one, "level": 3} for one in ("sense", "communicate", "act", "innovate", "learn")]
POLICY = {
    "policyId": "p-new",
    "effectiveDate": "2020-01-01",
    "detection": {
        "streak": {"kpiId": "{kpi}", "period": "PERIOD_DAY", "streak": 1, "maximum": "5"},
        "purpose": "PURPOSE_FINDING",
    },
}
REPORT = {"period": "month", "date": DAY}
BECAUSE = {"reason": "because of it"}
OVER_ALL = ("hr", "qa", "executive", "system:facts")
"""Who sees everybody, wherever a row names them."""

ASKED: Mapping[str, Sequence[dict[str, Any]]] = {
    "AssessmentService.OpenAssessment": [{"employeeId": "{agent}", "modelId": "{model}", **MONTHS}],
    "AssessmentService.GiveAssessment": [{"employeeId": "{agent}", "behaviours": LEVELS, **MONTHS}],
    "AssessmentService.CloseAssessment": [{"employeeId": "{agent}", **MONTHS}],
    "AssessmentService.CancelAssessment": [{"employeeId": "{agent}", **MONTHS, **BECAUSE}],
    "AssessmentService.ListAssessments": [{"employeeId": "{agent}"}],
    "AtRiskService.GetAtRiskRoster": [{"teamId": "{team}"}, {"only": OVER_ALL}],
    "AtRiskService.ExportAtRiskRoster": [{"teamId": "{team}", "format": "csv"}, {"format": "csv", "only": OVER_ALL}],
    "AtRiskService.ReviewAtRisk": [{"employeeId": "{agent}", "note": "talked", "nextReviewDate": "2199-01-01"}],
    "CalibrationService.OpenCalibration": [{"calibration": ROUND}],
    "CalibrationService.GetCalibration": [{"calibrationId": "{round}"}],
    "CalibrationService.ListCalibrations": [{}],
    "CalibrationService.ScoreCalibration": [
        {"calibrationId": "{round}", "answers": [{"itemId": "greeting", "achieved": 100}]}
    ],
    "CalibrationService.CloseCalibration": [{"calibrationId": "{round}"}],
    "CalibrationService.RetractCalibration": [{"calibrationId": "{round}", **BECAUSE}],
    "CalibrationService.ListReviewerDrift": [SPAN],
    "CheckInService.CreateCheckIn": [{"checkIn": CHECK_IN}],
    "CheckInService.CorrectCheckIn": [{"checkIn": CHECK_IN}],
    "CheckInService.RetractCheckIn": [{"employeeId": "{agent}", "checkInId": "{check_in}"}],
    "CheckInService.ListCheckIns": [{"employeeId": "{agent}"}],
    "CheckInService.ListCheckInReads": [{"employeeId": "{agent}", **MONTHS}],
    "DetectionService.GetDetection": [{"detectionId": "{detection}"}],
    "DetectionService.ListDetections": [{}, {"employeeId": "{agent}"}],
    "DetectionService.DryRunDetection": [{"policy": POLICY, **SPAN}],
    "DirectoryService.CreateTeam": [{"team": {"teamId": "t-new", "displayName": "New"}}],
    "DirectoryService.UpdateTeam": [{"team": {"teamId": "{team}", "displayName": "Other"}}],
    "DirectoryService.GetTeam": [{"teamId": "{team}"}],
    "DirectoryService.ListTeams": [{}],
    "DirectoryService.AppointTeamLead": [{"teamId": "{team}", "leadId": "{lead}", "effectiveDate": "2019-01-01"}],
    "DirectoryService.HireEmployee": [
        {"employee": {"employeeId": "e-new", "displayName": "New", "hireDate": DAY, "teamId": "{team}"}}
    ],
    "DirectoryService.UpdateEmployee": [{"employee": {"employeeId": "{agent}", "displayName": "Other"}}],
    "DirectoryService.GetEmployee": [{"employeeId": "{agent}"}],
    "DirectoryService.ListEmployees": [{}],
    "DirectoryService.PlanRoster": [{"roster": {"employees": [{"employeeId": "{agent}"}]}}],
    "DirectoryService.ImportRoster": [{"roster": {"employees": [{"employeeId": "{agent}"}]}}],
    "DirectoryService.TransferEmployee": [{"employeeId": "{agent}", "teamId": "{team}", "effectiveDate": DAY}],
    "DirectoryService.ChangePosition": [{"employeeId": "{agent}", "position": "agent", "effectiveDate": DAY}],
    "DirectoryService.ChangeEmploymentStatus": [
        {"employeeId": "{agent}", "status": "EMPLOYMENT_STATUS_CONFIRMED", "effectiveDate": DAY}
    ],
    "FactsService.RecordFacts": [{"facts": [FACT]}],
    "FactsService.StreamFacts": [{"batch": {"facts": [FACT]}}],
    "FactsService.CorrectFact": [{"fact": FACT, **BECAUSE}],
    "FactsService.RetractFact": [{"readings": READINGS, **BECAUSE}],
    "FactsService.DisputeFact": [{"readings": READINGS, "reviewerId": "{reviewer}", **BECAUSE}],
    "FactsService.SettleFactDispute": [{"readings": READINGS, "outcome": "DISPUTE_OUTCOME_UPHELD", **BECAUSE}],
    "FactsService.ListFacts": [{"employeeId": "{agent}", **SPAN}],
    "FactsService.ListKpiResults": [
        {"groupBy": "GROUP_BY_EMPLOYEE", **SPAN},
        {"groupBy": "GROUP_BY_TEAM", **SPAN},
        {"groupBy": "GROUP_BY_CENTRE", "employeeId": "{agent}", **SPAN},
        {"groupBy": "GROUP_BY_CENTRE", "teamId": "{team}", "only": ("lead", "manager", *OVER_ALL), **SPAN},
        {"groupBy": "GROUP_BY_CENTRE", "only": OVER_ALL, **SPAN},
    ],
    "FactsService.RateMonth": [{"employeeId": "{agent}", "month": MONTH, "rating": "RATING_GOOD"}],
    "FactsService.ListRatings": [{"employeeId": "{agent}"}],
    "FactsService.FindPosition": [{"time": "2020-01-01T00:00:00Z"}],
    "KpiService.CreateKpi": [
        {
            "kpi": {
                "kpiId": "k-new",
                "displayName": "New",
                "unit": "UNIT_COUNT",
                "direction": "DIRECTION_HIGHER",
                "aggregation": "AGGREGATION_SUM",
                "scaleNumerator": "1",
                "scaleDenominator": "1",
            }
        }
    ],
    "KpiService.UpdateKpi": [{"kpi": {"kpiId": "{kpi}", "displayName": "Other"}}],
    "KpiService.GetKpi": [{"kpiId": "{kpi}"}],
    "KpiService.ListKpis": [{}],
    "KpiService.SetTarget": [{"target": {"kpiId": "{kpi}", "effectiveDate": DAY, "maximum": "10"}}],
    "KpiService.ListTargets": [{}],
    "LeadComparisonService.CompareLeads": [{"leadIds": ["{agent}", "{colleague}"], **MONTHS}],
    "OperationsService.ListFollowers": [{"service": "performance"}],
    "OperationsService.ListParked": [{"service": "performance"}],
    "OperationsService.RetryParked": [{"service": "performance", "follower": "records", "subject": "log.a.b"}],
    "OperationsService.SkipParked": [
        {
            "service": "performance",
            "follower": "records",
            "subject": "log.a.b",
            "position": 1,
            **BECAUSE,
        }
    ],
    "OperationsService.RebuildFollower": [{"service": "performance", "follower": "records"}],
    "PolicyService.SetPolicy": [{"policy": POLICY}],
    "PolicyService.GetPolicy": [{"policyId": "{form}"}],
    "PolicyService.ListPolicies": [{}],
    "RecordService.CreateRecords": [{"records": [RECORD]}],
    "RecordService.GetRecord": [{"recordId": "{record}"}],
    "RecordService.ListRecords": [{}, {"employeeId": "{agent}"}],
    "RecordService.CorrectRecord": [{"record": RECORD, **BECAUSE}],
    "RecordService.RetractRecord": [{"recordId": "{record}", **BECAUSE}],
    "RecordService.AcknowledgeRecord": [{"recordId": "{record}"}],
    "RecordService.DisputeRecord": [{"recordId": "{record}", "reviewerId": "{reviewer}", **BECAUSE}],
    "RecordService.SettleRecordDispute": [{"recordId": "{record}", "outcome": "DISPUTE_OUTCOME_UPHELD", **BECAUSE}],
    "RecordService.GetConduct": [{"employeeId": "{agent}"}],
    "ReportService.GetReport": [{"teamId": "{team}", **REPORT}, {"only": OVER_ALL, **REPORT}],
    "ReportService.ExportReport": [
        {"teamId": "{team}", "format": "csv", **REPORT},
        {"format": "csv", "only": OVER_ALL, **REPORT},
    ],
    "ScorecardService.GetScorecard": [{"employeeId": "{agent}", "month": MONTH}],
    "ScorecardService.ListScorecards": [{"teamId": "{team}", "month": MONTH}, {"month": MONTH, "only": OVER_ALL}],
    "ScorecardService.CloseMonth": [{"teamId": "{team}", "month": MONTH}, {"month": MONTH, "only": OVER_ALL}],
    "ScorecardService.ProposeRating": [{"employeeId": "{agent}", "month": MONTH, "rating": "RATING_GOOD", **BECAUSE}],
    "ScorecardService.DecideRating": [{"employeeId": "{agent}", "month": MONTH, "approve": True, **BECAUSE}],
}
"""By RPC, what is asked; `only`: of those whom the row names, who may ask that."""


def asked(name: str, said: Mapping[str, Any], ids: Mapping[str, str]) -> Asked:
    kind = GetMessageClass(METHODS[name].input_type)
    nothing = {**ids, **dict.fromkeys(("agent", "team", "record", "round", "detection", "check_in"), "none")}

    def request(about: Mapping[str, str]) -> Message:
        return ParseDict(told(dict(said), about), kind())

    return Asked(request(ids), request(nothing), frozenset(said["only"]) if "only" in said else None)


@pytest.fixture
async def ids(world: World) -> dict[str, str]:
    """Of an employee of whom there is something of every kind, of those around, and of what there is."""
    model = await stored_model(world)
    centre = await founded(world)
    agent, office = centre.agent, await world.team()
    found = {"team": centre.team, "kpi": await world.kpi(), "form": await form(world), "model": model.policy_id}
    found |= {"agent": agent, "lead": centre.lead, "manager": centre.manager, "hr": centre.hr}
    found |= {"other lead": centre.other_lead, "colleague": centre.colleague}
    for name in ("qa", "executive", "reviewer", "other reviewer", "other manager", "gone"):
        found[name] = await world.employee(office, job_family=name.replace(" ", "-"))
    leads, crew = await world.team(), await world.team()
    found["led"], other = await world.employee(crew), await world.employee(leads)
    for team, lead in ((leads, found["other manager"]), (crew, agent), (await world.team(), other)):
        await appoint(world, team, lead)
    gone = ChangeEmploymentStatusRequest(
        employee_id=found["gone"], status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-02-01"
    )
    await world.directory.ChangeEmploymentStatus(gone)

    await target(world, found["kpi"])
    await world.policies.SetPolicy(detecting(new_id("p"), rule(found["kpi"]), "2019-01-01"))
    await world.record(fact(agent, DAY, found["kpi"], 20), fact(found["led"], DAY, found["kpi"], 1))
    await judged(world)
    (detection,) = (await world.detections.ListDetections(ListDetectionsRequest(employee_id=agent))).detections
    readings = ReadingsOfDay(employee_id=agent, date=DAY, source="calls", kpi_ids=[found["kpi"]])
    await world.dispute(readings, found["reviewer"])
    record = evaluation(found["form"], agent, found["qa"], DAY)
    await create(world, record)
    dispute = DisputeRecordRequest(record_id=record.record_id, reason="not so", reviewer_id=found["reviewer"])
    await world.records.DisputeRecord(dispute, metadata=by(agent))
    calibration = await opened(world, found["form"], agent, found["reviewer"], found["other reviewer"])
    given = await centre.give(agent, check_in(agent))
    await open_(world, agent, model.policy_id)
    return found | {
        "detection": detection.detection_id,
        "record": record.record_id,
        "round": calibration.calibration_id,
        "check_in": given.check_in_id,
    }


def callers(ids: Mapping[str, str]) -> dict[str, Caller]:
    plain, leading = ("self", "employee"), ("self", "employee", "lead")
    return {
        "self": person(ids["agent"], "self", elsewhere=leading),
        "lead": person(ids["lead"], "lead", elsewhere=[*plain, "manager"]),
        "manager": person(ids["manager"], "manager", elsewhere=leading),
        "lead of another team": person(ids["other lead"], elsewhere=leading),
        "manager of another team": person(ids["other manager"], elsewhere=[*leading, "manager"]),
        **{name: person(ids[name], name, elsewhere=plain) for name in ("hr", "qa", "executive", "reviewer", "led")},
        "colleague": person(ids["colleague"], elsewhere=plain),
        "who has left": person(ids["gone"]),
        "nobody": person("nobody", elsewhere=()),
        **OTHERS,
    }


async def test_the_access_matrix(world: World, ids: dict[str, str]) -> None:
    """Every RPC, asked by everybody, ends as the table of rules says."""
    assert METHODS.keys() == ASKED.keys()
    requests = {METHODS[name]: [asked(name, one, ids) for one in said] for name, said in ASKED.items()}
    async with aio.insecure_channel(world.addresses["performance"]) as channel:
        assert await differences(channel, requests, callers(ids)) == []


async def test_lists_have_no_others(world: World, ids: dict[str, str]) -> None:
    """Of themself, of whom one leads, and of whom those lead; HR and QA of everybody."""
    end, agent, led = await world.end(), ids["agent"], ids["led"]

    async def shown(caller: str) -> list[set[str]]:
        """Employees, and whose results, records and detections there are."""
        who: Any = {"metadata": by(ids[caller])}
        results = ListKpiResultsRequest(
            start_date=DAY, end_date=DAY, group_by=ListKpiResultsRequest.GROUP_BY_EMPLOYEE, at_least=end
        )
        answers = (
            (await world.directory.ListEmployees(ListEmployeesRequest(at_least=end), **who)).employees,
            (await world.facts.ListKpiResults(results, **who)).results,
            (await world.records.ListRecords(ListRecordsRequest(at_least=end), **who)).records,
            (await world.detections.ListDetections(ListDetectionsRequest(at_least=end), **who)).detections,
        )
        return [{one.employee_id for one in each} for each in answers]

    assert await shown("led") == [{led}, {led}, set(), set()]
    assert await shown("agent") == [{agent, led}, {agent, led}, {agent}, {agent}]
    team = {agent, ids["colleague"]}
    assert await shown("lead") == [{ids["lead"], led} | team, {agent, led}, {agent}, {agent}]
    leads = {ids["lead"], ids["other lead"], ids["hr"]}  # HR is in the team of the leads
    assert await shown("manager") == [{ids["manager"]} | leads | team, {agent}, {agent}, {agent}]
    everybody, *rest = await shown("hr")
    assert everybody > {ids["executive"], ids["gone"]} | leads | team
    assert rest == [{agent, led}, {agent}, {agent}]


async def test_nobody_decides_about_themself(world: World, ids: dict[str, str]) -> None:
    """Whatever they are to the centre: not about their facts, their ratings, nor their employment."""
    hr, own = ids["hr"], by(ids["hr"])
    readings = ReadingsOfDay(employee_id=hr, date=DAY, source="calls", kpi_ids=[ids["kpi"]])
    for call in (
        world.facts.CorrectFact(CorrectFactRequest(fact=fact(hr, DAY, ids["kpi"], 1), reason="mine"), metadata=own),
        world.facts.RetractFact(RetractFactRequest(readings=readings, reason="mine"), metadata=own),
        world.facts.RateMonth(RateMonthRequest(employee_id=hr, month=MONTH, rating=RATING_GOOD), metadata=own),
        world.directory.ChangePosition(
            ChangePositionRequest(employee_id=hr, position="head", effective_date=DAY), metadata=own
        ),
    ):
        await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_a_lead_records_nothing_of_others(world: World, ids: dict[str, str]) -> None:
    """A request that is also about somebody else is refused whole."""
    own, other = (
        Record(record_id=new_id("r"), employee_id=ids[one], date=DAY, complaint=Complaint()) for one in ("agent", "led")
    )
    call = world.records.CreateRecords(CreateRecordsRequest(records=[own, other]), metadata=by(ids["lead"]))
    await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    taken = await world.records.CreateRecords(CreateRecordsRequest(records=[own]), metadata=by(ids["lead"]))
    assert taken.recorded == 1


async def test_who_is_led_does_not_see_what_managers_gave(world: World, ids: dict[str, str]) -> None:
    """In no answer; the assessed, and who is over them, do."""
    agent = ids["agent"]
    await give(world, agent, ids["lead"], "33333", "grasps it")
    assert not (await give(world, agent, ids["led"], "44444")).managers
    for caller, managers in (("led", 0), ("agent", 1), ("lead", 1), ("manager", 1), ("hr", 1)):
        request = ListAssessmentsRequest(employee_id=agent)
        (one,) = (await world.assessments.ListAssessments(request, metadata=by(ids[caller]))).assessments
        assert len(one.managers) == managers, caller


async def test_a_reviewer_reads_what_they_are_to_settle(world: World, ids: dict[str, str]) -> None:
    """That, and nothing else of somebody to whom they are nothing, until it is settled."""
    agent, reviewer = ids["agent"], ids["reviewer"]
    same_day = fact(agent, DAY, ids["kpi"], 7)
    same_day.source = "chats"
    await world.record(fact(agent, "2020-01-08", ids["kpi"], 9), same_day)
    end, denied = await world.end(), (StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")

    def listed(caller: str, start: str = "2020-01-01", last: str = "2020-01-31") -> Any:
        request = ListFactsRequest(employee_id=agent, start_date=start, end_date=last, at_least=end)
        return world.facts.ListFacts(request, metadata=by(caller))

    assert len((await listed(ids["lead"])).readings) > 3
    for start in ("2020-01-01", DAY):
        (one,) = (await listed(reviewer, start)).readings
        assert (one.date, one.source, one.numerator, one.disputed) == (DAY, "calls", 20, True)
    await refused(listed(reviewer, "2020-01-08"), *denied)
    await refused(listed(reviewer, "2019-12-31"), *denied)  # of more than a month
    await refused(listed(ids["other reviewer"]), *denied)
    readings = ReadingsOfDay(employee_id=agent, date=DAY, source="calls", kpi_ids=[ids["kpi"]])
    settle = SettleFactDisputeRequest(readings=readings, outcome=DISPUTE_OUTCOME_UPHELD, reason="it is so")
    await world.facts.SettleFactDispute(settle, metadata=by(reviewer))
    await refused(listed(reviewer), *denied)
