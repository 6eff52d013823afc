"""What one employee is given and loses: waivers, posts held on trial or acting, demotions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TypeVar, assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from libs.facts import employee
from services.promotion.post import post_id
from stepladder.promotion.v1.career_pb2 import (
    Appointment,
    BeginActing,
    BeginActingRequest,
    BeginAppointment,
    Career,
    DecideAppointment,
    DecideAppointmentRequest,
    DecideDemotion,
    Demotion,
    DismissDemotionRequest,
    EndCareer,
    ForgoActing,
    ForgoConfirming,
    Held,
    Place,
    ProposeDemotion,
    ReleaseAppointment,
    ReserveAppointment,
    WaiveCriterion,
    Waiver,
    WithdrawWaiverRequest,
)
from stepladder.promotion.v1.events_pb2 import (
    ActingForgone,
    AppointmentBegun,
    AppointmentDecided,
    AppointmentReleased,
    AppointmentReserved,
    ConfirmingForgone,
    CriterionWaived,
    DemotionDismissed,
    DemotionProposed,
    EmployeeDemoted,
    WaiverWithdrawn,
)

Command = (
    WaiveCriterion
    | WithdrawWaiverRequest
    | BeginActing
    | ForgoActing
    | ForgoConfirming
    | ReserveAppointment
    | ReleaseAppointment
    | BeginAppointment
    | DecideAppointment
    | ProposeDemotion
    | DecideDemotion
    | DismissDemotionRequest
    | EndCareer
)
Event = (
    CriterionWaived
    | WaiverWithdrawn
    | ActingForgone
    | ConfirmingForgone
    | AppointmentReserved
    | AppointmentReleased
    | AppointmentBegun
    | AppointmentDecided
    | DemotionProposed
    | EmployeeDemoted
    | DemotionDismissed
)

Found = TypeVar("Found")
Criterion = tuple[str, str, str]
"""Ladder, rung, criterion."""
Ended = EmployeeDemoted | DemotionDismissed
Told = AppointmentBegun | AppointmentDecided | EmployeeDemoted

MOST_BACKDATED = timedelta(days=31)
"""How late an acting post or its end may be entered: what is done monthly, as a scorecard, rests on who held what."""
LONGEST_ACTING = timedelta(days=366)
"""How long after its first day an acting post may end."""


def acting_claim(employee_id: str, appointment_id: str) -> str:
    """The claim by which a post is held acting. Stored for ever."""
    return opaque_id("acting", employee_id, appointment_id)


def confirmed_claim(employee_id: str, appointment_id: str) -> str:
    """The claim of the seat of whoever held a post acting and is to hold it for good. Stored for ever."""
    return opaque_id("confirmed", employee_id, appointment_id)


def with_stars(held: Held, stars: int) -> Held:
    """What comes to be held by somebody of some stars: a post of no stars leaves them theirs."""
    return Held(position=held.position, stars=held.stars or stars, team_id=held.team_id)


def held_by(moved: Told | DemotionProposed) -> Held:
    """What an event says is to be held, or is."""
    return Held(position=moved.position, stars=moved.stars, team_id=moved.team_id)


@dataclass(frozen=True, slots=True)
class State:
    """A career, each part as its event told it; appointments and demotions by id, in their order."""

    waivers: Mapping[Criterion, CriterionWaived] = field(default_factory=dict)
    withdrawn: Mapping[Criterion, WaiverWithdrawn] = field(default_factory=dict)
    """Of the latest waivers."""
    reserved_for: str = ""
    reserved_at: int = 0
    """The candidacy, and its position, of which the next appointment is."""
    forgone: frozenset[str] = frozenset()
    """Appointments that never begin."""
    unconfirmed: Mapping[str, int] = field(default_factory=dict)
    """By appointment, the position of the latest claim by which it was not confirmed in time."""
    begun: Mapping[str, AppointmentBegun] = field(default_factory=dict)
    decided: Mapping[str, AppointmentDecided] = field(default_factory=dict)
    proposed: Mapping[str, DemotionProposed] = field(default_factory=dict)
    ended: Mapping[str, Ended] = field(default_factory=dict)
    latest: Told | None = None
    """What the directory was told last."""

    @property
    def running(self) -> AppointmentBegun | None:
        """What is held for the time being."""
        return next((one for name, one in self.begun.items() if name not in self.decided), None)

    @property
    def open_demotion(self) -> DemotionProposed | None:
        return next((one for name, one in self.proposed.items() if name not in self.ended), None)

    def waiver_on(self, criterion: Criterion, day: date) -> CriterionWaived | None:
        """The waiver of a criterion that holds on a day."""
        found = self.waivers.get(criterion)
        holds = found is not None and criterion not in self.withdrawn and day.isoformat() <= found.until_date
        return found if holds else None


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case CriterionWaived() as waived:
            key = _criterion(waived)
            withdrawn = {one: event for one, event in state.withdrawn.items() if one != key}
            return replace(state, waivers={**state.waivers, key: waived}, withdrawn=withdrawn)
        case WaiverWithdrawn() as taken_back:
            return replace(state, withdrawn={**state.withdrawn, _criterion(taken_back): taken_back})
        case ActingForgone(appointment_id=appointment_id):
            return replace(state, forgone=state.forgone | {appointment_id})
        case ConfirmingForgone(appointment_id=appointment_id, claim_position=position):
            return replace(state, unconfirmed={**state.unconfirmed, appointment_id: position})
        case AppointmentReserved(candidacy_id=candidacy_id, candidacy_position=position):
            return replace(state, reserved_for=candidacy_id, reserved_at=position)
        case AppointmentReleased():
            return replace(state, reserved_for="")
        case AppointmentBegun(appointment_id=appointment_id) as begun:
            return replace(state, reserved_for="", begun={**state.begun, appointment_id: begun}, latest=begun)
        case AppointmentDecided(appointment_id=appointment_id) as decided:
            latest = state.latest if decided.left else decided
            return replace(state, decided={**state.decided, appointment_id: decided}, latest=latest)
        case DemotionProposed(demotion_id=demotion_id) as proposed:
            return replace(state, proposed={**state.proposed, demotion_id: proposed})
        case EmployeeDemoted(demotion_id=demotion_id) as demoted:
            return replace(state, ended={**state.ended, demotion_id: demoted}, latest=demoted)
        case DemotionDismissed(demotion_id=demotion_id) as dismissed:
            return replace(state, ended={**state.ended, demotion_id: dismissed})
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match cast(Command, command):
        case WaiveCriterion() as looked_up:
            return _waive(state, looked_up, context)
        case WithdrawWaiverRequest() as request:
            return _withdraw(state, request, context)

        case ReserveAppointment(candidacy_id=state.reserved_for, candidacy_position=state.reserved_at):
            return []
        case ReserveAppointment(employee_id=employee_id, candidacy_id=candidacy_id, candidacy_position=position):
            if candidacy_id in state.begun:
                return []
            if candidacy_id != state.reserved_for:
                _refuse_another(state)
            return [
                AppointmentReserved(employee_id=employee_id, candidacy_id=candidacy_id, candidacy_position=position)
            ]
        case ReleaseAppointment(
            employee_id=employee_id, candidacy_id=state.reserved_for, candidacy_position=position
        ) if state.reserved_for and position in {0, state.reserved_at}:
            return [AppointmentReleased(employee_id=employee_id, candidacy_id=state.reserved_for)]
        case ReleaseAppointment():
            return []

        case BeginAppointment(candidacy_id=candidacy_id) as trial:
            if candidacy_id in state.begun:
                return []
            if candidacy_id != state.reserved_for:
                raise NotAllowed("NOT_RESERVED", f"no appointment is reserved for {candidacy_id}")
            _refuse_left(trial.place.employed, trial.employee_id)
            return [_begun_trial(trial)]
        case BeginActing(request=request, place=place):
            return _begin_acting(state, request, place, context)
        case ForgoActing(employee_id=employee_id, appointment_id=appointment_id):
            known = appointment_id in state.begun or appointment_id in state.forgone
            return [] if known else [ActingForgone(employee_id=employee_id, appointment_id=appointment_id)]
        case ForgoConfirming(employee_id=employee_id, appointment_id=appointment_id, claim_position=position):
            if appointment_id in state.decided or position <= state.unconfirmed.get(appointment_id, 0):
                return []
            return [ConfirmingForgone(employee_id=employee_id, appointment_id=appointment_id, claim_position=position)]
        case DecideAppointment() as looked_up:
            return _decide_appointment(state, looked_up, context)

        case ProposeDemotion() as looked_up:
            return _propose(state, looked_up, context)
        case DecideDemotion() as looked_up:
            return _demote(state, looked_up, context)
        case DismissDemotionRequest(employee_id=employee_id, demotion_id=demotion_id, reason=reason):
            _refuse_self(employee_id, context)
            dismissed = DemotionDismissed(
                employee_id=employee_id, demotion_id=demotion_id, reason=reason, dismissed_by=context.actor
            )
            _find(state.proposed, demotion_id, "DEMOTION_NOT_FOUND")
            if (ended := state.ended.get(demotion_id)) is None:
                return [dismissed]
            if ended != dismissed:
                raise NotAllowed("WRONG_STATE", f"demotion {demotion_id} has been decided already")
            return []

        case EndCareer() as end:
            return _end(state, end, context)
        case unknown:
            assert_never(unknown)


CAREER = Aggregate(name="promotion.career", initial=State(), evolve=evolve, decide=decide)


def _waive(state: State, looked_up: WaiveCriterion, context: Context) -> Sequence[Message]:
    request = looked_up.request
    _refuse_self(request.employee_id, context)
    waived = CriterionWaived(
        employee_id=request.employee_id,
        ladder_id=request.ladder_id,
        rung_id=request.rung_id,
        criterion_id=request.criterion_id,
        reason=request.reason,
        waived_by=context.actor,
        waived_date=context.today.isoformat(),
        until_date=request.until_date,
    )
    until = parse_day(request.until_date, "until_date")
    known = state.waiver_on(_criterion(waived), context.today)
    if known is not None:
        if (known.reason, known.until_date, known.waived_by) != (request.reason, request.until_date, context.actor):
            message = f"{request.criterion_id} is waived until {known.until_date} already; withdraw that first"
            raise AlreadyExists("WAIVER_EXISTS", message)
        return []
    _refuse_left(looked_up.employed, request.employee_id)
    if not looked_up.waivable:
        message = f"the rules in force let nobody waive {request.criterion_id}"
        raise NotAllowed("NOT_WAIVABLE", message)
    if until < context.today:
        raise _date_invalid("until_date", f"{until} is over")
    return [waived]


def _withdraw(state: State, request: WithdrawWaiverRequest, context: Context) -> Sequence[Message]:
    _refuse_self(request.employee_id, context)
    withdrawn = WaiverWithdrawn(
        employee_id=request.employee_id,
        ladder_id=request.ladder_id,
        rung_id=request.rung_id,
        criterion_id=request.criterion_id,
        reason=request.reason,
        withdrawn_by=context.actor,
        withdrawn_date=context.today.isoformat(),
    )
    key = _criterion(withdrawn)
    if state.waiver_on(key, context.today) is not None:
        return [withdrawn]
    before = state.withdrawn.get(key)
    if before is None or (before.reason, before.withdrawn_by) != (request.reason, context.actor):
        raise NotAllowed("NO_WAIVER", f"no waiver of {request.criterion_id} holds for {request.employee_id}")
    return []


def _begun_trial(trial: BeginAppointment) -> AppointmentBegun:
    begun = _begun(trial.employee_id, trial.held, trial.place)
    begun.appointment_id = begun.candidacy_id = trial.candidacy_id
    begun.post_id, begun.claim_id = trial.post_id, trial.claim_id
    begun.start_date, begun.until_date = trial.start_date, trial.until_date
    begun.begun_by = trial.appointed_by
    return begun


def _begin_acting(state: State, request: BeginActingRequest, place: Place, context: Context) -> Sequence[Message]:
    _refuse_self(request.employee_id, context)
    start, until = parse_day(request.start_date, "start_date"), parse_day(request.until_date, "until_date")
    begun = _begun(request.employee_id, request.held, place)
    begun.appointment_id = request.appointment_id
    begun.post_id = post_id(request.held.position, request.held.stars, request.held.team_id)
    begun.claim_id = acting_claim(request.employee_id, request.appointment_id)
    begun.start_date, begun.until_date = request.start_date, request.until_date
    begun.reason, begun.begun_by = request.reason, context.actor
    if (known := state.begun.get(request.appointment_id)) is not None:
        if _said(known) != _said(begun):
            message = f"appointment {request.appointment_id} was begun with other content"
            raise AlreadyExists("APPOINTMENT_EXISTS", message)
        return []
    if request.appointment_id in state.forgone:
        message = f"{request.appointment_id} did not begin within the hour for which its seat was kept"
        raise NotAllowed("ACTING_FORGONE", f"{message}: begin it under another id")
    _refuse_another(state)
    _refuse_left(place.employed, request.employee_id)
    if until < start:
        raise _date_invalid("until_date", f"it begins on {start}")
    if until < context.today:
        raise _date_invalid("until_date", f"{until} is over")
    if until - start > LONGEST_ACTING:
        message = f"it is {start + LONGEST_ACTING} or earlier: within a year who acts is confirmed, or goes back"
        raise _date_invalid("until_date", message)
    _refuse_backdated(start, "start_date", context)
    _refuse_before_latest(state, start, "start_date")
    if place.before == with_stars(request.held, place.before.stars):
        raise NotAllowed("HELD_ALREADY", f"{request.employee_id} holds this post on {start}")
    return [begun]


def _begun(employee_id: str, held: Held, place: Place) -> AppointmentBegun:
    held = with_stars(held, place.before.stars)
    return AppointmentBegun(
        employee_id=employee_id,
        position=held.position,
        stars=held.stars,
        team_id=held.team_id,
        from_position=place.before.position,
        from_stars=place.before.stars,
        from_team_id=place.before.team_id,
        from_acting=place.before_acting,
        leads_team=place.leads_team,
    )


def _said(begun: AppointmentBegun) -> AppointmentBegun:
    """What was said, without what was looked up: by that a repetition is told. The post's id has its stars."""
    said = AppointmentBegun()
    said.CopyFrom(begun)
    for name in ("stars", "from_position", "from_stars", "from_team_id", "from_acting", "leads_team"):
        said.ClearField(name)
    return said


