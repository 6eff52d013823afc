"""What became of people with the same pattern, told without telling what became of anybody. Pure."""

from collections.abc import Mapping, Sequence

from services.coaching import plan
from stepladder.coaching.v1.comparison_pb2 import ComparedGroup
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged
from stepladder.coaching.v1.pip_pb2 import Pip
from stepladder.coaching.v1.plan_pb2 import Plan

FATES: Sequence[ComparedGroup.Fate.ValueType] = [fate for fate in ComparedGroup.Fate.values() if fate]

_OPEN = (ComparedGroup.FATE_PROPOSED, ComparedGroup.FATE_ACTIVE)
_OUTCOMES: Mapping[Plan.Outcome.ValueType, ComparedGroup.Fate.ValueType] = {
    Plan.OUTCOME_IMPROVED: ComparedGroup.FATE_IMPROVED,
    Plan.OUTCOME_PARTLY_IMPROVED: ComparedGroup.FATE_PARTLY_IMPROVED,
    Plan.OUTCOME_NOT_IMPROVED: ComparedGroup.FATE_NOT_IMPROVED,
    Plan.OUTCOME_CANCELLED: ComparedGroup.FATE_CANCELLED,
}
_ENDS: Mapping[Pip.Action.ValueType, ComparedGroup.Fate.ValueType] = {
    Pip.ACTION_UNSPECIFIED: ComparedGroup.FATE_PIP_ENDED,
    Pip.ACTION_NONE: ComparedGroup.FATE_PIP_NO_ACTION,
    Pip.ACTION_TRANSFER: ComparedGroup.FATE_PIP_TRANSFER,
    Pip.ACTION_DEMOTION: ComparedGroup.FATE_PIP_DEMOTION,
    Pip.ACTION_TERMINATION: ComparedGroup.FATE_PIP_TERMINATION,
    Pip.ACTION_OTHER: ComparedGroup.FATE_PIP_OTHER_ACTION,
}

_EACH = [(fate,) for fate in FATES]
_COARSE = [
    (ComparedGroup.FATE_NO_PLAN,),
    _OPEN,
    tuple(_OUTCOMES.values()),
    (ComparedGroup.FATE_PIP_BEGUN, *_ENDS.values()),
]
_ALL = [tuple(FATES)]


def fate_of(
    state: plan.State | None, standing: EmployeeStandingChanged, start_date: str
) -> ComparedGroup.Fate.ValueType:
    """What became of somebody by the plan that answered what was found, or by a PIP since the days on which it was.

    Args:
        state: None where there is no such plan.
        standing: by their PIPs, now.
        start_date: the first of those days.
    """
    if standing.since_date >= start_date:
        return ComparedGroup.FATE_PIP_BEGUN if standing.under_pip else _ENDS[standing.action]
    if state is None:
        return ComparedGroup.FATE_NO_PLAN
    if state.stage == Plan.STATE_CLOSED:
        return _OUTCOMES[state.closed.outcome]
    active = state.stage in (Plan.STATE_ACTIVE, Plan.STATE_IN_OBSERVATION)
    return ComparedGroup.FATE_ACTIVE if active else ComparedGroup.FATE_PROPOSED


def told(
    fates: Sequence[ComparedGroup.Fate.ValueType],
    of_strangers: Sequence[ComparedGroup.Fate.ValueType],
    smallest: int,
) -> list[ComparedGroup]:
    """Groups that are empty or have `smallest` people or more: as fine as all of them can be so. None of nobody.

    No group is told beside others if one of these is small, since what is left over would tell of it. None: they are
    too few in all.

    Args:
        of_strangers: the fates of those of whom the reader does not know them. Whoever takes from a group those whom
            they know is left with these: they, too, are none or not few.
    """
    for partition in (_EACH, _COARSE, _ALL) if fates else ():
        groups = _counted(fates, partition)
        if not any(0 < one.people < smallest for one in (*groups, *_counted(of_strangers, partition))):
            return groups
    return []


def everything(fates: Sequence[ComparedGroup.Fate.ValueType]) -> list[ComparedGroup]:
    """Every group by itself, for whoever may know of whom it is made."""
    return _counted(fates, _EACH)


def _counted(
    fates: Sequence[ComparedGroup.Fate.ValueType], partition: Sequence[Sequence[ComparedGroup.Fate.ValueType]]
) -> list[ComparedGroup]:
    return [ComparedGroup(fates=some, people=sum(fate in some for fate in fates)) for some in partition]
