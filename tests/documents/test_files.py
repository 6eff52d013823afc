"""Files of a document: every kind says the same, opens safely, and shows every name."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from openpyxl import load_workbook
from pypdf import PageObject, PdfReader

from libs.documents.charts import PAGE, draw
from libs.documents.document import Bars, Cell, Chart, Course, Document, Heat, Section, Table, Trend
from libs.documents.page import page_of
from libs.documents.print import content_of, pdf_of
from libs.documents.tables import csv_of, workbook_of

NAMES = ("Ķēniņš Žagars", "客服代表", "محمد العلي", "דוד כהן")
PAPER_WIDTH = 595
BOTTOM = 51
"""Points, in which nothing stands but the page's number."""
NARROWEST = 0.4
"""A letter's mean width by the size of the text, at least."""
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1d1")


def document(kpi: str = "Handle <time>", names: tuple[str, ...] = (*NAMES, *FORMULAS)) -> Document:
    """Each kind of chart and of cell, with names of many scripts and of some mischief."""
    hours, values = ["09", "10", "11"], [Decimal("4.10"), Decimal("4.40"), None]
    trend = Trend(kpi, "min", hours, values, [None] * 3, [Decimal(4)] * 3, frozenset({1}))
    bars = Bars("Who missed it", "people", [*names, kpi], [Decimal(3)] * (len(names) + 1))
    heat = Heat("Attained", "Per cent", [kpi], ["North", "South"], [[Decimal(80), None]], missed=frozenset({(0, 0)}))
    course = Course(
        kpi, [kpi, "Nothing"], [[date(2026, 1, 30), date(2026, 3, 2)], []], frozenset({(0, date(2026, 3, 2))})
    )
    figures = Table("KPIs", ["KPI", "Value", "Calls"], [[kpi, Decimal("4.25"), 12345], ["Other", None, 7]])
    by_hour = Table("By hour", ["Hour", kpi], [["09:00:00", Decimal("-0.5")]], behind=True)
    people = Table("People", ["Name", "=1+1"], [[name, 1] for name in names], marked=frozenset({0}))
    sections = [
        Section("Key figures", [f"Missed: {kpi}."], [trend], [figures, by_hour]),
        Section("People", (), [bars, heat], [people]),
        Section("Course", (), [course], [Table("Fine", ["Name"], [[kpi]], fine=True)], own_page=True),
    ]
    return Document(title=f"Centre · {kpi}", subtitle="One day", headlines=[("People", 12345)], sections=sections)


def test_a_csv_is_opened_by_spreadsheets_as_text_and_numbers() -> None:
    """With the mark of UTF-8; what would be a formula begins with an apostrophe; numbers, negative ones too, do not."""
    data = csv_of(document())
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    cells = {cell for row in rows for cell in row}
    assert {f"'{name}" for name in FORMULAS} <= cells
    assert not {*FORMULAS} & cells
    assert {*NAMES} <= cells
    assert b"09:00:00,-0.5\r\n" in data


@pytest.mark.parametrize("make", [csv_of, workbook_of, page_of, pdf_of])
def test_names_that_xml_cannot_hold_spoil_no_file(make: Callable[[Document], bytes]) -> None:
    """Control characters and code points that are no characters, in every kind of name: they are left out."""
    for odd in ("\x01", "\x0b", "\x1f", "\x7f", "\ufffe", "\uffff"):
        found = document(f"a{odd}b", (f"a{odd}b",))
        assert make(found)
        for chart in (chart for section in found.sections for chart in section.charts):
            ElementTree.fromstring(draw(chart, PAGE, "one"))  # noqa: S314 - our own


