"""Starts the promotion service: the only place where its real parts are built."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import MetaData

from libs.common.server import run
from libs.common.service import Service, run_service
from libs.facts.callers import standing_in
from libs.facts.catalogue import Catalogue
from libs.facts.people import People
from libs.facts.reaching import Reaches
from services.promotion.appointing import AppointCandidates, EndTrials, TakeSeats
from services.promotion.candidacies import Candidacies
from services.promotion.candidacy_api import CandidacyApi
from services.promotion.candidacy_policies import MoveNotices, TakePeerScores
from services.promotion.candidates import Candidates
from services.promotion.career_api import CareerApi
from services.promotion.careers import BEGUN, END, Careers
from services.promotion.competition_api import CompetitionApi
from services.promotion.competition_policies import FollowCandidacies, FollowCompetitions
from services.promotion.competitions import CLOSE_APPLICATIONS, Competitions
from services.promotion.cycle_api import CycleApi
from services.promotion.cycles import CLOSE, OPEN, Cycles
from services.promotion.document_api import DocumentApi
from services.promotion.drifting import Drifting
from services.promotion.eligibilities import Eligibilities
from services.promotion.eligibility_api import EligibilityApi
from services.promotion.eligibility_changes import EVERYBODY, SOMEBODY, VACANCIES, Projection, Touched
from services.promotion.fairness_api import FairnessApi
from services.promotion.histories import Histories
from services.promotion.holders import Holders
from services.promotion.peer_score_api import PeerScoreApi
from services.promotion.peer_scorings import PeerScorings
from services.promotion.post_api import PostApi
from services.promotion.posts import Posts
from services.promotion.rankings import Rankings
from services.promotion.rungs import Rungs
from services.promotion.score_inputs import ScoreInputs
from services.promotion.scoring_api import ScoreApi
from services.promotion.seats import Seats
from services.promotion.stages import Stages
from services.promotion.unfinished import Undoing, Unfinished
from services.promotion.vacancies import Vacancies
from stepladder.coaching.v1 import events_pb2 as coaching_events
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.promotion.v1 import (
    candidacy_pb2,
    career_pb2,
    competition_pb2,
    cycle_pb2,
    document_pb2,
    eligibility_pb2,
    events_pb2,
    fairness_pb2,
    peer_score_pb2,
    post_pb2,
    scoring_pb2,
)

EVENTS = (events_pb2.DESCRIPTOR, performance_events.DESCRIPTOR, coaching_events.DESCRIPTOR)


def build(service: Service) -> Mapping[ServiceDescriptor, object]:
    metadata, service.standing = MetaData(), standing_in(service.commands)
    people, catalogue = People(metadata), Catalogue(metadata)
    at_people, at_catalogue = service.follow(people), service.follow(catalogue)
    reaches = Reaches(service, people, at_people)
    rungs = Rungs(service, catalogue, at_catalogue)
    cycles = Cycles(metadata)
    at_cycles = service.follow(cycles)
    cycle = CycleApi(service, cycles, at_cycles, catalogue, at_catalogue)
    by_site = service.site_clock
    service.tick(at_cycles, cycles.deadlines, {OPEN: cycle.open_regular, CLOSE: cycle.close}, now=by_site)
    posts = Posts(metadata)
    at_posts = service.follow(posts)
    histories = Histories(metadata)
    at_histories = service.divide(histories)
    holders = Holders(service.engine, histories, people)
    seats = Seats(service, holders, service.together(at_people, at_histories), rungs)
    together = service.together(at_people, at_catalogue, at_histories, at_posts)
    vacancies = Vacancies(service.commands, service.engine, posts, holders)
    eligibilities = Eligibilities(service.engine, histories, catalogue, vacancies, together)
    touched = Touched(metadata)
    projection = Projection(service, touched, eligibilities, people)
    judging = {
        EVERYBODY: projection.judge_everybody,
        VACANCIES: projection.judge_vacancies,
        SOMEBODY: projection.judge,
    }
    service.tick(service.follow(touched), touched.deadlines, {}, judging, now=by_site)
    careers = Careers(metadata)
    at_careers = service.follow(careers)
    career = CareerApi(service, reaches, careers, at_careers, seats, rungs)
    service.tick(at_careers, careers.deadlines, {END: career.end, BEGUN: career.end}, now=by_site)
    stages, unfinished = Stages(metadata), Unfinished(metadata)
    service.tick(service.follow(unfinished), unfinished.deadlines, Undoing(service, seats).commands)
    at_stages = service.together(at_catalogue, service.follow(stages))
    fairness = FairnessApi(service, stages, catalogue, at_stages)
    candidacies = Candidacies(metadata)
    at_candidacies = service.follow(candidacies)
    candidates = Candidates(service, candidacies, at_candidacies, catalogue, at_catalogue)
    inputs = ScoreInputs(service, histories, catalogue, together)
    rankings = Rankings(service, candidates, inputs)
    competitions = Competitions(metadata)
    at_competitions = service.follow(competitions)
    competition = CompetitionApi(
        service, competitions, at_competitions, catalogue, at_catalogue, seats, candidates, rankings
    )
    closing = {CLOSE_APPLICATIONS: competition.close_applications}
    service.tick(at_competitions, competitions.deadlines, closing, now=by_site)
    drifting = Drifting(service, candidacies, at_candidacies, candidates, eligibilities, inputs)
    scorings = PeerScorings(metadata)
    candidacy = CandidacyApi(
        service,
        reaches,
        candidacies,
        at_candidacies,
        candidates,
        eligibilities,
        histories,
        at_histories,
        seats,
        drifting,
    )
    scores = ScoreApi(service, candidates, inputs, candidacy, stages, catalogue, at_stages)
    for policy in (
        TakeSeats(service),
        EndTrials(service),
        AppointCandidates(service, rungs),
        FollowCompetitions(service, candidates, seats),
        FollowCandidacies(service),
        TakePeerScores(service),
        MoveNotices(service, candidacies, at_candidacies, catalogue, at_catalogue),
        drifting,
    ):
        service.follow(policy)
    return {
        candidacy_pb2.DESCRIPTOR.services_by_name["CandidacyService"]: candidacy,
        peer_score_pb2.DESCRIPTOR.services_by_name["PeerScoreService"]: PeerScoreApi(
            service, candidacy, candidates, scorings, service.follow(scorings)
        ),
        eligibility_pb2.DESCRIPTOR.services_by_name["EligibilityService"]: EligibilityApi(
            service, reaches, people, eligibilities, touched.changes
        ),
        competition_pb2.DESCRIPTOR.services_by_name["CompetitionService"]: competition,
        cycle_pb2.DESCRIPTOR.services_by_name["CycleService"]: cycle,
        document_pb2.DESCRIPTOR.services_by_name["DocumentService"]: DocumentApi(
            service, catalogue, at_catalogue, competition, candidacy, scores
        ),
        post_pb2.DESCRIPTOR.services_by_name["PostService"]: PostApi(service, reaches, posts, at_posts, seats, rungs),
        career_pb2.DESCRIPTOR.services_by_name["CareerService"]: career,
        fairness_pb2.DESCRIPTOR.services_by_name["FairnessService"]: fairness,
        scoring_pb2.DESCRIPTOR.services_by_name["ScoreService"]: scores,
    }


if __name__ == "__main__":
    run(run_service("promotion", EVENTS, build))
