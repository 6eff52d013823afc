"""Files of a report: every kind says the same, opens safely, and shows every name."""

import csv
import io
import re
from collections.abc import Callable
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from openpyxl import load_workbook

from services.performance.charts import PAGE, draw
from services.performance.document import Bars, Document, Heat, Section, Table, Trend, document_of
from services.performance.report_page import page_of
from services.performance.report_print import pdf_of
from services.performance.report_tables import csv_of, workbook_of
from stepladder.performance.v1 import report_pb2 as pb
from stepladder.performance.v1.kpi_pb2 import Kpi

NAMES = ("Ķēniņš Žagars", "客服代表", "محمد العلي", "דוד כהן")
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1d1")


def figure(value: str, maximum: str = "", *, missed: bool = False) -> pb.Figure:
    attained = ("80.0" if missed else "100.0") if maximum else ""
    return pb.Figure(readings=5, value=value, maximum=maximum, attainment=attained, missed=missed)


@pytest.fixture
def report() -> pb.Report:
    """A day with a KPI that was missed, by people with names of many scripts, and of some mischief."""
    found = pb.Report(period="day", start_date="2024-10-08", end_date="2024-10-08", through_date="2024-10-08")
    aht = found.kpis.add(kpi_id="aht", display_name="Handle <time>", unit=Kpi.UNIT_MINUTES)
    aht.figure.CopyFrom(figure("4.25", "4", missed=True))
    aht.before.CopyFrom(figure("3.75", "4"))
    for hour, value in (("09", "4.10"), ("10", "4.40"), ("11", "3.90")):
        aht.series.add(at=hour, figure=figure(value))
    calls = found.kpis.add(kpi_id="calls", display_name="Calls", unit=Kpi.UNIT_COUNT)
    calls.figure.CopyFrom(figure("12345"))
    for name in (*NAMES, *FORMULAS):
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
    document = document_of(report)
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


def test_a_csv_is_opened_by_spreadsheets_as_text_and_numbers(report: pb.Report) -> None:
    """With the mark of UTF-8; what would be a formula begins with an apostrophe; numbers, negative ones too, do not."""
    data = csv_of(document_of(report))
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    cells = {cell for row in rows for cell in row}
    assert {f"'{name}" for name in FORMULAS} <= cells
    assert not {*FORMULAS} & cells
    assert {*NAMES} <= cells
    change = Table("Change", ["Name", "Change"], [["a", Decimal("-0.5")]])
    assert b"a,-0.5\r\n" in csv_of(Document("", "", [], [Section("", tables=[change])]))


def test_headings_of_a_csv_are_text_too(report: pb.Report) -> None:
    """A KPI is a column's heading in the table of hours."""
    report.kpis[1].display_name = "=1+1"
    cells = {cell for row in csv.reader(io.StringIO(csv_of(document_of(report)).decode())) for cell in row}
    assert "'=1+1" in cells
    assert "=1+1" not in cells


@pytest.mark.parametrize("make", [csv_of, workbook_of, page_of, pdf_of])
def test_names_that_xml_cannot_hold_spoil_no_file(report: pb.Report, make: Callable[[Document], bytes]) -> None:
    """Control characters and code points that are no characters, in every kind of name: they are left out."""
    for odd in ("\x01", "\x0b", "\x1f", "\x7f", "\ufffe", "\uffff"):
        report.kpis[0].display_name = report.teams[0].display_name = report.off_target[0].display_name = f"a{odd}b"
        assert make(document_of(report))
        charts = [chart for section in document_of(report).sections for chart in section.charts]
        for chart in charts:
            ElementTree.fromstring(draw(chart, PAGE, "one"))  # noqa: S314 - our own


