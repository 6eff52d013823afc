"""Who may read and say what of a coaching plan."""

from collections.abc import Callable, Collection

from libs.common.commands import Commands, Standing
from libs.common.eventsourcing import Context
from libs.facts.reaching import Caller, found_for
from libs.facts.relations import Relation
from services.coaching.plan import PLAN, State
from stepladder.coaching.v1.plan_pb2 import Plan

May = Callable[[Caller, State], bool]

FOR_ALL_WHO_SEE = (
    "plan_id",
    "employee_id",
    "lead_id",
    "state",
    "goals",
    "supports",
    "progress",
    "proposed_date",
    "activated_date",
    "observe_until",
    "reassessment_due",
    "watch_until",
    "closed_date",
    "etag",
    "log_position",
)
FOR_MANAGERS = (
    "drift_open",
    "results",
    "suggested_outcome",
    "outcome_now",
    "outcome",
    "follows_plan_id",
)
"""Besides; the supports are without words."""
FOR_MENTORS = ("resources",)
"""Besides."""


def mentors_of(state: State) -> Collection[str]:
    """Those who support the employee by the plan."""
    return {support.mentor_id for support in state.activated.supports} - {""}


def sees(caller: Caller, state: State) -> bool:
    """Whether they know of a plan."""
    return caller.sees or caller.employee_id in mentors_of(state)


def knows(caller: Caller, _: State) -> bool:
    """Whether they read everything of a plan."""
    return caller.knows


def says(caller: Caller, _: State) -> bool:
    """Whether they decide about a plan."""
    return caller.says


async def plan_for(commands: Commands, plan_id: str, context: Context, may: May) -> tuple[Standing[State], Caller]:
    """A plan, for a caller who may deal with it so. Raises as `found_for`."""
    return await found_for(commands, PLAN, plan_id, context, lambda state: state.proposed.employee_id, may)


def shown(plan: Plan, state: State, caller: Caller) -> Plan:
    """A plan as somebody who sees it may: what they do not need is not in it."""
    if caller.knows:
        return plan
    mentor, manager = caller.employee_id in mentors_of(state), Relation.MANAGER in caller.relations
    told = {*FOR_ALL_WHO_SEE, *(FOR_MANAGERS if manager else ()), *(FOR_MENTORS if mentor else ())}
    for field, _ in plan.ListFields():
        if field.name not in told:
            plan.ClearField(field.name)  # type: ignore[arg-type] # the stubs want it literally
    if not mentor:
        for support in plan.supports:
            support.ClearField("text")
    return plan