def _decide_appointment(state: State, looked_up: DecideAppointment, context: Context) -> Sequence[Message]:
    request = looked_up.request
    _refuse_self(request.employee_id, context)
    begun = _find(state.begun, request.appointment_id, "APPOINTMENT_NOT_FOUND")
    decided = _decided(begun, _held_after(begun, request), request.effective_date)
    decided.confirmed, decided.reason, decided.decided_by = request.confirmed, request.reason, context.actor
    decided.back = not request.confirmed and not request.HasField("held")
    decided.acting = begun.from_acting and decided.back
    decided.leads_team = begun.leads_team if request.confirmed else looked_up.leads_team
    if (known := state.decided.get(request.appointment_id)) is not None:
        if _decision(known) != _decision(decided):
            raise NotAllowed("WRONG_STATE", f"appointment {request.appointment_id} has ended already")
        return []
    _refuse_left(looked_up.employed, request.employee_id)
    day = parse_day(request.effective_date, "effective_date")
    if day.isoformat() < begun.start_date:
        raise _date_invalid("effective_date", f"it begins on {begun.start_date}")
    _refuse_backdated(day, "effective_date", context)
    if request.confirmed:
        _check_confirming(begun, day, context)
        if looked_up.forgone_position != state.unconfirmed.get(request.appointment_id, 0):
            message = "it was not confirmed within the hour for which its seat was kept: say it again"
            raise NotAllowed("CONFIRMING_FORGONE", message)
    elif not looked_up.seat:
        message = f"{decided.position} in {decided.team_id} has no seat free; name another post to go to"
        raise NotAllowed("OLD_POST_TAKEN", message)
    return [decided]


