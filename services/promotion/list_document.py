"""The public list of a competition as people read and print it: names, ranks, days of notice, and no scores. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.documents.document import NAME, Cell, Document, Section, Table, shortened
from stepladder.promotion.v1.competition_pb2 import PublicList

TITLE = "Who is to be appointed"
OPEN = (
    "These colleagues are to be appointed, unless an objection is upheld. Until the last day of the notice everybody "
    "who is employed may object to one of them, with reasons. HR hears every objection; the candidate is not told who "
    "raised it, nor in what words, but what HR found when it is settled. A notice may end later than it says here, "
    "never earlier."
)
NOBODY = "Nobody is on the list now: all who were have left it."


@dataclass(frozen=True, slots=True)
class Notice:
    """From which day to which a candidate may be objected to, as last counted, and in how many business days."""

    first: str
    last: str
    business_days: int


def list_document(found: PublicList, post: str, team: str, notices: Mapping[str, Notice]) -> Document:
    """`post` and `team` as they are called; notices by candidacy."""
    rows: list[list[Cell]] = []
    for one in found.entries:
        notice = notices[one.candidacy_id]
        rows.append([one.rank, one.display_name, one.employee_id, notice.first, notice.last, notice.business_days])
    seats = f"{found.seats} {'seat' if found.seats == 1 else 'seats'}"
    latest = max((notices[one.candidacy_id].last for one in found.entries), default="")
    published = f"competition {found.competition_id}, published on {found.published_date}"
    sentences = [OPEN] if rows else [NOBODY]
    columns = ("Rank", "Name", "Employee", "Public from", "To the last day", "Business days")
    return Document(
        title=f"Public notice · {shortened(post, NAME)}",
        subtitle=f"{seats} as {post} in {team}, {published}",
        headlines=[
            ("Seats", found.seats),
            ("To be appointed", len(found.entries)),
            ("Public from", found.published_date),
            *([("To the last day", latest)] if latest else []),
        ],
        sections=[Section(TITLE, sentences, (), [Table(TITLE, columns, rows)] if rows else ())],
    )
