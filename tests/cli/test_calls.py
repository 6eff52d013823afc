"""Call files: what is counted, what is left, and why."""

import csv
import os
from collections import Counter, defaultdict
from datetime import date
from fractions import Fraction
from pathlib import Path

import protovalidate
import pytest

from libs.cli.call_mapping import CallMapping, load_mapping
from libs.cli.calls import CallFacts, employee_id, read_calls
from libs.cli.mapping import WrongFile, compile_format
from libs.cli.presets import (
    PRESETS,
    load_kpis,
    load_policies,
    load_targets,
)
from services.performance.policy import POLICY, kpis_of, policies_of
from stepladder.performance.v1.events_pb2 import PolicySet
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import SetPolicyRequest
from tests.call_records import COLUMNS, broken_rows, call_row, write_calls
from tests.deciding import context

DAY = date(2026, 3, 2)
Sums = dict[tuple[str, str, str], tuple[int, int]]


@pytest.fixture(scope="module")
def mapping() -> CallMapping:
    return load_mapping(PRESETS / "brown-calls.toml")


def write(path: Path, *rows: list[str]) -> Path:
    path.write_text("".join("\t".join(row) + "\n" for row in (list(COLUMNS), *rows)), "latin-1")
    return path


def sums(facts: CallFacts) -> Sums:
    """Numerator and denominator (0: none) by agent's name, date and KPI."""
    return {
        (facts.agents[fact.employee_id], fact.date, reading.kpi_id): (
            sum(reading.numerators),
            sum(reading.denominators),
        )
        for fact in facts
        for reading in fact.readings
    }


def of_one_day(path: Path, mapping: CallMapping, *rows: list[str]) -> dict[str, tuple[int, int]]:
    facts = read_calls(write(path / "calls.tsv", *rows), mapping, centre="test")
    assert facts.used == len(rows)
    found = sums(facts)
    assert len({(name, day) for name, day, _ in found}) == 1
    return {kpi_id: value for (_, _, kpi_id), value in found.items()}


def computed_apart(path: Path) -> Sums:
    """The sums by columns of the format, without the code under test; only for files without broken rows."""
    out: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    lines = path.read_text("latin-1").splitlines()[1:]
    for fields in (line.split("\t") for line in lines):
        name, outcome, seconds = fields[16], fields[12], int(fields[15])
        if outcome != "AGENT" or name == "NO_SERVER":
            continue
        yy, mm, dd = fields[5][:2], fields[5][2:4], fields[5][4:]
        day = f"{'19' if yy > '68' else '20'}{yy}-{mm}-{dd}"
        for kpi_id, numerator, denominator in (
            ("calls-handled", 1, 0),
            ("talk-time", seconds, 0),
            ("aht", seconds, 1),
            ("short-call-share", int(seconds < 10), 1),
        ):
            out[name, day, kpi_id][0] += numerator
            out[name, day, kpi_id][1] += denominator
    return {key: (numerator, denominator) for key, (numerator, denominator) in out.items()}


TIMES = {"first-call", "last-call"}


def test_sums_are_those_of_a_computation_apart(tmp_path: Path, mapping: CallMapping) -> None:
    """Counts and seconds of every agent and day are right, and names survive the encoding."""
    rows = write_calls(tmp_path / "calls.tsv", start=DAY, broken=False)
    facts = read_calls(tmp_path / "calls.tsv", mapping, centre="test")
    assert (facts.rows, facts.used, facts.unusable) == (rows["used"], rows["used"], {})
    found = sums(facts)
    assert {key: value for key, value in found.items() if key[2] not in TIMES} == computed_apart(tmp_path / "calls.tsv")
    assert "José" in facts.agents.values()
    assert len(facts) == 25
    assert (facts.first_date, facts.last_date) == (DAY, date(2026, 3, 6))


