"""What comes out of a competition on paper: what each reader is told, and nothing that they may not see."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce

import pytest
from google.protobuf.message import Message
from pypdf import PdfReader

from libs.common.days import timestamp
from libs.common.eventsourcing import Recorded
from libs.documents.document import Document, Table, shown
from libs.documents.page import page_of
from libs.documents.print import pdf_of
from services.promotion.candidacy_document import CandidacyFile, candidacy_document
from services.promotion.candidacy_state import State, evolve
from services.promotion.interviewing import spread
from services.promotion.letter import ENGLISH, LANGUAGES, TEXTS, Letter, letter_document
from services.promotion.list_document import APPROVED, HOW, OPEN, Notice, list_document
from services.promotion.ranking import Candidate, explain, rank, without_names
from services.promotion.score_inputs import interviews_of
from services.promotion.scoring import Given, Inputs, exact, score
from stepladder.common.v1.envelope_pb2 import CommandNoted, Envelope
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, QuestionBank
from stepladder.promotion.v1.competition_pb2 import PublicList
from stepladder.promotion.v1.eligibility_pb2 import Criterion, Eligibility
from stepladder.promotion.v1.events_pb2 import (
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
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.scoring_pb2 import InterviewSpread
from tests.promotion.rules import APPLIED_FIRST, Tie, rules

RULES = rules(ties=[Tie(part_id="interview"), APPLIED_FIRST])
NAMES = {
    "e-7": "Ilze Kalniņa",
    "e-lead": "Jānis Bērziņš",
    "e-manager": "王芳",
    "e-hr": "Ruta Zariņa",
    "i-1": "Andris Ozols",
    "i-2": "李伟",
    "e-9": "Pēteris Liepa",
}


def candidate(name: str, work: str, interviews: tuple[str, str], applied: int) -> Candidate:
    months = ("2025-12", "2026-01", "2026-02", "2026-03", "2026-04", "2026-05")
    inputs = Inputs(
        closed=date(2026, 6, 15),
        totals=[Given(month, Fraction(work), (100 + place,)) for place, month in enumerate(months)],
        kpis={("pm", 6): Given("2025-12 to 2026-05", Fraction(76), (201, 202), disputed=True)},
        interviews=[
            Given(one, Fraction(given), (300 + place,))
            for place, (one, given) in enumerate(zip(("i-1", "i-2"), interviews, strict=True))
        ],
        manager=Given("e-manager", Fraction(88), (401,)),
        peers=(3, Given("3 peers", Fraction(260, 3), (501,))),
    )
    made = score(RULES, inputs)
    made.candidacy_id, made.rules_position, made.known_at = name, 17, 640
    return Candidate(name, f"e-{name}", made, 600 + applied, date(2024, 1, 1), applied)


FIELD = [
    candidate("7", "92", ("70", "75"), 31),
    candidate("8", "95", ("90", "90"), 32),
    candidate("9", "92", ("72.5", "72.5"), 30),
]
"""In the tie of 7 and 9 the interviews are the same, too."""
RANKING = rank(RULES, "5eed", FIELD)
SCORES = {one.candidacy_id: one.score for one in FIELD}
EXPLAINED = explain(RULES, "c-1", "5eed", 1, RANKING, SCORES, "7")
MOTIVATION, REPORT, NOTES, OBJECTION = (
    "I know the night shift.",
    "Calm under load.",
    "Hesitated at first.",
    "She is new.",
)

ELIGIBILITY = Eligibility(
    employee_id="e-7",
    as_of="2026-06-02",
    eligible=True,
    policy_position=16,
    criteria=[
        Criterion(
            name="tenure",
            display_name="A year in the position",
            required="12 full months",
            actual="29 full months as agent",
            met=True,
            evidence_positions=[3],
        ),
        Criterion(name="course", display_name="Course", required="c-lead", actual="none", waiver_position=44),
    ],
)


def texts(english: str, german: str = "…") -> list[QuestionBank.Text]:
    return [QuestionBank.Text(language="de", text=german), QuestionBank.Text(language="en", text=english)]


BANK = QuestionBank(
    questions=[
        QuestionBank.Question(
            question_id="q-calm",
            texts=texts("A caller shouts. What do you do?"),
            bands=[
                QuestionBank.RubricBand(band_id="low", lower=0, upper=9, texts=texts("Shouts back.")),
                QuestionBank.RubricBand(band_id="high", lower=10, upper=20, texts=texts("Hears them out.")),
            ],
            zero_rules=[QuestionBank.ZeroRule(rule_id="rude", texts=texts("Is rude."))],
        ),
        QuestionBank.Question(
            question_id="q-queue",
            texts=texts("The queue grows. What now?"),
            key_points=[
                QuestionBank.KeyPoint(key_point_id="see", points=10, texts=texts("Sees it early.")),
                QuestionBank.KeyPoint(key_point_id="tell", points=10, texts=texts("Tells the lead.")),
            ],
        ),
    ]
)


def in_band(question_id: str, points: int) -> AnswerScore:
    return AnswerScore(question_id=question_id, band=AnswerScore.BandScore(band_id="high", points=points))


def by_key_points(question_id: str, *points: int) -> AnswerScore:
    scores = [
        AnswerScore.KeyPointScore(key_point_id=one, points=got)
        for one, got in zip(("see", "tell"), points, strict=True)
    ]
    return AnswerScore(question_id=question_id, key_points=AnswerScore.KeyPointScores(scores=scores))


STEPS: Sequence[tuple[str, Message]] = (
    (
        "user:e-7",
        CandidacyApplied(
            candidacy_id="7",
            competition_id="c-1",
            employee_id="e-7",
            motivation=MOTIVATION,
            applied_date="2026-06-02",
            eligibility=ELIGIBILITY,
            lead_id="e-lead",
            manager_id="e-manager",
        ),
    ),
    (
        "user:e-lead",
        LeadReviewed(recommended=True, interview_date="2026-06-04", report=REPORT, reviewed_by="user:e-lead"),
    ),
    ("user:e-lead", CommandNoted()),
    ("user:e-manager", ManagerReviewed(approved=True, score="88", report="Ready.", reviewed_by="user:e-manager")),
    (
        "user:i-1",
        InterviewScored(
            candidacy_id="7",
            interviewer_id="i-1",
            points=28,
            full_points=40,
            notes=NOTES,
            bank_position=15,
            answers=[in_band("q-calm", 18), by_key_points("q-queue", 6, 4)],
        ),
    ),
    (
        "user:i-2",
        InterviewScored(
            candidacy_id="7",
            interviewer_id="i-2",
            points=20,
            full_points=40,
            notes="Swore at the end.",
            bank_position=15,
            answers=[
                AnswerScore(question_id="q-calm", zero=AnswerScore.Zero(rule_id="rude")),
                by_key_points("q-queue", 10, 10),
            ],
        ),
    ),
    ("user:e-manager", PeersScored(peers=3, mean=exact(Fraction(260, 3)))),
    ("user:e-hr", CandidacyScored(score=SCORES["7"])),
    (
        "policy:list",
        CandidacyListed(rank=2, listed_date="2026-07-01", notice_until="2026-07-08", notice_business_days=5),
    ),
    ("user:e-9", ObjectionRaised(objection_id="o-1", reason=OBJECTION, raised_by="user:e-9")),
    ("user:e-hr", ObjectionSettled(objection_id="o-1", reason="Tenure is met.", notice_until="2026-07-10")),
)


def told(steps: Sequence[tuple[str, Message]] = STEPS, *, own: bool = False) -> CandidacyFile:
    history = [
        Recorded(
            position=700 + place,
            subject="log.promotion.candidacy.7",
            event=event,
            envelope=Envelope(actor=actor, time=timestamp(datetime(2026, 6, 2, 9, tzinfo=UTC) + timedelta(days=place))),
        )
        for place, (actor, event) in enumerate(steps)
    ]
    events = [event for _, event in steps if not isinstance(event, CommandNoted)]
    return CandidacyFile(
        candidacy_id="7",
        state=reduce(evolve, events, State()),
        history=history,
        explanation=without_names(RULES, EXPLAINED) if own else EXPLAINED,
        post="Team lead",
        team="North",
        made=datetime(2026, 7, 20, 10, tzinfo=UTC),
        own=own,
        spread=InterviewSpread() if own else spread(interviews_of(history), harshness=""),
        banks={} if own else {15: BANK},
        names=NAMES,
    )


def tables(document: Document) -> dict[str, Table]:
    return {table.title: table for section in document.sections for table in section.tables}


def text_of(document: Document) -> str:
    return re.sub(r"<[^>]+>", " ", page_of(document).decode())


def test_the_first_page_says_how_it_came_out_and_adds_up() -> None:
    """92 x 0.4 + 8 + 72.5 x 0.3 + 8.8 + 8.666… = 84.0166…"""
    made = candidacy_document(told())
    assert dict(made.headlines) == {
        "State": "on the public list",
        "Rank": "3 of 3",
        "Total": Decimal("84.02"),
        "Notice to": "2026-07-10",
    }
    first = made.sections[0]
    assert first.sentences == ["With 84.02 points at rank 3 of 3, for 1 seat, listed later, as others had left."]
    unlisted = candidacy_document(told(STEPS[:8])).sections[0]
    assert unlisted.sentences == ["With 84.02 points at rank 3 of 3, for 1 seat: not within the seats."]
    rows = [[shown(cell) for cell in row] for row in tables(made)["The score"].rows]
    assert rows[1] == ["PM score", "10", "76", "8 of 10", "80", "8"]
    assert rows[-1] == ["Total", "100", "", "", "", "84.02"]
    assert [row[:2] for row in tables(made)["Who decided what"].rows] == [
        ["Applied", "Ilze Kalniņa (e-7)"],
        ["Reviewed as the lead", "Jānis Bērziņš (e-lead)"],
        ["Reviewed as the manager", "王芳 (e-manager)"],
    ]


def test_the_first_page_is_short_and_the_whole_of_it_stands_later() -> None:
    """Names, posts and words of any length, with and without places at which to break."""
    words, name, post = f"{'It was calm. ' * 700}\nAnd so on.", "Ilze Marija " * 12, "客服 " + "代表" * 80
    applied = CandidacyApplied.FromString(STEPS[0][1].SerializeToString())
    applied.motivation = words
    steps = [("user:e-7", applied), *STEPS[1:]]
    made = candidacy_document(replace(told(steps), names={**NAMES, "e-7": name, "e-lead": "L" * 200}, post=post))
    assert len(made.title) < 90
    assert made.subtitle.startswith(f"For 客服 {'代表' * 28}… in North, ")
    decided = tables(made)["Who decided what"].rows
    assert max(len(shown(cell)) for row in decided for cell in row) < 350
    assert decided[0][3] == f"Applied for the next level.\nWhy: {'It was calm. ' * 18}It was…"
    assert decided[1][1] == f"{'L' * 59}… (e-lead)"
    about = tables(made)["What it is about"].rows
    assert ["Candidate", f"{name} (e-7)"] in about
    assert ["Post", f"{post} in North"] in about
    steps_told = tables(made)["Step by step"].rows
    assert steps_told[0][1] == f"Applied for the next level.\nWhy: {words}"
    assert steps_told[1][2] == f"{'L' * 200} (e-lead)"


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (CandidacyWithdrawn(reason="Moving away."), "withdrawn"),
        (CandidacyRejected(reason="Upheld."), "rejected"),
        (CandidacyNotSelected(), "not selected"),
    ],
)
def test_whoever_ended_without_a_seat_is_not_told_of_one(event: Message, state: str) -> None:
    """Nor is a notice said to have run that was broken off."""
    first = explain(RULES, "c-1", "5eed", 3, RANKING, SCORES, "7")
    running = candidacy_document(replace(told(), explanation=first))
    assert running.sections[0].sentences == ["With 84.02 points at rank 3 of 3, for 3 seats: within the seats."]
    made = candidacy_document(replace(told([*STEPS, ("user:e-hr", event)]), explanation=first))
    assert "Notice to" not in dict(made.headlines)
    assert made.sections[0].sentences == [
        f"With 84.02 points at rank 3 of 3, for 3 seats; then the candidacy ended: {state}."
    ]
    about = tables(made)["What it is about"].rows
    assert ["Public notice", "from 2026-07-01; the candidacy ended before it was approved"] in about
    early = candidacy_document(replace(told([*STEPS[:1], ("user:e-hr", event)]), explanation=None))
    assert early.sections[0].sentences == ["It ended without a score."]
    assert "Public notice" not in {row[0] for row in tables(early)["What it is about"].rows}


def test_every_column_has_a_heading_and_no_moment_is_broken() -> None:
    made = candidacy_document(told())
    assert not [table.title for table in tables(made).values() if "" in table.columns]
    assert '<th scope="row" class="day" data-title="When (UTC)">2026-06-02 09:00</th>' in page_of(made).decode()


def test_every_number_stands_with_its_facts_exactly() -> None:
    rows = tables(candidacy_document(told()))["Inputs"].rows
    assert ["Work", "2026-02", 92, "92", "", "102"] in rows
    assert ["Peers", "3 peers", Decimal("86.666667"), "260/3", "", "501"] in rows
    assert ["PM score", "2025-12 to 2026-05", 76, "76", "disputed", "201, 202"] in rows
    assert tables(candidacy_document(told()))["Inputs"].marked == {6}


def test_what_told_ties_apart_and_what_would_have_changed_the_outcome() -> None:
    """For the 90.47 of the first, the 62.26… of the other parts need 0.3 x 93.99…; that wins the tie, too."""
    made = tables(candidacy_document(told()))
    assert made["Compared with the one before, who has the same total"].rows == [
        ["score of Interview", "72.5", "72.5"],
        ["position of the application in the log", "31", "30"],
    ]
    changes = {row[0]: row[2] for row in made["What each part alone would have had to be"].rows}
    assert changes["PM score"] == "not even 100"
    assert shown(changes["Interview"]) == "93.994445"


def test_the_candidate_cannot_reckon_the_total_of_another() -> None:
    """What would have been enough is that of the last within the seats: for HR only."""
    made = candidacy_document(told(own=True))
    assert "What each part alone would have had to be" not in tables(made)
    assert "93.99" not in text_of(made)
    assert "What told apart those with the same total" in text_of(made)


def test_hr_reads_what_each_answer_got_and_how_far_interviewers_are_apart() -> None:
    """28 and 20 of 40 are 70 and 50 %; in English, as the file."""
    made = candidacy_document(told())
    (section,) = (one for one in made.sections if one.title == "The interviews")
    assert section.sentences == ["On average 60 % of the full points, 20 from the lowest to the highest."]
    first, second = "Andris Ozols (i-1)", "李伟 (i-2)"
    assert tables(made)["What each interviewer gave"].rows == [
        [first, 28, 40, Decimal(70), Decimal(10), "yes", NOTES],
        [second, 20, 40, Decimal(50), Decimal(-10), "yes", "Swore at the end."],
    ]
    calm, queue = "A caller shouts. What do you do? (q-calm)", "The queue grows. What now? (q-queue)"
    assert tables(made)["What each answer got"].rows == [
        [first, calm, 18, 20, "high, 10 to 20: Hears them out."],
        [first, queue, 10, 20, "6 of 10: Sees it early.\n4 of 10: Tells the lead."],
        [second, calm, 0, 20, "0 at once (rude): Is rude."],
        [second, queue, 20, 20, "10 of 10: Sees it early.\n10 of 10: Tells the lead."],
    ]
    apart = replace(told(), spread=InterviewSpread())
    assert {row[5] for row in tables(candidacy_document(apart))["What each interviewer gave"].rows} == {
        "no: conflict of interest"
    }
    assert "The interviews" not in {one.title for one in candidacy_document(told(own=True)).sections}


def test_eligibility_and_each_step_are_told() -> None:
    made = tables(candidacy_document(told()))
    assert made["Criteria"].rows[1] == ["Course", "c-lead", "none", "waived", "44"]
    steps = [row[1] for row in made["Step by step"].rows]
    assert steps[0] == f"Applied for the next level.\nWhy: {MOTIVATION}"
    assert f"Interviewed: 28 of 40 points.\nNotes: {NOTES}" in steps
    assert "3 peers gave 86.666667 of 100 on average." in steps
    assert {row[3] for row in made["Step by step"].rows} >= {"700", "710"}  # as where facts are told, not as numbers
    assert len(steps) == len(STEPS) - 1  # nothing happened by a command that changed nothing


def test_the_candidate_is_told_everything_but_others_names() -> None:
    found = text_of(candidacy_document(told(own=True)))
    for hidden in ("i-1", "i-2", "Andris", "李伟", "e-9", "Pēteris", "Jānis", "e-manager", "Ruta", OBJECTION):
        assert hidden not in found
        assert hidden in text_of(candidacy_document(told()))
    for open_to_them in (
        MOTIVATION,
        REPORT,
        NOTES,
        "interviewer-1",
        "28 of 40 points",
        "84.02",
        "the lead",
        "the manager",
        "a colleague",
        "HR",
        "Ilze",
    ):
        assert open_to_them in found


@pytest.mark.parametrize(
    ("actor", "event", "who"),
    [
        ("e-manager", PeersScored(peers=2), "the manager"),
        ("e-hr", PeersScored(peers=2), ""),
        ("e-hr", LeadReviewed(), ""),  # in the lead's place
        ("e-hr", TrialEnded(decided_by="user:e-hr", reason="Late."), "HR"),
        ("e-hr", CandidacyApproved(), "HR"),
        ("e-manager", CandidacyRejected(), "the manager"),
        ("e-lead", ObjectionRaised(objection_id="o-2"), "a colleague"),
        ("e-lead", InterviewScored(interviewer_id="e-lead", full_points=40, bank_position=15), "an interviewer"),
        ("e-7", CandidacyWithdrawn(), "Ilze Kalniņa (e-7)"),
    ],
)
def test_the_candidate_is_told_who_acted_as_what_or_nothing(actor: str, event: Message, who: str) -> None:
    """Never as what they did not, and never who is hidden."""
    steps = [*STEPS, (f"user:{actor}", event)]
    assert tables(candidacy_document(told(steps, own=True)))["Step by step"].rows[-1][2] == who
    assert tables(candidacy_document(told(steps)))["Step by step"].rows[-1][2] == f"{NAMES[actor]} ({actor})"


def test_the_candidate_reads_nothing_of_interviews_and_peers_before_the_competition_is_ranked() -> None:
    open_yet = replace(told(STEPS[:7], own=True), explanation=None)
    found = text_of(candidacy_document(open_yet))
    assert "28 of 40" not in found
    assert "3 peers" not in found
    assert "There is no score yet." in found
    for_hr = text_of(candidacy_document(replace(told(STEPS[:7]), explanation=None)))
    assert "28 of 40" in for_hr
    assert "3 peers" in for_hr


ENDS: Sequence[tuple[Message, str, str]] = (
    (NoticeMoved(notice_until="2026-07-13"), "the notice is to 2026-07-13", "on the public list"),
    (ObjectionSettled(objection_id="o-1", upheld=True), "The objection was upheld.", "on the public list"),
    (CandidacyApproved(notice_until="2026-07-10", reason="The best."), "Approved after the notice", "approved"),
    (LetterIssued(), "The letter was issued.", "letter issued"),
    (PostTrainingPassed(), "every exam passed", "trained for the post"),
    (
        CandidacyAppointed(start_date="2026-08-01", trial_until="2026-08-31"),
        "from 2026-08-01 to 2026-08-31",
        "on trial",
    ),
    (TrialEnded(passed=True), "The trial was passed.", "confirmed"),
    (TrialEnded(), "not passed: back to the post held before", "back in the post held before"),
    (TrialEnded(reason="Late, often."), "Reason: Late, often.", "back in the post held before"),
    (CandidacyWithdrawn(reason="Moving away."), "Reason: Moving away.", "withdrawn"),
    (CandidacyRejected(reason="Upheld."), "Rejected.", "rejected"),
    (CandidacyNotSelected(), "without a seat", "not selected"),
    (TwoLevelsReviewed(approved=True), "Approved two levels at once.", "on the public list"),
    (TwoLevelsReviewed(), "Said no.", "on the public list"),
    (ManagerReviewed(), "Said no.", "reviewed by the manager"),
    (PeersScored(peers=2), "Too few peers gave a score.", "on the public list"),
    (
        CandidacyDrifted(),
        "Facts changed: what would come out now is the same again.",
        "on the public list",
    ),
)


@pytest.mark.parametrize(("event", "sentence", "state"), ENDS)
def test_whatever_happens_has_a_sentence(event: Message, sentence: str, state: str) -> None:
    made = candidacy_document(told([*STEPS, ("user:e-hr", event)]))
    assert sentence in str(tables(made)["Step by step"].rows[-1][1])
    assert dict(made.headlines)["State"] == state


PUBLIC = PublicList(
    competition_id="c-1",
    seats=2,
    published_date="2026-07-01",
    entries=[
        PublicList.Entry(rank=1, candidacy_id="8", employee_id="e-8", display_name="客服代表"),
        PublicList.Entry(rank=2, candidacy_id="7", employee_id="e-7", display_name="Ilze Kalniņa"),
    ],
)
NOTICES = {"8": Notice("2026-07-01", "2026-07-08", 5, "2026-07-20"), "7": Notice("2026-07-02", "2026-07-09", 5, "")}


def test_the_public_list_has_names_ranks_and_days_and_no_score() -> None:
    made = list_document(PUBLIC, "Team lead", "North", NOTICES)
    (table,) = made.sections[0].tables
    assert table.rows == [
        [1, "客服代表", "e-8", "2026-07-01", "2026-07-08", 5, "no longer: approved on 2026-07-20", "8"],
        [2, "Ilze Kalniņa", "e-7", "2026-07-02", "2026-07-09", 5, "until the approval", "7"],
    ]
    assert dict(made.headlines)["To the last day"] == "2026-07-09"
    assert (made.title, made.subtitle) == (
        "Public notice · Team lead",
        "2 seats as Team lead in North, competition c-1, published on 2026-07-01",
    )


def test_a_list_asks_for_objections_only_while_they_are_taken() -> None:
    """To whoever is not approved, however long the notice is over."""
    assert list_document(PUBLIC, "Team lead", "North", NOTICES).sections[0].sentences == [OPEN, HOW, APPROVED]
    none_yet = {one: replace(notice, approved="") for one, notice in NOTICES.items()}
    assert list_document(PUBLIC, "Team lead", "North", none_yet).sections[0].sentences == [OPEN, HOW]
    everybody = {one: replace(notice, approved="2026-07-20") for one, notice in NOTICES.items()}
    made = list_document(PUBLIC, "Team lead", "North", everybody)
    assert made.sections[0].sentences == [APPROVED]
    assert "To the last day" not in dict(made.headlines)


def test_the_title_of_a_list_is_short_and_the_whole_stands_below() -> None:
    made = list_document(PUBLIC, "客服" * 90, "North", NOTICES)
    assert made.title == f"Public notice · {'客服' * 29}客…"
    assert "客服" * 90 in made.subtitle


def test_an_empty_list_says_so() -> None:
    nobody = list_document(PublicList(competition_id="c-1", seats=1), "Team lead", "North", {})
    assert "Nobody is on the list now" in text_of(nobody)
    assert "To the last day" not in text_of(nobody)


LETTER = Letter(
    name="李伟",
    post="Team lead",
    team="North",
    issued_date="2026-07-13",
    issued_by="Ruta Zariņa",
    approved_date="2026-07-10",
    listed_date="2026-07-01",
    notice_until="2026-07-08",
    rules=CompetitionRules(course_ids=["c-lead", "c-coach"], trial_months=1),
)


def test_a_letter_in_english() -> None:
    (section,) = letter_document(LETTER, "en").sections
    assert section.title == "Dear 李伟,"
    assert "the post of Team lead in North" in section.sentences[0]
    assert "c-lead, c-coach" in section.sentences[1]
    assert (
        section.sentences[2] == "You will be told the day on which you begin. At first you are on trial for one month."
    )
    assert section.sentences[-1] == "Ruta Zariņa, for HR"


def test_a_letter_in_chinese_says_days_and_spans_as_people_do() -> None:
    begun = replace(LETTER, rules=CompetitionRules(trial_weeks=2), start_date="2026-08-01", trial_until="2026-08-14")
    made = letter_document(begun, "zh")
    (section,) = made.sections
    assert (made.language, section.title) == ("zh", "李伟，您好：")
    assert section.sentences[1:3] == [
        "上岗之前没有必须参加的培训。",
        "您将于2026年8月1日上岗，先试用2周，至2026年8月14日（含当日）止。",
    ]
    assert b'<html lang="zh">' in page_of(made)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same_things(language: str) -> None:
    def slots(texts: str) -> set[str]:
        return set(re.findall(r"{(\w+)}", texts))

    assert TEXTS[language].keys() == ENGLISH.keys()
    assert {name: slots(text) for name, text in TEXTS[language].items()} == {
        name: slots(text) for name, text in ENGLISH.items()
    }


def test_all_of_them_can_be_printed() -> None:
    for document in (
        candidacy_document(told()),
        list_document(PUBLIC, "Team lead", "North", NOTICES),
        *(letter_document(LETTER, one) for one in LANGUAGES),
    ):
        assert pdf_of(document).startswith(b"%PDF")


def test_a_letter_is_set_to_be_read_and_a_list_to_look_things_up() -> None:
    def sizes(document: Document) -> set[float]:
        found: set[float] = set()
        (page,) = PdfReader(io.BytesIO(pdf_of(document))).pages
        page.extract_text(visitor_text=lambda text, _cm, _tm, _font, size: found.add(size) if text.strip() else None)
        return found

    assert 11 in sizes(letter_document(LETTER, "en"))
    assert 11 not in sizes(list_document(PUBLIC, "Team lead", "North", NOTICES))