def _held_after(begun: AppointmentBegun, request: DecideAppointmentRequest) -> Held:
    if request.confirmed:
        return held_by(begun)
    return with_stars(request.held, begun.from_stars) if request.HasField("held") else held_before(begun)


def held_before(begun: AppointmentBegun) -> Held:
    """What there is a way back to."""
    return Held(position=begun.from_position, stars=begun.from_stars, team_id=begun.from_team_id)


def _check_confirming(begun: AppointmentBegun, day: date, context: Context) -> None:
    today = context.today.isoformat()
    if not begun.candidacy_id:
        if today < begun.start_date:
            raise NotAllowed("NOT_STARTED", f"it begins on {begun.start_date}")
        if begun.begun_by == context.actor:
            raise NotAllowed(
                "SAME_PERSON", "who put somebody in an acting post does not confirm them; somebody else does"
            )
    elif today < begun.until_date:
        raise NotAllowed("TRIAL_RUNNING", f"the trial runs until {begun.until_date}")
    elif day.isoformat() <= begun.until_date:
        raise _date_invalid("effective_date", f"the trial runs until {begun.until_date}")


def _decided(begun: AppointmentBegun, held: Held, effective_date: str) -> AppointmentDecided:
    return AppointmentDecided(
        employee_id=begun.employee_id,
        appointment_id=begun.appointment_id,
        candidacy_id=begun.candidacy_id,
        post_id=begun.post_id,
        claim_id=begun.claim_id,
        from_team_id=begun.team_id,
        position=held.position,
        stars=held.stars,
        team_id=held.team_id,
        effective_date=effective_date,
    )


