"""Who may say what about a PIP: by what they are to it, and by what they have done on it before. Pure."""

from collections.abc import Callable, Mapping
from enum import Enum

from google.protobuf.message import Message

from libs.common.access import need_to_know
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


class Role(Enum):
    """What somebody is to a PIP."""

    LEAD = "lead"
    DRAFTER = "drafter"
    HR = "hr"
    EMPLOYEE = "employee"
    WITNESS = "witness"
    HEARER = "hearer"


WRITERS = frozenset({Role.LEAD, Role.DRAFTER})
HR_ROLES = frozenset({Role.HR})
EMPLOYEE_ROLES = frozenset({Role.EMPLOYEE})

MAY: Mapping[type[Message], frozenset[Role]] = {
    DraftPipRequest: frozenset({Role.LEAD}),
    EditPipRequest: WRITERS,
    SubmitPipRequest: WRITERS,
    SendBackPipRequest: HR_ROLES,
    OverridePipPreconditionRequest: HR_ROLES,
    ApprovePipRequest: HR_ROLES,
    DeliverPipRequest: WRITERS | HR_ROLES,
    AcknowledgePipRequest: EMPLOYEE_ROLES,
    NamePipWitnessRequest: WRITERS | HR_ROLES,
    WitnessPipRefusalRequest: frozenset({Role.WITNESS}),
    RespondToPipRequest: EMPLOYEE_ROLES,
    HoldPipCheckpointRequest: WRITERS,
    ReschedulePipCheckpointRequest: WRITERS,
    PausePipRequest: HR_ROLES,
    ResumePipRequest: HR_ROLES,
    ProposePipResultRequest: WRITERS,
    DecidePipRequest: HR_ROLES,
    AppealPipRequest: EMPLOYEE_ROLES,
    NamePipHearerRequest: HR_ROLES,
    HearPipAppealRequest: frozenset({Role.HEARER}),
    WithdrawPipRequest: frozenset({Role.DRAFTER, Role.HR}),
    ReviewPipDriftRequest: WRITERS | HR_ROLES,
}
"""Who may say what; everything but these is told them as if there were nothing."""

APART: Mapping[type[Message], Callable[[PipState], frozenset[str]]] = {
    EditPipRequest: lambda pip: pip.who(PipPreconditionOverridden, PipApproved, PipDecided),
    OverridePipPreconditionRequest: lambda pip: pip.writers,
    ApprovePipRequest: lambda pip: pip.writers,
    ProposePipResultRequest: lambda pip: pip.who(PipDecided),
    DecidePipRequest: lambda pip: pip.writers | pip.who(PipApproved, PipResultProposed),
    HearPipAppealRequest: lambda pip: pip.involved,
}
"""The separation of duties: actors who may not say it any more, by what they have done."""


def roles(pip: PipState, actor: str, *, by_hr: bool, by_lead: bool) -> frozenset[Role]:
    """What an actor is to a PIP, who is employed; their own they meet as the employee only, once it was delivered."""
    if actor == user(pip.drafted.employee_id):
        return EMPLOYEE_ROLES if pip.delivered else frozenset()
    held = {
        Role.LEAD: by_lead,
        Role.DRAFTER: actor in pip.writers,
        Role.HR: by_hr,
        Role.WITNESS: actor == user(pip.last(PipWitnessNamed).witness_id),
        Role.HEARER: actor == user(pip.last(PipHearerNamed).hearer_id),
    }
    return frozenset(role for role, holds in held.items() if holds)


def apart(pip: PipState, kind: type[Message]) -> frozenset[str]:
    """Actors whom the separation of duties keeps from saying something."""
    return APART[kind](pip) if kind in APART else frozenset()


def refuse_unless_may(pip: PipState, request: Request, actor: str, *, by_hr: bool, by_lead: bool) -> None:
    """Raises Forbidden `NEED_TO_KNOW`."""
    is_own = actor == user(request.employee_id) and not pip.delivered
    if is_own or roles(pip, actor, by_hr=by_hr, by_lead=by_lead).isdisjoint(MAY[type(request)]):
        raise need_to_know()
