"""Careers over gRPC: posts held acting and for good, with seats and with what the directory shows of it."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from grpc import StatusCode
from structlog.testing import capture_logs

from libs.common.eventsourcing import Context
from libs.common.rebuilding import rebuild
from services.promotion.career import CAREER, acting_claim
from services.promotion.post import POST
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    Employee,
    GetEmployeeRequest,
    GetTeamRequest,
)
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, EligibilityRules, Ladder
from stepladder.promotion.v1 import career_pb2
from stepladder.promotion.v1.career_pb2 import (
    Appointment,
    BeginActingRequest,
    BeginAppointment,
    Career,
    DecideAppointmentRequest,
    DecideDemotionRequest,
    Demotion,
    GetCareerRequest,
    Held,
    ListAppointmentsRequest,
    Place,
    ProposeDemotionRequest,
    ReserveAppointment,
    WaiveCriterionRequest,
    WithdrawWaiverRequest,
)
from stepladder.promotion.v1.post_pb2 import (
    ClaimSeats,
    GetPostRequest,
    ListPostsRequest,
    Post,
    ReleaseSeats,
    SetHeadcountRequest,
)
from tests.refusals import refused
from tests.services.test_check_ins import appoint, by
from tests.services.world import World, caught_up, new_id, until


@dataclass
class Centre:
    """A team with a lead, two agents, a manager over it; two of HR, an executive; a ladder from agent to lead."""

    world: World
    team: str
    lead: str
    agent: str
    colleague: str
    manager: str
    hr: str
    hr2: str
    executive: str
    ladder: str

    @property
    def today(self) -> str:
        return self.later(0)

    def later(self, days: int) -> str:
        """The day so many days from today."""
        return (self.world.services["promotion"].today() + timedelta(days=days)).isoformat()

    async def headcount(self, headcount: int, position: str = "deputy", **more: Any) -> Post:
        request = SetHeadcountRequest(
            position=position, team_id=self.team, headcount=headcount, effective_date="2019-01-01"
        )
        request.MergeFrom(SetHeadcountRequest(**more))
        answer: Post = await self.world.posts.SetHeadcount(request, metadata=by(self.hr))
        return answer

    def acting(self, employee_id: str = "", position: str = "deputy", **more: Any) -> BeginActingRequest:
        start = date.fromisoformat(more.get("start_date", self.today))
        request = BeginActingRequest(
            employee_id=employee_id or self.agent,
            appointment_id="acting-1",
            held=Held(position=position, team_id=self.team),
            start_date=self.today,
            until_date=(start + timedelta(days=180)).isoformat(),
            reason="nobody else qualifies",
        )
        request.MergeFrom(BeginActingRequest(**more))
        return request

    async def begin(self, employee_id: str = "", position: str = "deputy", **more: Any) -> Career:
        request = self.acting(employee_id, position, **more)
        answer: Career = await self.world.careers.BeginActing(request, metadata=by(self.hr))
        await self.settled()
        return answer

    async def decide(self, *, confirmed: bool, **more: Any) -> Career:
        request = DecideAppointmentRequest(
            employee_id=self.agent,
            appointment_id="acting-1",
            confirmed=confirmed,
            effective_date=self.today,
            reason="as seen",
        )
        request.MergeFrom(DecideAppointmentRequest(**more))
        answer: Career = await self.world.careers.DecideAppointment(request, metadata=by(self.hr2))
        await self.settled()
        return answer

    async def settled(self) -> None:
        """Every policy has done what follows."""
        for _ in range(2):
            for service in ("promotion", "performance"):
                await caught_up(self.world, service)

    async def shown(self, employee_id: str = "", as_of: str = "") -> tuple[str, str, bool]:
        """Team, position, and whether acting."""
        request = GetEmployeeRequest(employee_id=employee_id or self.agent, as_of=as_of)
        one: Employee = await self.world.directory.GetEmployee(request)
        return one.team_id, one.position, one.acting

    async def seats_for_competition(self, post_id: str, *, given_back: bool = False) -> None:
        """One seat of a post, claimed as a competition does it, or given back."""
        service = self.world.services["promotion"]
        seats = ReleaseSeats(claim_id="competition") if given_back else ClaimSeats(claim_id="competition", seats=1)
        context = Context(now=service.now(), today=service.today(), actor=f"user:{self.hr}")
        await service.commands.handle(POST, post_id, seats, context)

    async def post(self, post_id: str) -> Post:
        answer: Post = await self.world.posts.GetPost(GetPostRequest(post_id=post_id), metadata=by(self.hr))
        return answer


async def founded(world: World) -> Centre:
    team, leads, office = await world.team(), await world.team(), await world.team()
    lead, manager = await world.employee(leads), await world.employee(office)
    await appoint(world, team, lead)
    await appoint(world, leads, manager)
    hr, hr2 = await world.employee(office, job_family="hr"), await world.employee(office, job_family="hr")
    executive = await world.employee(office, job_family="executive")
    agent, colleague = await world.employee(team), await world.employee(team)
    ladder = await ladder_of(world)
    return Centre(world, team, lead, agent, colleague, manager, hr, hr2, executive, ladder)


async def ladder_of(world: World) -> str:
    """From agent to lead; the first step asks for a year, which may be waived, and for confirmation, which may not."""

    async def put(**content: Any) -> str:
        policy = Policy(policy_id=new_id("rules"), effective_date="2019-01-01", **content)
        await world.policies.SetPolicy(SetPolicyRequest(policy=policy))
        return policy.policy_id

    tenure = EligibilityRules.Tenure(months=12)
    criteria = [
        EligibilityRules.Criterion(criterion_id="tenure", display_name="A year", waivable=True, tenure=tenure),
        EligibilityRules.Criterion(
            criterion_id="confirmed", display_name="Confirmed", confirmed=EligibilityRules.Confirmed()
        ),
    ]
    eligibility_id = await put(eligibility=EligibilityRules(criteria=criteria))
    part = CompetitionRules.Part(
        part_id="manager", display_name="Manager", weight="100", manager=CompetitionRules.Manager()
    )
    rules = CompetitionRules(
        parts=[part],
        missing=CompetitionRules.MISSING_ZERO,
        rounding=CompetitionRules.ROUNDING_DOWN,
        ties=[CompetitionRules.Tie(rule=CompetitionRules.RULE_LOT)],
        notice_business_days=5,
        trial_months=1,
    )
    competition_id = await put(competition=rules)
    rungs = [
        Ladder.Rung(rung_id=name, display_name=name, position=name, leads_team=name == "lead")
        for name in ("agent", "deputy", "lead")
    ]
    for rung in rungs[1:]:
        rung.eligibility_id, rung.competition_id = eligibility_id, competition_id
    return await put(ladder=Ladder(display_name="Positions", rungs=rungs))


def counted(post: Post) -> tuple[int, int, int, int]:
    """Seats that are occupied, claimed, vacant, held acting."""
    found = post.vacancies
    return found.occupied, found.claimed, found.vacant, found.acting


@pytest.fixture
async def centre(world: World) -> Centre:
    return await founded(world)


async def test_an_acting_post_is_shown_and_confirmed(both: World) -> None:
    """The directory shows the acting post, then that it is held for good; only then the seat is taken."""
    centre = await founded(both)
    post = await centre.headcount(1)
    begun = await centre.begin()
    (appointment,) = begun.appointments
    assert (appointment.state, appointment.before.position) == (Appointment.STATE_RUNNING, "agent")
    assert await centre.shown() == (centre.team, "deputy", True)
    seen = await centre.post(post.post_id)
    assert counted(seen) == (0, 0, 1, 1)
    assert [(claim.acting, list(claim.employee_ids)) for claim in seen.claims] == [(True, [centre.agent])]
    decided = await centre.decide(confirmed=True)
    assert decided.appointments[0].state == Appointment.STATE_CONFIRMED
    assert await centre.shown() == (centre.team, "deputy", False)
    seen = await centre.post(post.post_id)
    assert (*counted(seen), len(seen.claims)) == (1, 0, 0, 0, 0)
    for name in ("posts", "careers"):
        (follower,) = (one for one in both.services["promotion"].followers if one.handler.name == name)
        assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_who_fails_goes_back(centre: Centre) -> None:
    """To the old post in the old team from the day on; another may act in the post then."""
    other = await centre.world.team()
    post = await centre.headcount(1, team_id=other)
    before = await centre.shown()
    await centre.begin(held=Held(team_id=other))
    assert await centre.shown() == (other, "deputy", True)
    assert counted(await centre.post(post.post_id)) == (0, 0, 1, 1)
    back = await centre.decide(confirmed=False)
    (appointment,) = back.appointments
    assert (appointment.state, appointment.decided.team_id) == (Appointment.STATE_RETURNED, centre.team)
    assert await centre.shown() == before == (centre.team, "agent", False)
    assert counted(await centre.post(post.post_id)) == (0, 0, 1, 0)
    again = await centre.begin(appointment_id="acting-2", held=Held(team_id=other))
    assert [one.state for one in again.appointments] == [Appointment.STATE_RETURNED, Appointment.STATE_RUNNING]


async def test_it_is_shown_from_its_day_on(centre: Centre) -> None:
    """An appointment that begins later, and one that ends later, change nothing before."""
    await centre.headcount(1)
    await centre.begin(start_date="2090-02-01")
    assert await centre.shown() == (centre.team, "agent", False)
    assert await centre.shown(as_of="2090-02-01") == (centre.team, "deputy", True)
    await centre.decide(confirmed=False, effective_date="2090-03-01")
    assert await centre.shown(as_of="2090-02-28") == (centre.team, "deputy", True)
    assert await centre.shown(as_of="2090-03-01") == (centre.team, "agent", False)


async def test_who_holds_a_leads_post_leads(centre: Centre) -> None:
    """Acting, too; whoever goes back leads no more, and whoever led before does again, if they are still there."""

    async def lead(as_of: str = "") -> str:
        request = GetTeamRequest(team_id=centre.team, as_of=as_of)
        return str((await centre.world.directory.GetTeam(request)).lead_id)

    await centre.headcount(1, position="lead")
    assert await lead() == centre.lead
    await centre.begin(position="lead", start_date="2090-02-01")
    assert (await lead("2090-01-31"), await lead("2090-02-01")) == (centre.lead, centre.agent)
    await centre.decide(confirmed=False, effective_date="2090-03-01")
    assert (await lead("2090-02-28"), await lead("2090-03-01")) == (centre.agent, centre.lead)
    await centre.begin(centre.colleague, position="lead", start_date="2090-04-01")
    assert await lead("2090-04-01") == centre.colleague
    leaving = ChangeEmploymentStatusRequest(
        employee_id=centre.lead, status=EMPLOYMENT_STATUS_LEFT, effective_date="2090-04-15"
    )
    await centre.world.directory.ChangeEmploymentStatus(leaving)
    await centre.decide(employee_id=centre.colleague, confirmed=False, effective_date="2090-05-01")
    assert (await lead("2090-04-30"), await lead("2090-05-01")) == (centre.colleague, "")


async def test_whoever_leads_is_led_by_who_led_the_lead_before(centre: Centre) -> None:
    """Their own team is the one where the former lead was: in the team that they lead, nobody would be over them."""
    world = centre.world
    leads = (await centre.shown(centre.lead))[0]
    post = await centre.headcount(1, position="lead")

    async def over() -> tuple[str, str]:
        """Own team and its lead, who sees those whom the lead leads, or is refused."""
        await world.careers.GetCareer(GetCareerRequest(employee_id=centre.colleague), metadata=by(centre.manager))
        one = await world.directory.GetEmployee(GetEmployeeRequest(employee_id=centre.agent))
        return one.team_id, one.lead_id

    await centre.begin(position="lead")
    assert await over() == (leads, centre.manager)
    assert counted(await centre.post(post.post_id)) == (0, 0, 1, 1)
    await centre.decide(confirmed=True)
    assert await over() == (leads, centre.manager)
    assert counted(await centre.post(post.post_id)) == (1, 0, 0, 0)
    leaving = ChangeEmploymentStatusRequest(
        employee_id=centre.agent, status=EMPLOYMENT_STATUS_LEFT, effective_date="2090-04-15"
    )
    await world.directory.ChangeEmploymentStatus(leaving)
    await centre.settled()
    await centre.begin(centre.colleague, position="lead", start_date="2090-05-01")
    assert await centre.shown(centre.colleague, "2090-04-30") == (centre.team, "agent", False)
    assert await centre.shown(centre.colleague, "2090-05-01") == (leads, "lead", True)
    await centre.decide(employee_id=centre.colleague, confirmed=False, effective_date="2090-06-01")
    assert await centre.shown(centre.colleague, "2090-06-01") == (centre.team, "agent", False)


async def test_who_leads_a_team_and_goes_to_another_post_leads_it_no_more(centre: Centre) -> None:
    """From the first day on, though their own team is another; who comes back leads it again if nobody does."""
    world, own = centre.world, (await centre.shown(centre.lead))[0]

    async def lead(as_of: str) -> str:
        return str((await world.directory.GetTeam(GetTeamRequest(team_id=centre.team, as_of=as_of))).lead_id)

    await centre.headcount(2, position="deputy", team_id=own)
    held = Held(position="deputy", team_id=own)
    for number, (start, end) in enumerate((("2090-02-01", "2090-03-01"), ("2090-04-01", "2090-05-01"))):
        name = f"deputy-{number}"
        request = centre.acting(centre.lead, appointment_id=name, start_date=start)
        request.held.CopyFrom(held)
        await world.careers.BeginActing(request, metadata=by(centre.hr))
        await centre.settled()
        assert (await lead("2090-01-31"), await lead(start)) == (centre.lead, "")
        if number:
            appointing = AppointTeamLeadRequest(
                team_id=centre.team, lead_id=centre.colleague, effective_date="2090-04-15"
            )
            await world.directory.AppointTeamLead(appointing)
        await centre.decide(employee_id=centre.lead, appointment_id=name, confirmed=False, effective_date=end)
        assert await centre.shown(centre.lead, end) == (own, "agent", False)
        assert await lead(end) == (centre.colleague if number else centre.lead)


async def test_a_lead_who_gets_a_star_leads_on(centre: Centre) -> None:
    own = (await centre.shown(centre.lead))[0]
    await centre.headcount(0, position="agent", stars=3, team_id=own, unlimited=True)
    request = centre.acting(centre.lead)
    request.held.CopyFrom(Held(position="agent", stars=3, team_id=own))
    await centre.world.careers.BeginActing(request, metadata=by(centre.hr))
    await centre.settled()
    assert (await centre.world.directory.GetTeam(GetTeamRequest(team_id=centre.team))).lead_id == centre.lead


async def test_who_has_left_leads_no_team(centre: Centre) -> None:
    """From the day on, nor one that they were to lead later; in whose place somebody was appointed already, does."""
    world = centre.world
    later, taken = await world.team(), await world.team()
    for team, lead_id, day in (
        (later, centre.lead, "2091-01-01"),
        (taken, centre.lead, "2019-01-01"),
        (taken, centre.colleague, "2090-05-01"),
    ):
        await world.directory.AppointTeamLead(AppointTeamLeadRequest(team_id=team, lead_id=lead_id, effective_date=day))
    leaving = ChangeEmploymentStatusRequest(
        employee_id=centre.lead, status=EMPLOYMENT_STATUS_LEFT, effective_date="2090-04-15"
    )
    await world.directory.ChangeEmploymentStatus(leaving)
    await centre.settled()

    async def lead(team_id: str, as_of: str) -> str:
        return str((await world.directory.GetTeam(GetTeamRequest(team_id=team_id, as_of=as_of))).lead_id)

    days = ("2090-04-14", "2090-04-15", "2091-06-01")
    assert [await lead(centre.team, day) for day in days] == [centre.lead, "", ""]
    assert [await lead(later, day) for day in days] == ["", "", ""]
    assert [await lead(taken, day) for day in days] == [centre.lead, "", centre.colleague]


async def test_two_who_are_to_act_in_one_post(centre: Centre) -> None:
    """At once, by two callers: one does, and nothing is left of the other's try."""
    post = await centre.headcount(1)
    first = centre.world.careers.BeginActing(centre.acting(), metadata=by(centre.hr))
    second = centre.world.careers.BeginActing(centre.acting(centre.colleague), metadata=by(centre.hr2))
    answers = await asyncio.gather(first, second, return_exceptions=True)
    (begun,) = (one for one in answers if isinstance(one, Career))
    (refusal,) = (one for one in answers if not isinstance(one, Career))
    assert "1 asked for and 0 free" in str(refusal)
    await centre.settled()
    seen = await centre.post(post.post_id)
    assert [list(claim.employee_ids) for claim in seen.claims] == [[begun.employee_id]]
    assert counted(seen) == (0, 0, 1, 1)


