"""Assessments of an employee: by the manager, who is named, and by the team, of whom nobody can be made out."""

from itertools import product

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Conflict, Invalid, NotAllowed, NotFound
from services.performance.assessment import ASSESSMENT, State, to_resources
from stepladder.performance.v1.assessment_pb2 import (
    ASSESSOR_RELATION_MANAGER,
    ASSESSOR_RELATION_TEAM,
    AssessedBehaviour,
    Assessment,
    AssessorRelation,
    BehaviourMean,
    CancelAssessmentRequest,
    CloseAssessment,
    CloseAssessmentRequest,
    GiveAssessment,
    GiveAssessmentRequest,
    OpenAssessment,
    OpenAssessmentRequest,
    TeamAssessment,
)
from stepladder.performance.v1.events_pb2 import (
    AssessmentCancelled,
    AssessmentClosed,
    AssessmentGiven,
    AssessmentOpened,
)
from stepladder.performance.v1.policy_pb2 import CompetencyModel, Policy
from tests.deciding import Given, given, twice_is_once

MODEL = Policy(
    policy_id="leads",
    log_position=7,
    competency_model=CompetencyModel(
        behaviours=[CompetencyModel.Behaviour(behaviour_id=one) for one in ("sense", "act")],
        scale=[CompetencyModel.Level(level=level) for level in range(1, 6)],
        minimum_assessors=3,
    ),
)
SPAN = ("2026-01", "2026-02")
TEAM, MANAGER = ASSESSOR_RELATION_TEAM, ASSESSOR_RELATION_MANAGER


def open_(start: str = "2026-01", end: str = "2026-02", model: str = "leads", position: int = 7) -> OpenAssessment:
    request = OpenAssessmentRequest(employee_id="e-1", start_month=start, end_month=end, model_id=model)
    return OpenAssessment(request=request, policy_position=position)


def opened(start: str = "2026-01", end: str = "2026-02") -> AssessmentOpened:
    return AssessmentOpened(employee_id="e-1", start_month=start, end_month=end, model_id="leads", policy_position=7)


def behaviours(*levels: int) -> list[AssessedBehaviour]:
    return [
        AssessedBehaviour(behaviour_id=one, level=level) for one, level in zip(("sense", "act"), levels, strict=True)
    ]


def give(
    sense: int = 3, act: int = 4, relation: "AssessorRelation.ValueType" = TEAM, comment: str = ""
) -> GiveAssessment:
    """By u-1, who gives every command of these tests."""
    request = GiveAssessmentRequest(
        employee_id="e-1", start_month=SPAN[0], end_month=SPAN[1], behaviours=behaviours(sense, act), comment=comment
    )
    return GiveAssessment(request=request, relation=relation, policy=MODEL)


def gave(
    assessor: str,
    sense: int = 3,
    act: int = 4,
    relation: "AssessorRelation.ValueType" = TEAM,
    comment: str = "",
) -> AssessmentGiven:
    return AssessmentGiven(
        employee_id="e-1",
        start_month=SPAN[0],
        end_month=SPAN[1],
        assessor_id=assessor,
        relation=relation,
        behaviours=behaviours(sense, act),
        comment=comment,
    )


CLOSE = CloseAssessment(
    request=CloseAssessmentRequest(employee_id="e-1", start_month=SPAN[0], end_month=SPAN[1]), policy=MODEL
)
CANCEL = CancelAssessmentRequest(employee_id="e-1", start_month=SPAN[0], end_month=SPAN[1], reason="the wrong months")
CANCELLED = AssessmentCancelled(employee_id="e-1", start_month=SPAN[0], end_month=SPAN[1], reason="the wrong months")


def closed(assessors: int, sense: str, act: str) -> AssessmentClosed:
    means = [BehaviourMean(behaviour_id="sense", mean=sense), BehaviourMean(behaviour_id="act", mean=act)]
    team = TeamAssessment(assessors=assessors, behaviours=means)
    return AssessmentClosed(employee_id="e-1", start_month=SPAN[0], end_month=SPAN[1], team=team)


def under_way(*events: Message) -> Given[State]:
    return given(ASSESSMENT, opened(), *events)


def shown(one: Given[State]) -> Assessment:
    (assessment,) = to_resources(one.state)
    return assessment


def test_nothing_is_decided_by_the_model_of_an_assessment_that_was_cancelled_meanwhile() -> None:
    """Else levels of one model would be counted as levels of the other."""
    anew = AssessmentOpened(employee_id="e-1", start_month=SPAN[0], end_month=SPAN[1], model_id="x", policy_position=9)
    for command in (give(), CLOSE):
        under_way(CANCELLED, anew).when(command).refused(Conflict, "REOPENED")


def test_it_is_opened_once_under_one_model() -> None:
    after = given(ASSESSMENT).when(open_()).then(opened())
    after.when(open_(position=99)).then()
    after.when(open_(model="others")).refused(AlreadyExists, "ASSESSMENT_EXISTS")
    for command in (give(), CLOSE, CANCEL):
        given(ASSESSMENT).when(command).refused(NotFound, "ASSESSMENT_NOT_FOUND")


@pytest.mark.parametrize(("start", "end"), [("2026-02", "2026-03"), ("2025-12", "2026-01"), ("2026-01", "2026-01")])
def test_no_month_is_assessed_in_two_spans(start: str, end: str) -> None:
    """Unless the other one was cancelled, so that nothing of it was shown."""
    under_way().when(open_(start, end)).refused(NotAllowed, "SPANS_OVERLAP")
    under_way(CANCELLED).when(open_(start, end)).then(opened(start, end))
    under_way().when(open_("2026-03", "2026-03")).then(opened("2026-03", "2026-03"))


