"""Starts the coaching service: the only place where its real parts are built."""

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
from services.coaching.before_after import BeforeAndAfter
from services.coaching.case_file_api import CaseFileApi
from services.coaching.comparison_api import ComparisonApi
from services.coaching.drifting import FACTS, EvidenceWatch, Holder
from services.coaching.duties import Duties
from services.coaching.effect_api import EffectApi
from services.coaching.facts import Facts
from services.coaching.masteries import Masteries
from services.coaching.mastery_api import MasteryApi
from services.coaching.measuring import Measuring
from services.coaching.patterns import Patterns
from services.coaching.pip import PIP
from services.coaching.pip_api import PipApi
from services.coaching.pip_state import pins_of
from services.coaching.pips import CALL, FOLLOW_LEAVE, Leaves, Pips
from services.coaching.plan import PLAN, pins
from services.coaching.plan_api import PlanApi
from services.coaching.plans import REASSESS, Plans
from services.coaching.policies import EndSessions, KeepStandings, ProposePlans, WatchPipRecords
from services.coaching.rhythm_api import RhythmApi
from services.coaching.rules import RuleBook
from services.coaching.separation_api import SeparationApi
from services.coaching.session_api import SessionApi
from services.coaching.sessions import Sessions
from services.coaching.shared_problems import SharedProblems
from services.coaching.sharing_api import SharingApi
from services.coaching.sharings import Sharings
from services.coaching.suggestion_api import SuggestionApi
from services.coaching.suggestions import Suggestions
from services.coaching.training_api import TrainingApi
from services.coaching.trainings import Trainings
from services.coaching.worklist import Worklists
from services.coaching.worklist_api import WorklistApi
from stepladder.coaching.v1 import (
    case_file_pb2,
    comparison_pb2,
    effect_pb2,
    events_pb2,
    mastery_pb2,
    pip_pb2,
    plan_pb2,
    rhythm_pb2,
    separation_pb2,
    session_pb2,
    sharing_pb2,
    suggestion_pb2,
    training_pb2,
    worklist_pb2,
)
from stepladder.coaching.v1.pip_pb2 import NotePipDrift
from stepladder.coaching.v1.plan_pb2 import NotePinDrift
from stepladder.common.v1 import audit_pb2
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.promotion.v1 import events_pb2 as promotion_events

EVENTS = (events_pb2.DESCRIPTOR, audit_pb2.DESCRIPTOR, performance_events.DESCRIPTOR, promotion_events.DESCRIPTOR)


