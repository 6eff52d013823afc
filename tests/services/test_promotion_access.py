"""Who may call what of promotion: every method, asked by every kind of caller, against the table of rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

import stepladder.promotion.v1 as contract
from services.promotion.competition import COMPETITION
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, ChangeEmploymentStatusRequest
from stepladder.promotion.v1.competition_pb2 import CloseApplicationsRequest
from stepladder.promotion.v1.peer_score_pb2 import AskPeersRequest
from tests.services.access_matrix import OTHERS, Asked, Caller, differences, methods, person
from tests.services.competing import Competing, competing
from tests.services.test_candidacies import another
from tests.services.test_check_ins import appoint
from tests.services.world import World, caught_up

HELD = {"position": "deputy", "teamId": "{team}"}
SAID: Mapping[str, Any] = {
    "motivation": "x",
    "recommended": True,
    "interviewDate": "2026-03-09",
    "report": "x",
    "approved": True,
    "reason": "x",
    "objectionId": "o-1",
    "upheld": False,
    "startDate": "2026-04-01",
    "appointmentId": "a-1",
    "demotionId": "d-1",
    "criterionId": "tenure",
    "ladderId": "{ladder}",
    "rungId": "deputy",
    "format": "html",
}
"""What requests say that have such a field, where nothing else is named."""
REQUESTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "CandidacyService.Apply": [{}],
    "CandidacyService.ReviewAsLead": [{}],
    "CandidacyService.ReviewAsManager": [{"score": "50"}],
    "CandidacyService.ReviewTwoLevels": [{}],
    "CandidacyService.ScoreInterview": [
        {"answers": [{"questionId": "q-calm", "band": {"bandId": "high", "points": 15}}], "notes": "clear"}
    ],
    "CandidacyService.RaiseObjection": [{}],
    "CandidacyService.SettleObjection": [{}],
    "CandidacyService.ApproveCandidacy": [{"etag": "1"}],
    "CandidacyService.IssueLetter": [{}],
    "CandidacyService.PassPostTraining": [{}],
    "CandidacyService.AppointCandidacy": [{"etag": "1"}],
    "CandidacyService.WithdrawCandidacy": [{}],
    "CandidacyService.RejectCandidacy": [{}],
    "CandidacyService.GetCandidacy": [{}],
    "CandidacyService.ListCandidacies": [{}, {"employeeId": None, "competitionId": None}],
    "PeerScoreService.AskPeers": [{"peerIds": ["{peer_1}", "{peer_2}", "{peer_3}"]}],
    "PeerScoreService.GivePeerScore": [{"score": "50"}],
    "PeerScoreService.ClosePeers": [{}],
    "PeerScoreService.GetPeerScoring": [{}],
    "PeerScoreService.ListPeerScoringsAskedOfMe": [{}],
    "ScoreService.GetScore": [{}],
    "ScoreService.GetInterviewSpread": [{}],
    "ScoreService.DryRunRanking": [{"cycleId": None, "policyPosition": 1}],
    "DocumentService.ExportPublicList": [{}],
    "DocumentService.ExportLetter": [{}],
    "DocumentService.ExportCandidacyFile": [{}],
    "CareerService.WaiveCriterion": [{"untilDate": "2199-01-01"}],
    "CareerService.WithdrawWaiver": [{}],
    "CareerService.BeginActing": [{"held": HELD, "untilDate": "2026-05-01"}],
    "CareerService.DecideAppointment": [{"confirmed": True, "effectiveDate": "2026-04-02"}],
    "CareerService.ProposeDemotion": [{"removed": False, "held": HELD}],
    "CareerService.DecideDemotion": [{"effectiveDate": "2026-04-02"}],
    "CareerService.DismissDemotion": [{}],
    "CareerService.GetCareer": [{}],
    "CareerService.ListAppointments": [{}, {"employeeId": None}],
    "PostService.SetHeadcount": [{"position": "deputy", "headcount": 1, "effectiveDate": "2026-04-01"}],
    "PostService.GetPost": [{}],
    "PostService.ListPosts": [{}, {"teamId": None}],
    "EligibilityService.GetEligibility": [{}],
    "EligibilityService.ListEligibilities": [{"teamId": None}],
    "EligibilityService.WatchEligibilities": [{"employeeId": None, "teamId": None}],
    "EligibilityService.ListTalents": [{"teamId": None}],
    "EligibilityService.DryRunEligibility": [
        {"policyPosition": 1, "firstMonth": "2026-02", "lastMonth": "2026-02"},
    ],
    "FairnessService.DeclareGroups": [{}],
    "FairnessService.GetDeclaredGroups": [{}],
    "FairnessService.GetFairness": [{"cycleId": None}],
    "CycleService.OpenCycle": [
        {
            "own": {
                "cycleId": "c-own",
                "displayName": "x",
                "endDate": "2026-05-01",
                "applicationsUntil": "2026-04-01",
            }
        }
    ],
    "CycleService.CloseCycle": [{}],
    "CycleService.GetCycle": [{}],
    "CycleService.ListCycles": [{}],
    "CompetitionService.OpenCompetition": [{"seats": 1}],
    "CompetitionService.CloseApplications": [{}],
    "CompetitionService.SetPanel": [{"interviewerIds": ["{interviewer}", "{other_interviewer}"]}],
    "CompetitionService.DeclareConflict": [{"interviewerId": "{interviewer}"}],
    "CompetitionService.RankCompetition": [{}],
    "CompetitionService.PublishList": [{}],
    "CompetitionService.GetCompetition": [{}],
    "CompetitionService.ListCompetitions": [{}],
    "CompetitionService.GetPublicList": [{}],
    "CompetitionService.GetInterviewQuestions": [{}],
    "CompetitionService.CloseCompetition": [{"cancelled": True}],
}
"""By method, in the order in which what changes something is said: what is asked, besides ids and `SAID`; None: that is
left out.
"""
METHODS = {f"{method.containing_service.name}.{method.name}": method for method in methods(contract)}


def filled(said: Any, ids: Mapping[str, str]) -> Any:
    """With the ids that are named in braces."""
    match said:
        case dict():
            return {key: filled(value, ids) for key, value in said.items()}
        case list():
            return [filled(value, ids) for value in said]
        case str():
            return said.format(**ids)
    return said


def asked(method: MethodDescriptor, more: Mapping[str, Any], there: Mapping[str, str], ids: Mapping[str, str]) -> Asked:
    """A request about what is there, and about nothing."""

    def request(about: Mapping[str, str]) -> Any:
        said = {**SAID, **about}
        plain = {one.json_name: said[one.json_name] for one in method.input_type.fields if one.json_name in said}
        whole = {key: value for key, value in {**plain, **more}.items() if value is not None}
        return ParseDict(filled(whole, ids), GetMessageClass(method.input_type)())

    return Asked(request(there), request(dict.fromkeys(there, "none")))


@pytest.fixture
async def people(world: World) -> Competing:
    """A candidacy for two levels that was reviewed, and that peers are asked about; others lead by now."""
    people = await another(await competing(world), "head")
    await people.apply()
    await people.apply(people.agents[1])
    await people.reviewed()
    await people.say(AskPeersRequest(candidacy_id=people.key, peer_ids=people.agents[-3:]), people.hr[0], "peer_scores")
    await people.command(COMPETITION, people.id, CloseApplicationsRequest(competition_id=people.id))
    return people


async def callers(people: Competing) -> dict[str, Caller]:
    """Everybody there is, by what they are to the candidate, and to the candidacy."""
    world = people.world
    offices = [await world.team() for _ in range(4)]
    lead, manager, other_lead, other_manager = [await world.employee(office) for office in offices]
    other_team = await world.team()
    over = {people.team: lead, offices[0]: manager, other_team: other_lead, offices[2]: other_manager}
    for team, one in over.items():
        await appoint(world, team, one)
    gone = await world.employee(other_team, job_family="hr")
    leaving = ChangeEmploymentStatusRequest(
        employee_id=gone, status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-01-01"
    )
    await world.directory.ChangeEmploymentStatus(leaving)
    leads, manages = ("self", "lead"), ("self", "lead", "manager")
    await caught_up(world, "promotion")
    return {
        **OTHERS,
        "self": person(people.candidate, "self", elsewhere=["employee"]),
        "lead": person(lead, "employee", "lead"),
        "manager": person(manager, "employee", "manager", elsewhere=leads),
        "lead at the application": person(people.lead, "employee", "reviewing-lead"),
        "manager at the application": person(people.manager, "employee", "reviewing-manager", elsewhere=leads),
        "lead of another team": person(other_lead, "employee", elsewhere=leads),
        "manager of another team": person(other_manager, "employee", elsewhere=manages),
        "hr": person(people.hr[0], "employee", "hr"),
        "qa": person(await world.employee(other_team, job_family="qa"), "employee", "qa"),
        "executive": person(people.chair, "employee", "executive"),
        "interviewer": person(people.panel[0], "employee", "interviewer"),
        "peer": person(people.agents[-1], "employee", "peer"),
        "rival": person(people.agents[1], "employee"),
        "colleague": person(people.agents[2], "employee"),
        "who has left": person(gone),
        "nobody": person("e-nobody", elsewhere=[]),
        "anonymous": person("anonymous", elsewhere=[]),
    }


def test_every_method_is_asked() -> None:
    """One that is new has to be entered above before anything else is green."""
    assert METHODS.keys() == REQUESTS.keys()


async def test_who_may_call_what(people: Competing) -> None:
    """As the table says; whoever it does not name hears the same, whether there is something or not."""
    everybody = await callers(people)
    there = {
        "candidacyId": people.key,
        "competitionId": people.id,
        "employeeId": people.candidate,
        "postId": people.post,
        "teamId": people.team,
        "cycleId": "by-hand",
    }
    interviewer, other = people.panel
    ids = {
        "team": people.team,
        "ladder": people.ladder,
        **{f"peer_{number}": peer for number, peer in enumerate(people.agents[-3:], 1)},
        "interviewer": interviewer,
        "other_interviewer": other,
    }
    requests = {
        METHODS[name]: [asked(METHODS[name], more, there, ids) for more in several]
        for name, several in REQUESTS.items()
    }
    async with grpc.aio.insecure_channel(people.world.addresses["promotion"]) as channel:
        assert await differences(channel, requests, everybody) == []
