"""Competitions: every command in every state, as given, when, then."""

from datetime import date

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.promotion.competition import COMPETITION, State
from stepladder.promotion.v1.competition_pb2 import (
    CloseApplicationsRequest,
    CloseCompetition,
    CloseCompetitionRequest,
    Competition,
    DeclareConflict,
    DeclareConflictRequest,
    ForgoCompetition,
    NoteCandidateLeft,
    OpenCompetition,
    OpenCompetitionRequest,
    PublishListRequest,
    RankCompetition,
    SetPanel,
    SetPanelRequest,
)
from stepladder.promotion.v1.events_pb2 import (
    ApplicationsClosed,
    CandidateLeft,
    CompetitionClosed,
    CompetitionForgone,
    CompetitionOpened,
    CompetitionRanked,
    ConflictDeclared,
    ListPublished,
    PanelSet,
)
from stepladder.promotion.v1.score_pb2 import Ranked
from tests.deciding import Given, given, twice_is_once

LATER = date(2026, 3, 24)
HR = "user:u-1"


def opening(until: str = "2026-03-27", **changes: str | int) -> OpenCompetition:
    said: dict[str, str | int] = {
        "competition_id": "c-1",
        "cycle_id": "june",
        "ladder_id": "stars",
        "rung_id": "star-3",
        "team_id": "early",
        "seats": 2,
    }
    return OpenCompetition(
        request=OpenCompetitionRequest(**{**said, **changes}),  # type: ignore[arg-type] # each of its field's type
        post_id="post-1",
        position="agent",
        stars=3,
        applications_until=until,
        ladder_position=3,
        eligibility_position=4,
        rules_position=5,
        calendar_id="riga",
    )


def panel(*interviewer_ids: str, **looked_up: object) -> SetPanel:
    found: dict[str, object] = {"minimum_interviewers": 2, "question_ids": ["q-1", "q-2"], "bank_position": 9}
    found["question_seed"] = "5eed"
    request = SetPanelRequest(competition_id="c-1", interviewer_ids=interviewer_ids)
    return SetPanel(request=request, **{**found, **looked_up})  # type: ignore[arg-type] # each of its field's type


def conflict(interviewer_id: str = "i-1", candidacy_id: str = "y-1") -> DeclareConflict:
    request = DeclareConflictRequest(
        competition_id="c-1", interviewer_id=interviewer_id, candidacy_id=candidacy_id, reason="they are married"
    )
    return DeclareConflict(request=request, employee_id="e-1")


def ranked(*candidates: str, failed: int = 0) -> list[Ranked]:
    """By rank; so many at the end have not passed."""
    return [
        Ranked(
            candidacy_id=one, employee_id=one.replace("y", "e"), rank=place, passed=place <= len(candidates) - failed
        )
        for place, one in enumerate(candidates, start=1)
    ]


def closing(*done: str, cancelled: bool = False) -> CloseCompetition:
    request = CloseCompetitionRequest(competition_id="c-1", cancelled=cancelled)
    return CloseCompetition(request=request, done_candidacy_ids=done)


RANKING = ranked("y-1", "y-2", "y-3", "y-4", failed=1)
OPEN = opening()
CLOSE_APPLICATIONS = CloseApplicationsRequest(competition_id="c-1")
PANEL, CONFLICT = panel("i-1", "i-2"), conflict()
RANK = RankCompetition(competition_id="c-1", ranking=RANKING, lot_seed="a-lot")
PUBLISH = PublishListRequest(competition_id="c-1")
LEFT = NoteCandidateLeft(competition_id="c-1", candidacy_id="y-1")
CLOSE, CANCEL = closing("y-1", "y-2"), closing(cancelled=True)
COMMANDS: list[Message] = [OPEN, CLOSE_APPLICATIONS, PANEL, CONFLICT, RANK, PUBLISH, LEFT, CLOSE, CANCEL]

