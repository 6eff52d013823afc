"""A worklist as people read it."""

from services.coaching.worklist_document import worklist_document
from stepladder.coaching.v1.worklist_pb2 import GetWorklistRequest, WorkItem, Worklist


def test_what_is_due_first_stands_first() -> None:
    """However long it has been waited for."""
    found = Worklist(
        date="2026-11-22",
        items=[
            WorkItem(kind=WorkItem.KIND_CHECK_IN, id="e-1", employee_id="e-1", since_date=since, due_date=due)
            for since, due in (("2026-11-01", "2026-12-16"), ("2026-11-16", "2026-11-25"))
        ],
    )
    (section,) = worklist_document(found, GetWorklistRequest(hr=True), {"e-1": "Anna"}).sections
    (table,) = section.tables
    assert [row[table.columns.index("Due")] for row in table.rows] == ["2026-11-25", "2026-12-16"]
