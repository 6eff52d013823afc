"""The letter to whoever is to be appointed, in the language that they ask for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.documents.document import Document, Section
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Letter:
    """What a letter says. Days as `YYYY-MM-DD`; people, post and team as they are called.

    Attributes:
        rules: by which it was decided: they say what is to be learned, and how long the trial is.
        start_date, trial_until: empty before the candidate is appointed.
        issued_by: who signs it.
    """

    name: str
    post: str
    team: str
    issued_date: str
    issued_by: str
    approved_date: str
    listed_date: str
    notice_until: str
    rules: CompetitionRules
    start_date: str = ""
    trial_until: str = ""


ENGLISH = {
    "title": "Letter of appointment",
    "subtitle": "To {name}, {issued_date}",
    "post": "Post",
    "team": "Team",
    "trial": "Trial",
    "dear": "Dear {name},",
    "chosen": "You have been chosen for the post of {post} in {team}. The list was public from {listed_date} to "
    "{notice_until}, and HR approved your appointment on {approved_date}. Congratulations.",
    "courses": "Before you begin, please attend these courses and pass their exams: {courses}.",
    "no_courses": "No training is asked for before you begin.",
    "begins": "You begin on {start_date}, at first on trial for {trial}: up to and including {trial_until}.",
    "to_begin": "You will be told the day on which you begin. At first you are on trial for {trial}.",
    "after": "At the end of the trial the post is confirmed to be yours, or you return to the post that you hold now; "
    "people decide that, and tell you their reasons.",
    "ask": "You may read at any time what your score is made of and what this decision rests on, and ask HR about it.",
    "signed": "{issued_by}, for HR",
}
CHINESE = {
    "title": "任命通知书",
    "subtitle": "致 {name}，{issued_date}",
    "post": "岗位",
    "team": "团队",
    "trial": "试用期",
    "dear": "{name}，您好：",
    "chosen": "您已通过竞聘，拟任“{team}”团队的“{post}”一职。名单已于{listed_date}至{notice_until}公示，"
    "人力资源部已于{approved_date}批准您的任命。特此祝贺。",
    "courses": "上岗之前，请参加以下课程并通过考试：{courses}。",
    "no_courses": "上岗之前没有必须参加的培训。",
    "begins": "您将于{start_date}上岗，先试用{trial}，至{trial_until}（含当日）止。",
    "to_begin": "上岗日期将另行通知。上岗后先试用{trial}。",
    "after": "试用期满后，您将正式任职，或回到目前的岗位；由相关负责人作出决定，并向您说明理由。",
    "ask": "您可以随时查阅您的得分构成以及本决定的依据，也可以向人力资源部询问。",
    "signed": "人力资源部 {issued_by}",
}
TEXTS: Mapping[str, Mapping[str, str]] = {"en": ENGLISH, "zh": CHINESE}
_UNITS = {
    "en": {"trial_months": ("one month", "{} months"), "trial_weeks": ("one week", "{} weeks")},
    "zh": {"trial_months": ("1个月", "{}个月"), "trial_weeks": ("1周", "{}周")},
}


def letter_document(letter: Letter, language: str) -> Document:
    """One of `LANGUAGES`."""
    texts = TEXTS[language]
    unit = letter.rules.WhichOneof("trial") or "trial_months"
    length = getattr(letter.rules, unit)
    one, more = _UNITS[language][unit]
    said = {
        "name": letter.name,
        "post": letter.post,
        "team": letter.team,
        "issued_date": _day(letter.issued_date, language),
        "listed_date": _day(letter.listed_date, language),
        "notice_until": _day(letter.notice_until, language),
        "approved_date": _day(letter.approved_date, language),
        "start_date": _day(letter.start_date, language),
        "trial_until": _day(letter.trial_until, language),
        "courses": {"en": ", ", "zh": "、"}[language].join(letter.rules.course_ids),
        "trial": one if length == 1 else more.format(length),
        "issued_by": letter.issued_by,
    }
    paragraphs = (
        "chosen",
        "courses" if letter.rules.course_ids else "no_courses",
        "begins" if letter.start_date else "to_begin",
        "after",
        "ask",
        "signed",
    )
    return Document(
        title=texts["title"],
        subtitle=texts["subtitle"].format(**said),
        headlines=[
            (texts["post"], letter.post),
            (texts["team"], letter.team),
            (texts["trial"], said["trial"]),
        ],
        sections=[Section(texts["dear"].format(**said), [texts[one].format(**said) for one in paragraphs])],
        language=language,
        prose=True,
    )


def _day(text: str, language: str) -> str:
    """As people of a language write a day."""
    if language != "zh" or not text:
        return text
    year, month, day = text.split("-")
    return f"{year}年{int(month)}月{int(day)}日"
