"""Careers, given when then: waivers, acting posts and trials, demotions, and the end of the employment."""

from datetime import date
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.promotion.career import CAREER, acting_claim, to_resource
from services.promotion.post import post_id
from stepladder.promotion.v1.career_pb2 import (
    Appointment,
    BeginActing,
    BeginActingRequest,
    BeginAppointment,
    DecideAppointment,
    DecideAppointmentRequest,
    DecideDemotion,
    DecideDemotionRequest,
    Demotion,
    DismissDemotionRequest,
    EndCareer,
    ForgoActing,
    ForgoConfirming,
    Held,
    Place,
    ProposeDemotion,
    ProposeDemotionRequest,
    ReleaseAppointment,
    ReserveAppointment,
    WaiveCriterion,
    WaiveCriterionRequest,
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
from tests.deciding import TODAY, given, twice_is_once

HR, HR2, LEAD, EXECUTIVE, SELF, CLOCK = "user:hr", "user:hr2", "user:lead", "user:boss", "user:e-1", "system:clock"
AGENT, DEPUTY = Held(position="agent", team_id="t-1"), Held(position="deputy", team_id="t-2")
SENIOR = Held(position="senior", team_id="t-1")
PLACE = Place(employed=True, before=AGENT)
UNTIL = "2026-04-15"
TRIAL_OVER, LATER = date(2026, 4, 15), date(2026, 4, 16)
CRITERION = {"employee_id": "e-1", "ladder_id": "l-1", "rung_id": "deputy", "criterion_id": "tenure"}


def waive(reason: str = "outstanding", until: str = "2026-06-30", *, waivable: bool = True) -> WaiveCriterion:
    request = WaiveCriterionRequest(**CRITERION, reason=reason, until_date=until)
    return WaiveCriterion(request=request, waivable=waivable, employed=True)


WAIVED = CriterionWaived(
    **CRITERION, reason="outstanding", waived_by=EXECUTIVE, waived_date="2026-03-16", until_date="2026-06-30"
)
WITHDRAW = WithdrawWaiverRequest(**CRITERION, reason="not so outstanding")
WITHDRAWN = WaiverWithdrawn(
    **CRITERION, reason="not so outstanding", withdrawn_by=EXECUTIVE, withdrawn_date="2026-03-16"
)


def act(appointment_id: str = "a-1", held: Held = DEPUTY, place: Place = PLACE, **more: Any) -> BeginActing:
    request = BeginActingRequest(
        employee_id="e-1",
        appointment_id=appointment_id,
        held=held,
        start_date="2026-03-16",
        until_date=UNTIL,
        reason="nobody qualifies",
    )
    request.MergeFrom(BeginActingRequest(**more))
    return BeginActing(request=request, place=place)


ACTING = AppointmentBegun(
    employee_id="e-1",
    appointment_id="a-1",
    post_id=post_id("deputy", 0, "t-2"),
    claim_id=acting_claim("e-1", "a-1"),
    position="deputy",
    team_id="t-2",
    start_date="2026-03-16",
    until_date=UNTIL,
    from_position="agent",
    from_team_id="t-1",
    reason="nobody qualifies",
    begun_by=HR,
)
RESERVE = ReserveAppointment(employee_id="e-1", candidacy_id="c-1")
RESERVED = AppointmentReserved(employee_id="e-1", candidacy_id="c-1")
RELEASE = ReleaseAppointment(employee_id="e-1", candidacy_id="c-1")
RELEASED = AppointmentReleased(employee_id="e-1", candidacy_id="c-1")
BEGIN = BeginAppointment(
    employee_id="e-1",
    candidacy_id="c-1",
    post_id="p-1",
    claim_id="competition-1",
    held=DEPUTY,
    start_date="2026-03-16",
    until_date=UNTIL,
    appointed_by=HR,
    place=Place(employed=True, before=AGENT, before_acting=True, leads_team=True),
)
TRIAL = AppointmentBegun(
    employee_id="e-1",
    appointment_id="c-1",
    candidacy_id="c-1",
    post_id="p-1",
    claim_id="competition-1",
    position="deputy",
    team_id="t-2",
    start_date="2026-03-16",
    until_date=UNTIL,
    from_position="agent",
    from_team_id="t-1",
    from_acting=True,
    leads_team=True,
    begun_by=HR,
)


def settle(
    appointment_id: str = "a-1", *, confirmed: bool, day: str = "2026-04-16", seat: bool = True, **more: Any
) -> DecideAppointment:
    request = DecideAppointmentRequest(
        employee_id="e-1", appointment_id=appointment_id, confirmed=confirmed, effective_date=day, reason="seen"
    )
    request.MergeFrom(DecideAppointmentRequest(**more))
    return DecideAppointment(request=request, seat=seat, employed=True)


def settled(begun: AppointmentBegun, held: Held, *, confirmed: bool, **more: Any) -> AppointmentDecided:
    decided = AppointmentDecided(
        employee_id="e-1",
        appointment_id=begun.appointment_id,
        candidacy_id=begun.candidacy_id,
        post_id=begun.post_id,
        claim_id=begun.claim_id,
        from_team_id="t-2",
        confirmed=confirmed,
        position=held.position,
        stars=held.stars,
        team_id=held.team_id,
        effective_date="2026-04-16",
        reason="seen",
        decided_by=HR2,
        back=not confirmed and held == AGENT,
    )
    decided.MergeFrom(AppointmentDecided(**more))
    return decided


CONFIRMED = settled(ACTING, DEPUTY, confirmed=True)
RETURNED = settled(ACTING, AGENT, confirmed=False)
LEFT = EndCareer(employee_id="e-1", left_date="2026-03-16")


def propose(demotion_id: str = "d-1", *, removed: bool = False, lower: bool = True, **more: Any) -> ProposeDemotion:
    request = ProposeDemotionRequest(
        employee_id="e-1", demotion_id=demotion_id, removed=removed, held=AGENT, reason="cannot do it"
    )
    request.MergeFrom(ProposeDemotionRequest(**more))
    return ProposeDemotion(request=request, before=DEPUTY, employed=True, lower=lower)


PROPOSED = DemotionProposed(
    employee_id="e-1",
    demotion_id="d-1",
    position="agent",
    team_id="t-1",
    from_position="deputy",
    from_team_id="t-2",
    reason="cannot do it",
    proposed_by=LEAD,
)


def demote(demotion_id: str = "d-1", day: str = "2026-04-01", *, employed: bool = True) -> DecideDemotion:
    request = DecideDemotionRequest(
        employee_id="e-1", demotion_id=demotion_id, effective_date=day, reason="shown thrice"
    )
    return DecideDemotion(request=request, before=SENIOR, employed=employed, leads_team=True)


DEMOTED = EmployeeDemoted(
    employee_id="e-1",
    demotion_id="d-1",
    position="agent",
    team_id="t-1",
    from_position="senior",
    from_team_id="t-1",
    effective_date="2026-04-01",
    reason="cannot do it",
    decision_reason="shown thrice",
    proposed_by=LEAD,
    decided_by=HR,
    leads_team=True,
)
DISMISS = DismissDemotionRequest(employee_id="e-1", demotion_id="d-1", reason="it was the tool")
DISMISSED = DemotionDismissed(employee_id="e-1", demotion_id="d-1", reason="it was the tool", dismissed_by=HR)


def test_a_waiver_holds_until_its_day_or_until_it_is_withdrawn() -> None:
    """One at a time for each criterion; afterwards there may be another."""
    career = given(CAREER).when(waive(), actor=EXECUTIVE).then(WAIVED)
    career.when(waive(), actor=EXECUTIVE).then()
    career.when(waive("another"), actor=EXECUTIVE).refused(AlreadyExists, "WAIVER_EXISTS")
    career.when(waive("another", "2026-12-31"), date(2026, 6, 30), EXECUTIVE).refused(AlreadyExists, "WAIVER_EXISTS")
    again = WAIVED.__class__()
    again.CopyFrom(WAIVED)
    again.reason, again.waived_date, again.until_date = "another", "2026-07-01", "2026-12-31"
    career.when(waive("another", "2026-12-31"), date(2026, 7, 1), EXECUTIVE).then(again)
    gone = career.when(WITHDRAW, actor=EXECUTIVE).then(WITHDRAWN)
    gone.when(WITHDRAW, actor=EXECUTIVE).then()
    gone.when(WITHDRAW, actor="user:boss-2").refused(NotAllowed, "NO_WAIVER")
    gone.when(waive(), actor=EXECUTIVE).then(WAIVED)
    given(CAREER).when(WITHDRAW, actor=EXECUTIVE).refused(NotAllowed, "NO_WAIVER")
    career.when(WITHDRAW, date(2026, 7, 1), EXECUTIVE).refused(NotAllowed, "NO_WAIVER")


def test_only_what_the_rules_call_waivable_is_waived() -> None:
    """For who is employed, for days to come."""
    given(CAREER).when(waive(waivable=False), actor=EXECUTIVE).refused(NotAllowed, "NOT_WAIVABLE")
    given(CAREER).when(waive(until="2026-03-15"), actor=EXECUTIVE).refused(Invalid, "DATE_INVALID")
    given(CAREER).when(WaiveCriterion(request=waive().request, waivable=True), actor=EXECUTIVE).refused(
        NotAllowed, "EMPLOYMENT_ENDED"
    )


@pytest.mark.parametrize(
    ("before", "command"),
    [
        ((), waive()),
        ((WAIVED,), WITHDRAW),
        ((), act()),
        ((ACTING,), settle(confirmed=True)),
        ((ACTING,), settle(confirmed=False)),
        ((), propose()),
        ((PROPOSED,), demote()),
        ((PROPOSED,), DISMISS),
    ],
)
def test_nobody_decides_about_themself(before: tuple[Message, ...], command: Message) -> None:
    given(CAREER, *before).when(command, LATER, SELF).refused(NotAllowed, "ABOUT_THEMSELF")


def test_an_acting_post_begins_once() -> None:
    """The same again changes nothing, also when it is over; another of that name is refused."""
    career = given(CAREER).when(act(), actor=HR).then(ACTING)
    for state in (career, given(CAREER, ACTING, CONFIRMED)):
        state.when(act(place=Place()), actor=HR).then()
        state.when(act(reason="another"), actor=HR).refused(AlreadyExists, "APPOINTMENT_EXISTS")
    career.when(act("a-2"), actor=HR).refused(NotAllowed, "APPOINTMENT_RUNNING")
    given(CAREER, RESERVED).when(act(), actor=HR).refused(NotAllowed, "APPOINTMENT_RESERVED")


@pytest.mark.parametrize(
    ("command", "kind", "reason"),
    [
        (act(place=Place(before=AGENT)), NotAllowed, "EMPLOYMENT_ENDED"),
        (act(start_date="2026-04-16"), Invalid, "DATE_INVALID"),
        (act(start_date="2026-01-16", until_date="2026-03-15"), Invalid, "DATE_INVALID"),
        (act(start_date="2026-02-29"), Invalid, "DATE_INVALID"),
        (act(start_date="2026-02-12"), Invalid, "DATE_INVALID"),
        (act(until_date="2027-03-18"), Invalid, "DATE_INVALID"),
        (act(until_date="2127-03-16"), Invalid, "DATE_INVALID"),
        (act(held=AGENT), NotAllowed, "HELD_ALREADY"),
    ],
)
def test_what_cannot_be_acted_is_refused(command: BeginActing, kind: Any, reason: str) -> None:
    given(CAREER).when(command, actor=HR).refused(kind, reason)


def test_nobody_acts_for_longer_than_a_year() -> None:
    """The last day of the year is one of it, and the refusal names it and the way out."""
    longest = AppointmentBegun()
    longest.CopyFrom(ACTING)
    longest.until_date = "2027-03-17"
    given(CAREER).when(act(until_date="2027-03-17"), actor=HR).then(longest)
    refusal = given(CAREER).when(act(until_date="2027-03-18"), actor=HR).refused(Invalid, "DATE_INVALID")
    assert "2027-03-17 or earlier" in refusal.message
    assert [one.field for one in refusal.violations] == ["until_date"]


def test_nobodys_post_is_changed_long_ago() -> None:
    """An acting post and its end are entered within a month; that of who has left ends on its day, whenever."""
    begun = AppointmentBegun()
    begun.CopyFrom(ACTING)
    begun.start_date = "2026-02-13"
    given(CAREER).when(act(start_date="2026-02-13"), actor=HR).then(begun)
    career = given(CAREER, ACTING)
    back, month_later = settle(confirmed=False, day="2026-03-16"), date(2026, 4, 16)
    career.when(back, month_later, HR2).then(settled(ACTING, AGENT, confirmed=False, effective_date="2026-03-16"))
    refusal = career.when(back, date(2026, 4, 17), HR2).refused(Invalid, "DATE_INVALID")
    assert "2026-03-17 or later" in refusal.message
    left = settled(ACTING, Held(), confirmed=False, left=True, effective_date="2026-03-16", decided_by=CLOCK)
    left.ClearField("reason")
    career.when(LEFT, date(2026, 9, 1), CLOCK).then(left)


def test_an_acting_post_is_confirmed_by_somebody_else() -> None:
    """From its first day on; whoever began it may only end it."""
    career = given(CAREER, ACTING)
    career.when(settle(confirmed=True), LATER, HR).refused(NotAllowed, "SAME_PERSON")
    career.when(settle(confirmed=True), date(2026, 3, 15), HR2).refused(NotAllowed, "NOT_STARTED")
    over = career.when(settle(confirmed=True), TODAY, HR2).then(CONFIRMED)
    over.when(settle(confirmed=True), LATER, HR2).then()
    over.when(settle(confirmed=False), LATER, HR2).refused(NotAllowed, "WRONG_STATE")
    over.when(settle(confirmed=True), LATER, HR).refused(NotAllowed, "WRONG_STATE")
    ended = settled(ACTING, AGENT, confirmed=False, decided_by=HR)
    career.when(settle(confirmed=False), TODAY, HR).then(ended)


def test_who_is_not_confirmed_goes_back() -> None:
    """To what was held before, as it was held; to another post if one is named, or must be."""
    career = given(CAREER, ACTING)
    career.when(settle(confirmed=False), LATER, HR2).then(RETURNED)
    career.when(settle(confirmed=False, seat=False), LATER, HR2).refused(NotAllowed, "OLD_POST_TAKEN")
    career.when(settle(confirmed=False, held=SENIOR), LATER, HR2).then(settled(ACTING, SENIOR, confirmed=False))
    career.when(settle(confirmed=False, day="2026-03-15"), LATER, HR2).refused(Invalid, "DATE_INVALID")
    career.when(settle("a-2", confirmed=False), LATER, HR2).refused(NotFound, "APPOINTMENT_NOT_FOUND")
    left = DecideAppointment(request=settle(confirmed=False).request, seat=True)
    career.when(left, LATER, HR2).refused(NotAllowed, "EMPLOYMENT_ENDED")
    trial = given(CAREER, TRIAL)
    trial.when(settle("c-1", confirmed=False), LATER, HR2).then(settled(TRIAL, AGENT, confirmed=False, acting=True))
    trial.when(settle("c-1", confirmed=False, held=SENIOR), LATER, HR2).then(settled(TRIAL, SENIOR, confirmed=False))


def test_a_trial_is_confirmed_when_it_is_over() -> None:
    """On its last day or later, from the day after on; it may fail on any day."""
    trial = given(CAREER, TRIAL)
    passed = settled(TRIAL, DEPUTY, confirmed=True, leads_team=True)
    trial.when(settle("c-1", confirmed=True), date(2026, 4, 14), HR2).refused(NotAllowed, "TRIAL_RUNNING")
    trial.when(settle("c-1", confirmed=True, day=UNTIL), TRIAL_OVER, HR2).refused(Invalid, "DATE_INVALID")
    trial.when(settle("c-1", confirmed=True), TRIAL_OVER, HR2).then(passed)
    trial.when(settle("c-1", confirmed=True), LATER, HR).then(
        settled(TRIAL, DEPUTY, confirmed=True, leads_team=True, decided_by=HR)
    )
    trial.when(settle("c-1", confirmed=False, day="2026-03-16"), TODAY, HR2).then(
        settled(TRIAL, AGENT, confirmed=False, acting=True, effective_date="2026-03-16")
    )


def test_what_was_given_up_never_begins() -> None:
    """An acting post whose seat is not kept any longer; one that has begun goes on."""
    forgo = ForgoActing(employee_id="e-1", appointment_id="a-1")
    given(CAREER, ACTING).when(forgo).then()
    forgone = given(CAREER).when(forgo).then(ActingForgone(employee_id="e-1", appointment_id="a-1"))
    forgone.when(forgo).then()
    forgone.when(act(), TODAY, HR).refused(NotAllowed, "ACTING_FORGONE")
    assert forgone.when(act("a-2"), TODAY, HR)._decide()


def test_what_was_not_confirmed_in_time_is_confirmed_by_another_claim() -> None:
    """Not by the claim that was given back."""
    forgo = ForgoConfirming(employee_id="e-1", appointment_id="a-1", claim_position=7)
    given(CAREER, ACTING, CONFIRMED).when(forgo).then()
    forgone = (
        given(CAREER, ACTING)
        .when(forgo)
        .then(ConfirmingForgone(employee_id="e-1", appointment_id="a-1", claim_position=7))
    )
    forgone.when(forgo).then()
    late = settle(confirmed=True)
    forgone.when(late, LATER, HR2).refused(NotAllowed, "CONFIRMING_FORGONE")
    late.forgone_position = 7
    forgone.when(late, LATER, HR2).then(CONFIRMED)


def test_the_next_appointment_is_reserved_for_one_candidacy() -> None:
    """Nobody is appointed twice: one reservation or appointment at a time, and none without."""
    other = ReserveAppointment(employee_id="e-1", candidacy_id="c-2")
    career = given(CAREER).when(RESERVE).then(RESERVED)
    career.when(RESERVE).then()
    career.when(other).refused(NotAllowed, "APPOINTMENT_RESERVED")
    given(CAREER, ACTING).when(RESERVE).refused(NotAllowed, "APPOINTMENT_RUNNING")
    career.when(ReleaseAppointment(employee_id="e-1", candidacy_id="c-2")).then()
    at_five = ReserveAppointment(employee_id="e-1", candidacy_id="c-1", candidacy_position=5)
    anew = career.when(at_five).then(AppointmentReserved(employee_id="e-1", candidacy_id="c-1", candidacy_position=5))
    anew.when(at_five).then()
    anew.when(ReleaseAppointment(employee_id="e-1", candidacy_id="c-1", candidacy_position=4)).then()
    anew.when(ReleaseAppointment(employee_id="e-1", candidacy_id="c-1", candidacy_position=5)).then(RELEASED)
    anew.when(RELEASE).then(RELEASED)
    free = career.when(RELEASE).then(RELEASED)
    free.when(RELEASE).then()
    free.when(BEGIN).refused(NotAllowed, "NOT_RESERVED")
    gone = BeginAppointment()
    gone.CopyFrom(BEGIN)
    gone.place.employed = False
    career.when(gone).refused(NotAllowed, "EMPLOYMENT_ENDED")
    begun = career.when(BEGIN).then(TRIAL)
    begun.when(BEGIN).then()
    begun.when(RESERVE).then()
    begun.when(RELEASE).then()
    begun.when(other).refused(NotAllowed, "APPOINTMENT_RUNNING")
    given(CAREER, RESERVED, TRIAL, settled(TRIAL, DEPUTY, confirmed=True)).when(other).then(
        AppointmentReserved(employee_id="e-1", candidacy_id="c-2")
    )


def test_a_demotion_is_proposed_and_decided_by_two() -> None:
    """As it was proposed; from what is held on the day."""
    career = given(CAREER).when(propose(), actor=LEAD).then(PROPOSED)
    career.when(propose(), actor=LEAD).then()
    career.when(propose(reason="another"), actor=LEAD).refused(AlreadyExists, "DEMOTION_EXISTS")
    career.when(propose("d-2"), actor=LEAD).refused(NotAllowed, "DEMOTION_OPEN")
    career.when(demote(), actor=LEAD).refused(NotAllowed, "SAME_PERSON")
    career.when(demote("d-2"), actor=HR).refused(NotFound, "DEMOTION_NOT_FOUND")
    career.when(demote(day="2026-03-15"), actor=HR).refused(Invalid, "DATE_INVALID")
    career.when(demote(employed=False), actor=HR).refused(NotAllowed, "EMPLOYMENT_ENDED")
    over = career.when(demote(), actor=HR).then(DEMOTED)
    over.when(demote(), actor=HR).then()
    over.when(demote(), actor=HR2).refused(NotAllowed, "WRONG_STATE")
    over.when(DISMISS, actor=HR).refused(NotAllowed, "WRONG_STATE")
    over.when(propose("d-2"), actor=LEAD)._decide()


def test_a_demotion_leads_downwards() -> None:
    """A rung down or more by a ladder; a removal anywhere else."""
    given(CAREER).when(propose(lower=False), actor=LEAD).refused(NotAllowed, "NOT_LOWER")
    given(CAREER).when(propose(removed=True, lower=False, held=DEPUTY), actor=LEAD).refused(NotAllowed, "NOT_LOWER")
    removal = DemotionProposed()
    removal.CopyFrom(PROPOSED)
    removal.removed = True
    given(CAREER).when(propose(removed=True, lower=False), actor=LEAD).then(removal)
    left = ProposeDemotion(request=propose().request, before=DEPUTY, lower=True)
    given(CAREER).when(left, actor=LEAD).refused(NotAllowed, "EMPLOYMENT_ENDED")


def test_nothing_begins_before_what_is_decided_already() -> None:
    """The directory would show the one until the other begins, and then that again."""
    career = given(CAREER, ACTING, CONFIRMED, PROPOSED)
    career.when(demote(day="2026-04-15"), actor=HR).refused(Invalid, "DATE_INVALID")
    career.when(act("a-2", SENIOR, start_date="2026-04-15", until_date="2026-05-15"), actor=HR).refused(
        Invalid, "DATE_INVALID"
    )
    career.when(demote(day="2026-04-16"), actor=HR)._decide()
    career.when(act("a-2", SENIOR, start_date="2026-04-16", until_date="2026-05-15"), actor=HR)._decide()


def test_what_is_held_for_the_time_being_is_decided_before_a_demotion() -> None:
    given(CAREER, PROPOSED, ACTING).when(demote(), actor=HR).refused(NotAllowed, "APPOINTMENT_RUNNING")
    given(CAREER, PROPOSED, RESERVED).when(demote(), actor=HR).refused(NotAllowed, "APPOINTMENT_RESERVED")


def test_a_demotion_is_dismissed() -> None:
    career = given(CAREER, PROPOSED).when(DISMISS, actor=HR).then(DISMISSED)
    career.when(DISMISS, actor=HR).then()
    career.when(DISMISS, actor=HR2).refused(NotAllowed, "WRONG_STATE")
    career.when(demote(), actor=HR).refused(NotAllowed, "WRONG_STATE")
    given(CAREER).when(DISMISS, actor=HR).refused(NotFound, "DEMOTION_NOT_FOUND")


def test_who_leaves_ends_what_runs() -> None:
    """A reservation, an appointment, a proposal; then nothing more."""
    ended = settled(TRIAL, Held(), confirmed=False, left=True)
    ended.effective_date, ended.reason, ended.decided_by = "2026-03-16", "", CLOCK
    dropped = DemotionDismissed(employee_id="e-1", demotion_id="d-1", dismissed_by=CLOCK, left=True)
    career = given(CAREER, TRIAL, PROPOSED).when(LEFT, actor=CLOCK).then(ended, dropped)
    career.when(LEFT, actor=CLOCK).then()
    given(CAREER, RESERVED).when(LEFT, actor=CLOCK).then(RELEASED)
    given(CAREER, ACTING, RETURNED).when(LEFT, actor=CLOCK).then()
    given(CAREER).when(LEFT, actor=CLOCK).then()
    told = to_resource("e-1", career.state, 9, TODAY)
    (appointment,), (demotion,) = told.appointments, told.demotions
    assert (appointment.state, appointment.HasField("decided")) == (Appointment.STATE_LEFT, False)
    assert demotion.state == Demotion.STATE_LEFT


def test_the_career_as_it_is_told() -> None:
    """With what is overdue, and what was held before and after."""
    state = given(CAREER, WAIVED, ACTING, RETURNED, RESERVED, PROPOSED, DEMOTED).state
    told = to_resource("e-1", state, 9, LATER)
    (waiver,), (appointment,), (demotion,) = told.waivers, told.appointments, told.demotions
    assert (waiver.holds, waiver.criterion_id, told.reserved_for, told.etag) == (True, "tenure", "c-1", "9")
    assert (appointment.state, appointment.held, appointment.before) == (Appointment.STATE_RETURNED, DEPUTY, AGENT)
    assert (appointment.decided, appointment.effective_date, appointment.overdue) == (AGENT, "2026-04-16", False)
    assert (demotion.state, demotion.held, demotion.before) == (Demotion.STATE_DEMOTED, AGENT, SENIOR)
    running = given(CAREER, ACTING).state
    for day, overdue in ((TRIAL_OVER, False), (LATER, True)):
        (appointment,) = to_resource("e-1", running, 9, day).appointments
        assert (appointment.state, appointment.overdue) == (Appointment.STATE_RUNNING, overdue)
    (waiver,) = to_resource("e-1", given(CAREER, WAIVED, WITHDRAWN).state, 9, TODAY).waivers
    assert (waiver.holds, waiver.withdrawn_reason) == (False, "not so outstanding")


appointments = st.sampled_from(["a-1", "a-2", "c-1"])
demotions = st.sampled_from(["d-1", "d-2"])
candidacies = st.sampled_from(["c-1", "c-2"])
dates = st.sampled_from(["2026-03-01", "2026-03-16", "2026-04-16", "2026-05-01"])
booleans = st.booleans()
commands = st.one_of(
    st.builds(waive, st.sampled_from(["x", "y"]), dates, waivable=booleans),
    st.builds(
        WithdrawWaiverRequest, reason=st.sampled_from(["x", "y"]), **{k: st.just(v) for k, v in CRITERION.items()}
    ),
    st.builds(act, appointments, st.sampled_from([DEPUTY, SENIOR]), start_date=dates, until_date=dates),
    st.builds(settle, appointments, confirmed=st.just(False), day=dates, seat=booleans),
    st.builds(settle, appointments, confirmed=st.just(True), day=dates),
    st.builds(propose, demotions, removed=booleans, lower=booleans),
    st.builds(demote, demotions, dates),
    st.builds(DismissDemotionRequest, employee_id=st.just("e-1"), demotion_id=demotions, reason=st.just("no")),
    st.builds(ForgoActing, employee_id=st.just("e-1"), appointment_id=appointments),
    st.builds(
        ForgoConfirming,
        employee_id=st.just("e-1"),
        appointment_id=appointments,
        claim_position=st.sampled_from([3, 7]),
    ),
    *(
        st.builds(
            kind, employee_id=st.just("e-1"), candidacy_id=candidacies, candidacy_position=st.sampled_from([0, 5])
        )
        for kind in (ReserveAppointment, ReleaseAppointment)
    ),
    st.just(BEGIN),
    st.just(LEFT),
)


@pytest.mark.parametrize("before", [(), (ACTING,), (RESERVED,), (TRIAL,), (PROPOSED,), (WAIVED, PROPOSED)])
def test_a_repeated_command_changes_nothing(before: tuple[Message, ...]) -> None:
    twice_is_once(CAREER, commands, *before)
