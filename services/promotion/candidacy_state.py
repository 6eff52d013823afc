"""What has become of a candidacy: what was said last of each kind, the interviews, and the objections. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar, assert_never, cast

from google.protobuf.message import Message

from stepladder.promotion.v1.candidacy_pb2 import Candidacy
from stepladder.promotion.v1.events_pb2 import (
    ApprovalLapsed,
    CandidacyApplied,
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyDrifted,
    CandidacyListed,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyScored,
    CandidacyWithdrawn,
    InterviewScored,
    LeadReviewed,
    LetterIssued,
    ManagerReviewed,
    NoticeMoved,
    ObjectionRaised,
    ObjectionSettled,
    PeersScored,
    PostTrainingPassed,
    TrialEnded,
    TwoLevelsReviewed,
)

E = TypeVar("E", bound=Message)

Event = (
    CandidacyApplied
    | LeadReviewed
    | ManagerReviewed
    | TwoLevelsReviewed
    | InterviewScored
    | PeersScored
    | CandidacyScored
    | CandidacyListed
    | NoticeMoved
    | ObjectionRaised
    | ObjectionSettled
    | ApprovalLapsed
    | CandidacyApproved
    | LetterIssued
    | PostTrainingPassed
    | CandidacyAppointed
    | TrialEnded
    | CandidacyWithdrawn
    | CandidacyRejected
    | CandidacyNotSelected
    | CandidacyDrifted
)

Stage: TypeAlias = Candidacy.State.ValueType


@dataclass(frozen=True, slots=True)
class State:
    """A candidacy.

    Attributes:
        told: the last event of each kind.
        interviews: by interviewer, in the order in which each scored first.
        objections: by id, in the order in which they were raised.
        settled: those of them that were, by id.
        notice_until: the last day of the notice as it was last counted; empty before the list.
    """

    stage: Stage = Candidacy.STATE_UNSPECIFIED
    told: Mapping[type[Message], Message] = field(default_factory=dict)
    interviews: Mapping[str, InterviewScored] = field(default_factory=dict)
    objections: Mapping[str, ObjectionRaised] = field(default_factory=dict)
    settled: Mapping[str, ObjectionSettled] = field(default_factory=dict)
    notice_until: str = ""

    def last(self, kind: type[E]) -> E:
        """The last event of a kind; an empty one where there was none."""
        return cast(E, self.told.get(kind) or kind())

    @property
    def applied(self) -> CandidacyApplied:
        return self.last(CandidacyApplied)

    @property
    def listed(self) -> CandidacyListed:
        return self.last(CandidacyListed)

    @property
    def open_objections(self) -> list[str]:
        return [one for one in self.objections if one not in self.settled]

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self.stage >= Candidacy.STATE_CONFIRMED

    @property
    def reviewers(self) -> frozenset[str]:
        """Actors who have reviewed it."""
        reviews = (self.last(LeadReviewed), self.last(ManagerReviewed), self.last(TwoLevelsReviewed))
        return frozenset(one.reviewed_by for one in reviews) - {""}

    @property
    def judges(self) -> frozenset[str]:
        """Actors who have reviewed it or interviewed the candidate."""
        return self.reviewers | {f"user:{one}" for one in self.interviews}

    @property
    def over(self) -> frozenset[str]:
        """Actors: who led the candidate on the day of the application, and whoever led that one."""
        return frozenset(f"user:{one}" for one in (self.applied.lead_id, self.applied.manager_id) if one)

    @property
    def apart(self) -> frozenset[str]:
        """Actors who interview no candidate: who led them, reviewed them, or is them."""
        return self.over | self.reviewers | {f"user:{self.applied.employee_id}"}


def evolve(state: State, event: Message) -> State:
    state = replace(state, told={**state.told, type(event): event})
    match cast(Event, event):
        case CandidacyApplied():
            return replace(state, stage=Candidacy.STATE_APPLIED)
        case LeadReviewed():
            return replace(state, stage=Candidacy.STATE_LEAD_REVIEWED)
        case ManagerReviewed():
            return replace(state, stage=Candidacy.STATE_MANAGER_REVIEWED)
        case InterviewScored(interviewer_id=interviewer_id) as scored:
            return replace(state, interviews={**state.interviews, interviewer_id: scored})
        case CandidacyScored():
            return replace(state, stage=Candidacy.STATE_SCORED)
        case CandidacyListed(notice_until=until):
            return replace(state, stage=Candidacy.STATE_LISTED, notice_until=until)
        case NoticeMoved(notice_until=until):
            return replace(state, notice_until=until)
        case ObjectionRaised(objection_id=objection_id) as raised:
            return replace(state, objections={**state.objections, objection_id: raised})
        case ObjectionSettled(objection_id=objection_id, notice_until=until) as settled:
            until = until or state.notice_until
            return replace(state, settled={**state.settled, objection_id: settled}, notice_until=until)
        case CandidacyApproved(notice_until=until):
            return replace(state, stage=Candidacy.STATE_APPROVED, notice_until=until)
        case LetterIssued():
            return replace(state, stage=Candidacy.STATE_LETTER_ISSUED)
        case PostTrainingPassed():
            return replace(state, stage=Candidacy.STATE_TRAINED)
        case CandidacyAppointed():
            return replace(state, stage=Candidacy.STATE_APPOINTED)
        case TrialEnded(passed=passed):
            return replace(state, stage=Candidacy.STATE_CONFIRMED if passed else Candidacy.STATE_RETURNED)
        case CandidacyWithdrawn():
            return replace(state, stage=Candidacy.STATE_WITHDRAWN)
        case CandidacyRejected():
            return replace(state, stage=Candidacy.STATE_REJECTED)
        case CandidacyNotSelected():
            return replace(state, stage=Candidacy.STATE_NOT_SELECTED)
        case TwoLevelsReviewed() | PeersScored() | ApprovalLapsed() | CandidacyDrifted():
            return state
        case unknown:
            assert_never(unknown)
