"""What became of people with the same pattern, told without telling what became of anybody. Pure."""

from collections.abc import Mapping, Sequence

from services.coaching import plan
from stepladder.coaching.v1.comparison_pb2 import ComparedGroup
from stepladder.coaching.v1.plan_pb2 import Plan
from stepladder.performance.v1.policy_pb2 import CoachingRules

FATES: Sequence[ComparedGroup.Fate.ValueType] = [fate for fate in ComparedGroup.Fate.values() if fate]

_OPEN = (ComparedGroup.FATE_PROPOSED, ComparedGroup.FATE_ACTIVE)
_EACH = [(fate,) for fate in FATES]
_COARSE = [
    (ComparedGroup.FATE_NO_PLAN,),
    _OPEN,
    tuple(fate for fate in FATES if fate not in (ComparedGroup.FATE_NO_PLAN, *_OPEN)),
]
_ALL = [tuple(FATES)]

_OUTCOMES: Mapping[Plan.Outcome.ValueType, ComparedGroup.Fate.ValueType] = {
    Plan.OUTCOME_IMPROVED: ComparedGroup.FATE_IMPROVED,
    Plan.OUTCOME_PARTLY_IMPROVED: ComparedGroup.FATE_PARTLY_IMPROVED,
    Plan.OUTCOME_NOT_IMPROVED: ComparedGroup.FATE_NOT_IMPROVED,
    Plan.OUTCOME_CANCELLED: ComparedGroup.FATE_CANCELLED,
}


def fate_of(state: plan.State | None) -> ComparedGroup.Fate.ValueType:
    """What became of somebody by the plan that answered what was found; None: there is none."""
    if state is None:
        return ComparedGroup.FATE_NO_PLAN
    if state.stage == Plan.STATE_CLOSED:
        return _OUTCOMES[state.closed.outcome]
    active = state.stage in (Plan.STATE_ACTIVE, Plan.STATE_IN_OBSERVATION)
    return ComparedGroup.FATE_ACTIVE if active else ComparedGroup.FATE_PROPOSED


def smallest_group(rules: CoachingRules) -> int:
    """Of how many people a group is told: of 3 at least, since of two in two groups, their sum says one in each."""
    return max(3, rules.smallest_group)


def told(fates: Sequence[ComparedGroup.Fate.ValueType], smallest: int) -> list[ComparedGroup]:
    """Groups that are empty or have `smallest` people or more: as fine as all of them can be so.

    No group is told beside others if one of these is small, since what is left over would tell of it. None: they are
    too few in all.
    """
    for partition in (_EACH, _COARSE, _ALL):
        groups = _counted(fates, partition)
        if all(group.people == 0 or group.people >= smallest for group in groups):
            return groups
    return []


def everything(fates: Sequence[ComparedGroup.Fate.ValueType]) -> list[ComparedGroup]:
    """Every group by itself, for whoever may know of whom it is made."""
    return _counted(fates, _EACH)


def _counted(
    fates: Sequence[ComparedGroup.Fate.ValueType], partition: Sequence[Sequence[ComparedGroup.Fate.ValueType]]
) -> list[ComparedGroup]:
    return [ComparedGroup(fates=some, people=sum(fate in some for fate in fates)) for some in partition]
