"""Who had which part in decisions about people, folded out of raw events, and what is wrong with that. Pure.

It trusts no aggregate: neither their states nor their rules are used here, so what these let pass by mistake is found.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations

from google.protobuf.message import Message

from libs.common.streams import Stored
from services.coaching.case_file import about
from stepladder.coaching.v1.events_pb2 import (
    PipAppealHeard,
    PipApproved,
    PipCheckpointHeld,
    PipCheckpointRescheduled,
    PipDecided,
    PipDelivered,
    PipDrafted,
    PipDriftReviewed,
    PipEdited,
    PipHearerNamed,
    PipPaused,
    PipPreconditionOverridden,
    PipRefusalWitnessed,
    PipResultProposed,
    PipResumed,
    PipSentBack,
    PipSubmitted,
    PipWitnessNamed,
    PlanClosed,
    PlanProposed,
)
from stepladder.coaching.v1.separation_pb2 import SeparationAct, SeparationCase, SeparationReport, SeparationViolation
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.events_pb2 import (
    FactDisputed,
    FactDisputeSettled,
    RatingDecided,
    RatingProposed,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
)

SUBJECTS = (
    "log.coaching.plan.*",
    "log.performance.rating.*",
    "log.performance.record.*",
    "log.performance.facts.*",
    "restricted.coaching.pip.*",
)
"""Where decisions about people lie."""

APART = (
    frozenset({SeparationAct.ROLE_RATING_PROPOSER, SeparationAct.ROLE_RATING_DECIDER}),
    frozenset({SeparationAct.ROLE_EVALUATOR, SeparationAct.ROLE_DISPUTE_SETTLER}),
    frozenset(
        {
            SeparationAct.ROLE_PIP_DRAFTER,
            SeparationAct.ROLE_PIP_APPROVER,
            SeparationAct.ROLE_PIP_DECIDER,
            SeparationAct.ROLE_PIP_APPEAL_HEARER,
        }
    ),
    frozenset({SeparationAct.ROLE_PIP_RESULT_PROPOSER, SeparationAct.ROLE_PIP_DECIDER}),
    frozenset({SeparationAct.ROLE_PIP_RESULT_PROPOSER, SeparationAct.ROLE_PIP_APPEAL_HEARER}),
    frozenset({SeparationAct.ROLE_PIP_DELIVERER, SeparationAct.ROLE_PIP_APPEAL_HEARER}),
    frozenset({SeparationAct.ROLE_PIP_OVERRIDER, SeparationAct.ROLE_PIP_APPEAL_HEARER}),
    frozenset({SeparationAct.ROLE_PIP_OVERRIDER, SeparationAct.ROLE_PIP_DRAFTER}),
    frozenset({SeparationAct.ROLE_PIP_INVOLVED, SeparationAct.ROLE_PIP_APPEAL_HEARER}),
)
"""Roles of which nobody has two in the same decision."""

IMPARTIAL = frozenset(
    {
        SeparationAct.ROLE_PLAN_CLOSER,
        SeparationAct.ROLE_RATING_DECIDER,
        SeparationAct.ROLE_DISPUTE_SETTLER,
        SeparationAct.ROLE_PIP_DRAFTER,
        SeparationAct.ROLE_PIP_APPROVER,
        SeparationAct.ROLE_PIP_DELIVERER,
        SeparationAct.ROLE_PIP_RESULT_PROPOSER,
        SeparationAct.ROLE_PIP_DECIDER,
        SeparationAct.ROLE_PIP_APPEAL_HEARER,
        SeparationAct.ROLE_PIP_OVERRIDER,
        SeparationAct.ROLE_PIP_INVOLVED,
    }
)
"""Roles that nobody has in what is about themself."""

WITHOUT_PERSON = frozenset({SeparationAct.ROLE_PLAN_PROPOSER})
"""Roles that a policy may have, too."""

_NAMING = ("by", "proposed_by", "decided_by")
"""Fields in which an event names the giver of its command."""

_INVOLVED = (
    PipSubmitted,
    PipSentBack,
    PipWitnessNamed,
    PipRefusalWitnessed,
    PipCheckpointHeld,
    PipCheckpointRescheduled,
    PipPaused,
    PipResumed,
    PipHearerNamed,
    PipDriftReviewed,
)
"""By these a person becomes involved in a PIP; some of them a policy says, too."""

_KINDS: Mapping[str, type[Message]] = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        PlanProposed,
        PlanClosed,
        RatingProposed,
        RatingDecided,
        RecordCreated,
        RecordCorrected,
        RecordDisputed,
        RecordDisputeSettled,
        FactDisputed,
        FactDisputeSettled,
        PipDrafted,
        PipEdited,
        PipApproved,
        PipDelivered,
        PipResultProposed,
        PipDecided,
        PipAppealHeard,
        PipPreconditionOverridden,
        *_INVOLVED,
    )
}


@dataclass
class _Decision:
    """One decision of an aggregate, as far as it has come."""

    employee_id: str = ""
    pip_id: str = ""
    acts: list[SeparationAct] = field(default_factory=list)


class Reading:
    """What lies in a stream on some days, read once from the first event to the last and then forgotten.

    Kept are its digest, and which aggregates are to be judged: those of which an event belongs to a decision.

    Attributes:
        events: how many were read.
        decided: the last position read of each such aggregate, by subject.
    """

    def __init__(self) -> None:
        self.events = 0
        self.decided: dict[str, int] = {}
        self._digest = bytes(32)

    def add(self, entry: Stored) -> None:
        """Reads the next event."""
        self.events += 1
        self._digest = sha256(self._digest + sha256(entry.payload).digest()).digest()
        if entry.subject in self.decided or has_part(entry.payload):
            self.decided[entry.subject] = entry.position

    @property
    def digest(self) -> str:
        """Of the events in their order; the contract says how."""
        return self._digest.hex()


class Findings:
    """Decisions and violations as they are found: as many as are told, and how many there are.

    Those with violations are told first, in the order found.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._violated: list[SeparationCase] = []
        self._right: list[SeparationCase] = []
        self._violations: list[SeparationViolation] = []
        self.cases = 0
        self._found = 0

    def add(self, cases: Sequence[SeparationCase], violations: Sequence[SeparationViolation]) -> None:
        self.cases += len(cases)
        self._found += len(violations)
        for case in cases:
            told = self._violated if case.violated else self._right
            if len(told) < self._most:
                told.append(case)
        self._violations += violations[: self._most - len(self._violations)]

    def tell(self, report: SeparationReport) -> None:
        """Puts them into a report."""
        report.cases.extend([*self._violated, *self._right][: self._most])
        report.cases_found = self.cases
        report.violations.extend(self._violations)
        report.violations_found = self._found