def test_facts_come_by_agent_and_date_and_satisfy_the_contract(tmp_path: Path, mapping: CallMapping) -> None:
    """Facts of an employee follow each other in the order of days; every one is a valid message."""
    write_calls(tmp_path / "calls.tsv", start=DAY)
    facts = read_calls(tmp_path / "calls.tsv", mapping, centre="test")
    keys = [(facts.agents[fact.employee_id], fact.date) for fact in facts]
    assert keys == sorted(set(keys))
    assert list(facts) == list(facts)
    for fact in facts:
        protovalidate.validate(fact)
        assert fact.source == "calls"


def test_every_broken_row_is_counted_by_its_reason_and_reported(tmp_path: Path, mapping: CallMapping) -> None:
    """Each kind of broken row has its reason, its line and what was wrong; the rest is used all the same."""
    expected = write_calls(tmp_path / "calls.tsv", start=DAY)
    facts = read_calls(tmp_path / "calls.tsv", mapping, centre="test", report=tmp_path / "report.csv")
    assert {"used": facts.used, **facts.unusable} == dict(expected)
    assert facts.rows == expected.total()
    assert {*facts.unusable} == {
        *("columns", "bad_date", "bad_time", "bad_seconds", "bad_agent", "unknown_outcome"),
        *("phantom", "hung_up", "no_server"),
    }
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        report = list(csv.DictReader(file))
    broken = broken_rows(DAY)
    first = 2 + expected["used"]
    assert [(int(one["line"]), one["reason"]) for one in report] == [
        (first + index, reason) for index, (reason, _) in enumerate(broken)
    ]
    assert all(one["detail"] for one in report)
    assert "'-5'" in next(one["detail"] for one in report if one["reason"] == "bad_seconds")


@pytest.mark.parametrize("row", [row for _, row in broken_rows(DAY)])
def test_a_broken_row_adds_nothing(tmp_path: Path, mapping: CallMapping, row: list[str]) -> None:
    """A row that cannot be used leaves no fact."""
    facts = read_calls(write(tmp_path / "calls.tsv", row), mapping, centre="test")
    assert (facts.rows, facts.used, list(facts), facts.agents) == (1, 0, [], {})


def test_a_call_across_midnight_belongs_to_the_day_of_its_record(tmp_path: Path, mapping: CallMapping) -> None:
    """A service from 23:59:00 for two minutes ends in second 86460 of its day."""
    found = of_one_day(tmp_path, mapping, call_row(DAY, "Mei", 86_340, 120))
    assert (found["first-call"], found["last-call"]) == ((86_340, 0), (86_460, 0))
    assert found["talk-time"] == (120, 0)


def test_a_service_after_midnight_for_a_caller_before_it(tmp_path: Path, mapping: CallMapping) -> None:
    """The record is of the day of the caller, so a service from 0:00:10 begins in second 86410."""
    found = of_one_day(tmp_path, mapping, call_row(DAY, "Mei", 50_000, 20), call_row(DAY, "Mei", 86_410, 30, 86_390))
    assert (found["first-call"], found["last-call"]) == ((50_000, 0), (86_440, 0))


def test_a_service_that_seems_to_begin_a_second_before_the_call_is_of_the_same_day(
    tmp_path: Path, mapping: CallMapping
) -> None:
    """Clocks differ a little; that is no midnight."""
    found = of_one_day(tmp_path, mapping, call_row(DAY, "Mei", 50_000, 20, 50_001))
    assert (found["first-call"], found["last-call"]) == ((50_000, 0), (50_020, 0))


def test_a_service_that_begins_at_midnight_sharp_has_a_time(tmp_path: Path, mapping: CallMapping) -> None:
    """0:00:00 stands for no time, but here end and seconds tell when the service began."""
    found = of_one_day(tmp_path, mapping, call_row(DAY, "Mei", 0, 60, 0))
    assert (found["first-call"], found["last-call"]) == ((0, 0), (60, 0))
    found = of_one_day(tmp_path, mapping, call_row(DAY, "Mei", 86_400, 60, 86_390))
    assert (found["first-call"], found["last-call"]) == ((86_400, 0), (86_460, 0))


