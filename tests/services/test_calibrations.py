"""Calibration over gRPC: rounds that stay blind while they are open, drift of reviewers, and nothing of it in KPIs."""

from typing import Any, TypeAlias

from grpc import StatusCode

from libs.common.rebuilding import rebuild
from services.performance.calibrations import Calibrations
from stepladder.performance.v1.calibration_pb2 import (
    Calibration,
    CloseCalibrationRequest,
    GetCalibrationRequest,
    ListCalibrationsRequest,
    ListReviewerDriftRequest,
    ListReviewerDriftResponse,
    OpenCalibrationRequest,
    RetractCalibrationRequest,
    ReviewerDrift,
    ScoreCalibrationRequest,
)
from stepladder.performance.v1.policy_pb2 import GetPolicyRequest, SetPolicyRequest
from stepladder.performance.v1.record_pb2 import Evaluation
from tests.refusals import refused
from tests.services.test_records import create, derived, evaluation, form, value
from tests.services.world import HR, World, caught_up, new_id
from tests.tokens import as_person

Answer: TypeAlias = Evaluation.Answer


def acting(employee_id: str) -> Any:
    return {"metadata": as_person(employee_id)}


async def opened(
    world: World, form_id: str, employee_id: str, *reviewers: str, day: str = "2020-01-07", reference: str = ""
) -> Calibration:
    one = Calibration(
        calibration_id=new_id("cal"),
        employee_id=employee_id,
        contact_id="call-1",
        date=day,
        form_id=form_id,
        reviewer_ids=reviewers,
        reference_id=reference,
    )
    answer: Calibration = await world.calibrations.OpenCalibration(OpenCalibrationRequest(calibration=one))
    return answer


async def score(
    world: World, one: Calibration, reviewer_id: str, solution: int, request_id: str = "", **more: int
) -> Calibration:
    achieved = {"greeting": 100, "solution": solution, "identity": 100} | more
    request = ScoreCalibrationRequest(
        request_id=request_id,
        calibration_id=one.calibration_id,
        answers=[Answer(item_id=name, achieved=each) for name, each in achieved.items()],
    )
    answer: Calibration = await world.calibrations.ScoreCalibration(request, **acting(reviewer_id))
    return answer


async def close(world: World, one: Calibration) -> Calibration:
    request = CloseCalibrationRequest(calibration_id=one.calibration_id)
    answer: Calibration = await world.calibrations.CloseCalibration(request)
    return answer


async def drift(world: World, **more: object) -> ListReviewerDriftResponse:
    asked: dict[str, Any] = {"start_date": "2020-01-01", "end_date": "2020-12-31", "at_least": await world.end()} | more
    answer: ListReviewerDriftResponse = await world.calibrations.ListReviewerDrift(ListReviewerDriftRequest(**asked))
    return answer


async def people(world: World, count: int) -> list[str]:
    team = await world.team()
    return [await world.employee(team) for _ in range(count)]