@pytest.mark.parametrize("sign", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_no_name_turns_what_stands_around_it(sign: str) -> None:
    """Signs that override the direction of writing are left out, also where a formula hides behind one."""
    found = document(f"Handle{sign}time", (f"{sign}=1+1", f"A{sign}nna"))
    written = csv_of(found).decode()
    book = load_workbook(io.BytesIO(workbook_of(found)))
    cells = [str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row]
    for text in (written, page_of(found).decode(), *cells):
        assert sign not in text
    assert "Handletime" in written
    assert "\r\n'=1+1,1\r\n" in written
    assert sign not in content_of(found)
    assert json.loads(content_of(found))["title"] == "Centre · Handletime"


def test_a_workbook_has_typed_cells_and_headers_that_stay() -> None:
    """A sheet for each table; numbers are numbers with their digits; text that looks like a formula is text."""
    book = load_workbook(io.BytesIO(workbook_of(document())))
    assert book.sheetnames == ["Report", "KPIs", "By hour", "People", "Fine"]
    sheet = book["KPIs"]
    assert sheet.freeze_panes == "A2"
    assert (sheet["B2"].value, sheet["B2"].number_format) == (4.25, "#,##0.00")
    assert (sheet["C2"].value, sheet["C2"].number_format) == (12345, "#,##0")
    names = [cell for (cell,) in book["People"].iter_rows(min_row=2, max_col=1)]
    assert {cell.data_type for cell in names} == {"s"}
    assert {cell.value for cell in names} >= {"=1+1", *NAMES}


def test_a_page_needs_nothing_else_and_says_what_its_charts_show() -> None:
    """No scripts, no addresses; names are escaped; each chart has a title and a description."""
    page = page_of(document()).decode()
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=", page)
    assert "Handle &lt;time&gt;" in page
    assert "Handle <time>" not in page
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(charts) == 4
    assert "<dt>People</dt><dd>12,345</dd>" in page
    for chart in charts:
        drawn = ElementTree.fromstring(chart)  # noqa: S314 - our own
        title, description = drawn[0], drawn[1]
        assert drawn.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert title.text
        assert description.text
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert page.count("<table>") == 4


def test_no_table_is_laid_out_as_a_chart() -> None:
    """How wide charts are set says nothing of tables, however many columns these have."""
    charts = [*document().sections[0].charts, Bars("Calls", "", ["a"], [Decimal(1)]), Course("When", ["a"], [[]])]
    tables = [Table("Few", ["a"], [["1"]]), Table("Many", list("abcde"), [list("12345")])]
    page = page_of(Document("", "", [], [Section("", charts=charts, tables=tables)])).decode()
    of_charts, of_tables = (set(re.findall(f'<{kind} class="?([a-z]+)', page)) for kind in ("figure", "table"))
    assert len(of_charts) == 3
    assert of_tables
    assert of_charts.isdisjoint(of_tables)


def test_texts_keep_their_lines_on_a_page() -> None:
    table = Table("Said", ["Who", "What"], [["Anna", "first\n\n<second>"]])
    page = page_of(Document("Said", "one\ntwo", [], [Section("Said", ["three\nfour"], tables=[table])])).decode()
    for told in ("first<br><br>&lt;second&gt;", "<p>one<br>two</p>", "<p>three<br>four</p>"):
        assert told in page


def test_cells_of_a_wide_table_can_stand_below_each_other_each_with_its_title() -> None:
    """So that nobody has to scroll sideways on a telephone."""
    narrow, wide = Table("A", ["a", "b", "c"], [["1", "2", "3"]]), Table("B", ["a", "b", "c", "=<d>"], [["", 2, 3, 4]])
    page = page_of(Document("", "", [], [Section("", tables=[narrow, wide])])).decode()
    assert page.count("<table>") == page.count("<table class=cards>") == 1
    assert '<td class="n" data-title="=&lt;d&gt;">4</td>' in page


def test_days_are_not_broken_on_a_page() -> None:
    """Where a column has nothing else; other text may take as many lines as it needs."""
    rows: list[list[Cell]] = [["a", "2026-03-01", "2026-03-01"], ["b", "", "early in 2026-03"]]
    table = Table("Due", ["What", "Due", "Said"], rows)
    page = page_of(Document("Days", "", [], [Section("Due", [], tables=[table])])).decode()
    assert page.count('<th scope="col" class="day">Due</th>') == 1
    assert page.count('class="day"') == 3


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
        Course("None", [], []),
        Course("Nothing", ["a" * 200], [[]]),
        Course("One day", ["a"], [[date(2026, 3, 2)]]),
    ],
)
def test_charts_of_few_values_can_be_drawn(chart: Chart) -> None:
    """One value, none at all, gaps and equal values: well-formed, and no coordinate that is no number."""
    drawn = draw(chart, PAGE, "one")
    assert ElementTree.fromstring(drawn).get("role") == "img"  # noqa: S314 - our own
    assert "nan" not in drawn
    assert "inf" not in re.sub("inherit", "", drawn)