def _decision(decided: AppointmentDecided) -> tuple[bool, str, int, str, str, str, str]:
    """What somebody has decided, by which a repetition is told."""
    held = decided.position, decided.stars, decided.team_id
    return decided.confirmed, *held, decided.effective_date, decided.reason, decided.decided_by


def _propose(state: State, looked_up: ProposeDemotion, context: Context) -> Sequence[Message]:
    request, before = looked_up.request, looked_up.before
    _refuse_self(request.employee_id, context)
    proposed = DemotionProposed(
        employee_id=request.employee_id,
        demotion_id=request.demotion_id,
        removed=request.removed,
        position=request.held.position,
        stars=request.held.stars,
        team_id=request.held.team_id,
        from_position=before.position,
        from_stars=before.stars,
        from_team_id=before.team_id,
        reason=request.reason,
        proposed_by=context.actor,
    )
    if (known := state.proposed.get(request.demotion_id)) is not None:
        if _proposal(known) != _proposal(proposed):
            raise AlreadyExists("DEMOTION_EXISTS", f"demotion {request.demotion_id} was proposed with other content")
        return []
    _refuse_left(looked_up.employed, request.employee_id)
    if state.open_demotion is not None:
        message = f"demotion {state.open_demotion.demotion_id} waits to be decided"
        raise NotAllowed("DEMOTION_OPEN", message)
    if not (with_stars(request.held, before.stars) != before if request.removed else looked_up.lower):
        message = (
            "what is to be held is what is held" if request.removed else "no ladder in force has it below what is held"
        )
        raise NotAllowed("NOT_LOWER", message)
    return [proposed]