def has_part(payload: bytes) -> bool:
    """Whether an event belongs to a decision, and not only to what is decided about."""
    kind = Envelope.FromString(payload).type
    return kind in _KINDS and kind not in {RecordCreated.DESCRIPTOR.full_name, RecordCorrected.DESCRIPTOR.full_name}


def checked(
    history: Sequence[Stored], after: int, reader_id: str = ""
) -> tuple[list[SeparationCase], list[SeparationViolation]]:
    """The decisions of one aggregate with an act behind a position, out of all its events, and what is wrong.

    Nothing of what is about whoever reads it: that is told them as the employee, such as of a PIP once it is delivered.
    """
    subject = history[0].subject
    violations = list(_broken(history))
    cases = []
    decisions = _decisions(history, violations)
    if reader_id and reader_id in {decision.employee_id for decision in decisions}:
        return [], []
    for decision in decisions:
        if not decision.acts or decision.acts[-1].position <= after:
            continue
        found = [*_wrong_in(subject, decision)]
        case = SeparationCase(subject=subject, employee_id=decision.employee_id, pip_id=decision.pip_id)
        case.acts.extend(decision.acts)
        case.violated = bool(found)
        cases.append(case)
        violations += found
    return cases, [one for one in violations if max(one.positions) > after]


def _broken(history: Sequence[Stored]) -> Iterator[SeparationViolation]:
    """By what the envelope's contract says of `previous_hash`."""
    expected = sha256(history[0].subject.encode()).digest()
    for entry in history:
        if Envelope.FromString(entry.payload).previous_hash != expected:
            yield SeparationViolation(
                kind=SeparationViolation.KIND_BROKEN_CHAIN,
                subject=entry.subject,
                positions=[entry.position],
                sentence=f"The event before {entry.position} is missing or was changed.",
            )
        expected = sha256(entry.payload).digest()


