"""All of a candidacy as people read and print it: a page to understand it, then every number and every step. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.eventsourcing import Recorded
from libs.documents.document import IN_FRONT, NAME, Bars, Cell, Document, Section, Table, shortened
from libs.facts.values import decimal
from services.promotion import drift
from services.promotion.candidacy_state import Event, State
from services.promotion.interviewing import full_points
from services.promotion.scoring import fraction
from stepladder.common.v1.envelope_pb2 import CommandNoted
from stepladder.performance.v1.promotion_rules_pb2 import QuestionBank
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
    ConflictDeclared,
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
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.score_pb2 import Exact, PartScore
from stepladder.promotion.v1.scoring_pb2 import InterviewSpread, ScoreExplanation

STATES: Mapping[Candidacy.State.ValueType, str] = {
    Candidacy.STATE_APPLIED: "applied",
    Candidacy.STATE_LEAD_REVIEWED: "reviewed by the lead",
    Candidacy.STATE_MANAGER_REVIEWED: "reviewed by the manager",
    Candidacy.STATE_SCORED: "scored",
    Candidacy.STATE_LISTED: "on the public list",
    Candidacy.STATE_APPROVED: "approved",
    Candidacy.STATE_LETTER_ISSUED: "letter issued",
    Candidacy.STATE_TRAINED: "trained for the post",
    Candidacy.STATE_APPOINTED: "on trial",
    Candidacy.STATE_CONFIRMED: "confirmed",
    Candidacy.STATE_RETURNED: "back in the post held before",
    Candidacy.STATE_WITHDRAWN: "withdrawn",
    Candidacy.STATE_REJECTED: "rejected",
    Candidacy.STATE_NOT_SELECTED: "not selected",
}

MISSING = {
    "NO_SCORECARDS": "too few closed scorecards",
    "NO_FACTS": "nothing is recorded",
    "NO_INTERVIEWS": "too few interviews",
    "NO_REVIEW": "no review with a score",
    "TOO_FEW_PEERS": "too few peers",
    "PEERS_NOT_CLOSED": "the peers’ scores are not closed",
}
"""Why a part has no score."""

RULES = {
    "TENURE": "since when the position is held",
    "APPLIED_FIRST": "position of the application in the log",
    "LOT": "the lot, drawn by a seed made with the ranking",
}
"""What tells ties apart, where it is no part."""

DECIDING: Mapping[type[Message], str] = {
    CandidacyApplied: "Applied",
    LeadReviewed: "Reviewed as the lead",
    ManagerReviewed: "Reviewed as the manager",
    TwoLevelsReviewed: "Reviewed two levels at once",
    CandidacyApproved: "Approved",
    CandidacyAppointed: "Appointed",
    TrialEnded: "Decided the trial",
    CandidacyWithdrawn: "Withdrew",
    CandidacyRejected: "Rejected",
}
"""Who decided: told on the first page."""

WHO: Mapping[type[Message], str] = {
    TrialEnded: "HR",
    TwoLevelsReviewed: "the executive",
    InterviewScored: "an interviewer",
    ConflictDeclared: "an interviewer, or HR",
    ObjectionRaised: "a colleague",
    CandidacyScored: "HR",
    CandidacyListed: "HR",
    ObjectionSettled: "HR",
    CandidacyApproved: "HR",
    LetterIssued: "HR",
    PostTrainingPassed: "HR",
    CandidacyAppointed: "HR",
}
"""In place of others’ names, whoever it was. Of anything else it is told if it was the lead or the manager of the day
of the application: in their place it may have been somebody else."""

_NO_SEAT = {Candidacy.STATE_WITHDRAWN, Candidacy.STATE_REJECTED, Candidacy.STATE_NOT_SELECTED}
"""Ended so, whatever the rank was."""


@dataclass(frozen=True, slots=True)
class CandidacyFile:
    """What a case file is made of.

    Attributes:
        history: every event of the candidacy, and conflicts of interest that were declared about it, in order.
        explanation: of the score, as the reader may see it; None: there is none yet, or none that they may see.
        post, team: as they are called.
        spread: of the interviews that count, for HR.
        banks: from which questions were asked, by their positions, for HR.
        names: of people, by id.
        own: the reader is the candidate, who is not told others' names, nor what interviewers and peers gave before the
            competition was ranked.
        erased: nothing personal of the candidate can be read any more.
    """

    candidacy_id: str
    state: State
    history: Sequence[Recorded]
    explanation: ScoreExplanation | None
    post: str
    team: str
    made: datetime
    own: bool
    spread: InterviewSpread = field(default_factory=InterviewSpread)
    banks: Mapping[int, QuestionBank] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    erased: bool = False


def candidacy_document(file: CandidacyFile) -> Document:
    """First what there is to know at once; then each number with its facts, and each step with who took it."""
    applied, explained = file.state.applied, file.explanation
    brief = replace(file, names={one: shortened(name, NAME) for one, name in file.names.items()})
    headlines: list[tuple[str, Cell]] = [("State", STATES[file.state.stage])]
    if explained is not None:
        if explained.HasField("ranked"):
            headlines.append(("Rank", f"{explained.ranked.rank} of {explained.candidates}"))
        headlines.append(("Total", Decimal(explained.score.total) if explained.score.total else None))
    if file.state.stage == Candidacy.STATE_LISTED:
        headlines.append(("Notice to", file.state.notice_until))
    sections = [
        _at_a_glance(brief, _about(file)),
        *([_parts(brief, explained), _outcome(explained)] if explained is not None else []),
        *([_interviews(file)] if file.state.interviews and not file.own else []),
        _eligibility(file),
        _steps(file),
    ]
    return Document(
        title=f"Candidacy · {_named(brief, applied.employee_id)}",
        subtitle=f"For {shortened(file.post, NAME)} in {shortened(file.team, NAME)}, "
        f"competition {applied.competition_id}, candidacy {file.candidacy_id}, "
        f"as of {file.made.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        headlines=headlines,
        sections=[one for one in sections if one is not None],
    )


def people_in(history: Sequence[Recorded], explanation: ScoreExplanation | None) -> set[str]:
    """Ids of those who may be named in a file, and of others."""
    decided = [one.event.decided_by for one in history if isinstance(one.event, TrialEnded)]
    actors = {one.removeprefix("user:") for one in (*(one.envelope.actor for one in history), *decided)}
    candidates = {one.event.employee_id for one in history if isinstance(one.event, CandidacyApplied)}
    apart = {one.event.interviewer_id for one in history if isinstance(one.event, ConflictDeclared)}
    parts = explanation.score.parts if explanation is not None else []
    return actors | candidates | apart | {one.name for part in parts for one in (*part.inputs, *part.not_counted)}


def _at_a_glance(file: CandidacyFile, about: Table) -> Section:
    explained = file.explanation
    sentences = [_came_out(file.state, explained)]
    if file.erased:
        sentences.append(
            "The candidate’s personal data was erased: their name, and all that was said in the candidacy."
        )
    if changed := drift.told(file.state, named=not file.own):
        sentences.append(changed)
    decided: list[list[Cell]] = [
        [
            DECIDING[type(one.event)],
            _actor(file, one),
            _day(one),
            "\n".join([_sentence(one.event), *(shortened(words, IN_FRONT) for words in _words(file, one.event))]),
        ]
        for one in _told(file)
        if type(one.event) in DECIDING
    ]
    tables = [about, Table("Who decided what", ("Step", "Who", "When (UTC)", "What came of it"), decided)]
    charts = []
    if explained is not None and explained.score.total:
        tables.insert(1, _total(explained))
        adding = sorted(
            (one for one in explained.score.parts if one.HasField("weighted")), key=lambda one: -fraction(one.weighted)
        )
        charts.append(
            Bars(
                "What the parts add to the total",
                "points",
                [one.display_name for one in adding],
                [Decimal(decimal(fraction(one.weighted), 2)) for one in adding],
            )
        )
    return Section("At a glance", sentences, charts, tables)


def _about(file: CandidacyFile) -> Table:
    state = file.state
    applied, appointed = state.applied, state.last(CandidacyAppointed)
    waived = sum(1 for one in applied.eligibility.criteria if one.waiver_position)
    raised, settled = len(state.objections), len(state.settled)
    rows: list[list[Cell]] = [
        ["Candidate", _named(file, applied.employee_id)],
        ["Post", f"{file.post} in {file.team}"],
        ["Applied on", applied.applied_date],
        ["Eligible", f"yes, with {waived} of the criteria waived" if waived else "yes, by every criterion"],
        ["Public notice", _notice(state)],
        ["Objections", f"{raised} raised, {settled} settled" if raised else ""],
        ["Trial", f"from {appointed.start_date} to {appointed.trial_until}" if appointed.start_date else ""],
    ]
    return Table("What it is about", ("What", "How it stands"), [row for row in rows if row[1]])


def _notice(state: State) -> str:
    """From when to when. One that was broken off before anybody approved may not have run to its last day."""
    if not state.notice_until:
        return ""
    if state.stage in _NO_SEAT and CandidacyApproved not in state.told:
        return f"from {state.listed.listed_date}; the candidacy ended before it was approved"
    return f"from {state.listed.listed_date} to {state.notice_until}"


def _came_out(state: State, explained: ScoreExplanation | None) -> str:
    if explained is None:
        return "It ended without a score." if state.ended else "There is no score yet."
    if explained.provisional:
        return "The competition is not ranked: the score is what would come out now."
    ranked = explained.ranked
    seats = f"{explained.seats} {'seat' if explained.seats == 1 else 'seats'}"
    place = f"With {ranked.total} points at rank {ranked.rank} of {explained.candidates}, for {seats}"
    if moved_up := CandidacyListed in state.told and not explained.within_seats:
        place += ", listed later, as others had left"
    if explained.within_seats or moved_up:
        if state.stage in _NO_SEAT:
            return f"{place}; then the candidacy ended: {STATES[state.stage]}."
        return f"{place}." if moved_up else f"{place}: within the seats."
    return f"{place}: not within the seats." if ranked.passed else f"{place}: below the pass mark."


def _total(explained: ScoreExplanation) -> Table:
    """Every part in a line, and the total in the last."""
    score = explained.score
    rows: list[list[Cell]] = [
        [
            one.display_name,
            Decimal(one.weight),
            _read(one.source) if one.HasField("source") else MISSING[one.missing],
            _banded(one),
            _read(one.score) if one.HasField("score") else None,
            _read(one.weighted) if one.HasField("weighted") else None,
        ]
        for one in score.parts
    ]
    total = "Total, in proportion to the weights" if score.in_proportion else "Total"
    rows.append([total, Decimal(score.weights), None, None, None, Decimal(score.total)])
    columns = ("Part", "Weight", "Measured", "In its band", "Score of 100", "Adds")
    return Table("The score", columns, rows)


def _banded(one: PartScore) -> str | None:
    return f"{one.band_points} of {one.full_points}" if one.full_points else None


def _parts(file: CandidacyFile, explained: ScoreExplanation) -> Section:
    """Everything that a part is made of."""
    rows: list[list[Cell]] = [
        [
            part.display_name,
            _named(file, one.name),
            _read(one.value),
            f"{one.value.numerator}/{one.value.denominator}" if one.value.denominator != "1" else one.value.numerator,
            how,
            _places(*one.positions),
        ]
        for part in explained.score.parts
        for one, how in (
            *((one, "disputed" if one.disputed else "") for one in part.inputs),
            *((one, "not counted: conflict of interest") for one in part.not_counted),
        )
    ]
    disputed = frozenset(place for place, row in enumerate(rows) if row[4])
    score = explained.score
    reckoned = (
        f"Reckoned by the rules at position {score.rules_position} of the log, out of what lay in it up to position "
        f"{score.known_at}. Numbers to be read are rounded to six digits; it is reckoned with the exact ones."
    )
    sentences = [reckoned]
    exact = score.exact_total
    if exact.denominator not in {"", "1"}:
        sentences.append(
            f"Before it was rounded the total was {exact.numerator}/{exact.denominator}, which is {exact.value}."
        )
    columns = ("Part", "Of", "Value", "Exactly", "Remark", "Facts in the log")
    return Section(
        "What the score is made of", sentences, (), [Table("Inputs", columns, rows, disputed)], own_page=True
    )


def _outcome(explained: ScoreExplanation) -> Section | None:
    """What told ties apart, and what would have changed the outcome."""
    tables = []
    names = {one.part_id: one.display_name for one in explained.score.parts}
    if explained.changes:
        changed: list[list[Cell]] = [
            [
                one.display_name,
                _read(one.score) if one.HasField("score") else None,
                _read(one.enough) if one.HasField("enough") else "not even 100",
            ]
            for one in explained.changes
        ]
        tables.append(
            Table("What each part alone would have had to be", ("Part", "Score", "Would have been enough"), changed)
        )
    if explained.comparisons:
        rows: list[list[Cell]] = [
            [RULES.get(one.rule) or f"score of {names[one.rule]}", one.own or "nothing", one.other]
            for one in explained.comparisons
        ]
        before = "The one before" if any(one.other for one in explained.comparisons) else ""
        tables.append(Table("Compared with the one before, who has the same total", ("By", "Own", before), rows))
    if not tables:
        return None
    if not explained.changes:
        return Section("What told apart those with the same total", (), (), tables)
    sentence = "Each line says what one part would have had to be for a seat, if all else had been as it was."
    return Section("What would have changed the outcome", [sentence], (), tables)


def _interviews(file: CandidacyFile) -> Section:
    """What was asked, what each answer got, and how far the interviewers are apart."""
    counted = {one.interviewer_id: one for panel in file.spread.candidates for one in panel.given}
    given: list[list[Cell]] = []
    answered: list[list[Cell]] = []
    for who, scored in file.state.interviews.items():
        judged = counted.get(who)
        given.append(
            [
                _named(file, who),
                scored.points,
                scored.full_points,
                _read(judged.percent) if judged else None,
                _read(judged.difference) if judged else None,
                "yes" if judged else "no: conflict of interest",
                scored.notes,
            ]
        )
        questions = {one.question_id: one for one in file.banks[scored.bank_position].questions}
        answered += [_answer(file, who, one, questions[one.question_id]) for one in scored.answers]
    sentences = [
        f"On average {one.mean.value} % of the full points, {one.spread.value} from the lowest to the highest."
        for one in file.spread.candidates
    ]
    columns = ("Interviewer", "Points", "Of", "In %", "Off the mean", "Counts", "Notes")
    each = Table("What each interviewer gave", columns, given)
    return Section(
        "The interviews",
        sentences,
        (),
        [each, Table("What each answer got", ("Interviewer", "Question", "Points", "Of", "For"), answered)],
    )


def _answer(file: CandidacyFile, who: str, answer: AnswerScore, question: QuestionBank.Question) -> list[Cell]:
    match answer.WhichOneof("given"):
        case "zero":
            rule = next(one for one in question.zero_rules if one.rule_id == answer.zero.rule_id)
            points, reason = 0, f"0 at once ({rule.rule_id}): {_text(rule.texts)}"
        case "band":
            band = next(one for one in question.bands if one.band_id == answer.band.band_id)
            points = answer.band.points
            reason = f"{band.band_id}, {band.lower} to {band.upper}: {_text(band.texts)}"
        case _:
            worth = {one.key_point_id: one for one in question.key_points}
            scores = [(one.points, worth[one.key_point_id]) for one in answer.key_points.scores]
            points = sum(got for got, _ in scores)
            reason = "\n".join(f"{got} of {one.points}: {_text(one.texts)}" for got, one in scores)
    asked = f"{_text(question.texts)} ({question.question_id})"
    return [_named(file, who), asked, points, full_points([question]), reason]


def _text(texts: Iterable[QuestionBank.Text]) -> str:
    """In English, as the file, if there is one."""
    return min(texts, key=lambda one: one.language != "en").text


def _eligibility(file: CandidacyFile) -> Section:
    found = file.state.applied.eligibility
    rows: list[list[Cell]] = [
        [
            one.display_name or one.name,
            one.required,
            one.actual,
            drift.standing(one),
            _places(*one.evidence_positions, *([one.waiver_position] if one.waiver_position else [])),
        ]
        for one in found.criteria
    ]
    sentence = (
        f"As of {found.as_of}, the day of the application, by the rules at position {found.policy_position} of the log"
        + (": for two levels at once." if file.state.applied.two_levels else ".")
    )
    columns = ("Criterion", "Asked for", "How it was", "Standing", "Facts in the log")
    return Section("Whether the candidate was eligible", [sentence], (), [Table("Criteria", columns, rows)])


def _steps(file: CandidacyFile) -> Section:
    rows: list[list[Cell]] = [
        [
            _moment(one),
            "\n".join([_sentence(one.event), *_words(file, one.event)]),
            _actor(file, one),
            _places(one.position),
        ]
        for one in _told(file)
    ]
    return Section(
        "Step by step", (), (), [Table("Step by step", ("When (UTC)", "What happened", "By", "In the log"), rows)]
    )


def _told(file: CandidacyFile) -> list[Recorded]:
    """Of the history what the reader may see."""
    ranked = CandidacyScored in file.state.told
    return [
        one
        for one in file.history
        if not isinstance(one.event, CommandNoted)
        and not (file.own and not ranked and isinstance(one.event, InterviewScored | PeersScored | ConflictDeclared))
    ]


def _sentence(event: Message) -> str:
    """What an event says."""
    match cast(Event | ConflictDeclared, event):
        case CandidacyApplied(two_levels=two_levels):
            return f"Applied for {'two levels at once' if two_levels else 'the next level'}."
        case LeadReviewed(recommended=yes, interview_date=day):
            return f"Spoke with the candidate on {day}: {'recommended' if yes else 'not recommended'}."
        case ManagerReviewed(approved=True, score=score):
            return f"Approved, with {score} of 100." if score else "Approved."
        case TwoLevelsReviewed(approved=True):
            return "Approved two levels at once."
        case ManagerReviewed() | TwoLevelsReviewed():
            return "Said no."
        case InterviewScored(points=points, full_points=full):
            return f"Interviewed: {points} of {full} points."
        case ConflictDeclared():
            return "An interviewer must not judge the candidate: a conflict of interest. What they gave does not count."
        case PeersScored(peers=peers) as scored if scored.HasField("mean"):
            return f"{peers} peers gave {scored.mean.value} of 100 on average."
        case PeersScored():
            return "Too few peers gave a score."
        case CandidacyScored(score=score):
            return f"Scored: {score.total} points."
        case CandidacyListed() as listed:
            return (
                f"On the public list at rank {listed.rank}: from {listed.listed_date} to {listed.notice_until}, "
                f"{listed.notice_business_days} business days."
            )
        case NoticeMoved(notice_until=until):
            return f"The calendar was changed: the notice is to {until}."
        case ObjectionRaised():
            return "An objection was raised."
        case ObjectionSettled(upheld=True):
            return "The objection was upheld."
        case ObjectionSettled(notice_until=until):
            return "The objection was dismissed." + (f" The notice is to {until}." if until else "")
        case ApprovalLapsed():
            return "An approval was begun and not given."
        case CandidacyApproved(notice_until=until):
            return f"Approved after the notice, which was to {until}."
        case LetterIssued():
            return "The letter was issued."
        case PostTrainingPassed():
            return "Every course for the post was attended, every exam passed."
        case CandidacyAppointed(start_date=start, trial_until=until):
            return f"Appointed on trial from {start} to {until}."
        case TrialEnded(passed=passed):
            return "The trial was passed." if passed else "The trial was not passed: back to the post held before."
        case CandidacyWithdrawn():
            return "The candidate withdrew."
        case CandidacyRejected():
            return "Rejected."
        case CandidacyNotSelected():
            return "The competition was closed without a seat for the candidate."
        case CandidacyDrifted() as drifted:
            return _drifted(drifted)
        case unknown:
            assert_never(unknown)


def _drifted(event: CandidacyDrifted) -> str:
    found = []
    if event.HasField("eligibility"):
        found.append(f"eligible: {'yes' if event.eligibility.eligible else 'no'}")
    if event.HasField("score"):
        found.append(f"total: {event.score.total or 'none'}")
    if event.HasField("displacement"):
        found.append(f"within the seats: {'yes' if event.displacement.within_seats else 'no'}")
    if not found:
        return "Facts changed: what would come out now is the same again."
    return f"Facts changed. What would come out now: {', '.join(found)}."


def _words(file: CandidacyFile, event: Message) -> list[str]:
    """What people said, each with what it is; not to the candidate what would give away who said it."""
    match event:
        case ObjectionRaised() | ConflictDeclared() if file.own:
            return []
        case ConflictDeclared(interviewer_id=interviewer_id, reason=words):
            return [f"Interviewer: {_named(file, interviewer_id)}", f"Reason: {words}"]
        case CandidacyApplied(motivation=words):
            return [f"Why: {words}"]
        case LeadReviewed(report=words) | ManagerReviewed(report=words):
            return [f"Report: {words}"]
        case InterviewScored(notes=words):
            return [f"Notes: {words}"] if words else []
        case (
            TwoLevelsReviewed(reason=words)
            | ObjectionRaised(reason=words)
            | ObjectionSettled(reason=words)
            | CandidacyApproved(reason=words)
            | CandidacyWithdrawn(reason=words)
            | CandidacyRejected(reason=words)
            | TrialEnded(reason=words)
        ):
            return [f"Reason: {words}"] if words else []
        case _:
            return []


def _actor(file: CandidacyFile, one: Recorded) -> str:
    decided_by = one.event.decided_by if isinstance(one.event, TrialEnded) else ""  # a policy has told of it
    kind, _, name = (decided_by or one.envelope.actor).partition(":")
    if kind != "user":
        return f"the {kind} {name}"
    applied = file.state.applied
    if file.own and name != applied.employee_id:
        over = {applied.lead_id: "the lead", applied.manager_id: "the manager"}
        return WHO.get(type(one.event)) or over.get(name, "")
    return _named(file, name)


def _named(file: CandidacyFile, employee_id: str) -> str:
    name = file.names.get(employee_id, "")
    return f"{name} ({employee_id})" if name else employee_id


def _places(*positions: int) -> str:
    """Positions in the log: names of what lies there, not numbers."""
    return ", ".join(map(str, sorted(positions)))


def _read(number: Exact) -> Decimal:
    return Decimal(number.value)


def _day(one: Recorded) -> str:
    return f"{one.envelope.time.ToDatetime(UTC):%Y-%m-%d}"


def _moment(one: Recorded) -> str:
    return f"{one.envelope.time.ToDatetime(UTC):%Y-%m-%d %H:%M}"
