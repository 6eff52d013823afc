"""Rules of promotion through the service that stores them: the presets, what they name, those of earlier logs."""

from typing import Any

from grpc import StatusCode

from libs.cli.importing import import_centre, preset_requests
from libs.cli.presets import load_policies
from libs.common.eventsourcing import Aggregate, Context
from stepladder.performance.v1.facts_pb2 import RATING_EXCELLENT
from stepladder.performance.v1.policy_pb2 import (
    Calendar,
    GetPolicyRequest,
    ListPoliciesRequest,
    Policy,
    SetPolicyRequest,
)
from stepladder.performance.v1.promotion_rules_pb2 import (
    CompetitionRules,
    CycleRules,
    EligibilityRules,
    Ladder,
    QuestionBank,
)
from stepladder.promotion.v1.eligibility_pb2 import EligibilityPolicy
from stepladder.promotion.v1.events_pb2 import EligibilityPolicyCreated
from tests.refusals import refused
from tests.services.competing import BANK, part
from tests.services.test_check_ins import by
from tests.services.world import World, new_id

EARLY, DAY, LATER = "1999-12-31", "2000-01-01", "2026-01-01"


def preset(policy_id: str, day: str = LATER) -> Policy:
    (found,) = [one for one in load_policies() if one.policy_id == policy_id]
    found.effective_date = day
    return found


async def test_all_presets_are_stored(world: World) -> None:
    """As they are, each after what it names; asked for again, nothing changes."""
    requests = preset_requests()
    result = await import_centre(world.channels["performance"], requests)
    assert (result.sent, result.existing) == (len(requests), ())
    again = await import_centre(world.channels["performance"], requests)
    assert (again.sent, again.existing, again.log_position) == (len(requests), (), result.log_position)
    everything = ListPoliciesRequest(page_size=100, at_least=result.log_position)
    hr = await world.employee(await world.team(), job_family="hr")
    listed = await world.policies.ListPolicies(everything, metadata=by(hr))
    stored = {one.policy_id: one for one in listed.policies}
    for one in stored.values():
        one.log_position, one.recorded_date = 0, ""
    assert stored == {one.policy_id: one for one in load_policies()}
    kinds = {one.WhichOneof("content") for one in stored.values()}
    assert kinds >= {"ladder", "eligibility", "competition", "question_bank", "cycles"}


