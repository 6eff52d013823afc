"""Starts the performance service: the only place where its real parts are built."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import MetaData

from libs.common.server import run
from libs.common.service import Service, run_service
from libs.facts.callers import standing_in
from libs.facts.catalogue import Catalogue
from libs.facts.check_ins import CheckIns
from libs.facts.people import People
from libs.facts.reaching import Reaches
from services.performance.appointing import FollowCareers
from services.performance.assessment_api import AssessmentApi
from services.performance.calibration_api import CalibrationApi
from services.performance.calibrations import Calibrations
from services.performance.check_in_api import CheckInApi
from services.performance.detection_api import DetectionApi
from services.performance.detections import Detections
from services.performance.directory_api import DirectoryApi
from services.performance.facts_api import FactsApi
from services.performance.judgements import JUDGE, JUDGE_PAST, RECONSIDER, REVISE
from services.performance.judging import Judging
from services.performance.kpi_api import KpiApi
from services.performance.lead_comparison_api import LeadComparisonApi
from services.performance.months import Months
from services.performance.policy_api import PolicyApi
from services.performance.record_api import RecordApi
from services.performance.records import Records
from services.performance.report_api import ReportApi
from services.performance.reports import Reports
from services.performance.results import Results
from services.performance.revising import Revising
from services.performance.roster_api import AtRiskApi
from services.performance.scorecard_api import ScorecardApi
from services.performance.scorecards import Scorecards
from stepladder.common.v1 import audit_pb2
from stepladder.performance.v1 import (
    assessment_pb2,
    calibration_pb2,
    check_in_pb2,
    detection_pb2,
    directory_pb2,
    events_pb2,
    facts_pb2,
    kpi_pb2,
    lead_comparison_pb2,
    policy_pb2,
    record_pb2,
    report_pb2,
    roster_pb2,
    scorecard_pb2,
)
from stepladder.promotion.v1 import events_pb2 as promotion_events

EVENTS = (events_pb2.DESCRIPTOR, audit_pb2.DESCRIPTOR, promotion_events.DESCRIPTOR)


def build(service: Service) -> Mapping[ServiceDescriptor, object]:
    metadata, service.standing = MetaData(), standing_in(service.commands)
    people, catalogue, results = People(metadata), Catalogue(metadata), Results(metadata)
    detections, scorecards = Detections(metadata), Scorecards(metadata)
    readings, violations, judgements = results.facts.readings, results.facts.violations, results.judgements
    at_people, at_catalogue, at_results = service.follow(people), service.follow(catalogue), service.follow(results)
    at_detections, at_scorecards = service.follow(detections), service.divide(scorecards)
    months = Months(
        service,
        people,
        catalogue,
        readings,
        service.together(at_people, at_catalogue, at_results, at_detections, at_scorecards),
    )
    judging = Judging(service, months, readings, violations, judgements, people, catalogue, detections, scorecards)
    revising = Revising(service, months, readings, judgements, judging)
    service.tick(
        at_results,
        judgements.deadlines,
        {RECONSIDER: revising.reconsider, REVISE: revising.revise},
        {JUDGE: judging.judge},
    )
    # Apart: what there was before a policy may take minutes, and nothing new should wait for it.
    service.tick(at_results, judgements.deadlines, {JUDGE_PAST: judging.judge_past})
    reaches = Reaches(service, people, at_people)
    records = Records(metadata)
    service.follow(FollowCareers(service, people, at_people))
    record = RecordApi(
        service, records, service.divide(records), violations, at_results, catalogue, at_catalogue, reaches
    )
    calibrations = Calibrations(metadata)
    calibration = CalibrationApi(service, calibrations, service.follow(calibrations), catalogue, at_catalogue)
    assessment = AssessmentApi(service, catalogue, at_catalogue)
    directory = DirectoryApi(service, people, at_people, reaches)
    kpis = KpiApi(service, catalogue, at_catalogue)
    policies = PolicyApi(service, catalogue, at_catalogue)
    facts = FactsApi(service, readings, at_results, people, at_people, scorecards, at_scorecards, reaches)
    cards = ScorecardApi(service, months, catalogue, scorecards, at_scorecards)
    comparison = LeadComparisonApi(service, months, people, catalogue, readings, scorecards)
    reports = Reports(service, months, people, catalogue, results, scorecards)
    report = ReportApi(service, reports, [at_people, at_catalogue, at_results, at_scorecards])
    detection = DetectionApi(service, judging, people, at_people, detections, at_detections, reaches)
    check_ins = CheckIns(metadata)
    at_check_ins = service.follow(check_ins)
    check_in = CheckInApi(service, check_ins, at_check_ins)
    at_risk = AtRiskApi(
        service, months, people, catalogue, readings, violations, scorecards, detections, check_ins, at_check_ins
    )
    return {
        directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"]: directory,
        kpi_pb2.DESCRIPTOR.services_by_name["KpiService"]: kpis,
        policy_pb2.DESCRIPTOR.services_by_name["PolicyService"]: policies,
        facts_pb2.DESCRIPTOR.services_by_name["FactsService"]: facts,
        record_pb2.DESCRIPTOR.services_by_name["RecordService"]: record,
        scorecard_pb2.DESCRIPTOR.services_by_name["ScorecardService"]: cards,
        detection_pb2.DESCRIPTOR.services_by_name["DetectionService"]: detection,
        lead_comparison_pb2.DESCRIPTOR.services_by_name["LeadComparisonService"]: comparison,
        assessment_pb2.DESCRIPTOR.services_by_name["AssessmentService"]: assessment,
        calibration_pb2.DESCRIPTOR.services_by_name["CalibrationService"]: calibration,
        check_in_pb2.DESCRIPTOR.services_by_name["CheckInService"]: check_in,
        roster_pb2.DESCRIPTOR.services_by_name["AtRiskService"]: at_risk,
        report_pb2.DESCRIPTOR.services_by_name["ReportService"]: report,
    }


if __name__ == "__main__":
    run(run_service("performance", EVENTS, build))
