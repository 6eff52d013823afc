"""An appointment, a demotion and a waiver of one career, as they are tried."""

from google.protobuf.message import Message

from services.promotion.career import CAREER, State, to_resource
from stepladder.promotion.v1.career_pb2 import Appointment, Demotion, ForgoActing, ForgoConfirming
from stepladder.promotion.v1.events_pb2 import ActingForgone
from tests.deciding import TODAY, fold
from tests.machines.exploring import NOTHING, Machine, Step
from tests.promotion.test_career import (
    ACTING,
    BEGIN,
    CLOCK,
    CONFIRMED,
    DEMOTED,
    DISMISS,
    DISMISSED,
    EXECUTIVE,
    HR,
    HR2,
    LATER,
    LEAD,
    LEFT,
    PROPOSED,
    RELEASE,
    RESERVE,
    RESERVED,
    RETURNED,
    SELF,
    TRIAL,
    TRIAL_OVER,
    WAIVED,
    WITHDRAW,
    WITHDRAWN,
    act,
    demote,
    propose,
    settle,
    waive,
)

FORGO = ForgoActing(employee_id="e-1", appointment_id="a-1")
UNCONFIRMED = ForgoConfirming(employee_id="e-1", appointment_id="a-1", claim_position=7)


def after(*events: Message) -> State:
    return fold(CAREER, CAREER.initial, events)


def ended(*events: Message) -> State:
    state = after(*events)
    return fold(CAREER, state, CAREER.decide(state, LEFT, Step(LEFT, CLOCK).context))


def decided(*, confirmed: bool) -> State:
    """A trial, decided when it was over."""
    state, step = after(RESERVED, TRIAL), Step(settle("c-1", confirmed=confirmed), HR2, TRIAL_OVER)
    return fold(CAREER, state, CAREER.decide(state, step.command, step.context))


def appointment(state: State) -> str:
    """The latest."""
    told = to_resource("e-1", state, 1, TODAY)
    if told.reserved_for or not told.appointments:
        return "reserved" if told.reserved_for else "given up" if state.forgone else NOTHING
    latest = told.appointments[-1]
    kind = "trial" if latest.candidacy_id else "acting"
    return f"{kind} {Appointment.State.Name(latest.state).removeprefix('STATE_')}"


def demotion(state: State) -> str:
    return Demotion.State.Name(to_resource("e-1", state, 1, TODAY).demotions[-1].state).removeprefix("STATE_")


def waiver(state: State) -> str:
    (one,) = to_resource("e-1", state, 1, TODAY).waivers
    return "holds" if one.holds else "withdrawn"


APPOINTMENTS = Machine(
    title="Appointment",
    source="services/promotion/career.py",
    aggregate=CAREER,
    steps=[
        Step(RESERVE),
        Step(RELEASE),
        Step(BEGIN),
        Step(FORGO),
        Step(UNCONFIRMED),
        Step(act(), HR),
        Step(act(), SELF, said="by themself"),
        Step(settle(confirmed=True), HR2, TRIAL_OVER, "acting, confirmed"),
        Step(settle(confirmed=True), HR, TRIAL_OVER, "acting, confirmed by who began it"),
        Step(settle(confirmed=False), HR, TRIAL_OVER, "acting, back"),
        Step(settle("c-1", confirmed=True), HR2, TODAY, "trial, confirmed too early"),
        Step(settle("c-1", confirmed=True), HR2, TRIAL_OVER, "trial, confirmed"),
        Step(settle("c-1", confirmed=False), HR2, TODAY, "trial, back"),
        Step(LEFT, CLOCK),
    ],
    shown=appointment,
    states=[
        CAREER.initial,
        after(RESERVED),
        after(ActingForgone(employee_id="e-1", appointment_id="a-1")),
        after(RESERVED, TRIAL),
        after(ACTING),
        after(ACTING, CONFIRMED),
        after(ACTING, RETURNED),
        ended(ACTING),
        ended(RESERVED, TRIAL),
        decided(confirmed=True),
        decided(confirmed=False),
    ],
)
DEMOTIONS = Machine(
    title="Demotion",
    source="services/promotion/career.py",
    aggregate=CAREER,
    steps=[
        Step(propose(), LEAD),
        Step(propose(), SELF, said="by themself"),
        Step(propose("d-2"), LEAD, said="another"),
        Step(propose("d-3", lower=False), LEAD, said="not downwards"),
        Step(demote(), HR),
        Step(demote(), LEAD, said="by who proposed it"),
        Step(DISMISS, HR),
        Step(LEFT, CLOCK),
    ],
    shown=demotion,
    states=[CAREER.initial, after(PROPOSED), after(PROPOSED, DEMOTED), after(PROPOSED, DISMISSED), ended(PROPOSED)],
)
WAIVERS = Machine(
    title="Waiver",
    source="services/promotion/career.py",
    aggregate=CAREER,
    steps=[
        Step(waive(), EXECUTIVE),
        Step(waive("another"), EXECUTIVE, said="for another reason"),
        Step(waive(until="2026-12-31"), EXECUTIVE, LATER, "until another day"),
        Step(waive(waivable=False), EXECUTIVE, said="not waivable"),
        Step(waive(), SELF, said="of their own"),
        Step(WITHDRAW, EXECUTIVE),
    ],
    shown=waiver,
    states=[CAREER.initial, after(WAIVED), after(WAIVED, WITHDRAWN)],
)
