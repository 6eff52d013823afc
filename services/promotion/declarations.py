"""What employees declared of their groups, read out of the log each time: no row holds it."""

from collections.abc import Collection, Iterable, Mapping

from libs.common.commands import Commands
from services.promotion.fairness import SMALLEST_GROUP
from services.promotion.groups import GROUPS, groups_key
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules


async def declared(commands: Commands, employee_ids: Collection[str]) -> dict[str, Mapping[str, str]]:
    """Groups by dimension, by employee, of those who have declared something."""
    keys = {groups_key(employee_id): employee_id for employee_id in employee_ids}
    return {keys[key]: found.state.groups for key, found in (await commands.known(GROUPS, keys)).items()}


def smallest_group(rules: Iterable[CompetitionRules]) -> int:
    """The largest that rules ask for; `SMALLEST_GROUP` where there are none."""
    return max((one.smallest_group or SMALLEST_GROUP for one in rules), default=SMALLEST_GROUP)
