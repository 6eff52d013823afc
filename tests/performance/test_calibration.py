"""A calibration round from its opening to its closing, and what each reviewer is told of it meanwhile."""

from fractions import Fraction

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.performance.calibration import CALIBRATION, State, deviations, to_resource
from stepladder.performance.v1.calibration_pb2 import (
    Calibration,
    CalibrationResult,
    CalibrationScores,
    CloseCalibrationRequest,
    OpenCalibration,
    RetractCalibrationRequest,
    ReviewerDeviation,
    ScoreCalibration,
)
from stepladder.performance.v1.events_pb2 import (
    CalibrationClosed,
    CalibrationOpened,
    CalibrationRetracted,
    CalibrationScored,
)
from stepladder.performance.v1.policy_pb2 import Form, Policy
from stepladder.performance.v1.record_pb2 import Evaluation
from tests.deciding import Given, given, twice_is_once

FORM = Policy(
    policy_id="calls",
    log_position=7,
    form=Form(
        sections=[
            Form.Section(
                items=[
                    Form.Item(item_id="greeting", weight="40"),
                    Form.Item(item_id="solution", weight="60"),
                    Form.Item(item_id="identity", weight="0", fatal=True),
                ]
            )
        ]
    ),
)
REVIEWERS = ("u-1", "u-2", "u-3")
CLOSE = CloseCalibrationRequest(calibration_id="cal-1")
RETRACT = RetractCalibrationRequest(calibration_id="cal-1", reason="the wrong contact")
RETRACTED = CalibrationRetracted(calibration_id="cal-1", employee_id="e-1", reason="the wrong contact")


def calibration(reference: str = "", *, contact: str = "call-1", reviewers: tuple[str, ...] = REVIEWERS) -> Calibration:
    return Calibration(
        calibration_id="cal-1",
        employee_id="e-1",
        contact_id=contact,
        date="2026-03-02",
        form_id="calls",
        reviewer_ids=reviewers,
        reference_id=reference,
    )


def opening(one: Calibration, position: int = 7) -> OpenCalibration:
    return OpenCalibration(calibration=one, policy_position=position)


def opened(one: Calibration) -> CalibrationOpened:
    stored = Calibration(policy_position=7)
    stored.MergeFrom(one)
    return CalibrationOpened(calibration=stored)


def answers(greeting: int, solution: int, identity: int = 100) -> list[Evaluation.Answer]:
    achieved = {"greeting": greeting, "solution": solution, "identity": identity}
    return [Evaluation.Answer(item_id=item_id, achieved=value) for item_id, value in achieved.items()]


def score(greeting: int, solution: int, identity: int = 100) -> ScoreCalibration:
    """By u-1, who gives every command of these tests."""
    return ScoreCalibration(answers=answers(greeting, solution, identity), policy=FORM)


def scored(reviewer: str, score: str, greeting: int, solution: int, identity: int = 100) -> CalibrationScored:
    scores = CalibrationScores(
        reviewer_id=reviewer,
        answers=answers(greeting, solution, identity),
        score=score,
        fatal_item_ids=["identity"] if identity < 100 else [],
    )
    return CalibrationScored(calibration_id="cal-1", scores=scores)


def round_of(*scores: CalibrationScored, reference: str = "") -> Given[State]:
    return given(CALIBRATION, opened(calibration(reference)), *scores)


def result(*scores: CalibrationScored, reference: str = "") -> CalibrationResult:
    """What comes out when these are closed."""
    before = round_of(*scores, reference=reference)
    (event,) = before.when(CLOSE)._decide()
    assert isinstance(event, CalibrationClosed)
    assert event.calibration == before.state.calibration
    return event.result