async def test_a_round_is_blind_until_it_is_closed(both: World) -> None:
    """Every answer on the way, whoever asks: commands, reads, lists, reads of the past, and the same request id."""
    world = both
    agent, anna, boris, clara = await people(world, 4)
    one = await opened(world, await form(world), agent, anna, boris, clara)
    assert (one.state, list(one.scored_reviewer_ids)) == (Calibration.STATE_OPEN, [])
    hers = await score(world, one, anna, 50, "same-id")
    assert [(each.reviewer_id, each.score) for each in hers.scores] == [(anna, "70.00")]
    # His own, although she said the very same under the same id.
    his = await score(world, one, boris, 50, "same-id")
    assert [each.reviewer_id for each in his.scores] == [boris]
    changed = await score(world, one, boris, 0)
    assert [each.score for each in changed.scores] == ["40.00"]
    while_open = changed.log_position

    async def seen(who: str, known_at: int = 0) -> Calibration:
        request = GetCalibrationRequest(calibration_id=one.calibration_id, known_at=known_at)
        found: Calibration = await world.calibrations.GetCalibration(request, **acting(who))
        return found

    asked = ListCalibrationsRequest(reviewer_id=clara, at_least=await world.end())
    (listed,) = (await world.calibrations.ListCalibrations(asked, **acting(clara))).calibrations
    again = await world.calibrations.OpenCalibration(OpenCalibrationRequest(calibration=one))
    for shown in (listed, again, await seen(clara), await seen(HR)):
        assert (list(shown.scores), shown.HasField("result")) == ([], False)
        assert list(shown.scored_reviewer_ids) == [anna, boris]

    closed = await close(world, one)
    assert (closed.state, list(closed.result.missing_reviewer_ids)) == (Calibration.STATE_CLOSED, [clara])
    assert (closed.result.spread, [each.score for each in closed.scores]) == ("30.00", ["70.00", "40.00"])
    assert (await seen(clara)).result == closed.result
    assert not (await seen(clara, while_open)).scores
    await refused(seen(agent), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    late = score(world, one, clara, 100)
    await refused(late, StatusCode.FAILED_PRECONDITION, "CALIBRATION_CLOSED")


async def test_what_cannot_be_opened_or_scored_is_said(world: World) -> None:
    agent, anna, boris = await people(world, 3)
    form_id = await form(world)
    for wrong, code, reason in (
        (opened(world, form_id, agent, anna, "nobody"), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
        (opened(world, "no-form", agent, anna, boris), StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"),
        (opened(world, form_id, agent, anna, boris, day="2018-12-31"), StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"),
        (opened(world, form_id, agent, anna, agent), StatusCode.INVALID_ARGUMENT, "REVIEWER_INVALID"),
        (opened(world, form_id, agent, anna, anna), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        (opened(world, form_id, agent, anna, boris, day="2199-01-01"), StatusCode.INVALID_ARGUMENT, "DATE_INVALID"),
    ):
        await refused(wrong, code, reason)
    one = await opened(world, form_id, agent, anna, boris)
    await refused(score(world, one, agent, 100), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await refused(score(world, one, anna, 100, other=1), StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")
    nothing = Calibration(calibration_id="nothing")
    await refused(score(world, nothing, anna, 100), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await refused(close(world, nothing), StatusCode.NOT_FOUND, "CALIBRATION_NOT_FOUND")
    missing = world.calibrations.GetCalibration(GetCalibrationRequest(calibration_id="nothing"))
    await refused(missing, StatusCode.NOT_FOUND, "CALIBRATION_NOT_FOUND")


async def test_the_version_of_the_contacts_day_counts(world: World) -> None:
    """A version stored while the round is open, with effect from before the contact, changes nothing of it."""
    agent, anna, boris = await people(world, 3)
    form_id = await form(world)
    one = await opened(world, form_id, agent, anna, boris)
    await score(world, one, anna, 50)
    newer = SetPolicyRequest(policy=await world.policies.GetPolicy(GetPolicyRequest(policy_id=form_id)))
    newer.policy.effective_date = "2020-01-01"
    newer.policy.form.sections[0].items[0].weight = "0.5"
    await world.policies.SetPolicy(newer)
    again = await world.calibrations.OpenCalibration(OpenCalibrationRequest(calibration=one))
    assert again.policy_position == one.policy_position
    shown = await score(world, one, boris, 50)
    assert [each.score for each in shown.scores] == ["70.00"]
    assert (await close(world, one)).result.spread == "0.00"


async def test_drift_is_told_by_month_and_only_where_there_is_enough(both: World) -> None:
    """Anna is 30 above Boris twice in January and 60 in March; a reference does not count, nor an open round."""
    world = both
    agent, anna, boris = await people(world, 3)
    form_id = await form(world)
    closed = [("2020-01-07", 50, 0), ("2020-01-08", 100, 50), ("2020-03-02", 100, 0)]
    kept: list[Calibration] = []
    for day, of_anna, of_boris in closed:
        one = await opened(world, form_id, agent, anna, boris, day=day)
        await score(world, one, anna, of_anna)
        await score(world, one, boris, of_boris)
        kept.append(await close(world, one))
    gold = await opened(world, form_id, agent, anna, boris, day="2020-03-03", reference=anna)
    await score(world, gold, anna, 100)
    await score(world, gold, boris, 95)
    await close(world, gold)
    never_closed = await opened(world, form_id, agent, anna, boris, day="2020-03-04")
    await score(world, never_closed, anna, 0)
    before = await world.end()

    answer = await drift(world, minimum_rounds=3)
    assert (answer.minimum_rounds, answer.tolerance) == (3, "3")
    hers, his = answer.reviewers
    assert [hers.reviewer_id, his.reviewer_id] == [anna, boris]
    whole = ReviewerDrift.Deviations
    # 30, 30 and 60 points; of the solution's weight of 60.
    assert hers.whole == whole(rounds=3, mean="40.00", mean_absolute="40.00", tendency=ReviewerDrift.TENDENCY_LENIENT)
    assert [(one.month, one.deviations.rounds, one.deviations.mean) for one in hers.months] == [
        ("2020-01", 2, "30.00"),
        ("2020-03", 1, "60.00"),
    ]
    assert {one.deviations.tendency for one in hers.months} == {ReviewerDrift.TENDENCY_UNSPECIFIED}
    # Boris also against the reference: -3.
    assert his.whole == whole(rounds=4, mean="-30.75", mean_absolute="30.75", tendency=ReviewerDrift.TENDENCY_HARSH)
    by_default = await drift(world)
    assert by_default.minimum_rounds == 5
    assert {one.whole.tendency for one in by_default.reviewers} == {ReviewerDrift.TENDENCY_UNSPECIFIED}
    wide = await drift(world, minimum_rounds=3, tolerance="40")
    assert {one.whole.tendency for one in wide.reviewers} == {ReviewerDrift.TENDENCY_IN_LINE}

    taken_back = RetractCalibrationRequest(calibration_id=kept[2].calibration_id, reason="another contact")
    assert (await world.calibrations.RetractCalibration(taken_back)).state == Calibration.STATE_RETRACTED
    assert [one.whole.rounds for one in (await drift(world)).reviewers] == [2, 3]
    assert [one.whole.rounds for one in (await drift(world, known_at=before)).reviewers] == [3, 4]
    assert [one.reviewer_id for one in (await drift(world, reviewer_id=boris)).reviewers] == [boris]
    first = await drift(world, page_size=1)
    rest = await drift(world, page_size=1, page_token=first.next_page_token)
    assert [one.reviewer_id for one in (*first.reviewers, *rest.reviewers)] == [anna, boris]
    backwards = drift(world, start_date="2020-02-01", end_date="2020-01-31")
    await refused(backwards, StatusCode.INVALID_ARGUMENT, "DATE_INVALID")


async def test_lists_and_a_rebuild(world: World) -> None:
    """Rounds are found by day, reviewer and employee, page by page; made again from the log they are the same."""
    agent, anna, boris, clara = await people(world, 4)
    form_id = await form(world)
    one = await opened(world, form_id, agent, anna, boris, day="2020-01-07")
    other = await opened(world, form_id, anna, boris, clara, day="2020-01-09")
    for reviewer in (anna, boris):
        await score(world, one, reviewer, 100 if reviewer == anna else 0)
    await close(world, one)
    retract = RetractCalibrationRequest(calibration_id=other.calibration_id, reason="another contact")
    await world.calibrations.RetractCalibration(retract)

    async def listed(**more: object) -> list[str]:
        found, token = [], ""
        while True:
            asked: dict[str, Any] = {"page_size": 1, "page_token": token, "at_least": await world.end()} | more
            answer = await world.calibrations.ListCalibrations(ListCalibrationsRequest(**asked))
            found += [each.calibration_id for each in answer.calibrations]
            if not (token := answer.next_page_token):
                return found

    first, second = one.calibration_id, other.calibration_id
    assert await listed() == [first, second]
    assert await listed(reviewer_id=clara) == [second]
    assert await listed(reviewer_id=boris) == [first, second]
    assert await listed(employee_id=agent) == [first]
    assert await listed(start_date="2020-01-08") == [second]
    assert await listed(end_date="2020-01-08") == [first]
    await caught_up(world)
    followers = world.services["performance"].followers
    (follower,) = [each for each in followers if isinstance(each.handler, Calibrations)]
    last = [step async for step in rebuild(follower)][-1]
    assert (last.done, last.changed_rows) == (True, 0)


async def test_nothing_of_it_counts_in_kpis(world: World) -> None:
    """Neither for whose contact it is nor for who reviewed it."""
    agent, anna, boris = await people(world, 3)
    form_id = await form(world)
    count = await derived(world, "evaluation.count")
    await create(world, evaluation(form_id, agent, anna, "2020-01-07"))
    one = await opened(world, form_id, agent, anna, boris)
    for reviewer in (anna, boris):
        await score(world, one, reviewer, 0)
    await close(world, one)
    assert [await value(world, count, each) for each in (agent, anna, boris)] == ["1.0", "", ""]
