"""Rows as facts and records: what a mapping may say, what comes of each kind of row, and why of some nothing."""

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import protovalidate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.cli.calls import employee_id
from libs.cli.mapping import Unusable, WrongFile, find_mapping
from libs.cli.presets import PRESETS, load_kpis, load_policies
from libs.cli.table_mapping import TableMapping, load_table_mapping
from libs.cli.table_rows import Rows
from libs.cli.tables import Row
from stepladder.performance.v1.facts_pb2 import Fact
from stepladder.performance.v1.record_pb2 import Complaint, Evaluation, Leave, Record, Training

RIGA = ZoneInfo("Europe/Riga")
COLUMNS = '[columns]\nemployee = "Agent"\ndate = "Day"\n'
READINGS = COLUMNS + 'source = { value = "table" }\n'
RECORD = COLUMNS + '[record]\nid_of = ["Agent", "Day"]\nid_prefix = "x"\n'
FEBRUARY = "2026-02-10"


def mapping(text: str) -> TableMapping:
    return TableMapping.model_validate(tomllib.loads(text, parse_float=Decimal))


def read(text: str, **cells: str) -> Fact | Record:
    """The message of one row, of `e-1` on a day in February unless said otherwise."""
    columns = {"Agent": "e-1", "Day": FEBRUARY} | cells
    rows = Rows(mapping(text), list(columns), centre="north", zone=RIGA)
    message = rows.message(Row("2", list(columns.values())))
    protovalidate.validate(message)
    return message


def record(text: str, **cells: str) -> Record:
    message = read(text, **cells)
    assert isinstance(message, Record)
    return message


def reason(text: str, **cells: str) -> tuple[str, str]:
    with pytest.raises(Unusable) as caught:
        read(text, **cells)
    return caught.value.reason, caught.value.detail


def numbers(text: str, **cells: str) -> list[tuple[str, list[int], list[int]]]:
    fact = read(READINGS + text, **cells)
    assert isinstance(fact, Fact)
    return [(one.kpi_id, list(one.numerators), list(one.denominators)) for one in fact.readings]


def test_a_row_of_readings() -> None:
    """Each KPI with its numbers; ratios with denominators."""
    fact = read(
        READINGS + '[readings]\ncalls = "N"\naht = { numerator = "T", denominator = "N" }', N="12", T="3600", More="?"
    )
    assert isinstance(fact, Fact)
    assert (fact.employee_id, fact.date, fact.source) == ("e-1", FEBRUARY, "table")
    assert [(one.kpi_id, *one.numerators, *one.denominators) for one in fact.readings] == [
        ("calls", 12),
        ("aht", 3600, 12),
    ]


@pytest.mark.parametrize(
    ("declared", "written", "whole"),
    [
        ("factor = 60", "5.05", 303),
        ('factor = "0.01"', "1200", 12),
        ("factor = 0.1", "30", 3),
        ("factor = 100", "-0.07", -7),
        ("factor = 1000", "95.3%", 953),
        ("factor = 1000000000000", "0.000000000001", 1),
        ("", "1000000000000", 10**12),
        ("", "+5.000", 5),
        ("duration = true", "27:00:01", 97_201),
        ("duration = true\nfactor = 0.5", "0:01:00", 30),
        ("values = { none = 0, one = 1 }", "ONE", 1),
        ("empty = 0", "", 0),
    ],
)
def test_numbers_are_exact(declared: str, written: str, whole: int) -> None:
    """As written, times the factor, to the last digit."""
    text = f'[readings.k.numerator]\ncolumn = "N"\n{declared}'
    assert numbers(text, N=written) == [("k", [whole], [])]


@pytest.mark.parametrize(
    ("declared", "written", "why", "words"),
    [
        ("", "5.5", "not_whole", "N: '5.5' is no whole number"),
        ("factor = 60", "5.333", "not_whole", "'5.333' times 60 is 319.98, which is no whole number"),
        ("", "0.000000000000000001", "not_whole", "is no whole number"),
        ("", "1000000000001", "bad_number", "1000000000001 is larger than 10^12"),
        ("", "1,5", "bad_number", "'1,5' is no number written like 1234.5"),
        ("", "1e3", "bad_number", "'1e3'"),
        ("", "٣", "bad_number", "'٣'"),
        ("", "#DIV/0!", "bad_number", "'#DIV/0!'"),
        ("", " ", "missing_value", "N: the cell is empty"),
        ("duration = true", "5:61:00", "bad_number", "no duration written h:mm:ss"),
        ("values = { a = 1 }", "b", "unknown_value", "N: 'b' is none of a"),
    ],
)
def test_numbers_that_are_none(declared: str, written: str, why: str, words: str) -> None:
    """Nothing is rounded or guessed; the message names the column and what is wrong."""
    found, detail = reason(f'{READINGS}[readings.k.numerator]\ncolumn = "N"\n{declared}', N=written)
    assert found == why
    assert words in detail


