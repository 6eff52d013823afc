"""Whatever is said in whatever order: nobody is appointed without notice, approval and a seat, nor twice.

Two competitions for two posts with a seat each, among three people of whom one wants both. Everything is decided by the
aggregates themselves; policies run when they happen to. A stranger watches, and counts days, seats and objections anew.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from libs.common.errors import Refused
from libs.common.eventsourcing import Aggregate, Context
from services.promotion import candidacy as deciding
from services.promotion import career, competition
from services.promotion.candidacy import CANDIDACY, candidacy_key, has_seat
from services.promotion.candidacy_state import State
from services.promotion.career import CAREER
from services.promotion.competition import COMPETITION
from services.promotion.notice import Notice
from services.promotion.post import POST, post_id
from stepladder.performance.v1.policy_pb2 import Calendar
from stepladder.promotion.v1.candidacy_pb2 import (
    AppointCandidacyRequest,
    ApproveCandidacyRequest,
    Candidacy,
    CountedBy,
    EndNotSelected,
    IssueLetterRequest,
    LapseApproval,
    ListCandidacy,
    MoveNotice,
    NoteScore,
    NoteTrialEnded,
    PassPostTrainingRequest,
    RaiseObjectionRequest,
    RejectCandidacyRequest,
    ReviewAsLeadRequest,
    ReviewAsManagerRequest,
    ReviewTwoLevelsRequest,
    ScoreInterviewRequest,
    SettleObjectionRequest,
    WithdrawCandidacyRequest,
)
from stepladder.promotion.v1.career_pb2 import (
    BeginAppointment,
    DecideAppointment,
    DecideAppointmentRequest,
    Held,
    Place,
    ReleaseAppointment,
    ReserveAppointment,
)
from stepladder.promotion.v1.competition_pb2 import (
    CloseApplicationsRequest,
    CloseCompetition,
    CloseCompetitionRequest,
    NoteCandidateLeft,
    OpenCompetition,
    OpenCompetitionRequest,
    PublishListRequest,
    RankCompetition,
)
from stepladder.promotion.v1.events_pb2 import (
    AppointmentBegun,
    AppointmentDecided,
    CandidacyApplied,
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyListed,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyWithdrawn,
    CompetitionClosed,
    InterviewScored,
    LeadReviewed,
    ListPublished,
    ManagerReviewed,
    ObjectionRaised,
    ObjectionSettled,
    TrialEnded,
    TwoLevelsReviewed,
)
from stepladder.promotion.v1.post_pb2 import (
    ClaimSeats,
    FillSeat,
    Occupancy,
    ReleaseSeats,
    SetHeadcount,
    SetHeadcountRequest,
    VacateSeat,
)
from stepladder.promotion.v1.score_pb2 import Ranked, Score
from tests.deciding import fold
from tests.promotion.candidacies import CHAIR, LEAD, RULES, act, applying, counted_by, eligibility

MONDAY = date(2026, 3, 16)
HR_PEOPLE = ("e-hr1", "e-hr2", "e-hr3", "e-hr4")
"""The first of them reviews all candidates, for they have no manager; the last has interviewed them."""
COMPETITIONS: dict[str, tuple[str, ...]] = {"c-1": ("e-1", "e-2"), "c-2": ("e-1", "e-3")}
"""Who competes in which, by rank. It is two levels for the last one."""
CANDIDACIES = {candidacy_key(of, who): (of, who) for of, people in COMPETITIONS.items() for who in people}
POSTS = {of: post_id("lead", 0, of) for of in COMPETITIONS}
HAPPENS = (
    *["publish", "wait", "approve", "prepare", "appoint", "react", "react", "move by hand"] * 3,
    *["review", "object"] * 2,
    *["settle"] * 4,
    *["trial"] * 6,
    *["calendar", "move notice", "leave", "reject", "close", "lapse"],
)
WAYS = ("ranked", "listed", "noticed", "approved", "trained", "appointed", "tried")
"""How far a life has come when it is left to chance."""
KEYS = st.sampled_from(sorted(CANDIDACIES))
KINDS = (
    CandidacyListed,
    TwoLevelsReviewed,
    ObjectionRaised,
    ObjectionSettled,
    CandidacyApproved,
    CandidacyAppointed,
    TrialEnded,
    CandidacyWithdrawn,
    CandidacyRejected,
    CandidacyNotSelected,
)
"""What decides about a candidate."""


class Promotions(RuleBasedStateMachine):
    """Promotions, and what a stranger keeps of them."""

    ways: Sequence[str] = WAYS
    happened: ClassVar[Counter[type[Message]]] = Counter()
    """How many events of a kind candidacies had, in all lives."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[tuple[str, str], Any] = {}
        self.today = MONDAY
        self.off: frozenset[date] = frozenset()
        self.holders = {of: {f"e-old-{of}"} for of in COMPETITIONS}
        """By competition: who holds its post by the directory. Its headcount is 2."""
        self.pending: deque[tuple[str, Message]] = deque()
        self.reads = 1
        # What the stranger keeps.
        self.listed: dict[str, date] = {}
        self.on_list: set[str] = set()
        self.touched: dict[str, set[date]] = {key: set() for key in CANDIDACIES}
        self.open: dict[str, set[str]] = {key: set() for key in CANDIDACIES}
        self.involved: dict[str, set[str]] = {key: set() for key in CANDIDACIES}
        self.settlers: dict[str, set[str]] = {key: set() for key in CANDIDACIES}
        self.approved: set[str] = set()
        self.sitting: set[str] = set()
        self.executive: set[str] = set()

    # ---- Giving commands

    def state(self, aggregate: Aggregate[Any], name: str) -> Any:
        return self.states.get((aggregate.name, name), aggregate.initial)

    def candidacy(self, key: str) -> State:
        found: State = self.state(CANDIDACY, key)
        return found

    def context(self, actor: str) -> Context:
        return Context(now=datetime.combine(self.today, time(9), UTC), today=self.today, actor=actor)

    def answer(self, aggregate: Aggregate[Any], name: str, command: Message, actor: str) -> Sequence[Message]:
        try:
            return aggregate.decide(self.state(aggregate, name), command, self.context(actor))
        except Refused:
            return []

    def give(self, aggregate: Aggregate[Any], name: str, command: Message, actor: str = "policy:p") -> bool:
        """Whether anything came of it. Said twice, nothing comes of it the second time."""
        events = self.answer(aggregate, name, command, actor)
        before = self.state(aggregate, name)
        self.states[aggregate.name, name] = fold(aggregate, before, events)
        for event in events:
            if aggregate is CANDIDACY:
                self.check(name, event, actor)
            self.pending.append((name, event))
        assert not (events and self.answer(aggregate, name, command, actor))
        return bool(events)

    def say(self, key: str, request: Message, person: str, **looked_up: object) -> bool:
        request.candidacy_id = key  # type: ignore[attr-defined] # all requests have it
        of, _ = CANDIDACIES[key]
        post = self.state(POST, POSTS[of])
        vacancies = post.vacancies(self.holding(of), self.today)
        looked_up |= {"calendar": self.calendar, "vacancies": vacancies}
        since = Candidacy.STATE_APPOINTED if isinstance(request, AppointCandidacyRequest) else Candidacy.STATE_APPROVED
        coming = [
            one
            for one, (other, who) in CANDIDACIES.items()
            if (one, other) != (key, of) and other == of and who not in post.seated
            if since <= self.candidacy(one).stage <= Candidacy.STATE_APPOINTED
        ]
        looked_up |= {"seat": has_seat(of, post, vacancies, len(coming))}
        return self.give(CANDIDACY, key, act(request, **looked_up), f"user:{person}")

    def holding(self, of: str) -> Occupancy:
        return Occupancy(from_date="2026-01-01", employee_ids=sorted(self.holders[of]))

    # ---- What happens

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Goes a well-known way first: everybody has applied and is reviewed, competitions are ranked, and so on."""
        far = data.draw(st.sampled_from(self.ways))
        self.rank()
        if data.draw(st.booleans()):
            self.say(candidacy_key("c-2", "e-3"), ReviewTwoLevelsRequest(approved=True, reason="x"), CHAIR)
        steps: list[tuple[str, Callable[[], None]]] = [
            ("listed", lambda: self.each(self.publish, COMPETITIONS)),
            ("noticed", lambda: self.wait(8)),
            ("approved", lambda: self.each(lambda key: self.approve(key, "e-hr2", crash=False), CANDIDACIES)),
            ("trained", lambda: self.each(self.prepare, CANDIDACIES)),
            ("appointed", lambda: self.each(lambda key: self.appoint(key, employed=True), CANDIDACIES)),
            ("tried", lambda: self.wait(31)),
        ]
        if data.draw(st.booleans()):  # or else for c-2 the one comes who is two levels below
            first = candidacy_key("c-2", "e-1")
            self.say(first, WithdrawCandidacyRequest(reason="x"), "e-1")
            self.react(len(self.pending))
        self.react(len(self.pending))
        for name, step in steps[: [one for one, _ in steps].index(far) + 1] if far != "ranked" else []:
            step()
            while name != far and self.pending:
                self.react(len(self.pending))

    @staticmethod
    def each(step: Callable[[str], None], names: Iterable[str]) -> None:
        for one in names:
            step(one)

    def rank(self) -> None:
        for of, people in COMPETITIONS.items():
            request = SetHeadcountRequest(position="lead", team_id=of, headcount=2, effective_date="2026-01-01")
            self.give(POST, POSTS[of], SetHeadcount(request=request, occupancies=[self.holding(of)]))
            self.give(POST, POSTS[of], ClaimSeats(claim_id=of, seats=1, occupancies=[self.holding(of)]))
            opening = OpenCompetition(
                request=OpenCompetitionRequest(competition_id=of, seats=1, team_id=of),
                post_id=POSTS[of],
                applications_until="2026-03-31",
            )
            self.give(COMPETITION, of, opening, "user:e-hr1")
            for who in people:
                self.apply(of, who)
            self.give(COMPETITION, of, CloseApplicationsRequest(competition_id=of), "user:e-hr1")
            ranking = [
                Ranked(candidacy_id=candidacy_key(of, who), employee_id=who, rank=rank + 1, passed=True)
                for rank, who in enumerate(people)
            ]
            assert self.give(COMPETITION, of, RankCompetition(competition_id=of, ranking=ranking), "user:e-hr1")
        assert all(self.candidacy(key).stage == Candidacy.STATE_SCORED for key in CANDIDACIES)

    def apply(self, of: str, who: str) -> None:
        key, day = candidacy_key(of, who), self.today.isoformat()
        application = applying(who, eligible=eligibility(levels=2 if who == "e-3" else 1))
        application.application.candidacy_id = key
        self.give(CANDIDACY, key, application, f"user:{who}")
        self.say(key, ReviewAsLeadRequest(recommended=True, interview_date=day, report="x"), LEAD)
        self.say(key, ReviewAsManagerRequest(approved=True, score="80", report="x"), "e-hr1")
        self.say(key, ScoreInterviewRequest(notes="x"), "e-hr4")
        self.give(CANDIDACY, key, NoteScore(score=Score(total="80")))

    @rule(data=st.data())
    def live(self, data: st.DataObject) -> None:
        """One of the things that can happen; what leads on, more often."""
        draw = data.draw
        match draw(st.sampled_from(HAPPENS)):
            case "publish":
                self.publish(draw(st.sampled_from(sorted(COMPETITIONS))))
            case "wait":
                self.wait(draw(st.sampled_from([1, 2, 7, 31])))
            case "calendar":
                self.off = frozenset(
                    MONDAY + timedelta(days=one) for one in draw(st.sets(st.integers(0, 40), max_size=4))
                )
            case "move notice":
                self.give(CANDIDACY, draw(KEYS), MoveNotice(calendar=self.calendar))
            case "review":
                yes = draw(st.sampled_from([True, True, False]))
                self.say(draw(KEYS), ReviewTwoLevelsRequest(approved=yes, reason="x"), CHAIR)
            case "object":
                objection = RaiseObjectionRequest(objection_id=draw(st.sampled_from(["o-1", "o-2"])), reason="x")
                key = draw(self.at(Candidacy.STATE_LISTED))
                self.say(key, objection, draw(st.sampled_from(("e-9", *HR_PEOPLE))))
            case "settle":
                upheld = draw(st.sampled_from([False, False, True]))
                self.one_of([self.settling(key, one, upheld=upheld) for key, one in self.open_objections()], draw)
            case "approve":
                found = self.one_of(
                    [(key, ApproveCandidacyRequest(reason="x")) for key in CANDIDACIES], draw, give=False
                )
                if found:
                    self.approve(*found, crash=draw(st.sampled_from([False, False, True])))
            case "prepare":
                self.prepare(draw(self.at(Candidacy.STATE_APPROVED)))
            case "appoint":
                self.appoint(
                    draw(self.at(Candidacy.STATE_TRAINED)), employed=draw(st.sampled_from([True, True, True, False]))
                )
            case "trial":
                self.decide_trial(draw(self.at(Candidacy.STATE_APPOINTED)), confirmed=draw(st.booleans()))
            case "leave":
                key = draw(KEYS)
                self.say(key, WithdrawCandidacyRequest(reason="x"), CANDIDACIES[key][1])
            case "reject":
                self.say(draw(KEYS), RejectCandidacyRequest(reason="x"), "e-hr3")
            case "move by hand":
                of = draw(st.sampled_from(sorted(COMPETITIONS)))
                self.holders[of] ^= {draw(st.sampled_from(["e-new", f"e-old-{of}"]))}
            case "lapse":
                self.lapse(CANDIDACIES[draw(KEYS)][1])
            case "close":
                self.close(draw(st.sampled_from(sorted(COMPETITIONS))), cancelled=draw(st.booleans()))
            case _:
                self.react(draw(st.sampled_from([1, 2, 9, 99])))

    def teardown(self) -> None:
        """Every life comes to its end: objections are settled, trials decided, competitions closed."""
        for key, objection_id in self.open_objections():
            for person in HR_PEOPLE:
                self.say(*self.settling(key, objection_id, upheld=False), person)
        self.wait(31)
        for key in CANDIDACIES:
            self.decide_trial(key, confirmed=key in self.executive)
        for of in COMPETITIONS:
            self.close(of, cancelled=False)
        while self.pending:
            self.react(1)

    def at(self, stage: Candidacy.State.ValueType) -> st.SearchStrategy[str]:
        """Candidacies at a stage half of the time, if there are any."""
        there = [key for key in sorted(CANDIDACIES) if self.candidacy(key).stage == stage]
        return st.sampled_from(there) | KEYS if there else KEYS

    def publish(self, of: str) -> None:
        self.give(COMPETITION, of, PublishListRequest(competition_id=of), "user:e-hr1")

    def close(self, of: str, *, cancelled: bool) -> None:
        done = [key for key in CANDIDACIES if self.candidacy(key).stage >= Candidacy.STATE_APPOINTED]
        request = CloseCompetitionRequest(competition_id=of, cancelled=cancelled)
        self.give(COMPETITION, of, CloseCompetition(request=request, done_candidacy_ids=done), "user:e-hr1")

    def wait(self, days: int) -> None:
        for _ in range(days):
            self.today += timedelta(days=1)
            for key, objections in self.open.items():
                if objections:
                    self.touched[key].add(self.today)

    @property
    def calendar(self) -> CountedBy:
        return counted_by(Calendar(days_off=[day.isoformat() for day in sorted(self.off)]))

    def open_objections(self) -> list[tuple[str, str]]:
        return [(key, one) for key in CANDIDACIES for one in self.candidacy(key).open_objections]

    @staticmethod
    def settling(key: str, objection_id: str, *, upheld: bool) -> tuple[str, Message]:
        return key, SettleObjectionRequest(objection_id=objection_id, upheld=upheld, reason="x")

    def one_of(
        self, requests: Sequence[tuple[str, Message]], draw: Callable[..., Any], *, give: bool = True
    ) -> tuple[str, str] | None:
        """One of those that somebody of HR can say, by one who can: the candidacy and the person."""
        possible = [(key, one, who) for key, one in requests for who in HR_PEOPLE if self.tried(key, one, who)]
        if not possible:
            return None
        key, request, person = draw(st.sampled_from(possible))
        if give:
            self.say(key, request, person)
        return key, person

    def approve(self, key: str, person: str, *, crash: bool) -> None:
        """As the API does it: the appointment is reserved, then it is approved; in between it may stop for ever."""
        request = ApproveCandidacyRequest(reason="x")
        if not self.tried(key, request, person):
            return
        employee_id = CANDIDACIES[key][1]
        reserve = ReserveAppointment(employee_id=employee_id, candidacy_id=key)
        self.give(CAREER, employee_id, reserve, f"user:{person}")
        if self.state(CAREER, employee_id).reserved_for == key and not crash:
            self.say(key, request, person)

    def lapse(self, employee_id: str) -> None:
        """As the clock does it, an hour later: no approval comes any more of what was read before."""
        if key := self.state(CAREER, employee_id).reserved_for:
            self.give(CANDIDACY, key, LapseApproval(candidacy_position=self.reads))
            self.reads += 1
            if self.candidacy(key).stage == Candidacy.STATE_LISTED:
                self.give(CAREER, employee_id, ReleaseAppointment(employee_id=employee_id, candidacy_id=key))

    def tried(self, key: str, request: Message, person: str) -> bool:
        """Whether something would come of it."""
        tried = Promotions.__new__(Promotions)
        tried.__dict__ = {**self.__dict__, "check": lambda *_: None}
        tried.states, tried.pending = dict(self.states), deque()
        return tried.say(key, request, person)

    def prepare(self, key: str) -> None:
        """The letter, the training."""
        if self.say(key, IssueLetterRequest(), "e-hr1"):
            day = self.today.isoformat()
            passed = [
                {"course_id": one, "date": day, "record_position": 50 + place}
                for place, one in enumerate(RULES.course_ids)
            ]
            self.say(key, PassPostTrainingRequest(), "e-hr1", passed=passed)

    def appoint(self, key: str, *, employed: bool) -> None:
        request = AppointCandidacyRequest(start_date=self.today.isoformat())
        self.say(key, request, "e-hr1", employed=employed)

    def decide_trial(self, key: str, *, confirmed: bool) -> None:
        employee_id = CANDIDACIES[key][1]
        request = DecideAppointmentRequest(
            employee_id=employee_id,
            appointment_id=key,
            confirmed=confirmed,
            effective_date=self.today.isoformat(),
            reason="x",
        )
        command = DecideAppointment(request=request, seat=True, employed=True)
        self.give(CAREER, employee_id, command, "user:e-hr2")

    def react(self, number: int) -> None:
        """Policies answer what has happened, in order, as far as they come."""
        for _ in range(min(number, len(self.pending))):
            self.answer_event(*self.pending.popleft())

    def answer_event(self, name: str, event: Message) -> None:
        of, who = CANDIDACIES.get(name, (name, ""))
        match event:
            case ListPublished(listed=listed, published_date=day):
                for one in listed:
                    listing = ListCandidacy(
                        rank=one.rank,
                        listed_date=day,
                        notice_business_days=5,
                        objections_pause_notice=True,
                        calendar=self.calendar,
                    )
                    self.give(CANDIDACY, one.candidacy_id, listing)
            case CompetitionClosed(cancelled=cancelled):
                for key, (other, _) in CANDIDACIES.items():
                    if other == name:
                        self.give(CANDIDACY, key, EndNotSelected(cancelled=cancelled))
                self.give(POST, POSTS[name], ReleaseSeats(claim_id=name))
            case CandidacyWithdrawn() | CandidacyRejected() | CandidacyNotSelected():
                self.give(COMPETITION, of, NoteCandidateLeft(competition_id=of, candidacy_id=name))
                self.give(CAREER, who, ReleaseAppointment(employee_id=who, candidacy_id=name))
            case TrialEnded(passed=False):
                self.give(COMPETITION, of, NoteCandidateLeft(competition_id=of, candidacy_id=name))
            case CandidacyAppointed() as appointed:
                begin = BeginAppointment(
                    employee_id=who,
                    candidacy_id=name,
                    post_id=POSTS[of],
                    claim_id=of,
                    held=Held(position="lead", team_id=of),
                    start_date=appointed.start_date,
                    until_date=appointed.trial_until,
                    appointed_by=appointed.appointed_by,
                    place=Place(employed=True, before=Held(position="agent", team_id=of)),
                )
                self.give(CAREER, who, begin)
            case AppointmentBegun(claim_id=claim_id, employee_id=employee_id, start_date=day):
                fill = FillSeat(claim_id=claim_id, employee_id=employee_id, start_date=day)
                self.give(POST, POSTS[claim_id], fill)
            case AppointmentDecided(candidacy_id=key, confirmed=confirmed):
                self.give(CANDIDACY, key, NoteTrialEnded(passed=confirmed, career_position=1))
                claim_id, employee_id = CANDIDACIES[key]
                if not confirmed:
                    self.give(POST, POSTS[claim_id], VacateSeat(claim_id=claim_id, employee_id=employee_id))

    # ---- What the stranger sees

    def check(self, key: str, event: Message, actor: str) -> None:
        of, who = CANDIDACIES[key]
        self.happened[type(event)] += 1
        match event:
            case LeadReviewed() | ManagerReviewed() | InterviewScored():
                self.involved[key].add(actor)
            case TwoLevelsReviewed(approved=True):
                self.executive.add(key)
            case CandidacyListed(listed_date=day):
                assert who != "e-3" or key in self.executive
                self.listed[key] = date.fromisoformat(day)
                self.on_list.add(key)
                assert sum(CANDIDACIES[one][0] == of for one in self.on_list) <= 1
            case ObjectionRaised(objection_id=objection_id):
                self.involved[key].add(actor)
                self.open[key].add(objection_id)
                self.touched[key].add(self.today)
            case ObjectionSettled(objection_id=objection_id):
                assert actor not in self.involved[key]
                self.settlers[key].add(actor)
                self.open[key].discard(objection_id)
            case CandidacyApproved():
                assert actor not in self.involved[key] | self.settlers[key]
                assert not self.open[key]
                assert len(self.notice(key)) >= 5
                self.approved.add(key)
                coming = {one for one in self.approved if CANDIDACIES[one][0] == of} - self.sitting
                assert len(self.holders[of]) + len(coming) + self.sitters(of) <= 2
            case CandidacyAppointed():
                assert key in self.approved
                assert not any(CANDIDACIES[one][1] == who for one in self.sitting)
                assert len(self.holders[of]) + self.sitters(of) + 1 <= 2
                self.sitting.add(key)
            case TrialEnded(passed=False):
                self.on_list.discard(key)
                self.sitting.discard(key)
                self.approved.discard(key)
            case CandidacyWithdrawn() | CandidacyRejected() | CandidacyNotSelected():
                self.on_list.discard(key)
                assert key not in self.sitting
                self.approved.discard(key)

    def sitters(self, of: str) -> int:
        return sum(CANDIDACIES[key][0] == of for key in self.sitting)

    def notice(self, key: str) -> set[date]:
        """Whole business days between the list and today on which nothing was open, by the calendar of today."""
        days = (self.today - self.listed[key]).days
        between = {self.listed[key] + timedelta(days=one) for one in range(1, days)}
        return {one for one in between if one.isoweekday() < 6} - self.off - self.touched[key]


def run(ways: Sequence[str], examples: int) -> Counter[type[Message]]:
    """Random sequences, the same ones every time; what happened in all of them."""
    tried = type("Tried", (Promotions,), {"ways": ways, "happened": Counter()})
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
    happened: Counter[type[Message]] = tried.happened  # type: ignore[attr-defined] # made with it
    return happened


def test_no_sequence_breaks_a_rule() -> None:
    """Sixty lives of two competitions, in which everything happens that can, and not just once."""
    happened = run(WAYS, 60)
    rare = {kind.DESCRIPTOR.name: happened[kind] for kind in KINDS if happened[kind] < 3}
    assert rare == {}


def without(module: object, name: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, lambda *_, **__: None)


def no_notice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deciding, "notice", lambda listed, *_: Notice(listed, 0, ""))


def objections_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    approved = deciding._approved
    nothing: dict[str, Any] = {"objections": {}, "settled": {}}
    patch.setattr(deciding, "_approved", lambda state, *others: approved(replace(state, **nothing), *others))


def two_levels_are_one(patch: pytest.MonkeyPatch) -> None:
    listed = deciding._listed

    def anybody(state: State, listing: ListCandidacy) -> list[Any]:
        alike = {**state.told, CandidacyApplied: CandidacyApplied(candidacy_id=state.applied.candidacy_id)}
        return list(listed(replace(state, told=alike), listing))

    patch.setattr(deciding, "_listed", anybody)


def everybody_is_listed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(competition, "within", lambda ranking, _: ranking)


@pytest.mark.parametrize(
    ("broken", "way"),
    [
        (no_notice, "listed"),
        (objections_are_forgotten, "noticed"),
        (without(deciding, "_refuse_unless_seated"), "noticed"),
        (without(deciding, "_refuse_involved"), "noticed"),
        (without(career, "_refuse_another"), "appointed"),
        (everybody_is_listed, "appointed"),
        (two_levels_are_one, "listed"),
    ],
    ids=[
        "no notice",
        "objections forgotten",
        "no seat asked for",
        "no separation",
        "reserved twice",
        "all listed",
        "two levels",
    ],
)
def test_a_broken_rule_is_found(
    broken: Callable[[pytest.MonkeyPatch], None], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative controls: each of these, broken, fails."""
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        run([way], 200)