OPENED = CompetitionOpened(
    competition_id="c-1",
    cycle_id="june",
    post_id="post-1",
    position="agent",
    stars=3,
    team_id="early",
    ladder_id="stars",
    rung_id="star-3",
    seats=2,
    opened_date="2026-03-16",
    applications_until="2026-03-27",
    ladder_position=3,
    eligibility_position=4,
    rules_position=5,
    opened_by=HR,
    calendar_id="riga",
)
PANEL_SET = PanelSet(
    competition_id="c-1",
    interviewer_ids=["i-1", "i-2"],
    question_ids=["q-1", "q-2"],
    bank_position=9,
    set_by=HR,
    question_seed="5eed",
)
DECLARED = ConflictDeclared(
    competition_id="c-1",
    interviewer_id="i-1",
    candidacy_id="y-1",
    employee_id="e-1",
    reason="they are married",
    declared_by=HR,
    declared_date="2026-03-16",
)
APPLIED = ApplicationsClosed(competition_id="c-1", closed_date="2026-03-16", closed_by=HR)
RANKED = CompetitionRanked(
    competition_id="c-1", ranking=RANKING, ranked_by=HR, ranked_date="2026-03-16", lot_seed="a-lot"
)
LISTED = ListPublished(competition_id="c-1", listed=RANKING[:2], published_date="2026-03-16", published_by=HR)
GONE = CandidateLeft(competition_id="c-1", candidacy_id="y-1")
CLOSED = CompetitionClosed(competition_id="c-1", closed_date="2026-03-16", closed_by=HR)
CANCELLED = CompetitionClosed(competition_id="c-1", closed_date="2026-03-16", cancelled=True, closed_by=HR)

PATHS: dict[str, list[Message]] = {
    "OPEN": [OPENED],
    "OPEN, with a panel": [OPENED, PANEL_SET],
    "APPLICATIONS_CLOSED": [OPENED, PANEL_SET, APPLIED],
    "RANKED": [OPENED, PANEL_SET, APPLIED, RANKED],
    "LISTED": [OPENED, PANEL_SET, APPLIED, RANKED, LISTED],
    "LISTED, one has left": [OPENED, PANEL_SET, APPLIED, RANKED, LISTED, GONE],
    "CLOSED": [OPENED, PANEL_SET, APPLIED, RANKED, LISTED, CLOSED],
    "CANCELLED": [OPENED, PANEL_SET, CANCELLED],
}
"""What has happened up to each state."""


def after(name: str) -> Given[State]:
    return given(COMPETITION, *PATHS[name])


WRONG = "WRONG_STATE"
DECIDED: dict[str, list[str | Message | None]] = {
    #                         OPEN, CLOSE_APPLICATIONS, PANEL, CONFLICT, RANK, PUBLISH, LEFT, CLOSE, CANCEL
    "OPEN": [None, APPLIED, PANEL_SET, "NOT_ON_PANEL", WRONG, WRONG, GONE, WRONG, CANCELLED],
    "OPEN, with a panel": [None, APPLIED, None, DECLARED, WRONG, WRONG, GONE, WRONG, CANCELLED],
    "APPLICATIONS_CLOSED": [None, None, None, DECLARED, RANKED, WRONG, GONE, WRONG, CANCELLED],
    "RANKED": [None, WRONG, None, WRONG, None, LISTED, GONE, CLOSED, CANCELLED],
    "LISTED": [None, WRONG, None, WRONG, WRONG, None, GONE, CLOSED, CANCELLED],
    "LISTED, one has left": [
        *(None, WRONG, None, WRONG, WRONG),
        ListPublished(competition_id="c-1", listed=RANKING[2:3], published_date="2026-03-16", published_by=HR),
        *(None, CLOSED, CANCELLED),
    ],
    "CLOSED": [None, WRONG, None, WRONG, WRONG, WRONG, None, None, WRONG],
    "CANCELLED": [None, WRONG, None, WRONG, WRONG, WRONG, None, WRONG, None],
}
"""For each state what follows from each of `COMMANDS`: an event, a refusal, or nothing."""


@pytest.mark.parametrize("name", DECIDED)
def test_every_command_in_every_state(name: str) -> None:
    """What follows, and that it said again changes nothing."""
    for command, expected in zip(COMMANDS, DECIDED[name], strict=True):
        if isinstance(expected, str):
            after(name).when(command).refused(NotAllowed, expected)
        elif expected is None:
            after(name).when(command).then()
        else:
            after(name).when(command).then(expected).when(command, LATER).then()


def test_nothing_before_it_is_opened() -> None:
    for command in COMMANDS[1:]:
        given(COMPETITION).when(command).refused(NotFound, "COMPETITION_NOT_FOUND")


