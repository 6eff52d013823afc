"""A competition: who of those who apply gets the seats of a post, from the first application to the last of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from services.promotion.ranking import within
from stepladder.promotion.v1.competition_pb2 import (
    CloseApplicationsRequest,
    CloseCompetition,
    Competition,
    DeclareConflict,
    DeclareConflictRequest,
    ForgoCompetition,
    NoteCandidateLeft,
    OpenCompetition,
    PublicList,
    PublishListRequest,
    RankCompetition,
    SetPanel,
)
from stepladder.promotion.v1.events_pb2 import (
    ApplicationsClosed,
    CandidateLeft,
    CompetitionClosed,
    CompetitionForgone,
    CompetitionOpened,
    CompetitionRanked,
    ConflictDeclared,
    ListPublished,
    PanelSet,
)
from stepladder.promotion.v1.score_pb2 import Ranked

Command = (
    OpenCompetition
    | ForgoCompetition
    | CloseApplicationsRequest
    | SetPanel
    | DeclareConflict
    | RankCompetition
    | PublishListRequest
    | NoteCandidateLeft
    | CloseCompetition
)
Event = (
    CompetitionOpened
    | CompetitionForgone
    | ApplicationsClosed
    | PanelSet
    | ConflictDeclared
    | CompetitionRanked
    | ListPublished
    | CandidateLeft
    | CompetitionClosed
)


@dataclass(frozen=True, slots=True)
class State:
    """A competition, each part as its event told it; `stage` is unspecified before it is opened.

    Attributes:
        forgone: it was not opened in time, and never will be.
        panel: the last that was set.
        published: everybody who was ever listed, by candidacy, with the day.
        left: candidacies that have ended.
    """

    stage: Competition.State.ValueType = Competition.STATE_UNSPECIFIED
    forgone: bool = False
    opened: CompetitionOpened = field(default_factory=CompetitionOpened)
    applications: ApplicationsClosed = field(default_factory=ApplicationsClosed)
    panel: PanelSet = field(default_factory=PanelSet)
    conflicts: tuple[ConflictDeclared, ...] = ()
    ranked: CompetitionRanked = field(default_factory=CompetitionRanked)
    published: Mapping[str, str] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    closed: CompetitionClosed = field(default_factory=CompetitionClosed)

    def closed_to_applicants(self, day: date) -> str:
        """Why nobody applies on a day, also where the clock is late; empty: whoever is eligible may."""
        until, on = self.opened.applications_until, self.applications.closed_date
        if not on and self.stage == Competition.STATE_CANCELLED:
            return f"the competition was cancelled on {self.closed.closed_date}"
        if on and on <= until:
            return f"applications were closed on {on}, before the end of {until}, which was announced"
        if on or day.isoformat() > until:
            return f"applications were taken until {until}"
        return ""

    def conflicts_of(self, candidacy_id: str) -> dict[str, ConflictDeclared]:
        """Who must not judge a candidate, with what was declared."""
        return {one.interviewer_id: one for one in self.conflicts if one.candidacy_id == candidacy_id}

    def judges_of(self, candidacy_id: str) -> list[str]:
        """The interviewers of the panel without those who must not judge a candidate by what was declared."""
        apart = self.conflicts_of(candidacy_id)
        return [one for one in self.panel.interviewer_ids if one not in apart]

    @property
    def is_judged(self) -> bool:
        """Whether nobody can give a score any more."""
        return self.stage >= Competition.STATE_RANKED

    @property
    def staying(self) -> list[Ranked]:
        """Who was ranked and has not left, by rank."""
        return [one for one in self.ranked.ranking if one.candidacy_id not in self.left]

    def rank_of(self, candidacy_id: str) -> int:
        """0: not ranked."""
        return next((one.rank for one in self.ranked.ranking if one.candidacy_id == candidacy_id), 0)

    @property
    def on_list(self) -> list[Ranked]:
        """Who is on the list now, by rank."""
        return [one for one in self.ranked.ranking if one.candidacy_id in self.published.keys() - self.left]


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case CompetitionOpened() as opened:
            return replace(state, stage=Competition.STATE_OPEN, opened=opened)
        case CompetitionForgone():
            return replace(state, forgone=True)
        case ApplicationsClosed() as closed:
            return replace(state, stage=Competition.STATE_APPLICATIONS_CLOSED, applications=closed)
        case PanelSet() as panel:
            return replace(state, panel=panel)
        case ConflictDeclared() as declared:
            return replace(state, conflicts=(*state.conflicts, declared))
        case CompetitionRanked() as ranked:
            return replace(state, stage=Competition.STATE_RANKED, ranked=ranked)
        case ListPublished(listed=listed, published_date=day):
            published = {**state.published, **{one.candidacy_id: day for one in listed}}
            return replace(state, stage=Competition.STATE_LISTED, published=published)
        case CandidateLeft(candidacy_id=candidacy_id):
            return replace(state, left=state.left | {candidacy_id})
        case CompetitionClosed(cancelled=cancelled) as closed:
            stage = Competition.STATE_CANCELLED if cancelled else Competition.STATE_CLOSED
            return replace(state, stage=stage, closed=closed)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    competition_id, today, actor = state.opened.competition_id, context.today.isoformat(), context.actor
    match state.stage, cast(Command, command):
        case Competition.STATE_UNSPECIFIED, OpenCompetition(request=request) if state.forgone:
            message = f"{request.competition_id} was not opened within the hour for which its seats were kept"
            raise NotAllowed("COMPETITION_FORGONE", f"{message}: open it under another id")
        case Competition.STATE_UNSPECIFIED, OpenCompetition() as opening:
            return [_opened(opening, context)]
        case Competition.STATE_UNSPECIFIED, ForgoCompetition(competition_id=name):
            return [] if state.forgone else [CompetitionForgone(competition_id=name)]
        case _, ForgoCompetition():
            return []
        case _, OpenCompetition(request=request):
            if any(getattr(request, name) not in {"", getattr(state.opened, name)} for name in _SAID):
                raise AlreadyExists("COMPETITION_EXISTS", f"competition {competition_id} was opened with other content")
            return []
        case Competition.STATE_UNSPECIFIED, _:
            raise NotFound("COMPETITION_NOT_FOUND", "there is no such competition")

        case Competition.STATE_OPEN, CloseApplicationsRequest():
            return [ApplicationsClosed(competition_id=competition_id, closed_date=today, closed_by=actor)]
        case (
            Competition.STATE_OPEN | Competition.STATE_APPLICATIONS_CLOSED,
            SetPanel(request=request) as looked_up,
        ) if sorted(request.interviewer_ids) != sorted(state.panel.interviewer_ids):
            return [_panel(state, looked_up, context)]
        case (
            Competition.STATE_OPEN | Competition.STATE_APPLICATIONS_CLOSED,
            DeclareConflict(request=request, employee_id=employee_id),
        ) if not _is_declared(state, request):
            if request.interviewer_id not in state.panel.interviewer_ids:
                raise NotAllowed("NOT_ON_PANEL", f"{request.interviewer_id} is not on the panel")
            return [
                ConflictDeclared(
                    competition_id=competition_id,
                    interviewer_id=request.interviewer_id,
                    candidacy_id=request.candidacy_id,
                    employee_id=employee_id,
                    reason=request.reason,
                    declared_by=actor,
                    declared_date=today,
                )
            ]
        case Competition.STATE_APPLICATIONS_CLOSED, RankCompetition(ranking=ranking, lot_seed=seed):
            return [
                CompetitionRanked(
                    competition_id=competition_id, ranking=ranking, ranked_by=actor, ranked_date=today, lot_seed=seed
                )
            ]
        case Competition.STATE_RANKED | Competition.STATE_LISTED, PublishListRequest():
            listed = [
                one for one in within(state.staying, state.opened.seats) if one.candidacy_id not in state.published
            ]
            if listed:
                return [
                    ListPublished(
                        competition_id=competition_id, listed=listed, published_date=today, published_by=actor
                    )
                ]
            if state.stage == Competition.STATE_RANKED:
                raise NotAllowed("NOBODY_TO_LIST", "nobody has passed who has not left: close the competition")
            return []
        case Competition.STATE_CLOSED | Competition.STATE_CANCELLED, NoteCandidateLeft():
            return []
        case _, NoteCandidateLeft(candidacy_id=candidacy_id):
            left = CandidateLeft(competition_id=competition_id, candidacy_id=candidacy_id)
            return [] if candidacy_id in state.left else [left]
        case (
            Competition.STATE_RANKED | Competition.STATE_LISTED,
            CloseCompetition(request=request, done_candidacy_ids=done) as looked_up,
        ) if not request.cancelled:
            if running := [one.candidacy_id for one in state.on_list if one.candidacy_id not in done]:
                message = f"on the list, and neither appointed nor ended: {', '.join(running)}"
                raise NotAllowed("CANDIDACIES_RUNNING", message)
            return [_closed(competition_id, looked_up, context)]
        case stage, CloseCompetition(request=request) as looked_up if (
            request.cancelled and stage < Competition.STATE_CLOSED
        ):
            return [_closed(competition_id, looked_up, context)]

        # The same said again when it is so.
        case Competition.STATE_APPLICATIONS_CLOSED, CloseApplicationsRequest():
            return []
        case _, SetPanel(request=request) if sorted(request.interviewer_ids) == sorted(state.panel.interviewer_ids):
            return []
        case _, DeclareConflict(request=request) if _is_declared(state, request):
            return []
        case Competition.STATE_RANKED, RankCompetition():
            return []
        case stage, CloseCompetition(request=request) if stage == (
            Competition.STATE_CANCELLED if request.cancelled else Competition.STATE_CLOSED
        ):
            return []
        case stage, _:
            name = Competition.State.Name(stage).removeprefix("STATE_")
            raise NotAllowed("WRONG_STATE", f"the competition is {name}: {_POSSIBLE[stage]}")


COMPETITION = Aggregate(name="promotion.competition", initial=State(), evolve=evolve, decide=decide)

_SAID = ("cycle_id", "ladder_id", "rung_id", "team_id", "seats", "applications_until")
"""What is said of a competition when it is opened; the last may be left to the cycle."""

_POSSIBLE: dict[Competition.State.ValueType, str] = {
    Competition.STATE_OPEN: "its panel can be set, and applications can be closed",
    Competition.STATE_APPLICATIONS_CLOSED: "its panel can be set, and it can be ranked",
    Competition.STATE_RANKED: "its list can be published, and it can be closed",
    Competition.STATE_LISTED: "the next can be listed for those who have left, and it can be closed",
    Competition.STATE_CLOSED: "nothing can be changed any more",
    Competition.STATE_CANCELLED: "nothing can be changed any more",
}


def _opened(opening: OpenCompetition, context: Context) -> CompetitionOpened:
    request, until = opening.request, opening.applications_until
    if parse_day(until, "applications_until") < context.today:
        message = f"{until} is over"
        raise Invalid("DATE_INVALID", message, (FieldViolation("applications_until", message),))
    return CompetitionOpened(
        competition_id=request.competition_id,
        cycle_id=request.cycle_id,
        post_id=opening.post_id,
        position=opening.position,
        stars=opening.stars,
        team_id=request.team_id,
        ladder_id=request.ladder_id,
        rung_id=request.rung_id,
        seats=request.seats,
        opened_date=context.today.isoformat(),
        applications_until=until,
        ladder_position=opening.ladder_position,
        eligibility_position=opening.eligibility_position,
        rules_position=opening.rules_position,
        opened_by=context.actor,
        calendar_id=opening.calendar_id,
    )


def _panel(state: State, looked_up: SetPanel, context: Context) -> PanelSet:
    """A panel, or the refusal of it."""
    interviewer_ids = looked_up.request.interviewer_ids
    fewest = looked_up.minimum_interviewers
    if not fewest:
        raise NotAllowed("NO_INTERVIEW", "the competition's rules have no interview")
    if len(interviewer_ids) < fewest:
        raise NotAllowed("TOO_FEW_INTERVIEWERS", f"the rules ask for {fewest} interviewers or more")
    if candidates := [one for one in interviewer_ids if one in looked_up.candidate_ids]:
        message = f"who is a candidate, or was, interviews nobody: {', '.join(candidates)}"
        raise NotAllowed("INTERVIEWER_IS_CANDIDATE", message)
    for one in looked_up.apart:
        declared = {each.interviewer_id for each in state.conflicts if each.candidacy_id == one.candidacy_id}
        judging = {*interviewer_ids} - {*one.interviewer_ids} - declared
        if len(judging) < fewest:
            who = ", ".join(sorted({*interviewer_ids} - judging))
            message = f"the rules ask for {fewest}, and candidacy {one.candidacy_id} is not judged by {who}"
            reasons = "who leads the candidate, or their lead, or reviewed them, or declared a conflict"
            raise NotAllowed("TOO_FEW_INTERVIEWERS", f"{message}: {reasons}")
    staying = {*interviewer_ids, *looked_up.candidate_ids}
    if missing := [one for one in looked_up.scored_by if one not in staying]:
        message = f"who has scored a candidate stays on the panel: {', '.join(missing)}"
        raise NotAllowed("INTERVIEWER_HAS_SCORED", message)
    joining = {*interviewer_ids} - {*state.panel.interviewer_ids}
    if looked_up.scored_by and (readers := sorted(joining.intersection(looked_up.hr_ids))):
        message = f"interviews have been given, and these in HR may have read them: {', '.join(readers)}"
        raise NotAllowed("INTERVIEWS_READABLE", message)
    return PanelSet(
        competition_id=state.opened.competition_id,
        interviewer_ids=interviewer_ids,
        question_ids=state.panel.question_ids or looked_up.question_ids,
        bank_position=state.panel.bank_position or looked_up.bank_position,
        set_by=context.actor,
        question_seed=state.panel.question_seed or looked_up.question_seed,
    )


def _closed(competition_id: str, looked_up: CloseCompetition, context: Context) -> CompetitionClosed:
    return CompetitionClosed(
        competition_id=competition_id,
        closed_date=context.today.isoformat(),
        cancelled=looked_up.request.cancelled,
        closed_by=context.actor,
        on_trial_candidacy_ids=looked_up.on_trial_candidacy_ids,
    )


def _is_declared(state: State, request: DeclareConflictRequest) -> bool:
    return any(
        (one.interviewer_id, one.candidacy_id) == (request.interviewer_id, request.candidacy_id)
        for one in state.conflicts
    )


def to_resource(state: State, position: int) -> Competition:
    """All of it: what a caller may not see is the API's to leave out."""
    opened = state.opened
    return Competition(
        competition_id=opened.competition_id,
        cycle_id=opened.cycle_id,
        state=state.stage,
        post_id=opened.post_id,
        position=opened.position,
        stars=opened.stars,
        team_id=opened.team_id,
        ladder_id=opened.ladder_id,
        rung_id=opened.rung_id,
        seats=opened.seats,
        opened_date=opened.opened_date,
        applications_until=opened.applications_until,
        applications_closed_date=state.applications.closed_date,
        ladder_position=opened.ladder_position,
        eligibility_position=opened.eligibility_position,
        rules_position=opened.rules_position,
        calendar_id=opened.calendar_id,
        interviewer_ids=state.panel.interviewer_ids,
        question_ids=state.panel.question_ids,
        bank_position=state.panel.bank_position,
        question_seed=state.panel.question_seed,
        conflicts=[
            Competition.Conflict(
                interviewer_id=one.interviewer_id,
                candidacy_id=one.candidacy_id,
                reason=one.reason,
                declared_by=one.declared_by,
                declared_date=one.declared_date,
            )
            for one in state.conflicts
        ],
        ranking=state.ranked.ranking,
        ranked_date=state.ranked.ranked_date,
        lot_seed=state.ranked.lot_seed,
        published_date=min(state.published.values(), default=""),
        listed_candidacy_ids=[one.candidacy_id for one in state.on_list],
        left_candidacy_ids=sorted(state.left),
        closed_date=state.closed.closed_date,
        on_trial_candidacy_ids=state.closed.on_trial_candidacy_ids,
        etag=str(position),
        log_position=position,
    )


def to_public_list(state: State, names: Mapping[str, str]) -> PublicList:
    """What everybody is told of a list; names by employee."""
    opened = state.opened
    return PublicList(
        competition_id=opened.competition_id,
        position=opened.position,
        stars=opened.stars,
        team_id=opened.team_id,
        seats=opened.seats,
        published_date=min(state.published.values(), default=""),
        entries=[
            PublicList.Entry(
                rank=one.rank,
                candidacy_id=one.candidacy_id,
                employee_id=one.employee_id,
                display_name=names[one.employee_id],
                published_date=state.published[one.candidacy_id],
            )
            for one in state.on_list
        ],
    )
