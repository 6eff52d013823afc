"""What employees are called."""

from collections.abc import Iterable

from libs.common.commands import Commands
from libs.common.eventsourcing import is_id
from libs.facts.employee import EMPLOYEE
from stepladder.performance.v1.events_pb2 import EmployeeHired, EmployeeRenamed


async def names_of(commands: Commands, ids: Iterable[str]) -> dict[str, str]:
    """How those who are employees are called, read anew from the log: whoever was erased since has no name."""
    subjects = {EMPLOYEE.subject(one): one for one in ids if is_id(one)}
    histories = await commands.histories(sorted(subjects))
    return {
        subjects[subject]: recorded.event.display_name
        for subject, history in histories.items()
        for recorded in history
        if isinstance(recorded.event, EmployeeHired | EmployeeRenamed)
    }