def test_what_was_given_up_is_never_opened() -> None:
    """Its seats are not kept any longer; one that was opened goes on, whatever has become of it."""
    forgo = ForgoCompetition(competition_id="c-1")
    for name in PATHS:
        after(name).when(forgo).then()
    forgone = given(COMPETITION).when(forgo).then(CompetitionForgone(competition_id="c-1"))
    forgone.when(forgo).then()
    forgone.when(OPEN).refused(NotAllowed, "COMPETITION_FORGONE")
    forgone.when(CANCEL).refused(NotFound, "COMPETITION_NOT_FOUND")


def test_opened_once() -> None:
    """The same again is the same, also when its last day is over or the cycle says it; others are refused."""
    opened = given(COMPETITION).when(OPEN).then(OPENED)
    opened.when(opening(until="2026-04-30"), LATER).then()
    for changes in (
        {"cycle_id": "july"},
        {"ladder_id": "posts"},
        {"rung_id": "star-4"},
        {"team_id": "late"},
        {"seats": 3},
    ):
        opened.when(opening(**changes)).refused(AlreadyExists, "COMPETITION_EXISTS")
    opened.when(opening(applications_until="2026-03-27")).then()
    opened.when(opening(applications_until="2026-03-28")).refused(AlreadyExists, "COMPETITION_EXISTS")


@pytest.mark.parametrize("until", ["2026-03-15", "2026-02-29"])
def test_applications_until_a_day_that_is_over_or_none(until: str) -> None:
    given(COMPETITION).when(opening(until)).refused(Invalid, "DATE_INVALID")
    assert given(COMPETITION).when(opening("2026-03-16"))._decide()


def test_takes_applications_up_to_the_last_day() -> None:
    """Also where the clock is late; no longer once they are closed, and whoever comes then reads why."""
    state = after("OPEN").state
    assert not state.closed_to_applicants(date(2026, 3, 27))
    assert state.closed_to_applicants(date(2026, 3, 28)) == "applications were taken until 2026-03-27"
    by_hand = "applications were closed on 2026-03-16, before the end of 2026-03-27, which was announced"
    for name in ("APPLICATIONS_CLOSED", "RANKED", "CLOSED"):
        assert after(name).state.closed_to_applicants(date(2026, 3, 16)) == by_hand
        assert after(name).state.closed_to_applicants(date(2026, 3, 28)) == by_hand
    cancelled = after("CANCELLED").state.closed_to_applicants(date(2026, 3, 16))
    assert cancelled == "the competition was cancelled on 2026-03-16"
    clock = after("OPEN").when(CLOSE_APPLICATIONS, date(2026, 3, 28))
    (closed,) = clock._decide()
    told = given(COMPETITION, OPENED, closed).state.closed_to_applicants(date(2026, 3, 28))
    assert told == "applications were taken until 2026-03-27"


def test_a_panel_as_the_rules_ask() -> None:
    """Of enough people, none of them a candidate, and with everybody who has scored."""
    opened = after("OPEN, with a panel")
    opened.when(panel("i-1", minimum_interviewers=0)).refused(NotAllowed, "NO_INTERVIEW")
    opened.when(panel("i-1")).refused(NotAllowed, "TOO_FEW_INTERVIEWERS")
    mine = opened.when(panel("i-1", "e-1", candidate_ids=["e-2", "e-1"])).refused(
        NotAllowed, "INTERVIEWER_IS_CANDIDATE"
    )
    assert mine.message.endswith(": e-1")
    scored = opened.when(panel("i-2", "i-3", scored_by=["i-1"])).refused(NotAllowed, "INTERVIEWER_HAS_SCORED")
    assert scored.message.endswith(": i-1")
    now_candidate = panel("i-2", "i-3", scored_by=["i-1"], candidate_ids=["i-1"])
    assert opened.when(now_candidate)._decide()


def test_a_panel_of_which_enough_may_judge_everybody() -> None:
    """Who leads a candidate, or has declared a conflict, judges others."""
    lead = Competition.Apart(candidacy_id="y-1", interviewer_ids=["i-3"])
    opened = after("OPEN, with a panel")
    few = opened.when(panel("i-1", "i-3", apart=[lead])).refused(NotAllowed, "TOO_FEW_INTERVIEWERS")
    assert "candidacy y-1 is not judged by i-3" in few.message
    assert opened.when(panel("i-1", "i-2", "i-3", apart=[lead]))._decide()
    declared = given(COMPETITION, *PATHS["OPEN, with a panel"], DECLARED)
    declared.when(panel("i-1", "i-2", "i-3", apart=[lead])).refused(NotAllowed, "TOO_FEW_INTERVIEWERS")