async def test_a_post_is_held_acting_until_a_competition_decides(centre: Centre) -> None:
    """The seat is there for the competition, not for who acts; once somebody has it, HR is told that none is left."""
    world, careers = centre.world, centre.world.careers
    post = await centre.headcount(1)
    service = world.services["promotion"]
    context = Context(now=service.now(), today=service.today(), actor=f"user:{centre.hr}")

    async def told() -> tuple[bool, bool]:
        """Whether the career and the list say that there is no seat for whoever acts."""
        one = await careers.GetCareer(GetCareerRequest(employee_id=centre.agent), metadata=by(centre.hr))
        listing = ListAppointmentsRequest(employee_id=centre.agent, at_least=await world.end())
        (listed,) = (await careers.ListAppointments(listing, metadata=by(centre.hr))).appointments
        return one.appointments[0].no_seat, listed.no_seat

    async def give(aggregate: Any, name: str, command: Any) -> None:
        await service.commands.handle(aggregate, name, command, context)

    begun = await careers.BeginActing(centre.acting(), metadata=by(centre.hr))
    assert begun.appointments[0].no_seat is False
    await centre.settled()
    await centre.seats_for_competition(post.post_id)
    assert counted(await centre.post(post.post_id)) == (0, 1, 0, 1)
    await refused(centre.decide(confirmed=True), StatusCode.FAILED_PRECONDITION, "NO_VACANCY")
    assert await told() == (False, False)
    await give(CAREER, centre.colleague, ReserveAppointment(employee_id=centre.colleague, candidacy_id="winner"))
    held = Held(position="deputy", team_id=centre.team)
    trial = BeginAppointment(
        employee_id=centre.colleague,
        candidacy_id="winner",
        post_id=post.post_id,
        claim_id="competition",
        held=held,
        start_date=centre.today,
        until_date="2199-01-01",
        appointed_by=f"user:{centre.hr}",
        place=Place(employed=True, before=Held(position="agent", team_id=centre.team)),
    )
    await give(CAREER, centre.colleague, trial)
    await centre.settled()
    assert counted(await centre.post(post.post_id)) == (1, 0, 0, 1)
    assert await told() == (True, True)
    assert (await centre.decide(confirmed=False)).appointments[0].no_seat is False
    assert counted(await centre.post(post.post_id)) == (1, 0, 0, 0)


