"""An employee's performance improvement plans: what is so of them, and what each event makes of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypeVar, assert_never, cast

from google.protobuf.message import Message

from libs.common.days import ONE_DAY
from services.coaching.pip_content import content_of, result_of
from services.coaching.pip_schedule import Days, day_after, without
from stepladder.coaching.v1.events_pb2 import (
    PipAcknowledged,
    PipAppealed,
    PipAppealHeard,
    PipApproved,
    PipCheckpointHeld,
    PipCheckpointMissed,
    PipCheckpointRescheduled,
    PipClosed,
    PipDecided,
    PipDecisionFellDue,
    PipDelivered,
    PipDrafted,
    PipDriftReviewed,
    PipEdited,
    PipEvidenceDrifted,
    PipFellOverdue,
    PipHearerNamed,
    PipPaused,
    PipPreconditionOverridden,
    PipRecordChanged,
    PipRefusalWitnessed,
    PipResponded,
    PipResultProposed,
    PipResumed,
    PipSentBack,
    PipStarted,
    PipSubmitted,
    PipWitnessNamed,
)
from stepladder.coaching.v1.measure_pb2 import Measured, PinDrift
from stepladder.coaching.v1.pip_pb2 import (
    ElementResult,
    Pip,
    PipCheckpoint,
    PipContent,
    PipEvidence,
    PipResponse,
    PipSchedule,
)

Event = (
    PipDrafted
    | PipEdited
    | PipSubmitted
    | PipSentBack
    | PipPreconditionOverridden
    | PipApproved
    | PipDelivered
    | PipAcknowledged
    | PipWitnessNamed
    | PipRefusalWitnessed
    | PipStarted
    | PipResponded
    | PipCheckpointHeld
    | PipCheckpointRescheduled
    | PipCheckpointMissed
    | PipPaused
    | PipResumed
    | PipFellOverdue
    | PipDecisionFellDue
    | PipResultProposed
    | PipDecided
    | PipAppealed
    | PipHearerNamed
    | PipAppealHeard
    | PipClosed
    | PipEvidenceDrifted
    | PipRecordChanged
    | PipDriftReviewed
)
E = TypeVar("E", bound=Message)

LAST_DAY = date.max.isoformat()


def user(employee_id: str) -> str:
    """An employee as an actor."""
    return f"user:{employee_id}"


@dataclass(frozen=True, slots=True)
class PipState:
    """One PIP; `stage` is unspecified before the draft.

    Attributes:
        told: what was said and still stands: the latest event of each kind that no later one has undone.
        sayers: actors who ever said something of a kind, be it undone by now.
        witnesses: actors who were ever named as a witness.
        edition: how often it was written.
        schedule: what runs in the stage, or stands still while there are pauses.
        used: business days of the period that had run when it was stopped for an edit.
        total: business days of the period, with its extension.
        pauses: each with its day.
        begun: the first day that was to count of what runs, or stands still.
        stood: days since then on which it stood still for reasons that are over.
        period: days on which the period ran before it ended, or was stopped for an edit, in order.
        drifts: what is measured otherwise now than when it was pinned.
        changes: records that are evidence and have changed, each with the position of the latest change.
    """

    stage: Pip.State.ValueType = Pip.STATE_UNSPECIFIED
    told: Mapping[type[Message], Message] = field(default_factory=dict)
    content: PipContent = field(default_factory=PipContent)
    plan_closed_date: str = ""
    sayers: Mapping[type[Message], frozenset[str]] = field(default_factory=dict)
    witnesses: frozenset[str] = frozenset()
    edition: int = 0
    schedule: PipSchedule = field(default_factory=PipSchedule)
    used: int = 0
    total: int = 0
    checkpoints: tuple[PipCheckpoint, ...] = ()
    pauses: Mapping[Pip.Pause.ValueType, str] = field(default_factory=dict)
    begun: str = ""
    stood: tuple[Days, ...] = ()
    period: tuple[Days, ...] = ()
    overdue: bool = False
    extended: bool = False
    responses: tuple[PipResponse, ...] = ()
    drifts: tuple[PinDrift, ...] = ()
    drifts_known_at: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)

    def last(self, kind: type[E]) -> E:
        """An event that stands; an empty one where there is none."""
        return cast(E, self.told.get(kind) or kind())

    def who(self, *kinds: type[Message]) -> frozenset[str]:
        """Actors who ever said one of these."""
        return frozenset().union(*(self.sayers.get(kind, frozenset()) for kind in kinds))

    @property
    def writers(self) -> frozenset[str]:
        return self.who(PipDrafted, PipEdited)

    @property
    def involved(self) -> frozenset[str]:
        """Actors of anything on it, the employee, and whoever was named as a witness."""
        return self.who(*self.sayers) | self.witnesses | {user(self.drafted.employee_id)}

    @property
    def drafted(self) -> PipDrafted:
        return self.last(PipDrafted)

    def ran_until(self, day: str = LAST_DAY) -> tuple[Days, ...]:
        """The days on which the clock of the period ran until one, exclusive, in order; without one, all up to its end.

        They are what is measured: none of a leave or another pause, of an edit that waited to be acknowledged, or
        between the end of the period and its extension.
        """
        running = self.stage == Pip.STATE_ACTIVE
        return (*self.period, *self.clock_ran(day)) if running else self.period

    def clock_ran(self, day: str = LAST_DAY) -> tuple[Days, ...]:
        """The days until one, exclusive, on which what runs, or stands still, ran; none after its last."""
        due = self.schedule.due_date
        end = min(day, day_after(due)) if due else day
        return without([(self.begun, end)] if "" < self.begun < end else [], [*self.stood, *self._standing])

    @property
    def _standing(self) -> list[Days]:
        return [(first, LAST_DAY) for first in self.pauses.values()]

    def stopped(self, pause: Pip.Pause.ValueType, day: str) -> "PipState":
        """With a pause from a day on; the clock did not run on after its end, should that have passed before."""
        due = self.schedule.due_date
        over = ((day_after(due), day),) if due and day_after(due) < day else ()
        return replace(self, pauses={**self.pauses, pause: day}, stood=(*self.stood, *over))

    def let_go(self, pause: Pip.Pause.ValueType, day: str) -> "PipState":
        """Without a pause from a day on."""
        left = {one: first for one, first in self.pauses.items() if one != pause}
        return replace(self, pauses=left, stood=(*self.stood, (self.pauses.get(pause, day), day)))

    @property
    def start_date(self) -> str:
        """The first day that counts for the period, be it ahead; empty where there is none yet."""
        return next((first for first, _ in self.ran_until()), "")

    @property
    def delivered(self) -> bool:
        return PipDelivered in self.told

    @property
    def drifted(self) -> bool:
        return bool(self.drifts or self.changes)

    @property
    def drift_to_review(self) -> bool:
        return self.drifted and PipDriftReviewed not in self.told

    @property
    def coaching_done(self) -> bool:
        """Whether the rules ask for no coaching plan, or there was one that failed shortly before the draft."""
        within, closed = self.drafted.rules.coaching_within_days, self.plan_closed_date
        if not within or not closed:
            return not within
        return (date.fromisoformat(self.drafted.drafted_date) - date.fromisoformat(closed)).days <= within


@dataclass(frozen=True, slots=True)
class State:
    """An employee's PIPs by id, in the order of their drafts. At most one is open."""

    pips: Mapping[str, PipState] = field(default_factory=dict)

    @property
    def employee_id(self) -> str:
        return next((pip.drafted.employee_id for pip in self.pips.values()), "")

    @property
    def open_id(self) -> str:
        """The id of the PIP that is not closed; empty where there is none."""
        return next((pip_id for pip_id, pip in self.pips.items() if pip.stage != Pip.STATE_CLOSED), "")