def _proposal(proposed: DemotionProposed) -> tuple[bool, str, int, str, str, str]:
    """What somebody has proposed, by which a repetition is told."""
    held = proposed.position, proposed.stars, proposed.team_id
    return proposed.removed, *held, proposed.reason, proposed.proposed_by


def _demote(state: State, looked_up: DecideDemotion, context: Context) -> Sequence[Message]:
    request = looked_up.request
    _refuse_self(request.employee_id, context)
    proposed = _find(state.proposed, request.demotion_id, "DEMOTION_NOT_FOUND")
    ended = state.ended.get(request.demotion_id)
    decision = request.effective_date, request.reason, context.actor
    if (
        isinstance(ended, EmployeeDemoted)
        and (ended.effective_date, ended.decision_reason, ended.decided_by) == decision
    ):
        return []
    if ended is not None:
        raise NotAllowed("WRONG_STATE", f"demotion {request.demotion_id} has been decided already")
    if proposed.proposed_by == context.actor:
        raise NotAllowed("SAME_PERSON", "who has proposed a demotion does not decide it; somebody else in HR does")
    _refuse_another(state)
    _refuse_left(looked_up.employed, request.employee_id)
    day = parse_day(request.effective_date, "effective_date")
    if day < context.today:
        raise _date_invalid("effective_date", f"{day} is over")
    _refuse_before_latest(state, day, "effective_date")
    held = with_stars(held_by(proposed), looked_up.before.stars)
    return [
        EmployeeDemoted(
            employee_id=request.employee_id,
            demotion_id=request.demotion_id,
            removed=proposed.removed,
            position=held.position,
            stars=held.stars,
            team_id=held.team_id,
            from_position=looked_up.before.position,
            from_stars=looked_up.before.stars,
            from_team_id=looked_up.before.team_id,
            effective_date=request.effective_date,
            reason=proposed.reason,
            decision_reason=request.reason,
            proposed_by=proposed.proposed_by,
            decided_by=context.actor,
            leads_team=looked_up.leads_team,
        )
    ]