def test_an_assessor_gives_it_again() -> None:
    after = under_way().when(give()).then(gave("u-1"))
    after.when(give()).then()
    after = after.when(give(sense=5)).then(gave("u-1", sense=5))
    assert len(after.state.assessments[SPAN].given) == 1  # type: ignore[index] # a tuple of its kind


def test_only_the_manager_comments() -> None:
    under_way().when(give(comment="so slow")).refused(Invalid, "COMMENT_NOT_SHOWN")
    after = (
        under_way()
        .when(give(relation=MANAGER, comment="so slow"))
        .then(gave("u-1", relation=MANAGER, comment="so slow"))
    )
    (manager,) = shown(after).managers
    assert (manager.assessor_id, manager.comment, list(manager.behaviours)) == ("u-1", "so slow", behaviours(3, 4))


@pytest.mark.parametrize(
    ("wrong", "kind", "reason"),
    [
        ([("sense", 3)], Invalid, "BEHAVIOUR_MISSING"),
        ([("sense", 3), ("act", 3), ("sense", 3)], Invalid, "BEHAVIOUR_TWICE"),
        ([("sense", 3), ("fly", 3)], NotFound, "BEHAVIOUR_NOT_FOUND"),
        ([("sense", 3), ("act", 6)], NotFound, "LEVEL_NOT_FOUND"),
    ],
)
def test_levels_are_those_of_the_model(
    wrong: list[tuple[str, int]], kind: type[Invalid] | type[NotFound], reason: str
) -> None:
    command = give()
    del command.request.behaviours[:]
    command.request.behaviours.extend([AssessedBehaviour(behaviour_id=one, level=level) for one, level in wrong])
    under_way().when(command).refused(kind, reason)


def test_the_team_is_shown_once_it_is_closed() -> None:
    """Means of those of the team, in the order of the model; the manager's is not among them. Then nothing is taken."""
    three = under_way(gave("u-2", 2, 4), gave("u-3", 3, 5), gave("u-9", 1, 1, MANAGER), gave("u-4", 3, 5))
    assert not shown(three).HasField("team")
    after = three.when(CLOSE).then(closed(3, "2.67", "4.67"))
    assert shown(after).team == closed(3, "2.67", "4.67").team
    after.when(CLOSE).then()
    after.when(give()).refused(NotAllowed, "ASSESSMENT_CLOSED")
    after.when(CANCEL).refused(NotAllowed, "ASSESSMENT_CLOSED")
    after.when(give(1, 1, MANAGER)).refused(NotAllowed, "ASSESSMENT_CLOSED")
    # Whatever they gave: else it could be found by trying.
    own = given(ASSESSMENT, opened(), gave("u-1"), gave("u-2"), gave("u-3"), closed(3, "3.00", "4.00"))
    own.when(give()).refused(NotAllowed, "ASSESSMENT_CLOSED")


def test_too_few_are_not_shown_and_not_counted() -> None:
    """Who gave it as one of the team and became the manager since is not of the team any more."""
    two = under_way(gave("u-2"), gave("u-3"), gave("u-9", relation=MANAGER))
    refusal = two.when(CLOSE).refused(NotAllowed, "TOO_FEW_ASSESSORS")
    assert "fewer than 3" in refusal.message
    promoted = under_way(gave("u-2"), gave("u-3"), gave("u-9"), gave("u-9", relation=MANAGER))
    promoted.when(CLOSE).refused(NotAllowed, "TOO_FEW_ASSESSORS")


def test_no_mean_tells_what_each_of_them_gave() -> None:
    """Of every team of three and every mean shown there are teams that differ in each member's level."""
    by_mean: dict[str, list[tuple[int, ...]]] = {}
    for levels in product(range(1, 6), repeat=3):
        team = under_way(*(gave(f"u-{number}", level) for number, level in enumerate(levels)))
        (event,) = team.when(CLOSE)._decide()
        assert isinstance(event, AssessmentClosed)
        by_mean.setdefault(event.team.behaviours[0].mean, []).append(levels)
    for teams in by_mean.values():
        assert all(len({levels[member] for levels in teams}) > 1 for member in range(3))


def test_what_was_cancelled_is_shown_nobody() -> None:
    after = under_way(gave("u-2"), gave("u-9", relation=MANAGER)).when(CANCEL).then(CANCELLED)
    assert (shown(after).state, list(shown(after).managers)) == (Assessment.STATE_CANCELLED, [])
    after.when(CANCEL).then()
    for command in (give(), CLOSE):
        after.when(command).refused(NotAllowed, "CANCELLED")
    again = after.when(open_()).then(opened())
    assert again.state.assessments[SPAN].given == {}  # type: ignore[index] # a tuple of its kind


def test_no_answer_names_one_of_the_team() -> None:
    """In no state: not the names, not what they gave, not how many they are before it is closed."""
    team = [gave(f"u-secret{number}", 1, 5) for number in range(3)]
    for before in (under_way(*team), under_way(*team, closed(3, "1.33", "4.67")), under_way(*team, CANCELLED)):
        text = str(to_resources(before.state))
        assert "secret" not in text
        assert "level" not in text
    assert "assessors" not in str(shown(under_way(*team)))


def commands() -> st.SearchStrategy[Message]:
    levels = st.integers(1, 6)
    return st.one_of(
        st.sampled_from([open_(), open_("2026-02", "2026-03"), open_(model="others"), CLOSE, CANCEL]),
        st.builds(give, levels, levels, st.sampled_from([TEAM, MANAGER])),
    )


@pytest.mark.parametrize("before", [(), (opened(), gave("u-2"), gave("u-3"), gave("u-4"))])
def test_saying_it_twice_changes_nothing(before: tuple[Message, ...]) -> None:
    twice_is_once(ASSESSMENT, commands(), *before)