def test_a_round_is_opened_once() -> None:
    """With another version of the form in force since, it is the same round; with another contact it is not."""
    after = given(CALIBRATION).when(opening(calibration())).then(opened(calibration()))
    after.when(opening(calibration(), position=99)).then()
    after.when(opening(calibration(contact="call-2"))).refused(AlreadyExists, "CALIBRATION_EXISTS")
    for command in (score(100, 100), CLOSE, RETRACT):
        given(CALIBRATION).when(command).refused(NotFound, "CALIBRATION_NOT_FOUND")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (calibration(reviewers=("u-1", "e-1")), "calibration.reviewer_ids"),
        (calibration(reference="u-9"), "calibration.reference_id"),
    ],
)
def test_who_cannot_review_is_said(wrong: Calibration, field: str) -> None:
    refusal = given(CALIBRATION).when(opening(wrong)).refused(Invalid, "REVIEWER_INVALID")
    assert [one.field for one in refusal.violations] == [field]


def test_a_reviewer_scores_and_changes_their_mind_until_it_is_closed() -> None:
    after = round_of().when(score(50, 100)).then(scored("u-1", "80.00", 50, 100))
    after.when(score(50, 100)).then()
    after = after.when(score(100, 100, identity=0)).then(scored("u-1", "0.00", 100, 100, identity=0))
    both = given(CALIBRATION, opened(calibration()), scored("u-1", "80.00", 50, 100), scored("u-2", "80.00", 50, 100))
    (event,) = both.when(CLOSE)._decide()
    closed = both.when(CLOSE).then(event)
    closed.when(CLOSE).then()
    closed.when(score(50, 100)).then()
    closed.when(score(0, 100)).refused(NotAllowed, "CALIBRATION_CLOSED")


def test_answers_are_those_of_an_evaluation() -> None:
    """One for each item of the form, as for a record."""
    missing = ScoreCalibration(answers=answers(100, 100)[:2], policy=FORM)
    round_of().when(missing).refused(Invalid, "ITEM_MISSING")


def test_it_takes_two_to_compare_and_who_is_missing_is_named() -> None:
    refusal = round_of(scored("u-2", "80.00", 50, 100)).when(CLOSE).refused(NotAllowed, "TOO_FEW_SCORES")
    assert "u-1, u-3" in refusal.message
    one = result(scored("u-3", "40.00", 100, 0), scored("u-1", "80.00", 50, 100))
    assert list(one.missing_reviewer_ids) == ["u-2"]
    without = round_of(scored("u-2", "80.00", 50, 100), scored("u-3", "80.00", 50, 100), reference="u-1")
    assert "u-1" in without.when(CLOSE).refused(NotAllowed, "REFERENCE_MISSING").message


def test_each_is_compared_with_the_mean_of_the_others() -> None:
    """Worked by hand: 80, 40 and 100; the mean is 73.33, the distances from it 6.67, 33.33 and 26.67."""
    one = result(scored("u-1", "80.00", 50, 100), scored("u-2", "40.00", 100, 0), scored("u-3", "100.00", 100, 100))
    assert (one.mean, one.spread, one.mean_absolute_deviation) == ("73.33", "60.00", "22.22")
    assert [(each.reviewer_id, each.score, each.deviation) for each in one.deviations] == [
        ("u-1", "80.00", "10.00"),  # of 70
        ("u-2", "40.00", "-50.00"),  # of 90
        ("u-3", "100.00", "40.00"),  # of 60
    ]


def test_where_there_is_a_reference_all_are_compared_with_it() -> None:
    one = result(
        scored("u-1", "80.00", 50, 100),
        scored("u-2", "40.00", 100, 0),
        scored("u-3", "100.00", 100, 100),
        reference="u-3",
    )
    assert [each.deviation for each in one.deviations] == ["-20.00", "-60.00", ""]
    assert one.mean_absolute_deviation == "40.00"
    assert (one.mean, one.spread) == ("73.33", "60.00")