def test_a_call_without_service_counts_and_is_no_first_call(tmp_path: Path, mapping: CallMapping) -> None:
    """Zero seconds make a short call; its 0:00:00 must not make midnight the first call of the day."""
    wordless = call_row(DAY, "Bruno", 0, 0, 36_000)
    found = of_one_day(tmp_path, mapping, wordless, call_row(DAY, "Bruno", 40_000, 50))
    assert found["short-call-share"] == (1, 2)
    assert found["aht"] == (50, 2)
    assert found["first-call"] == (40_000, 0)
    alone = of_one_day(tmp_path, mapping, wordless)
    assert alone["calls-handled"] == (1, 0)
    assert TIMES.isdisjoint(alone)


def test_sums_come_by_the_hour_in_which_calls_began(tmp_path: Path, mapping: CallMapping) -> None:
    """One sample for each hour of the clock; a call without service at the caller's; one after midnight at hour 0."""
    rows = [
        call_row(DAY, "Mei", 36_000, 60),
        call_row(DAY, "Mei", 39_599, 9),
        call_row(DAY, "Mei", 50_000, 20),
        call_row(DAY, "Mei", 0, 0, 50_100),
        call_row(DAY, "Mei", 86_410, 30, 86_390),
    ]
    facts = read_calls(write(tmp_path / "calls.tsv", *rows), mapping, centre="test")
    (only,) = facts
    found = {one.kpi_id: one for one in only.readings}
    assert list(found["calls-handled"].numerators) == [1, 2, 2]
    assert list(found["talk-time"].numerators) == [30, 69, 20]
    assert (list(found["aht"].numerators), list(found["aht"].denominators)) == ([30, 69, 20], [1, 2, 2])
    for kpi_id in ("calls-handled", "talk-time", "aht", "short-call-share"):
        assert list(found[kpi_id].starts) == [0, 600, 780]
    assert list(found["first-call"].starts) == []


def test_a_day_with_a_call_of_unknown_time_has_no_hours(tmp_path: Path, mapping: CallMapping) -> None:
    """Its sums are whole; nothing is told of when they were."""
    columns = mapping.columns.model_copy(update={"arrival": None})
    timeless = mapping.model_copy(update={"columns": columns})
    rows = [call_row(DAY, "Mei", 36_000, 60), call_row(DAY, "Mei", 0, 0, ser_start="0:00:00", ser_exit="0:00:00")]
    (only,) = read_calls(write(tmp_path / "calls.tsv", *rows), timeless, centre="test")
    handled = next(one for one in only.readings if one.kpi_id == "calls-handled")
    assert (sum(handled.numerators), list(handled.starts)) == (2, [])


def test_a_short_call_is_strictly_shorter(tmp_path: Path, mapping: CallMapping) -> None:
    """Nine seconds are short, ten are not."""
    found = of_one_day(tmp_path, mapping, call_row(DAY, "Ada", 100, 9), call_row(DAY, "Ada", 200, 10))
    assert found["short-call-share"] == (1, 2)


def test_seconds_are_trusted_where_times_contradict(tmp_path: Path, mapping: CallMapping) -> None:
    """A wrong end does not change how long the call took, nor when the day ended."""
    found = of_one_day(tmp_path, mapping, call_row(DAY, "Ada", 36_000, 60, ser_exit="9:00:00"))
    assert (found["talk-time"], found["last-call"]) == ((60, 0), (36_060, 0))


def test_progress_is_told_in_bytes_up_to_the_whole_file(tmp_path: Path, mapping: CallMapping) -> None:
    """Progress grows and ends with the size of the file."""
    write_calls(tmp_path / "calls.tsv", start=DAY, days=30, calls_a_day=60)
    told: list[int] = []
    read_calls(tmp_path / "calls.tsv", mapping, centre="test", progress=told.append)
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == (tmp_path / "calls.tsv").stat().st_size


