"""Whose turn it is with a PIP: over all that it may come to, and whoever is there to do it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest
from google.protobuf.message import Message

from libs.common.errors import Refused
from services.coaching.pip import PIP
from services.coaching.pip_rights import apart
from services.coaching.pip_state import PipState, State, user
from services.coaching.pip_turns import REQUESTS, People, Turn, turns
from stepladder.coaching.v1.pip_pb2 import Pip
from stepladder.coaching.v1.worklist_pb2 import WorkItem
from stepladder.performance.v1.policy_pb2 import PipRules
from tests.coaching.pips import (
    ACKNOWLEDGE,
    AGENT,
    APPEAL,
    APPEAL_OVER,
    APPROVE,
    DELIVER,
    DRAFT,
    EXTEND,
    FAIL,
    HOLD,
    HR,
    HR2,
    LEAD,
    NAME_HEARER,
    NAME_WITNESS,
    NEUTRAL,
    OVERRIDE,
    PATHS,
    PAUSE,
    PERIOD_OVER,
    PROPOSE,
    RESUME,
    REVIEW_DRIFT,
    RULES,
    SUBMIT,
    UPHOLD,
    WITHDRAW,
    WITNESS,
    WITNESS_REFUSAL,
    Said,
    act,
    after,
    by,
    leave,
    tick,
)
from tests.coaching.test_pip import drifted
from tests.deciding import TODAY

LATE = date(2026, 3, 19)
"""The time to acknowledge has passed."""
REVIEW = date(2026, 3, 31)
"""The day after the checkpoint's."""
EXTENDED_OVER = PERIOD_OVER + timedelta(days=30)
EVERYBODY = People(LEAD, frozenset({LEAD, WITNESS, NEUTRAL, AGENT}), frozenset({LEAD, NEUTRAL}))
NO_LEAD = replace(EVERYBODY, lead_id="")
NEW_LEAD = People("e-8", EVERYBODY.employed | {"e-8"}, EVERYBODY.in_charge | {"e-8"})
NOBODY = People("", frozenset({AGENT}), frozenset())

SAID: dict[type[Message], Message] = {
    type(one): one
    for one in (
        *(SUBMIT, OVERRIDE, APPROVE, DELIVER, ACKNOWLEDGE, NAME_WITNESS, WITNESS_REFUSAL, HOLD, PROPOSE, FAIL),
        *(NAME_HEARER, UPHOLD, RESUME, REVIEW_DRIFT, WITHDRAW),
    )
}
"""How each kind of request is said."""


def uncoached(steps: Sequence[Said]) -> list[Said]:
    """Under rules that ask for coaching, which there was none of."""
    rules = PipRules(coaching_within_days=30)
    rules.MergeFrom(RULES)
    return [replace(steps[0], command=act(DRAFT, LEAD, closed="", rules=rules)), *steps[1:]]


def on(day: date, steps: Sequence[Said]) -> tuple[date, Sequence[Said]]:
    return day, steps


EXTENDED = [*PATHS["PROPOSED"], by(HR2, EXTEND, PERIOD_OVER)]
NAMED = [*PATHS["DELIVERED"], by(LEAD, NAME_WITNESS, LATE)]
APPEALED = [*PATHS["DECIDED"], by(AGENT, APPEAL, PERIOD_OVER)]
DRIFT = replace(drifted("96.0"), today=PERIOD_OVER)

