"""Who may read and say what of a coaching plan."""

from collections.abc import Collection

from libs.common.commands import Commands, Standing
from libs.common.errors import NotFound
from libs.common.eventsourcing import Context
from libs.facts.callers import caller_id
from libs.facts.reaching import Caller, check_related
from libs.facts.relations import Relation
from services.coaching.plan import PLAN, State
from stepladder.coaching.v1.plan_pb2 import Plan

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


async def plan_for(commands: Commands, plan_id: str, context: Context) -> tuple[Standing[State], Caller]:
    """A plan, for a caller whom the call's rule names. Raises Forbidden `NEED_TO_KNOW`; NotFound `PLAN_NOT_FOUND`."""
    found = await commands.load(PLAN, plan_id)
    supports = ["mentor"] if caller_id(context) in mentors_of(found.state) else []
    (caller,) = (await check_related(commands, context, [found.state.proposed.employee_id], supports)).values()
    if not found.position:
        raise NotFound("PLAN_NOT_FOUND", f"there is no plan {plan_id}")
    return found, caller


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
