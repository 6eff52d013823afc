"""Whatever is said in whatever order: no outcome without HR, no hearer who was involved, no clock while paused."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from libs.common.errors import Refused
from services.coaching import pip as deciding
from services.coaching import pip_state
from services.coaching.pip import PIP
from services.coaching.pip_state import PipState, State
from stepladder.coaching.v1.events_pb2 import (
    PipAppealHeard,
    PipApproved,
    PipClosed,
    PipDecided,
    PipDecisionFellDue,
    PipDrafted,
    PipEdited,
    PipEvidenceDrifted,
    PipHearerNamed,
    PipPaused,
    PipResumed,
)
from stepladder.coaching.v1.pip_pb2 import (
    CallPip,
    FollowLeave,
    NamePipHearerRequest,
    NamePipWitnessRequest,
    Pip,
    ProposePipResultRequest,
)
from tests.coaching.pips import (
    ACTIVATE,
    AGENT,
    HR_PEOPLE,
    LEAD,
    NEUTRAL,
    PATHS,
    PERIOD_OVER,
    WITNESS,
    Said,
    act,
    by,
    days_of,
    leave,
    said,
    tick,
    weekdays,
)
from tests.coaching.test_pip import COMMANDS, drifted, due
from tests.deciding import TODAY, fold

PEOPLE = [AGENT, LEAD, NEUTRAL, WITNESS, *sorted(HR_PEOPLE)]
BUSINESS_DAYS = set(weekdays().dates)
REQUESTS: list[tuple[Message, str]] = [
    *COMMANDS.values(),
    *[(said(NamePipHearerRequest, hearer_id=one), min(HR_PEOPLE)) for one in PEOPLE],
    *[(said(NamePipWitnessRequest, witness_id=one), LEAD) for one in PEOPLE],
]
FOR_THEM = [Said(act(request, actor), f"user:{actor}") for request, actor in REQUESTS]
FOR_ANYBODY = [Said(act(request, actor), f"user:{actor}") for request, _ in REQUESTS for actor in PEOPLE]

STANDARD = Decimal(95)
"""What is asked of the measure at least."""
LIVES = PATHS | {
    "met": [
        *ACTIVATE,
        due("96.0"),
        by(LEAD, said(ProposePipResultRequest, result=Pip.RESULT_PASSED, reason="x"), PERIOD_OVER),
    ]
}
"""Ways that a life of a PIP begins with."""

PARTS: dict[type[Message], str] = {
    PipDrafted: "drafter",
    PipEdited: "drafter",
    PipApproved: "approver",
    PipDecided: "decider",
    PipAppealHeard: "hearer",
}
"""Of these nobody has two."""


class Pips(RuleBasedStateMachine):
    """One employee's PIP, and what a stranger would keep of it: who has done what, and how many days it has run."""

    paths: Sequence[str] = tuple(LIVES)

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.today = TODAY
        self.actors: set[str] = {f"user:{AGENT}"}
        self.parts: dict[str, str] = {}
        self.hr_decided = False
        self.paused: set[Pip.Pause.ValueType] = set()
        self.pinned = self.measured = ""
        """What the measure was at the end of the period, then and by now."""
        self.ran: set[str] = set()
        """Business days of the running period."""
        self.days: set[str] = set()
        """Its days, of whatever kind: what was recorded of them counts."""

    @property
    def pip(self) -> PipState:
        return self.state.pips.get("pip-1", PipState())

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Goes a well-known way first, so that every state is come to."""
        for step in LIVES[data.draw(st.sampled_from(self.paths))]:
            while self.today < step.today:
                self.a_day_passes()
            self.give(step)

    @rule(data=st.data())
    def say(self, data: st.DataObject) -> None:
        """Somebody for whom it is says something that is possible now."""
        self.say_one_of(FOR_THEM, data)

    @rule(data=st.data())
    def say_what_is_not_for_them(self, data: st.DataObject) -> None:
        """Anybody says something that is possible for them now."""
        self.say_one_of(FOR_ANYBODY, data)

    def say_one_of(self, said: Sequence[Said], data: st.DataObject) -> None:
        steps = [step for step in (replace(one, today=self.today) for one in said) if self.answered(step)]
        if steps:
            requests = {step.command.WhichOneof("request"): step for step in steps}
            request = data.draw(st.sampled_from(list(requests)))
            alike = [step for step in steps if step.command.WhichOneof("request") == request]
            self.give(data.draw(st.sampled_from(alike)))

    def answered(self, step: Said) -> Sequence[Message]:
        """The events of a command; none of one that is refused."""
        try:
            return PIP.decide(self.state, step.command, step.context)
        except Refused:
            return []

    @rule(days=st.integers(1, 30))
    def wait(self, days: int) -> None:
        for _ in range(days):
            self.a_day_passes()
        self.give(tick(self.today))

    @rule(employment=st.sampled_from(["on leave", "back"] * 4 + ["left"]))
    def go_or_return(self, employment: str) -> None:
        self.give(leave(self.today, on_leave=employment == "on leave", left=employment == "left"))

    @rule(value=st.sampled_from(["94.0", "96.0"]), what=st.sampled_from(["evidence/1", "result"]))
    def drift(self, value: str, what: str) -> None:
        if self.state.pips:
            self.give(replace(drifted(value, what), today=self.today))

    def a_day_passes(self) -> None:
        running = self.pip.stage == Pip.STATE_ACTIVE and not self.paused and len(self.ran) < self.pip.total
        since = self.pip.schedule.from_date
        if running and since <= self.today.isoformat():
            self.days.add(self.today.isoformat())
            self.ran |= self.days & BUSINESS_DAYS
        self.today += timedelta(days=1)

    def give(self, step: Said) -> None:
        """Gives a command twice, and checks what came of it."""
        before = self.pip
        if not self.state.pips and step.actor == "policy:pip-clock":
            return
        events = self.answered(step)
        self.state = fold(PIP, self.state, events)
        assert not events or not PIP.decide(self.state, step.command, step.context)
        for event in events:
            self.check(event, step, before)

    def check(self, event: Message, step: Said, before: PipState) -> None:
        person = step.actor.removeprefix("user:")
        assert event.by == step.actor  # type: ignore[attr-defined] # every event of a PIP has it
        if part := PARTS.get(type(event)):
            assert self.parts.setdefault(step.actor, part) == part
        match event:
            case PipApproved():
                assert person in HR_PEOPLE
                assert person not in {LEAD, AGENT}
            case PipDecided():
                assert person in HR_PEOPLE
                assert "approver" in self.parts.values()
                assert not before.drift_to_review
                assert not self.paused
                self.hr_decided = event.result != Pip.RESULT_EXTENDED
                assert event.result != Pip.RESULT_NOT_PASSED or Decimal(self.measured) < STANDARD
            case PipAppealHeard():
                assert step.actor not in self.actors
            case PipClosed(outcome=Pip.OUTCOME_PASSED | Pip.OUTCOME_NOT_PASSED | Pip.OUTCOME_OVERTURNED):
                assert self.hr_decided
                assert not before.drift_to_review
            case PipClosed(outcome=Pip.OUTCOME_EMPLOYMENT_ENDED):
                assert isinstance(step.command, FollowLeave)
                assert step.command.left
                assert before.stage < Pip.STATE_DECIDED
            case PipClosed(outcome=outcome):
                assert outcome in (Pip.OUTCOME_WITHDRAWN, Pip.OUTCOME_SUPERSEDED)
            case PipDecisionFellDue():
                assert not self.paused
                assert len(self.ran) == before.total, (self.ran, before.schedule)
                self.pinned = self.measured = event.results[0].measured.value
            case PipEvidenceDrifted(drifts=drifts):
                self.measured = next((one.now.value for one in drifts if one.pin == "csat/result"), self.pinned)
            case PipPaused(pause=pause, used_business_days=used):
                assert before.stage != Pip.STATE_ACTIVE or used == len(self.ran)
                self.paused.add(pause)
            case PipHearerNamed(hearer_id=hearer_id):
                assert f"user:{hearer_id}" not in {*self.actors, step.actor}
            case PipResumed(pause=pause):
                self.paused.discard(pause)
        if isinstance(event, PipClosed):
            self.paused.clear()
        if not isinstance(event, PipAppealHeard):
            self.actors.add(step.actor)

    @invariant()
    def nothing_runs_while_it_is_paused(self) -> None:
        assert set(self.pip.pauses) == self.paused
        if self.paused:
            assert not self.pip.schedule.from_date
            assert not self.pip.schedule.due_date

    @invariant()
    def the_period_is_made_of_the_days_on_which_it_ran(self) -> None:
        assert set(days_of(self.pip.ran_until(self.today.isoformat()))) == self.days
        if self.days:
            assert self.pip.start_date == min(self.days)

    @invariant()
    def at_most_one_is_open(self) -> None:
        assert sum(one.stage != Pip.STATE_CLOSED for one in self.state.pips.values()) <= 1


def run(paths: Sequence[str], examples: int) -> None:
    """Random sequences, the same ones every time."""
    tried = type("Tried", (Pips,), {"paths": paths})
    some = settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=examples,
        stateful_step_count=30,
        report_multiple_bugs=False,
        phases=[Phase.generate],  # the first counterexample is as good as the shortest
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(tried, settings=some)


def test_no_sequence_breaks_a_rule() -> None:
    """A hundred lives of a PIP."""
    run(tuple(LIVES), 100)


def without(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(deciding, name, lambda *_, **__: None)


def everybody_is_hr(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deciding, "refuse_unless_may", lambda *_, **__: None)


def the_clock_runs_on(patch: pytest.MonkeyPatch) -> None:
    """A pause that forgets which days had run."""
    patch.setattr(deciding, "_used", lambda pip, *_: pip.schedule.used_business_days)


def an_edit_is_no_pause(patch: pytest.MonkeyPatch) -> None:
    """A period that waits to be acknowledged, or for an extension, and counts the days all the same."""
    patch.setattr(pip_state, "_stopped", lambda _: pip_state.LAST_DAY)


def the_program_decides(patch: pytest.MonkeyPatch) -> None:
    """The end of the period closes it."""
    called = deciding._called

    def decided(pip: PipState, call: CallPip, today: date) -> Sequence[Message]:
        events = called(pip, call, today)
        fell_due = any(isinstance(event, PipDecisionFellDue) for event in events)
        return [*events, PipClosed(outcome=Pip.OUTCOME_PASSED)] if fell_due else events

    patch.setattr(deciding, "_called", decided)


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        (everybody_is_hr, "IN_REVIEW"),
        (without("_refuse_involved"), "APPEALED"),
        (without("_refuse_unreviewed_drift"), "PROPOSED"),
        (without("_refuse_nothing_not_met"), "met"),
        (the_clock_runs_on, "ACTIVE"),
        (an_edit_is_no_pause, "ACTIVE"),
        (the_program_decides, "ACTIVE"),
    ],
    ids=[
        "everybody is HR",
        "no separation",
        "drift is nothing",
        "nothing shows it",
        "the clock runs on",
        "an edit is no pause",
        "the program decides",
    ],
)
def test_a_broken_rule_is_found(
    broken: Callable[[pytest.MonkeyPatch], None], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative controls: each of these, broken, fails."""
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        run([path], 1000)