TURNS = (PipDelivered, PipEdited, PipStarted, PipDecisionFellDue, PipDecided, PipClosed)
"""Events with which what ran is over, and something new begins to run, or nothing."""


def evolve(state: State, event: Message) -> State:
    told = cast(Event, event)
    pip = state.pips.get(told.pip_id, PipState())
    kind = type(told)
    sayers = {**pip.sayers, kind: pip.who(kind) | {told.by}}
    known = replace(pip, told={**pip.told, kind: told}, sayers=sayers)
    if kind in TURNS:
        turned = _evolved(replace(known, period=pip.ran_until(_stopped(told)), stood=()), told)
        return State({**state.pips, told.pip_id: replace(turned, begun=turned.schedule.from_date)})
    return State({**state.pips, told.pip_id: _evolved(known, told)})


def _evolved(pip: PipState, event: Event) -> PipState:
    match event:
        case PipDrafted() as drafted:
            return replace(_written(pip, drafted), stage=Pip.STATE_DRAFT)
        case PipEdited() as edited:
            pip = replace(_written(pip, edited), drifts=(), changes={})
            if not pip.delivered:
                return pip
            pip = _without(pip, PipAcknowledged, PipWitnessNamed, PipRefusalWitnessed)
            used = edited.used_business_days
            return replace(pip, stage=Pip.STATE_DELIVERED, schedule=edited.schedule, used=used, overdue=False)
        case PipSubmitted():
            return replace(_without(pip, PipSentBack), stage=Pip.STATE_IN_REVIEW)
        case PipSentBack():
            return replace(_without(pip, PipSubmitted, PipApproved), stage=Pip.STATE_DRAFT)
        case PipApproved():
            return replace(pip, stage=Pip.STATE_APPROVED)
        case PipDelivered(schedule=schedule):
            return replace(pip, stage=Pip.STATE_DELIVERED, schedule=schedule)
        case PipPreconditionOverridden() | PipAcknowledged() | PipRefusalWitnessed() | PipHearerNamed():
            return pip
        case PipAppealHeard():
            return pip
        case PipWitnessNamed(witness_id=witness_id):
            return replace(pip, witnesses=pip.witnesses | {user(witness_id)})
        case PipStarted(schedule=schedule):
            pip = _running(replace(pip, overdue=False), schedule)
            return replace(pip, stage=Pip.STATE_ACTIVE, total=schedule.total_business_days)
        case PipResponded(text=text, date=day):
            return replace(pip, responses=(*pip.responses, PipResponse(text=text, date=day)))
        case PipCheckpointHeld(number=number, notes=notes, held_date=day, by=actor, results=results):
            held = PipCheckpoint(
                state=PipCheckpoint.STATE_HELD, notes=notes, held_date=day, held_by=actor, results=results
            )
            return _with_checkpoint(pip, number, held)
        case PipCheckpointRescheduled(number=number, date=day, reason=reason, business_day=business_day):
            moved = PipCheckpoint(
                state=PipCheckpoint.STATE_PLANNED, due_date=day, business_day=business_day, rescheduled_reason=reason
            )
            return _with_checkpoint(pip, number, moved)
        case PipCheckpointMissed(number=number):
            return _with_checkpoint(pip, number, PipCheckpoint(state=PipCheckpoint.STATE_MISSED))
        case PipPaused(pause=pause, date=day, used_business_days=used):
            stopped = _without(pip, PipResumed).stopped(pause, day)
            return replace(stopped, schedule=_standing_still(pip.schedule, used))
        case PipResumed(pause=pause, date=day, schedule=schedule, used_business_days=used) as resumed:
            pip = _without(pip, PipPaused).let_go(pause, day)
            if resumed.HasField("schedule"):
                return _running(pip, schedule)
            still = resumed.HasField("used_business_days")
            return replace(pip, schedule=_standing_still(pip.schedule, used)) if still else pip
        case PipFellOverdue():
            return replace(pip, overdue=True)
        case PipDecisionFellDue(schedule=schedule):
            pip = _without(pip, PipResultProposed, PipDecided)
            return replace(pip, stage=Pip.STATE_DECISION_DUE, schedule=schedule, overdue=False)
        case PipResultProposed():
            return replace(pip, stage=Pip.STATE_PROPOSED)
        case PipDecided(result=Pip.RESULT_EXTENDED, schedule=schedule):
            pip = _running(replace(pip, stage=Pip.STATE_ACTIVE, extended=True, overdue=False), schedule)
            return replace(pip, total=schedule.total_business_days)
        case PipDecided(schedule=schedule):
            return replace(pip, stage=Pip.STATE_DECIDED, schedule=schedule, overdue=False)
        case PipAppealed():
            return replace(pip, stage=Pip.STATE_APPEALED, schedule=PipSchedule())
        case PipClosed():
            return replace(pip, stage=Pip.STATE_CLOSED, schedule=PipSchedule(), pauses={}, overdue=False)
        case PipEvidenceDrifted(drifts=drifts, known_at=known_at):
            return replace(_without(pip, PipDriftReviewed), drifts=tuple(drifts), drifts_known_at=known_at)
        case PipRecordChanged(change=change):
            changes = {**pip.changes, change.record_id: change.log_position}
            return replace(_without(pip, PipDriftReviewed), changes=changes)
        case PipDriftReviewed():
            return pip
        case unknown:
            assert_never(unknown)