TABLE: dict[str, tuple[tuple[date, Sequence[Said]], People, list[tuple[str, str, str]]]] = {
    "draft": (on(TODAY, PATHS["DRAFT"]), EVERYBODY, [("SUBMIT_PIP", "LEAD", LEAD)]),
    "draft, another lead": (on(TODAY, PATHS["DRAFT"]), NEW_LEAD, [("SUBMIT_PIP", "LEAD", "e-8")]),
    "draft, no lead": (on(TODAY, PATHS["DRAFT"]), NO_LEAD, [("SUBMIT_PIP", "DRAFTER", LEAD)]),
    "draft, nobody": (on(TODAY, PATHS["DRAFT"]), NOBODY, [("WITHDRAW_PIP", "HR", "")]),
    "in review": (on(TODAY, PATHS["IN_REVIEW"]), EVERYBODY, [("APPROVE_PIP", "HR", "")]),
    "in review, uncoached": (
        on(TODAY, uncoached(PATHS["IN_REVIEW"])),
        EVERYBODY,
        [("OVERRIDE_PIP_PRECONDITION", "HR", "")],
    ),
    "in review, waived": (
        on(TODAY, [*uncoached(PATHS["IN_REVIEW"]), by(HR, OVERRIDE)]),
        EVERYBODY,
        [("APPROVE_PIP", "HR", "")],
    ),
    "approved": (on(TODAY, PATHS["APPROVED"]), EVERYBODY, [("DELIVER_PIP", "LEAD", LEAD)]),
    "approved, nobody": (on(TODAY, PATHS["APPROVED"]), NOBODY, [("DELIVER_PIP", "HR", "")]),
    "approved, on leave": (on(TODAY, PATHS["APPROVED"]), replace(EVERYBODY, on_leave=True), []),
    "delivered": (on(TODAY, PATHS["DELIVERED"]), EVERYBODY, [("ACKNOWLEDGE_PIP", "EMPLOYEE", AGENT)]),
    "delivered long ago": (
        on(LATE, PATHS["DELIVERED"]),
        EVERYBODY,
        [("ACKNOWLEDGE_PIP", "EMPLOYEE", AGENT), ("NAME_PIP_WITNESS", "LEAD", LEAD)],
    ),
    "delivered, witness": (
        on(LATE, NAMED),
        EVERYBODY,
        [("ACKNOWLEDGE_PIP", "EMPLOYEE", AGENT), ("WITNESS_PIP_REFUSAL", "WITNESS", WITNESS)],
    ),
    "delivered, witness gone": (
        on(LATE, NAMED),
        NOBODY,
        [("ACKNOWLEDGE_PIP", "EMPLOYEE", AGENT), ("NAME_PIP_WITNESS", "HR", "")],
    ),
    "active": (on(TODAY, PATHS["ACTIVE"]), EVERYBODY, []),
    "active, checkpoint": (on(REVIEW, PATHS["ACTIVE"]), EVERYBODY, [("HOLD_PIP_CHECKPOINT", "LEAD", LEAD)]),
    "active, nobody": (on(REVIEW, PATHS["ACTIVE"]), NOBODY, [("WITHDRAW_PIP", "HR", "")]),
    "paused": (on(TODAY, PATHS["paused"]), EVERYBODY, [("RESUME_PIP", "HR", "")]),
    "on leave": (on(TODAY, [*PATHS["ACTIVE"], leave(TODAY, on_leave=True)]), EVERYBODY, []),
    "paused, on leave": (
        on(TODAY, [*PATHS["ACTIVE"], leave(TODAY, on_leave=True), by(HR, PAUSE)]),
        EVERYBODY,
        [("RESUME_PIP", "HR", "")],
    ),
    "decision due": (on(PERIOD_OVER, PATHS["DECISION_DUE"]), EVERYBODY, [("PROPOSE_PIP_RESULT", "LEAD", LEAD)]),
    "decision due, who extended it leads": (
        on(EXTENDED_OVER, [*EXTENDED, tick(EXTENDED_OVER)]),
        People(HR2, frozenset({HR2, LEAD}), frozenset({HR2, LEAD})),
        [("PROPOSE_PIP_RESULT", "DRAFTER", LEAD)],
    ),
    "proposed": (on(PERIOD_OVER, PATHS["PROPOSED"]), EVERYBODY, [("DECIDE_PIP", "HR", "")]),
    "proposed, drift": (
        on(PERIOD_OVER, [*PATHS["PROPOSED"], DRIFT]),
        EVERYBODY,
        [("REVIEW_PIP_DRIFT", "HR", "")],
    ),
    "decision due, drift": (
        on(PERIOD_OVER, [*PATHS["DECISION_DUE"], DRIFT]),
        EVERYBODY,
        [("REVIEW_PIP_DRIFT", "LEAD", LEAD), ("PROPOSE_PIP_RESULT", "LEAD", LEAD)],
    ),
    "decided": (on(PERIOD_OVER, PATHS["DECIDED"]), EVERYBODY, []),
    "decided, drift": (on(PERIOD_OVER, [*PATHS["DECIDED"], DRIFT]), EVERYBODY, [("REVIEW_PIP_DRIFT", "HR", "")]),
    "appealed": (on(PERIOD_OVER, APPEALED), EVERYBODY, [("NAME_PIP_HEARER", "HR", "")]),
    "heard": (on(PERIOD_OVER, PATHS["APPEALED"]), EVERYBODY, [("HEAR_PIP_APPEAL", "HEARER", NEUTRAL)]),
    "hearer gone": (on(PERIOD_OVER, PATHS["APPEALED"]), NOBODY, [("NAME_PIP_HEARER", "HR", "")]),
    "hearer leads no more": (
        on(PERIOD_OVER, PATHS["APPEALED"]),
        replace(EVERYBODY, in_charge=frozenset({LEAD})),
        [("NAME_PIP_HEARER", "HR", "")],
    ),
    "heard, drift": (
        on(PERIOD_OVER, [*PATHS["APPEALED"], DRIFT]),
        EVERYBODY,
        [("REVIEW_PIP_DRIFT", "HR", "")],
    ),
    "heard, paused": (
        on(PERIOD_OVER, [*PATHS["APPEALED"], by(HR, PAUSE, PERIOD_OVER)]),
        EVERYBODY,
        [("RESUME_PIP", "HR", "")],
    ),
}
"""The day and what was said before it, who is there, and what waits for whom."""


