"""Who is told what was said of a candidacy: every RPC of promotion, asked by every kind of caller, is searched."""

from dataclasses import dataclass

import pytest

import stepladder.promotion.v1
from services.promotion.competition import COMPETITION
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, ChangeEmploymentStatusRequest
from stepladder.promotion.v1 import candidacy_pb2 as pb
from stepladder.promotion.v1 import competition_pb2
from tests.refusals import refused
from tests.services.competing import Competing, competing
from tests.services.competing import answers as scored
from tests.services.test_candidacies import NEED_TO_KNOW
from tests.services.test_check_ins import appoint
from tests.services.test_peer_scores import CHANGING, answers
from tests.services.world import World, caught_up

MOTIVATION, REPORT, NOTES, OTHER_NOTES = "I keep calm", "good with people", "first of the panel", "second of the panel"
OBJECTION, SETTLEMENT, CONFLICT = "took my calls", "the calls were theirs", "they are cousins"
SAYINGS = {*CHANGING, "RaiseObjection"}
"""What would change what is looked for."""


@dataclass(frozen=True, slots=True)
class Told:
    """Callers by what they are, and who hears what."""

    people: Competing
    callers: dict[str, str]

    async def who_hears(self, *words: str) -> dict[str, set[str]]:
        heard: dict[str, set[str]] = {word: set() for word in words}
        for role, person in self.callers.items():
            found = await answers(self.people, person, without=SAYINGS, contracts=[stepladder.promotion.v1])
            for word in words:
                if any(word in text for text in found):
                    heard[word].add(role)
        return heard


@pytest.fixture
async def told(world: World) -> Told:
    """A panel of two who score, one with a conflict of interest, one of HR; a candidate and a rival."""
    people = await competing(world)
    office = (await world.employee(people.team), await world.employee(people.team))
    former_interviewer, cousin = office
    former_lead = await world.employee(people.team)
    hr_interviewer = people.hr[2]
    await appoint(world, people.team, former_lead, "2019-01-01")
    await appoint(world, people.team, people.lead, "2019-06-01")
    await panel(people, *people.panel, former_interviewer)
    await panel(people, *people.panel, cousin, hr_interviewer)
    await people.apply()
    await people.apply(people.agents[1])
    conflict = competition_pb2.DeclareConflictRequest(
        competition_id=people.id, interviewer_id=cousin, candidacy_id=people.key, reason=CONFLICT
    )
    await people.say(conflict, cousin, "competitions")
    await people.reviewed()
    for person, notes in zip((*people.panel, hr_interviewer), (NOTES, OTHER_NOTES, "of HR"), strict=True):
        await people.act(pb.ScoreInterviewRequest, person, answers=scored(15), notes=notes)
    await caught_up(world, "promotion")
    return Told(
        people,
        {
            "hr": people.hr[0],
            "hr of the panel": hr_interviewer,
            "lead": people.lead,
            "manager": people.manager,
            "executive": people.chair,
            "first": people.panel[0],
            "second": people.panel[1],
            "in conflict": cousin,
            "former interviewer": former_interviewer,
            "former lead": former_lead,
            "rival": people.agents[1],
            "colleague": people.agents[2],
            "nobody": "e-nobody",
            "candidate": people.candidate,
        },
    )


async def panel(people: Competing, *interviewers: str) -> None:
    request = competition_pb2.SetPanelRequest(competition_id=people.id, interviewer_ids=interviewers)
    before = (await people.service.commands.load(COMPETITION, people.id)).state.panel
    command = competition_pb2.SetPanel(
        request=request, minimum_interviewers=2, question_ids=before.question_ids, bank_position=before.bank_position
    )
    await people.command(COMPETITION, people.id, command)


PANEL = {"hr of the panel", "first", "second"}
REVIEWING = {"hr", "lead", "manager"}


async def test_from_interviews_to_an_objection(told: Told) -> None:
    """What an interviewer said only they hear, and HR who does not interview; once it is ranked, all who see it.

    Words of an objection, and who raised it, are for HR only. Who has left is told nothing any more.
    """
    assert await told.who_hears(MOTIVATION, REPORT, NOTES, OTHER_NOTES, CONFLICT) == {
        MOTIVATION: REVIEWING | PANEL | {"candidate"},
        REPORT: REVIEWING | {"candidate"},
        NOTES: {"hr", "first"},
        OTHER_NOTES: {"hr", "second"},
        CONFLICT: {"hr", "hr of the panel", "in conflict"},
    }
    people = told.people
    people.at("2026-03-16")
    await people.listed()
    objector = await people.world.employee(people.team)
    raise_it = pb.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason=OBJECTION)
    raised = await people.say(raise_it, objector)
    settle = pb.SettleObjectionRequest(
        candidacy_id=people.key, objection_id=raised.objection_id, reason=SETTLEMENT, upheld=False
    )
    await people.say(settle, people.hr[1])
    by_hr = {"hr", "hr of the panel"}
    words = (REPORT, NOTES, OTHER_NOTES, OBJECTION, objector, raised.objection_id, SETTLEMENT, CONFLICT)
    seeing = REVIEWING | by_hr | {"candidate"}
    assert await told.who_hears(*words) == {
        REPORT: seeing,
        NOTES: seeing | PANEL,
        OTHER_NOTES: seeing | PANEL,
        OBJECTION: by_hr,
        objector: by_hr,
        raised.objection_id: by_hr,
        SETTLEMENT: seeing,
        CONFLICT: by_hr | {"in conflict"},
    }
    await people.seen(people.panel[0])
    for person in (people.panel[0], told.callers["in conflict"]):
        left = ChangeEmploymentStatusRequest(
            employee_id=person, status=EMPLOYMENT_STATUS_LEFT, effective_date="2026-03-09"
        )
        await people.world.directory.ChangeEmploymentStatus(left)
        await refused(people.seen(person), *NEED_TO_KNOW)
        scoring = people.act(pb.ScoreInterviewRequest, person, answers=scored(15), notes=NOTES)
        await refused(scoring, *NEED_TO_KNOW)
