"""From the appointment to the end of a trial: seat, directory and candidacy follow each other by the log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.eventsourcing import Context
from services.promotion.candidacy import CANDIDACY
from services.promotion.career import CAREER
from services.promotion.competition import COMPETITION
from services.promotion.post import POST
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    ChangeEmploymentStatusRequest,
    Employee,
    GetEmployeeRequest,
    HireEmployeeRequest,
)
from stepladder.promotion.v1.candidacy_pb2 import Candidacy, GetCandidacyRequest
from stepladder.promotion.v1.career_pb2 import DecideAppointmentRequest, ReserveAppointment
from stepladder.promotion.v1.post_pb2 import ClaimSeats, GetPostRequest, Post, SetHeadcountRequest
from tests.promotion.candidacies import AGENT, APPOINT, HR, ID, REJECT, STAGES, START, WAY, by
from tests.promotion.test_competition import opening
from tests.refusals import refused
from tests.services import test_check_ins as actors
from tests.services.test_careers import ladder_of
from tests.services.world import World, caught_up, until


@dataclass
class Trial:
    """A competition for one seat, and a candidate who is trained for it."""

    world: World
    team: str
    post_id: str

    async def give(self, aggregate: Any, aggregate_id: str, command: Any, context: Context) -> Any:
        return await self.world.services["promotion"].commands.handle(aggregate, aggregate_id, command, context)

    async def appoint(self) -> None:
        step = by(HR, APPOINT, START)
        await self.give(CANDIDACY, ID, step.command, step.context)
        await self.settled()

    async def decide(self, *, confirmed: bool) -> None:
        request = DecideAppointmentRequest(
            employee_id=AGENT,
            appointment_id=ID,
            confirmed=confirmed,
            effective_date="2026-05-02",
            reason="seen every day",
        )
        await self.world.careers.DecideAppointment(request, metadata=actors.by(HR))
        await self.settled()

    async def settled(self) -> None:
        for _ in range(3):
            for service in ("promotion", "performance"):
                await caught_up(self.world, service)

    async def shown(self, day: str) -> tuple[str, int, bool]:
        request = GetEmployeeRequest(employee_id=AGENT, as_of=day)
        one: Employee = await self.world.directory.GetEmployee(request)
        return one.position, one.stars, one.acting

    async def post(self) -> Post:
        answer: Post = await self.world.posts.GetPost(GetPostRequest(post_id=self.post_id), metadata=actors.by(HR))
        return answer

    async def stage(self) -> Candidacy.State.ValueType:
        found = await self.world.services["promotion"].commands.load(CANDIDACY, ID)
        return found.state.stage


@pytest.fixture
async def trial(world: World) -> Trial:
    world.clock[0] = datetime(2026, 5, 2, 12, tzinfo=UTC)
    team = await world.team()
    for employee_id, family in ((AGENT, ""), (HR, "hr")):
        person = Employee(
            employee_id=employee_id,
            display_name="Somebody",
            hire_date="2019-01-01",
            team_id=team,
            job_family=family,
            position="agent",
            stars=2,
        )
        await world.directory.HireEmployee(HireEmployeeRequest(employee=person))
    await ladder_of(world)
    setting = SetHeadcountRequest(position="agent", stars=3, team_id=team, headcount=1, effective_date="2019-01-01")
    post: Post = await world.posts.SetHeadcount(setting, metadata=actors.by(HR))
    one = Trial(world, team, post.post_id)
    context = by(HR, APPOINT, START).context
    await one.give(POST, post.post_id, ClaimSeats(claim_id="c-1", seats=1), context)
    competition = opening(team_id=team)
    competition.post_id = post.post_id
    await one.give(COMPETITION, "c-1", competition, WAY[0].context)
    for step in WAY[: STAGES["TRAINED"]]:
        await one.give(CANDIDACY, ID, step.command, step.context)
    await one.give(CAREER, AGENT, ReserveAppointment(employee_id=AGENT, candidacy_id=ID), context)
    return one


async def test_a_trial_is_passed(trial: Trial) -> None:
    """The seat is taken from the appointment on; the directory shows it acting, then for good."""
    assert (await trial.post()).vacancies.claimed == 1
    await trial.appoint()
    seen = await trial.post()
    assert [list(one.employee_ids) for one in seen.claims] == [[AGENT]]
    assert (seen.vacancies.occupied, seen.vacancies.claimed) == (1, 0)
    assert await trial.shown("2026-03-31") == ("agent", 2, False)
    assert await trial.shown("2026-04-01") == ("agent", 3, True)
    await trial.decide(confirmed=True)
    assert await trial.shown("2026-05-01") == ("agent", 3, True)
    assert await trial.shown("2026-05-02") == ("agent", 3, False)
    assert await trial.stage() == Candidacy.STATE_CONFIRMED
    assert (await trial.post()).vacancies.occupied == 1


async def test_a_trial_is_failed(trial: Trial) -> None:
    """The seat is the competition's again, and the candidate is who they were."""
    await trial.appoint()
    await trial.decide(confirmed=False)
    assert await trial.shown("2026-05-02") == ("agent", 2, False)
    assert await trial.stage() == Candidacy.STATE_RETURNED
    request = GetCandidacyRequest(candidacy_id=ID)
    told: Candidacy = await trial.world.candidacies.GetCandidacy(request, metadata=actors.by(HR))
    assert (told.ended_by, told.ended_date) == (f"user:{HR}", "2026-05-02")
    assert told.ended_reason == "seen every day"
    found = (await trial.post()).vacancies
    assert (found.occupied, found.claimed, found.vacant) == (0, 1, 0)


async def test_who_is_rejected_is_free_for_another(trial: Trial) -> None:
    """What was reserved for the candidacy is released when it ends."""
    step = by(HR, REJECT, START)
    await trial.give(CANDIDACY, ID, step.command, step.context)
    await trial.settled()
    career = (await trial.world.services["promotion"].commands.load(CAREER, AGENT)).state
    assert (career.reserved_for, career.begun) == ("", {})


async def test_a_trial_of_who_has_left_has_failed(trial: Trial) -> None:
    """One that cannot begin, too: nothing waits for ever."""
    leaving = ChangeEmploymentStatusRequest(
        employee_id=AGENT, status=EMPLOYMENT_STATUS_LEFT, effective_date="2026-03-30"
    )
    await trial.world.directory.ChangeEmploymentStatus(leaving)
    await trial.appoint()
    assert await until(trial.stage, lambda stage: stage == Candidacy.STATE_RETURNED)
    assert (await trial.post()).vacancies.claimed == 1


async def test_a_trial_in_which_somebody_leaves_ends(trial: Trial) -> None:
    await trial.appoint()
    leaving = ChangeEmploymentStatusRequest(
        employee_id=AGENT, status=EMPLOYMENT_STATUS_LEFT, effective_date="2026-04-20"
    )
    await trial.world.directory.ChangeEmploymentStatus(leaving)
    assert await until(trial.stage, lambda stage: stage == Candidacy.STATE_RETURNED)
    await trial.settled()
    assert (await trial.post()).vacancies.claimed == 1
    for confirmed in (True, False):
        await refused(trial.decide(confirmed=confirmed), StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert (await trial.post()).vacancies.claimed == 1
