"""Competitions, as they are tried: two seats, and four candidates of whom three have passed."""

from services.promotion.competition import COMPETITION, State
from stepladder.promotion.v1.competition_pb2 import Competition, ForgoCompetition
from stepladder.promotion.v1.events_pb2 import CompetitionForgone
from tests.deciding import given
from tests.machines.exploring import Machine, Step
from tests.promotion.test_competition import (
    CANCEL,
    CLOSE,
    CLOSE_APPLICATIONS,
    CONFLICT,
    LEFT,
    OPEN,
    PANEL,
    PATHS,
    PUBLISH,
    RANK,
    closing,
    opening,
    panel,
)

FORGO = ForgoCompetition(competition_id="c-1")


def shown(state: State) -> str:
    if state.forgone:
        return "given up"
    name = Competition.State.Name(state.stage).removeprefix("STATE_")
    if state.left and state.stage == Competition.STATE_LISTED:
        return f"{name}, one has left"
    with_panel = state.stage == Competition.STATE_OPEN and state.panel.interviewer_ids
    return f"{name}, with a panel" if with_panel else name


COMPETITIONS = Machine(
    title="Competition",
    source="services/promotion/competition.py",
    aggregate=COMPETITION,
    steps=[
        Step(OPEN),
        Step(opening(seats=3), said="another of the same id"),
        Step(FORGO),
        Step(CLOSE_APPLICATIONS),
        Step(PANEL),
        Step(panel("i-2", "i-3"), said="another one"),
        Step(CONFLICT),
        Step(RANK),
        Step(PUBLISH),
        Step(LEFT),
        Step(closing("y-1"), said="one is to be appointed"),
        Step(CLOSE),
        Step(CANCEL, said="cancelled"),
    ],
    shown=shown,
    states=[
        COMPETITION.initial,
        given(COMPETITION, CompetitionForgone(competition_id="c-1")).state,
        *(given(COMPETITION, *path).state for path in PATHS.values()),
    ],
)