def found(case: str) -> tuple[PipState, list[Turn]]:
    (today, steps), people, _ = TABLE[case]
    pip = after(steps).pips["pip-1"]
    return pip, list(turns(pip, people, today, today.isoformat()))


@pytest.mark.parametrize("case", TABLE)
def test_whose_turn_it_is(case: str) -> None:
    """What waits, and for whom as what."""
    names = [
        (WorkItem.Kind.Name(one.kind)[5:], WorkItem.Party.Name(one.party)[6:], one.person_id) for one in found(case)[1]
    ]
    assert names == TABLE[case][2]


@pytest.mark.parametrize("case", TABLE)
def test_whoever_it_waits_for_can_do_it(case: str) -> None:
    """Said by them, it is taken; in HR by each but those whom it keeps apart, who are refused."""
    (today, steps), people, _ = TABLE[case]
    pip, waiting = found(case)
    state = after(steps)
    for one in waiting:
        request = SAID[REQUESTS[one.kind]]
        askers = {one.person_id} if one.person_id else {HR, HR2, "h-3"}
        taken = {asker for asker in askers if is_taken(state, request, asker, today, people)}
        assert taken == {asker for asker in askers if user(asker) not in one.apart}, one
        assert taken
        assert one.apart <= apart(pip, REQUESTS[one.kind])


def is_taken(state: State, request: Message, asker: str, today: date, people: People) -> bool:
    """Whether a command has events; of a person as the directory has them."""
    command = act(request, asker)
    command.by_hr, command.by_lead = asker.startswith("h-"), asker == people.lead_id
    if type(request) is type(NAME_HEARER):
        command.name_hearer.hearer_id = "n-2"
    if type(request) is type(NAME_WITNESS):
        command.name_witness.witness_id = "n-2"
    said = Said(command, user(asker), today)
    try:
        return bool(PIP.decide(state, command, said.context))
    except Refused:
        return False


@pytest.mark.parametrize(
    ("steps", "since"),
    [
        ([*PATHS["ACTIVE"], by(HR, PAUSE, date(2026, 3, 24))], "2026-03-24"),
        ([*PATHS["ACTIVE"], leave(date(2026, 3, 20), on_leave=True), by(HR, PAUSE, date(2026, 3, 24))], "2026-03-24"),
        ([*PATHS["DECIDED"], by(AGENT, APPEAL, date(2026, 4, 17))], "2026-04-17"),
        ([*PATHS["DECIDED"], by(AGENT, APPEAL, date(2026, 4, 17)), by(HR2, NAME_HEARER, APPEAL_OVER)], "2026-04-17"),
        ([*PATHS["ACTIVE"], drifted(), leave(date(2026, 3, 20), on_leave=True)], "2026-03-17"),
        (PATHS["PROPOSED"], "2026-04-15"),
        (PATHS["IN_REVIEW"], "2026-03-16"),
    ],
)
def test_since_when_it_waits(steps: Sequence[Said], since: str) -> None:
    """What HR paused, since that day; an appeal, since its own; else since what runs, or stands still, began."""
    pip = after(steps).pips["pip-1"]
    assert [one.since for one in turns(pip, EVERYBODY, APPEAL_OVER, "")] == [since]


def test_every_state_is_in_the_table() -> None:
    """All in which a PIP is open, paused or not."""
    states = {found(case)[0].stage for case in TABLE}
    assert states == set(Pip.State.values()) - {Pip.STATE_UNSPECIFIED, Pip.STATE_CLOSED}
    kinds = {kind for case in TABLE for kind, *_ in TABLE[case][2]}
    assert kinds == {WorkItem.Kind.Name(kind)[5:] for kind in REQUESTS}