def _stopped(event: Event) -> str:
    """The first day on which a period that ran does not any more: of an edit or of the PIP's end, or after its last."""
    match event:
        case PipEdited(schedule=schedule) if schedule.from_date:
            return (date.fromisoformat(schedule.from_date) - ONE_DAY).isoformat()
        case PipClosed(closed_date=day):
            return day
        case _:
            return LAST_DAY


def _written(pip: PipState, event: PipDrafted | PipEdited) -> PipState:
    edition = pip.edition + 1
    return replace(pip, content=content_of(event), plan_closed_date=event.plan_closed_date, edition=edition)


def _without(pip: PipState, *undone: type[Message]) -> PipState:
    return replace(pip, told={kind: event for kind, event in pip.told.items() if kind not in undone})


def _running(pip: PipState, schedule: PipSchedule) -> PipState:
    """With a schedule, and with the checkpoints on the days of its reviews."""
    known = {one.number: one for one in pip.checkpoints}
    checkpoints = []
    for number, review in enumerate(schedule.reviews, 1):
        checkpoint = PipCheckpoint(number=number, state=PipCheckpoint.STATE_PLANNED)
        checkpoint.MergeFrom(known.get(number, PipCheckpoint()))
        checkpoint.business_day, checkpoint.due_date = review.business_day, review.due_date
        checkpoints.append(checkpoint)
    return replace(pip, schedule=schedule, checkpoints=tuple(checkpoints) or pip.checkpoints)