def _decisions(history: Sequence[Stored], violations: list[SeparationViolation]) -> list[_Decision]:
    """The aggregate's decisions, in order: each PIP is one; a proposal of a rating begins another."""
    found: dict[str, _Decision] = {}
    rounds = 0
    for entry in history:
        envelope = Envelope.FromString(entry.payload)
        kind = _KINDS.get(envelope.type)
        if kind is None:
            continue
        event = kind.FromString(envelope.event)
        rounds += isinstance(event, RatingProposed)
        pip_id = getattr(event, "pip_id", "")
        decision = found.setdefault(pip_id or str(rounds), _Decision(pip_id=pip_id))
        decision.employee_id = about(event) or decision.employee_id
        where = SeparationAct(position=entry.position, event=kind.DESCRIPTOR.name, time=envelope.time)
        for role, actor in _parts(event, envelope.actor):
            act = SeparationAct(role=role, actor=actor)
            act.MergeFrom(where)
            decision.acts.append(act)
        named = [name for one in _NAMING if (name := getattr(event, one, ""))]
        if any(name != envelope.actor for name in named):
            violations.append(
                SeparationViolation(
                    kind=SeparationViolation.KIND_NAMES_ANOTHER,
                    subject=entry.subject,
                    actor=envelope.actor,
                    positions=[entry.position],
                    sentence=f"The event names {named[0]}; the command was given by {envelope.actor}.",
                )
            )
    return list(found.values())


def _parts(event: Message, actor: str) -> Iterator[tuple[SeparationAct.Role.ValueType, str]]:
    """Who has which part by an event."""
    match event:
        case PlanProposed():
            yield SeparationAct.ROLE_PLAN_PROPOSER, actor
        case PlanClosed():
            yield SeparationAct.ROLE_PLAN_CLOSER, actor
        case RatingProposed():
            yield SeparationAct.ROLE_RATING_PROPOSER, actor
        case RatingDecided():
            yield SeparationAct.ROLE_RATING_DECIDER, actor
        case RecordCreated(record=record) | RecordCorrected(record=record) if record.HasField("evaluation"):
            yield SeparationAct.ROLE_EVALUATOR, f"user:{record.evaluation.evaluator_id}"
        case RecordDisputeSettled() | FactDisputeSettled():
            yield SeparationAct.ROLE_DISPUTE_SETTLER, actor
        case PipDrafted() | PipEdited():
            yield SeparationAct.ROLE_PIP_DRAFTER, actor
        case PipApproved():
            yield SeparationAct.ROLE_PIP_APPROVER, actor
        case PipDelivered():
            yield SeparationAct.ROLE_PIP_DELIVERER, actor
        case PipResultProposed():
            yield SeparationAct.ROLE_PIP_RESULT_PROPOSER, actor
        case PipDecided():
            yield SeparationAct.ROLE_PIP_DECIDER, actor
        case PipAppealHeard():
            yield SeparationAct.ROLE_PIP_APPEAL_HEARER, actor
        case PipPreconditionOverridden():
            yield SeparationAct.ROLE_PIP_OVERRIDER, actor
        case _ if isinstance(event, _INVOLVED) and actor.startswith("user:"):
            yield SeparationAct.ROLE_PIP_INVOLVED, actor


def _wrong_in(subject: str, decision: _Decision) -> Iterator[SeparationViolation]:
    for act in decision.acts:
        if act.role not in WITHOUT_PERSON and not _is_person(act.actor):
            yield _wrong(SeparationViolation.KIND_NO_PERSON, subject, "which needs a person who is named", act)
        if act.role in IMPARTIAL and act.actor == f"user:{decision.employee_id}":
            yield _wrong(SeparationViolation.KIND_OWN_CASE, subject, "in what is about themself", act)
    for one, other in combinations(decision.acts, 2):
        both = {one.role, other.role}
        if one.actor == other.actor and len(both) == 2 and any(both <= apart for apart in APART):
            also = f"and {_role(other)} of the same decision"
            yield _wrong(SeparationViolation.KIND_SAME_PERSON, subject, also, one, other)


def _is_person(actor: str) -> bool:
    kind, _, name = actor.partition(":")
    return kind == "user" and name not in ("", "anonymous")


def _wrong(
    kind: SeparationViolation.Kind.ValueType, subject: str, what: str, *acts: SeparationAct
) -> SeparationViolation:
    return SeparationViolation(
        kind=kind,
        subject=subject,
        actor=acts[0].actor,
        positions=sorted({act.position for act in acts}),
        sentence=f"{acts[0].actor} was {_role(acts[0])}, {what}.",
    )


def _role(act: SeparationAct) -> str:
    return SeparationAct.Role.Name(act.role).removeprefix("ROLE_").replace("_", " ").lower()
