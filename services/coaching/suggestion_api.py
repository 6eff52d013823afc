"""gRPC: stepladder.coaching.v1.SuggestionService."""

from dataclasses import replace

from libs.common.commands import Standing
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, directory_around
from libs.facts.relations import Relation, relations
from services.coaching.rules import RuleBook
from services.coaching.suggestion import SUGGESTION, State, suggestion_key, to_resource
from services.coaching.suggestions import Suggestions
from stepladder.coaching.v1 import suggestion_pb2 as pb


class SuggestionApi:
    """Implements the service."""

    def __init__(self, service: Service, suggestions: Suggestions, follower: Follower, rule_book: RuleBook) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._suggestions = suggestions
        self._follower = follower
        self._rule_book = rule_book

    async def RaiseSuggestion(self, request: pb.RaiseSuggestionRequest, context: Context) -> pb.Suggestion:
        employee_id, today = request.employee_id, context.today
        context.admission.check({"self"} if caller_id(context) == employee_id else ())
        directory = await directory_around(self._commands, employee_id, today)
        if not directory.employed(employee_id, today):
            raise NotAllowed("NOT_EMPLOYED", f"{employee_id} is not employed on {today}")
        lead_id = directory.lead_of(directory.team_of(employee_id, today), today)
        found = await self._rule_book.of(employee_id, today)
        days = found.rules.answer_business_days
        command = pb.RaiseSuggestion(
            request=request,
            lead_id="" if lead_id == employee_id else lead_id,
            answer_due=found.days.add(today, days).isoformat() if days else "",
            rules_position=found.rules_position,
            calendar_position=found.calendar_position,
            calendar_version=found.calendar_version,
        )
        handled = await self._commands.handle(
            SUGGESTION, suggestion_key(employee_id, request.suggestion_id), command, context
        )
        return to_resource(handled.state, handled.position, today)

    async def GetSuggestion(self, request: pb.GetSuggestionRequest, context: Context) -> pb.Suggestion:
        found = await self._readable(request, context)
        return to_resource(found.state, found.position, context.today)

    async def ListSuggestions(self, request: pb.ListSuggestionsRequest, context: Context) -> pb.ListSuggestionsResponse:
        caller, today = caller_id(context), context.today
        directory = await directory_around(self._commands, caller, today)
        context.admission.check({"self"} if caller in directory.employees else ())
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._suggestions.list_suggestions(
            self._engine,
            request,
            caller,
            employed=directory.employed(caller, today),
            hr=Relation.HR in relations(directory, caller, "", today),
            today=today,
        )
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = (await self._commands.known(SUGGESTION, [key for key, _ in page])).values()
        return pb.ListSuggestionsResponse(
            suggestions=[to_resource(one.state, one.position, today) for one in found], next_page_token=token
        )

    async def AcceptSuggestion(self, request: pb.AcceptSuggestionRequest, context: Context) -> pb.Suggestion:
        return await self._transition(request, context)

    async def DeclineSuggestion(self, request: pb.DeclineSuggestionRequest, context: Context) -> pb.Suggestion:
        return await self._transition(request, context)

    async def CompleteSuggestion(self, request: pb.CompleteSuggestionRequest, context: Context) -> pb.Suggestion:
        return await self._transition(request, context)

    async def EscalateSuggestion(self, request: pb.EscalateSuggestionRequest, context: Context) -> pb.Suggestion:
        return await self._transition(request, context)

    async def _transition(self, request: "Transition", context: Context) -> pb.Suggestion:
        await self._readable(request, context)
        key = suggestion_key(request.employee_id, request.suggestion_id)
        handled = await self._commands.handle(SUGGESTION, key, request, replace(context, etag=request.etag))
        return to_resource(handled.state, handled.position, context.today)

    async def _readable(self, request: "Transition | pb.GetSuggestionRequest", context: Context) -> Standing[State]:
        """The suggestion, for a caller whom the call's rule names by what they are to it.

        Raises Forbidden `NEED_TO_KNOW`; NotFound `SUGGESTION_NOT_FOUND` to HR, also of one that is nothing to them, and
        to the employee themself.
        """
        caller, today = caller_id(context), context.today
        directory = await directory_around(self._commands, caller, today)
        found = await self._commands.load(SUGGESTION, suggestion_key(request.employee_id, request.suggestion_id))
        hr = Relation.HR in relations(directory, caller, "", today)
        is_to_it = held(found.state, caller, employed=directory.employed(caller, today), hr=hr)
        of_any = {"self"} if caller == request.employee_id else {"hr"} if hr else set[str]()
        context.admission.check(is_to_it or of_any)
        if not is_to_it:
            raise NotFound("SUGGESTION_NOT_FOUND", f"{request.employee_id} has raised no such suggestion")
        return found


def held(state: State, caller: str, *, employed: bool, hr: bool) -> frozenset[str]:
    """What a caller is to a suggestion, who is employed now or not, in HR or not; nothing: they may not read it."""
    raised = state.raised
    if not raised.employee_id or not caller:
        return frozenset()
    if caller == raised.employee_id:
        return frozenset({"self"})
    addressee = {"addressee"} if employed and caller == state.reading_lead else set[str]()
    of_hr = {"hr"} if hr and not (raised.about_lead and caller == raised.lead_id) else set[str]()
    return frozenset(addressee | of_hr)


Transition = (
    pb.AcceptSuggestionRequest
    | pb.DeclineSuggestionRequest
    | pb.CompleteSuggestionRequest
    | pb.EscalateSuggestionRequest
)
