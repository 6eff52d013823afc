"""The public list of a competition as people read and print it: names, ranks, days of notice, and no scores. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.documents.document import Cell, Document, Section, Table
from stepladder.promotion.v1.competition_pb2 import PublicList

TITLE = "Who is to be appointed"
OPEN = (
    "These colleagues are to be appointed, unless an objection is upheld. Until the last day of the notice everybody "
    "who is employed may object to one of them, with reasons. HR hears every objection; the candidate is not told who "
    "raised it."
)
PAUSED = "A notice that is paused goes on when the objection is settled."
NOBODY = "Nobody is on the list now: all who were have left it."


@dataclass(frozen=True, slots=True)
class Notice:
    """The first and last day on which a candidate is on the list to be objected to, as last counted.

    `paused`: it is not counted now.
    """

    first: str
    last: str
    business_days: int
    paused: bool = False


def list_document(found: PublicList, post: str, team: str, notices: Mapping[str, Notice]) -> Document:
    """`post` and `team` as they are called; notices by candidacy."""
    rows: list[list[Cell]] = []
    for one in found.entries:
        notice = notices[one.candidacy_id]
        last = "paused" if notice.paused else notice.last
        rows.append([one.rank, one.display_name, one.employee_id, notice.first, last, notice.business_days])
    seats = f"{found.seats} {'seat' if found.seats == 1 else 'seats'}"
    latest = max((notices[one.candidacy_id].last for one in found.entries), default="")
    paused = any(notices[one.candidacy_id].paused for one in found.entries)
    sentences = [OPEN, *([PAUSED] if paused else [])] if rows else [NOBODY]
    columns = ("Rank", "Name", "Employee", "Public from", "To the last day", "Business days")
    return Document(
        title=f"Public notice · {post}",
        subtitle=f"{seats} in {team}, competition {found.competition_id}, published on {found.published_date}",
        headlines=[
            ("Seats", found.seats),
            ("To be appointed", len(found.entries)),
            ("Public from", found.published_date),
            ("To the last day", latest or None),
        ],
        sections=[Section(TITLE, sentences, (), [Table(TITLE, columns, rows)] if rows else ())],
    )
