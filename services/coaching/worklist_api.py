"""gRPC: stepladder.coaching.v1.WorklistService."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import islice

from google.api.httpbody_pb2 import HttpBody

from libs.common.errors import NotFound
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.documents.files import file_of
from libs.facts.audit import audited
from libs.facts.callers import caller_id
from libs.facts.employee import EMPLOYEE
from libs.facts.reaching import callers_to
from libs.facts.relations import Relation
from libs.facts.team import TEAM
from services.coaching.duties import Duties, States, is_employed
from services.coaching.pip import PIP_READS
from services.coaching.worklist import ABOUT_PIPS, MOST, Asked, Worklists
from services.coaching.worklist_document import worklist_document
from stepladder.coaching.v1 import worklist_pb2 as pb


class WorklistApi:
    """Implements the service."""

    def __init__(self, service: Service, duties: Duties, worklists: Worklists, followers: Sequence[Follower]) -> None:
        self._commands = service.commands
        self._duties = duties
        self._worklists = worklists
        self._followers = followers

    async def GetWorklist(self, request: pb.GetWorklistRequest, context: Context) -> pb.Worklist:
        in_hr = await self._check(request, context)
        await self._duties.catch_up()
        for follower in self._followers:
            await follower.catch_up(AT_LEAST_SECONDS)
        today, person = context.today, request.lead_id or request.employee_id
        leads = await self._duties.leads(today, today)
        match request.WhichOneof("whose"):
            case "lead_id":
                states = await self._duties.led_by(person, today, today)
            case "employee_id":
                states = await self._duties.states([person])
            case _:
                states = await self._duties.unled(leads, today)
        wanted = person if request.lead_id else ""
        there: States = {
            employee_id: state
            for employee_id, state in sorted(states.items())
            if request.employee_id or (is_employed(state, today) and leads.of(state, today) == wanted)
        }
        asked = Asked(
            reader=caller_id(context),
            in_hr=in_hr,
            states=dict(islice(there.items(), MOST)),
            leads=leads,
            rules=await self._duties.rules(),
            person=person,
            today=today,
            until=today + timedelta(days=request.ahead_days),
        )
        items, more = await self._worklists.find(asked)
        if request.employee_id:
            theirs = is_employed(states[person], today)
            items = [one for one in items if one.waits_for_id == person and (theirs or one.employee_id == person)]
        elif request.hr:
            items = [one for one in items if one.waits_for == pb.WorkItem.PARTY_HR]
        pips: dict[str, list[str]] = {}
        for one in items:
            if one.kind in ABOUT_PIPS and one.id not in (of_them := pips.setdefault(one.employee_id, [])):
                of_them.append(one.id)
        await audited(self._commands, PIP_READS, context, pips)
        return pb.Worklist(date=today.isoformat(), items=items, more=more or len(there) > MOST)

    async def ExportWorklist(self, request: pb.ExportWorklistRequest, context: Context) -> HttpBody:
        found = await self.GetWorklist(request.worklist, context)
        named = {request.worklist.lead_id, request.worklist.employee_id} - {""}
        named |= {one for item in found.items for one in (item.employee_id, item.waits_for_id) if one}
        people = await self._commands.known(EMPLOYEE, named)
        teams = await self._commands.known(TEAM, {item.team_id for item in found.items} - {""})
        names = {one: standing.state.display_name for one, standing in (people | teams).items()}
        return await file_of(lambda: worklist_document(found, request.worklist, names), request.format)

    async def _check(self, request: pb.GetWorklistRequest, context: Context) -> bool:
        """Refuses whoever may not see the list. Answers whether the caller is in HR."""
        person = request.lead_id or request.employee_id
        (caller,) = (await callers_to(self._commands, context, [person])).values()
        held = caller.held
        if request.lead_id:  # for themself while they are employed, and HR
            held -= {"lead"} if caller.employee_id else {"self"}
        context.admission.check(held)
        if person and person not in await self._commands.known(EMPLOYEE, [person]):
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {person}")
        return Relation.HR in caller.relations