def _end(state: State, end: EndCareer, context: Context) -> Sequence[Message]:
    events: list[Message] = []
    if state.reserved_for:
        events.append(AppointmentReleased(employee_id=end.employee_id, candidacy_id=state.reserved_for))
    if (begun := state.running) is not None:
        decided = _decided(begun, Held(), end.left_date)
        decided.left, decided.decided_by = True, context.actor
        events.append(decided)
    if (proposed := state.open_demotion) is not None:
        events.append(
            DemotionDismissed(
                employee_id=end.employee_id, demotion_id=proposed.demotion_id, dismissed_by=context.actor, left=True
            )
        )
    return events


def _criterion(of: CriterionWaived | WaiverWithdrawn) -> Criterion:
    return of.ladder_id, of.rung_id, of.criterion_id


def _find(known: Mapping[str, Found], name: str, reason: str) -> Found:
    if name not in known:
        raise NotFound(reason, f"there is no {reason.partition('_')[0].lower()} {name}")
    return known[name]


def _refuse_self(employee_id: str, context: Context) -> None:
    if context.actor == f"user:{employee_id}":
        raise NotAllowed("ABOUT_THEMSELF", "nobody decides about themself")


def _refuse_left(employed: bool, employee_id: str) -> None:
    if not employed:
        raise NotAllowed("EMPLOYMENT_ENDED", f"{employee_id} is not employed on that day")


def _refuse_another(state: State) -> None:
    """One at a time is held for the time being, and nothing is decided behind the back of one that is to come."""
    if (running := state.running) is not None:
        raise NotAllowed("APPOINTMENT_RUNNING", f"appointment {running.appointment_id} is to be decided first")
    if state.reserved_for:
        raise NotAllowed("APPOINTMENT_RESERVED", f"the next appointment is reserved for {state.reserved_for}")


def _refuse_backdated(day: date, name: str, context: Context) -> None:
    earliest = context.today - MOST_BACKDATED
    if day < earliest:
        raise _date_invalid(name, f"it is {earliest} or later: nobody's post is changed further back than a month")


def _refuse_before_latest(state: State, day: date, name: str) -> None:
    """The directory would show what is decided now only until that begins."""
    if state.latest is not None and day < (since := _first_day(state.latest)):
        raise _date_invalid(name, f"what they hold from {since} on is decided already: it is that day or later")


def _first_day(told: Told) -> date:
    return date.fromisoformat(told.start_date if isinstance(told, AppointmentBegun) else told.effective_date)


def _date_invalid(name: str, message: str) -> Invalid:
    return Invalid("DATE_INVALID", message, (FieldViolation(name, message),))


def to_resource(
    employee_id: str,
    state: State,
    position: int,
    day: date,
    crowded_post_ids: Collection[str] = (),
    found: employee.State | None = None,
) -> Career:
    """The career as of a day. Of crowded posts, more are acting in them than there are seats for it.

    `found`: what the directory has made of it; None: that is not asked.
    """
    return Career(
        employee_id=employee_id,
        waivers=waivers_of(state, day),
        reserved_for=state.reserved_for,
        appointments=[appointment_of(state, name, day, crowded_post_ids, found) for name in state.begun],
        demotions=[_demotion(state, name, found) for name in state.proposed],
        etag=str(position),
        log_position=position,
    )