def test_a_pdf_brings_the_letters_of_every_name() -> None:
    """The fonts of all scripts in it are embedded, and only those."""
    fonts = {b"NotoSansSC", b"NotoSansArabic", b"NotoSansHebrew"}
    made = pdf_of(document())
    assert {font for font in fonts if font in made} == fonts
    plain = pdf_of(document(names=("Ķēniņš",)))
    assert b"NotoSans" in plain
    assert not {font for font in fonts if font in plain}


@pytest.mark.parametrize(
    "text",
    [
        "https://example.test/" + "0123456789" * 30,
        "客户等了很久，电话一直没有人接。" * 400,
        "said and heard " * 600,
        "short\n" * 300,
    ],
    ids=["a word", "characters", "words", "lines"],
)
def test_nothing_long_runs_off_a_printed_page(text: str) -> None:
    """Every letter lies within the margins, and none is missing."""
    table = Table("Steps", ["When", "What", "By"], [["2026-01-30", text, "Anna"], ["2026-01-31", "end", "Ben"]])
    found: list[str] = []

    def see(part: str, origin: list[float], at: list[float], _: object, size: float) -> None:
        if part.strip() and not re.fullmatch(r"\d+ / \d+", part.strip()):
            found.append(part)
            assert origin[5] - at[5] > BOTTOM
            assert origin[4] + at[4] + len(part) * size * NARROWEST < PAPER_WIDTH

    made = PdfReader(io.BytesIO(pdf_of(Document("", "", (), [Section("Steps", tables=[table])]))))
    for page in made.pages:
        page.extract_text(visitor_text=see)
    assert not Counter("".join(text.split())) - Counter("".join(found))


def heights(page: PageObject) -> dict[str, set[int]]:
    """Of every letter above the bottom of the page, in points: by what is written."""
    found: dict[str, set[int]] = {}

    def see(part: str, origin: list[float], at: list[float], *_: object) -> None:
        for word in part.split():
            found.setdefault(word, set()).add(round(origin[5] - at[5]))

    page.extract_text(visitor_text=see)
    return found


@pytest.mark.parametrize("name", ["Maria Aleksandra " * 20, "名单" * 150, "ļ" * 300], ids=["words", "signs", "a word"])
def test_what_stands_on_each_page_has_one_line(name: str) -> None:
    """The subtitle at its head and the title at its foot are shortened; each page has its number."""
    table = Table("Rows", ["What"], [["~"] for _ in range(200)])
    made = PdfReader(io.BytesIO(pdf_of(Document(name, name, (), [Section("Rows", tables=[table])]))))
    pages = [heights(page) for page in made.pages]
    assert len(pages) > 2
    for number, found in enumerate(pages, 1):
        told = {height for word, at in found.items() if word[0] in name + "…" for height in at}
        assert len({height for height in told if height < BOTTOM}) == 1
        assert found["/"] == {height for height in told if height < BOTTOM}
        assert number == 1 or len(told) == 2


def test_short_rows_are_not_torn_apart_in_print() -> None:
    """A page ends between two of them, wherever it ends."""
    for lines in (2, 3, 5):
        rows = [["\n".join(f"r{row}l{line}" for line in range(lines))] for row in range(120)]
        made = PdfReader(io.BytesIO(pdf_of(Document("", "", (), [Section("", tables=[Table("", ["What"], rows)])]))))
        assert len(made.pages) > 2
        pages = ["".join(heights(page)) for page in made.pages]
        for row in range(120):
            (page,) = {number for number, text in enumerate(pages) for line in range(lines) if f"r{row}l{line}" in text}
            assert f"r{row}l0" in pages[page]