async def test_only_hr_reads_a_question_bank(both: World) -> None:
    """No version of it, on no day; whoever else lists policies is not told that there is one."""
    world = both
    team = await world.team()
    hr, agent = await world.employee(team, job_family="hr"), await world.employee(team)
    bank_id, stored = new_id("bank"), []
    for day in (DAY, LATER):
        policy = Policy(policy_id=bank_id, effective_date=day, question_bank=BANK)
        stored.append(await world.policies.SetPolicy(SetPolicyRequest(policy=policy)))
    first, end = stored[0].log_position, stored[1].log_position
    calendar = Policy(policy_id=f"{bank_id}-days", effective_date=DAY, calendar=Calendar())
    await world.policies.SetPolicy(SetPolicyRequest(policy=calendar))

    async def ids(caller: tuple[tuple[str, str], ...], **asked: Any) -> list[str]:
        found, token = list[str](), ""
        while True:
            request = ListPoliciesRequest(page_token=token, at_least=await world.end(), **asked)
            page = await world.policies.ListPolicies(request, metadata=caller)
            found += [one.policy_id for one in page.policies if one.policy_id.startswith(bank_id)]
            if not (token := page.next_page_token):
                return found

    for asked in ({}, {"as_of": DAY}, {"known_at": first, "as_of": DAY}):
        request = GetPolicyRequest(policy_id=bank_id, at_least=end, **asked)
        assert (await world.policies.GetPolicy(request, metadata=by(hr))).question_bank == BANK
        for caller in (by(agent), ()):
            reading = world.policies.GetPolicy(request, metadata=caller)
            refusal = await refused(reading, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
            assert refusal.message.startswith("you are not among those who may see or do this")
    assert await ids(by(hr)) == [bank_id, bank_id, f"{bank_id}-days"]
    assert await ids(by(hr), kind="question_bank") == [bank_id, bank_id]
    for caller in (by(agent), ()):
        assert await ids(caller, page_size=1) == [f"{bank_id}-days"]
        assert await ids(caller, kind="question_bank") == []


def test_the_question_bank_speaks_both_languages() -> None:
    """Of every kind there are a compulsory question in four bands up to 20, and four of two key points of 5."""
    (bank,) = [one.question_bank for one in load_policies() if one.HasField("question_bank")]
    for kind in QuestionBank.Kind.values()[1:]:
        compulsory = [one for one in bank.questions if one.kind == kind and one.compulsory]
        others = [one for one in bank.questions if one.kind == kind and not one.compulsory]
        assert (len(compulsory), len(others)) == (1, 4)
        assert [(band.lower, band.upper) for band in compulsory[0].bands] == [(0, 3), (4, 7), (8, 15), (16, 20)]
        assert all([point.points for point in one.key_points] == [5, 5] for one in others)
    rules = {zero.rule_id for one in bank.questions for zero in one.zero_rules}
    assert rules >= {"over-the-head", "refuses"}
    for question in bank.questions:
        of_parts = [one.texts for one in question.bands] + [one.texts for one in question.key_points]
        for texts in [question.texts, *of_parts, *(one.texts for one in question.zero_rules)]:
            assert [text.language for text in texts] == ["en", "zh"]
            assert any("\u4e00" <= letter <= "\u9fff" for letter in texts[1].text)


async def test_what_rules_name_is_in_force_with_them(world: World) -> None:
    """A ladder's rules, an interview's questions and a calendar are there from the first day on, and of their kind."""
    await import_centre(world.channels["performance"], preset_requests())

    async def check(policy: Policy, reason: str, path: str) -> None:
        refusal = await refused(world.policies.SetPolicy(SetPolicyRequest(policy=policy)), StatusCode.NOT_FOUND, reason)
        assert refusal.message.startswith(path)

    ladder = preset("titles")
    await world.policies.SetPolicy(SetPolicyRequest(policy=ladder))
    rungs = "policy.ladder.rungs[1]"
    await check(
        preset("titles", EARLY), "POLICY_NOT_FOUND", f"{rungs}.eligibility_id: there is no eligibility one-year"
    )
    ladder.ladder.rungs[1].competition_id = "six-months-excellent"
    await check(ladder, "POLICY_NOT_FOUND", f"{rungs}.competition_id: there is no competition six-months-excellent")
    competition = preset("competition-for-titles")
    competition.competition.parts[1].interview.question_bank_id = "no-bank"
    bank = "policy.competition.parts[1].interview.question_bank_id: there is no question_bank no-bank"
    await check(competition, "POLICY_NOT_FOUND", bank)
    competition = preset("competition-for-titles")
    competition.competition.calendar_id = "titles"
    await check(competition, "CALENDAR_NOT_FOUND", "policy.competition.calendar_id: there is no calendar titles")
    cycles = Policy(policy_id="monthly", effective_date="1989-12-31", cycles=preset("half-yearly").cycles)
    await check(cycles, "CALENDAR_NOT_FOUND", "policy.cycles.calendar_id: there is no calendar site-days in force")
    rules = preset("one-year-in-post")
    rules.eligibility.criteria[2].kpi_limit.kpi_id = "no-kpi"
    await check(rules, "KPI_NOT_FOUND", "policy.eligibility.criteria[2].kpi_limit.kpi_id: there is no KPI no-kpi")


async def test_everything_that_is_wrong_with_rules_is_told_at_once(world: World) -> None:
    """Every name of what there is not, each with its field; and with whatever else is wrong."""
    await import_centre(world.channels["performance"], preset_requests())
    ladder = preset("titles")
    for rung in ladder.ladder.rungs[1:3]:
        rung.eligibility_id, rung.competition_id = "none", "neither"
    refusal = await refused(
        world.policies.SetPolicy(SetPolicyRequest(policy=ladder)), StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"
    )
    expected = [f"policy.ladder.rungs[{i}].{kind}_id" for i in (1, 2) for kind in ("eligibility", "competition")]
    assert refusal.fields == expected
    competition = preset("competition-for-titles")
    competition.competition.parts[0].kpi.CopyFrom(CompetitionRules.KpiValue(kpi_id="no-kpi", months=6))
    competition.competition.parts[2].part_id = competition.competition.parts[0].part_id
    competition.competition.parts[1].interview.question_bank_id = "no-bank"
    competition.competition.calendar_id = "no-calendar"
    refusal = await refused(
        world.policies.SetPolicy(SetPolicyRequest(policy=competition)), StatusCode.INVALID_ARGUMENT, "POLICY_INVALID"
    )
    parts = "policy.competition.parts"
    assert refusal.fields == [
        f"{parts}[2].part_id",
        f"{parts}[0].kpi.kpi_id",
        f"{parts}[1].interview.question_bank_id",
        "policy.competition.calendar_id",
    ]
    for field in refusal.fields:
        assert field in refusal.message


async def test_no_more_is_asked_than_there_is(world: World) -> None:
    """Five compulsory questions, and twenty to draw from; nor does a bank lose what is asked while it is in force."""
    await import_centre(world.channels["performance"], preset_requests())
    invalid = StatusCode.INVALID_ARGUMENT, "POLICY_INVALID"
    policy = preset("competition-for-titles")
    asked = policy.competition.parts[1].interview
    asked.compulsory_questions, asked.random_questions = 5, 20
    await world.policies.SetPolicy(SetPolicyRequest(policy=policy))
    asked.compulsory_questions, asked.random_questions = 6, 21
    refusal = await refused(world.policies.SetPolicy(SetPolicyRequest(policy=policy)), *invalid)
    here = "policy.competition.parts[1].interview"
    assert refusal.fields == [f"{here}.compulsory_questions", f"{here}.random_questions"]
    assert f"interview-questions of {DAY} has only 5 of them" in refusal.message
    assert "has only 20 of them" in refusal.message
    shorter = preset("interview-questions", "2025-12-01")
    del shorter.question_bank.questions[1]
    refusal = await refused(world.policies.SetPolicy(SetPolicyRequest(policy=shorter)), *invalid)
    assert refusal.fields == ["policy.question_bank.questions"]
    assert f"competition-for-titles of {LATER} asks 20 random_questions, not 19" in refusal.message
    # Until the rules that ask for more are in force, the questions are there again.
    await world.policies.SetPolicy(SetPolicyRequest(policy=preset("interview-questions", LATER)))
    await world.policies.SetPolicy(SetPolicyRequest(policy=shorter))


async def test_eligibility_policies_of_earlier_logs_are_understood(world: World) -> None:
    """As rules of eligibility in force from their day on: a ladder may name them; no other kind may follow them."""
    old = EligibilityPolicy(
        policy_id="old",
        effective_date=DAY,
        tenure_months=12,
        confirmed_required=True,
        rating_months=6,
        minimum_rating="EXCELLENT",
    )
    legacy = Aggregate[None](
        name="promotion.eligibilitypolicy",
        initial=None,
        evolve=lambda state, _: state,
        decide=lambda *_: [EligibilityPolicyCreated(policy=old)],
    )
    service = world.services["promotion"]
    context = Context(now=world.clock[0], today=service.today(), actor="system:import")
    stored = await service.commands.handle(legacy, "old", old, context)
    asked = GetPolicyRequest(policy_id="old", as_of=DAY, at_least=stored.position)
    found = await world.policies.GetPolicy(asked)
    assert found.log_position == stored.position
    confirmed, tenure, ratings = found.eligibility.criteria
    assert confirmed.HasField("confirmed")
    assert tenure.tenure.months == 12
    assert ratings.ratings == EligibilityRules.RatingStreak(at_least=RATING_EXCELLENT, months=6)
    rungs = [Ladder.Rung(rung_id=name, display_name=name, position=name) for name in ("agent", "lead")]
    by_managers = CompetitionRules(
        parts=[part("manager", "100", manager=CompetitionRules.Manager())],
        missing=CompetitionRules.MISSING_ZERO,
        rounding=CompetitionRules.ROUNDING_DOWN,
        ties=[CompetitionRules.Tie(rule=CompetitionRules.RULE_LOT)],
        notice_business_days=5,
        trial_months=1,
    )
    decided = Policy(policy_id="by-managers", effective_date=DAY, competition=by_managers)
    await world.policies.SetPolicy(SetPolicyRequest(policy=decided))
    rungs[1].eligibility_id, rungs[1].competition_id = "old", "by-managers"
    ladder = Policy(policy_id="by-old-rules", effective_date=DAY, ladder=Ladder(display_name="Old", rungs=rungs))
    await world.policies.SetPolicy(SetPolicyRequest(policy=ladder))
    found.effective_date = LATER
    version = await world.policies.SetPolicy(SetPolicyRequest(policy=found))
    asked.at_least = version.log_position
    assert (await world.policies.GetPolicy(asked)).log_position == stored.position
    cycles = CycleRules(months=[6], applications_business_days=5, open_days=20)
    other = Policy(policy_id="old", effective_date=LATER, cycles=cycles)
    await refused(world.policies.SetPolicy(SetPolicyRequest(policy=other)), StatusCode.ALREADY_EXISTS, "POLICY_EXISTS")
