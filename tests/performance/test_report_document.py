"""What a report says, in its order, and that the tables and charts made of it can be read."""

import csv
import io
from decimal import Decimal

import pytest

from libs.documents.charts import PAGE, draw
from libs.documents.tables import csv_of
from services.performance.report_document import report_document
from stepladder.performance.v1 import report_pb2 as pb
from stepladder.performance.v1.kpi_pb2 import Kpi


def figure(value: str, maximum: str = "", *, missed: bool = False) -> pb.Figure:
    attained = ("80.0" if missed else "100.0") if maximum else ""
    return pb.Figure(readings=5, value=value, maximum=maximum, attainment=attained, missed=missed)


@pytest.fixture
def report() -> pb.Report:
    """A day with a KPI that was missed by two people."""
    found = pb.Report(period="day", start_date="2024-10-08", end_date="2024-10-08", through_date="2024-10-08")
    aht = found.kpis.add(kpi_id="aht", display_name="Handle <time>", unit=Kpi.UNIT_MINUTES)
    aht.figure.CopyFrom(figure("4.25", "4", missed=True))
    aht.before.CopyFrom(figure("3.75", "4"))
    for hour, value in (("09", "4.10"), ("10", "4.40"), ("11", "3.90")):
        aht.series.add(at=hour, figure=figure(value))
    calls = found.kpis.add(kpi_id="calls", display_name="Calls", unit=Kpi.UNIT_COUNT)
    calls.figure.CopyFrom(figure("12345"))
    for name in ("Ķēniņš Žagars", "客服代表"):
        one = found.off_target.add(employee_id="e", display_name=name, team_id="t-1")
        one.kpis.add(kpi_id="aht", figure=figure("5.10", "4", missed=True))
    for team in ("North 北", "South"):
        found.teams.add(team_id=team, display_name=team).kpis.add(kpi_id="aht", figure=figure("4.25", "4", missed=True))
    found.profile.volume_kpi_id, found.profile.peak_percent = "calls", 80
    for begun, many in ((9, "100"), (10, "95"), (11, "20")):
        found.profile.hours.add(hour=begun, volume=figure(many), peak=many != "20")
    return found


def test_a_document_says_first_what_was_missed(report: pb.Report) -> None:
    """Headlines and sentences out of the figures; hours in a row are told together; empty sections are left out."""
    document = report_document(report)
    assert document.title == "Centre · Tuesday, 8 October 2024"
    assert dict(document.headlines)["KPIs on target"] == "0 of 1"
    assert [section.title for section in document.sections] == ["Key figures", "Off target", "Teams", "Peak hours"]
    assert document.sections[0].sentences == ["1 of 1 KPIs with a target missed it: Handle <time>."]
    assert document.sections[3].sentences[0].startswith("Peak: 09:00 to 11:00.")
    (kpis, *_) = document.sections[0].tables
    assert list(kpis.rows[0])[2:8] == [
        Decimal("4.25"),
        None,
        Decimal(4),
        Decimal("80.0"),
        Decimal("3.75"),
        Decimal("0.50"),
    ]
    assert kpis.marked == {0}


def test_headings_of_a_csv_are_text_too(report: pb.Report) -> None:
    """A KPI is a column's heading in the table of hours."""
    report.kpis[1].display_name = "=1+1"
    cells = {cell for row in csv.reader(io.StringIO(csv_of(report_document(report)).decode())) for cell in row}
    assert "'=1+1" in cells
    assert "=1+1" not in cells


def test_many_teams_are_shown_in_charts_that_can_be_read(report: pb.Report) -> None:
    """A large centre's teams stand in several charts: every field has room for its number."""
    for number in range(200):
        own = report.teams.add(team_id=f"t-{number}", display_name=f"Team {number}").kpis.add(kpi_id="aht")
        own.figure.CopyFrom(figure("4.25", "4", missed=True))
    (teams,) = (section for section in report_document(report).sections if section.title == "Teams")
    drawn = [draw(chart, PAGE, "one") for chart in teams.charts]
    assert sum(one.count("<rect") for one in drawn) == 202
    assert sum(one.count(">80.0<") for one in drawn) == 202
    assert 'width="-' not in "".join(drawn)


def test_a_chart_marks_what_was_missed_by_the_exact_value(report: pb.Report) -> None:
    """It is for the report to say what missed; rounded values and bounds may look equal."""
    report.kpis[0].series[1].figure.missed = True
    (chart, *_) = report_document(report).sections[0].charts
    drawn = draw(chart, PAGE, "one")
    assert drawn.count(f'fill="{PAGE.mark}"') == 1
    assert "1 lie outside the target." in drawn