async def test_who_acts_while_a_competition_is_open(centre: Centre) -> None:
    """Is in nobody's way, and may be confirmed once the seat is given back; a later headcount may leave none, too."""
    post = await centre.headcount(1)
    await centre.seats_for_competition(post.post_id)
    await centre.begin()
    assert counted(await centre.post(post.post_id)) == (0, 1, 0, 1)
    acting = centre.world.careers.BeginActing(centre.acting(centre.colleague), metadata=by(centre.hr))
    await refused(acting, StatusCode.FAILED_PRECONDITION, "NO_VACANCY")
    await centre.seats_for_competition(post.post_id, given_back=True)
    await refused(centre.decide(confirmed=True, etag="1"), StatusCode.ABORTED, "ETAG_MISMATCH")
    assert counted(await centre.post(post.post_id)) == (0, 0, 1, 1)
    again = await centre.decide(confirmed=True)
    assert again.appointments[0].state == Appointment.STATE_CONFIRMED
    assert await centre.decide(confirmed=True) == again
    assert counted(await centre.post(post.post_id)) == (1, 0, 0, 0)


async def test_one_confirms_while_another_ends_it(centre: Centre) -> None:
    """At once: one of them decides it, and the post keeps no seat of the other's try."""
    post = await centre.headcount(1)
    await centre.begin()
    answers = await asyncio.gather(
        centre.decide(confirmed=True), centre.decide(confirmed=False), return_exceptions=True
    )
    (decided,) = (one for one in answers if isinstance(one, Career))
    (refusal,) = (one for one in answers if not isinstance(one, Career))
    assert "has ended already" in str(refusal)
    await centre.settled()
    confirmed = decided.appointments[0].state == Appointment.STATE_CONFIRMED
    assert counted(await centre.post(post.post_id)) == ((1, 0, 0, 0) if confirmed else (0, 0, 1, 0))


