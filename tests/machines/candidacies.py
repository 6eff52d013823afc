"""Candidacies, as they are tried: for one level, along the way to the post and off it."""

from datetime import date

from services.promotion.candidacy import CANDIDACY
from services.promotion.candidacy_state import State
from stepladder.promotion.v1.candidacy_pb2 import Candidacy, LapseApproval, NoteTrialEnded, ReviewAsManagerRequest
from tests.deciding import fold
from tests.machines.exploring import Machine, Step
from tests.promotion.candidacies import (
    AFTER_NOTICE,
    AGENT,
    APPROVE,
    CANCEL,
    CHAIR,
    CHAIR_SAYS,
    CLOSE,
    COLLEAGUE,
    DISMISS,
    HR,
    INTERVIEW,
    LEAD,
    LISTED_ON,
    MEDIATOR,
    OBJECTION,
    REJECT,
    STAGES,
    UPHOLD,
    WAY,
    WITHDRAW,
    by,
    note,
    said,
)

NO = by("e-manager", said(ReviewAsManagerRequest, approved=False, report="too early"), said="no")
OBJECT = by(COLLEAGUE, OBJECTION, LISTED_ON)
LOST = note(NoteTrialEnded(passed=False, career_position=98), date(2026, 5, 2), "failed")


def along(stage: str, *steps: Step) -> State:
    """So far along the way, and then these."""
    state = CANDIDACY.initial
    for step in (*WAY[: STAGES[stage]], *steps):
        state = fold(CANDIDACY, state, CANDIDACY.decide(state, step.command, step.context))
    return state


def shown(state: State) -> str:
    name = Candidacy.State.Name(state.stage).removeprefix("STATE_")
    listed = state.stage == Candidacy.STATE_LISTED
    return f"{name}, objected to" if listed and state.open_objections else name


(
    APPLY,
    LEAD_REVIEW,
    MANAGER_REVIEW,
    INTERVIEWED,
    _,
    PEERS,
    SCORE,
    LISTING,
    APPROVED,
    LETTER,
    TRAINING,
    APPOINT,
    PASSED,
) = WAY
CANDIDACIES = Machine(
    title="Candidacy",
    source="services/promotion/candidacy.py",
    aggregate=CANDIDACY,
    steps=[
        APPLY,
        LEAD_REVIEW,
        MANAGER_REVIEW,
        NO,
        by(CHAIR, CHAIR_SAYS),
        INTERVIEWED,
        by(LEAD, INTERVIEW, said="by the lead"),
        PEERS,
        SCORE,
        LISTING,
        note(LapseApproval(candidacy_position=9)),
        OBJECT,
        by(AGENT, OBJECTION, LISTED_ON, "by the candidate"),
        by(MEDIATOR, DISMISS, AFTER_NOTICE, "dismissed"),
        by(MEDIATOR, UPHOLD, AFTER_NOTICE, "upheld"),
        by(COLLEAGUE, DISMISS, AFTER_NOTICE, "by who objected"),
        by(HR, APPROVE, LISTED_ON, "during the notice"),
        APPROVED,
        LETTER,
        TRAINING,
        APPOINT,
        PASSED,
        LOST,
        by(AGENT, WITHDRAW),
        by(HR, REJECT),
        CLOSE,
        CANCEL,
    ],
    shown=shown,
    states=[
        *(along(stage) for stage in STAGES if stage not in {"interviewed", "CONFIRMED"}),
        along("LISTED", OBJECT),
        along("CONFIRMED"),
        along("APPOINTED", LOST),
        along("APPLIED", by(AGENT, WITHDRAW)),
        along("APPLIED", by(HR, REJECT)),
        along("APPLIED", CLOSE),
    ],
)
