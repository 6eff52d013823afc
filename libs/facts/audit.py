"""The audit of reads: whoever reads what only few may read is noted before they get it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from libs.common.commands import Commands
from libs.common.errors import Refused
from libs.common.eventsourcing import Aggregate, Context
from libs.facts.callers import caller_id
from libs.facts.reads import State, reads_key
from stepladder.common.v1.audit_pb2 import NoteRead, Read


async def audited(
    commands: Commands, kind: Aggregate[State], context: Context, ids_by_employee: Mapping[str, Collection[str]]
) -> None:
    """Notes what the caller is about to be answered, by employee: to be awaited before it is answered.

    What somebody reads of themself is their own affair. Raises when it cannot be noted: then nothing may be answered.
    """
    if context.request is None:
        raise ValueError("only what is asked for is read")
    method = context.request.DESCRIPTOR.name.removesuffix("Request")  # the contracts name requests for their methods
    month = context.today.isoformat()[:7]
    notes = [
        (reads_key(employee_id, month), NoteRead(employee_id=employee_id, method=method, ids=ids))
        for employee_id, ids in ids_by_employee.items()
        if employee_id != caller_id(context)
    ]
    # A request that is sent again is read again.
    for outcome in await commands.handle_all(kind, notes, replace(context, request_id="", request=None, etag="")):
        if isinstance(outcome, Refused):
            raise outcome


async def reads_in(commands: Commands, kind: Aggregate[State], employee_id: str, months: Sequence[str]) -> list[Read]:
    """Who else read what of an employee in some months (YYYY-MM), the first first."""
    found = await commands.known(kind, [reads_key(employee_id, month) for month in months], latest=True)
    return [read for standing in found.values() for read in standing.state.reads]