async def test_who_goes_back_later_is_acting_until_then(centre: Centre) -> None:
    """And keeps the seat from nobody; whoever is confirmed from a later day on has it at once."""
    post = await centre.headcount(1)
    await centre.begin()
    await centre.decide(confirmed=False, effective_date="2090-03-01")
    assert counted(await centre.post(post.post_id)) == (0, 0, 1, 0)
    await centre.begin(centre.colleague)
    assert counted(await centre.post(post.post_id)) == (0, 0, 1, 1)
    await centre.decide(employee_id=centre.colleague, confirmed=True, effective_date="2090-04-01")
    assert counted(await centre.post(post.post_id)) == (1, 0, 0, 0)


async def test_what_is_refused_keeps_no_seat(centre: Centre) -> None:
    """Neither what the decider refuses nor a stale etag."""
    post = await centre.headcount(2)
    begin = centre.world.careers.BeginActing
    mine = by(centre.hr)
    stale = centre.acting(etag="1")
    await refused(begin(stale, metadata=mine), StatusCode.ABORTED, "ETAG_MISMATCH")
    past = centre.acting(centre.colleague, until_date="2020-01-01", start_date="2020-01-01")
    await refused(begin(past, metadata=mine), StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    nowhere = centre.acting(position="astronaut")
    await refused(begin(nowhere, metadata=mine), StatusCode.NOT_FOUND, "POST_NOT_FOUND")
    assert (await centre.post(post.post_id)).vacancies.vacant == 2
    career = await centre.world.careers.GetCareer(GetCareerRequest(employee_id=centre.agent), metadata=mine)
    begun = await begin(centre.acting(etag=career.etag), metadata=mine)
    assert begun.appointments[0].state == Appointment.STATE_RUNNING


@pytest.mark.parametrize("stars", [0, 3])
async def test_the_old_post_may_be_taken(centre: Centre, stars: int) -> None:
    """Then HR names another, which has a seat. A post of no stars is the old one whatever theirs."""
    starred = ChangePositionRequest(
        employee_id=centre.agent, position="agent", stars=stars, effective_date="2020-01-01"
    )
    await centre.world.directory.ChangePosition(starred)
    await centre.headcount(1)
    await centre.headcount(1, "agent")
    await centre.begin()
    request = DecideAppointmentRequest(
        employee_id=centre.agent,
        appointment_id="acting-1",
        confirmed=False,
        effective_date=centre.today,
        reason="as seen",
    )
    decide, mine = centre.world.careers.DecideAppointment, by(centre.hr)
    await refused(decide(request, metadata=mine), StatusCode.FAILED_PRECONDITION, "OLD_POST_TAKEN")
    request.held.CopyFrom(Held(position="clerk", team_id="t-none"))
    await refused(decide(request, metadata=mine), StatusCode.NOT_FOUND, "TEAM_NOT_FOUND")
    request.held.team_id = centre.team
    await decide(request, metadata=mine)
    await centre.settled()
    assert await centre.shown() == (centre.team, "clerk", False)


async def test_a_demotion_takes_two_people(centre: Centre) -> None:
    """Proposed by the lead, decided by HR; the directory follows, and who led teams leads none of them any more."""
    world = centre.world
    elsewhere, later = await world.team(), await world.team()
    await centre.headcount(1, position="lead")
    await centre.begin(position="lead")
    await centre.decide(confirmed=True)
    for team, who, day in (
        (elsewhere, centre.agent, "2019-01-01"),
        (later, centre.agent, "2090-01-01"),
        (later, centre.colleague, "2091-01-01"),
        (later, centre.agent, "2092-01-01"),
    ):
        appoint_lead = AppointTeamLeadRequest(team_id=team, lead_id=who, effective_date=day)
        await world.directory.AppointTeamLead(appoint_lead)
    propose = ProposeDemotionRequest(
        employee_id=centre.agent,
        demotion_id="d-1",
        removed=False,
        held=Held(position="deputy", team_id=centre.team),
        reason="cannot lead",
    )
    await refused(
        world.careers.ProposeDemotion(propose, metadata=by(centre.colleague)),
        StatusCode.PERMISSION_DENIED,
        "NEED_TO_KNOW",
    )
    career = await world.careers.ProposeDemotion(propose, metadata=by(centre.hr))
    assert career.demotions[0].state == Demotion.STATE_PROPOSED
    decide = DecideDemotionRequest(
        employee_id=centre.agent, demotion_id="d-1", effective_date=centre.today, reason="shown thrice"
    )
    same = world.careers.DecideDemotion(decide, metadata=by(centre.hr))
    await refused(same, StatusCode.FAILED_PRECONDITION, "SAME_PERSON")
    done = await world.careers.DecideDemotion(decide, metadata=by(centre.hr2))
    await centre.settled()
    assert done.demotions[0].before.position == "lead"
    assert await centre.shown() == (centre.team, "deputy", False)

    async def lead(team_id: str, as_of: str = "") -> str:
        return str((await world.directory.GetTeam(GetTeamRequest(team_id=team_id, as_of=as_of))).lead_id)

    assert [await lead(centre.team), await lead(elsewhere)] == ["", ""]
    planned = [await lead(later, f"{year}-06-01") for year in (2090, 2091, 2092)]
    assert planned == ["", centre.colleague, ""]
    up = ProposeDemotionRequest(
        employee_id=centre.agent,
        demotion_id="d-2",
        removed=False,
        held=Held(position="lead", team_id=centre.team),
        reason="up",
    )
    upwards = world.careers.ProposeDemotion(up, metadata=by(centre.hr))
    await refused(upwards, StatusCode.FAILED_PRECONDITION, "NOT_LOWER")


async def test_who_leaves_ends_what_runs(centre: Centre) -> None:
    """When the first day after is over, by the site's clock; the directory refuses nothing that matters."""
    world = centre.world
    post = await centre.headcount(2)
    await centre.begin()
    leaving = ChangeEmploymentStatusRequest(
        employee_id=centre.agent, status=EMPLOYMENT_STATUS_LEFT, effective_date="2090-05-02"
    )
    await world.directory.ChangeEmploymentStatus(leaving)
    get = GetCareerRequest(employee_id=centre.agent)
    world.clock[0] = datetime(2090, 5, 2, 12, tzinfo=UTC)
    await centre.settled()
    (running,) = (await world.careers.GetCareer(get, metadata=by(centre.hr))).appointments
    assert running.state == Appointment.STATE_RUNNING
    world.clock[0] = datetime(2090, 5, 3, 12, tzinfo=UTC)

    async def appointment() -> Appointment:
        return (await world.careers.GetCareer(get, metadata=by(centre.hr))).appointments[0]

    ended = await until(appointment, lambda one: one.state == Appointment.STATE_LEFT)
    assert (ended.effective_date, ended.decided_by) == ("2090-05-02", "system:clock")
    await centre.settled()
    assert (await centre.post(post.post_id)).vacancies.vacant == 2
    await centre.begin(centre.colleague)
    assert await centre.shown(centre.colleague) == (centre.team, "deputy", True)


async def test_what_the_directory_refuses_is_told(centre: Centre) -> None:
    """Somebody is said to have left just before they are demoted: it stops nobody else's, and the demotion says it."""
    world = centre.world
    held = Held(position="clerk", team_id=centre.team)
    await centre.headcount(2)
    follower = next(one for one in world.services["performance"].followers if one.handler.name == "follow-careers")
    propose = ProposeDemotionRequest(
        employee_id=centre.agent, demotion_id="d-1", removed=True, held=held, reason="offends"
    )
    career = await world.careers.ProposeDemotion(propose, metadata=by(centre.lead))
    leaving = ChangeEmploymentStatusRequest(
        employee_id=centre.agent, status=EMPLOYMENT_STATUS_LEFT, effective_date="2090-04-15"
    )
    await world.directory.ChangeEmploymentStatus(leaving)
    await centre.settled()
    service = world.services["promotion"]
    context = Context(now=service.now(), today=service.today(), actor=f"user:{centre.hr}")
    decide = DecideDemotionRequest(
        employee_id=centre.agent, demotion_id="d-1", effective_date="2090-05-01", reason="on record"
    )
    before = career.demotions[0].before
    command = career_pb2.DecideDemotion(request=decide, before=before, employed=True)  # as it was looked up before
    with capture_logs() as logged:
        await service.commands.handle(CAREER, centre.agent, command, context)
        await centre.settled()
    (told,) = [line for line in logged if line["event"] == "career_not_followed"]
    assert centre.agent not in str(told)
    assert (await follower.standing()).parked == 0
    get = GetCareerRequest(employee_id=centre.agent)
    (demotion,) = (await world.careers.GetCareer(get, metadata=by(centre.hr))).demotions
    assert demotion.warning.startswith("nothing came of it: the employment ended on 2090-04-14")
    await centre.begin(centre.colleague)
    assert await centre.shown(centre.colleague) == (centre.team, "deputy", True)


async def test_what_the_directory_shows_instead_is_told(centre: Centre) -> None:
    """Of what was decided last, where HR looks at it, with what to do; no more once that is done, or later moves."""
    world = centre.world
    await centre.headcount(1)
    await centre.begin()

    async def warnings() -> set[str]:
        get = GetCareerRequest(employee_id=centre.agent)
        (shown,) = (await world.careers.GetCareer(get, metadata=by(centre.hr))).appointments
        listing = ListAppointmentsRequest(employee_id=centre.agent, at_least=await world.end())
        (listed,) = (await world.careers.ListAppointments(listing, metadata=by(centre.hr))).appointments
        return {shown.warning, listed.warning}

    async def change(position: str, day: str, *, acting: bool) -> None:
        request = ChangePositionRequest(employee_id=centre.agent, position=position, acting=acting, effective_date=day)
        await world.directory.ChangePosition(request)

    assert await warnings() == {""}
    await change("clerk", centre.today, acting=False)
    (warning,) = await warnings()
    assert f"on {centre.today} the directory shows clerk in {centre.team}, not deputy (acting) in" in warning
    assert "ChangePosition" in warning
    await change("deputy", centre.today, acting=True)
    assert await warnings() == {""}
    await centre.decide(confirmed=True)
    assert await warnings() == {""}
    await change("clerk", "2090-01-01", acting=False)
    assert await warnings() == {""}


async def test_who_has_left_just_before_they_begin(centre: Centre) -> None:
    """Begins nothing that nobody could end: it ends with the employment, and its seat is free."""
    world, service = centre.world, centre.world.services["promotion"]
    post = await centre.headcount(1)
    world.clock[0] = datetime(2090, 5, 2, 12, tzinfo=UTC)
    leaving = ChangeEmploymentStatusRequest(
        employee_id=centre.agent, status=EMPLOYMENT_STATUS_LEFT, effective_date="2090-05-01"
    )
    await world.directory.ChangeEmploymentStatus(leaving)
    follower = next(one for one in service.followers if one.handler.name == "careers")

    async def deadlines() -> int:
        return (await follower.standing()).deadlines

    await centre.settled()
    await until(deadlines, lambda left: left == 0)
    context = Context(now=service.now(), today=service.today(), actor=f"user:{centre.hr}")
    claim = ClaimSeats(claim_id=acting_claim(centre.agent, "acting-1"), seats=1, acting=True)
    await service.commands.handle(POST, post.post_id, claim, context)
    before = Held(position="agent", team_id=centre.team)
    begin = career_pb2.BeginActing(request=centre.acting(), place=Place(employed=True, before=before))
    await service.commands.handle(CAREER, centre.agent, begin, context)

    async def state() -> Appointment.State.ValueType:
        get = GetCareerRequest(employee_id=centre.agent)
        return (await world.careers.GetCareer(get, metadata=by(centre.hr))).appointments[0].state

    await until(state, lambda one: one == Appointment.STATE_LEFT)
    await centre.settled()
    assert counted(await centre.post(post.post_id)) == (0, 0, 1, 0)


async def test_following_again_changes_nothing(centre: Centre) -> None:
    """Every command that a policy gives has an id of its own event."""
    await centre.headcount(1, position="lead")
    await centre.begin(position="lead")
    end = await centre.world.end()
    for service, name in (("performance", "follow-careers"), ("promotion", "take-seats")):
        running = centre.world.services[service]
        follower = next(one for one in running.followers if one.handler.name == name)
        for subject in (f"log.promotion.career.{centre.agent}",):
            events = (await running.commands.histories([subject]))[subject]
            await follower.handler.act(events)
    assert await centre.world.end() == end


async def test_what_is_due_is_listed(centre: Centre) -> None:
    """By last day; nothing is decided by the clock."""
    world = centre.world
    await centre.headcount(3)
    first_until = centre.later(60)
    await centre.begin(until_date=first_until)
    later = await centre.begin(centre.colleague, until_date=centre.later(90))

    async def due(caller: str, **more: Any) -> list[str]:
        request = ListAppointmentsRequest(at_least=later.log_position, **more)
        answer = await world.careers.ListAppointments(request, metadata=by(caller))
        return [one.employee_id for one in answer.appointments]

    for caller in (centre.hr, centre.lead, centre.manager):
        assert await due(caller) == [centre.agent, centre.colleague]
    assert await due(centre.hr, until_date=first_until) == [centre.agent]
    assert await due(centre.hr, employee_id=centre.colleague) == [centre.colleague]
    assert await due(centre.agent) == [centre.agent]
    assert await due(centre.executive) == []
    first = await world.careers.ListAppointments(ListAppointmentsRequest(page_size=1), metadata=by(centre.hr))
    second = ListAppointmentsRequest(page_size=1, page_token=first.next_page_token)
    assert [
        one.employee_id for one in (await world.careers.ListAppointments(second, metadata=by(centre.hr))).appointments
    ] == [centre.colleague]
    world.clock[0] += timedelta(days=70)
    (one, two) = (
        await world.careers.ListAppointments(ListAppointmentsRequest(running_only=True), metadata=by(centre.hr))
    ).appointments
    assert (one.overdue, two.overdue) == (True, False)
    await centre.decide(confirmed=False)
    assert await due(centre.hr, running_only=True) == [centre.colleague]


async def test_an_executive_waives_a_criterion(centre: Centre) -> None:
    """One that the rules let be waived, with reasons; they see the waivers and nothing else."""
    world = centre.world
    waive = WaiveCriterionRequest(
        employee_id=centre.agent,
        ladder_id=centre.ladder,
        rung_id="deputy",
        criterion_id="tenure",
        reason="outstanding",
        until_date="2199-01-01",
    )
    boss = by(centre.executive)

    async def not_found(reason: str, **more: str) -> None:
        request = WaiveCriterionRequest()
        request.CopyFrom(waive)
        request.MergeFrom(WaiveCriterionRequest(**more))
        await refused(world.careers.WaiveCriterion(request, metadata=boss), StatusCode.NOT_FOUND, reason)

    await not_found("POLICY_NOT_FOUND", ladder_id="l-none")
    await not_found("RUNG_NOT_FOUND", rung_id="agent")
    await not_found("CRITERION_NOT_FOUND", criterion_id="skills")
    await not_found("EMPLOYEE_NOT_FOUND", employee_id="e-none")
    hard = WaiveCriterionRequest()
    hard.CopyFrom(waive)
    hard.criterion_id = "confirmed"
    await refused(world.careers.WaiveCriterion(hard, metadata=boss), StatusCode.FAILED_PRECONDITION, "NOT_WAIVABLE")
    own = WaiveCriterionRequest()
    own.CopyFrom(waive)
    own.employee_id = centre.executive
    await refused(world.careers.WaiveCriterion(own, metadata=boss), StatusCode.FAILED_PRECONDITION, "ABOUT_THEMSELF")
    await centre.headcount(1)
    await centre.begin()
    waived = await world.careers.WaiveCriterion(waive, metadata=boss)
    assert [(one.criterion_id, one.holds, one.reason) for one in waived.waivers] == [("tenure", True, "outstanding")]
    assert (len(waived.appointments), waived.etag, waived.log_position) == (0, "", 0)
    seen = await world.careers.GetCareer(GetCareerRequest(employee_id=centre.agent), metadata=by(centre.agent))
    assert (len(seen.waivers), len(seen.appointments)) == (1, 1)
    withdraw = WithdrawWaiverRequest(
        employee_id=centre.agent,
        ladder_id=centre.ladder,
        rung_id="deputy",
        criterion_id="tenure",
        reason="after all not",
    )
    assert not (await world.careers.WithdrawWaiver(withdraw, metadata=boss)).waivers[0].holds


async def test_a_lead_holds_the_post_in_the_team_that_they_lead(centre: Centre) -> None:
    """Though their own team is another. Who goes to another post leaves it vacant, as does who leads no more."""
    world = centre.world
    change = ChangePositionRequest(employee_id=centre.lead, position="lead", effective_date="2020-01-01")
    await world.directory.ChangePosition(change)
    post = await centre.headcount(2, position="lead")
    assert counted(post) == (1, 0, 1, 0)
    await centre.headcount(1, position="deputy")
    await centre.begin(centre.lead, position="deputy")
    assert counted(await centre.post(post.post_id)) == (0, 0, 2, 0)
    await centre.decide(employee_id=centre.lead, confirmed=False)
    assert counted(await centre.post(post.post_id)) == (1, 0, 1, 0)
    await appoint(world, centre.team, centre.colleague, centre.today)
    assert counted(await centre.post(post.post_id)) == (0, 0, 2, 0)


async def test_who_comes_to_a_post_of_no_stars_keeps_theirs(centre: Centre) -> None:
    """Titles and positions are two things: acting, held for good, named for the way back, or after a demotion."""
    world = centre.world
    starred = ChangePositionRequest(employee_id=centre.agent, position="agent", stars=3, effective_date="2020-01-01")
    await world.directory.ChangePosition(starred)
    await centre.headcount(2)
    await centre.headcount(2, position="agent")

    async def shown() -> tuple[str, int, bool]:
        one: Employee = await world.directory.GetEmployee(GetEmployeeRequest(employee_id=centre.agent))
        return one.position, one.stars, one.acting

    first = await centre.begin()
    assert (first.appointments[0].held.stars, await shown()) == (3, ("deputy", 3, True))
    assert await centre.begin() == first
    named = Held(position="agent", team_id=centre.team)
    await centre.decide(confirmed=False, held=named)
    assert await shown() == ("agent", 3, False)
    await centre.begin(appointment_id="acting-2")
    await centre.decide(appointment_id="acting-2", confirmed=True)
    assert await shown() == ("deputy", 3, False)
    again = world.careers.BeginActing(centre.acting(appointment_id="acting-3"), metadata=by(centre.hr))
    await refused(again, StatusCode.FAILED_PRECONDITION, "HELD_ALREADY")
    same = ProposeDemotionRequest(
        employee_id=centre.agent,
        demotion_id="d-0",
        removed=True,
        held=Held(position="deputy", team_id=centre.team),
        reason="out of the post",
    )
    await refused(
        world.careers.ProposeDemotion(same, metadata=by(centre.hr)), StatusCode.FAILED_PRECONDITION, "NOT_LOWER"
    )
    propose = ProposeDemotionRequest(
        employee_id=centre.agent, demotion_id="d-1", removed=False, held=named, reason="cannot do it"
    )
    await world.careers.ProposeDemotion(propose, metadata=by(centre.hr))
    decide = DecideDemotionRequest(
        employee_id=centre.agent, demotion_id="d-1", effective_date=centre.today, reason="as it is on record"
    )
    await world.careers.DecideDemotion(decide, metadata=by(centre.hr2))
    await centre.settled()
    assert await shown() == ("agent", 3, False)


async def test_vacant_posts_are_listed(centre: Centre) -> None:
    """By team and position; occupants by the directory, of a day."""
    world = centre.world
    agents = await centre.headcount(3, "agent")
    titled = await centre.headcount(0, "agent", stars=3, unlimited=True)
    deputies = await centre.headcount(1, effective_date="2090-01-01")
    assert (agents.vacancies.occupied, agents.vacancies.vacant) == (2, 1)
    assert (titled.vacancies.unlimited, titled.vacancies.occupied) == (True, 0)

    async def listed(caller: str, **more: Any) -> set[str]:
        request = ListPostsRequest(team_id=centre.team, at_least=deputies.log_position)
        request.MergeFrom(ListPostsRequest(**more))
        return {one.post_id for one in (await world.posts.ListPosts(request, metadata=by(caller))).posts}

    everything = {agents.post_id, titled.post_id, deputies.post_id}
    for caller in (centre.hr, centre.executive, centre.lead, centre.manager):
        assert await listed(caller) == everything
    await refused(listed(centre.agent), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    assert await listed(centre.hr, vacant_only=True) == {agents.post_id, titled.post_id}
    assert await listed(centre.hr, vacant_only=True, as_of="2090-01-01") == everything
    assert await listed(centre.hr, position="deputy") == {deputies.post_id}
    await world.employee(centre.team)
    assert await listed(centre.hr, vacant_only=True, at_least=await world.end()) == {titled.post_id}
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        request = ListPostsRequest(team_id=centre.team, page_size=2, page_token=token)
        answer = await world.posts.ListPosts(request, metadata=by(centre.hr))
        pages.append([one.post_id for one in answer.posts])
        token = answer.next_page_token
    assert pages == [sorted(everything)[:2], sorted(everything)[2:]]
    lower = SetHeadcountRequest(position="agent", team_id="t-none", headcount=1, effective_date="2019-01-01")
    await refused(world.posts.SetHeadcount(lower, metadata=by(centre.hr)), StatusCode.NOT_FOUND, "TEAM_NOT_FOUND")
