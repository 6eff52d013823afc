"""The public list of a competition as people read and print it: names, ranks, days of notice, and no scores. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.documents.document import NAME, Cell, Document, Section, Table, shortened
from stepladder.promotion.v1.competition_pb2 import PublicList

TITLE = "Who is on the list"
OPEN = (
    "Whoever is not approved yet is to be appointed, unless an objection is upheld. Everybody else who is employed may "
    "object to them, with reasons, until they are approved: on the day after the last day of the notice at the "
    "earliest. A notice may end later than it says here, never earlier."
)
HOW = (
    "An objection is raised in Stepladder (RaiseObjection), naming the candidacy as it stands in the last column, and "
    "goes to HR. The candidate is not told who raised it, nor in what words, but what HR found when it is settled."
)
APPROVED = "Whoever is approved can be objected to no longer."
NOBODY = "Nobody is on the list now: all who were have left it."


@dataclass(frozen=True, slots=True)
class Notice:
    """From which day to which it runs, as last counted, and in how many business days.

    `approved`: on which day; until then the candidate may be objected to. Empty: not yet.
    """

    first: str
    last: str
    business_days: int
    approved: str


def list_document(found: PublicList, post: str, team: str, notices: Mapping[str, Notice]) -> Document:
    """`post` and `team` as they are called; notices by candidacy."""
    rows: list[list[Cell]] = []
    for one in found.entries:
        notice = notices[one.candidacy_id]
        objections = f"no longer: approved on {notice.approved}" if notice.approved else "until the approval"
        person: list[Cell] = [one.rank, one.display_name, one.employee_id]
        rows.append(
            [*person, notice.first, notice.last, notice.business_days, objections, one.candidacy_id],
        )
    seats = f"{found.seats} {'seat' if found.seats == 1 else 'seats'}"
    running = [notice for one in found.entries if not (notice := notices[one.candidacy_id]).approved]
    latest = max((one.last for one in running), default="")
    published = f"competition {found.competition_id}, published on {found.published_date}"
    sentences = [*([OPEN, HOW] if running else []), *([APPROVED] if len(running) < len(rows) else [])] or [NOBODY]
    columns = ("Rank", "Name", "Employee", "Public from", "To the last day", "Business days", "Objections", "Candidacy")
    return Document(
        title=f"Public notice · {shortened(post, NAME)}",
        subtitle=f"{seats} as {post} in {team}, {published}",
        headlines=[
            ("Seats", found.seats),
            ("On the list", len(rows)),
            ("Public from", found.published_date),
            *([("To the last day", latest)] if latest else []),
        ],
        sections=[Section(TITLE, sentences, (), [Table(TITLE, columns, rows)] if rows else ())],
    )