def waivers_of(state: State, day: date) -> list[Waiver]:
    found = []
    for key, waived in state.waivers.items():
        withdrawn = state.withdrawn.get(key, WaiverWithdrawn())
        found.append(
            Waiver(
                ladder_id=waived.ladder_id,
                rung_id=waived.rung_id,
                criterion_id=waived.criterion_id,
                reason=waived.reason,
                waived_by=waived.waived_by,
                waived_date=waived.waived_date,
                until_date=waived.until_date,
                withdrawn_reason=withdrawn.reason,
                withdrawn_by=withdrawn.withdrawn_by,
                withdrawn_date=withdrawn.withdrawn_date,
                holds=state.waiver_on(key, day) is not None,
            )
        )
    return found


def appointment_of(
    state: State,
    appointment_id: str,
    day: date,
    crowded_post_ids: Collection[str] = (),
    found: employee.State | None = None,
) -> Appointment:
    begun, decided = state.begun[appointment_id], state.decided.get(appointment_id)
    appointment = Appointment(
        employee_id=begun.employee_id,
        appointment_id=appointment_id,
        candidacy_id=begun.candidacy_id,
        state=Appointment.STATE_RUNNING,
        post_id=begun.post_id,
        held=held_by(begun),
        before=held_before(begun),
        start_date=begun.start_date,
        until_date=begun.until_date,
        overdue=decided is None and begun.until_date < day.isoformat(),
        reason=begun.reason,
        begun_by=begun.begun_by,
        no_seat=decided is None and not begun.candidacy_id and begun.post_id in crowded_post_ids,
        warning=_warning(state.latest, decided or begun, found),
    )
    if decided is not None:
        appointment.state = (
            Appointment.STATE_LEFT
            if decided.left
            else Appointment.STATE_CONFIRMED
            if decided.confirmed
            else Appointment.STATE_RETURNED
        )
        if not decided.left:
            appointment.decided.CopyFrom(held_by(decided))
        appointment.effective_date = decided.effective_date
        appointment.decision_reason, appointment.decided_by = decided.reason, decided.decided_by
    return appointment


def _demotion(state: State, demotion_id: str, found: employee.State | None) -> Demotion:
    proposed, ended = state.proposed[demotion_id], state.ended.get(demotion_id)
    latest = ended if isinstance(ended, EmployeeDemoted) else proposed
    demotion = Demotion(
        demotion_id=proposed.demotion_id,
        state=Demotion.STATE_PROPOSED,
        removed=proposed.removed,
        held=held_by(latest),
        before=Held(position=latest.from_position, stars=latest.from_stars, team_id=latest.from_team_id),
        reason=proposed.reason,
        proposed_by=proposed.proposed_by,
    )
    match ended:
        case EmployeeDemoted():
            demotion.state = Demotion.STATE_DEMOTED
            demotion.effective_date = ended.effective_date
            demotion.decision_reason, demotion.decided_by = ended.decision_reason, ended.decided_by
            demotion.warning = _warning(state.latest, ended, found)
        case DemotionDismissed():
            demotion.state = Demotion.STATE_LEFT if ended.left else Demotion.STATE_DISMISSED
            demotion.decision_reason, demotion.decided_by = ended.reason, ended.dismissed_by
        case None:
            pass
    return demotion


def _warning(latest: Told | None, told: Told, found: employee.State | None) -> str:
    """What the directory shows instead of what it was told last, and what to do about it; empty: just that."""
    if found is None or told != latest:
        return ""
    day = _first_day(told)
    if found.last_day is not None and found.last_day < day:
        return f"nothing came of it: the employment ended on {found.last_day}; there is nothing to do"
    acting = isinstance(told, AppointmentBegun) or (isinstance(told, AppointmentDecided) and told.acting)
    wanted, shown = employee.Position(told.position, told.stars, acting), found.position_on(day)
    team_id = found.team_on(day)
    if shown == wanted and (told.leads_team or team_id == told.team_id):
        return ""
    instead = f"on {day} the directory shows {_words(shown)} in {team_id}, not {_words(wanted)} in {told.team_id}"
    return (
        f"{instead}: it follows by itself within moments; if somebody has said otherwise there since, say it there"
        " again, by ChangePosition and TransferEmployee from that day on"
    )


def _words(held: employee.Position) -> str:
    stars = f" with {held.stars} stars" if held.stars else ""
    return f"{held.name}{stars}{' (acting)' if held.acting else ''}"
