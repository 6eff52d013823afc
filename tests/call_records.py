"""Made-up call records in the format of `presets/brown-calls.toml`: right ones, and every kind of wrong one."""

import csv
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

from libs.cli.sample_days import HOURS, WEEKDAYS
from libs.cli.sample_people import chance

COLUMNS = (
    *("vru+line", "call_id", "customer_id", "priority", "type", "date", "vru_entry", "vru_exit", "vru_time"),
    *("q_start", "q_exit", "q_time", "outcome", "ser_start", "ser_exit", "ser_time", "server"),
)

AGENTS = ("Ada", "Bruno", "José", "Mei", "Zoë")
"""The first of them is hasty. Two need the encoding to be told."""


def write_calls(
    path: Path, *, start: date, days: int = 5, calls_a_day: int = 40, seed: int = 1, broken: bool = True
) -> Counter[str]:
    """Writes calls of every agent for some days from `start`, the same for the same arguments.

    Returns the number of rows by the reason for which they cannot be used, and the usable ones under `used`. Among
    these are calls across midnight, without a word, and with times that contradict the seconds.
    """
    own = chance(seed, "calls", start)
    rows: list[tuple[str, list[str]]] = []
    for day in (start + timedelta(days=offset) for offset in range(days)):
        for agent in AGENTS:
            for _ in range(round(calls_a_day * WEEKDAYS[day.weekday()])):
                hour = own.choices(range(8, 20), [HOURS.get(hour, 1.0) for hour in range(8, 20)])[0]
                begin = hour * 3600 + int(3600 * own.random())
                hasty = own.random() < (0.2 if agent == AGENTS[0] else 0.02)
                seconds = int(9 * own.random()) if hasty else 20 + int(own.expovariate(1 / 180))
                rows.append(("used", call_row(day, agent, begin, min(seconds, 3600))))
    own.shuffle(rows)
    rows += [
        ("used", call_row(start, "Mei", 86_340, 120)),
        ("used", call_row(start, "Mei", 86_410, 30, 86_390)),
        ("used", call_row(start, "Bruno", 0, 0, 36_000, ser_start="0:00:00", ser_exit="0:00:00")),
        ("used", call_row(start, "Bruno", 36_000, 60, ser_exit="10:30:00")),
    ]
    if broken:
        rows += broken_rows(start)
    with path.open("w", encoding="latin-1", newline="") as file:
        out = csv.writer(file, delimiter="\t", lineterminator="\n")
        out.writerow(COLUMNS)
        out.writerows(row for _, row in rows)
    return Counter(reason for reason, _ in rows)


def call_row(day: date, agent: str, begin: int, seconds: int, arrival: int | None = None, /, **other: str) -> list[str]:
    """One record of a call whose service began in that second of the day; `other` columns are as given.

    Without `arrival`, the caller came ten seconds before.
    """
    arrived = begin - 10 if arrival is None else arrival
    record = dict.fromkeys(COLUMNS, "0") | {
        "vru+line": "AA0101",
        "type": "PS",
        "date": day.strftime("%y%m%d"),
        "vru_entry": _clock(arrived),
        "vru_exit": _clock(arrived + 10),
        "vru_time": "10",
        "q_start": "0:00:00",
        "q_exit": "0:00:00",
        "outcome": "AGENT",
        "ser_start": _clock(begin),
        "ser_exit": _clock(begin + seconds),
        "ser_time": str(seconds),
        "server": agent,
    }
    return list((record | other).values())


def broken_rows(day: date) -> list[tuple[str, list[str]]]:
    """Rows of every kind that cannot be used, with the reason."""

    def row(**other: str) -> list[str]:
        return call_row(day, "Ada", 36_000, 60, **other)

    unserved = {"ser_start": "0:00:00", "ser_exit": "0:00:00", "ser_time": "0", "server": "NO_SERVER"}
    return [
        ("hung_up", row(outcome="HANG", **unserved)),
        ("hung_up", row(outcome="HANG", date="nonsense")),
        ("phantom", row(outcome="PHANTOM", **unserved)),
        ("no_server", row(server="NO_SERVER")),
        ("bad_agent", row(server="")),
        ("bad_agent", row(server="x" * 201)),
        ("unknown_outcome", row(outcome="TRANSFER")),
        ("columns", row()[:-1]),
        ("columns", [*row(), "more"]),
        ("bad_date", row(date="990231")),
        ("bad_date", row(date="99021")),
        ("bad_date", row(date="")),
        ("bad_time", row(ser_start="25:00:00")),
        ("bad_time", row(ser_exit="10:61:00")),
        ("bad_time", row(vru_entry="soon")),
        ("bad_seconds", row(ser_time="-5")),
        ("bad_seconds", row(ser_time="1.5")),
        ("bad_seconds", row(ser_time="")),
        ("bad_seconds", row(ser_time="86401")),
        ("bad_seconds", row(ser_time="9" * 30)),
    ]


def _clock(second: int) -> str:
    second %= 86_400
    return f"{second // 3600}:{second // 60 % 60:02}:{second % 60:02}"