@settings(derandomize=True, database=None, deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_any_number_comes_out_as_it_went_in(whole: int, digits: int) -> None:
    """However many of its digits stand behind the point, and with marks of another language."""
    number = Decimal(whole).scaleb(-digits)
    text = '[readings.k.numerator]\ncolumn = "N"\nfactor = ' + str(10**digits)
    assert numbers(text, N=f"{number:f}") == [("k", [whole], [])]
    latvian = f"{number:,f}".replace(",", "\u00a0").replace(".", ",")
    assert numbers('[formats]\ndecimal_mark = ","\ngroup_mark = " "\n' + text, N=latvian) == [("k", [whole], [])]


def test_thousands_are_grouped_by_three() -> None:
    """A decimal comma is not taken for a mark of thousands."""
    text = READINGS + '[formats]\ngroup_mark = ","\n[readings]\nk = "N"'
    assert reason(text, N="1,5")[0] == "bad_number"
    assert reason(text, N="1,2345")[0] == "bad_number"


def test_readings_may_be_optional() -> None:
    """A row has those that it has; one that has none is no row."""
    text = '[readings]\na = { numerator = "A", optional = true }\n'
    text += 'b = { numerator = "A", denominator = "B", optional = true }'
    assert numbers(text, A="1", B="") == [("a", [1], [])]
    assert numbers(text, A="1", B="2") == [("a", [1], []), ("b", [1], [2])]
    assert reason(READINGS + text, A="", B="2") == ("missing_value", "the row has no reading of any KPI")


def test_whom_and_when() -> None:
    """Ids as they are, in lower case, with a prefix, by value, or made of names as for call logs; days as declared."""
    for declared, cell, wanted in (
        ("lower = true", "E-9", "e-9"),
        ('prefix = "e-"', "1042", "e-1042"),
        ('values = { Ann = "e-7" }', "ann", "e-7"),
        ("names = true", "Jānis Bērziņš", employee_id("north", "Jānis Bērziņš")),
        ("names = true", "מיכל", employee_id("north", "מיכל")),
    ):
        text = READINGS.replace('employee = "Agent"', f'employee = {{ column = "Agent", {declared} }}')
        assert read(text + '[readings]\nk = "N"', Agent=cell, N="1").employee_id == wanted
    text = READINGS + '[formats]\ndate = "D.M.YYYY*"\n[readings]\nk = "N"'
    for cell in ("1.2.2026", "01.02.2026 07:00", "2026-02-01", "2026-02-01 00:00:00"):
        assert read(text, Day=cell, N="1").date == "2026-02-01"
    for cell in ("30.2.2026", "2026-02-30", "May", "1.2.1026"):
        assert reason(text, Day=cell, N="1")[0] == "bad_date"


def test_a_row_that_breaks_a_rule_of_the_contract() -> None:
    """It is told before it is sent: one such field would have its whole request refused."""
    text = READINGS + '[readings]\nk = "N"'
    found, detail = reason(text, Agent="Ann", N="1")
    assert found == "INVALID_FIELDS"
    assert detail.startswith("employee_id: must be 1 to 63 lower-case letters")


def test_rows_that_are_no_rows() -> None:
    """More cells than columns, bytes that are no text, quotes that do not end; too few cells are empty ones."""
    rows = Rows(mapping(READINGS + '[readings]\nk = "N"'), ["Agent", "Day", "N"], centre="north", zone=RIGA)
    whole = ["e-1", FEBRUARY, "1"]
    assert rows.message(Row("2", [*whole, "", " "])) == rows.message(Row("2", whole))
    for row, why in (
        (Row("2", [*whole, "more"]), "columns"),
        (Row("2", whole[:2]), "missing_value"),
        (Row("2", [*whole[:2], "1\udce2"]), "bad_encoding"),
        (Row("2", whole, broken=True), "broken_row"),
    ):
        with pytest.raises(Unusable) as caught:
            rows.message(row)
        assert caught.value.reason == why


ATTENDANCE = """
[record.attendance]
shift_start = "From"
shift_end = "To"
worked = [{ start = "In", end = "Out" }, { start = "In 2", end = "Out 2" }]
"""


def shift(text: str = "", **cells: str) -> list[str]:
    """Moments of an attendance in UTC."""
    found = read(text + RECORD + ATTENDANCE, **{"In": "", "Out": "", "In 2": "", "Out 2": "", **cells})
    assert isinstance(found, Record)
    one = found.attendance
    moments = [one.shift_start, one.shift_end, *(moment for span in one.worked for moment in (span.start, span.end))]
    return [moment.ToDatetime().strftime("%d %H:%M") for moment in moments]


def test_times_are_the_sites() -> None:
    """Clocks of the site, of another zone where the mapping says so, and moments with their own day."""
    assert shift(From="09:00", To="17:30") == ["10 07:00", "10 15:30"]
    assert shift(From="09:00:00", To="17:30:00") == ["10 07:00", "10 15:30"]
    assert shift('time_zone = "UTC"\n', From="09:00", To="17:30") == ["10 09:00", "10 17:30"]
    assert shift(From="2026-02-10 22:00:00", To="2026-02-11 06:00:00") == ["10 20:00", "11 04:00"]
    moments = '[formats]\ntime = "DD.MM.YYYY h:mm"\n'
    assert shift(moments, From="10.02.2026 7:00", To="10.02.2026 15:00") == ["10 05:00", "10 13:00"]


def test_night_shifts_end_on_the_next_day() -> None:
    """So does work in them; who comes early comes on the shift's day."""
    cells = {"In": "21:50", "Out": "00:10", "In 2": "00:40", "Out 2": "06:00"}
    assert shift(From="22:00", To="06:00", **cells) == [
        *("10 20:00", "11 04:00"),
        *("10 19:50", "10 22:10"),
        *("10 22:40", "11 04:00"),
    ]


def test_changes_of_the_clock() -> None:
    """Nine hours by the clock are ten in autumn; what clocks skip is no time; what they show twice is in order."""
    assert shift(Day="2026-10-24", From="22:00", To="07:00") == ["24 19:00", "25 05:00"]
    assert shift(Day="2026-10-25", From="03:30", To="2026-10-25 03:30:00") == ["25 00:30", "25 01:30"]
    found, detail = reason(
        RECORD + ATTENDANCE,
        Day="2026-03-29",
        From="03:30",
        To="07:00",
        **dict.fromkeys(["In", "Out", "In 2", "Out 2"], ""),
    )
    assert found == "bad_time"
    assert detail == "From: there was no 2026-03-29 03:30:00 in Europe/Riga: clocks were put forward"


def test_wrong_times() -> None:
    """No time at all, half a span, and a shift that the contract does not take."""
    none = dict.fromkeys(["In", "Out", "In 2", "Out 2"], "")
    text = RECORD + ATTENDANCE
    assert reason(text, From="25:00", To="1:00", **none) == ("bad_time", "From: '25:00' is no time written hh:mm")
    assert reason(text, From="09:00", To="17:00", **none | {"In": "09:00"}) == (
        "missing_value",
        "Out: the cell is empty",
    )
    long = reason(text, From="2026-02-10 09:00:00", To="2026-02-12 09:00:00", **none)
    assert long == ("INVALID_FIELDS", "attendance: a shift ends after it begins, at most 24 hours later")


def test_every_other_kind() -> None:
    """Leave, complaints, training, praise, violations; enums and truths by the values that the mapping gives them."""
    leave = record(
        RECORD + '[record.leave]\nend_date = "Until"\nkind = { column = "Why", values = { ill = "KIND_SICK" } }',
        Until="2026-02-11",
        Why="Ill",
    )
    assert leave.leave == Leave(kind=Leave.KIND_SICK, end_date="2026-02-11")
    complaint = RECORD + (
        '[record.complaint]\ncontact_id = "Call"\n[record.complaint.finding]\ncolumn = "J"\n'
        'empty = "FINDING_UNSPECIFIED"\nvalues = { yes = "FINDING_JUSTIFIED", no = "FINDING_UNJUSTIFIED" }'
    )
    for cell, wanted in (
        ("YES", Complaint.FINDING_JUSTIFIED),
        ("no", Complaint.FINDING_UNJUSTIFIED),
        ("", Complaint.FINDING_UNSPECIFIED),
    ):
        assert record(complaint, J=cell, Call="c-1").complaint == Complaint(finding=wanted, contact_id="c-1")
    assert reason(complaint, J="maybe", Call="") == ("unknown_value", "J: 'maybe' is none of yes, no")
    training = RECORD + (
        '[record.training]\ncourse_id = { value = "safety" }\n'
        'attended = "Came"\nexam_score = "Points"\nexam_passed = { column = "P", values = { x = true }, empty = false }'
    )
    training += '\n[formats]\ndecimal_mark = ","'
    assert record(training, Came="TRUE", Points="87,5", P="x").training == Training(
        course_id="safety", attended=True, exam=Training.Exam(score="87.5", passed=True)
    )
    assert record(training, Came="false", Points="", P="").training == Training(course_id="safety")
    assert reason(training, Came="perhaps", Points="", P="")[0] == "unknown_value"
    praise = record(RECORD + '[record.commendation]\nkind = "Kind"', Kind="thanks")
    assert praise.commendation.kind == "thanks"
    violation = record(
        RECORD + '[record.violation]\nrule_book_id = { value = "book" }\noffence_id = { column = "O", lower = true }',
        O="LATE",
    )
    assert (violation.violation.rule_book_id, violation.violation.offence_id) == ("book", "late")


def test_an_evaluation_has_a_column_for_each_item() -> None:
    """Values hold for all items unless one has its own; not applicable is an answer, too."""
    text = (
        RECORD
        + """note = "Comment"
[record.evaluation]
form_id = { value = "f" }
contact_id = "Call"
evaluator_id = "By"
values = { yes = 100, no = 0, "n/a" = "not_applicable" }
[record.evaluation.items]
greeting = "G"
solution = { column = "S", values = { half = 50 } }
identity = "I"
"""
    )
    cells = {"Call": "c-1", "By": "e-2", "G": "Yes", "S": "half", "I": "N/A", "Comment": "好"}
    found = record(text, **cells)
    assert found.note == "好"
    assert [(one.item_id, one.achieved, one.not_applicable) for one in found.evaluation.answers] == [
        ("greeting", 100, False),
        ("solution", 50, False),
        ("identity", 0, True),
    ]
    scaled = text.replace('greeting = "G"', 'greeting = { column = "G", factor = 20 }').replace("values = { yes", "# {")
    assert record(scaled, **cells | {"G": "4", "I": "7"}).evaluation.answers[0] == Evaluation.Answer(
        item_id="greeting", achieved=80
    )
    assert reason(scaled, **cells | {"G": "6", "I": "7"})[1] == "G: 120 is no per cent from 0 to 100"


def test_ids_of_records() -> None:
    """Made of columns, they are the same for the same content however it is written, and tell nobody's name."""
    text = '[formats]\ndate = "DD.MM.YYYY"\n' + RECORD.replace('"Day"]', '"Day", "Shift"]')
    text = text.replace('employee = "Agent"', 'employee = { column = "Agent", lower = true }')
    text += '[record.attendance]\nshift_start = "Shift"\nshift_end = { value = "23:00" }'
    one = record(text, Agent="ann", Day="10.02.2026", Shift="09:00")
    for agent, day, shift_start in (("ANN", "10.02.2026", "09:00:00"), ("ann ", "2026-02-10", "09:00")):
        assert record(text, Agent=agent, Day=day, Shift=shift_start).record_id == one.record_id
    assert "ann" not in one.record_id.removeprefix("x-")
    assert record(text, Agent="bob", Day="10.02.2026", Shift="09:00").record_id != one.record_id
    assert reason(RECORD.replace('["Agent"', '["Id"') + '[record.commendation]\nkind = "K"', Id="", K="k")[1] == (
        "Id: the cell is empty, and the record's id is made of it"
    )
    given_id = RECORD.replace('id_of = ["Agent", "Day"]\nid_prefix = "x"', 'id = { column = "No", prefix = "c-" }')
    assert record(given_id + '[record.commendation]\nkind = "K"', No="17", K="k").record_id == "c-17"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[readings]", "columns: it is needed; add it"),
        (COLUMNS, "a table holds readings, as [readings], or records, as [record]; declare one of the two"),
        (COLUMNS + '[readings]\nk = "N"', "columns.source is needed for readings"),
        (READINGS + '[readings]\nK = "N"', "readings.K"),
        (
            READINGS + '[readings]\nk = { numerator = "N", per = "M" }',
            "readings.k.per: there is no such entry here; correct",
        ),
        (
            READINGS + "[readings.k.numerator]\nfactor = 2",
            "readings.k.numerator: name a column, or a value",
        ),
        (
            READINGS + '[readings.k.numerator]\ncolumn = "N"\nfactor = 0',
            "readings.k.numerator.factor: Input should be gr",
        ),
        ('[formats]\ndate = "DD.MM"\n' + READINGS + '[readings]\nk = "N"', "formats.date: the format"),
        ('[formats]\ndate = "YYYY-DD-MM"\n' + READINGS + '[readings]\nk = "N"', "reads like YYYY-MM-DD"),
        ('[formats]\ndecimal_mark = ","\ngroup_mark = ","\n' + READINGS + '[readings]\nk = "N"', "are the same"),
        (
            'encoding = "klingon"\n' + READINGS + '[readings]\nk = "N"',
            "encoding: there is no text encoding",
        ),
        ('time_zone = "Riga"\n' + READINGS + '[readings]\nk = "N"', "time_zone"),
        (RECORD, "one kind of record is needed: a table [record.<kind>], of attendance, leave"),
        (
            COLUMNS + '[record.commendation]\nkind = "K"',
            "record: name the column of the record's id as `id`",
        ),
        (
            RECORD + '[record.complaint]\nfinding = { column = "J", values = { yes = "JUSTIFIED" } }',
            "record.complaint.finding: JUSTIFIED is none of FINDING_UNSPECIFIED, FINDING_JUSTIFIED",
        ),
        (
            RECORD
            + '[record.training]\ncourse_id = "C"\nattended = { column = "A", values = { a = true, A = false } }',
            "record.training.attended.values: two of the values differ in nothing but",
        ),
        (
            RECORD + '[record.training]\ncourse_id = "C"\nattended = "A"\nexam_score = "S"',
            "needs exam_score and exam_pass",
        ),
        (RECORD + '[record.evaluation]\nform_id = "F"\ncontact_id = "C"\nevaluator_id = "E"\nitems = {}', "items"),
        ("delimiter = ", "Invalid value"),
    ],
)
def test_wrong_mappings(tmp_path: Path, text: str, words: str) -> None:
    """Each mistake is named with the file and its entry."""
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(WrongFile) as caught:
        load_table_mapping(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("header", [["Agent", "Day"], ["Agent", "Day", "N", "N"], None])
def test_a_column_that_is_not_there_once(header: Sequence[str] | None) -> None:
    """The file does not fit the mapping."""
    with pytest.raises(WrongFile, match="the mapping names the column"):
        Rows(mapping(READINGS + '[readings]\nk = "N"'), header, centre="north", zone=RIGA)


def test_columns_by_number() -> None:
    """For tables without a header."""
    text = 'header_row = 0\n[columns]\nemployee = 1\ndate = 3\nsource = { value = "t" }\n[readings]\nk = 2'
    fact = Rows(mapping(text), None, centre="north", zone=RIGA).message(Row("1", ["e-1", "5", FEBRUARY, "more"]))
    assert isinstance(fact, Fact)
    assert list(fact.readings[0].numerators) == [5]


def test_mappings_that_ship() -> None:
    """They are right, of KPIs that ship, and named where one is asked for that does not."""
    names = [one.stem for one in PRESETS.glob("*-table.toml")]
    assert {"kpi-table", "attendance-table", "quality-table"} == {*names}
    for name in names:
        load_table_mapping(find_mapping(name, "table"))
    kpis = {kpi.kpi_id for kpi in load_kpis()}
    assert load_table_mapping(find_mapping("kpi-table", "table")).readings.keys() <= kpis
    evaluation = load_table_mapping(find_mapping("quality-table", "table")).record
    assert evaluation is not None
    assert evaluation.evaluation is not None
    (form,) = [one.form for one in load_policies() if one.policy_id == "calls-form"]
    assert {*evaluation.evaluation.items} == {item.item_id for section in form.sections for item in section.items}
    with pytest.raises(WrongFile, match="these ship: attendance-table, kpi-table, quality-table; or"):
        find_mapping("nothing", "table")


def test_moments_are_utc() -> None:
    """As the contract has them."""
    found = record(RECORD + ATTENDANCE, From="09:00", To="10:00", **dict.fromkeys(["In", "Out", "In 2", "Out 2"], ""))
    assert found.attendance.shift_start.ToDatetime(UTC) == datetime(2026, 2, 10, 7, tzinfo=UTC)