def test_a_workbook_has_typed_cells_and_headers_that_stay(report: pb.Report) -> None:
    """A sheet for each table; numbers are numbers with their digits; text that looks like a formula is text."""
    book = load_workbook(io.BytesIO(workbook_of(document_of(report))))
    assert book.sheetnames == ["Report", "KPIs", "KPIs by hour", "Off target", "Teams", "Hours of the day"]
    sheet = book["KPIs"]
    assert sheet.freeze_panes == "A2"
    assert (sheet["C2"].value, sheet["C2"].number_format) == (4.25, "#,##0.00")
    assert (sheet["C3"].value, sheet["C3"].number_format) == (12345, "#,##0")
    names = [cell for (cell,) in book["Off target"].iter_rows(min_row=2, max_col=1)]
    assert {cell.data_type for cell in names} == {"s"}
    assert {cell.value for cell in names} >= {"=1+1", *NAMES}


def test_a_page_needs_nothing_else_and_says_what_its_charts_show(report: pb.Report) -> None:
    """No scripts, no addresses; names are escaped; each chart has a title, a description and a table."""
    page = page_of(document_of(report)).decode()
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=", page)
    assert "Handle &lt;time&gt;" in page
    assert "Handle <time>" not in page
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(charts) == 3
    for chart in charts:
        drawn = ElementTree.fromstring(chart)  # noqa: S314 - our own
        title, description = drawn[0], drawn[1]
        assert drawn.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.text
        assert description.text
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert page.count("<table>") == 5


@pytest.mark.parametrize(
    "chart",
    [
        Trend("One value", "", ["01"], [Decimal(3)], [None], [Decimal(3)]),
        Trend("Gaps", "%", ["01", "02", "03"], [Decimal(1), None, Decimal(-1)], [None] * 3, [None] * 3),
        Trend("Band", "%", ["1", "2"], [Decimal(0), Decimal("0.001")], [Decimal(0)] * 2, [Decimal(1)] * 2),
        Bars("None", "people", [], []),
        Bars("Zero", "people", ["a" * 90], [Decimal(0)]),
        Heat("Nothing", "", [], [], []),
        Heat("One", "", ["Mon"], ["09"], [[None]]),
    ],
)
def test_charts_of_few_values_can_be_drawn(chart: Trend | Bars | Heat) -> None:
    """One value, none at all, gaps and equal values: well-formed, and no coordinate that is no number."""
    drawn = draw(chart, PAGE, "one")
    assert ElementTree.fromstring(drawn).get("role") == "img"  # noqa: S314 - our own
    assert "nan" not in drawn
    assert "inf" not in re.sub("inherit", "", drawn)


def test_many_teams_are_shown_in_charts_that_can_be_read(report: pb.Report) -> None:
    """A large centre's teams stand in several charts: every field has room for its number."""
    for number in range(200):
        own = report.teams.add(team_id=f"t-{number}", display_name=f"Team {number}").kpis.add(kpi_id="aht")
        own.figure.CopyFrom(figure("4.25", "4", missed=True))
    (teams,) = (section for section in document_of(report).sections if section.title == "Teams")
    drawn = [draw(chart, PAGE, "one") for chart in teams.charts]
    assert sum(one.count("<rect") for one in drawn) == 202
    assert sum(one.count(">80.0<") for one in drawn) == 202
    assert 'width="-' not in "".join(drawn)


def test_a_chart_marks_what_was_missed_by_the_exact_value(report: pb.Report) -> None:
    """It is for the report to say what missed; rounded values and bounds may look equal."""
    report.kpis[0].series[1].figure.missed = True
    (chart, *_) = document_of(report).sections[0].charts
    drawn = draw(chart, PAGE, "one")
    assert drawn.count(f'fill="{PAGE.mark}"') == 1
    assert "1 lie outside the target." in drawn


def test_a_pdf_brings_the_letters_of_every_name(report: pb.Report) -> None:
    """The fonts of all scripts in it are embedded, and only those."""
    fonts = {b"NotoSansSC", b"NotoSansArabic", b"NotoSansHebrew"}
    made = pdf_of(document_of(report))
    assert {font for font in fonts if font in made} == fonts
    del report.off_target[:]
    del report.teams[:]
    plain = pdf_of(document_of(report))
    assert b"NotoSans" in plain
    assert not {font for font in fonts if font in plain}
