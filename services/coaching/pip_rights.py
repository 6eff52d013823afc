"""What people are to a PIP, by which rules say who may, and what they may not for what they did on it. Pure."""

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from libs.common.access import RULES, need_to_know
from services.coaching.pip_state import PipState, user
from stepladder.coaching.v1.events_pb2 import (
    PipApproved,
    PipDecided,
    PipHearerNamed,
    PipPreconditionOverridden,
    PipResultProposed,
    PipWitnessNamed,
)
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    AppealPipRequest,
    ApprovePipRequest,
    DecidePipRequest,
    DeliverPipRequest,
    DraftPipRequest,
    EditPipRequest,
    HearPipAppealRequest,
    HoldPipCheckpointRequest,
    NamePipHearerRequest,
    NamePipWitnessRequest,
    OverridePipPreconditionRequest,
    PausePipRequest,
    ProposePipResultRequest,
    ReschedulePipCheckpointRequest,
    RespondToPipRequest,
    ResumePipRequest,
    ReviewPipDriftRequest,
    SendBackPipRequest,
    SubmitPipRequest,
    WithdrawPipRequest,
    WitnessPipRefusalRequest,
)

Request = (
    DraftPipRequest
    | EditPipRequest
    | SubmitPipRequest
    | SendBackPipRequest
    | OverridePipPreconditionRequest
    | ApprovePipRequest
    | DeliverPipRequest
    | AcknowledgePipRequest
    | NamePipWitnessRequest
    | WitnessPipRefusalRequest
    | RespondToPipRequest
    | HoldPipCheckpointRequest
    | ReschedulePipCheckpointRequest
    | PausePipRequest
    | ResumePipRequest
    | ProposePipResultRequest
    | DecidePipRequest
    | AppealPipRequest
    | NamePipHearerRequest
    | HearPipAppealRequest
    | WithdrawPipRequest
    | ReviewPipDriftRequest
)


_SERVICE = DraftPipRequest.DESCRIPTOR.file.services_by_name["PipService"].full_name

APART: Mapping[type[Message], Callable[[PipState], frozenset[str]]] = {
    EditPipRequest: lambda pip: pip.who(PipPreconditionOverridden, PipApproved, PipDecided),
    OverridePipPreconditionRequest: lambda pip: pip.writers,
    ApprovePipRequest: lambda pip: pip.writers,
    ProposePipResultRequest: lambda pip: pip.who(PipDecided),
    DecidePipRequest: lambda pip: pip.writers | pip.who(PipApproved, PipResultProposed),
    HearPipAppealRequest: lambda pip: pip.involved,
}
"""The separation of duties: actors who may not say it any more, by what they have done."""


def may(kind: type[Message]) -> frozenset[str]:
    """Words of who may say something: the row of its RPC. Everything else is told them as if there were nothing."""
    return RULES[f"{_SERVICE}/{kind.DESCRIPTOR.name.removesuffix('Request')}"]


def held(pip: PipState, employee_id: str, actor: str, *, by_hr: bool, by_lead: bool) -> frozenset[str]:
    """What an actor is to a PIP, who is employed; their own they meet as the employee only, once it was delivered."""
    if actor == user(employee_id):
        return frozenset({"self"} if pip.delivered else ())
    found = {
        "lead": by_lead,
        "drafter": actor in pip.writers,
        "hr": by_hr,
        "witness": actor == user(pip.last(PipWitnessNamed).witness_id),
        "hearer": actor == user(pip.last(PipHearerNamed).hearer_id),
    }
    return frozenset(word for word, holds in found.items() if holds)


def apart(pip: PipState, kind: type[Message]) -> frozenset[str]:
    """Actors whom the separation of duties keeps from saying something."""
    return APART[kind](pip) if kind in APART else frozenset()


def refuse_unless_may(pip: PipState, request: Request, actor: str, *, by_hr: bool, by_lead: bool) -> None:
    """Raises Forbidden `NEED_TO_KNOW`."""
    if held(pip, request.employee_id, actor, by_hr=by_hr, by_lead=by_lead).isdisjoint(may(type(request))):
        raise need_to_know()