def test_deviations_are_exact() -> None:
    """A third is a third, not 0.33."""
    shown = CalibrationResult(
        deviations=[ReviewerDeviation(reviewer_id=one, score=text) for one, text in zip("abcd", "0001", strict=True)]
    )
    assert deviations(Calibration(), shown)["a"] == Fraction(-1, 3)


def test_items_on_which_they_disagree_are_shown() -> None:
    """Who missed what, whatever is written beside an item that does not apply; a fatal one is flagged."""
    no_greeting = scored("u-2", "0.00", 30, 100, identity=0)
    no_greeting.scores.answers[0].not_applicable = True
    also_without = scored("u-3", "100.00", 0, 100)
    also_without.scores.answers[0].not_applicable = True
    one = result(scored("u-1", "80.00", 50, 100), no_greeting, also_without)
    greeting, identity, solution = one.items
    assert (greeting.item_id, list(greeting.missed_reviewer_ids)) == ("greeting", ["u-1"])
    assert list(greeting.not_applicable_reviewer_ids) == ["u-2", "u-3"]
    assert (greeting.disagreed, greeting.fatal_disagreement) == (True, False)
    assert (identity.disagreed, identity.fatal_disagreement, one.fatal_disagreement) == (True, True, True)
    assert (solution.disagreed, list(solution.missed_reviewer_ids)) == (False, [])
    agreed = result(no_greeting, scored("u-1", "0.00", 50, 100, identity=0))
    assert (agreed.items[1].disagreed, agreed.fatal_disagreement) == (False, False)
    same = result(also_without, scored("u-1", "100.00", 100, 100))
    assert same.items[0].disagreed
    both_off = CalibrationScored()
    both_off.CopyFrom(also_without)
    both_off.scores.reviewer_id = "u-1"
    both_off.scores.answers[0].achieved = 77
    assert not result(also_without, both_off).items[0].disagreed


def test_nobody_is_told_what_others_gave_before_it_is_closed() -> None:
    """Not when it is taken back either; and afterwards everyone is told everything."""
    before = round_of(scored("u-3", "40.00", 100, 0), scored("u-2", "80.00", 50, 100))
    (closed,) = before.when(CLOSE)._decide()
    withdrawn = before.when(RETRACT).then(RETRACTED)
    after = before.when(CLOSE).then(closed)
    for state in (before.state, withdrawn.state):
        for actor in ("user:u-1", "user:e-1", "system:u-2", "u-2"):
            shown = to_resource(state, 9, actor)
            assert list(shown.scored_reviewer_ids) == ["u-2", "u-3"]
            assert not shown.scores
            assert not shown.HasField("result")
        (own,) = to_resource(state, 9, "user:u-2").scores
        assert (own.reviewer_id, own.score) == ("u-2", "80.00")
    for state in (after.state, after.when(RETRACT).then(RETRACTED).state):
        shown = to_resource(state, 9, "user:u-1")
        assert [one.reviewer_id for one in shown.scores] == ["u-2", "u-3"]
        assert shown.result.spread == "40.00"
    assert to_resource(after.state, 9, "").state == Calibration.STATE_CLOSED


def test_what_was_taken_back_stays_so() -> None:
    after = round_of().when(RETRACT).then(RETRACTED)
    after.when(RETRACT).then()
    for command in (score(100, 100), CLOSE, opening(calibration())):
        after.when(command).refused(NotAllowed, "RETRACTED")


def commands() -> st.SearchStrategy[Message]:
    percent = st.sampled_from([0, 50, 100])
    return st.one_of(
        st.sampled_from([calibration(), calibration("u-1"), calibration("u-2")]).map(opening),
        st.builds(score, percent, percent, percent),
        st.just(CLOSE),
        st.just(RETRACT),
    )


@pytest.mark.parametrize("before", [(), (opened(calibration()), scored("u-2", "80.00", 50, 100))])
def test_saying_it_twice_changes_nothing(before: tuple[Message, ...]) -> None:
    twice_is_once(CALIBRATION, commands(), *before)