def build(service: Service) -> Mapping[ServiceDescriptor, object]:
    metadata, service.standing = MetaData(), standing_in(service.commands)
    people, catalogue, facts = People(metadata), Catalogue(metadata), Facts(metadata)
    at_people, at_catalogue, at_facts = service.follow(people), service.follow(catalogue), service.divide(facts)
    together = service.together(at_people, at_catalogue, at_facts)
    measuring = Measuring(service, facts, catalogue, together)
    rule_book = RuleBook(service, catalogue, at_catalogue)
    reaches = Reaches(service, people, at_people)
    plans, pips, leaves = Plans(metadata), Pips(metadata), Leaves(metadata)
    at_plans, at_pips = service.follow(plans), service.follow(pips)
    plans_held = Holder(
        service=service,
        measuring=measuring,
        aggregate=PLAN,
        model=plans,
        together=service.together(at_plans),
        employee_of=lambda state: state.proposed.employee_id,
        pins=pins,
        note=lambda plan_id, measured: NotePinDrift(plan_id=plan_id, pins=measured),
    )
    pips_held = Holder(
        service=service,
        measuring=measuring,
        aggregate=PIP,
        model=pips,
        together=service.together(at_pips),
        employee_of=lambda state: state.employee_id,
        pins=pins_of,
        note=lambda _, measured: NotePipDrift(pins=measured),
    )
    at_watch = service.divide(EvidenceWatch("watch-evidence", (*FACTS, *plans.subjects), [plans_held, pips_held]))
    service.follow(EvidenceWatch("watch-pips", pips.subjects, [pips_held]))
    service.follow(ProposePlans(service.commands, service.now, service.today))
    service.follow(WatchPipRecords(service.commands, service.now, service.today))
    service.follow(KeepStandings(service.commands, service.now, service.today))
    api = PlanApi(service, reaches, plans, at_plans, measuring, rule_book, plans_held, at_watch)
    service.tick(at_plans, plans.deadlines, {REASSESS: api.call_reassessment})
    pip_api = PipApi(service, pips, at_pips, measuring, rule_book, pips_held, reaches)
    service.tick(at_pips, pips.deadlines, {CALL: pip_api.call, FOLLOW_LEAVE: pip_api.follow_leave})
    by_site = service.site_clock
    service.tick(service.follow(leaves), leaves.deadlines, {FOLLOW_LEAVE: pip_api.follow_leave}, now=by_site)
    sessions = Sessions(metadata)
    at_sessions = service.follow(sessions)
    service.follow(EndSessions(service, sessions, at_sessions))
    patterns = Patterns(metadata)
    at_patterns = service.follow(patterns)
    suggestions, masteries = Suggestions(metadata), Masteries(metadata)
    check_ins = CheckIns(metadata)
    duties = Duties(
        service,
        people,
        catalogue,
        plans,
        sessions,
        service.together(at_people, at_catalogue, at_plans, at_sessions),
        check_ins,
        service.follow(check_ins),
    )
    trainings, sharings = Trainings(metadata), Sharings(metadata)
    at_suggestions, at_trainings = service.follow(suggestions), service.follow(trainings)
    worklists = Worklists(service, duties, plans, sessions, suggestions, trainings, pips)
    shared_problems = SharedProblems(service, people, facts, measuring, together)
    before_and_after = BeforeAndAfter(service, people, measuring)
    return {
        plan_pb2.DESCRIPTOR.services_by_name["PlanService"]: api,
        pip_pb2.DESCRIPTOR.services_by_name["PipService"]: pip_api,
        case_file_pb2.DESCRIPTOR.services_by_name["CaseFileService"]: CaseFileApi(
            service, sessions, at_sessions, pip_api
        ),
        separation_pb2.DESCRIPTOR.services_by_name["SeparationService"]: SeparationApi(service),
        comparison_pb2.DESCRIPTOR.services_by_name["ComparisonService"]: ComparisonApi(
            service, catalogue, patterns, service.together(at_catalogue, at_patterns)
        ),
        session_pb2.DESCRIPTOR.services_by_name["SessionService"]: SessionApi(service, sessions, at_sessions),
        effect_pb2.DESCRIPTOR.services_by_name["EffectService"]: EffectApi(
            service, plans, service.together(at_people, at_catalogue, at_facts, at_plans), measuring
        ),
        rhythm_pb2.DESCRIPTOR.services_by_name["RhythmService"]: RhythmApi(service, duties, sessions),
        worklist_pb2.DESCRIPTOR.services_by_name["WorklistService"]: WorklistApi(
            service, duties, worklists, [at_suggestions, at_trainings, at_pips]
        ),
        suggestion_pb2.DESCRIPTOR.services_by_name["SuggestionService"]: SuggestionApi(
            service, suggestions, at_suggestions, rule_book
        ),
        mastery_pb2.DESCRIPTOR.services_by_name["MasteryService"]: MasteryApi(
            service, reaches, masteries, service.follow(masteries), rule_book
        ),
        training_pb2.DESCRIPTOR.services_by_name["TrainingService"]: TrainingApi(
            service, reaches, trainings, at_trainings, measuring, shared_problems, before_and_after
        ),
        sharing_pb2.DESCRIPTOR.services_by_name["SharingService"]: SharingApi(
            service, reaches, sharings, service.follow(sharings), measuring, before_and_after, rule_book
        ),
    }


if __name__ == "__main__":
    run(run_service("coaching", EVENTS, build))
