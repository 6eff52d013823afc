"""What employees declared of their groups, read out of the log each time: no row holds it."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

from libs.common.commands import Commands
from services.promotion.fairness import SMALLEST_GROUP
from services.promotion.groups import GROUPS, groups_key
from services.promotion.stages import Held
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.events_pb2 import GroupsDeclared


async def declared(commands: Commands, employee_ids: Collection[str], before: datetime) -> dict[str, Mapping[str, str]]:
    """Groups by dimension, by employee, of those who had declared something before a time (aware).

    What is said later changes nothing: the difference of an answer before and one after it would be that person.
    """
    keys = {groups_key(employee_id): employee_id for employee_id in employee_ids}
    subjects = {GROUPS.subject(key): keys[key] for key in await commands.known(GROUPS, keys)}
    found: dict[str, Mapping[str, str]] = {}
    for subject, history in (await commands.histories(subjects)).items():
        for one in history:
            if isinstance(one.event, GroupsDeclared) and one.envelope.time.ToDatetime(UTC) < before:
                found[subjects[subject]] = GROUPS.evolve(GROUPS.initial, one.event).groups
    return found


def closing(competition: Held) -> datetime:
    """Until when what candidates of a competition declare counts in it: applications closed."""
    return competition.applications_closed or datetime.max.replace(tzinfo=UTC)


def smallest_group(rules: Iterable[CompetitionRules]) -> int:
    """The largest that rules ask for; `SMALLEST_GROUP` where there are none."""
    return max((one.smallest_group or SMALLEST_GROUP for one in rules), default=SMALLEST_GROUP)