def test_another_panel_asks_the_same() -> None:
    """The questions of the first one stay, whatever the bank is by then; the order of names makes no other panel."""
    another = panel("i-2", "i-3", scored_by=["i-2"], question_ids=["q-9"], bank_position=12, question_seed="2nd")
    changed = PanelSet()
    changed.CopyFrom(PANEL_SET)
    changed.interviewer_ids[:] = ["i-2", "i-3"]
    set_anew = after("APPLICATIONS_CLOSED").when(another).then(changed)
    assert set_anew.state.panel.question_ids == ["q-1", "q-2"]
    set_anew.when(panel("i-3", "i-2")).then()
    after("RANKED").when(another).refused(NotAllowed, "WRONG_STATE")


def test_lots_are_not_drawn_again() -> None:
    """Whoever says it again, with a ranking by another seed, gets the one there is."""
    redrawn = RankCompetition(competition_id="c-1", ranking=reversed(RANKING), lot_seed="another")
    again = after("RANKED").when(redrawn).then().state.ranked
    assert (again.lot_seed, list(again.ranking)) == ("a-lot", RANKING)


def test_who_judges() -> None:
    """The panel without those of whom a conflict with this candidate was declared."""
    state = after("OPEN, with a panel").when(CONFLICT).then(DECLARED).state
    assert state.judges_of("y-1") == ["i-2"]
    assert state.judges_of("y-2") == ["i-1", "i-2"]
    after("OPEN, with a panel").when(conflict("i-3")).refused(NotAllowed, "NOT_ON_PANEL")


def test_listed_by_rank() -> None:
    """As many as there are seats; who has left is passed over, whether before the ranking, the list or after it."""
    early = NoteCandidateLeft(competition_id="c-1", candidacy_id="y-2")
    gone = CandidateLeft(competition_id="c-1", candidacy_id="y-2")
    passed_over = given(COMPETITION, OPENED, gone, APPLIED, RANKED)
    passed_over.when(early).then()
    listed = passed_over.when(PUBLISH).then(
        ListPublished(
            competition_id="c-1", listed=[RANKING[0], RANKING[2]], published_date="2026-03-16", published_by=HR
        )
    )
    assert [one.candidacy_id for one in listed.state.on_list] == ["y-1", "y-3"]
    alone = listed.when(LEFT).then(GONE)
    alone.when(PUBLISH).then()  # y-4 has not passed
    assert [one.candidacy_id for one in alone.state.on_list] == ["y-3"]


def test_nobody_to_list() -> None:
    """Nobody has passed, everybody who has is gone, or nobody has applied; then it can be closed."""
    for ranking, left in ((ranked("y-1", "y-2", failed=2), ()), (ranked("y-1"), (GONE,)), ([], ())):
        done = CompetitionRanked(competition_id="c-1", ranking=ranking, ranked_by=HR, ranked_date="2026-03-16")
        nobody = given(COMPETITION, OPENED, APPLIED, done, *left)
        nobody.when(PUBLISH).refused(NotAllowed, "NOBODY_TO_LIST")
        nobody.when(closing()).then(CLOSED)


def test_closed_when_everybody_on_the_list_is_done() -> None:
    """Those who have left do not count; cancelled, it ends whatever there is."""
    refusal = after("LISTED").when(closing("y-2")).refused(NotAllowed, "CANDIDACIES_RUNNING")
    assert refusal.message.endswith(": y-1")
    after("LISTED, one has left").when(closing("y-2")).then(CLOSED)
    after("LISTED").when(CANCEL).then(CANCELLED)


def test_twice_is_once() -> None:
    """Saying a command again changes nothing."""
    commands = st.sampled_from([*COMMANDS, opening(seats=3), panel("i-2", "i-3"), conflict("i-2"), closing()])
    for name in ("OPEN, with a panel", "APPLICATIONS_CLOSED", "LISTED"):
        twice_is_once(COMPETITION, commands, *PATHS[name])
    twice_is_once(COMPETITION, commands)