def _standing_still(schedule: PipSchedule, used: int) -> PipSchedule:
    still = PipSchedule()
    still.CopyFrom(schedule)
    still.used_business_days = used
    still.ClearField("from_date")
    still.ClearField("due_date")
    return still


def _with_checkpoint(pip: PipState, number: int, change: PipCheckpoint) -> PipState:
    checkpoints = list(pip.checkpoints)
    changed = PipCheckpoint()
    changed.CopyFrom(checkpoints[number - 1])
    changed.MergeFrom(change)
    checkpoints[number - 1] = changed
    return replace(pip, checkpoints=tuple(checkpoints))


def pins(pip: PipState) -> dict[str, Measured]:
    """What was measured under a PIP, by a name that stays: evidence, checkpoints, results."""
    found = {
        f"{element.element_id}/evidence/{number}": evidence.measured
        for element in pip.content.elements
        for number, evidence in enumerate(element.evidence, 1)
        if evidence.HasField("measured")
    }
    for checkpoint in pip.checkpoints:
        found |= {
            f"{one.element_id}/checkpoint/{checkpoint.number}": one.measured
            for one in checkpoint.results
            if one.HasField("measured")
        }
    results = pip.last(PipDecisionFellDue).results
    return found | {result_pin(one.element_id): one.measured for one in results if one.HasField("measured")}


def result_pin(element_id: str) -> str:
    return f"{element_id}/result"


def results_now(pip: PipState) -> list[ElementResult]:
    """What would come out now, where the decision has fallen due."""
    now = {one.pin: one.now for one in pip.drifts}
    elements = {one.element_id: one for one in pip.content.elements}
    return [
        result_of(elements[one.element_id], now.get(result_pin(one.element_id), one.measured))
        for one in pip.last(PipDecisionFellDue).results
    ]


def records(pip: PipState) -> list[PipEvidence]:
    """The employee's records under a PIP: evidence, and what shows conduct that failed."""
    evidence = (one for element in pip.content.elements for one in element.evidence if one.record_id)
    return [*evidence, *pip.last(PipResultProposed).records, *pip.last(PipDecided).records]


def pins_of(state: State) -> dict[str, Measured]:
    """What was measured under all of an employee's PIPs, by name."""
    return {f"{pip_id}/{name}": one for pip_id, pip in state.pips.items() for name, one in pins(pip).items()}
