"""By what the business days of a notice are counted: every version of a calendar that is known."""

from libs.facts.catalogue import Rules
from stepladder.promotion.v1.candidacy_pb2 import CountedBy


def counted_by(rules: Rules, calendar_id: str) -> CountedBy:
    """Every version of a calendar; none where no calendar is named."""
    return CountedBy(
        versions=[
            CountedBy.Version(effective_date=one.effective_date, calendar=one.calendar, position=one.log_position)
            for one, _ in rules.versions_of(calendar_id)
            if one.HasField("calendar")
        ]
    )