def test_the_digest_names_file_mapping_and_centre(tmp_path: Path, mapping: CallMapping) -> None:
    """The same input has the same digest, any other input another one."""
    first = write(tmp_path / "a.tsv", call_row(DAY, "Ada", 100, 9))
    other = write(tmp_path / "b.tsv", call_row(DAY, "Ada", 100, 8))
    changed = mapping.model_copy(update={"short_call_seconds": 9})
    digests = [
        read_calls(path, one, centre=centre).digest
        for path, one, centre in (
            (first, mapping, "test"),
            (first, mapping, "test"),
            (other, mapping, "test"),
            (first, changed, "test"),
            (first, mapping, "live"),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_an_employee_id_is_for_ever() -> None:
    """The id of a centre's agent never changes: it is in the log."""
    assert employee_id("test", "Ada") == "e-rymgy3ph42"
    assert employee_id("other", "Ada") != employee_id("test", "Ada")


OTHER = """
source = "acd"
delimiter = ";"
quote = '"'
encoding = "utf-8"
header = false
width = 4
short_call_seconds = 5
[columns]
agent = 2
date = 3
start = 3
end = 4
[formats]
date = "D.M.YYYY*"
time = "*h:mm"
[readings]
calls = "answered"
talk_seconds = "talked"
last_second = "ended"
"""


def test_another_company_s_file_is_described_without_code(tmp_path: Path) -> None:
    """Quotes, no header, a day and time in one column, no seconds, other KPIs: all of it is said in the mapping."""
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "other.csv").write_bytes(
        b'1;"Li; Wei";7.3.2026 9:05;7.3.2026 9:07\r\n\r\n2;"Li; Wei";7.3.2026 23:59;8.3.2026 0:01\r\n'
        b"3;\xff;7.3.2026 9:05;7.3.2026 9:07\r\n"
    )
    facts = read_calls(tmp_path / "other.csv", load_mapping(tmp_path / "other.toml"), centre="test")
    assert sums(facts) == {
        ("Li; Wei", "2026-03-07", "answered"): (2, 0),
        ("Li; Wei", "2026-03-07", "talked"): (240, 0),
        ("Li; Wei", "2026-03-07", "ended"): (86_460, 0),
    }
    assert facts.unusable == {"bad_encoding": 1}
    assert {fact.source for fact in facts} == {"acd"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "acd"', 'source = "ACD"', "source"),
        ("short_call_seconds = 5", "short_calls = 5", "short_calls"),
        ("end = 4", "", "needs seconds, or start and end"),
        ("width = 4", "", "width"),
        ("end = 4", "end = 4\noutcome = 1", "outcomes.served"),
        ('"D.M.YYYY*"', '"D.M.*"', "lacks the year"),
        ('"*h:mm"', '"h:h"', "names a part twice"),
        ('"utf-8"', '"utf-16"', "convert the file"),
        ('"utf-8"', '"latin-99"', "no text encoding"),
        ('"utf-8"', "utf-8", "Invalid value"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_entry(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Mistakes in a mapping are found when it is loaded, and named."""
    (tmp_path / "other.toml").write_text(OTHER.replace(old, new), "utf-8")
    with pytest.raises(WrongFile, match=message):
        load_mapping(tmp_path / "other.toml")


def test_a_file_of_another_kind_is_refused(tmp_path: Path, mapping: CallMapping) -> None:
    """An empty file, another header, a line without end or a wrong centre: nothing is read by mistake."""
    path = tmp_path / "calls.tsv"
    path.write_bytes(b"")
    with pytest.raises(WrongFile, match="header"):
        read_calls(path, mapping, centre="test")
    path.write_bytes(b"agent\tday\n")
    with pytest.raises(WrongFile, match=r"'server'.*agent, day"):
        read_calls(path, mapping, centre="test")
    path.write_bytes(write(path).read_bytes() + b"x" * 100_000)
    with pytest.raises(WrongFile, match="line 2 has more"):
        read_calls(path, mapping, centre="test")
    with pytest.raises(WrongFile, match="centre"):
        read_calls(write(path), mapping, centre="My Centre")


def test_formats_match_whole_texts_only() -> None:
    """A day with a digit too few or too many is no day."""
    pattern = compile_format("YYMMDD")
    assert pattern.fullmatch("990201")
    assert not pattern.fullmatch("99021")
    assert not pattern.fullmatch("9902011")


def test_presets_satisfy_the_contract_and_fit_together(mapping: CallMapping) -> None:
    """Every preset is a valid message; targets, policies and mappings name KPIs that exist and add up as meant."""
    kpis = {kpi.kpi_id: kpi for kpi in load_kpis()}
    targets, policies = load_targets(), load_policies()
    for message in (*kpis.values(), *targets, *policies):
        protovalidate.validate(message)
    assert len(kpis) == len(load_kpis()) == 26
    assert {one.kpi_id for one in targets} <= set(kpis)
    streaks = [one.detection.streak for one in policies if one.detection.HasField("streak")]
    assert {one.kpi_id for one in streaks} <= {one.kpi_id for one in targets}
    for one in policies:
        (event,) = POLICY.decide(POLICY.initial, SetPolicyRequest(policy=one), context())
        one.recorded_date = context().today.isoformat()
        assert event == PolicySet(policy=one)
        assert {kpi_id for _, kpi_id in kpis_of(one)} <= set(kpis)
    assert len({one.policy_id for one in policies}) == len(policies)
    kinds = {one.policy_id: one.WhichOneof("content") for one in policies}
    assert all(kinds[policy_id] == kind for one in policies for _, kind, policy_id in policies_of(one))
    assert all(bool(kpi.display_name_zh) and bool(kpi.description) for kpi in kpis.values())
    readings = mapping.readings
    assert {
        readings.calls: Kpi.AGGREGATION_SUM,
        readings.talk_seconds: Kpi.AGGREGATION_SUM,
        readings.seconds_per_call: Kpi.AGGREGATION_RATIO,
        readings.short_calls: Kpi.AGGREGATION_RATIO,
        readings.first_second: Kpi.AGGREGATION_MINIMUM,
        readings.last_second: Kpi.AGGREGATION_MAXIMUM,
    } == {kpi_id: kpis[kpi_id].aggregation for kpi_id in readings.model_dump().values()}


def bank_calls() -> Path | None:
    """The bank's call log, which is not part of the repository."""
    root = Path(__file__).parents[2]
    named = os.environ.get("STEPLADDER_BANK_CALLS")
    path = Path(named) if named else root.parent / "shared" / "data" / "bank-calls-1999-02-first-half.tsv"
    return path if path.is_file() else None


@pytest.mark.skipif(bank_calls() is None, reason="the bank's call log is not here; set STEPLADDER_BANK_CALLS")
def test_the_bank_s_two_weeks(mapping: CallMapping, tmp_path: Path) -> None:
    """24 agents, every row accounted for, sums as computed apart, and the three who cut calls off are found."""
    path = bank_calls()
    assert path is not None
    facts = read_calls(path, mapping, centre="bank", report=tmp_path / "report.csv")
    lines = path.read_text("latin-1").splitlines()[1:]
    assert facts.rows == len(lines)
    by_outcome = Counter(line.split("\t")[12] for line in lines)
    assert facts.unusable["hung_up"] == by_outcome["HANG"]
    assert facts.unusable["phantom"] == by_outcome["PHANTOM"]
    assert facts.used == by_outcome["AGENT"] - facts.unusable["no_server"]
    assert {*facts.unusable} == {"hung_up", "phantom", "no_server"}
    assert len((tmp_path / "report.csv").read_text("utf-8").splitlines()) == 1 + sum(facts.unusable.values())

    found = sums(facts)
    assert {key: value for key, value in found.items() if key[2] not in TIMES} == computed_apart(path)
    assert len(facts.agents) == 24
    # No day begins at midnight because of the records without times.
    assert all(numerator > 0 for (_, _, kpi_id), (numerator, _) in found.items() if kpi_id == "first-call")

    (policy,) = (one.detection.streak for one in load_policies() if one.policy_id == "short-calls")
    (target,) = (one for one in load_targets() if one.kpi_id == policy.kpi_id)
    shares: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (name, _, kpi_id), (numerator, denominator) in found.items():
        if kpi_id == policy.kpi_id:
            shares[name][0] += numerator
            shares[name][1] += denominator
    assert {
        name
        for name, (short, calls) in shares.items()
        if calls >= policy.minimum_samples and Fraction(100 * short, calls) > Fraction(target.maximum)
    } == {"ANAT", "MIKI", "MORIAH"}
